import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PostgresMajor } from '../../test/postgres/binaries.js';
import { startPostgres, type TestPostgres } from '../../test/postgres/server.js';
import type { CdcConfig, Config, Method, TableConfig } from '../config/config.js';
import { readCatalog } from '../source/catalog.js';
import { connectSource } from '../source/connect.js';
import { readReadiness } from '../source/readiness.js';
import { runDoctor } from './doctor.js';
import type { Finding } from './finding.js';
import { configOf } from './sample-subject.js';
import { readinessNeeds } from './subject.js';

/**
 * Each finding is provoked on a real server, its SQL is run there, and then doctor has nothing to say about it any more.
 */

const { signal } = new AbortController();
const DEADLINE_MS = 90_000;

interface Case {
  readonly name: string;
  /** Run by the superuser before; `t` is an ordinary table of the role with a key and a nullable `at`. */
  readonly before: readonly string[];
  /** `level code address` of what is found, and gone after its SQL was run. */
  readonly finds: string;
  /** Part of the SQL, where it depends on who runs the server. */
  readonly sql?: RegExp;
  readonly method?: Method;
  readonly settings?: Partial<TableConfig>;
  readonly cdc?: Partial<CdcConfig>;
  readonly keys?: readonly string[];
  /** Puts back what the SQL does not. */
  readonly after?: readonly string[];
  readonly from?: PostgresMajor;
  readonly to?: PostgresMajor;
}

const SELF_MANAGED: Partial<CdcConfig> = { management: 'self_managed', publication: 'by_hand' };

const CASES: readonly Case[] = [
  {
    name: 'a role without REPLICATION',
    before: ['alter role sluice noreplication'],
    finds: 'error REPLICATION_ROLE shop',
  },
  {
    name: 'a role without REPLICATION on Amazon RDS',
    before: ['alter role sluice noreplication', 'create role rds_superuser', 'create role rds_replication'],
    finds: 'error REPLICATION_ROLE shop',
    sql: /^grant rds_replication to "sluice";$/,
    after: ['drop role rds_superuser, rds_replication', 'alter role sluice replication'],
  },
  {
    name: 'a role without REPLICATION on Google Cloud SQL',
    before: ['alter role sluice noreplication', 'create role cloudsqlsuperuser'],
    finds: 'error REPLICATION_ROLE shop',
    sql: /^-- Google Cloud SQL: /,
    after: ['drop role cloudsqlsuperuser'],
  },
  {
    name: 'no CREATE on the database',
    before: ['revoke create on database postgres from sluice'],
    finds: 'error PUBLICATION_CREATE shop:publication',
  },
  {
    name: "somebody else's publication",
    before: ['create publication sluice_pub_shop for table shop.t'],
    finds: 'error PUBLICATION_OWNER shop:publication',
    after: ['drop publication sluice_pub_shop'],
  },
  {
    name: "another role's table",
    before: ['create role app', 'alter table shop.t owner to app', 'grant select on shop.t to sluice'],
    finds: 'error TABLE_OWNER shop:shop.t',
    after: ['alter table shop.t owner to sluice', 'drop owned by app', 'drop role app'],
  },
  {
    name: "a superuser's table",
    before: ['alter table shop.t owner to postgres', 'grant select on shop.t to sluice'],
    finds: 'error TABLE_OWNER shop:shop.t',
  },
  {
    name: 'no USAGE',
    before: ['revoke usage on schema shop from sluice'],
    finds: 'error SCHEMA_USAGE shop',
  },
  {
    name: 'no SELECT',
    before: ['alter table shop.t owner to postgres'],
    finds: 'error TABLE_SELECT shop:shop.t',
  },
  {
    name: 'row security with cdc',
    before: ['alter table shop.t enable row level security, force row level security'],
    finds: 'error ROW_SECURITY shop:shop.t',
    after: ['alter role sluice nobypassrls'],
  },
  {
    name: 'row security with full_table',
    before: ['alter table shop.t enable row level security, force row level security'],
    method: 'full_table',
    finds: 'error ROW_SECURITY shop:shop.t',
    after: ['alter role sluice nobypassrls'],
  },
  {
    name: 'no key, where a column may be one',
    before: ['alter table shop.t drop constraint t_pkey'],
    finds: 'error PRIMARY_KEY shop:shop.t',
  },
  {
    name: 'no key and no column for one',
    before: ['create table shop.bare (note text)', 'alter table shop.bare owner to sluice'],
    keys: ['shop.bare'],
    finds: 'error PRIMARY_KEY shop:shop.bare',
    after: ['drop table shop.bare'],
  },
  {
    name: 'replica identity nothing',
    before: ['alter table shop.t replica identity nothing'],
    finds: 'error REPLICA_IDENTITY shop:shop.t',
  },
  {
    name: 'replica identity by an index that is not the key',
    before: ['create unique index t_code on shop.t (code)', 'alter table shop.t replica identity using index t_code'],
    finds: 'error REPLICA_IDENTITY shop:shop.t',
  },
  {
    name: 'a deferrable key',
    before: ['alter table shop.t drop constraint t_pkey', 'alter table shop.t add primary key (id) deferrable'],
    finds: 'error REPLICA_IDENTITY shop:shop.t',
  },
  {
    name: 'a partition without replica identity',
    before: [
      'create table shop.p (id int primary key) partition by range (id)',
      'create table shop.p1 partition of shop.p default',
      'alter table shop.p1 replica identity nothing',
      'alter table shop.p owner to sluice',
    ],
    keys: ['shop.p'],
    finds: 'error REPLICA_IDENTITY shop:shop.p',
    after: ['drop table shop.p'],
  },
  { name: 'an unlogged table', before: ['alter table shop.t set unlogged'], finds: 'error TABLE_KIND shop:shop.t' },
  {
    name: 'self-managed: no publication',
    before: [],
    cdc: SELF_MANAGED,
    finds: 'error PUBLICATION_MISSING shop:publication',
    after: ['drop publication by_hand'],
  },
  {
    name: 'self-managed: a table is missing',
    before: ['create publication by_hand'],
    cdc: SELF_MANAGED,
    finds: 'error PUBLICATION_TABLES shop:publication',
    after: ['drop publication by_hand'],
  },
  {
    name: 'self-managed: an operation is missing',
    before: ["create publication by_hand for table shop.t with (publish = 'insert, update')"],
    cdc: SELF_MANAGED,
    finds: 'error PUBLICATION_OPERATIONS shop:publication',
    after: ['drop publication by_hand'],
  },
  {
    name: 'self-managed: partitions under their own names',
    before: [
      'create table shop.p (id int primary key) partition by range (id)',
      'create table shop.p1 partition of shop.p default',
      'alter table shop.p owner to sluice',
      'create publication by_hand for table shop.p',
    ],
    keys: ['shop.p'],
    cdc: SELF_MANAGED,
    finds: 'error PUBLICATION_PARTITIONS shop:publication',
    after: ['drop publication by_hand', 'drop table shop.p'],
  },
  {
    name: 'self-managed: a row filter',
    before: ['create publication by_hand for table shop.t where (id > 5)'],
    cdc: SELF_MANAGED,
    finds: 'error PUBLICATION_FILTER shop:shop.t',
    after: ['drop publication by_hand'],
    from: 15,
  },
  {
    name: 'self-managed: a column list',
    before: ['create publication by_hand for table shop.t (id, at)'],
    cdc: SELF_MANAGED,
    finds: 'error PUBLICATION_FILTER shop:shop.t',
    after: ['drop publication by_hand'],
    from: 15,
  },
  { name: 'WAL is kept without a limit', before: [], finds: 'warning WAL_RETENTION shop' },
  {
    name: 'WAL is kept too short',
    before: ["alter system set max_slot_wal_keep_size = '100MB'", 'select pg_reload_conf()'],
    finds: 'warning WAL_RETENTION shop',
  },
  {
    name: 'an idle slot is invalidated',
    before: ["alter system set idle_replication_slot_timeout = '1h'", 'select pg_reload_conf()'],
    finds: 'warning SLOT_IDLE_TIMEOUT shop',
    from: 18,
  },
  {
    name: 'a lost slot',
    before: [
      "select pg_create_logical_replication_slot('sluice_shop', 'pgoutput')",
      "alter system set max_slot_wal_keep_size = '1MB'",
      'select pg_reload_conf()',
      ...Array.from({ length: 4 }, () => [
        'create table shop.filler ()',
        'drop table shop.filler',
        'select pg_switch_wal()',
      ]).flat(),
      'checkpoint',
    ],
    finds: 'error SLOT_LOST shop:slot',
    after: ['alter system reset max_slot_wal_keep_size', 'select pg_reload_conf()'],
  },
  {
    name: 'a read-only role',
    before: ['alter role sluice set default_transaction_read_only = on'],
    finds: 'error READ_ONLY_ROLE shop',
  },
  {
    name: 'little memory for decoding',
    before: ["alter role sluice set logical_decoding_work_mem = '1MB'"],
    finds: 'info DECODING_MEMORY shop',
  },
  {
    name: 'a prepared transaction',
    before: ["begin; insert into shop.t values (100); prepare transaction 'it''s here'"],
    finds: 'info TRANSACTION_PREPARED shop:slot',
  },
  {
    name: 'a cursor that holds NULLs',
    before: ['insert into shop.t values (7)'],
    method: 'incremental',
    settings: { cursor: 'at' },
    finds: 'warning CURSOR_NULLS shop:shop.t',
  },
  {
    name: 'a cursor without an index',
    before: ["insert into shop.t select n, now(), n, repeat('x', 100) from generate_series(1, 20000) as n"],
    method: 'incremental',
    settings: { cursor: 'at' },
    finds: 'warning CURSOR_INDEX shop:shop.t',
  },
  {
    name: 'a partial index is none',
    before: [
      "insert into shop.t select n, now(), n, repeat('x', 100) from generate_series(1, 20000) as n",
      'create index on shop.t (at) where id > 5',
    ],
    method: 'append',
    settings: { cursor: 'at' },
    finds: 'warning CURSOR_INDEX shop:shop.t',
  },
];

/** Found on a real server, and mended otherwise than by SQL. */
const FACTS: readonly Case[] = [
  {
    name: 'children of inheritance',
    before: ['create table shop.child () inherits (shop.t)'],
    finds: 'warning INHERITANCE shop:shop.t',
    after: ['drop table shop.child'],
  },
  {
    name: 'columns that become text',
    before: ['alter table shop.t add column area box'],
    finds: 'info TEXT_COLUMNS shop:shop.t',
  },
  {
    name: 'a generated column',
    before: ['alter table shop.t add column twice int generated always as (id * 2) stored'],
    finds: 'info GENERATED_COLUMNS shop:shop.t',
    to: 17,
  },
  {
    name: 'a virtual generated column',
    before: ['alter table shop.t add column twice int generated always as (id * 2) virtual'],
    finds: 'info GENERATED_COLUMNS shop:shop.t',
    from: 18,
  },
  {
    name: 'a part that the role may not look at',
    before: ['revoke select on pg_catalog.pg_prepared_xacts from public'],
    finds: 'warning NOT_CHECKED shop',
    after: ['grant select on pg_catalog.pg_prepared_xacts to public'],
  },
  {
    name: 'timeouts of the role',
    before: [
      "alter role sluice set statement_timeout = '30s'",
      "alter role sluice set idle_in_transaction_session_timeout = '1min'",
    ],
    finds: 'info TIMEOUTS shop',
    after: ['alter role sluice reset all'],
  },
  {
    name: "another tool's slot",
    before: ["select pg_create_physical_replication_slot('sluice_shop')"],
    finds: 'error SLOT_FOREIGN shop:slot',
    after: ["select pg_drop_replication_slot('sluice_shop')"],
  },
];

describe.each<PostgresMajor>([13, 17, 18])('Postgres %i', (major) => {
  let postgres: TestPostgres;

  beforeAll(async () => {
    postgres = await startPostgres({ major, settings: { max_prepared_transactions: '5' } });
    await postgres.query("create role sluice login replication password 'sluice'");
    await postgres.query('create schema shop');
  }, 120_000);
  afterAll(() => postgres?.stop('immediate'));

  const fits = (c: Case): boolean => major >= (c.from ?? 13) && major <= (c.to ?? 18);

  test.each(CASES.filter(fits))(
    '$name',
    async (c) => {
      await provoke(postgres, c);
      try {
        const all = await doctor(postgres, c);
        expect(all.filter(({ code }) => code === 'NOT_CHECKED')).toEqual([]);
        const found = all.filter((each) => described(each) === c.finds);
        expect(found.map(described)).toEqual([c.finds]);
        expect(found[0]?.fixSql).toMatch(c.sql ?? /./);
        for (const { fixSql } of found) await runAsPasted(postgres, fixSql);
        expect((await doctor(postgres, c)).map(described)).not.toContain(c.finds);
      } finally {
        for (const sql of c.after ?? []) await postgres.query(sql);
      }
    },
    DEADLINE_MS,
  );

  test.each(FACTS.filter(fits))(
    '$name',
    async (c) => {
      await provoke(postgres, c);
      try {
        expect((await doctor(postgres, c)).map(described)).toContain(c.finds);
      } finally {
        for (const sql of c.after ?? []) await postgres.query(sql);
      }
      await provoke(postgres, { ...c, before: [] });
      expect((await doctor(postgres, c)).map(described)).not.toContain(c.finds);
    },
    DEADLINE_MS,
  );

  test('nothing is in the way of a plain table, and looking leaves no trace in the session', async () => {
    await provoke(postgres, { name: '', before: [], finds: '' });
    const levels = (await doctor(postgres, { name: '', before: [], finds: '' })).map(({ level }) => level);
    expect(levels).not.toContain('error');
    expect(levels).not.toContain('info');
  });

  test(
    'a transaction that stays open',
    async () => {
      const c: Case = { name: '', before: [], finds: 'info TRANSACTION_OPEN shop:slot' };
      await provoke(postgres, c);
      const client: pg.Client = await postgres.client();
      client.on('error', () => {}); // it will be terminated
      await client.query('begin');
      await client.query('insert into shop.t values (1)');
      await client.query('savepoint s; insert into shop.t values (2)');
      await postgres.query('grant pg_read_all_stats to sluice');
      const found = await until(async () =>
        (await doctor(postgres, c)).find((finding) => finding.code === 'TRANSACTION_OPEN'),
      );
      expect(described(found)).toBe(c.finds);
      await runAsPasted(postgres, found.fixSql);
      const gone = await until(async () => {
        const still = (await doctor(postgres, c)).some((finding) => finding.code === 'TRANSACTION_OPEN');
        return still ? undefined : true;
      });
      expect(gone).toBe(true);
      await client.end().catch(() => {});
    },
    DEADLINE_MS,
  );

  test("a clock that differs from this machine's", async () => {
    await provoke(postgres, { name: '', before: [], finds: '' });
    const late = () => new Date(Date.now() - 3_600_000);
    const found = await doctor(postgres, { name: '', before: [], finds: '' }, late);
    expect(found.find(({ code }) => code === 'CLOCK')?.message).toContain('1h ahead of');
  });
});

test('places for slots and WAL senders, which take a restart', async () => {
  const postgres = await startPostgres({
    major: 17,
    settings: { max_replication_slots: '1', max_wal_senders: '0', wal_level: 'replica' },
  });
  try {
    await postgres.query("create role sluice login replication password 'sluice'");
    await postgres.query('create schema shop');
    const c: Case = { name: '', before: [], finds: '', cdc: { transport: 'continuous' } };
    await provoke(postgres, c);
    await postgres.query("select pg_create_physical_replication_slot('taken')");
    const found = (await doctor(postgres, c)).filter(({ level }) => level === 'error');
    expect(found.map(described)).toEqual([
      'error WAL_LEVEL shop',
      'error SLOT_CAPACITY shop:slot',
      'error WAL_SENDERS shop',
    ]);
    for (const { fixSql, needsRestart } of found) {
      expect(needsRestart).toBe(true);
      await runAsPasted(postgres, fixSql);
    }
    await postgres.restart();
    expect((await doctor(postgres, c)).filter(({ level }) => level === 'error')).toEqual([]);
  } finally {
    await postgres.stop('immediate');
  }
}, 180_000);

function described(finding: Finding): string {
  return `${finding.level} ${finding.code} ${finding.address}`;
}

/** A new table `t` of the role, then what the case adds. */
async function provoke(postgres: TestPostgres, c: Case): Promise<void> {
  const fresh = [
    'drop table if exists shop.t',
    'create table shop.t (id int primary key, at timestamptz, code int, note text)',
    'alter table shop.t alter column code set default 0, alter column code set not null',
    'alter table shop.t owner to sluice',
    'grant usage on schema shop to sluice',
    'grant create on database postgres to sluice',
  ];
  for (const sql of [...fresh, ...c.before]) await postgres.query(sql);
}

/** As psql would run it: statement by statement, as ALTER SYSTEM and CREATE INDEX CONCURRENTLY want to be alone. */
async function runAsPasted(postgres: TestPostgres, sql: string | null): Promise<void> {
  const statements = (sql ?? '').replaceAll(/^--.*$/gm, '').split(/;\s*(?:\n|$)/);
  const real = statements.filter((statement) => statement.trim() !== '');
  expect(real.length).toBeGreaterThan(0);
  for (const statement of real) await postgres.query(statement);
}

async function doctor(postgres: TestPostgres, c: Case, now = () => new Date()): Promise<Finding[]> {
  const config: Config = configOf({
    connection: {
      host: postgres.host,
      port: postgres.port,
      database: postgres.database,
      user: 'sluice',
      tls: { mode: 'disable', caFile: null, certFile: null, keyFile: null },
      connectTimeoutMs: 30_000,
    },
    keys: c.keys ?? ['shop.t'],
    method: c.method ?? 'cdc',
    ...(c.settings === undefined ? {} : { settings: c.settings }),
    ...(c.cdc === undefined ? {} : { cdc: c.cdc }),
  });
  const target = config.connections['shop_db'];
  const source = config.sources['shop'];
  if (target === undefined || source === undefined) throw new Error('the sample config has no source');
  const open = () => connectSource({ ...target, password: 'sluice', tunnel: null }, { purpose: 'doctor', signal });
  const connection = await open();
  try {
    const catalog = await readCatalog(connection, { schema: null }, signal);
    const request = { depth: 'doctor' as const, now, openAnother: open, ...readinessNeeds(source, catalog) };
    const readiness = await readReadiness(connection, request, signal);
    const observed = { ok: true as const, source: catalog, readiness };
    return runDoctor({ config, observed: { sources: { shop: observed }, destinations: {} } });
  } finally {
    await connection.end();
  }
}

async function until<Value>(look: () => Promise<Value | undefined>): Promise<Value> {
  const deadline = Date.now() + DEADLINE_MS * 0.8;
  for (;;) {
    const value = await look();
    if (value !== undefined) return value;
    if (Date.now() > deadline) throw new Error('it did not come to pass in time');
    await sleep(200);
  }
}
