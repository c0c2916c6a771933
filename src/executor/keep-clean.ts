import type { PendingSource } from './clean-up.js';
import type { Clock } from './engine.js';

/** Something that stays left is tried again ever later, up to this. */
const MAX_WAIT_MS = 600_000;

export interface KeepCleanOptions {
  /** How soon something that is left is tried again; doubled while nothing changes. */
  readonly everyMs: number;
  /** Hears what is left whenever that is something else than before, beginning with nothing. */
  readonly onPending: (pending: readonly PendingSource[]) => void;
}

/**
 * Tries until the signal aborts, again and again, what could not be cleaned up of sources that left the file.
 * @param attempt one attempt; where it throws nothing could be tried
 */
export async function keepClean(
  attempt: (signal: AbortSignal) => Promise<readonly PendingSource[]>,
  { everyMs, onPending }: KeepCleanOptions,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  let known = JSON.stringify([]);
  let waitMs = everyMs;
  while (!signal.aborted) {
    const pending = await attempt(signal).catch(() => null);
    const now = pending === null ? known : JSON.stringify(pending);
    const stuck = pending === null || (pending.length > 0 && now === known);
    waitMs = stuck ? Math.min(MAX_WAIT_MS, waitMs * 2) : everyMs;
    if (pending !== null && now !== known) onPending(pending);
    known = now;
    // An abort ends the sleep, and with it the loop.
    await clock.sleep(waitMs, signal).catch(() => undefined);
  }
}
