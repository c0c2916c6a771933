/** What a person looks back at: some hours of a quiet daemon. */
const MOST_LINES = 5_000;
const MOST_CHARACTERS = 4 * 1024 * 1024;

export const LINE_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;
export type LineLevel = (typeof LINE_LEVELS)[number];

/** A line of the log, as it was written: one JSON object. */
export interface LogLine {
  readonly level: LineLevel;
  readonly text: string;
}

/** The last lines of a daemon's own log, for who asks. Bounded; what falls out is still where the log itself goes. */
export class LogRing {
  readonly #lines: LogLine[] = [];
  #characters = 0;
  readonly #listeners = new Set<(line: LogLine) => void>();

  /** @param text with or without its line break */
  push(text: string): void {
    const line = { level: levelOf(text), text: text.trimEnd() };
    this.#lines.push(line);
    this.#characters += line.text.length;
    while (this.#lines.length > MOST_LINES || (this.#characters > MOST_CHARACTERS && this.#lines.length > 1)) {
      this.#characters -= this.#lines.shift()?.text.length ?? 0;
    }
    for (const listener of this.#listeners) listener(line);
  }

  /** The last `count` lines from a level up, oldest first. */
  last(count: number, level: LineLevel): readonly LogLine[] {
    if (count === 0) return [];
    return this.#lines.filter((line) => isFrom(level, line)).slice(-count);
  }

  /** Calls the listener for every new line from a level up; the result takes it off again. */
  follow(level: LineLevel, listener: (line: LogLine) => void): () => void {
    const hear = (line: LogLine): void => {
      if (isFrom(level, line)) listener(line);
    };
    this.#listeners.add(hear);
    return () => this.#listeners.delete(hear);
  }
}

function isFrom(level: LineLevel, line: LogLine): boolean {
  return LINE_LEVELS.indexOf(line.level) >= LINE_LEVELS.indexOf(level);
}

/** Levels stand as names in every line; one that cannot be read is not held back. */
function levelOf(text: string): LineLevel {
  const name = /^\{"level":"([a-z]+)"/.exec(text)?.[1];
  return LINE_LEVELS.find((level) => level === name) ?? 'fatal';
}
