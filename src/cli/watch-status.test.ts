import { describe, expect, test } from 'vitest';
import { FakeClock } from '../../test/fake/clock.js';
import { EMPTY_STATUS } from '../../test/fake/engine.js';
import type { DaemonBlock } from '../daemon/control-protocol.js';
import { SluiceError } from '../error/sluice-error.js';
import type { Screen } from './screen.js';
import { plainPaint } from './terminal.js';
import type { Size } from './view/watch-frame.js';
import type { Key } from './watch-keys.js';
import { type WatchDeps, watchStatus } from './watch-status.js';

const DAEMON: DaemonBlock = {
  pid: 7,
  version: '1.2.3',
  started_at: '',
  config: { file: '', hash: '', in_use_since: '', valid: true, error: null },
  pending_plan: null,
  plan_error: null,
  held_sources: [],
  held_tables: [],
  loads: [],
};

/** A screen whose keys a test presses, and which it makes larger and smaller. */
class FakeScreen implements Screen {
  closed = 0;
  readonly frames: (readonly string[])[] = [];
  press: (key: Key) => void = () => undefined;
  #resized: () => void = () => undefined;
  #size: Size = { columns: 80, rows: 24 };

  size(): Size {
    return this.#size;
  }

  draw(lines: readonly string[]): void {
    if (this.closed === 0) this.frames.push(lines);
  }

  onKey(listener: (key: Key) => void): void {
    this.press = listener;
  }

  onResize(listener: () => void): void {
    this.#resized = listener;
  }

  close(): void {
    this.closed += 1;
  }

  resize(size: Size): void {
    this.#size = size;
    this.#resized();
  }
}

const Q: Key = { kind: 'text', text: 'q' };
const never = new AbortController().signal;
const untilStopped = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

function depsOf(patch: Partial<WatchDeps>): WatchDeps {
  return {
    clock: new FakeClock(),
    paint: plainPaint,
    title: 'sources.yaml',
    everyMs: 2_000,
    look: async () => ({ report: EMPTY_STATUS, daemon: null }),
    glance: async () => null,
    ...patch,
  };
}

test('looks again and again until q, and gives the terminal back', async () => {
  const screen = new FakeScreen();
  let looks = 0;
  const look: WatchDeps['look'] = async () => {
    looks += 1;
    if (looks === 3) screen.press(Q);
    return { report: EMPTY_STATUS, daemon: null };
  };
  await watchStatus(screen, depsOf({ look }), never);
  expect(looks).toBe(3);
  expect(screen.closed).toBeGreaterThan(0);
  expect(screen.frames[0]?.[2]).toBe('Looking ...');
});

test('a key gives the terminal back even while a look hangs', async () => {
  const screen = new FakeScreen();
  const ended = watchStatus(screen, depsOf({ look: untilStopped, glance: untilStopped }), never);
  screen.press({ kind: 'interrupt' });
  expect(screen.closed).toBe(1);
  await ended;
});

test('is drawn anew when the window changes', async () => {
  const screen = new FakeScreen();
  const look: WatchDeps['look'] = async () => {
    screen.resize({ columns: 120, rows: 40 });
    screen.press(Q);
    return { report: EMPTY_STATUS, daemon: null };
  };
  await watchStatus(screen, depsOf({ look }), never);
  expect(screen.frames.map((lines) => lines.length)).toContain(40);
});

test('a look that fails is told, and the next one mends it', async () => {
  const screen = new FakeScreen();
  let looks = 0;
  const look: WatchDeps['look'] = async () => {
    looks += 1;
    if (looks === 1) throw new SluiceError({ code: 'STATE_UNREADABLE', message: 'away' });
    if (looks === 3) screen.press(Q);
    return { report: EMPTY_STATUS, daemon: null };
  };
  await watchStatus(screen, depsOf({ look }), never);
  const told = screen.frames.map((lines) => lines.some((line) => line.startsWith('no news  STATE_UNREADABLE')));
  expect(told).toContain(true);
  expect(told.at(-1)).toBe(false);
});

describe('ends with the reason and gives the terminal back', () => {
  test('of a stop', async () => {
    const screen = new FakeScreen();
    const stop = new AbortController();
    const reason = new SluiceError({ code: 'CANCELLED', message: 'stopped by SIGTERM' });
    const look: WatchDeps['look'] = async () => {
      stop.abort(reason);
      return { report: EMPTY_STATUS, daemon: null };
    };
    await expect(watchStatus(screen, depsOf({ look }), stop.signal)).rejects.toBe(reason);
    expect(screen.closed).toBeGreaterThan(0);
  });

  test('of a fault', async () => {
    const screen = new FakeScreen();
    const clock = new FakeClock();
    clock.sleep = async () => {
      throw new Error('no time');
    };
    await expect(watchStatus(screen, depsOf({ clock }), never)).rejects.toThrow('no time');
    expect(screen.closed).toBeGreaterThan(0);
  });
});

test('tells how fast a load is from one look to the next', async () => {
  const screen = new FakeScreen();
  const clock = new FakeClock();
  let rows = 0;
  const look: WatchDeps['look'] = async () => {
    clock.advance(1_000);
    rows += 5_000;
    if (rows === 15_000) setImmediate(() => screen.press(Q));
    const load = { address: 'shop:public.t', method: 'cdc', started_at: '', rows, bytes: 0, estimated_rows: 100_000 };
    return { report: EMPTY_STATUS, daemon: { ...DAEMON, loads: [load] } };
  };
  await watchStatus(screen, depsOf({ clock, look, glance: untilStopped, everyMs: 1_000 }), never);
  // A second for the look and one between two of them.
  expect(screen.frames.map((lines) => lines[1])).toContain(
    'shop:public.t  [##..................]  10%  10,000 rows  2.5k rows/s  ETA 36 s',
  );
});
