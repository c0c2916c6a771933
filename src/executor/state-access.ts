import { SluiceError } from '../error/sluice-error.js';
import type { HeldLock, StateLock } from '../state/lock.js';
import type { Clock } from './engine.js';
import { Mutex } from './mutex.js';

/** A second apply or sync waits this long for the first, then ends with STATE_LOCKED. */
const LOCK_WAIT_MS = 10_000;
/** Followers of this process end their page first; the destination may be slow. */
const FOLLOWERS_WAIT_MS = 30_000;
const POLL_MS = 100;

/**
 * Who works with the state, in this process and others. The state's lock belongs to one process at a time; within the
 * process syncs and followers of different sources share it, and what changes the state has it for itself.
 */
export class StateAccess {
  readonly #lock: StateLock;
  readonly #clock: Clock;
  /** Serialises taking and giving back. */
  readonly #acquiring = new Mutex();
  #held: HeldLock | null = null;
  #users = 0;
  /** A sync or a change runs. */
  #busy = false;
  #changing = false;

  constructor(lock: StateLock, clock: Clock) {
    this.#lock = lock;
    this.#clock = clock;
  }

  /** Work that changes the state: alone. @throws SluiceError STATE_LOCKED */
  change<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    return this.#inTurn(signal, async () => {
      this.#changing = true;
      try {
        await this.#until(() => this.#users === 0, FOLLOWERS_WAIT_MS, signal);
        return await this.#holding(LOCK_WAIT_MS, signal, work);
      } finally {
        this.#changing = false;
      }
    });
  }

  /** A sync: one at a time, beside followers. @throws SluiceError STATE_LOCKED */
  sync<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    return this.#inTurn(signal, () => this.#holding(LOCK_WAIT_MS, signal, work));
  }

  /** Work that goes on for as long as nobody else needs the state, see {@link isWanted}. Waits as long as it takes. */
  async follow<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    for (;;) {
      signal.throwIfAborted();
      if (!(await this.isWanted())) {
        try {
          // Without any wait, so that a sync of this process is never held up by it.
          await this.#join(0, signal);
          break;
        } catch (error) {
          if (!(error instanceof SluiceError) || error.code !== 'STATE_LOCKED') throw error;
        }
      }
      await this.#clock.sleep(POLL_MS, signal);
    }
    try {
      return await work();
    } finally {
      await this.#leave();
    }
  }

  /** Whether followers are to end: somebody here changes the state, or another process waits and would get it. */
  async isWanted(): Promise<boolean> {
    return this.#changing || (!this.#busy && (await this.#lock.wanted()));
  }

  async #inTurn<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    await this.#until(() => !this.#busy, LOCK_WAIT_MS, signal);
    this.#busy = true;
    try {
      return await work();
    } finally {
      this.#busy = false;
    }
  }

  async #holding<T>(waitMs: number, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    await this.#join(waitMs, signal);
    try {
      return await work();
    } finally {
      await this.#leave();
    }
  }

  #join(waitMs: number, signal: AbortSignal): Promise<void> {
    return this.#acquiring.run(async () => {
      this.#held ??= await this.#lock.acquire(waitMs, signal);
      this.#users += 1;
    });
  }

  #leave(): Promise<void> {
    return this.#acquiring.run(async () => {
      this.#users -= 1;
      if (this.#users > 0) return;
      const held = this.#held;
      this.#held = null;
      await held?.release();
    });
  }

  async #until(reached: () => boolean, waitMs: number, signal: AbortSignal): Promise<void> {
    const deadline = this.#clock.monotonicMs() + waitMs;
    while (!reached()) {
      // The lock is our own process's: its refusal names it.
      if (this.#clock.monotonicMs() >= deadline) await (await this.#lock.acquire(0, signal)).release();
      await this.#clock.sleep(POLL_MS, signal);
    }
  }
}
