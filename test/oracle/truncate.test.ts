import { expect, test } from 'vitest';
import type { EngineFixture } from '../engine-fixture.js';
import { majorsUnderTest } from '../postgres/binaries.js';
import { expectSame, expectVersions, situations } from './situation.js';

/** TRUNCATE between other changes. */

const T = "create table t (id int primary key, v text); insert into t select i, 'old' from generate_series(1, 5) as i";

async function snapshots(f: EngineFixture, table: string): Promise<number> {
  const rows = await f.read((duckdb) =>
    duckdb.rows(`SELECT count(*) FROM _sluice.runs WHERE kind = 'snapshot' AND address = 'shop:public.${table}'`),
  );
  return Number(rows[0]?.[0]);
}

/** Ids of the versions that are open and not deleted. */
async function openVersions(f: EngineFixture, table: string): Promise<string[]> {
  const rows = await f.read((duckdb) =>
    duckdb.rows(`SELECT id FROM public.${table}_cdc WHERE valid_to IS NULL AND NOT _ph_deleted ORDER BY id::INTEGER`),
  );
  return rows.map(([id]) => id ?? '');
}

const CASES: readonly { readonly name: string; readonly sql: readonly string[]; readonly loads: number }[] = [
  { name: 'alone', sql: ['truncate t'], loads: 2 },
  {
    name: 'between changes of other transactions',
    sql: [
      "insert into t values (6, 'before'); update t set v = 'before' where id = 1",
      'truncate t',
      "insert into t values (1, 'after'), (7, 'after')",
      "update t set v = 'last' where id = 7",
    ],
    loads: 2,
  },
  {
    name: 'within a transaction, with rows before and after it',
    sql: [
      "begin; insert into t values (6, 'before'); delete from t where id = 2; truncate t; insert into t values (6, 'after'), (1, 'after'); update t set v = 'last' where id = 1; commit",
    ],
    loads: 2,
  },
  {
    name: 'twice, with rows between them',
    sql: [
      'truncate t',
      "insert into t values (1, 'between'), (8, 'between')",
      'truncate t',
      "insert into t values (8, 'after')",
    ],
    loads: 2,
  },
  {
    name: 'twice in one transaction',
    sql: [
      "begin; truncate t; insert into t values (8, 'between'); truncate t; insert into t values (9, 'after'); commit",
    ],
    loads: 2,
  },
  {
    name: 'rolled back',
    sql: ["begin; truncate t; insert into t values (9, 'no'); rollback", "update t set v = 'on' where id = 1"],
    loads: 1,
  },
  {
    name: 'rolled back to a savepoint',
    sql: ["begin; savepoint s; truncate t; rollback to s; update t set v = 'on' where id = 1; commit"],
    loads: 1,
  },
  { name: 'of an empty table', sql: ['delete from t', 'truncate t', "insert into t values (1, 'again')"], loads: 2 },
  {
    name: 'with RESTART IDENTITY',
    sql: ['truncate t restart identity', "insert into t values (3, 'after')"],
    loads: 2,
  },
];

situations(majorsUnderTest([17], [13, 17]), ({ start, session }) => {
  test.each(CASES)('$name', async ({ sql, loads }) => {
    const copy = { 'public.t': { output: 'both' } };
    const f = await start(T, { tables: copy });
    await f.sync();
    for (const statement of sql) await f.source(statement);
    const ids = (await f.source<{ id: string }>('select id::text from t order by t.id')).map(({ id }) => id);
    await f.sync();
    await expectSame(f, 't', ['id', 'v']);
    await expectVersions(f, 't', ['id']);
    expect(await openVersions(f, 't')).toEqual(ids);
    expect(await snapshots(f, 't')).toBe(loads);
    await f.source("insert into t values (100, 'goes on')");
    await f.sync();
    await expectSame(f, 't', ['id', 'v']);
    expect(await snapshots(f, 't')).toBe(loads);
  });

  test('what was streamed before it is in the history, and ends with it', async () => {
    const f = await start(T, { tables: { 'public.t': { output: 'both' } } });
    await f.sync();
    await f.source("insert into t values (6, 'short life'); update t set v = 'changed' where id = 1");
    await f.source("truncate t; insert into t values (1, 'new')");
    await f.sync();
    const versions = await f.read((duckdb) =>
      duckdb.rows(
        'SELECT id, v, valid_to IS NULL FROM public.t_cdc WHERE id IN (1, 6) ORDER BY id, valid_from, _ph_cdc_lsn',
      ),
    );
    expect(versions).toEqual([
      ['1', 'old', 'false'],
      ['1', 'changed', 'false'],
      ['1', 'new', 'true'],
      ['6', 'short life', 'false'],
    ]);
  });

  test('several tables at once, and CASCADE', async () => {
    const f = await start(
      `${T}; create table lines (id int primary key, t int references t, v text); insert into lines select i, i, 'l' from generate_series(1, 5) as i;
       create table other (id int primary key, v text); insert into other values (1, 'o');
       create table quiet (id int primary key, v text); insert into quiet values (1, 'q')`,
      {
        tables: {
          'public.t': { output: 'both' },
          'public.lines': { deletes: 'hard' },
          'public.other': { output: 'history' },
          'public.quiet': {},
        },
      },
    );
    await f.sync();
    await f.source("insert into quiet values (2, 'before')");
    await f.source(
      "begin; insert into lines values (6, 1, 'gone'); truncate t, other cascade; insert into t values (1, 'new'); insert into lines values (1, 1, 'new'); insert into quiet values (3, 'within'); commit",
    );
    await f.source("insert into other values (2, 'after')");
    await f.sync();
    await expectSame(f, 't', ['id', 'v']);
    await expectSame(f, 'lines', ['id', 't', 'v']);
    await expectSame(f, 'quiet', ['id', 'v']);
    expect(await openVersions(f, 'other')).toEqual(['2']);
    expect(await openVersions(f, 't')).toEqual(['1']);
    for (const table of ['t', 'lines', 'other']) expect(await snapshots(f, table)).toBe(2);
    expect(await snapshots(f, 'quiet')).toBe(1);
  });

  test('of a table that waits for a load already', async () => {
    const f = await start(T, { tables: { 'public.t': { output: 'both' } } });
    await f.sync();
    await f.resync('public.t');
    await f.source("update t set v = 'before'");
    await f.source("truncate t; insert into t values (2, 'after')");
    await f.sync();
    await expectSame(f, 't', ['id', 'v']);
    await expectVersions(f, 't', ['id']);
    expect(await openVersions(f, 't')).toEqual(['2']);
    expect(await snapshots(f, 't')).toBe(2);
  });

  test('that commits while the load of it waits for its lock', async () => {
    const f = await start(T, { tables: { 'public.t': { output: 'both' } } });
    await f.sync();
    const writer = await session();
    await writer.query("begin; truncate t; insert into t values (7, 'seven')");
    await f.resync('public.t');
    const syncing = f.sync();
    await expect
      .poll(
        async () => (await f.source("select from pg_locks where not granted and relation = 't'::regclass")).length,
        { interval: 20, timeout: 60_000 },
      )
      .toBe(1);
    await writer.query('commit');
    await syncing;
    await f.sync();
    await expectSame(f, 't', ['id', 'v']);
    await expectVersions(f, 't', ['id']);
    expect(await openVersions(f, 't')).toEqual(['7']);
  });
});
