import { describe, expect, test } from 'vitest';
import { readStatus } from '../../daemon/read-status.js';
import type { PlainError } from '../../error/sluice-error.js';
import type {
  SourceRun,
  StatusReport,
  SyncReport,
  TableRun,
  TableStatus,
  TableVerdict,
  VerifyReport,
} from '../../executor/engine.js';
import type { Finding } from '../../guard/finding.js';
import type { LagFacts } from '../../guard/wal-lag.js';
import type { Page } from '../command.js';
import { plainPaint } from '../terminal.js';
import { doctorJson, doctorText } from './doctor-view.js';
import { jsonText } from './json.js';
import { listJson, listText } from './list-view.js';
import { statusJson, statusText } from './status-view.js';
import { syncJson, syncText } from './sync-view.js';
import { verifyJson, verifyText } from './verify-view.js';

const CONFIG_IN_USE = { file: 'f', hash: 'h', in_use_since: 's', valid: true, error: null };
const PAGE: Page = { paint: plainPaint, columns: null, now: new Date('2026-03-02T12:00:00Z') };

const USERS: TableStatus = {
  address: 'shop:public.users',
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
  target: 'public.users',
};

const CLICKS: TableStatus = {
  ...USERS,
  address: 'shop:public.clicks',
  method: 'append',
  output: 'consolidated',
  phase: 'failed',
  phaseReason: 'column "id" is gone',
  rows: null,
  asOf: null,
  rejectedValues: 3,
  lastError: { code: 'COLUMN_MISSING', message: 'column "id" is gone', at: '2026-03-02T11:55:00Z' },
  target: 'public.clicks',
};

const STATUS: StatusReport = {
  state: { lineage: 'l', serial: 3 },
  lock: null,
  sources: [
    {
      source: 'shop',
      connection: 'shop_db',
      destination: 'warehouse',
      slot: {
        name: 'sluice_shop',
        exists: true,
        active: false,
        walStatus: 'reserved',
        failover: null,
        trouble: null,
        retainedWalBytes: 12 * 1024 * 1024,
        unconfirmedWalBytes: 2048,
        confirmedLsn: '0/16B3748',
        lag: null,
      },
      errored: null,
      pausedAt: null,
      unreachable: null,
      place: '/data/warehouse.duckdb',
      destinationTrouble: null,
      maintenance: null,
      cleanup: null,
      tables: [USERS, CLICKS],
    },
  ],
};

const LAG: LagFacts = {
  at: '2026-03-02T12:00:00Z',
  exists: true,
  retainedBytes: 12 * 1024 * 1024,
  unconfirmedBytes: 2048,
  walStatus: 'reserved',
  safeWalSizeBytes: 9_437_184_000,
  keepSizeBytes: null,
  level: 'warning',
  since: '2026-03-02T11:00:00Z',
  warningBytes: 10_485_760,
  criticalBytes: 104_857_600,
  growthBytesPerSecond: 1_258_291,
  secondsUntilCritical: 2_410,
  secondsUntilLost: 7_500,
};

describe('status', () => {
  test('a source with a table that failed', () => {
    expect(statusText(STATUS, PAGE)).toMatchInlineSnapshot(`
      "shop  shop_db -> warehouse  /data/warehouse.duckdb
        slot sluice_shop, idle, reserved, keeps 12 MiB of WAL, 2 KiB behind, confirmed up to 0/16B3748
        TABLE               METHOD  PHASE        ROWS  AS OF     LAST RUN    REJECTED
        shop:public.users   cdc     live    1,234,567  30 s ago  2m 00s ago         0
        shop:public.clicks  append  failed          ?  -         2m 00s ago         3
        shop:public.clicks COLUMN_MISSING: column "id" is gone (5m 00s ago)
      "
    `);
  });

  test('a daemon hands it over whole', () => {
    const slow = { code: 'SOURCE_BUSY', message: 'full', hint: 'wait', cause: 'c', address: 'shop' } as const;
    const [shop] = STATUS.sources;
    const slot = shop?.slot ?? null;
    if (shop === undefined || slot === null) throw new Error('no slot');
    const health = { files: 1, bytes: 2, smallFiles: 3, rows: null, deletedRows: 4 };
    const maintenance = { at: '2026-03-02T11:00:00Z', vacuumedAt: null, error: slow, tables: 1, health };
    const sources = [
      shop,
      { ...shop, slot: { ...slot, lag: LAG, trouble: slow }, errored: slow, unreachable: slow, maintenance },
      { ...shop, slot: null, place: null, destinationTrouble: slow, tables: [] },
    ];
    const daemon = {
      pid: 7,
      version: '1',
      started_at: 's',
      config: CONFIG_IN_USE,
      pending_plan: null,
      plan_error: null,
    };
    for (const report of [
      { ...STATUS, sources },
      { state: null, sources: [], lock: { holder: 'me', sinceMs: 5 } },
    ]) {
      const document = JSON.parse(jsonText({ ...statusJson(report), daemon: { ...daemon, held_sources: [] } }));
      expect(readStatus(document)).toEqual({
        report,
        daemon: { ...daemon, held_sources: [], held_tables: [], loads: [] },
      });
    }
  });

  test('a slot that holds back much: level, growth and time left', () => {
    const [shop] = STATUS.sources;
    const slot = shop?.slot ?? null;
    if (shop === undefined || slot === null) throw new Error('no slot');
    const report = (level: LagFacts['level'], errored: PlainError | null): StatusReport => ({
      ...STATUS,
      sources: [{ ...shop, slot: { ...slot, lag: { ...LAG, level } }, errored, tables: [USERS] }],
    });
    expect(statusText(report('warning', null), PAGE)).toMatchInlineSnapshot(`
      "shop  shop_db -> warehouse  /data/warehouse.duckdb
        slot sluice_shop, idle, reserved, keeps 12 MiB of WAL (warning, +1.2 MiB/s, 40m 10s to critical, 2h 05m to lost), 2 KiB behind, confirmed up to 0/16B3748
        TABLE              METHOD  PHASE       ROWS  AS OF     LAST RUN    REJECTED
        shop:public.users  cdc     live   1,234,567  30 s ago  2m 00s ago         0
      "
    `);
    const shrinking = {
      ...LAG,
      level: 'ok',
      growthBytesPerSecond: -280,
      secondsUntilCritical: null,
      secondsUntilLost: null,
    } as const;
    const well = { ...STATUS, sources: [{ ...shop, slot: { ...slot, lag: shrinking }, tables: [USERS] }] };
    expect(statusText(well, PAGE)).toContain('keeps 12 MiB of WAL, 2 KiB behind');
    const errored: PlainError = { code: 'WAL_LAG_CRITICAL', message: 'slot "sluice_shop" holds back much', hint: 'do' };
    expect(statusText(report('critical', errored), PAGE)).toMatchInlineSnapshot(`
      "shop  shop_db -> warehouse  /data/warehouse.duckdb
        errored  WAL_LAG_CRITICAL: slot "sluice_shop" holds back much
        hint: do
        slot sluice_shop, idle, reserved, keeps 12 MiB of WAL (critical, +1.2 MiB/s, 2h 05m to lost), 2 KiB behind, confirmed up to 0/16B3748
        TABLE              METHOD  PHASE       ROWS  AS OF     LAST RUN    REJECTED
        shop:public.users  cdc     live   1,234,567  30 s ago  2m 00s ago         0
      "
    `);
    expect(statusJson(report('critical', errored))).toMatchObject({
      sources: [
        {
          errored: { code: 'WAL_LAG_CRITICAL' },
          slot: { lag: { level: 'critical', growth_bytes_per_second: 1_258_291, seconds_until_critical: 2_410 } },
        },
      ],
    });
  });

  test('a source out of reach still shows its tables; a lock names its holder', () => {
    const [shop] = STATUS.sources;
    if (shop === undefined) throw new Error('no source');
    const report: StatusReport = {
      state: null,
      lock: { holder: 'apply by root@host (pid 7)', sinceMs: 95_000 },
      sources: [
        {
          ...shop,
          slot: null,
          unreachable: {
            code: 'SOURCE_UNREACHABLE',
            message: 'nothing answers',
            cause: 'ECONNREFUSED',
            hint: 'start it',
          },
          tables: [USERS],
        },
      ],
    };
    expect(statusText(report, PAGE)).toMatchInlineSnapshot(`
      "Locked by apply by root@host (pid 7) for 1m 35s.

      Nothing was applied yet. To see what would be: sluice plan

      shop  shop_db -> warehouse  /data/warehouse.duckdb
        unreachable  SOURCE_UNREACHABLE: nothing answers (ECONNREFUSED)
        hint: start it
        TABLE              METHOD  PHASE       ROWS  AS OF     LAST RUN    REJECTED
        shop:public.users  cdc     live   1,234,567  30 s ago  2m 00s ago         0
      "
    `);
  });

  test('as JSON: keys in snake_case', () => {
    expect(statusJson(STATUS)).toMatchObject({
      sources: [
        { slot: { retained_wal_bytes: 12_582_912 }, tables: [{ as_of_lsn: '0/16B3748', rejected_values: 0 }, {}] },
      ],
    });
  });
});

describe('ls', () => {
  test('one line a table', () => {
    expect(listText(STATUS, PAGE)).toMatchInlineSnapshot(`
      "TABLE               METHOD  OUTPUT        SCHEDULE  DESTINATION  TARGET         PHASE        ROWS
      shop:public.users   cdc     both          every 5m  warehouse    public.users   live    1,234,567
      shop:public.clicks  append  consolidated  every 5m  warehouse    public.clicks  failed          ?
      "
    `);
  });

  test('before the first apply', () => {
    expect(listText({ state: null, sources: [], lock: null }, PAGE)).toBe(
      'Nothing was applied yet. To see what would be: sluice plan\n',
    );
  });

  test('as JSON', () => {
    expect(listJson(STATUS)).toMatchObject({
      tables: [{ address: 'shop:public.users', destination: 'warehouse', rows: 1_234_567 }, { rows: null }],
    });
    expect(listJson({ ...STATUS, sources: [] })).toEqual({ tables: [] });
  });
});

describe('sync', () => {
  const table: TableRun = {
    address: 'shop:public.users',
    kind: 'snapshot',
    status: 'ok',
    rows: 1_000,
    inserted: 1_000,
    updated: 0,
    deleted: 0,
    rejected: 2,
    durationMs: 4_200.4,
    error: null,
  };
  const source: SourceRun = {
    source: 'shop',
    transactions: 40,
    changes: 12_345,
    confirmedLsn: '0/16B3748',
    drift: ['shop:public.users: column a is called b now'],
    newColumns: [],
    durationMs: 5_000,
    lag: null,
    error: null,
    tables: [table],
  };

  test.each<{ name: string; report: SyncReport }>([
    {
      name: 'nothing was due',
      report: { ok: true, sources: [{ ...source, changes: 0, confirmedLsn: null, tables: [] }] },
    },
    { name: 'no sources', report: { ok: true, sources: [] } },
  ])('$name', (c) => expect(syncText(c.report, PAGE)).toBe('Nothing was due.\n'));

  test('a load and a stream', () => {
    expect(syncText({ ok: true, sources: [source] }, PAGE)).toMatchInlineSnapshot(`
      "TABLE              KIND      STATUS   ROWS  INSERTED  UPDATED  DELETED  REJECTED   TIME
      shop:public.users  snapshot  ok      1,000     1,000        0        0         2  4.2 s

      shop: 12,345 changes in 40 transactions, confirmed up to 0/16B3748, 5 s

      altered  shop:public.users: column a is called b now
      Run \`sluice plan\` to see what that means for the copy.
      "
    `);
  });

  test('a sync of a lake, with what it asked of the store', () => {
    const traffic = { puts: 4, gets: 12, lists: 3, deletes: 0, bytesSent: 123_456, bytesReceived: 7_890 };
    const report = { ok: true, sources: [{ ...source, drift: [] }], traffic: [{ destination: 'lake', ...traffic }] };
    expect(syncText(report, PAGE).split('\n').slice(3)).toEqual([
      'shop: 12,345 changes in 40 transactions, confirmed up to 0/16B3748, 5 s',
      'lake: 4 PUT (121 KiB sent), 12 GET (7.7 KiB received), 3 LIST',
      '',
    ]);
    expect(syncJson(report)['traffic']).toEqual([
      { destination: 'lake', puts: 4, gets: 12, lists: 3, deletes: 0, bytes_sent: 123_456, bytes_received: 7_890 },
    ]);
  });

  test('a failed table beside a source that stopped', () => {
    const failed: TableRun = {
      ...table,
      address: 'shop:public.orders',
      status: 'failed',
      error: { code: 'TABLE_MISSING', message: 'public.orders does not exist' },
    };
    const crm: SourceRun = {
      ...source,
      source: 'crm',
      changes: 0,
      confirmedLsn: null,
      tables: [],
      error: { code: 'SOURCE_UNREACHABLE', message: 'nothing answers', cause: 'ECONNREFUSED' },
    };
    expect(
      syncText({ ok: false, sources: [{ ...source, tables: [table, failed] }, crm] }, PAGE),
    ).toMatchInlineSnapshot(`
      "TABLE               KIND      STATUS   ROWS  INSERTED  UPDATED  DELETED  REJECTED   TIME
      shop:public.users   snapshot  ok      1,000     1,000        0        0         2  4.2 s
      shop:public.orders  snapshot  failed  1,000     1,000        0        0         2  4.2 s

      shop: 12,345 changes in 40 transactions, confirmed up to 0/16B3748, 5 s

      altered  shop:public.users: column a is called b now
      altered  shop:public.users: column a is called b now
      Run \`sluice plan\` to see what that means for the copy.

      failed  crm  SOURCE_UNREACHABLE: nothing answers (ECONNREFUSED)
      failed  shop:public.orders  TABLE_MISSING: public.orders does not exist
      "
    `);
  });

  test('as JSON', () => {
    expect(syncJson({ ok: true, sources: [source] })).toEqual({
      ok: true,
      sources: [
        {
          source: 'shop',
          transactions: 40,
          changes: 12_345,
          confirmed_lsn: '0/16B3748',
          drift: ['shop:public.users: column a is called b now'],
          new_columns: [],
          duration_ms: 5_000,
          error: null,
          lag: null,
          tables: [
            {
              address: 'shop:public.users',
              kind: 'snapshot',
              status: 'ok',
              rows: 1_000,
              inserted: 1_000,
              updated: 0,
              deleted: 0,
              rejected: 2,
              duration_ms: 4_200,
              error: null,
            },
          ],
        },
      ],
    });
  });
});

describe('doctor', () => {
  const finding: Finding = {
    level: 'error',
    code: 'WAL_LEVEL',
    address: 'shop',
    message: 'wal_level is replica, logical is needed',
    why: 'Without it there are no changes to read.',
    fixSql: 'alter system set wal_level = logical;',
    needsRestart: true,
  };
  const info: Finding = {
    ...finding,
    level: 'info',
    code: 'STANDBY',
    message: 'm',
    why: '',
    fixSql: null,
    needsRestart: false,
  };
  const warning: Finding = { ...info, level: 'warning', code: 'PK', fixSql: 'alter table a\n  add primary key (id);' };

  test('by source and object, the worst first, with the SQL that mends them', () => {
    const table: Finding = {
      ...finding,
      code: 'PRIMARY_KEY',
      address: 'shop:public.users',
      message: 'the table has no primary key',
      fixSql: 'alter table a\n  add primary key (id);',
      needsRestart: false,
    };
    const other: Finding = { ...table, address: 'billing:public.bills' };
    expect(
      doctorText([info, warning, finding, { ...table, ...warning, address: 'shop:slot' }, table, other], PAGE),
    ).toMatchInlineSnapshot(`
        "shop
          error WAL_LEVEL  wal_level is replica, logical is needed
            Without it there are no changes to read.
            alter system set wal_level = logical;
            -- then restart the server
          warning PK  m
            alter table a
              add primary key (id);
          info STANDBY  m

        shop:public.users
          error PRIMARY_KEY  the table has no primary key
            Without it there are no changes to read.
            alter table a
              add primary key (id);

        shop:slot
          warning PK  m
            alter table a
              add primary key (id);

        billing:public.bills
          error PRIMARY_KEY  the table has no primary key
            Without it there are no changes to read.
            alter table a
              add primary key (id);

        3 errors, 2 warnings.
        "
      `);
  });

  test('broken to the width of the page, save for the SQL', () => {
    expect(
      doctorText([{ ...finding, fixSql: `alter system set ${'x'.repeat(60)} = 1;` }], { ...PAGE, columns: 48 }),
    ).toMatchInlineSnapshot(`
        "shop
          error WAL_LEVEL  wal_level is replica,
            logical is needed
            Without it there are no changes to read.
            alter system set xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx = 1;
            -- then restart the server

        1 error, 0 warnings.
        "
      `);
  });

  test.each<{ name: string; findings: Finding[]; last: string }>([
    { name: 'nothing', findings: [], last: 'Everything is ready.\n' },
    { name: 'only information', findings: [info], last: 'Everything is ready.\n' },
    { name: 'a warning', findings: [warning], last: 'Ready. 0 errors, 1 warning.\n' },
  ])('$name', (c) => expect(doctorText(c.findings, PAGE).endsWith(c.last)).toBe(true));

  test('as JSON', () => {
    expect(doctorJson([finding])).toMatchObject({
      errors: 1,
      warnings: 0,
      findings: [{ fix_sql: finding.fixSql, needs_restart: true }],
    });
    expect(doctorJson([])).toEqual({ errors: 0, warnings: 0, findings: [] });
  });
});

describe('verify', () => {
  const equal: TableVerdict = {
    address: 'shop:public.users',
    method: 'cdc',
    status: 'equal',
    snapshotAt: '2026-03-02T11:59:30.000001Z',
    snapshotLsn: '0/16B3748',
    sample: null,
    comparisons: [
      { relation: 'public.users', sourceRows: 1_234, destinationRows: 1_234, counts: {}, columns: [], examples: [] },
    ],
    rejectedValues: 1,
    notes: ['values that do not fit their destination type, NULL on both sides: 1'],
    durationMs: 1_234.5,
    error: null,
  };
  const different: TableVerdict = {
    ...equal,
    address: 'shop:public.orders',
    status: 'different',
    sample: { percent: 1, seed: 'a1b2' },
    comparisons: [
      {
        relation: 'public.orders',
        sourceRows: 10,
        destinationRows: 1_009,
        counts: { missing: 1, extra: 1_000, different: 1 },
        columns: [{ column: 'note', rows: 1 }],
        examples: [
          { kind: 'missing', row: [{ column: 'id', value: '7' }], cells: [] },
          {
            kind: 'different',
            row: [
              { column: 'snakeCase', value: 'a\u001b[31m' },
              { column: 'id', value: 'x'.repeat(100) },
            ],
            cells: [{ column: 'note', source: null, destination: 'x'.repeat(100) }],
          },
        ],
      },
    ],
    notes: [],
  };
  const refused: TableVerdict = {
    ...equal,
    address: 'shop:public.clicks',
    status: 'not_compared',
    comparisons: [],
    notes: [],
    error: { code: 'VERIFY_NOT_READY', message: 'it waits for a load', hint: 'run: sluice sync' },
  };
  const report: VerifyReport = { tables: [equal, different, refused], ok: false };

  test('tells each verdict, what differs and the rows', () => {
    expect(verifyText(report, PAGE)).toBe(
      [
        'equal  shop:public.users as of 2026-03-02T11:59:30.000001Z, in 1.2 s',
        '  public.users: 1,234 rows on both sides',
        '  note: values that do not fit their destination type, NULL on both sides: 1',
        'different  shop:public.orders as of 2026-03-02T11:59:30.000001Z, a sample of 1% (seed a1b2), in 1.2 s',
        '  public.orders: 10 rows in Postgres, 1,009 in the destination, 1 missing in the destination, 1,000 only in the destination, 1 different',
        '    columns: note in 1',
        '    missing  id=7',
        `    different  snakeCase=a\\u001b[31m id=${'x'.repeat(59)}…`,
        `      note: NULL in Postgres, ${'x'.repeat(100)} here`,
        '    ... 1,000 more (--limit N shows more)',
        'not compared  shop:public.clicks  VERIFY_NOT_READY: it waits for a load',
        '',
      ].join('\n'),
    );
  });

  test('says so where there is nothing to compare', () => {
    expect(verifyText({ tables: [], ok: true }, PAGE)).toBe('There is no table to compare.\n');
  });

  test('JSON has everything, and names of columns as they are', () => {
    expect(verifyJson({ ok: false, tables: [different] })).toEqual({
      ok: false,
      tables: [
        {
          address: 'shop:public.orders',
          method: 'cdc',
          status: 'different',
          snapshot_at: '2026-03-02T11:59:30.000001Z',
          snapshot_lsn: '0/16B3748',
          sample: { percent: 1, seed: 'a1b2' },
          rejected_values: 1,
          notes: [],
          duration_ms: 1_235,
          error: null,
          comparisons: [
            {
              relation: 'public.orders',
              source_rows: 10,
              destination_rows: 1_009,
              counts: { missing: 1, extra: 1_000, different: 1 },
              columns: [{ column: 'note', rows: 1 }],
              examples: different.comparisons[0]?.examples,
            },
          ],
        },
      ],
    });
  });
});
