import { setMaxListeners } from 'node:events';
import { SluiceError } from '../error/sluice-error.js';

/** A stop that takes longer than this is forced (law 10: SIGTERM is through within 10 s). */
const DEADLINE_MS = 9_500;

/** Exit codes that shells give to processes ended by these signals. */
const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * Turns SIGINT and SIGTERM into an abort. A second signal, or work that does not end in time, exits at once: whatever
 * was not committed is done again by the next run.
 */
export function abortOnSignals(process: NodeJS.Process): AbortSignal {
  const controller = new AbortController();
  // Every wait and query under way listens to it; many at once are no leak.
  setMaxListeners(0, controller.signal);
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (controller.signal.aborted) leaveBy(process, name);
      controller.abort(new SluiceError({ code: 'CANCELLED', message: `stopped by ${name}` }));
      setTimeout(() => leaveBy(process, name), DEADLINE_MS).unref();
    });
  }
  return controller.signal;
}

/**
 * Ends the process at once, as the signal does where nobody listens. process.exit() ends the threads first, and DuckDB
 * aborts the process when a query of it returns to a thread that is being ended.
 */
function leaveBy(process: NodeJS.Process, name: keyof typeof EXIT_CODES): void {
  process.removeAllListeners(name);
  process.kill(process.pid, name);
  // The first process of a container is not ended by its own signals.
  process.exit(EXIT_CODES[name]);
}
