import type { Clock } from '../executor/engine.js';

/** A sleep that somebody may cut short. */
export class Alarm {
  readonly #clock: Clock;
  #rung = new AbortController();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Ends the sleep under way, or the next one where there is none. */
  ring(): void {
    this.#rung.abort();
  }

  /** Forgets that it rang. */
  clear(): void {
    if (this.#rung.signal.aborted) this.#rung = new AbortController();
  }

  /** Resolves after `ms`, or when it rings; rejects with the signal's reason when it aborts. */
  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    const rung = this.#rung.signal;
    try {
      if (!rung.aborted) await this.#clock.sleep(ms, AbortSignal.any([signal, rung]));
    } catch (error) {
      if (signal.aborted || !rung.aborted) throw error;
    }
    signal.throwIfAborted();
    this.clear();
  }
}
