import type { Config } from '../config/config.js';
import { SluiceError } from '../error/sluice-error.js';
import type { PendingSource } from '../executor/clean-up.js';
import type { Clock, Engine } from '../executor/engine.js';
import { DaemonLoop, type LoopObserver } from './daemon-loop.js';
import type { Log } from './log.js';

export interface SessionDeps {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly log: Log;
  readonly observer: LoopObserver;
  readonly guardEveryMs: number;
  readonly cleanUpEveryMs: number;
  /** Hears what is left of sources that left the file. */
  readonly onPendingCleanup: (pending: readonly PendingSource[]) => void;
}

/** A load that takes longer is broken off for another config; it goes on, or is made again, under that one. */
const FINISH_MS = 60_000;

/** What is broken off may tell how far it came, if it does so within this time: the daemon has to end within 10 s. */
const LAST_WORDS_MS = 5_000;

/** Long enough for a command to ask for the next thing. */
const SETTLE_MS = 1_000;

/** The work with one config: its engine, the loop that drives it, and the guard beside them. */
export class DaemonSession {
  readonly #deps: SessionDeps;
  readonly #loop: DaemonLoop;
  readonly #finish = new AbortController();
  /** What commands have asked for and is under way. */
  readonly #calls = new Set<Promise<unknown>>();
  /** Breaks off what is under way. */
  readonly #breakOff = new AbortController();

  constructor(deps: SessionDeps) {
    this.#deps = deps;
    const { engine, clock, log, observer } = deps;
    this.#loop = new DaemonLoop({ engine, clock, log, observer, random: Math.random });
  }

  get engine(): Engine {
    return this.#deps.engine;
  }

  get config(): Config {
    return this.#deps.engine.config;
  }

  /** Ends {@link run} in order: what is under way goes on to its end, for {@link FINISH_MS} at most. */
  finish(): void {
    this.#finish.abort();
  }

  /** What sources were held back for may be mended. */
  tryAgain(): void {
    this.#loop.tryAgain();
  }

  /**
   * A command has changed the state: the loop looks soon what is due by that. First comes what the same command asks for
   * next, as `apply --sync` does.
   */
  stateChanged(): void {
    const wake = async (): Promise<void> => {
      await this.#deps.clock.sleep(SETTLE_MS, this.#breakOff.signal);
      await this.#callsEnd();
      this.#loop.wake();
    };
    // A session that ends needs no waking.
    wake().catch(() => undefined);
  }

  /**
   * Does what a command asks for, beside the loop. It goes on to its end where the session is to finish, for
   * {@link FINISH_MS} at most.
   * @param signal of whoever asks
   * @throws what the work throws, and DAEMON_STOPPED where it was broken off
   */
  async call<T>(work: (engine: Engine, signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    if (this.#finish.signal.aborted || this.#breakOff.signal.aborted) throw this.#stopped();
    const { engine, clock } = this.#deps;
    const over = new AbortController();
    const brokenOff = aborted(AbortSignal.any([this.#breakOff.signal, over.signal])).then(async () => {
      await clock.sleep(LAST_WORDS_MS, over.signal);
      throw this.#stopped();
    });
    brokenOff.catch(() => undefined);
    const working = work(engine, AbortSignal.any([signal, this.#breakOff.signal]));
    this.#calls.add(working);
    try {
      return await Promise.race([working, brokenOff]);
    } catch (error) {
      if (this.#breakOff.signal.aborted && !signal.aborted) throw this.#stopped();
      throw error;
    } finally {
      over.abort();
      working.catch(() => undefined).finally(() => this.#calls.delete(working));
    }
  }

  #stopped(): SluiceError {
    const why = this.#finish.signal.aborted ? 'went over to another config' : 'stopped';
    return new SluiceError({
      code: 'DAEMON_STOPPED',
      message: `the daemon ${why} before this was done; what it had committed stands`,
      hint: 'run it again; how far each table is: sluice status',
    });
  }

  async #work(hard: AbortSignal): Promise<void> {
    await this.#loop.run(hard, this.#finish.signal);
    await this.#callsEnd();
  }

  async #callsEnd(): Promise<void> {
    while (this.#calls.size > 0) await Promise.allSettled(this.#calls);
  }

  /**
   * Works until the signal aborts or {@link finish} is called, then closes the engine. The guard runs beside the loop,
   * apart from all that may hang there, and so is what was left of removed sources cleaned up, until the last piece of work
   * has ended; a fault of one ends all.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { engine, guardEveryMs, cleanUpEveryMs, onPendingCleanup } = this.#deps;
    const over = new AbortController();
    const late = new AbortController();
    const hard = AbortSignal.any([signal, over.signal, late.signal]);
    const ending = async (work: Promise<void>): Promise<void> => {
      try {
        await work;
      } finally {
        over.abort();
      }
    };
    hard.addEventListener('abort', () => this.#breakOff.abort(), { once: true });
    if (hard.aborted) this.#breakOff.abort();
    const patience = this.#losePatience(late, over.signal);
    try {
      const guarding = ending(engine.guard({ everyMs: guardEveryMs }, hard));
      const cleaning = ending(engine.keepClean({ everyMs: cleanUpEveryMs, onPending: onPendingCleanup }, hard));
      const ends = await Promise.allSettled([guarding, cleaning, ending(this.#work(hard))]);
      for (const end of ends) if (end.status === 'rejected') throw end.reason;
    } finally {
      await patience;
      await engine.close();
    }
  }

  async #losePatience(late: AbortController, over: AbortSignal): Promise<void> {
    await aborted(AbortSignal.any([this.#finish.signal, over]));
    try {
      await this.#deps.clock.sleep(FINISH_MS, over);
      this.#deps.log.warn({ waited_ms: FINISH_MS }, 'breaking off the work under way for another config');
      late.abort();
    } catch {
      // It has ended in time.
    }
  }
}

export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
