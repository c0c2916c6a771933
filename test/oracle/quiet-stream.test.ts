import { readFile, writeFile } from 'node:fs/promises';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { EngineFixture, lsnValue, type TableSettings } from '../engine-fixture.js';
import { majorsUnderTest } from '../postgres/binaries.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';

/** A quiet publication on a busy server, what Sluice writes to a server, and commits that are decoded before they are visible. */

const MAJORS = majorsUnderTest([17], [13, 17]);
const TABLE = 'create table t (id int primary key, v text); insert into t select i, i from generate_series(1, 20) as i';

describe.each(MAJORS)('on Postgres %i', (major) => {
  let postgres: TestPostgres;
  let fixture: EngineFixture | null = null;
  let databases = 0;
  const sessions: pg.Client[] = [];

  beforeAll(async () => {
    postgres = await startPostgres({ major, settings: { wal_writer_delay: '1s', autovacuum: 'off' } });
  });
  afterEach(async () => {
    await releaseCommits();
    for (const session of sessions.splice(0)) await session.end();
    await fixture?.remove();
    fixture = null;
  });
  afterAll(() => postgres?.stop());

  async function start(
    sql: string,
    tables: Readonly<Record<string, TableSettings>>,
    cdc: Readonly<Record<string, unknown>> = {},
  ): Promise<EngineFixture> {
    databases += 1;
    const database = `quiet_${databases}`;
    await postgres.createDatabase(database);
    await postgres.query(sql, [], database);
    fixture = await EngineFixture.create({ postgres, database, tables, cdc: { slot: database, ...cdc } });
    await fixture.apply();
    await fixture.sync();
    return fixture;
  }

  async function session(): Promise<pg.Client> {
    const client = await postgres.client(`quiet_${databases}`);
    sessions.push(client);
    return client;
  }

  async function expectEqual(f: EngineFixture, table = 't'): Promise<void> {
    const source = await f.source<{ id: string; v: string }>(`select id::text, v from ${table} as s order by s.id`);
    const rows = await f.read((duckdb) =>
      duckdb.rows(`SELECT id, v FROM public.${table} WHERE NOT _ph_deleted ORDER BY id`),
    );
    expect(rows).toEqual(source.map((row) => [row.id, row.v]));
  }

  async function editConfig(f: EngineFixture, from: string, to: string): Promise<void> {
    await f.close();
    const text = await readFile(f.configFile, 'utf8');
    expect(text).toContain(from);
    await writeFile(f.configFile, text.replace(from, to));
  }

  test('the slot of a quiet publication follows what other tables and databases write', async () => {
    const f = await start(`${TABLE}; create table noise (v text)`, { 'public.t': {} }, { heartbeat: false });
    const positions = async () => {
      const [slot] = await f.source<{ restart: string; confirmed: string }>(
        'select restart_lsn::text as restart, confirmed_flush_lsn::text as confirmed from pg_replication_slots where slot_name = $1',
        [f.slot],
      );
      return { restart: lsnValue(slot?.restart ?? ''), confirmed: lsnValue(slot?.confirmed ?? '') };
    };
    const began = await positions();
    await postgres.query('create table if not exists noise (v text)');
    // A lake writes a position without changes once it would pin 16 MiB.
    const rows = f.isLake ? 10_000 : 2_000;
    const write = `insert into noise select repeat('x', 1000) from generate_series(1, ${rows})`;
    // Postgres notes which transactions run at a checkpoint, otherwise every 15 seconds.
    for (let round = 0; round < 3; round += 1) {
      await postgres.query(write);
      await f.source(write);
      await postgres.query('checkpoint');
      await f.sync({ untilCaughtUp: false });
    }
    const ended = await positions();
    const written = 3n * 2n * BigInt(rows) * 1_000n;
    expect(ended.confirmed - began.confirmed).toBeGreaterThanOrEqual(written);
    // All but the last round, at the least.
    expect(ended.restart - began.restart).toBeGreaterThan(written / 2n);
  });

  test('with heartbeat: false nothing is written, and asynchronous commits are waited for', async () => {
    const f = await start(TABLE, { 'public.t': {} }, { heartbeat: false });
    await f.source("select pg_create_logical_replication_slot('watcher', 'test_decoding')");
    const messages = async () => {
      const changes = await f.source<{ data: string }>(
        "select data from pg_logical_slot_get_changes('watcher', null, null) where data like 'message:%'",
      );
      return changes.length;
    };
    try {
      const writer = await session();
      await writer.query('set synchronous_commit = off');
      await writer.query("insert into t values (21, 'asynchronous')");
      await f.sync();
      await expectEqual(f);
      await f.resync('public.t');
      await f.sync();
      expect(await messages()).toBe(0);

      await editConfig(f, 'heartbeat: false', 'heartbeat: true');
      await writer.query("insert into t values (22, 'asynchronous')");
      await f.sync();
      await expectEqual(f);
      expect(await messages()).toBe(1);
    } finally {
      await f.source("select pg_drop_replication_slot('watcher')");
    }
  });

  test('a role that may not write heartbeats is told of once in each sync, and nothing is missed', async () => {
    const f = await start(TABLE, { 'public.t': {} });
    const role = `reader_${databases}`;
    await f.source(`create role ${role} login replication password '${postgres.password}'; grant select on t to ${role};
      do $$ declare f regprocedure; begin
        for f in select oid::regprocedure from pg_proc where proname = 'pg_logical_emit_message' loop
          execute format('revoke execute on function %s from public', f);
        end loop; end $$`);
    await editConfig(f, `user: ${postgres.user}`, `user: ${role}`);
    const writer = await session();
    await writer.query('set synchronous_commit = off');
    for (const id of [21, 22]) {
      await writer.query("insert into t values ($1, 'asynchronous')", [id]);
      await f.sync();
      await expectEqual(f);
    }
    const notices = f.events.filter((event) => event.kind === 'notice');
    const told = {
      kind: 'notice',
      address: 'shop:slot',
      message: expect.stringContaining(`role "${role}" may not write`),
    };
    expect(notices).toEqual([told, told]);
  });

  /** From now on commits of sessions with synchronous_commit = on are decoded, but visible to nobody. */
  async function hideCommits(f: EngineFixture): Promise<void> {
    await f.source('set synchronous_commit = local');
    await postgres.query("alter system set synchronous_standby_names = 'nobody'");
    await postgres.query('select pg_reload_conf()');
    await expect
      .poll(async () => (await postgres.query('show synchronous_standby_names'))[0], { interval: 20, timeout: 30_000 })
      .toEqual({ synchronous_standby_names: 'nobody' });
  }

  async function releaseCommits(): Promise<void> {
    await postgres.query('alter system reset synchronous_standby_names');
    await postgres.query('select pg_reload_conf()');
  }

  /** Returns once the commit is in the WAL and waits for its standby. */
  async function commitHidden(sql: string): Promise<{ readonly committed: Promise<unknown> }> {
    const writer = await session();
    await writer.query("set synchronous_commit = on; set application_name = 'hidden'");
    const committed = writer.query(sql);
    committed.catch(() => undefined);
    await expect
      .poll(
        () =>
          postgres.query("select 1 from pg_stat_activity where application_name = 'hidden' and wait_event = 'SyncRep'"),
        { interval: 20, timeout: 30_000 },
      )
      .toHaveLength(1);
    return { committed };
  }

  /** Syncs, and lets the hidden commit become visible once the load waits for it. */
  async function syncAcross(f: EngineFixture, committed: Promise<unknown>): Promise<void> {
    let ended = false;
    const syncing = f.trySync().finally(() => {
      ended = true;
    });
    const waits = () => f.events.some((event) => event.kind === 'waiting' && event.what.includes('not visible yet'));
    await expect.poll(() => waits() || ended, { interval: 20, timeout: 120_000 }).toBe(true);
    await releaseCommits();
    await committed;
    expect(await syncing).toMatchObject({ ok: true });
  }

  test('a load does not miss what was streamed before any snapshot could see it', async () => {
    const f = await start(TABLE, { 'public.t': {} });
    await hideCommits(f);
    const { committed } = await commitHidden(
      "update t set v = 'hidden' where id = 1; insert into t values (21, 'hidden')",
    );
    await f.sync();
    const streamed = await f.read((duckdb) => duckdb.rows('SELECT v FROM public.t WHERE id IN (1, 21)'));
    expect(streamed).toEqual([['hidden'], ['hidden']]);
    await f.resync('public.t');
    // Another process: what is hidden is known from the destination alone.
    await f.close();
    await syncAcross(f, committed);
    await expectEqual(f);
    // A lake notes with the next change that it was seen.
    await f.source("update t set v = 'later' where id = 2");
    await f.sync();
    const left = await f.read((duckdb) => duckdb.rows('SELECT len(unseen) FROM _sluice.streams'));
    expect(left).toEqual([['0']]);
  });

  test('a table that its stream passed over is not loaded without a commit that nobody sees', async () => {
    const f = await start(
      `create table t (id numeric(5, 2) primary key, v text); create table u (id int primary key, v text); insert into u values (1, 'a')`,
      { 'public.t': {}, 'public.u': {} },
    );
    await f.source("insert into t values ('NaN', 'cannot be a key')");
    await hideCommits(f);
    const { committed } = await commitHidden("insert into t values (1, 'hidden')");
    await f.source("insert into u values (2, 'b')");
    expect((await f.trySync()).ok).toBe(false);
    await expectEqual(f, 'u');
    await f.source("delete from t where id = 'NaN'");
    // The deletion of the key that cannot be held is met first.
    await f.trySync();
    await syncAcross(f, committed);
    const source = await f.source<{ id: string; v: string }>('select id::text, v from t');
    const rows = await f.read((duckdb) => duckdb.rows('SELECT id, v FROM public.t WHERE NOT _ph_deleted'));
    expect(source).toHaveLength(1);
    expect(rows).toEqual(source.map((row) => [row.id, row.v]));
  });
});
