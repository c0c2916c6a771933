import type { Clock } from '../../src/executor/engine.js';

/** Time that stands still until somebody sleeps; sleeps end at once and move it on. */
export class FakeClock implements Clock {
  private ms: number;
  /** How long each sleep asked for, in order. */
  readonly sleeps: number[] = [];

  constructor(start = '2026-03-02T12:00:00Z') {
    this.ms = Date.parse(start);
  }

  now(): Date {
    return new Date(this.ms);
  }

  monotonicMs(): number {
    return this.ms;
  }

  advance(ms: number): void {
    this.ms += ms;
  }

  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.sleeps.push(ms);
    this.ms += ms;
    // A turn of the event loop, as a real sleep gives one to everybody else.
    await new Promise((resolve) => setImmediate(resolve));
    signal.throwIfAborted();
  }
}
