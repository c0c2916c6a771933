import { spawn } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { SOURCE } from '../engine-fixture.js';
import { writeWal } from '../guard/guard-fixture.js';
import { majorsUnderTest } from '../postgres/binaries.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { FollowedFixture, type FollowedOptions } from './followed-fixture.js';

/** The continuous transport on a real server. */

const MAJORS = majorsUnderTest([17], [13, 14, 17, 18]);
const PATIENCE = { interval: 50, timeout: 90_000 } as const;
const never = new AbortController().signal;

describe.each(MAJORS)('following Postgres %i', (major) => {
  let postgres: TestPostgres;
  let followed: FollowedFixture | null = null;
  let databases = 0;

  beforeAll(async () => {
    postgres = await startPostgres({
      major,
      settings: { logical_decoding_work_mem: '64kB', wal_sender_timeout: '3s', max_wal_senders: '10' },
    });
  });
  afterEach(async () => {
    await followed?.remove();
    followed = null;
  });
  afterAll(() => postgres?.stop());

  async function start(sql: string, options: FollowedOptions = {}): Promise<FollowedFixture> {
    databases += 1;
    followed = await FollowedFixture.create(postgres, `followed_${databases}`, sql, options);
    return followed;
  }

  const TABLE =
    'create table t (id int primary key, v text); insert into t select i, $$a$$ from generate_series(1, 20) i';

  test('changes land within the flush interval, and the end is in order', async () => {
    const f = await start(TABLE);
    await f.follow();
    await f.fixture.source(
      "insert into t values (100, 'new'); update t set v = 'b' where id < 5; delete from t where id = 9",
    );
    await f.untilConfirmed();
    await f.expectEqual();
    await f.fixture.source(
      'begin; insert into t values (101); truncate t; insert into t values (7, $$after$$); commit',
    );
    await f.untilConfirmed();
    await f.untilStreaming();
    await f.fixture.source("update t set v = 'at the end'");
    const run = await f.stop();
    expect(run.error).toBeNull();
    expect(await f.walsender()).toBeNull();
    await f.fixture.sync();
    await f.expectEqual();
    expect(await readdir(path.dirname(f.fixture.stateFile))).not.toContain('spill');
  });

  test('large transactions come whole, without what was rolled back in them', async () => {
    const f = await start(`${TABLE}; create table u (id int primary key, v text)`, {
      tables: { 'public.t': { output: 'both' }, 'public.u': {} },
    });
    await f.follow();
    const large = await postgres.client(f.slot);
    const other = await postgres.client(f.slot);
    try {
      const block = (from: number): string =>
        `insert into t select i, 'x' || i from generate_series(${from}, ${from + 4999}) i`;
      await large.query(`begin; ${block(10_000)}; savepoint a; ${block(20_000)}; savepoint b; ${block(30_000)}`);
      await other.query(`begin; insert into u select i, 'u' from generate_series(1, 6000) i`);
      await large.query(`rollback to a; ${block(40_000)}; update t set v = 'changed' where id between 10000 and 12000`);
      // A savepoint that adds a column and is taken back: the description of the table changes twice.
      await large.query(
        `savepoint c; alter table t add column extra int; ${block(50_000)}; rollback to c; ${block(60_000)}`,
      );
      await f.fixture.source("insert into u values (0, 'small, and first')");
      await f.untilConfirmed();
      const between = await f.rows('SELECT count(*) FROM public.t');
      expect(between).toEqual([['20']]);
      await other.query('rollback');
      await large.query('commit');
      await f.untilConfirmed();
      await f.expectEqual('t');
      await f.expectEqual('u');
      const commits = await f.rows('SELECT count(DISTINCT _ph_cdc_lsn) FROM public.t WHERE id >= 10000');
      expect(commits).toEqual([['1']]);
      await f.stop();
    } finally {
      await large.end();
      await other.end();
    }
  });

  test('Postgres is told only what the destination has committed, and hears of us while that takes long', async () => {
    const f = await start(TABLE);
    await f.follow();
    await f.untilConfirmed();
    const pid = await f.walsender();
    const before = await f.confirmed();
    const holder = await holdFile(f.fixture.workFile);
    try {
      await f.fixture.source("insert into t values (200, 'held up')");
      await expect
        .poll(() => f.fixture.events.some((e) => e.kind === 'waiting' && e.what.includes('held')), PATIENCE)
        .toBe(true);
      // More than twice the time after which the server hangs up on a silent receiver.
      const [row] = await postgres.query<{ before: bigint }>('select pg_sleep(7), 1 as before');
      expect(row?.before).toBe(1);
      expect(await f.confirmed()).toBe(before);
    } finally {
      await holder.release();
    }
    await f.untilConfirmed();
    expect(await f.walsender()).toBe(pid);
    await f.expectEqual();
    await f.stop();
  });

  test('a position that moves without changes is confirmed: it pins no WAL', async () => {
    const f = await start(`${TABLE}; create table other (id int)`);
    await f.follow();
    const before = await f.confirmed();
    await f.fixture.source('insert into other select generate_series(1, 1000)');
    // A lake, where each costs a write, may leave it at that until it pins 64 MiB.
    const pins = f.fixture.isLake ? 64 : 0;
    await writeWal(postgres, pins === 0 ? 0 : pins + 16, f.slot);
    await f.untilConfirmed(BigInt(pins) * 1024n ** 2n);
    expect(await f.confirmed()).toBeGreaterThan(before);
    await f.expectEqual();
    await f.stop();
  });

  test('a connection that ends is told, and nothing is lost or done twice', async () => {
    const f = await start(TABLE, { tables: { 'public.t': { output: 'both' } } });
    for (let round = 0; round < 3; round += 1) {
      await f.follow();
      await f.fixture.source(
        `insert into t values (${300 + round}, 'before'); update t set v = 'round ${round}' where id = 1`,
      );
      await postgres.query('select pg_terminate_backend($1)', [await f.walsender()]);
      const run = await f.ended();
      expect(run.error?.code).toBe('SOURCE_CONNECTION_LOST');
    }
    await f.fixture.sync();
    await f.expectEqual();
    const versions = await f.rows('SELECT v FROM public.t_cdc WHERE id = 1 ORDER BY _ph_cdc_lsn, _ph_cdc_seq');
    expect(versions.flat()).toEqual(['a', 'round 0', 'round 1', 'round 2']);
  });

  test('another reader of the slot is waited for, and named', async () => {
    const f = await start(TABLE);
    await f.follow();
    await f.stop();
    const url = `${postgres.urlOf(f.slot)}?replication=database&application_name=the%20predecessor`;
    const reader = new pg.Client({ connectionString: url });
    await reader.connect();
    const lost = new Promise((resolve) => reader.once('error', resolve));
    const options = `proto_version '1', publication_names '${f.slot}'`;
    reader.query(`START_REPLICATION SLOT ${f.slot} LOGICAL 0/0 (${options})`).catch(() => undefined);
    await expect.poll(() => f.walsender(), PATIENCE).not.toBeNull();
    const pid = await f.walsender();
    f.start();
    await expect
      .poll(() => f.fixture.events.find((e) => e.kind === 'waiting' && e.address === `${SOURCE}:slot`), PATIENCE)
      .toMatchObject({ what: expect.stringContaining(`backend ${pid} (application "the predecessor"`) });
    await postgres.query('select pg_terminate_backend($1)', [pid]);
    await lost;
    await f.untilStreaming();
    await f.fixture.source("insert into t values (400, 'afterwards')");
    await f.untilConfirmed();
    await f.expectEqual();
    await f.stop();
  });

  test('other work goes first: a sync of this process, a resync, and what another process does', async () => {
    const f = await start(TABLE);
    await f.follow();
    await f.fixture.source("insert into t values (500, 'for the sync')");
    await f.fixture.sync();
    await f.expectEqual();
    await f.untilStreaming();
    await f.fixture.resync('public.t');
    await expect
      .poll(() => f.fixture.events.filter((e) => e.kind === 'load_ended').length, PATIENCE)
      .toBeGreaterThanOrEqual(2);
    await f.untilStreaming();
    const { runToEnd } = await import('../kill/killed-cli.js');
    await f.fixture.source("insert into t values (501, 'for the other process')");
    await runToEnd(f.fixture, ['sync', '--until-caught-up']);
    await f.untilStreaming();
    await f.expectEqual();
    await f.stop();
  });

  test('another source of the same file is synced beside it', async () => {
    const f = await start(`${TABLE}; create table u (id int primary key, v text); insert into u values (1, 'a')`, {
      moreSources: {
        other: { connection: 'db', destination: 'warehouse', tables: { 'public.u': { method: 'full_table' } } },
      },
    });
    await f.follow();
    const pid = await f.walsender();
    for (let round = 0; round < 5; round += 1) {
      await f.fixture.source(`insert into t values (${800 + round}, 'x'); insert into u values (${2 + round}, 'x')`);
      await f.fixture.sync({ address: 'other', untilCaughtUp: false });
      // What is due, as a daemon asks for it.
      await f.fixture.sync({ untilCaughtUp: false, force: false });
    }
    await f.untilConfirmed();
    expect(await f.walsender()).toBe(pid);
    await f.expectEqual();
    const rows = await f.rows('SELECT count(*) FROM public.u');
    expect(rows).toEqual([['6']]);
    await f.stop();
  });

  test("a table's own trouble ends with that table; its neighbours follow on", async () => {
    const f = await start(
      'create table t (id int primary key, v text); create table bad (id numeric(5,2) primary key, v text)',
      {
        tables: { 'public.t': {}, 'public.bad': {} },
      },
    );
    await f.follow();
    await f.fixture.source("insert into bad values ('NaN', 'no key'); insert into t values (1, 'beside it')");
    await f.untilConfirmed();
    await f.expectEqual('t');
    await f.fixture.source("insert into t values (2, 'later')");
    await f.untilConfirmed();
    await f.expectEqual('t');
    const run = await f.stop();
    expect(run.tables.filter((table) => table.status === 'failed').map((table) => table.address)).toEqual([
      'shop:public.bad',
    ]);
    await f.fixture.source('delete from bad');
    await f.fixture.trySync();
    await f.fixture.trySync();
    await f.expectEqual('bad');
  });

  test('the destination can be read between pages', async () => {
    const f = await start(TABLE);
    await f.follow();
    await f.fixture.source("insert into t values (600, 'x')");
    await f.untilConfirmed();
    expect(await f.rows('SELECT v FROM public.t WHERE id = 600')).toEqual([['x']]);
    await f.stop();
  });

  test('switching between the transports under load loses and repeats nothing', async () => {
    const f = await start(TABLE, { tables: { 'public.t': { output: 'both' } } });
    await f.fixture.sync();
    const client = await postgres.client(f.slot);
    let writing = true;
    let id = 1_000;
    const writer = (async () => {
      while (writing) {
        id += 10;
        // The row grows with each transaction: without a pause what is written grows with the square of the time.
        await sleep(3);
        await client.query(
          `begin; insert into t select i, 'w' from generate_series(${id}, ${id + 9}) i; update t set v = coalesce(v, '') || 'x' where id in (1, ${id}); commit`,
        );
      }
    })();
    try {
      for (let round = 0; round < 4; round += 1) {
        await f.follow();
        await f.untilConfirmed();
        await f.stop();
        await f.fixture.sync();
      }
    } finally {
      writing = false;
      await writer;
      await client.end();
    }
    await f.fixture.sync();
    await f.expectEqual();
    const [first] = await f.fixture.source<{ n: string }>('select (length(v) - 1)::text as n from t where id = 1');
    const versions = await f.rows(
      "SELECT count(*), count(DISTINCT (_ph_cdc_lsn, _ph_cdc_seq)) FROM public.t_cdc WHERE id = 1 AND _ph_cdc_op = 'U'",
    );
    expect(versions).toEqual([[first?.n, first?.n]]);
  });

  test('a server that shuts down is confirmed what it waits for, and does not wait long', async () => {
    const f = await start(TABLE, { flush: { every: '1h' } });
    await f.follow();
    await f.fixture.source("insert into t values (700, 'just before')");
    await postgres.restart();
    const run = await f.ended();
    expect(run.error?.code).toMatch(/^SOURCE_/);
    const rows = await f.rows('SELECT v FROM public.t WHERE id = 700');
    expect(rows).toEqual([['just before']]);
    const engine = await f.fixture.engine();
    expect((await engine.status(never)).sources[0]?.slot?.active).toBe(false);
  });
});

/** Holds a DuckDB file open for writing, as another process. */
async function holdFile(file: string): Promise<{ release(): Promise<void> }> {
  // The follower may have the file just now.
  const script = `const { DuckDBInstance } = await import('@duckdb/node-api');
    let instance = null;
    while (instance === null) {
      instance = await DuckDBInstance.create(process.argv[1]).catch(() => null);
      if (instance === null) await new Promise((resolve) => setTimeout(resolve, 20));
    }
    console.log('held');
    process.stdin.resume();
    process.stdin.on('end', () => { instance.closeSync(); process.exit(0); });`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, file], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  await new Promise((resolve) => child.stdout.once('data', resolve));
  return {
    async release() {
      child.stdin.end();
      await ended;
    },
  };
}
