import { cp, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { EngineFixture, everydayDestination, type TableSettings } from '../engine-fixture.js';
import { majorsUnderTest } from '../postgres/binaries.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';

/**
 * A source whose `destination:` becomes another one: every table is loaded into it anew while the slot goes on, and the
 * old destination stays as it was to the byte. Changes between the slot's position and the new snapshots must be in
 * neither twice nor not at all.
 */

const MAJORS = majorsUnderTest([17], [13, 17]);
const OTHER = everydayDestination('other');
const TABLES = `
  create table kept (id int primary key, v text, at timestamptz not null default now());
  insert into kept select i, 'first ' || i from generate_series(1, 30) as i;
  create table dropped (id int primary key, v text);
  insert into dropped values (1, 'stays where it is');
  create table polled (id int primary key, v text, at timestamptz not null default clock_timestamp());
  insert into polled select i, 'first ' || i from generate_series(1, 30) as i`;
const ALL: Readonly<Record<string, TableSettings>> = {
  'public.kept': { output: 'both' },
  'public.dropped': {},
  'public.polled': { method: 'incremental', cursor: 'at' },
};

describe.each(MAJORS)('on Postgres %i', (major) => {
  let postgres: TestPostgres;
  let fixture: EngineFixture | null = null;
  let databases = 0;
  const sessions: pg.Client[] = [];

  beforeAll(async () => {
    postgres = await startPostgres({ major });
  });
  afterEach(async () => {
    await postgres.query('alter system reset synchronous_standby_names');
    await postgres.query('select pg_reload_conf()');
    for (const session of sessions.splice(0)) await session.end();
    await fixture?.remove();
    fixture = null;
  });
  afterAll(() => postgres?.stop());

  async function start(sql: string, tables: Readonly<Record<string, TableSettings>>): Promise<EngineFixture> {
    databases += 1;
    const database = `moved_${databases}`;
    await postgres.createDatabase(database);
    await postgres.query(sql, [], database);
    fixture = await EngineFixture.create({ postgres, database, tables, cdc: { slot: database } });
    await fixture.apply();
    await fixture.sync();
    return fixture;
  }

  async function session(): Promise<pg.Client> {
    const client = await postgres.client(`moved_${databases}`);
    sessions.push(client);
    return client;
  }

  async function expectEqual(f: EngineFixture, ...tables: readonly string[]): Promise<void> {
    for (const table of tables) {
      const source = await f.source<{ id: string; v: string }>(`select id::text, v from ${table} as s order by s.id`);
      const live = table === 'polled' ? 'true' : 'NOT _ph_deleted';
      const rows = await f.read((duckdb) =>
        duckdb.rows(`SELECT id, v FROM public.${table} WHERE ${live} ORDER BY id::INTEGER`),
      );
      expect(rows, table).toEqual(source.map((row) => [row.id, row.v]));
    }
  }

  async function change(f: EngineFixture, round: string): Promise<void> {
    await f.source(`insert into kept select max(id) + 1, '${round}' from kept;
      update kept set v = v || ' ${round}' where id % 3 = 0; delete from kept where id = (select min(id) from kept);
      insert into polled select max(id) + 1, '${round}' from polled;
      update polled set v = '${round}', at = clock_timestamp() where id = 7`);
  }

  test('all tables are loaded into the new one, the old one stays, and so does the slot', async () => {
    const f = await start(TABLES, ALL);
    await change(f, 'a');
    await f.sync();
    const old = f.place;
    const slotBefore = await f.positions();
    await change(f, 'between');
    await f.source('analyze');

    const { 'public.dropped': _dropped, ...left } = ALL;
    await f.moveTo('other', OTHER);
    await f.configure(left);
    const oldBytes = await bytesOf(old);
    const plan = await f.plan();
    expect(plan.blockers).toEqual([]);
    expect(plan.changes.map(({ action, address, destructive }) => [action, address, destructive])).toEqual([
      ['update_settings', 'shop', true],
      ['create_table', 'shop:public.kept', false],
      ['snapshot_table', 'shop:public.kept', false],
      ['create_table', 'shop:public.polled', false],
      ['snapshot_table', 'shop:public.polled', false],
      ['forget_table', 'shop:public.dropped', false],
      ['remove_publication_tables', 'shop:publication', false],
    ]);
    const [move, , load] = plan.changes;
    expect(move?.reason).toContain('what stands in the old one ("warehouse") is left there');
    expect(load?.cost.rows).toBeGreaterThan(0);

    await f.apply();
    await change(f, 'after the apply');
    await f.sync();
    await expectEqual(f, 'kept', 'polled');
    await change(f, 'streamed');
    await f.sync();
    await expectEqual(f, 'kept', 'polled');
    expect((await f.plan()).changes).toEqual([]);
    await f.close();
    expect(await bytesOf(old)).toEqual(oldBytes);

    // The same slot, whose position has moved on from where the old destination stands.
    expect((await f.positions()).slot).not.toBe(slotBefore.slot);
    const history = await f.read((duckdb) =>
      duckdb.rows(
        `SELECT count(*), count(*) FILTER (valid_to IS NULL), count(DISTINCT (id, _ph_cdc_lsn, _ph_cdc_seq)) FROM public.kept_cdc`,
      ),
    );
    expect(history[0]?.[0]).toBe(history[0]?.[2]);
  });

  test('and back again, where the rows of then are still there', async () => {
    const f = await start(TABLES, ALL);
    await f.moveTo('other', OTHER);
    await change(f, 'a');
    await f.apply();
    await f.sync();
    await change(f, 'b');
    await f.sync();
    await f.moveTo('warehouse');
    await change(f, 'c');
    expect((await f.apply()).changes.map(({ action }) => action)).not.toContain('create_slot');
    await f.sync();
    await expectEqual(f, 'kept', 'polled', 'dropped');
    await change(f, 'd');
    await f.sync();
    await expectEqual(f, 'kept', 'polled', 'dropped');
    expect((await f.plan()).changes).toEqual([]);
  });

  test('a copy of the old file as the new one: what it holds is not taken for what the slot has brought', async () => {
    const f = await start(TABLES, ALL);
    await f.close();
    await cp(f.place, path.join(f.folder, OTHER.path), { recursive: true });
    await change(f, 'a');
    await f.sync();
    await f.moveTo('other', OTHER);
    await change(f, 'b');
    expect((await f.apply()).changes.map(({ action }) => action)).not.toContain('create_slot');
    await f.sync();
    await expectEqual(f, 'kept', 'polled', 'dropped');
    expect((await f.plan()).changes).toEqual([]);
  });

  // Nobody else writes tables of plain files that tell of themselves.
  test.skipIf(OTHER['format'] === 'parquet')('a table in the new one that is not ours stays', async () => {
    const f = await start(TABLES, ALL);
    await occupy(f);
    await f.moveTo('other', OTHER);
    if (f.isLake) {
      // A plan does not look through a lake; the load does.
      const theirs = await bytesOf(path.join(f.place, 'public/kept'));
      await f.apply();
      const { sources } = await f.trySync();
      const tables = sources.flatMap((source) => source.tables);
      expect(tables.map(({ address, status, error }) => [address, status, error?.code ?? null])).toEqual([
        ['shop:public.dropped', 'ok', null],
        ['shop:public.kept', 'failed', 'DESTINATION_OCCUPIED'],
        ['shop:public.polled', 'ok', null],
      ]);
      expect(await bytesOf(path.join(f.place, 'public/kept'))).toEqual(theirs);
      return;
    }
    const plan = await f.plan();
    expect(plan.blockers.map(({ code, address }) => [code, address])).toEqual([
      ['DESTINATION_OCCUPIED', 'shop:public.kept'],
    ]);
  });

  test('a load does not miss a commit that the slot brought to the old one before any snapshot could see it', async () => {
    const f = await start(TABLES, ALL);
    await f.moveTo('other', OTHER);
    const plan = await f.plan();
    await f.moveTo('warehouse');
    await postgres.query("alter system set synchronous_standby_names = 'nobody'");
    await postgres.query('select pg_reload_conf()');
    const writer = await session();
    await expect
      .poll(async () => (await writer.query('show synchronous_standby_names')).rows, { interval: 20, timeout: 30_000 })
      .toEqual([{ synchronous_standby_names: 'nobody' }]);
    await writer.query("set synchronous_commit = on; set application_name = 'hidden'");
    const committed = writer.query("update kept set v = 'hidden' where id = 1; insert into kept values (99, 'hidden')");
    committed.catch(() => undefined);
    await expect
      .poll(
        () =>
          postgres.query("select 1 from pg_stat_activity where application_name = 'hidden' and wait_event = 'SyncRep'"),
        { interval: 20, timeout: 30_000 },
      )
      .toHaveLength(1);
    await f.sync();
    const streamed = await f.read((duckdb) => duckdb.rows('SELECT v FROM public.kept WHERE id IN (1, 99)'));
    expect(streamed).toEqual([['hidden'], ['hidden']]);

    await f.moveTo('other');
    expect((await f.apply()).changes.map(({ action }) => action)).toEqual(plan.changes.map(({ action }) => action));
    let ended = false;
    const syncing = f.trySync().finally(() => {
      ended = true;
    });
    const waits = () =>
      f.events.some((event) => event.kind === 'waiting' && event.what.includes('when the destination was changed'));
    await expect.poll(() => waits() || ended, { interval: 20, timeout: 120_000 }).toBe(true);
    expect(ended).toBe(false);
    await postgres.query('alter system reset synchronous_standby_names');
    await postgres.query('select pg_reload_conf()');
    await committed;
    expect(await syncing).toMatchObject({ ok: true });
    await expectEqual(f, 'kept');
  });
});

/** Of all files of a destination, by their path in it. */
async function bytesOf(place: string): Promise<Map<string, string>> {
  const isFolder = (await stat(place)).isDirectory();
  const entries = isFolder ? await readdir(place, { recursive: true, withFileTypes: true }) : [];
  const files = isFolder
    ? entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name))
    : [place];
  return new Map(await Promise.all(files.map(async (file) => [file, await readFile(file, 'base64')] as const)));
}

/** Somebody else's table where "kept" would go. */
async function occupy(f: EngineFixture): Promise<void> {
  const place = path.join(f.folder, OTHER.path);
  if (f.isLake) {
    const log = path.join(place, 'public/kept/_delta_log');
    await mkdir(log, { recursive: true });
    await writeFile(path.join(log, '00000000000000000000.json'), THEIR_COMMIT);
    return;
  }
  const instance = await DuckDBInstance.create(place);
  const connection = await instance.connect();
  await connection.run('CREATE SCHEMA IF NOT EXISTS public; CREATE TABLE public.Kept AS SELECT 1 AS theirs');
  connection.closeSync();
  instance.closeSync();
}

const THEIR_COMMIT = `{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}
{"metaData":{"id":"5fba94ed-9794-4965-ba6e-6ee3c0d22af9","format":{"provider":"parquet","options":{}},"schemaString":"{\\"type\\":\\"struct\\",\\"fields\\":[{\\"name\\":\\"theirs\\",\\"type\\":\\"long\\",\\"nullable\\":true,\\"metadata\\":{}}]}","partitionColumns":[],"configuration":{},"createdTime":1700000000000}}
`;
