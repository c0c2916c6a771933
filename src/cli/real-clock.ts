import { setTimeout as sleepFor } from 'node:timers/promises';
import type { Clock } from '../executor/engine.js';

/** The longest wait that Node's timers take; a longer one would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** The machine's clock. The only place, with the terminal, where real time enters. */
export const realClock: Clock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
  async sleep(ms, signal) {
    signal.throwIfAborted();
    let left = Math.max(0, ms);
    try {
      do {
        const part = Math.min(left, MAX_TIMER_MS);
        await sleepFor(part, undefined, { signal });
        left -= part;
      } while (left > 0);
    } catch (error) {
      // The timer wraps the reason in an AbortError of its own; callers are promised the reason itself.
      if (signal.aborted) throw signal.reason;
      throw error;
    }
  },
};
