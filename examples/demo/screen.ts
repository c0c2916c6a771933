import { cut, displayWidth, type Paint, paintFor, type Sink } from '../../src/cli/terminal.js';
import { type Column, table } from '../../src/cli/view/table.js';

/** A line of prose is no wider than that, however wide the terminal. */
const PROSE_COLUMNS = 96;

/** What the demo itself writes, on stdout. The commands that it runs write beside it, to the same terminal. */
export class Screen {
  readonly paint: Paint;
  readonly #out: Sink;
  #step = 0;
  #liveLines = 0;

  constructor(out: Sink) {
    this.#out = out;
    this.paint = paintFor(out);
  }

  get isTty(): boolean {
    return this.#out.isTty;
  }

  title(text: string): void {
    this.#line(`\n${this.paint('bold', text)}`);
  }

  /** Begins the next step. */
  heading(text: string): void {
    this.#step += 1;
    this.#line(`\n${this.paint('bold', `${this.#step}  ${text}`)}`);
  }

  /** A paragraph; line breaks in it do not count. */
  say(text: string): void {
    const width = Math.min(this.#out.columns() ?? PROSE_COLUMNS, PROSE_COLUMNS);
    for (const line of wrap(text, width)) this.#line(line);
  }

  /** A command as one would type it. */
  command(text: string): void {
    this.#line(`\n${this.paint('cyan', `$ ${text}`)}`);
  }

  /** Text as it is, a little indented. */
  quote(text: string): void {
    for (const line of text.trimEnd().split('\n')) this.#line(`  ${line}`.trimEnd());
  }

  blank(): void {
    this.#line('');
  }

  table(columns: readonly Column[], rows: readonly (readonly string[])[]): void {
    this.quote(table(columns, rows, this.paint));
  }

  /** Writes a block over the one before it, on a terminal only. {@link endLive} lets it stand. */
  live(text: string): void {
    const columns = this.#out.columns() ?? PROSE_COLUMNS;
    // A line that wraps would take two lines and spoil the way back up.
    const lines = text
      .trimEnd()
      .split('\n')
      .map((line) => (displayWidth(line) < columns ? line : cut(line, columns - 1)));
    const back = this.#liveLines === 0 ? '' : `\u001b[${this.#liveLines}A\u001b[0J`;
    this.#out.write(`${back}${lines.join('\n')}\n`);
    this.#liveLines = lines.length;
  }

  endLive(): void {
    this.#liveLines = 0;
  }

  #line(text: string): void {
    this.#out.write(`${text}\n`);
  }
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/).filter((each) => each !== '')) {
    if (line !== '' && displayWidth(line) + 1 + displayWidth(word) > width) {
      lines.push(line);
      line = '';
    }
    line = line === '' ? word : `${line} ${word}`;
  }
  return line === '' ? lines : [...lines, line];
}
