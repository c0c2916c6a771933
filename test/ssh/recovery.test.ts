import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { FollowedFixture } from '../continuous/followed-fixture.js';
import { EngineFixture } from '../engine-fixture.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { SshServer } from './server.js';

/** A whole Sluice behind an SSH server that dies: in the middle of a snapshot and of a stream. */

const PASSWORD = 'open, sesame';
const PATIENCE = { interval: 20, timeout: 60_000 } as const;

let postgres: TestPostgres;
let ssh: SshServer;
let fixture: EngineFixture | null = null;

beforeAll(async () => {
  postgres = await startPostgres({ major: 17, settings: { wal_sender_timeout: '3s' } });
  ssh = await SshServer.start({ password: PASSWORD });
});
afterEach(async () => {
  await fixture?.remove();
  fixture = null;
});
afterAll(async () => {
  await ssh?.stop();
  await postgres?.stop('immediate');
});

async function make(database: string, sql: string, transport: 'scheduled' | 'continuous'): Promise<EngineFixture> {
  await postgres.createDatabase(database);
  await postgres.query(sql, [], database);
  fixture = await EngineFixture.create({
    postgres,
    database,
    tables: { 'public.t': {} },
    cdc: { slot: database, publication: database, transport, flush: { every: '1s' } },
    connection: {
      host: 'db.internal',
      tunnel: {
        host: '127.0.0.1',
        port: ssh.port,
        user: 'tunnel',
        password: PASSWORD,
        host_key: ssh.hostKey,
        require_tls: false,
      },
    },
  });
  ssh.names.set('db.internal', { host: postgres.host, port: postgres.port });
  return fixture;
}

async function expectEqual(f: EngineFixture): Promise<void> {
  const [source] = await f.source<{ row: string[] }>(
    "select array[count(*)::text, md5(string_agg(id || '=' || v, ',' order by id))] as row from t",
  );
  const [rows] = await f.read((reader) =>
    reader.rows(
      "SELECT count(*), md5(string_agg(id || '=' || v, ',' ORDER BY id)) FROM public.t WHERE NOT _ph_deleted",
    ),
  );
  expect(rows).toEqual(source?.row);
}

test('killed in the middle of a snapshot', async () => {
  const rows = 300_000;
  const f = await make(
    'ssh_snapshot',
    `create table t (id int primary key, v text);
     insert into t select i, repeat(md5(i::text), 4) from generate_series(1, ${rows}) i`,
    'scheduled',
  );
  await f.apply();
  const started = f.trySync();
  await expect
    .poll(async () => {
      const copying = await postgres.query(
        "select 1 from pg_stat_activity where datname = 'ssh_snapshot' and query like 'COPY %' and state = 'active'",
      );
      return copying.length;
    }, PATIENCE)
    .toBeGreaterThan(0);
  ssh.kill();
  const report = await started;
  expect(report.ok).toBe(false);
  const codes = report.sources.flatMap((source) => [source.error, ...source.tables.map(({ error }) => error)]);
  expect(codes.map((error) => error?.code)).toContain('TUNNEL_LOST');
  await f.source("update t set v = 'changed meanwhile' where id < 100; delete from t where id = 200");
  await f.sync();
  await expectEqual(f);
  expect(ssh.asked.every((place) => place === `db.internal:${postgres.port}`)).toBe(true);
});

test('killed in the middle of a stream', async () => {
  const f = await make(
    'ssh_stream',
    "create table t (id int primary key, v text); insert into t select i, 'a' from generate_series(1, 20) i",
    'continuous',
  );
  await f.apply();
  const followed = new FollowedFixture(f, postgres);
  for (let round = 0; round < 3; round += 1) {
    await followed.follow();
    await f.source(
      `insert into t select i, 'round ${round}' from generate_series(${1000 * (round + 1)}, ${1000 * (round + 1) + 500}) i;
       update t set v = 'round ${round}' where id < 10`,
    );
    ssh.kill();
    const run = await followed.ended();
    expect(run.error?.code).toBe('TUNNEL_LOST');
  }
  await f.sync();
  await expectEqual(f);
  await followed.follow();
  await f.source("update t set v = 'after it'");
  await followed.untilConfirmed();
  await followed.expectEqual();
  await followed.stop();
  fixture = null;
  await followed.remove();
});
