import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FollowedFixture } from '../continuous/followed-fixture.js';
import { EngineFixture } from '../engine-fixture.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { keygen, OpensshServer } from './openssh-server.js';

/** A whole Sluice behind two of OpenSSH's servers, configured as a user would, of which one is killed in a stream. */

let postgres: TestPostgres;
let edge: OpensshServer;
let inner: OpensshServer;
let files: string;

beforeAll(async () => {
  files = await mkdtemp(path.join(tmpdir(), 'sluice-openssh-'));
  [postgres, edge, inner] = await Promise.all([
    startPostgres({ major: 17, settings: { wal_sender_timeout: '3s' } }),
    OpensshServer.start(),
    OpensshServer.start(),
  ]);
  await keygen(path.join(files, 'key'), 'ed25519');
  const key = (await readFile(path.join(files, 'key.pub'), 'utf8')).trim();
  await edge.authorize(`restrict,port-forwarding,permitopen="127.0.0.1:${inner.port}" ${key}`);
  await inner.authorize(`restrict,port-forwarding,permitopen="127.0.0.1:${postgres.port}" ${key}`);
  const known = await Promise.all(
    [edge, inner].map(async (sshd) => `[127.0.0.1]:${sshd.port} ${await sshd.hostKeyLine('ed25519')}\n`),
  );
  await writeFile(path.join(files, 'known_hosts'), known.join(''));
});
afterAll(async () => {
  await Promise.all([edge?.stop(), inner?.stop()]);
  await postgres?.stop('immediate');
  await rm(files, { recursive: true, force: true });
});

test.each(['edge', 'inner'] as const)('the %s server killed in the middle of a stream', async (which) => {
  const database = `ssh_${which}`;
  await postgres.createDatabase(database);
  await postgres.query(
    "create table t (id int primary key, v text); insert into t select i, 'a' from generate_series(1, 20) i",
    [],
    database,
  );
  const hop = (sshd: OpensshServer) => ({
    host: '127.0.0.1',
    port: sshd.port,
    user: sshd.user,
    private_key: { file: path.join(files, 'key') },
    known_hosts: path.join(files, 'known_hosts'),
  });
  const fixture = await EngineFixture.create({
    postgres,
    database,
    tables: { 'public.t': {} },
    cdc: { slot: database, publication: database, transport: 'continuous', flush: { every: '1s' } },
    connection: { tunnel: { ...hop(inner), require_tls: false, through: [hop(edge)] } },
  });
  const followed = new FollowedFixture(fixture, postgres);
  const victim = which === 'edge' ? edge : inner;
  try {
    await fixture.apply();
    for (let round = 0; round < 2; round += 1) {
      await followed.follow();
      expect(await victim.sessions()).toBeGreaterThan(0);
      await fixture.source(
        `insert into t select i, 'round ${round}' from generate_series(${1000 * (round + 1)}, ${1000 * (round + 1) + 500}) i;
         update t set v = 'round ${round}' where id < 10`,
      );
      await victim.kill();
      const run = await followed.ended();
      expect(run.error?.code).toBe('TUNNEL_LOST');
      const report = await fixture.trySync();
      expect(report.ok).toBe(false);
      const codes = report.sources.flatMap((source) => [source.error, ...source.tables.map(({ error }) => error)]);
      expect(codes.map((error) => error?.code)).toContain('TUNNEL_UNREACHABLE');
      await fixture.source(`delete from t where id = ${round + 1}`);
      await victim.launch();
    }
    await fixture.sync();
    await followed.expectEqual();
    await followed.follow();
    await fixture.source("update t set v = 'after it'");
    await followed.untilConfirmed();
    await followed.expectEqual();
    await followed.stop();
  } finally {
    await followed.remove();
  }
});
