import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { sinkOf } from '../../src/cli/process-terminal.js';
import { type Destination, deltaLake, duckDbFile } from './destination.js';
import { Interrupted } from './interrupted.js';
import { Screen } from './screen.js';
import { leadTour } from './tour.js';

const USAGE = `Usage: npm run demo -- [--lake] [--keep] [--seconds N]

  --lake       keep Delta tables in a folder in step, instead of a DuckDB file
  --keep       at the end leave Postgres, the writer and the folder for you to try things, until Ctrl-C
  --seconds N  how long each of the two live views runs (default 7)
`;

/** Ctrl-C reaches Postgres too, and the news of its end may come before our own signal. */
const SIGNAL_GRACE_MS = 300;

const SIGNALS = [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const;

interface Options {
  readonly keep: boolean;
  readonly liveMs: number;
  readonly destination: Destination;
}

/** @returns what to print instead of a demo, where the command line asks for help or is wrong */
function readOptions(argv: readonly string[]): Options | { readonly text: string; readonly exitCode: number } {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        lake: { type: 'boolean' },
        keep: { type: 'boolean' },
        seconds: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    });
    if (values.help === true) return { text: USAGE, exitCode: 0 };
    const seconds = Number(values.seconds ?? 7);
    if (seconds >= 0 && seconds <= 3_600) {
      const destination = values.lake === true ? deltaLake : duckDbFile;
      return { keep: values.keep === true, liveMs: seconds * 1_000, destination };
    }
    return { text: `--seconds wants a number from 0 to 3600\n\n${USAGE}`, exitCode: 64 };
  } catch (error) {
    return { text: `${messageOf(error)}\n\n${USAGE}`, exitCode: 64 };
  }
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if ('text' in options) {
    (options.exitCode === 0 ? process.stdout : process.stderr).write(options.text);
    return options.exitCode;
  }
  const stopping = new AbortController();
  let interrupted: Interrupted | null = null;
  for (const [name, exitCode] of SIGNALS) {
    process.on(name, () => {
      interrupted ??= new Interrupted(exitCode);
      stopping.abort(interrupted);
    });
  }
  const screen = new Screen(sinkOf(process.stdout, process.env));
  const cleanup: (() => Promise<void>)[] = [];
  const fail = (error: unknown) => stopping.abort(error);
  try {
    return (await leadTour({ ...options, screen, signal: stopping.signal, fail, cleanup })) ? 0 : 1;
  } catch (error) {
    await sleep(SIGNAL_GRACE_MS);
    return endedBy(interrupted, stopping.signal.aborted ? stopping.signal.reason : error);
  } finally {
    // Each is tried, whatever became of the others: a client of a stopped server cannot say goodbye.
    for (const undo of cleanup.reverse()) await undo().catch(() => {});
    if (interrupted !== null) {
      screen.blank();
      screen.say(options.keep ? 'Postgres is stopped.' : 'Stopped: Postgres is gone and the folder is removed.');
    }
  }
}

/** What fails while everything is being stopped, fails because of that. */
function endedBy(interrupted: Interrupted | null, error: unknown): number {
  if (interrupted !== null) return interrupted.exitCode;
  process.stderr.write(`\nThe demo failed: ${messageOf(error)}\n`);
  return 1;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

process.exitCode = await main();
