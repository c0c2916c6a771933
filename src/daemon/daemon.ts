import type { Config } from '../config/config.js';
import type { Clock, Engine, EngineDeps, Host } from '../executor/engine.js';
import { DaemonLoop } from './daemon-loop.js';
import { logEvent } from './event-log.js';
import type { Log } from './log.js';

export interface DaemonDeps {
  readonly createEngine: (deps: EngineDeps) => Promise<Engine>;
  readonly config: Config;
  readonly clock: Clock;
  readonly host: Host;
  readonly log: Log;
  /** How often the slots are looked at; default {@link GUARD_EVERY_MS}. */
  readonly guardEveryMs?: number;
}

/** With the 10 s that one look may take, a slot is looked at every 30 s even where every other look fails. */
const GUARD_EVERY_MS = 15_000;

/** SIGTERM has to be through within 10 s (law 10); the rest is for the process to end. */
const DRAIN_MS = 8_000;

/**
 * Keeps everything of one config in step until the signal aborts: applies at its start what it may, then runs what is
 * due. Resolves when the work under way has ended, at the latest {@link DRAIN_MS} after the abort; what was not
 * committed by then is done again by the next start.
 * @throws what the engine's making threw, and faults of the loop itself; errors of sources and syncs are logged
 */
export async function runDaemon(deps: DaemonDeps, signal: AbortSignal): Promise<void> {
  const { clock, config, host, log } = deps;
  const engine = await deps.createEngine({ config, clock, host, onEvent: (event) => logEvent(log, event) });
  log.info({ file: config.file, sources: Object.keys(config.sources) }, 'daemon started');
  if (config.daemon.http !== null)
    log.warn({ listen: config.daemon.http.listen }, 'daemon.http is not served by this version');
  const work = workAndClose(
    new DaemonLoop({ engine, clock, log, random: Math.random }),
    engine,
    deps.guardEveryMs ?? GUARD_EVERY_MS,
    signal,
  );
  const ended = await endsInTime(work, clock, signal);
  if (ended) log.info({}, 'daemon stopped');
  else log.warn({ drain_ms: DRAIN_MS }, 'stopped before the work under way had ended; the next start does it again');
}

/** The guard runs beside the loop, apart from all that may hang there. A fault of either ends both. */
async function workAndClose(loop: DaemonLoop, engine: Engine, everyMs: number, signal: AbortSignal): Promise<void> {
  const fault = new AbortController();
  const either = AbortSignal.any([signal, fault.signal]);
  const ending = async (work: Promise<void>): Promise<void> => {
    try {
      await work;
    } finally {
      fault.abort();
    }
  };
  try {
    const ends = await Promise.allSettled([ending(engine.guard({ everyMs }, either)), ending(loop.run(either))]);
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  } finally {
    await engine.close();
  }
}

/** False when the work goes on longer after the abort than it may. */
async function endsInTime(work: Promise<void>, clock: Clock, signal: AbortSignal): Promise<boolean> {
  const timer = new AbortController();
  const late = aborted(signal).then(async () => {
    await clock.sleep(DRAIN_MS, timer.signal);
    return false;
  });
  // Cancelled when the work is through; and work that is given up on may fail unseen.
  late.catch(() => undefined);
  work.catch(() => undefined);
  try {
    return await Promise.race([work.then(() => true), late]);
  } finally {
    timer.abort();
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
