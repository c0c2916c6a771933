import { SluiceError } from '../error/sluice-error.js';
import type { HeldLock, StateLock } from '../state/lock.js';
import type { Clock } from './engine.js';
import { Mutex } from './mutex.js';
import { Turns } from './turns.js';

/** A second process waits this long for the first, then ends with STATE_LOCKED; so long the first lets it go before. */
const LOCK_WAIT_MS = 10_000;
/** What a change has to wait for in its own process ends its page or its run first; the destination may be slow. */
const CHANGE_WAIT_MS = 30_000;
const POLL_MS = 100;
/** So many of its waits after it gave the lock back, a process lets those who wait have it first. */
const STAND_BACK_POLLS = 3;

/** Its signal aborts when the caller's does, or when the lock is lost. */
type Work<T> = (signal: AbortSignal) => Promise<T>;

/**
 * Who works with the state, in this process and others. The state's lock belongs to one process at a time; within the
 * process
 * - syncs share it, and take turns with each source ({@link inTurn}): a long load of one keeps no other waiting;
 * - a follower has its source for as long as nobody else needs it, beside all that goes on with other sources;
 * - a change has the sources that it concerns for itself: their followers end for it, a run under way is waited for.
 *   What goes on with other sources stays, however long it takes: nothing of a sync is read from the part of the state
 *   that says something of another source, and only changes write to the state (and the guard, which goes beside all).
 *   A load is never broken off for a change: what it has read may be hours of work, and not every load can be gone on with.
 */
export class StateAccess {
  readonly #lock: StateLock;
  readonly #clock: Clock;
  /** Serialises taking and giving back. */
  readonly #acquiring = new Mutex();
  readonly #turns = new Turns();
  /** By source. */
  readonly #following = new Map<string, number>();
  #held: HeldLock | null = null;
  #givenBackAtMs = Number.NEGATIVE_INFINITY;
  /** Everything that is under way. */
  #users = 0;
  /** Of these, what ends by itself: all but followers. */
  #working = 0;
  /** The sources that a change has or waits for; all: every one. */
  #changed: ReadonlySet<string> | 'all' | null = null;

  constructor(lock: StateLock, clock: Clock) {
    this.#lock = lock;
    this.#clock = clock;
  }

  /** A change of the state as a whole: alone. @throws SluiceError STATE_LOCKED */
  change<T>(signal: AbortSignal, work: Work<T>): Promise<T> {
    return this.#changing('all', signal, async () => {
      await this.#until(() => this.#users === 0, CHANGE_WAIT_MS, signal);
      await this.#join(LOCK_WAIT_MS, signal);
      return this.#joined(signal, work);
    });
  }

  /** A change of what the state says of these sources, see {@link StateAccess}. @throws SluiceError STATE_LOCKED */
  changeSources<T>(sources: readonly string[], signal: AbortSignal, work: Work<T>): Promise<T> {
    return this.#changing(new Set(sources), signal, async () => {
      await this.#join(LOCK_WAIT_MS, signal);
      return this.#joined(signal, (signal) => this.#having([...new Set(sources)], signal, work));
    });
  }

  /** Syncs and what is like them, see {@link inTurn}. Waits for a change as long as it takes. @throws SluiceError STATE_LOCKED */
  async sync<T>(signal: AbortSignal, work: Work<T>): Promise<T> {
    await this.#letOthersHaveIt(signal);
    do await this.#until(() => this.#changed !== 'all', Number.POSITIVE_INFINITY, signal);
    while (!(await this.#join(LOCK_WAIT_MS, signal, () => this.#changed === 'all')));
    return this.#joined(signal, work);
  }

  /** Within a {@link sync}: one at a time with the source. Waits as long as it takes. @throws the signal's reason */
  inTurn<T>(source: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    return this.#turns.run(source, signal, work);
  }

  /** Somebody has the source {@link inTurn}. */
  isTaken(source: string): boolean {
    return this.#turns.isTaken(source);
  }

  /** Work that goes on for as long as nobody else needs the source, see {@link isWanted}. Waits as long as it takes. */
  async follow<T>(source: string, signal: AbortSignal, work: Work<T>): Promise<T> {
    for (;;) {
      signal.throwIfAborted();
      if (!(await this.isWanted(source)) && (await this.#joinToFollow(source, signal))) break;
      await this.#clock.sleep(this.#lock.pollMs, signal);
    }
    try {
      return await this.#whileHeld(signal, work);
    } finally {
      this.#countFollowing(source, -1);
      await this.#leave();
    }
  }

  /** Whether its follower is to end: somebody here changes the source, or another process waits and would get the lock. */
  async isWanted(source: string): Promise<boolean> {
    return this.#isChanged(source) || this.#isLost() || (this.#working === 0 && (await this.#lock.wanted()));
  }

  async #changing<T>(sources: ReadonlySet<string> | 'all', signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    await this.#until(() => this.#changed === null, LOCK_WAIT_MS, signal);
    this.#changed = sources;
    try {
      return await work();
    } finally {
      this.#changed = null;
    }
  }

  /** Takes the sources, and waits for their followers to end. One change at a time does so: two could wait for each other. */
  async #having<T>(sources: readonly string[], signal: AbortSignal, work: Work<T>): Promise<T> {
    const taken = new Map<string, () => void>();
    const waiting = new AbortController();
    const limit = AbortSignal.any([signal, waiting.signal]);
    const late = this.#clock.sleep(CHANGE_WAIT_MS, limit).then(
      () => waiting.abort(this.#inUse(sources.filter((source) => !taken.has(source) && this.#turns.isTaken(source)))),
      () => undefined, // all were there in time
    );
    try {
      // Those that are at work first: the others need not stand still for them.
      const inOrder = [...sources].sort((a, b) => Number(this.#turns.isTaken(b)) - Number(this.#turns.isTaken(a)));
      for (const source of inOrder) taken.set(source, await this.#turns.take(source, limit));
      await this.#until(() => !sources.some((source) => this.#isFollowed(source)), Number.POSITIVE_INFINITY, limit);
      waiting.abort();
      await late;
      return await work(signal);
    } finally {
      waiting.abort();
      for (const giveBack of taken.values()) giveBack();
    }
  }

  async #joined<T>(signal: AbortSignal, work: Work<T>): Promise<T> {
    this.#working += 1;
    try {
      return await this.#whileHeld(signal, work);
    } finally {
      this.#working -= 1;
      await this.#leave();
    }
  }

  /** Where the lock is lost others may work with the state, so the work is to end. @throws what took the lock away */
  async #whileHeld<T>(signal: AbortSignal, work: Work<T>): Promise<T> {
    const lost = this.#held?.lost ?? signal;
    try {
      return await work(AbortSignal.any([signal, lost]));
    } catch (error) {
      if (lost.aborted && !signal.aborted) throw lost.reason;
      throw error;
    }
  }

  #isLost(): boolean {
    return this.#held?.lost.aborted === true;
  }

  #isChanged(source: string): boolean {
    return this.#changed === 'all' || this.#changed?.has(source) === true;
  }

  #isFollowed(source: string): boolean {
    return (this.#following.get(source) ?? 0) > 0;
  }

  #countFollowing(source: string, by: 1 | -1): void {
    this.#following.set(source, (this.#following.get(source) ?? 0) + by);
  }

  /** Without any wait, so that a sync of this process is never held up by it. */
  async #joinToFollow(source: string, signal: AbortSignal): Promise<boolean> {
    this.#countFollowing(source, 1);
    let joined = false;
    try {
      joined = await this.#join(0, signal, () => this.#isChanged(source));
    } catch (error) {
      if (!(error instanceof SluiceError) || error.code !== 'STATE_LOCKED') throw error;
    } finally {
      if (!joined) this.#countFollowing(source, -1);
    }
    return joined;
  }

  /** @returns false where `isBarred` says so once it is its turn */
  #join(waitMs: number, signal: AbortSignal, isBarred: () => boolean = () => false): Promise<boolean> {
    const deadline = this.#clock.monotonicMs() + waitMs;
    return this.#acquiring.run(async () => {
      if (isBarred()) return false;
      if (this.#held === null || this.#isLost()) {
        // Several that wait together wait no longer than one does.
        const leftMs = Math.max(0, deadline - this.#clock.monotonicMs());
        this.#held = await this.#lock.acquire(leftMs, signal);
      }
      this.#users += 1;
      return true;
    });
  }

  #leave(): Promise<void> {
    return this.#acquiring.run(async () => {
      this.#users -= 1;
      if (this.#users > 0) return;
      const held = this.#held;
      this.#held = null;
      await held?.release();
      this.#givenBackAtMs = this.#clock.monotonicMs();
    });
  }

  /** Where syncs of several sources come one upon another, another process would never find the lock free. */
  async #letOthersHaveIt(signal: AbortSignal): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    // Who waits tries once in a while, and would find the lock taken again each time.
    const hadIt = this.#held !== null || nowMs - this.#givenBackAtMs < STAND_BACK_POLLS * this.#lock.pollMs;
    const deadline = nowMs + LOCK_WAIT_MS;
    while (hadIt && this.#clock.monotonicMs() < deadline && (await this.#lock.wanted())) {
      await this.#clock.sleep(POLL_MS, signal);
    }
  }

  async #until(reached: () => boolean, waitMs: number, signal: AbortSignal): Promise<void> {
    const deadline = this.#clock.monotonicMs() + waitMs;
    while (!reached()) {
      if (this.#clock.monotonicMs() >= deadline) throw this.#inUse();
      await this.#clock.sleep(POLL_MS, signal);
    }
  }

  /** What this process itself does with the state is in the way. */
  #inUse(sources: readonly string[] = this.#turns.taken()): SluiceError {
    const holder = this.#held?.holder;
    const who = holder === undefined ? 'this process' : `${holder.command} (pid ${holder.pid}, this process)`;
    const what = sources.length === 0 ? 'works with the state' : `is at work with ${sources.join(', ')}`;
    return new SluiceError({
      code: 'STATE_LOCKED',
      message: `the change has to wait: ${who} ${what}`,
      hint: 'a load is not broken off for it; nothing was changed, so try again when it is through: sluice status',
    });
  }
}
