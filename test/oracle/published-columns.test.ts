import { describe, expect, test } from 'vitest';
import type { EngineFixture } from '../engine-fixture.js';
import { majorsUnderTest } from '../postgres/binaries.js';
import { expectSame, situations } from './situation.js';

/** Which columns leave the database: column lists, generated columns, and what happens to writers meanwhile. */

const PUBLICATION = 'sluice_pub_shop';
const USERS = `create table users (id int primary key, name text, secret text);
  insert into users values (1, 'a', 'top'), (2, 'b', 'secret')`;
const HIDDEN = { 'public.users': { columns: { exclude: ['secret'] } } };

/** Everything that the slot would send, as text. */
async function onTheWire(f: EngineFixture, publication = PUBLICATION): Promise<string> {
  const rows = await f.source<{ data: Buffer }>(
    `select data from pg_logical_slot_peek_binary_changes($1, null, null, 'proto_version', '1', 'publication_names', $2)`,
    [f.slot, publication],
  );
  return rows.map(({ data }) => data.toString('latin1')).join('\n');
}

async function settings(f: EngineFixture): Promise<string[]> {
  return (await f.plan()).changes.map(({ action, address }) => `${action} ${address}`);
}

async function columnsOf(f: EngineFixture, table: string): Promise<string[]> {
  const rows = await f.read((duckdb) =>
    duckdb.rows(
      `SELECT column_name FROM duckdb_columns() WHERE schema_name = 'public' AND table_name = '${table}' AND column_name NOT LIKE '\\_ph\\_%' ESCAPE '\\' ORDER BY column_index`,
    ),
  );
  return rows.map(([name]) => name ?? '');
}

situations(majorsUnderTest([18], [13, 15, 17, 18]), ({ major, start, prepare }) => {
  test('excluded columns never leave Postgres where it has column lists', async () => {
    const f = await start(USERS, { tables: HIDDEN });
    await f.sync();
    await f.source("insert into users values (3, 'plain', 'hidden away'); update users set secret = 'hidden too'");
    await f.source('delete from users where id = 2');
    const wire = await onTheWire(f);
    expect(wire).toContain('plain');
    expect(wire.includes('hidden')).toBe(major < 15);
    await f.sync();
    await expectSame(f, 'users', ['id', 'name']);
    expect(await columnsOf(f, 'users')).toEqual(['id', 'name']);
    expect(await settings(f)).toEqual([]);
  });

  test('a load selects no excluded column', async () => {
    // All methods read by the same COPY; here the column cannot be read without an error.
    const f = await start(
      `create function refuse(int) returns text language plpgsql immutable as $$begin raise exception 'it was read'; end$$;
       create table t (id int primary key); insert into t values (1);
       create view v as select id, refuse(id) as secret from t`,
      { tables: { 'public.v': { method: 'full_table', columns: { exclude: ['secret'] } } } },
    );
    await f.sync();
    expect(await columnsOf(f, 'v')).toEqual(['id']);
    await f.configure({ 'public.v': { method: 'full_table' } });
    await f.apply();
    expect(await f.trySync()).toMatchObject({ ok: false });
  });

  test.skipIf(major < 15)('the selection is changed while the table is written to', async () => {
    const f = await start(USERS, {
      tables: { 'public.users': { columns: { exclude: ['secret'] }, on_add_columns: 'resync' } },
    });
    await f.sync();
    // Sent under the old list: the value of the column is not in it.
    await f.source("update users set secret = 'before' where id = 1; insert into users values (3, 'c', 'pending')");
    await f.configure({ 'public.users': { on_add_columns: 'resync' } });
    expect(await settings(f)).toEqual([
      'update_settings shop:publication',
      'resync_table shop:public.users',
      'add_columns shop:public.users',
    ]);
    await f.apply();
    await f.source("update users set secret = 'after' where id = 2; insert into users values (4, 'd', 'new')");
    await f.sync();
    await f.sync();
    await expectSame(f, 'users', ['id', 'name', 'secret']);
    await f.configure(HIDDEN);
    expect(await settings(f)).toEqual(['remove_columns shop:public.users', 'update_settings shop:publication']);
    await f.source("update users set name = 'last', secret = 'hidden' where id = 4");
    await f.apply();
    await f.source("insert into users values (5, 'e', 'hidden')");
    expect(await settings(f)).toEqual([]);
    await f.sync();
    await expectSame(f, 'users', ['id', 'name']);
  });

  test.skipIf(major < 15)('the other tables of a publication keep their lists and row filters', async () => {
    const f = await start(
      `${USERS}; create table other (id int primary key, a text, b text); create table third (id int primary key, a text, b text)`,
      { tables: { ...HIDDEN, 'public.third': { columns: { include: ['a'] } } } },
    );
    await f.source(`alter publication ${PUBLICATION} add table other (id, a) where (id > 5)`);
    await f.configure({ 'public.users': {}, 'public.third': { columns: { include: ['a'] } } });
    await f.apply();
    const lists = await f.source<{ name: string; columns: string; filter: string | null }>(
      `select tablename::text as name, attnames::text as columns, rowfilter as filter from pg_publication_tables order by 1`,
    );
    expect(lists).toEqual([
      { name: 'other', columns: '{id,a}', filter: '(id > 5)' },
      { name: 'third', columns: '{id,a}', filter: null },
      { name: 'users', columns: '{id,name,secret}', filter: null },
    ]);
    expect(await settings(f)).toEqual([]);
  });

  test.skipIf(major < 15)('updates and deletes go on whatever the replica identity', async () => {
    const f = await start(
      `create table by_index (id int primary key, code text not null, note text, secret text);
       create unique index codes on by_index (id, code); alter table by_index replica identity using index codes;
       create table whole (id int primary key, note text, secret text); alter table whole replica identity full;
       create table parts (id int, k int, code text not null, note text, primary key (id, k)) partition by list (k);
       create table parts_1 partition of parts for values in (1);
       create unique index part_codes on parts_1 (id, k, code); alter table parts_1 replica identity using index part_codes;
       insert into by_index values (1, 'c', 'n', 's'), (2, 'd', 'n', 's'); insert into whole values (1, 'n', 's'), (2, 'n', 's');
       insert into parts values (1, 1, 'c', 'n'), (2, 1, 'd', 'n')`,
      {
        tables: {
          'public.by_index': { columns: { include: ['note'] } },
          'public.whole': { columns: { include: ['note'] } },
          'public.parts': { columns: { include: ['note'] } },
        },
      },
    );
    await f.sync();
    for (const table of ['by_index', 'whole', 'parts']) {
      await f.source(`update ${table} set note = 'changed' where id = 1; delete from ${table} where id = 2`);
    }
    await f.sync();
    for (const table of ['by_index', 'whole']) await expectSame(f, table, ['id', 'note']);
    await expectSame(f, 'parts', ['id', 'k', 'note']);
    // A list that is there is taken away when the identity becomes one that allows none.
    await f.source('alter table by_index replica identity full');
    await expect(f.source("update by_index set note = 'refused'")).rejects.toThrow(/cannot update table/);
    expect(await settings(f)).toEqual(['update_settings shop:publication', 'update_settings shop:public.by_index']);
    await f.apply();
    await f.source("update by_index set note = 'goes on'");
    await f.sync();
    await expectSame(f, 'by_index', ['id', 'note']);
  });

  test.skipIf(major < 15)('what the notice says drops a listed column without a gap', async () => {
    const f = await start('create table t (id int primary key, a text, b text, c text)', {
      tables: { 'public.t': { columns: { exclude: ['c'] } } },
    });
    await f.sync();
    await f.source("insert into t values (1, 'a', 'b', 'c')");
    await expect(f.source('alter table t drop column b')).rejects.toThrow(/other objects depend on it/);
    await expect(f.source('alter table t alter column b type varchar(9)')).rejects.toThrow(/publication/);
    await f.source(`begin; alter publication ${PUBLICATION} drop table "public"."t"; alter table t drop column b;
      alter publication ${PUBLICATION} add table "public"."t" ("id", "a"); commit`);
    await f.source("insert into t values (2, 'a', 'c')");
    expect(await settings(f)).toEqual(['remove_columns shop:public.t']);
    await f.apply();
    await f.sync();
    await f.source("update t set a = 'last'");
    await f.sync();
    await expectSame(f, 't', ['id', 'a']);
    expect(await settings(f)).toEqual([]);
  });

  test.skipIf(major < 15)('a column that somebody took out of the list stops its table, not the others', async () => {
    const f = await start(`${USERS}; create table good (id int primary key, v text)`, {
      tables: { ...HIDDEN, 'public.good': {} },
    });
    await f.sync();
    await f.source(`begin; alter publication ${PUBLICATION} drop table users;
      alter publication ${PUBLICATION} add table users (id); commit`);
    await f.source("update users set name = 'never sent'; insert into good values (1, 'v')");
    const report = await f.trySync();
    const failed = report.sources.flatMap(({ tables }) => tables.filter(({ status }) => status === 'failed'));
    expect(failed.map(({ address, error }) => `${address} ${error?.code}`)).toEqual([
      'shop:public.users PUBLICATION_INCOMPLETE',
    ]);
    await expectSame(f, 'good', ['id', 'v']);
    expect(await settings(f)).toEqual(['update_settings shop:publication', 'resync_table shop:public.users']);
    await f.apply();
    await f.sync();
    await expectSame(f, 'users', ['id', 'name']);
    expect(await settings(f)).toEqual([]);
  });

  test('a table that somebody took out of the publication and put back is loaded again', async () => {
    const f = await start(USERS, { tables: { 'public.users': {} } });
    await f.sync();
    await f.source(`alter publication ${PUBLICATION} drop table users`);
    await f.source("update users set name = 'never sent'");
    expect(await f.trySync()).toMatchObject({ ok: false });
    await f.source(`alter publication ${PUBLICATION} add table users`);
    await f.sync();
    await expectSame(f, 'users', ['id', 'name', 'secret']);
  });

  test.skipIf(major < 15)('the publication of somebody else for a schema will do', async () => {
    const f = await start(
      `${USERS}; create publication all_of_it for tables in schema public with (publish_via_partition_root)`,
      {
        tables: HIDDEN,
        cdc: { publication: 'all_of_it', management: 'self_managed' },
      },
    );
    await f.sync();
    await f.source("insert into users values (3, 'plain', 'crosses')");
    await f.sync();
    await expectSame(f, 'users', ['id', 'name']);
  });

  test('what setup-sql prints makes a self-managed publication with the same lists', async () => {
    const f = await prepare(USERS, {
      tables: HIDDEN,
      cdc: { publication: 'by_hand', management: 'self_managed' },
    });
    await f.source(await (await f.engine()).setupSql('shop', new AbortController().signal));
    await f.apply();
    await f.sync();
    await f.source("insert into users values (3, 'plain', 'hidden away')");
    const wire = await onTheWire(f, 'by_hand');
    expect(wire).toContain('plain');
    expect(wire.includes('hidden')).toBe(major < 15);
    await f.sync();
    await expectSame(f, 'users', ['id', 'name']);
  });

  describe('generated columns', () => {
    const TABLE = `create table g (id int primary key, a int, twice int generated always as (a * 2) stored);
      insert into g (id, a) values (1, 1), (2, 2)`;

    test('come with the stream or not at all', async () => {
      const f = await start(TABLE, { tables: { 'public.g': { output: 'both' } } });
      await f.sync();
      await f.source('update g set a = 10 where id = 1; insert into g (id, a) values (3, 3)');
      await f.sync();
      expect(await columnsOf(f, 'g')).toEqual(major >= 18 ? ['id', 'a', 'twice'] : ['id', 'a']);
      await expectSame(f, 'g', major >= 18 ? ['id', 'a', 'twice'] : ['id', 'a']);
      expect(await settings(f)).toEqual([]);
    });

    test('other methods copy them all', async () => {
      const virtual = major >= 18 ? ', third int generated always as (a * 3) virtual' : '';
      const f = await start(
        `create table g (id int primary key, a int, twice int generated always as (a * 2) stored${virtual}); insert into g (id, a) values (1, 1)`,
        { tables: { 'public.g': { method: 'full_table' } } },
      );
      await f.sync();
      const rows = await f.read((duckdb) => duckdb.rows('SELECT * FROM public.g'));
      expect(rows).toEqual([major >= 18 ? ['1', '1', '2', '3'] : ['1', '1', '2']]);
    });

    test('a column that is no longer generated comes like a new one', async () => {
      const f = await start(TABLE, { tables: { 'public.g': { on_add_columns: 'resync' } } });
      await f.sync();
      await f.source('alter table g alter column twice drop expression; update g set twice = 7 where id = 1');
      await f.source('insert into g values (4, 4, 44)');
      expect(await settings(f)).toEqual(major >= 18 ? [] : ['resync_table shop:public.g', 'add_columns shop:public.g']);
      await f.apply();
      await f.sync();
      await expectSame(f, 'g', ['id', 'a', 'twice']);
    });

    test.skipIf(major < 18)('by a column list, beside a virtual one, and with REPLICA IDENTITY FULL', async () => {
      const f = await start(
        `create table listed (id int primary key, a int, secret text, twice int generated always as (a * 2) stored, third int generated always as (a * 3) virtual);
         create table whole (id int primary key, a int, twice int generated always as (a * 2) stored); alter table whole replica identity full`,
        {
          tables: {
            'public.listed': { columns: { exclude: ['secret'] } },
            'public.whole': { columns: { include: ['a'] } },
          },
        },
      );
      await f.sync();
      await f.source(
        'insert into listed (id, a) values (1, 1), (2, 2); insert into whole (id, a) values (1, 1), (2, 2)',
      );
      await f.source(
        'update listed set a = 5 where id = 1; update whole set a = 5 where id = 1; delete from whole where id = 2',
      );
      await f.sync();
      await expectSame(f, 'listed', ['id', 'a', 'twice']);
      await expectSame(f, 'whole', ['id', 'a']);
    });

    test.skipIf(major < 18)('a publication that stops sending them stops the table', async () => {
      const f = await start(TABLE, { tables: { 'public.g': {} } });
      await f.sync();
      await f.source(`alter publication ${PUBLICATION} set (publish_generated_columns = none)`);
      await f.source('update g set a = 100');
      expect(await f.trySync()).toMatchObject({ ok: false });
      expect(await settings(f)).toEqual(['update_settings shop:publication', 'resync_table shop:public.g']);
      await f.apply();
      await f.sync();
      await expectSame(f, 'g', ['id', 'a', 'twice']);
    });
  });
});
