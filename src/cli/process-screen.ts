import { emitKeypressEvents } from 'node:readline';
import type { ReadStream, WriteStream } from 'node:tty';
import type { Screen } from './screen.js';
import type { Key } from './watch-keys.js';

/** Alternate screen on, cursor off, and back. @see xterm's control sequences, "Private Modes" 1049 and 25 */
const ENTER = '\u001b[?1049h\u001b[?25l';
/** Cleared first: tmux keeps lines of an alternate screen that grew meanwhile. */
const LEAVE = '\u001b[H\u001b[2J\u001b[?25h\u001b[?1049l';

/** Some pseudo-terminals have no size and report 0. */
const DEFAULT_SIZE = { columns: 80, rows: 24 } as const;

/** As much of a key as readline tells. */
interface Keypress {
  readonly name?: string;
  readonly ctrl?: boolean;
  readonly meta?: boolean;
}

/** Takes over the terminal of a process until it is closed or the process exits, whatever the reason. */
export function openProcessScreen(process: {
  readonly stdin: ReadStream;
  readonly stdout: WriteStream;
  on(event: 'exit', listener: () => void): unknown;
  off(event: 'exit', listener: () => void): unknown;
}): Screen {
  const { stdin, stdout } = process;
  const ends: (() => void)[] = [];
  let open = true;
  const close = (): void => {
    if (!open) return;
    open = false;
    for (const end of ends) end();
    stdin.setRawMode(false);
    stdin.pause();
    stdout.write(LEAVE);
    process.off('exit', close);
  };
  process.on('exit', close);
  emitKeypressEvents(stdin);
  stdin.setRawMode(true);
  stdin.resume();
  stdout.write(ENTER);
  return {
    size: () => ({
      columns: stdout.columns > 0 ? stdout.columns : DEFAULT_SIZE.columns,
      rows: stdout.rows > 0 ? stdout.rows : DEFAULT_SIZE.rows,
    }),
    draw: (lines) => {
      // From the top left; each line clears what is left of the one before it, the last what is below.
      if (open) stdout.write(`\u001b[H${lines.map((line) => `${line}\u001b[K`).join('\r\n')}\u001b[J`);
    },
    onKey: (listener) => {
      const hear = (text: string | undefined, key: Keypress): void => {
        const found = keyOf(text, key);
        if (found !== null) listener(found);
      };
      // A terminal that went away can end the watch, too.
      const hangUp = (): void => listener({ kind: 'interrupt' });
      stdin.on('keypress', hear);
      stdin.on('end', hangUp);
      ends.push(() => stdin.off('keypress', hear).off('end', hangUp));
    },
    onResize: (listener) => {
      stdout.on('resize', listener);
      ends.push(() => stdout.off('resize', listener));
    },
    close,
  };
}

const NAMED = {
  up: 'up',
  down: 'down',
  pageup: 'page_up',
  pagedown: 'page_down',
  home: 'home',
  end: 'end',
  return: 'enter',
  enter: 'enter',
  escape: 'escape',
  backspace: 'backspace',
} as const;

/** Null for a key that means nothing here. */
export function keyOf(text: string | undefined, { name = '', ctrl, meta }: Keypress): Key | null {
  // In raw mode the terminal makes no signal of it.
  if (ctrl === true) return name === 'c' ? { kind: 'interrupt' } : null;
  if (isNamed(name)) return { kind: NAMED[name] };
  if (text === undefined || meta === true || /\p{Control}/u.test(text)) return null;
  return { kind: 'text', text };
}

function isNamed(name: string): name is keyof typeof NAMED {
  return Object.hasOwn(NAMED, name);
}
