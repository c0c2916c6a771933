import { describe, expect, test } from 'vitest';
import type { DaemonBlock } from '../../daemon/control-protocol.js';
import type { SourceStatus, TableStatus } from '../../executor/engine.js';
import { displayWidth, paintFor, plainPaint } from '../terminal.js';
import { type Seen, type WatchState, watchFrame, watchScroll } from './watch-frame.js';

const NOW = new Date('2026-03-02T12:00:00Z');

function tableStatus(name: string, patch: Partial<TableStatus> = {}): TableStatus {
  return {
    address: `shop:public.${name}`,
    method: 'cdc',
    output: 'both',
    phase: 'live',
    phaseReason: null,
    rows: 1_234_567,
    asOf: '2026-03-02T11:59:30Z',
    asOfLsn: '0/16B3748',
    cursor: null,
    rejectedValues: 0,
    lastRunAt: '2026-03-02T11:58:00Z',
    lastError: null,
    schedule: 'every 5m',
    target: `public.${name}`,
    ...patch,
  };
}

const FAILED = tableStatus('clicks', {
  method: 'append',
  phase: 'failed',
  rows: null,
  asOf: null,
  rejectedValues: 3,
  lastError: { code: 'COLUMN_MISSING', message: 'column "id" is gone', at: '2026-03-02T11:55:00Z' },
});

function shop(tables: readonly TableStatus[], patch: Partial<SourceStatus> = {}): SourceStatus {
  return {
    source: 'shop',
    connection: 'shop_db',
    destination: 'warehouse',
    place: '/data/warehouse.duckdb',
    slot: {
      name: 'sluice_shop',
      exists: true,
      active: false,
      walStatus: 'reserved',
      failover: null,
      trouble: null,
      retainedWalBytes: 12 * 1024 ** 2,
      unconfirmedWalBytes: 2_048,
      confirmedLsn: '0/16B3748',
      lag: null,
    },
    errored: null,
    unreachable: null,
    destinationTrouble: null,
    maintenance: null,
    pausedAt: null,
    cleanup: null,
    tables,
    ...patch,
  };
}

const DAEMON: DaemonBlock = {
  pid: 4711,
  version: '1.2.3',
  started_at: '2026-03-02T11:00:00.000Z',
  config: { file: 'sources.yaml', hash: 'c0ffee', in_use_since: '2026-03-02T11:00:00.000Z', valid: true, error: null },
  pending_plan: null,
  plan_error: null,
  held_sources: [],
  held_tables: [],
  loads: [],
};

const LOAD = {
  address: 'shop:public.orders',
  method: 'cdc',
  started_at: '2026-03-02T11:59:00.000Z',
  rows: 750_000,
  bytes: 92_274_688,
  estimated_rows: 3_000_000,
};

function seenOf(sources: readonly SourceStatus[], patch: Partial<Seen> = {}): Seen {
  return {
    report: { state: { lineage: 'l', serial: 3 }, sources, lock: null },
    daemon: DAEMON,
    rowsPerSecond: new Map(),
    ...patch,
  };
}

function stateOf(seen: Seen | null, patch: Partial<WatchState> = {}): WatchState {
  return {
    title: 'sources.yaml',
    everyMs: 2_000,
    seen,
    seenAt: seen === null ? null : NOW,
    trouble: null,
    filter: '',
    typing: false,
    scrolled: 0,
    ...patch,
  };
}

const many = seenOf([shop(Array.from({ length: 50 }, (_, i) => tableStatus(`t${i + 1}`)))]);
const draw = (state: WatchState, columns: number, rows: number) =>
  watchFrame(state, { columns, rows }, plainPaint, NOW);

test('80 columns: trouble first, loads with a bar, then the tables, those that failed at their top', () => {
  const seen = seenOf([shop([tableStatus('users'), FAILED])], {
    daemon: { ...DAEMON, loads: [LOAD] },
    rowsPerSecond: new Map([[LOAD.address, 353_000]]),
  });
  expect(`${draw(stateOf(seen), 80, 12).join('\n')}\n`).toMatchInlineSnapshot(`
    "sluice status  sources.yaml  daemon pid 4711, 1.2.3          every 2 s, just now
    failed  shop:public.clicks  COLUMN_MISSING: column "id" is gone (5m 00s ago)
    shop:public.orders  [###.......]  25%  750,000 rows  353k rows/s  ETA 6.4 s
      TABLE               METHOD  PHASE        ROWS      AGE  LAST RUN  REJECTED
    shop  shop_db -> warehouse  /data/warehouse.duckdb
      slot sluice_shop, keeps 12 MiB of WAL, 2 KiB behind
      shop:public.clicks  append  failed          ?        -    2m 00s         3
      shop:public.users   cdc     live    1,234,567     30 s    2m 00s         0



    q quit  / filter  arrows PgUp PgDn
    "
  `);
});

test('160 columns: all that there is to tell', () => {
  const seen = seenOf([shop([tableStatus('users'), FAILED])]);
  expect(`${draw(stateOf(seen), 160, 10).join('\n')}\n`).toMatchInlineSnapshot(`
    "sluice status  sources.yaml  daemon pid 4711, 1.2.3                                                                                          every 2 s, just now
    failed  shop:public.clicks  COLUMN_MISSING: column "id" is gone (5m 00s ago)
      TABLE               METHOD  SCHEDULE  PHASE        ROWS      AGE  LAST RUN  REJECTED
    shop  shop_db -> warehouse  /data/warehouse.duckdb
      slot sluice_shop, idle, reserved, keeps 12 MiB of WAL, 2 KiB behind, confirmed up to 0/16B3748
      shop:public.clicks  append  every 5m  failed          ?        -    2m 00s         3
      shop:public.users   cdc     every 5m  live    1,234,567     30 s    2m 00s         0


    q quit  / filter  arrows PgUp PgDn
    "
  `);
});

test('trouble of the daemon, of sources and of destinations', () => {
  const error = { code: 'SOURCE_UNREACHABLE', message: 'nothing answers', cause: 'ECONNREFUSED' } as const;
  const seen = seenOf(
    [
      shop([tableStatus('users')]),
      shop([], { source: 'crm', slot: null, unreachable: error, destinationTrouble: error, errored: error }),
    ],
    {
      daemon: {
        ...DAEMON,
        config: {
          ...DAEMON.config,
          valid: false,
          error: { code: 'CONFIG_INVALID', message: '2 mistakes\nhere\nthere' },
        },
        plan_error: error,
        held_sources: [{ source: 'crm', error, retry_at: null }],
        pending_plan: { since: '2026-03-02T11:59:00Z', changes: ['drop_table shop:public.old', 'move shop:public.t'] },
      },
    },
  );
  expect(`${draw(stateOf(seen), 100, 20).join('\n')}\n`).toMatchInlineSnapshot(`
    "sluice status  sources.yaml  daemon pid 4711, 1.2.3                              every 2 s, just now
    config not used  CONFIG_INVALID: 2 mistakes
    not applied  SOURCE_UNREACHABLE: nothing answers (ECONNREFUSED)
    held  crm  stopped until somebody mends it: SOURCE_UNREACHABLE: nothing answers (ECONNREFUSED)
    waiting  2 changes for sluice apply, since 1m 00s ago
    unreachable  crm  SOURCE_UNREACHABLE: nothing answers (ECONNREFUSED)
    errored  crm  SOURCE_UNREACHABLE: nothing answers (ECONNREFUSED)
    waiting  crm  SOURCE_UNREACHABLE: nothing answers (ECONNREFUSED)
      TABLE              METHOD  SCHEDULE  PHASE       ROWS      AGE  LAST RUN  REJECTED
    crm  shop_db -> warehouse  /data/warehouse.duckdb
    shop  shop_db -> warehouse  /data/warehouse.duckdb
      slot sluice_shop, idle, reserved, keeps 12 MiB of WAL, 2 KiB behind, confirmed up to 0/16B3748
      shop:public.users  cdc     every 5m  live   1,234,567     30 s    2m 00s         0






    q quit  / filter  arrows PgUp PgDn
    "
  `);
});

test('a look that failed is told above what the last one saw', () => {
  const trouble = { code: 'STATE_UNREADABLE', message: 'the state is away' } as const;
  const lines = draw(stateOf(seenOf([shop([tableStatus('users')])]), { trouble }), 80, 10);
  expect(lines[1]).toBe('no news  STATE_UNREADABLE: the state is away');
  expect(lines.some((line) => line.includes('shop:public.users'))).toBe(true);
  expect(draw(stateOf(null, { trouble }), 80, 10)[1]).toBe('no news  STATE_UNREADABLE: the state is away');
});

test.each<{ name: string; seen: Seen | null; filter?: string; says: string }>([
  { name: 'before the first look', seen: null, says: 'Looking ...' },
  {
    name: 'nothing applied',
    seen: seenOf([], { report: { state: null, sources: [], lock: null } }),
    says: 'Nothing was applied yet. To see what would be: sluice plan',
  },
  { name: 'no tables', seen: seenOf([]), says: 'No tables.' },
  { name: 'a filter that nothing matches', seen: many, filter: 'nope', says: 'Nothing matches "nope".' },
])('$name', ({ seen, filter, says }) => expect(draw(stateOf(seen, { filter: filter ?? '' }), 80, 10)[2]).toBe(says));

describe('scrolling', () => {
  test('the lines in between stand still, and the last line tells where one is', () => {
    const top = draw(stateOf(many), 80, 24);
    const below = draw(stateOf(many, { scrolled: 10 }), 80, 24);
    expect(below.slice(0, 2)).toEqual(top.slice(0, 2));
    expect(below[2]).toBe(top[12]);
    expect(top.at(-1)).toMatch(/1-21 of 52$/);
    expect(below.at(-1)).toMatch(/11-31 of 52$/);
  });

  test('ends with the last line at the bottom', () => {
    const { last, page } = watchScroll(stateOf(many), { columns: 80, rows: 24 }, NOW);
    expect({ last, page }).toEqual({ last: 31, page: 20 });
    const lines = draw(stateOf(many, { scrolled: 1_000 }), 80, 24);
    expect(lines.at(-2)).toContain('shop:public.t50 ');
    expect(lines.at(-1)).toMatch(/32-52 of 52$/);
  });

  test('is not needed where all fits', () => {
    expect(watchScroll(stateOf(many), { columns: 80, rows: 60 }, NOW).last).toBe(0);
    expect(draw(stateOf(many), 80, 60).at(-1)).toBe('q quit  / filter  arrows PgUp PgDn');
  });
});

test('a filter keeps what holds it, whatever the case', () => {
  const lines = draw(stateOf(many, { filter: 'T5', typing: true }), 80, 24);
  expect(lines.filter((line) => line.includes('public.t'))).toHaveLength(2);
  expect(lines.at(-1)).toBe('/T5_  Enter: keep it, Esc: all again');
});

test('more trouble than half the screen leaves room for the tables', () => {
  const failed = Array.from({ length: 40 }, (_, i) => ({ ...FAILED, address: `shop:public.t${i + 1}` }));
  const lines = draw(stateOf(seenOf([shop(failed)])), 80, 24);
  expect(lines[10]).toBe('... and 31 more');
  expect(lines[11]).toMatch(/^ {2}TABLE/);
});

describe.each([
  [1, 1],
  [10, 3],
  [20, 5],
  [40, 8],
  [80, 24],
  [160, 50],
  [300, 100],
])('%i x %i', (columns, rows) => {
  test.each([plainPaint, paintFor({ colors: true })])('is filled and never overrun', (paint) => {
    const wide = seenOf(
      [shop([tableStatus('顧客の注文履歴'), tableStatus('a'.repeat(100), { rejectedValues: 5 }), FAILED])],
      { daemon: { ...DAEMON, loads: [LOAD] } },
    );
    for (const seen of [wide, many, null]) {
      const lines = watchFrame(stateOf(seen), { columns, rows }, paint, NOW);
      expect(lines).toHaveLength(rows);
      expect(Math.max(...lines.map(displayWidth))).toBeLessThanOrEqual(columns);
    }
  });
});

test('no name can move the cursor or forge a line', () => {
  const evil = tableStatus('x\u001b[2J\ny', { lastError: { code: 'INTERNAL', message: '\u001b[H', at: '' } });
  const lines = draw(stateOf(seenOf([shop([evil], { source: 's\u001b[1m' })])), 200, 24);
  expect(lines.join('')).not.toContain('\u001b');
  expect(lines.join('')).not.toContain('\n');
});
