import type { Clock } from '../../src/executor/engine.js';

interface Sleeper {
  readonly atMs: number;
  readonly wake: () => void;
}

/** So many turns of the event loop without a new sleep, and nobody is at work any more. */
const QUIET_TURNS = 3;

/** Time of several who sleep at once: it stands still while anybody works, then goes on to the end of the shortest sleep. */
export class SimulatedClock implements Clock {
  #ms: number;
  #sleepers: Sleeper[] = [];
  #quietTurns = 0;
  #turning = false;
  #asleep: { readonly fromMs: number; readonly ms: number } | null;

  /** @param asleep the machine sleeps once: its timers stand still meanwhile, and go on from where they were */
  constructor(start = '2026-03-02T12:00:00Z', asleep: { readonly fromMs: number; readonly ms: number } | null = null) {
    this.#ms = Date.parse(start);
    this.#asleep = asleep;
  }

  now(): Date {
    return new Date(this.#ms);
  }

  monotonicMs(): number {
    return this.#ms;
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const wake = (): void => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      const sleeper = { atMs: this.#ms + Math.max(0, ms), wake };
      const onAbort = (): void => {
        this.#sleepers = this.#sleepers.filter((each) => each.wake !== wake);
        this.#quietTurns = 0;
        reject(signal.reason);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#sleepers.push(sleeper);
      this.#quietTurns = 0;
      this.#turn();
    });
  }

  #turn(): void {
    if (this.#turning) return;
    this.#turning = true;
    setImmediate(() => {
      this.#turning = false;
      this.#quietTurns += 1;
      if (this.#quietTurns >= QUIET_TURNS) this.#wakeNext();
      if (this.#sleepers.length > 0) this.#turn();
    });
  }

  #earliestMs(): number {
    return this.#sleepers.reduce((earliest, { atMs }) => Math.min(earliest, atMs), Number.POSITIVE_INFINITY);
  }

  #wakeNext(): void {
    if (this.#sleepers.length === 0) return;
    if (this.#asleep !== null && this.#earliestMs() >= this.#asleep.fromMs) {
      const { ms } = this.#asleep;
      this.#asleep = null;
      this.#sleepers = this.#sleepers.map(({ atMs, wake }) => ({ atMs: atMs + ms, wake }));
    }
    const atMs = this.#earliestMs();
    this.#ms = Math.max(this.#ms, atMs);
    const awake = this.#sleepers.filter((each) => each.atMs <= atMs);
    this.#sleepers = this.#sleepers.filter((each) => each.atMs > atMs);
    this.#quietTurns = 0;
    for (const { wake } of awake) wake();
  }
}
