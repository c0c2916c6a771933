import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { majorsUnderTest } from '../postgres/binaries.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { AlteredSource } from './ddl-fixture.js';

/** What an ALTER TABLE does to a table that is streamed, with Postgres and a fresh load as the judges. */

const MAJORS = majorsUnderTest([17], [13, 17, 18]);
const actions = (plan: {
  readonly changes: readonly { readonly action: string; readonly address: string }[];
}): string[] => plan.changes.map((change) => `${change.action} ${change.address}`);

describe.each(MAJORS)('on Postgres %i', (major) => {
  let postgres: TestPostgres;
  let source: AlteredSource | null = null;
  let databases = 0;

  beforeAll(async () => {
    postgres = await startPostgres({ major });
  });
  afterEach(async () => {
    await source?.remove();
    source = null;
  });
  afterAll(() => postgres?.stop());

  async function start(
    sql = "create table t (id int primary key, a int, b text); insert into t values (1, 10, 'x'), (2, 20, 'y')",
    tables: Readonly<Record<string, Record<string, unknown>>> = { 'public.t': { output: 'both' } },
  ): Promise<AlteredSource> {
    databases += 1;
    source = await AlteredSource.create(postgres, `ddl_${databases}`, sql, { tables });
    return source;
  }

  async function rows(s: AlteredSource, sql: string): Promise<(string | null)[][]> {
    return (await s.fixture.read((duckdb) => duckdb.rows(sql))).map((row) => [...row]);
  }

  test('a renamed column goes on under its old name until an apply renames it, and nothing is read again', async () => {
    const s = await start();
    await s.sql('update t set a = 11 where id = 1');
    await s.sql('alter table t rename a to amount');
    await s.sql("insert into t values (3, 30, 'z'); update t set amount = 21 where id = 2");
    await s.fixture.sync();
    expect(await rows(s, 'SELECT id, a FROM public.t ORDER BY id')).toEqual([
      ['1', '11'],
      ['2', '21'],
      ['3', '30'],
    ]);
    expect(actions(await s.fixture.apply())).toEqual(['rename_columns shop:public.t']);
    await s.sql('update t set amount = 31 where id = 3');
    await s.fixture.sync();
    expect(await s.differences('public.t')).toEqual([]);
    expect(await s.loads('public.t')).toBe(1);
    expect(await rows(s, 'SELECT id, amount FROM public.t_cdc WHERE id = 2 ORDER BY valid_from')).toEqual([
      ['2', '20'],
      ['2', '21'],
    ]);
    expect((await s.fixture.plan()).changes).toEqual([]);
  });

  test('a renamed key', async () => {
    const s = await start();
    await s.sql('alter table t rename id to uid');
    await s.sql('update t set uid = 7 where uid = 1; delete from t where uid = 2');
    await s.fixture.sync();
    expect(await rows(s, 'SELECT id FROM public.t WHERE NOT _ph_deleted')).toEqual([['7']]);
    expect(actions(await s.fixture.apply())).toEqual(['rename_columns shop:public.t']);
    await s.sql("insert into t values (8, 80, 'n')");
    await s.fixture.sync();
    expect(await s.differences('public.t')).toEqual([]);
    expect(await s.loads('public.t')).toBe(1);
  });

  test('names that were swapped', async () => {
    const s = await start('create table t (id int primary key, a int, b int); insert into t values (1, 1, 2)');
    await s.sql('update t set a = 5');
    await s.sql('begin; alter table t rename a to c; alter table t rename b to a; alter table t rename c to b; commit');
    await s.sql('insert into t (id, a, b) values (2, 200, 100)');
    await s.fixture.sync();
    expect(await rows(s, 'SELECT id, a, b FROM public.t ORDER BY id')).toEqual([
      ['1', '5', '2'],
      ['2', '100', '200'],
    ]);
    expect(actions(await s.fixture.apply())[0]).toBe('resync_table shop:public.t');
    await s.fixture.sync();
    expect(await s.differences('public.t')).toEqual([]);
  });

  test('a name that a column only had for a while leads to a new load, not to a guess', async () => {
    const s = await start();
    await s.sql('alter table t rename a to b2');
    await s.sql('update t set b2 = 99 where id = 1');
    await s.sql('alter table t rename b2 to c');
    await s.fixture.sync();
    expect(await s.loads('public.t')).toBe(2);
    await s.fixture.apply();
    await s.fixture.sync();
    expect(await s.differences('public.t')).toEqual([]);
  });

  test('a dropped column stays, and rows that change have NULL in it', async () => {
    const s = await start();
    await s.sql('alter table t drop column a');
    await s.sql("update t set b = 'changed' where id = 1; insert into t values (3, 'z')");
    await s.fixture.sync();
    expect(await rows(s, 'SELECT id, a, b FROM public.t ORDER BY id')).toEqual([
      ['1', null, 'changed'],
      ['2', '20', 'y'],
      ['3', null, 'z'],
    ]);
    expect(actions(await s.fixture.apply())).toEqual(['remove_columns shop:public.t']);
    await s.sql("truncate t; insert into t values (4, 'after')");
    await s.fixture.sync();
    expect(await s.columnTypes('public.t')).toMatchObject({ id: 'INTEGER', b: 'VARCHAR', a: 'INTEGER' });
    expect(await s.differences('public.t')).toEqual([]);
  });

  test('a column that is dropped and another of its name added', async () => {
    const s = await start();
    await s.sql('alter table t drop column b');
    await s.fixture.sync();
    await s.fixture.apply();
    await s.sql("alter table t add column b text; update t set b = 'new' where id = 1");
    await s.fixture.sync();
    expect(actions(await s.fixture.apply())).toEqual(['add_columns shop:public.t']);
    await s.sql('update t set a = 12 where id = 1');
    await s.fixture.sync();
    // What the dropped column held is not the new one's, and is kept under another name.
    expect(await rows(s, 'SELECT id, b, b_was_varchar FROM public.t ORDER BY id')).toEqual([
      ['1', 'new', null],
      ['2', null, 'y'],
    ]);
    expect(await s.loads('public.t')).toBe(1);
  });

  test('widened columns are widened in place, by the stream', async () => {
    const s = await start(
      `create table t (id int primary key, a smallint, b int, c numeric(6,2), d varchar(3));
       insert into t values (1, 1, 2, 3.25, 'abc'), (2, null, null, null, null)`,
    );
    await s.sql('update t set a = 7 where id = 1');
    await s.sql(
      'alter table t alter a type int, alter b type bigint, alter c type numeric(12,4), alter d type text, alter id type bigint',
    );
    await s.sql("insert into t values (5000000000, 70000, 6000000000, 12345678.1234, 'longer than three')");
    await s.fixture.sync();
    expect(await s.columnTypes('public.t')).toEqual({
      id: 'BIGINT',
      a: 'INTEGER',
      b: 'BIGINT',
      c: 'DECIMAL(12,4)',
      d: 'VARCHAR',
    });
    expect(await s.differences('public.t')).toEqual([]);
    expect(actions(await s.fixture.apply())).toEqual(['update_settings shop:public.t']);
    expect((await s.fixture.plan()).changes).toEqual([]);
    await s.sql('update t set b = b + 1');
    await s.fixture.sync();
    expect(await s.differences('public.t')).toEqual([]);
    expect(await s.loads('public.t')).toBe(1);
    expect(await rows(s, 'SELECT count(*) FROM public.t_cdc WHERE valid_to IS NULL')).toEqual([['3']]);
  });

  test('widened before any change streams: apply widens', async () => {
    const s = await start();
    await s.sql('alter table t alter a type bigint');
    await s.fixture.sync();
    await s.fixture.apply();
    expect(await s.columnTypes('public.t')).toMatchObject({ a: 'BIGINT' });
    await s.sql('update t set a = 5000000000 where id = 1');
    await s.fixture.sync();
    expect(await s.differences('public.t')).toEqual([]);
    expect(await s.loads('public.t')).toBe(1);
  });

  test('another type stops only its table until a plan reads it anew; the history keeps the old values', async () => {
    const s = await start(
      `create table t (id int primary key, a text); insert into t values (1, '10'), (2, 'twenty');
       create table u (id int primary key, v text); insert into u values (1, 'x')`,
      { 'public.t': { output: 'both' }, 'public.u': {} },
    );
    await s.sql(
      'delete from t where id = 2; alter table t alter a type int using a::int; insert into t values (3, 30)',
    );
    await s.sql("insert into u values (2, 'y')");
    const report = await s.fixture.trySync();
    expect(report.sources[0]?.tables.filter((table) => table.status === 'failed')).toEqual([
      expect.objectContaining({ address: 'shop:public.t', error: expect.objectContaining({ code: 'SCHEMA_CHANGED' }) }),
    ]);
    expect(await s.differences('public.u')).toEqual([]);
    expect(actions(await s.fixture.apply())).toEqual(['resync_table shop:public.t']);
    await s.fixture.sync();
    expect(await s.differences('public.t')).toEqual([]);
    expect(
      await rows(s, 'SELECT id, a, a_was_varchar FROM public.t_cdc WHERE NOT _ph_deleted ORDER BY id, valid_from'),
    ).toEqual([
      ['1', null, '10'],
      ['1', '10', null],
      ['2', null, 'twenty'],
      ['3', '30', null],
    ]);
  });

  test('an added column waits for an apply; forward_only fills it as rows change', async () => {
    const s = await start();
    await s.sql('alter table t add column c int default 5; update t set a = 11 where id = 1');
    await s.fixture.sync();
    expect(await s.columnTypes('public.t')).toEqual({ id: 'INTEGER', a: 'INTEGER', b: 'VARCHAR' });
    // The backlog that is read after the apply holds changes from before the column was there, too.
    await s.sql('alter table t add column d int; update t set d = 6 where id = 2');
    expect(actions(await s.fixture.apply())).toEqual(['add_columns shop:public.t']);
    await s.sql('update t set a = 12 where id = 1');
    await s.fixture.sync();
    expect(await rows(s, 'SELECT id, c, d FROM public.t ORDER BY id')).toEqual([
      ['1', '5', null],
      ['2', '5', '6'],
    ]);
    expect(await s.loads('public.t')).toBe(1);
  });

  test('changes from before a column was added that are read after the apply', async () => {
    const s = await start();
    await s.sql('update t set a = 11 where id = 1; delete from t where id = 2; alter table t add column c int');
    await s.fixture.apply();
    await s.sql("insert into t values (3, 30, 'z', 300)");
    await s.fixture.sync();
    expect(await rows(s, 'SELECT id, a, c FROM public.t ORDER BY id')).toEqual([
      ['1', '11', null],
      ['2', '20', null],
      ['3', '30', '300'],
    ]);
    expect(await s.loads('public.t')).toBe(1);
  });

  test('on_add_columns: resync', async () => {
    const s = await start(undefined, { 'public.t': { output: 'both', on_add_columns: 'resync' } });
    await s.sql('alter table t add column c int default 5');
    await s.fixture.sync();
    expect(actions(await s.fixture.apply())).toEqual(['resync_table shop:public.t', 'add_columns shop:public.t']);
    await s.fixture.sync();
    expect(await s.differences('public.t')).toEqual([]);
  });

  test('on_add_columns: backfill reads the key and the new columns, and keeps newer changes', async () => {
    const s = await start(
      `create table t (id int primary key, a int, b text); alter table t alter b set storage external;
       insert into t select i, i, repeat(i::text, 3000) from generate_series(1, 300) i`,
      { 'public.t': { output: 'both', on_add_columns: 'backfill' } },
    );
    await s.sql(`alter table t add column c int default 5, add column d text; alter table t alter d set storage external;
      update t set d = repeat(md5(id::text), 200)`);
    expect(actions(await s.fixture.apply())).toEqual(['add_columns shop:public.t', 'backfill_columns shop:public.t']);
    // Streamed with the large new value left out, as it has not changed; deleted, inserted and moved rows beside.
    await s.sql(`update t set a = a + 1000 where id % 3 = 0; delete from t where id % 7 = 0; update t set c = 6 where id = 5;
      insert into t values (1001, 1, 'new', 7, 'seven'); update t set id = 2000 where id = 11`);
    await s.fixture.sync();
    expect(await s.differences('public.t')).toEqual([]);
    expect(await s.loads('public.t')).toBe(1);
    await s.sql('update t set a = a - 1');
    await s.fixture.sync();
    expect(await s.differences('public.t')).toEqual([]);
    // The open versions have the values; the filling is no version of its own.
    expect(
      await rows(
        s,
        `SELECT count(*) FROM (SELECT id, a, b, c, d FROM public.t WHERE NOT _ph_deleted EXCEPT
           SELECT id, a, b, c, d FROM public.t_cdc WHERE valid_to IS NULL)`,
      ),
    ).toEqual([['0']]);
    expect(await rows(s, 'SELECT count(*) FROM public.t_cdc WHERE id = 1')).toEqual([['3']]);
    expect((await s.fixture.plan()).changes).toEqual([]);
  });

  test('a backfill that a TRUNCATE overtakes', async () => {
    const s = await start(undefined, { 'public.t': { output: 'both', on_add_columns: 'backfill' } });
    await s.sql('alter table t add column c int default 5');
    await s.fixture.apply();
    await s.sql("truncate t; insert into t values (9, 9, 'z', 9)");
    await s.fixture.sync();
    expect(await s.differences('public.t')).toEqual([]);
  });

  test('a table that is renamed, and moved to another schema, goes on', async () => {
    const s = await start();
    await s.sql('update t set a = 11 where id = 1; alter table t rename to t2; update t2 set a = 12 where id = 1');
    await s.sql("create schema other; alter table t2 set schema other; insert into other.t2 values (3, 30, 'z')");
    await s.fixture.sync();
    expect(await rows(s, 'SELECT id, a FROM public.t ORDER BY id')).toEqual([
      ['1', '12'],
      ['2', '20'],
      ['3', '30'],
    ]);
    expect(await s.loads('public.t')).toBe(1);
  });

  test('a table that is dropped keeps its copy and is said to be gone', async () => {
    const s = await start(
      `create table t (id int primary key, a text); insert into t values (1, 'x');
       create table u (id int primary key, v text); insert into u values (1, 'x')`,
      { 'public.t': {}, 'public.u': {} },
    );
    await s.sql("drop table t; insert into u values (2, 'y')");
    const report = await s.fixture.trySync();
    expect(report.sources[0]?.tables.find((table) => table.status === 'failed')?.error?.code).toBe('TABLE_MISSING');
    expect(await rows(s, 'SELECT id FROM public.t')).toEqual([['1']]);
    expect(await s.differences('public.u')).toEqual([]);
    expect((await s.fixture.plan()).blockers.map(({ code }) => code)).toEqual(['TABLE_MISSING']);
  });

  test('a table that is dropped and made anew is read anew after an apply', async () => {
    const s = await start();
    await s.sql("drop table t; create table t (id int primary key, a int, b text); insert into t values (1, 1, 'new')");
    const report = await s.fixture.trySync();
    expect(report.sources[0]?.tables.find((table) => table.status === 'failed')?.error?.code).toBe('TABLE_MISSING');
    expect(actions(await s.fixture.apply())).toContain('resync_table shop:public.t');
    await s.sql("insert into t values (2, 2, 'streamed')");
    await s.fixture.sync();
    expect(await s.differences('public.t')).toEqual([]);
  });

  test('another primary key', async () => {
    const s = await start();
    await s.sql('alter table t drop constraint t_pkey; alter table t add primary key (id, a)');
    await s.sql("insert into t values (1, 100, 'same id'); delete from t where id = 1 and a = 10");
    const report = await s.fixture.trySync();
    expect(report.sources[0]?.tables.find((table) => table.status === 'failed')?.error?.code).toBe('SCHEMA_CHANGED');
    expect(actions(await s.fixture.apply())[0]).toBe('resync_table shop:public.t');
    await s.sql("update t set b = 'under the new key' where a = 100");
    await s.fixture.sync();
    expect(await s.differences('public.t')).toEqual([]);
  });

  test('columns that change between a TRUNCATE, a resync and its load', async () => {
    const s = await start();
    await s.sql("truncate t; insert into t select i, i, repeat('x', 10) from generate_series(1, 50) i");
    await s.fixture.sync();
    await s.fixture.resync('public.t');
    await s.sql('alter table t drop column a; alter table t rename b to text');
    await s.sql("update t set text = 'changed' where id < 10");
    await s.fixture.sync();
    await s.fixture.apply();
    await s.fixture.sync();
    expect(await s.differences('public.t')).toEqual([]);
  });
});
