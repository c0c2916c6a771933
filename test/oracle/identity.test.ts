import { cp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Action } from '../../src/planner/change.js';
import { EngineFixture, type FixtureOptions } from '../engine-fixture.js';
import { majorsUnderTest } from '../postgres/binaries.js';
import { type PostgresOptions, startPostgres, type TestPostgres } from '../postgres/server.js';

/**
 * The slot, the server or its timeline is not the one that the destination's position belongs to: said before anything is
 * applied, planned as a new slot and new loads, and right again after them.
 */

const never = new AbortController().signal;
const TABLE = 'create table t (id int primary key, v text); insert into t select i, i from generate_series(1, 20) as i';

let fixture: EngineFixture | null = null;
let databases = 0;
const sessions: pg.Client[] = [];

afterEach(async () => {
  for (const session of sessions.splice(0)) await session.end();
  await fixture?.remove();
  fixture = null;
});

async function start(
  postgres: TestPostgres,
  options: Partial<Pick<FixtureOptions, 'cdc' | 'tables'>> = {},
): Promise<EngineFixture> {
  databases += 1;
  const database = `identity_${databases}`;
  await postgres.createDatabase(database);
  await postgres.query(TABLE, [], database);
  fixture = await EngineFixture.create({
    postgres,
    database,
    tables: { 'public.t': { output: 'both' } },
    ...options,
    cdc: { slot: database, ...options.cdc },
  });
  await fixture.apply();
  await fixture.sync();
  return fixture;
}

async function expectEqual(f: EngineFixture): Promise<void> {
  const source = await f.source<{ id: string; v: string }>('select id::text, v from t order by t.id');
  const wanted = source.map((row) => [row.id, row.v]);
  const live = await f.read((duckdb) => duckdb.rows('SELECT id, v FROM public.t WHERE NOT _ph_deleted ORDER BY id'));
  const open = await f.read((duckdb) =>
    duckdb.rows('SELECT id, v FROM public.t_cdc WHERE valid_to IS NULL AND NOT _ph_deleted ORDER BY id'),
  );
  expect({ live, open }).toEqual({ live: wanted, open: wanted });
}

async function allOf(f: EngineFixture): Promise<unknown> {
  return f.read((duckdb) => duckdb.rows('SELECT * FROM public.t_cdc ORDER BY id, _ph_cdc_lsn, _ph_cdc_seq'));
}

/** Nothing is applied: the sync says why, and status does. */
async function expectRefused(f: EngineFixture, code: string, message: RegExp): Promise<void> {
  const before = await allOf(f);
  const report = await f.trySync();
  expect(report.sources[0]?.error).toMatchObject({ code, message: expect.stringMatching(message) });
  expect(await allOf(f)).toEqual(before);
  const status = await (await f.engine()).status(never);
  expect(status.sources[0]?.slot?.trouble?.code).toBe(code);
  expect(status.sources[0]?.tables[0]?.phase).not.toBe('live');
}

/** The plan shows what has to happen, and asks for consent; afterwards all is right, and nothing is left to plan. */
async function expectRenewed(f: EngineFixture, actions: readonly Action[]): Promise<void> {
  const plan = await f.plan();
  expect(plan.blockers).toEqual([]);
  expect(plan.changes.map((change) => change.action)).toEqual(actions);
  expect(plan.changes.find((change) => change.action === 'resync_table')?.destructive).toBe(true);
  await f.apply();
  expect((await f.plan()).changes).toEqual([]);
  await f.source("update t set v = v || ' after' where id % 3 = 0");
  await f.sync();
  await f.source("update t set v = v || ' later' where id % 2 = 0; delete from t where id = 1");
  await f.sync();
  await expectEqual(f);
  expect((await f.plan()).changes).toEqual([]);
}

const RENEWED: readonly Action[] = ['drop_slot', 'create_slot', 'resync_table'];

describe.each(majorsUnderTest([18], [13, 18]))('slots on Postgres %i', (major) => {
  let postgres: TestPostgres;
  beforeAll(async () => {
    postgres = await startPostgres({ major });
  });
  afterAll(() => postgres?.stop());

  const dropSlot = (f: EngineFixture) => f.source('select pg_drop_replication_slot($1)', [f.slot]);

  test('the slot is missing', async () => {
    const f = await start(postgres);
    await dropSlot(f);
    await f.source("update t set v = 'missed' where id = 1; delete from t where id = 2");
    await expectRefused(f, 'SLOT_MISSING', /gone from the server/);
    await expectRenewed(f, ['create_slot', 'resync_table']);
  });

  test('the slot was made anew by somebody else', async () => {
    const f = await start(postgres);
    await dropSlot(f);
    await f.source("update t set v = 'missed' where id = 1; delete from t where id = 2");
    await f.source("select pg_create_logical_replication_slot($1, 'pgoutput')", [f.slot]);
    await expectRefused(f, 'SLOT_AHEAD', /somebody else read from the slot or made it anew/);
    await expectRenewed(f, RENEWED);
  });

  test('somebody else read from the slot', async () => {
    const f = await start(postgres);
    await f.source("update t set v = 'missed' where id = 1");
    await f.source('select pg_replication_slot_advance($1, pg_current_wal_lsn())', [f.slot]);
    await expectRefused(f, 'SLOT_AHEAD', /somebody else read from the slot/);
    await expectRenewed(f, RENEWED);
  });

  test('the destination was restored from an older copy', async () => {
    const f = await start(postgres);
    await f.close();
    const older = path.join(f.folder, 'older');
    await cp(f.place, older, { recursive: true });
    await f.source("update t set v = 'streamed' where id = 1");
    await f.sync();
    await f.close();
    await rm(f.place, { recursive: true });
    await rename(older, f.place);
    await expectRefused(f, 'SLOT_AHEAD', /the destination holds changes up to/);
    await expectRenewed(f, RENEWED);
  });

  test.each([
    {
      name: 'uses another plugin',
      sql: "select pg_create_logical_replication_slot($1, 'test_decoding')",
      what: /test_decoding/,
    },
    { name: 'is a physical one', sql: 'select pg_create_physical_replication_slot($1, true)', what: /physical/ },
    {
      name: 'decodes in two phases',
      sql: "select pg_create_logical_replication_slot($1, 'pgoutput', false, true)",
      what: /two-phase/,
      since: 14,
    },
  ])('the slot of that name $name', async ({ sql, what, since }) => {
    if (since !== undefined && major < since) return;
    const f = await start(postgres);
    await dropSlot(f);
    await f.source(sql, [f.slot]);
    await expectRefused(f, 'SLOT_OCCUPIED', what);
    const { blockers } = await f.plan();
    expect(blockers.map(({ code, address }) => ({ code, address }))).toEqual([
      { code: 'SLOT_OCCUPIED', address: 'shop:slot' },
    ]);
    expect(blockers[0]?.hint).toContain(`pg_drop_replication_slot('${f.slot}')`);
    await dropSlot(f);
    await expectRenewed(f, ['create_slot', 'resync_table']);
  });

  test('the slot of that name is a temporary one', async () => {
    const f = await start(postgres);
    await dropSlot(f);
    const client = await postgres.client(`identity_${databases}`);
    sessions.push(client);
    await client.query("select pg_create_logical_replication_slot($1, 'pgoutput', true)", [f.slot]);
    await expectRefused(f, 'SLOT_OCCUPIED', /temporary/);
    expect((await f.plan()).blockers.map(({ code }) => code)).toEqual(['SLOT_OCCUPIED']);
    await client.query('select pg_drop_replication_slot($1)', [f.slot]);
    await expectRenewed(f, ['create_slot', 'resync_table']);
  });

  test('the slot of that name belongs to another database', async () => {
    const f = await start(postgres);
    await dropSlot(f);
    await postgres.query("select pg_create_logical_replication_slot($1, 'pgoutput')", [f.slot]);
    await expectRefused(f, 'SLOT_OCCUPIED', /belongs to database "postgres"/);
    await postgres.query('select pg_drop_replication_slot($1)', [f.slot]);
    await expectRenewed(f, ['create_slot', 'resync_table']);
  });

  test('the connection reaches another database of the cluster', async () => {
    const f = await start(postgres);
    const database = `identity_${databases}`;
    await postgres.createDatabase(`${database}_other`);
    await postgres.query(TABLE, [], `${database}_other`);
    await editConfig(f, (text) => text.replace(`database: ${database}\n`, `database: ${database}_other\n`));
    await expectRefused(f, 'SYSTEM_CHANGED', /the connection reaches database/);
    expect((await f.plan()).blockers.map(({ code }) => code)).toEqual(['SYSTEM_CHANGED']);
    await editConfig(f, (text) => text.replace(`${database}_other`, database));
    await f.source("update t set v = 'back' where id = 1");
    await f.sync();
    await expectEqual(f);
  });

  test('WAL that the slot needs was removed', async () => {
    const f = await start(postgres);
    await f.source("update t set v = 'missed' where id = 1");
    await postgres.query("alter system set max_slot_wal_keep_size = '1MB'");
    await postgres.query('select pg_reload_conf()');
    try {
      for (let segment = 0; segment < 4; segment += 1) {
        await postgres.query("select pg_logical_emit_message(true, 'test', 'fill'); select pg_switch_wal()");
      }
      await postgres.query('checkpoint');
      await expectRefused(f, 'SLOT_LOST', /removed WAL|invalidated/);
    } finally {
      await postgres.query('alter system reset max_slot_wal_keep_size');
      await postgres.query('select pg_reload_conf()');
    }
    await expectRenewed(f, RENEWED);
  });

  test('the file consents beforehand to what a lost slot needs', async () => {
    const f = await start(postgres, { cdc: { on_slot_lost: 'resync' } });
    await dropSlot(f);
    const plan = await f.plan();
    expect(plan.changes.map(({ action, destructive }) => [action, destructive])).toEqual([
      ['create_slot', false],
      ['resync_table', false],
    ]);
    await f.apply();
    await f.sync();
    await expectEqual(f);
  });

  test.runIf(major >= 18)('the server invalidated the slot as it was idle for too long', async () => {
    const f = await start(postgres);
    await f.source("update t set v = 'missed' where id = 1");
    await postgres.query("alter system set idle_replication_slot_timeout = '1s'");
    await postgres.query('select pg_reload_conf()');
    try {
      await expect
        .poll(
          async () => {
            await postgres.query('checkpoint');
            const [slot] = await f.source<{ reason: string | null }>(
              'select invalidation_reason as reason from pg_replication_slots where slot_name = $1',
              [f.slot],
            );
            return slot?.reason;
          },
          { interval: 300, timeout: 60_000 },
        )
        .toBe('idle_timeout');
    } finally {
      await postgres.query('alter system reset idle_replication_slot_timeout');
      await postgres.query('select pg_reload_conf()');
    }
    await expectRefused(f, 'SLOT_LOST', /idle_timeout/);
    await expectRenewed(f, RENEWED);
  });

  test('slots are made to outlive a failover where the server offers it', async () => {
    const f = await start(postgres);
    const seen = (await (await f.engine()).status(never)).sources[0]?.slot?.failover;
    expect(seen).toBe(major >= 17 ? true : null);
    if (major < 17) return;
    // One that was made without is left alone, and mentioned beside other changes.
    await dropSlot(f);
    await f.resync('public.t');
    await f.source("select pg_create_logical_replication_slot($1, 'pgoutput')", [f.slot]);
    await f.sync();
    await expectEqual(f);
    const quiet = await f.plan();
    expect({ changes: quiet.changes, notices: quiet.notices }).toEqual({ changes: [], notices: [] });
    await f.configure({ 'public.t': { output: 'both', schedule: { every: '7m' } } });
    const plan = await f.plan();
    expect(plan.changes.map((change) => change.action)).toEqual(['change_schedule']);
    expect(plan.notices.map((notice) => notice.message)).toEqual([
      expect.stringContaining('without the failover option'),
    ]);
  });
});

async function editConfig(f: EngineFixture, edit: (text: string) => string): Promise<void> {
  await f.close();
  await writeFile(f.configFile, edit(await readFile(f.configFile, 'utf8')));
}

describe.each(majorsUnderTest([17], [13, 17]))('servers on Postgres %i', (major) => {
  const servers: TestPostgres[] = [];
  afterEach(async () => {
    await fixture?.remove().catch(() => undefined);
    fixture = null;
    for (const server of servers.splice(0)) await server.stop('immediate');
  });

  async function server(options: Partial<PostgresOptions> = {}): Promise<TestPostgres> {
    const started = await startPostgres({ major, ...options });
    servers.push(started);
    return started;
  }

  test('the connection reaches another cluster', async () => {
    const postgres = await server();
    const other = await server({ ownIdentity: true });
    const f = await start(postgres);
    await other.createDatabase(`identity_${databases}`);
    await other.query(TABLE, [], `identity_${databases}`);
    await other.query("select pg_create_logical_replication_slot($1, 'pgoutput')", [f.slot], `identity_${databases}`);
    await editConfig(f, (text) => text.replace(`port: ${postgres.port}`, `port: ${other.port}`));
    await expectRefused(f, 'SYSTEM_CHANGED', /another database cluster/);
    expect((await f.plan()).blockers.map(({ code }) => code)).toEqual(['SYSTEM_CHANGED']);
    await editConfig(f, (text) => text.replace(`port: ${other.port}`, `port: ${postgres.port}`));
    await f.source("update t set v = 'back' where id = 1");
    await f.sync();
    await expectEqual(f);
  });

  test('a standby that had everything takes over', async () => {
    const postgres = await server();
    const f = await start(postgres);
    await f.source("update t set v = 'before' where id <= 5");
    await f.sync();
    await postgres.keepCopy('standby');
    await postgres.replaceByCopy('standby', 'standby');
    await expectRefused(f, 'SERVER_UNSUITABLE', /standby/);
    expect((await f.plan()).blockers.map(({ code }) => code)).toEqual(['SERVER_UNSUITABLE']);
    await postgres.query('select pg_promote()');
    await f.source("update t set v = 'after' where id >= 15; delete from t where id = 2");
    const report = await f.sync();
    // Nothing was loaded anew: the position lies in what both timelines share.
    expect(report.sources[0]?.tables.map((table) => table.kind)).toEqual(['stream']);
    await expectEqual(f);
    const recorded = await f.read((duckdb) => duckdb.rows('SELECT timeline_id FROM _sluice.streams'));
    expect(recorded).toEqual([['2']]);
    expect((await f.plan()).changes).toEqual([]);
  });

  test('a standby takes over, and the server does not say where it switched', async () => {
    const postgres = await server();
    const f = await start(postgres);
    await postgres.keepCopy('standby');
    await postgres.replaceByCopy('standby', 'recovery');
    await rm(path.join(postgres.dir, 'data', 'pg_wal', '00000002.history'));
    await f.source("update t set v = 'after' where id >= 15");
    await expectRefused(f, 'TIMELINE_CHANGED', /does not say at which position/);
    await expectRenewed(f, RENEWED);
  });

  test('a standby takes over that lacks changes which were streamed already', async () => {
    const postgres = await server();
    const f = await start(postgres);
    await postgres.keepCopy('standby');
    await f.source(
      "update t set v = 'lost' where id <= 5; delete from t where id = 7; insert into t values (100, 'lost')",
    );
    await f.sync();
    await postgres.replaceByCopy('standby', 'recovery');
    // The new primary writes on, beyond the position that was confirmed: only its history tells.
    await f.source("update t set v = 'new' where id between 3 and 9");
    await f.source("select pg_logical_emit_message(true, 'test', repeat('x', 100000))");
    await expectRefused(f, 'TIMELINE_CHANGED', /from timeline 1 to 2/);
    await expectRenewed(f, RENEWED);
  });

  test('the server was restored from an older copy', async () => {
    const postgres = await server();
    const f = await start(postgres);
    await postgres.keepCopy('backup');
    await f.source("update t set v = 'lost' where id <= 5; insert into t values (100, 'lost')");
    await f.source("select pg_logical_emit_message(true, 'test', repeat('x', 1000000))");
    await f.sync();
    await postgres.replaceByCopy('backup', 'crash');
    await f.source("update t set v = 'new' where id = 3");
    await expectRefused(f, 'SERVER_BEHIND', /the server's WAL ends at/);
    await expectRenewed(f, RENEWED);
  });
});
