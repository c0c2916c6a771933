import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { EngineFixture, type TableSettings } from '../engine-fixture.js';
import { majorsUnderTest } from '../postgres/binaries.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';

/** Tables that leave and join a stream that goes on, and rewrites while one is read. */

const MAJORS = majorsUnderTest([17], [13, 17]);
const TABLES = `create table t (id int primary key, v text); insert into t select i, i from generate_series(1, 50) as i;
  create table u (id int primary key, v text); insert into u select i, i from generate_series(1, 5) as i`;

describe.each(MAJORS)('on Postgres %i', (major) => {
  let postgres: TestPostgres;
  let fixture: EngineFixture | null = null;
  let databases = 0;
  const sessions: pg.Client[] = [];

  beforeAll(async () => {
    postgres = await startPostgres({ major });
  });
  afterEach(async () => {
    // First, as an open transaction would hold up whatever waits for it.
    for (const session of sessions.splice(0)) await session.end();
    await fixture?.remove();
    fixture = null;
  });
  afterAll(() => postgres?.stop());

  async function start(t: TableSettings = {}): Promise<EngineFixture> {
    databases += 1;
    const database = `live_${databases}`;
    await postgres.createDatabase(database);
    await postgres.query(TABLES, [], database);
    fixture = await EngineFixture.create({
      postgres,
      database,
      tables: { 'public.t': t, 'public.u': {} },
      cdc: { slot: database },
    });
    await fixture.apply();
    await fixture.sync();
    return fixture;
  }

  async function session(): Promise<pg.Client> {
    const client = await postgres.client(`live_${databases}`);
    sessions.push(client);
    return client;
  }

  async function sourceRows(f: EngineFixture, table: string): Promise<unknown> {
    const rows = await f.source<{ id: string; v: string }>(`select id::text, v from ${table} as s order by s.id`);
    return rows.map((row) => [row.id, row.v]);
  }

  function rowsOf(f: EngineFixture, table: string): Promise<unknown> {
    return f.read((duckdb) => duckdb.rows(`SELECT id, v FROM public.${table} WHERE NOT _ph_deleted ORDER BY id`));
  }

  async function expectEqual(f: EngineFixture, table: string): Promise<void> {
    expect(await rowsOf(f, table)).toEqual(await sourceRows(f, table));
  }

  async function published(f: EngineFixture): Promise<readonly string[]> {
    const rows = await f.source<{ name: string }>('select tablename as name from pg_publication_tables order by 1');
    return rows.map((row) => row.name);
  }

  test.each([
    { onRemove: 'keep', place: [['public', 't']], actions: ['forget_table', 'remove_publication_tables'] },
    {
      onRemove: 'retire',
      place: [['_sluice_retired', 'public.t']],
      actions: ['retire_table', 'remove_publication_tables'],
    },
    { onRemove: 'drop', place: [], actions: ['drop_table', 'remove_publication_tables'] },
  ])('a table that leaves with on_remove: $onRemove, and comes back', async ({ onRemove, place, actions }) => {
    const f = await start({ on_remove: onRemove });
    const before = await rowsOf(f, 't');
    await f.configure({ 'public.u': {} });
    const plan = await f.apply();
    expect(plan.changes.map((change) => change.action)).toEqual(actions);
    expect(await published(f)).toEqual(['u']);
    await f.source(
      "update t set v = 'unseen' where id = 1; delete from t where id = 2; update u set v = 'seen' where id = 1",
    );
    await f.sync();
    await expectEqual(f, 'u');
    const found = await f.read((duckdb) =>
      duckdb.rows(
        `SELECT schema_name, split_part(name, '@', 1) FROM (SELECT schema_name, table_name AS name FROM duckdb_tables()
           UNION ALL SELECT schema_name, view_name FROM duckdb_views())
         WHERE (schema_name, name) = ('public', 't') OR schema_name = '_sluice_retired'`,
      ),
    );
    expect(found).toEqual(place);
    if (onRemove === 'keep') expect(await rowsOf(f, 't')).toEqual(before);

    await f.configure({ 'public.t': { on_remove: onRemove }, 'public.u': {} });
    const back = await f.plan();
    expect(back.blockers).toEqual([]);
    expect(back.changes.map((change) => change.action)).toEqual([
      'add_publication_tables',
      'create_table',
      'snapshot_table',
    ]);
    await f.apply();
    await f.source("update t set v = 'after' where id = 3");
    await f.sync();
    await expectEqual(f, 't');
  });

  test('a table that is disabled stays as it is, and enabling it takes a new snapshot, which the plan says', async () => {
    const f = await start();
    const before = await rowsOf(f, 't');
    await f.configure({ 'public.t': { enabled: false }, 'public.u': {} });
    const disabling = await f.apply();
    expect(disabling.changes.map((change) => change.action)).toEqual(['disable_table', 'remove_publication_tables']);
    await f.source(
      "update t set v = 'unseen' where id = 1; delete from t where id = 2; insert into u values (6, 'seen')",
    );
    await f.sync();
    expect(await rowsOf(f, 't')).toEqual(before);
    await expectEqual(f, 'u');

    // What this writes before the table is published again is never streamed, though it commits later.
    const writer = await session();
    await writer.query("begin; update t set v = 'early' where id = 3; insert into t values (100, 'early')");
    await f.configure({ 'public.t': {}, 'public.u': {} });
    const enabling = await f.apply();
    expect(enabling.changes.map(({ action, destructive }) => [action, destructive])).toEqual([
      ['add_publication_tables', false],
      ['enable_table', true],
    ]);
    expect(enabling.changes.at(-1)?.reason).toContain('takes a new snapshot');
    const syncing = f.sync();
    await expect
      .poll(() => f.events.some((event) => event.kind === 'waiting' && event.what.includes('open transactions')), {
        interval: 20,
        timeout: 60_000,
      })
      .toBe(true);
    await writer.query('commit');
    await syncing;
    await f.source("update t set v = 'after' where id = 4");
    await f.sync();
    await expectEqual(f, 't');
    expect((await f.plan()).changes).toEqual([]);
  });

  test.each([
    { name: 'TRUNCATE', sql: "truncate t; insert into t values (7, 'seven')" },
    { name: 'a rewriting ALTER', sql: "alter table t alter column v type text using v || ' rewritten'" },
  ])('$name between the snapshot of a load and its read', async ({ sql }) => {
    const f = await start();
    await f.resync('public.t');
    const writer = await session();
    await writer.query('begin');
    await writer.query(sql);
    const syncing = f.trySync();
    await expect
      .poll(() => f.source("select 1 from pg_locks where relation = 't'::regclass and not granted"), {
        interval: 20,
        timeout: 60_000,
      })
      .toHaveLength(1);
    await writer.query('commit');
    expect(await syncing).toMatchObject({ ok: true });
    await expectEqual(f, 't');
    await f.source("insert into t values (200, 'after')");
    await f.sync();
    await expectEqual(f, 't');
  });
});
