import { toPlain } from '../error/sluice-error.js';
import type { LoopDeps } from './daemon-loop.js';

/** The first syncs go first. */
const BEHIND_SYNCS_MS = 1_000;
/** Upkeep that could not even begin, as another process works, is tried again after this. */
const AGAIN_MS = 300_000;
/** Between two looks; a lake that is always due must not take a whole core. */
const MIN_WAIT_MS = 1_000;

/**
 * Looks after lakes, beside the lanes, until `either` of the signals aborts.
 * @param signal breaks off what is under way
 * @param neededAt when a source is next needed by its lane: no more work on it is begun after that
 */
export async function lookAfterLakes(
  { clock, engine, log }: LoopDeps,
  neededAt: (source: string) => Date,
  signal: AbortSignal,
  either: AbortSignal,
): Promise<void> {
  await clock.sleep(BEHIND_SYNCS_MS, either);
  for (;;) {
    let at: Date | null;
    try {
      at = await engine.maintain({ until: neededAt }, signal);
    } catch (error) {
      signal.throwIfAborted();
      log.warn({ error: toPlain(error), retry_ms: AGAIN_MS }, 'lakes could not be looked after');
      at = new Date(clock.now().getTime() + AGAIN_MS);
    }
    if (at === null) return;
    await clock.sleep(Math.max(MIN_WAIT_MS, at.getTime() - clock.now().getTime()), either);
  }
}
