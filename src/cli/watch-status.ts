import type { DaemonBlock } from '../daemon/control-protocol.js';
import { asSluiceError, toPlain } from '../error/sluice-error.js';
import type { Clock } from '../executor/engine.js';
import type { Screen } from './screen.js';
import type { Paint } from './terminal.js';
import { RateWindow } from './view/progress.js';
import { type Seen, type WatchState, watchFrame, watchScroll } from './view/watch-frame.js';
import { pressed } from './watch-keys.js';

/** How often the daemon tells what it knows from memory: the bars move, and the ages. */
const GLANCE_MS = 1_000;

export interface WatchDeps {
  readonly clock: Clock;
  readonly paint: Paint;
  /** What stands in the title: the config file. */
  readonly title: string;
  readonly everyMs: number;
  /** Asks servers and destinations, which takes its time while much is written. */
  readonly look: (signal: AbortSignal) => Promise<Omit<Seen, 'rowsPerSecond'>>;
  /** What the daemon knows from memory; null where none answers. */
  readonly glance: (signal: AbortSignal) => Promise<DaemonBlock | null>;
}

/**
 * Fills a screen with the status until a key ends it. A look that fails is shown above what the last good one told.
 * @throws the signal's reason
 */
export async function watchStatus(screen: Screen, deps: WatchDeps, signal: AbortSignal): Promise<void> {
  const { clock, paint, everyMs } = deps;
  const quit = new AbortController();
  const stop = AbortSignal.any([signal, quit.signal]);
  const rates = new LoadRates();
  let state: WatchState = {
    title: deps.title,
    everyMs,
    seen: null,
    seenAt: null,
    trouble: null,
    filter: '',
    typing: false,
    scrolled: 0,
  };
  const draw = (): void => screen.draw(watchFrame(state, screen.size(), paint, clock.now()));
  screen.onResize(draw);
  screen.onKey((key) => {
    const next = pressed(state, key, watchScroll(state, screen.size(), clock.now()));
    if (next === null) {
      // A look that is still under way must not hold the terminal.
      screen.close();
      return quit.abort();
    }
    state = next;
    draw();
  });
  const repeat = async (everyMs: number, work: () => Promise<Partial<WatchState>>): Promise<void> => {
    for (;;) {
      let changes: Partial<WatchState>;
      try {
        changes = await work();
      } catch (error) {
        stop.throwIfAborted();
        changes = { trouble: toPlain(asSluiceError(error)) };
      }
      state = { ...state, ...changes };
      draw();
      await clock.sleep(everyMs, stop);
    }
  };
  const look = async (): Promise<Partial<WatchState>> => {
    const seen = await deps.look(stop);
    return {
      seen: { ...seen, rowsPerSecond: rates.told(seen.daemon, clock.monotonicMs()) },
      seenAt: clock.now(),
      trouble: null,
    };
  };
  const glance = async (): Promise<Partial<WatchState>> => {
    const daemon = await deps.glance(stop);
    if (state.seen === null) return {};
    return { seen: { ...state.seen, daemon, rowsPerSecond: rates.told(daemon, clock.monotonicMs()) } };
  };
  draw();
  try {
    const loops = [repeat(everyMs, look), repeat(Math.min(everyMs, GLANCE_MS), glance)];
    // A fault in one ends both.
    const ends = await Promise.allSettled(loops.map((loop) => loop.finally(() => quit.abort())));
    signal.throwIfAborted();
    for (const end of ends) if (end.status === 'rejected' && end.reason !== stop.reason) throw end.reason;
  } finally {
    screen.close();
  }
}

/** Rows a second of each load, from what one look after the other tells. */
class LoadRates {
  #windows = new Map<string, RateWindow>();

  told(daemon: DaemonBlock | null, atMs: number): ReadonlyMap<string, number | null> {
    // A load that began anew counts from zero again.
    const windows = new Map<string, RateWindow>();
    const rates = new Map<string, number | null>();
    for (const { address, started_at: startedAt, rows } of daemon?.loads ?? []) {
      const key = `${startedAt} ${address}`;
      const window = this.#windows.get(key) ?? new RateWindow();
      window.add(atMs, rows);
      windows.set(key, window);
      rates.set(address, window.perSecond());
    }
    this.#windows = windows;
    return rates;
  }
}
