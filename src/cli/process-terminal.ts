import { createInterface } from 'node:readline/promises';
import type { Writable } from 'node:stream';
import type { ReadStream, WriteStream } from 'node:tty';
import { openProcessScreen } from './process-screen.js';
import { type Sink, type Terminal, wantsColor } from './terminal.js';

/** As much of a process's stdout or stderr as is needed. */
type Output = Writable & { readonly isTTY: boolean; readonly columns: number };

type Environment = Readonly<Record<string, string | undefined>>;

/** The terminal of this process. */
export function processTerminal(process: {
  readonly stdin: ReadStream;
  readonly stdout: WriteStream;
  readonly stderr: Output;
  readonly env: Environment;
  on(event: 'exit', listener: () => void): unknown;
  off(event: 'exit', listener: () => void): unknown;
}): Terminal {
  const { stdin, stdout, stderr, env } = process;
  const canAsk = stdin.isTTY === true && stderr.isTTY === true;
  return {
    stdout: sinkOf(stdout, env),
    stderr: sinkOf(stderr, env),
    openScreen:
      stdin.isTTY === true && stdout.isTTY === true && env['TERM'] !== 'dumb' ? () => openProcessScreen(process) : null,
    ask: canAsk ? (question, signal) => ask(stdin, stderr, question, signal) : null,
  };
}

/** A sink that survives a reader who goes away (EPIPE): `sluice ls | head -1` is the reader's right and no error of ours. */
export function sinkOf(stream: Output, env: Environment): Sink {
  const isTty = stream.isTTY === true;
  let open = true;
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    open = false;
  });
  return {
    write: (piece) => {
      if (open && piece.length > 0) stream.write(piece);
    },
    drained: async () => {
      if (open && stream.writableNeedDrain) await room(stream);
    },
    isTty,
    isOpen: () => open,
    // Some pseudo-terminals have no size and report 0.
    columns: () => (isTty && stream.columns > 0 ? stream.columns : null),
    colors: wantsColor(isTty, env, false),
  };
}

/** Of a full stream: until it takes more, or is at its end. */
function room(stream: Output): Promise<void> {
  return new Promise((resolve) => {
    const over = (): void => {
      for (const event of ['drain', 'error', 'close']) stream.off(event, over);
      resolve();
    };
    for (const event of ['drain', 'error', 'close']) stream.on(event, over);
  });
}

/** The question goes to stderr, so that a piped stdout holds results alone. */
async function ask(input: ReadStream, output: Output, question: string, signal: AbortSignal): Promise<string | null> {
  // Without readline's terminal mode Ctrl-C stays a signal of the process.
  const lines = createInterface({ input, output, terminal: false });
  const ended = new Promise<null>((resolve) => lines.once('close', () => resolve(null)));
  try {
    return await Promise.race([lines.question(question, { signal }), ended]);
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    lines.close();
  }
}
