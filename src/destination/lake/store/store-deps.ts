import type { LockDeps } from '../../../state/lock.js';

/** Who we are and where time, tokens and chance come from; taken from the system at the entry point only. */
export interface StoreDeps extends LockDeps {
  /** From 0 up to, but without, 1 (Math.random): spreads the retries of several writers. */
  readonly random: () => number;
}
