import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { realClock } from '../../src/cli/real-clock.js';
import { EngineFixture, type FixtureOptions } from '../engine-fixture.js';
import { majorsUnderTest } from '../postgres/binaries.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';

/** Situations that a random workload meets too seldom, each with Postgres as the judge. */

const MAJORS = majorsUnderTest([17], [13, 17]);

describe.each(MAJORS)('on Postgres %i', (major) => {
  let postgres: TestPostgres;
  let fixture: EngineFixture | null = null;
  let databases = 0;
  const sessions: pg.Client[] = [];

  beforeAll(async () => {
    postgres = await startPostgres({ major, settings: { max_prepared_transactions: '5' } });
  });
  afterEach(async () => {
    // First, as an open transaction would hold up whatever waits for it.
    for (const session of sessions.splice(0)) await session.end();
    await fixture?.remove();
    fixture = null;
  });
  afterAll(() => postgres?.stop());

  async function start(
    sql: string,
    options: Pick<FixtureOptions, 'tables' | 'moreSources' | 'clock'>,
  ): Promise<EngineFixture> {
    databases += 1;
    const database = `trap_${databases}`;
    await postgres.createDatabase(database);
    await postgres.query(sql, [], database);
    fixture = await EngineFixture.create({ postgres, database, cdc: { slot: database }, ...options });
    await fixture.apply();
    return fixture;
  }

  /** A connection of its own to the current database. */
  async function session(): Promise<pg.Client> {
    const client = await postgres.client(`trap_${databases}`);
    sessions.push(client);
    return client;
  }

  /** Rows of id and value on both sides; `live` leaves out what is deleted softly. */
  async function expectEqual(f: EngineFixture, table: string, value = 'v', live = true): Promise<void> {
    const source = await f.source<{ id: string; v: string | null }>(
      `select id::text, md5(${value}::text) as v from ${table} order by id::text collate "C"`,
    );
    const rows = await f.read((duckdb) =>
      duckdb.rows(
        `SELECT id, md5(${value}::VARCHAR) FROM public.${table}${live ? ' WHERE NOT _ph_deleted' : ''} ORDER BY id::VARCHAR`,
      ),
    );
    expect(rows).toEqual(source.map((row) => [row.id, row.v]));
  }

  async function expectVersions(f: EngineFixture, table: string): Promise<void> {
    const bad = await f.read((duckdb) =>
      duckdb.rows(
        `WITH v AS (SELECT *, lead(valid_from) OVER k AS next_from, lead(_ph_cdc_lsn) OVER k AS next_lsn, lead(_ph_cdc_seq) OVER k AS next_seq
           FROM public.${table}_cdc WINDOW k AS (PARTITION BY id ORDER BY _ph_cdc_lsn, _ph_cdc_seq, valid_from))
         SELECT * FROM v WHERE (next_lsn, next_seq) <= (_ph_cdc_lsn, _ph_cdc_seq) OR valid_to < valid_from
           OR (next_from IS NOT NULL AND valid_to IS DISTINCT FROM next_from) OR (next_from IS NULL AND valid_to IS NOT NULL)`,
      ),
    );
    expect(bad).toEqual([]);
  }

  test('a transaction that began before the snapshot and commits after it', async () => {
    const f = await start('create table t (id int primary key, v text); insert into t values (1, $$a$$), (2, $$b$$)', {
      tables: { 'public.t': { output: 'both' } },
    });
    const early = await session();
    await early.query("begin; update t set v = 'early' where id = 1; savepoint s; insert into t values (3, 'sub')");
    await f.sync();
    await expectEqual(f, 't');
    await f.source("update t set v = 'late' where id = 2");
    await early.query('commit');
    await f.sync();
    await expectEqual(f, 't');
    await expectVersions(f, 't');
  });

  test('a prepared transaction over a snapshot', async () => {
    const f = await start('create table t (id int primary key, v text); insert into t values (1, $$a$$)', {
      tables: { 'public.t': { output: 'both' } },
    });
    await f.source("begin; insert into t values (2, 'prepared'); prepare transaction 'p1'");
    try {
      await f.sync();
      await expectEqual(f, 't');
    } finally {
      await f.source("commit prepared 'p1'");
    }
    await f.sync();
    await expectEqual(f, 't');
    await expectVersions(f, 't');
  });

  test('a table added while a transaction has written to it', async () => {
    const f = await start(
      'create table t (id int primary key, v text); create table late (id int primary key, v text); insert into late values (1, $$a$$)',
      { tables: { 'public.t': {} } },
    );
    await f.sync();
    const writer = await session();
    await writer.query("begin; insert into late values (2, 'before the publication')");
    await f.configure({ ...f.tables, 'public.late': { output: 'both' } });
    await f.apply();
    await writer.query("insert into late values (3, 'after it')");
    const syncing = f.sync();
    await sleep(700);
    await writer.query("update late set v = 'last' where id = 1; commit");
    await syncing;
    await f.source("insert into late values (4, 'later')");
    await f.sync();
    await expectEqual(f, 'late');
    await expectVersions(f, 'late');
  });

  test('a TRUNCATE that waits while the table is being loaded, and one between rows of a transaction', async () => {
    const f = await start(
      'create table t (id int primary key, v text); insert into t select i, i from generate_series(1, 1000) as i',
      { tables: { 'public.t': { output: 'both' } } },
    );
    await f.sync();
    const writer = await session();
    await f.source("insert into t values (2001, 'streamed before')");
    await writer.query(
      "begin; insert into t values (2002, 'gone'); truncate t; insert into t values (1, 'new'), (2002, 'kept'); commit",
    );
    await writer.query("begin; truncate t; insert into t values (5, 'rolled back'); rollback");
    await f.resync('public.t');
    await f.source("insert into t values (3, 'after')");
    await f.sync();
    await expectEqual(f, 't');
    await writer.query("begin; truncate t; insert into t values (7, 'seven')");
    const syncing = f.trySync();
    await sleep(300);
    await writer.query('commit');
    expect(await syncing).toMatchObject({ ok: true });
    await f.sync();
    await expectEqual(f, 't');
    const gone = await f.read((duckdb) => duckdb.rows('SELECT count(*) FROM public.t WHERE _ph_deleted'));
    // 1 to 1000 and 2002 without 7; 2001 came and went within what the load covers.
    expect(gone).toEqual([['1000']]);
  });

  test('reloads of a quiet database, where the stream does not move by itself', async () => {
    const f = await start('create table t (id int primary key, v text); insert into t values (1, $$a$$), (2, $$b$$)', {
      tables: { 'public.t': { output: 'both' } },
    });
    await f.sync({ untilCaughtUp: false });
    for (const value of ['b', 'c', 'd']) {
      await f.resync('public.t');
      await f.source(`update t set v = '${value}' where id = 1`);
      await f.sync({ untilCaughtUp: false });
      await expectEqual(f, 't');
      await expectVersions(f, 't');
    }
    const values = await f.read((duckdb) =>
      duckdb.rows('SELECT v FROM public.t_cdc WHERE id = 1 ORDER BY _ph_cdc_lsn, _ph_cdc_seq'),
    );
    expect(values.flat()).toEqual(['a', 'b', 'c', 'd']);
  });

  test('unchanged TOAST values in a table with more columns than one word of marks', async () => {
    const columns = Array.from({ length: 70 }, (_, i) => `c${i} text`).join(', ');
    const big = (seed: string) => `(select string_agg(md5(${seed} || '-' || i), '') from generate_series(1, 300) as i)`;
    const all = Array.from({ length: 70 }, (_, i) => `c${i}`).join(', ');
    const f = await start(`create table t (${columns}, id int primary key)`, {
      tables: { 'public.t': { output: 'both' } },
    });
    await f.sync();
    await f.source(
      `insert into t (id, c3, c31, c65) select n, ${big("'a' || n")}, ${big("'b' || n")}, ${big("'c' || n")} from generate_series(1, 5) as n`,
    );
    await f.source("update t set c0 = 'same batch' where id = 1");
    await f.sync();
    await f.source("update t set c0 = 'next batch'");
    await f.source(`update t set c31 = ${big("'d'")} where id = 2`);
    await f.source('update t set id = id + 100 where id in (2, 3)');
    await f.source("update t set c69 = 'end' where id = 103");
    await f.source(
      'begin; update t set id = 900 where id = 4; update t set id = 4 where id = 5; update t set id = 5 where id = 900; commit',
    );
    await f.source('delete from t where id = 1');
    await f.sync();
    await expectEqual(f, 't', `concat_ws('|', ${all})`);
    await expectVersions(f, 't');
    const deleted = await f.read((duckdb) =>
      duckdb.rows('SELECT c0, length(c3), length(c31), length(c65) FROM public.t WHERE _ph_deleted AND id = 1'),
    );
    expect(deleted).toEqual([['next batch', '9600', '9600', '9600']]);
  });

  test('transactions that are larger than a page, and many small ones', async () => {
    const f = await start('create table t (id int primary key, v text); create table u (id int primary key, v text)', {
      tables: { 'public.t': { output: 'both' }, 'public.u': { deletes: 'hard' } },
    });
    await f.sync();
    await f.source(
      `begin; insert into t select i, i from generate_series(1, 300000) as i; update t set v = 'u' || id where id % 10 = 0;
       insert into u select i, i from generate_series(1, 1000) as i; commit`,
    );
    await f.source('update u set v = v || $$x$$ where id <= 500; delete from u where id > 900');
    await f.source(
      'begin; update t set id = id + 1000000 where id <= 20000; delete from t where id between 20001 and 30000; commit',
    );
    await f.source('insert into t values (1, $$again$$)');
    await f.sync();
    await expectEqual(f, 't');
    await expectEqual(f, 'u');
    await expectVersions(f, 't');
  });

  test('names that need quoting, and names that stand for something in SQL', async () => {
    const f = await start(
      `create schema "Sch.ema";
       create table "Sch.ema"."Ta""ble é" ("Id" int, "sel""ect" text, "_op" text, v text, "key" text, "with space" text, "rows" text, primary key ("Id", "key"));
       insert into "Sch.ema"."Ta""ble é" values (1, 'a', 'op', 'v', 'k', 's', 'r');`,
      { tables: { '"Sch.ema"."Ta""ble é"': { output: 'both' } } },
    );
    await f.sync();
    await f.source(`update "Sch.ema"."Ta""ble é" set "_op" = 'changed', "sel""ect" = null;
      insert into "Sch.ema"."Ta""ble é" values (2, 'b', 'op2', 'v2', 'k2', 's2', 'r2')`);
    await f.sync();
    const columns = '"Id", "sel""ect", "_op", v, "key", "with space", "rows"';
    const source = await f.source<{ row: string[] }>(
      `select array["Id"::text, "sel""ect", "_op", v, "key", "with space", "rows"] as row from "Sch.ema"."Ta""ble é" order by 1`,
    );
    const rows = await f.read((duckdb) => duckdb.rows(`SELECT ${columns} FROM "Sch.ema"."Ta""ble é" ORDER BY 1`));
    expect(rows).toEqual(source.map(({ row }) => row));
  });

  test('a column with a name that the merge needs is refused before anything is made', async () => {
    databases += 1;
    const database = `trap_${databases}`;
    await postgres.createDatabase(database);
    await postgres.query('create table t (id int primary key, __op text)', [], database);
    fixture = await EngineFixture.create({ postgres, database, cdc: { slot: database }, tables: { 'public.t': {} } });
    const plan = await fixture.plan();
    expect(plan.blockers.map(({ code, address }) => ({ code, address }))).toEqual([
      { code: 'COLUMN_NAME_CLASH', address: 'shop:public.t' },
    ]);
    await fixture.configure({ 'public.t': { method: 'full_table' } });
    await fixture.apply();
    await fixture.sync();
  });

  test('two sources that write to one file at once', async () => {
    const tables = { 'public.t': { output: 'both' }, 'public.u': { method: 'incremental', cursor: 'n' } };
    const f = await start(
      `create table t (id int primary key, v text); create table u (id int primary key, n int, v text);
       insert into t select i, i from generate_series(1, 20000) as i; insert into u select i, i, i from generate_series(1, 20000) as i`,
      {
        tables,
        moreSources: {
          other: {
            connection: 'db',
            destination: 'warehouse',
            target_schema: '{source}_{schema}',
            cdc: { slot: `other_${major}` },
            tables,
          },
        },
      },
    );
    try {
      for (let round = 0; round < 3; round += 1) {
        await f.source(`update t set v = 'round ${round}' where id % 7 = ${round}; delete from t where id % 1000 = ${round};
          insert into u select 100000 * (${round} + 1) + i, 100000 * (${round} + 1) + i, 'x' from generate_series(1, 100) as i`);
        if (round === 1) await f.resync('public.t');
        await f.sync();
        for (const schema of ['public', 'other_public']) {
          const differing = await f.read((duckdb) =>
            duckdb.rows(
              `SELECT (SELECT count(*) FROM ${schema}.t WHERE NOT _ph_deleted), (SELECT md5(string_agg(v, ',' ORDER BY id)) FROM ${schema}.t WHERE NOT _ph_deleted),
                 (SELECT count(*) FROM ${schema}.u), (SELECT count(*) FROM ${schema}.t_cdc WHERE valid_to IS NULL AND NOT _ph_deleted)`,
            ),
          );
          const [source] = await f.source<{ row: string[] }>(
            `select array[(select count(*)::text from t), (select md5(string_agg(v, ',' order by id)) from t), (select count(*)::text from u), (select count(*)::text from t)] as row`,
          );
          expect({ schema, rows: differing }).toEqual({ schema, rows: [source?.row] });
        }
      }
    } finally {
      await f.close();
      await postgres.query(`select pg_drop_replication_slot('other_${major}')`);
    }
  });

  test('append reads each row once and misses none, in whatever order numbers are committed', async () => {
    const f = await start('create table t (id bigserial primary key, v text); insert into t (v) values ($$first$$)', {
      tables: { 'public.t': { method: 'append', cursor: 'id' } },
    });
    await f.sync();
    const slow = await session();
    const quick = await session();
    for (let round = 0; round < 3; round += 1) {
      await slow.query(`begin; insert into t (v) values ('slow ${round}')`);
      await quick.query(`insert into t (v) values ('quick ${round}')`);
      const syncing = f.sync();
      await sleep(500);
      await slow.query('commit');
      await syncing;
      await f.sync();
      await expectEqual(f, 't', 'v', false);
    }
  });

  test('incremental follows rows that share the highest cursor value, and rows that leave it', async () => {
    const f = await start(
      'create table t (id int primary key, v text, n int not null); insert into t select i, $$a$$, 10 from generate_series(1, 5) as i',
      { tables: { 'public.t': { method: 'incremental', cursor: 'n' } } },
    );
    await f.sync();
    await f.source("insert into t values (6, 'same', 10); update t set v = 'changed' where id = 1");
    await f.sync();
    await expectEqual(f, 't', 'v', false);
    const writer = await session();
    await writer.query("begin; update t set v = 'slow', n = 11 where id = 2");
    await f.source("update t set v = 'quick', n = 12 where id = 3");
    const syncing = f.sync();
    await sleep(500);
    await writer.query('commit');
    await syncing;
    await f.sync();
    await expectEqual(f, 't', 'v', false);
  });

  test('what the stream passes over while the table is being loaded is not taken for loaded', async () => {
    // The stream is read all the time while a load runs, instead of every few seconds.
    const clock = {
      ...realClock,
      sleep: (ms: number, signal: AbortSignal) => realClock.sleep(Math.min(ms, 50), signal),
    };
    const f = await start(
      `create table t (id numeric(12,2) primary key, v text);
       insert into t select i, md5(i::text) || md5((i + 1)::text) from generate_series(1, 500000) as i`,
      { tables: { 'public.t': {} }, clock },
    );
    const syncing = f.trySync();
    await expect
      .poll(() => f.events.some((event) => event.kind === 'load_progress'), { interval: 5, timeout: 60_000 })
      .toBe(true);
    await f.source("begin; insert into t values (1000000, 'beside it'), ('NaN', 'cannot be held'); commit");
    const report = await syncing;
    expect(report.sources.flatMap((source) => source.tables.map((table) => table.status))).toContain('failed');
    const asked = await f.read((duckdb) => duckdb.rows('SELECT resnapshot_reason FROM _sluice.tables'));
    expect(asked).toEqual([['KEY_NOT_REPRESENTABLE']]);
    await f.source("delete from t where id = 'NaN'");
    await f.trySync();
    expect(await f.trySync()).toMatchObject({ ok: true });
    const [source] = await f.source<{ n: string; sum: string }>(
      'select count(*)::text as n, sum(id)::text as sum from t',
    );
    const rows = await f.read((duckdb) => duckdb.rows('SELECT count(*), sum(id) FROM public.t WHERE NOT _ph_deleted'));
    expect(rows).toEqual([[source?.n, source?.sum]]);
  });

  test('a table that cannot be merged does not hold up its neighbours', async () => {
    const f = await start(
      'create table bad (id numeric(5,2) primary key, v text); create table good (id int primary key, v text); insert into good values (1, $$a$$)',
      { tables: { 'public.bad': { output: 'both' }, 'public.good': {} } },
    );
    await f.sync();
    await f.source("insert into bad values ('NaN', 'no key'); insert into good values (2, 'b')");
    const report = await f.trySync();
    expect(report.ok).toBe(false);
    await f.trySync();
    await expectEqual(f, 'good');
    const { slot, destination } = await f.positions();
    expect(slot).toBe(destination);
    await f.source("delete from bad; insert into bad values (1.5, 'fine'); insert into good values (3, 'c')");
    // The deletion of the bad key is still in the stream of this one.
    await f.trySync();
    expect(await f.trySync()).toMatchObject({ ok: true });
    await expectEqual(f, 'good');
    await expectEqual(f, 'bad');
  });
});
