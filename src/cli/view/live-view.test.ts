import { describe, expect, test } from 'vitest';
import { FakeClock } from '../../../test/fake/clock.js';
import { fakeChange } from '../../../test/fake/engine.js';
import { FakeSink } from '../../../test/fake/terminal.js';
import type { PlainError } from '../../error/sluice-error.js';
import type { EngineEvent } from '../../executor/engine.js';
import { judgeLag } from '../../guard/wal-lag.js';
import { createLiveView } from './live-view.js';

const USERS = 'shop:public.users';
const started: EngineEvent = { kind: 'load_started', address: USERS, method: 'snapshot', estimatedRows: 1_000 };
const progress = (rows: number): EngineEvent => ({
  kind: 'load_progress',
  address: USERS,
  rows,
  bytes: 0,
  estimatedRows: 1_000,
});
const ended: EngineEvent = { kind: 'load_ended', address: USERS, rows: 1_000, bytes: 2_048, durationMs: 2_000 };

/** Shows events at given seconds; gives back what was written for each. */
function show(sink: FakeSink, steps: readonly (readonly [number, EngineEvent])[]): string[] {
  const clock = new FakeClock();
  const view = createLiveView(sink, clock, { color: true });
  const written: string[] = [];
  let second = 0;
  for (const [at, event] of steps) {
    clock.advance((at - second) * 1_000);
    second = at;
    sink.text = '';
    view.show(event);
    written.push(sink.text);
  }
  sink.text = '';
  view.stop();
  written.push(sink.text);
  return written;
}

describe('plain lines', () => {
  test('a comparison reads and loads nothing', () => {
    expect(
      show(new FakeSink(), [
        [0, { ...started, method: 'verify' }],
        [2, ended],
      ]),
    ).toEqual([
      'reading shop:public.users  (verify, about 1,000 rows)\n',
      'read    shop:public.users  1,000 rows  2 KiB  in 2 s  500 rows/s\n',
      '',
    ]);
  });

  test('the guard: a new level, a look that failed, what was dropped and what was not', () => {
    const lag = judgeLag(
      {
        at: '2026-03-02T12:00:00Z',
        exists: true,
        retainedBytes: 30 * 1024 ** 2,
        unconfirmedBytes: 0,
        walStatus: 'reserved',
        safeWalSizeBytes: null,
        keepSizeBytes: null,
      },
      null,
      { warningBytes: 20 * 1024 ** 2, criticalBytes: 20 * 1024 ** 3, onCritical: 'alert' },
    );
    const look = { kind: 'wal_lag', source: 'shop', slot: 'sluice_shop', lag } as const;
    const error: PlainError = { code: 'SLOT_IN_USE', message: 'a stranger reads' };
    expect(
      show(new FakeSink(), [
        [0, { ...look, changed: false }],
        [0, { ...look, changed: true }],
        [0, { kind: 'wal_lag_unknown', source: 'shop', error, failures: 1 }],
        [0, { kind: 'guard_dropped', address: 'shop:slot', message: 'too much' }],
        [0, { kind: 'guard_failed', address: 'shop:slot', error }],
        [0, { kind: 'alert_failed', hook: 'alerts[0] (webhook)', alert: 'guard_blind', error }],
      ]),
    ).toEqual([
      '',
      'note    shop:slot  slot "sluice_shop" holds back 30 MiB of WAL, warning from 20 MiB, critical from 20 GiB\n',
      'note    shop:slot  the guard could not look: SLOT_IN_USE: a stranger reads\n',
      'dropped shop:slot  too much\n',
      'failed  shop:slot  SLOT_IN_USE: a stranger reads\n',
      'note    alerts[0] (webhook)  SLOT_IN_USE: a stranger reads\n',
      '',
    ]);
  });

  test('a load: its start, a line every ten seconds, its end', () => {
    expect(
      show(new FakeSink(), [
        [0, started],
        [1, progress(10)],
        [9, progress(90)],
        [10, progress(100)],
        [15, progress(150)],
        [20, progress(200)],
        [100, ended],
      ]),
    ).toEqual([
      'loading shop:public.users  (snapshot, about 1,000 rows)\n',
      '',
      '',
      'shop:public.users  [##..................]  10%  100 rows  10 rows/s  ETA 1m 30s\n',
      '',
      'shop:public.users  [####................]  20%  200 rows  10 rows/s  ETA 1m 20s\n',
      'loaded  shop:public.users  1,000 rows  2 KiB  in 2 s  500 rows/s\n',
      '',
    ]);
  });

  test('a wait is told once in a while, another one at once', () => {
    const wait = (what: string): EngineEvent => ({ kind: 'waiting', address: USERS, what });
    expect(
      show(new FakeSink(), [
        [0, wait('transaction 7')],
        [1, wait('transaction 7')],
        [2, wait('transaction 8')],
        [11, wait('transaction 7')],
      ]),
    ).toEqual([
      'shop:public.users  waiting: transaction 7\n',
      '',
      'shop:public.users  waiting: transaction 8\n',
      'shop:public.users  waiting: transaction 7\n',
      '',
    ]);
  });

  test.each<{ name: string; event: EngineEvent; line: string }>([
    {
      name: 'a change that was applied',
      event: { kind: 'change_ended', result: { change: fakeChange(), status: 'applied', durationMs: 120 } },
      line: 'applied  shop:slot  create replication slot sluice_shop  (120 ms)\n',
    },
    {
      name: 'a change that failed',
      event: {
        kind: 'change_ended',
        result: {
          change: fakeChange(),
          status: 'failed',
          error: { code: 'SLOT_IN_USE', message: 'held', cause: 'pid 7' },
        },
      },
      line: 'failed   shop:slot  create replication slot sluice_shop  SLOT_IN_USE: held (pid 7)\n',
    },
    {
      name: 'a change that was not attempted',
      event: {
        kind: 'change_ended',
        result: { change: fakeChange(), status: 'not_attempted', because: 'the publication failed' },
      },
      line: 'skipped  shop:slot  create replication slot sluice_shop  the publication failed\n',
    },
    {
      name: 'the start of a change, which its end tells as well',
      event: { kind: 'change_started', change: fakeChange() },
      line: '',
    },
    {
      name: 'a table that failed',
      event: { kind: 'table_failed', address: USERS, error: { code: 'TABLE_MISSING', message: 'gone\nreally' } },
      line: 'failed  shop:public.users  TABLE_MISSING: gone\\nreally\n',
    },
    {
      name: 'a notice',
      event: { kind: 'notice', address: USERS, message: 'odd' },
      line: 'note    shop:public.users  odd\n',
    },
    {
      name: 'a stream',
      event: {
        kind: 'stream_progress',
        source: 'shop',
        changes: 10,
        transactions: 2,
        confirmedLsn: '0/10',
        remainingBytes: 1_024,
      },
      line: 'shop  stream  10 changes in 2 transactions  1 KiB remaining  at 0/10\n',
    },
  ])('$name', (c) => expect(show(new FakeSink(), [[0, c.event]])[0]).toBe(c.line));
});

describe('in place', () => {
  const UP = '\u001b[1A\r\u001b[J';

  test('the moving line is redrawn, at most ten times a second; the end stays', () => {
    expect(
      show(new FakeSink(true, 120), [
        [0, started],
        [0.05, progress(10)],
        [1, progress(100)],
        [2, ended],
      ]),
    ).toEqual([
      'shop:public.users  [....................]  0%  0 rows\n',
      '',
      `${UP}shop:public.users  [##..................]  10%  100 rows  100 rows/s  ETA 9 s\n`,
      `${UP}loaded  shop:public.users  1,000 rows  2 KiB  in 2 s  500 rows/s\n`,
      '',
    ]);
  });

  test('lines are cut to the width, so that none wraps', () => {
    const [first] = show(new FakeSink(true, 30), [[0, started]]);
    expect(first).toBe('shop:public.users  0%  0 rows\n');
  });

  test('many tables are summed up below the first', () => {
    const events = Array.from({ length: 20 }, (_, index): readonly [number, EngineEvent] => [
      index,
      { kind: 'load_started', address: `shop:public.t${index}`, method: 'snapshot', estimatedRows: null },
    ]);
    const last = show(new FakeSink(true, 80), events)[19] ?? '';
    expect(last.startsWith('\u001b[12A')).toBe(true);
    expect(last.split('\n')).toHaveLength(13);
    expect(last.endsWith('... and 9 more\n')).toBe(true);
  });

  test('stopping takes the moving lines away', () => {
    expect(show(new FakeSink(true, 80), [[0, started]]).at(-1)).toBe(UP);
  });
});
