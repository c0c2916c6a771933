import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { realClock } from '../../src/cli/real-clock.js';
import { EngineFixture, type FixtureOptions, lsnValue, SOURCE } from '../engine-fixture.js';
import { hasPostgres, type PostgresMajor } from '../postgres/binaries.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { KillWorld } from './kill-world.js';
import { runCli, runToEnd } from './killed-cli.js';

/** Several sessions that read one table, while others write to it, hold it, or stop the process. */

const SEED = Number(process.env['SLUICE_SEED'] ?? 1);
const TIMEOUT_MS = 300_000;
const PATIENCE_MS = 60_000;
/** 13 has no TID range scans: one session reads the whole. */
const MAJORS: readonly { readonly major: PostgresMajor; readonly sessions: number }[] = [
  { major: 13, sessions: 1 },
  { major: 14, sessions: 4 },
  { major: 17, sessions: 4 },
];

describe.each(MAJORS)('snapshots of Postgres $major with parallel: 4', ({ major, sessions }) => {
  if (!hasPostgres(major)) {
    test.skip('no such server here', () => {});
    return;
  }
  let postgres: TestPostgres;
  beforeAll(async () => {
    postgres = await startPostgres({ major });
  });
  afterAll(() => postgres?.stop());

  test(
    `are exact while others write, with ${sessions} sessions, and after a kill`,
    async () => {
      const world = await KillWorld.create(postgres, 'parallel', SEED, {
        snapshot: { parallel: 4, save_every: '100ms' },
      });
      try {
        await runToEnd(world.fixture, ['apply', '--yes']);
        world.startWriting(false);
        const most = await mostSessions(postgres, () => runToEnd(world.fixture, ['sync']));
        expect(most).toBe(sessions);
        await world.fixture.resync('public.accounts', 'public.parts', 'public.codes', 'public.docs');
        // On 13 every table is one part; elsewhere the first large one has several.
        const killed = await runCli(world.fixture, ['sync', '--force'], { failpoint: 'after_load_part@2' });
        expect(killed.signal).toBe('SIGKILL');
        await sleep(200);
        await runToEnd(world.fixture, ['sync', '--force']);
        await world.stopWriting();
        await runToEnd(world.fixture, ['sync', '--until-caught-up']);
        expect(await world.differences(true)).toEqual([]);
      } finally {
        await world.remove();
      }
    },
    TIMEOUT_MS,
  );
});

describe('a snapshot', () => {
  let postgres: TestPostgres;
  let fixture: EngineFixture | null = null;
  const clients: pg.Client[] = [];
  let databases = 0;

  beforeAll(async () => {
    postgres = await startPostgres({ major: 17 });
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) await client.end();
    await fixture?.remove();
    fixture = null;
  });
  afterAll(() => postgres?.stop());

  async function start(sql: string, options: Partial<FixtureOptions> = {}): Promise<EngineFixture> {
    databases += 1;
    const database = `stopped_${databases}`;
    await postgres.createDatabase(database);
    await postgres.query(sql, [], database);
    fixture = await EngineFixture.create({
      postgres,
      database,
      tables: { 'public.t': {} },
      cdc: { slot: database, publication: database },
      ...options,
    });
    await fixture.apply();
    await fixture.close();
    return fixture;
  }

  /** Keeps everybody else away from the table until it ends. */
  async function hold(f: EngineFixture, table: string): Promise<pg.Client> {
    const client = await postgres.client(f.slot);
    clients.push(client);
    await client.query('set idle_in_transaction_session_timeout = 0');
    await client.query(`begin; lock table ${table} in access exclusive mode`);
    return client;
  }

  const waitsForLock = (f: EngineFixture): Promise<boolean> =>
    exists(f, "application_name like 'sluice snapshot%' and wait_event_type = 'Lock'");

  test(
    'that is stopped while it waits on the server leaves no session there',
    async () => {
      const f = await start('create table t (id int primary key); insert into t values (1)');
      await hold(f, 't');
      const stop = new AbortController();
      const running = runCli(f, ['sync'], { stop: stop.signal });
      await until(() => waitsForLock(f));
      stop.abort();
      const end = await running;
      expect({ code: end.code, output: end.output }).toEqual({
        code: 1,
        output: expect.stringContaining('stopped by SIGTERM'),
      });
      // The table is still held: a session that was merely hung up on would go on waiting.
      await until(async () => !(await exists(f, "application_name like 'sluice%'")), 5_000);
    },
    TIMEOUT_MS,
  );

  test(
    'that is stopped while it reads leaves no session and keeps what it saved',
    async () => {
      const f = await start(
        `create table t (id int primary key, v text);
         insert into t select g, repeat(md5(g::text), 30) from generate_series(1, 60000) g`,
        { snapshot: { parallel: 3, save_every: '0s' } },
      );
      const stop = new AbortController();
      const running = runCli(f, ['sync'], { stop: stop.signal });
      // Ranges are taken in order, and each part saves what it read: these are not the first.
      const block = "substring(query from 'ctid >= ''[(]([0-9]+)')::int";
      await until(() => exists(f, `application_name like 'sluice snapshot%' and ${block} > 2000`));
      stop.abort();
      expect((await running).code).toBe(1);
      await until(async () => !(await exists(f, "application_name like 'sluice%'")), 5_000);
      await f.source("update t set v = 'changed' where id % 1000 = 0");
      await f.sync();
      const count = (where: string) => f.read((duckdb) => duckdb.rows(`SELECT count(*) FROM public.t WHERE ${where}`));
      const said = f.events.flatMap((event) => (event.kind === 'notice' ? [event.message] : []));
      expect(said).toEqual([expect.stringMatching(/^an unfinished snapshot goes on at [1-9][0-9]%/)]);
      expect(await count('true')).toEqual([['60000']]);
      expect(await count("v = 'changed'")).toEqual([['60']]);
    },
    TIMEOUT_MS,
  );

  test(
    'is not cut off by timeouts that the database prescribes',
    async () => {
      const f = await start('create table t (id int primary key); insert into t values (1)');
      for (const name of ['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout']) {
        await f.source(`alter database ${f.slot} set ${name} = '500ms'`);
      }
      const holder = await hold(f, 't');
      const syncing = f.sync();
      await until(() => waitsForLock(f));
      await f.source('set statement_timeout = 0; select pg_sleep(1.5)');
      await holder.query('commit');
      await syncing;
      expect(await f.read((duckdb) => duckdb.rows('SELECT id FROM public.t'))).toEqual([['1']]);
    },
    TIMEOUT_MS,
  );

  test(
    'does not keep the stream of other tables waiting',
    async () => {
      const fast = {
        now: () => realClock.now(),
        monotonicMs: () => realClock.monotonicMs() * 100,
        sleep: (ms: number, signal: AbortSignal) => realClock.sleep(ms / 100, signal),
      };
      const f = await start('create table t (id int primary key); create table other (id int primary key)', {
        tables: { 'public.t': {}, 'public.other': {} },
        clock: fast,
      });
      await f.sync();
      await f.resync('public.t');
      const holder = await hold(f, 't');
      const syncing = f.sync();
      await until(() => waitsForLock(f));
      await f.source('insert into other values (1)');
      const [at] = await f.source<{ lsn: string }>('select pg_current_wal_insert_lsn()::text as lsn');
      await until(async () => {
        const [slot] = await f.source<{ lsn: string }>(
          `select confirmed_flush_lsn::text as lsn from pg_replication_slots where slot_name = '${f.slot}'`,
        );
        return lsnValue(slot?.lsn ?? '0/0') >= lsnValue(at?.lsn ?? '0/0');
      });
      await holder.query('commit');
      await syncing;
      expect(await f.read((duckdb) => duckdb.rows('SELECT id FROM public.other'))).toEqual([['1']]);
      expect(f.events.some((event) => event.kind === 'table_failed' && event.address.startsWith(SOURCE))).toBe(false);
    },
    TIMEOUT_MS,
  );
});

async function exists(f: EngineFixture, condition: string): Promise<boolean> {
  const [row] = await f.source<{ found: boolean }>(
    `select exists (select from pg_stat_activity where datname = current_database() and ${condition}) as found`,
  );
  return row?.found === true;
}

async function until(condition: () => Promise<boolean>, patienceMs = PATIENCE_MS): Promise<void> {
  const end = performance.now() + patienceMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error('waited in vain');
    await sleep(20);
  }
}

/** The most sessions for snapshots that were open at once while the work went on. */
async function mostSessions(postgres: TestPostgres, work: () => Promise<unknown>): Promise<number> {
  let most = 0;
  let done = false;
  const working = work().finally(() => {
    done = true;
  });
  while (!done) {
    const [row] = await postgres.query<{ n: number }>(
      "select count(*)::int as n from pg_stat_activity where application_name like 'sluice snapshot%'",
    );
    most = Math.max(most, row?.n ?? 0);
    await sleep(5);
  }
  await working;
  return most;
}
