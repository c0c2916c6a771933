import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hasPostgres } from './binaries.js';
import { startPostgres, type TestPostgres } from './server.js';

describe.each(([13, 17] as const).filter(hasPostgres))('Postgres %i', (major) => {
  let postgres: TestPostgres;
  beforeAll(async () => {
    postgres = await startPostgres({ major, settings: { work_mem: '5MB' } });
  });
  afterAll(() => postgres?.stop());

  test('is that major, in UTF-8, with the settings asked for', async () => {
    const [row] = await postgres.query(
      "select current_setting('server_version_num')::int / 10000 as major, current_setting('server_encoding') as encoding, current_setting('work_mem') as work_mem",
    );
    expect(row).toEqual({ major, encoding: 'UTF8', work_mem: '5MB' });
  });

  test('makes logical slots and carries the contrib extensions', async () => {
    await postgres.createDatabase('logical');
    await postgres.query('create extension hstore; create extension citext', [], 'logical');
    await postgres.query("select pg_create_logical_replication_slot('s', 'pgoutput')", [], 'logical');
    expect(await postgres.query("select slot_name, plugin from pg_replication_slots where slot_name = 's'")).toEqual([
      { slot_name: 's', plugin: 'pgoutput' },
    ]);
    await postgres.query("select pg_drop_replication_slot('s')", [], 'logical');
  });

  test.each(['fast', 'immediate'] as const)('keeps its data and port over a restart (%s)', async (mode) => {
    await postgres.query(`create table kept_${mode} (id int); insert into kept_${mode} values (1)`);
    const port = postgres.port;
    await postgres.restart(mode);
    expect(await postgres.query(`select id from kept_${mode}`)).toEqual([{ id: 1 }]);
    expect(postgres.port).toBe(port);
  });
});

test('several start at the same time and stop without a trace', async () => {
  const servers = await Promise.all([1, 2, 3].map(() => startPostgres({ major: 17 })));
  expect(new Set(servers.map((server) => server.port)).size).toBe(3);
  await Promise.all(servers.map((server) => server.stop('immediate')));
  expect(servers.map((server) => existsSync(server.dir))).toEqual([false, false, false]);
});

test('a server with an identity of its own', async () => {
  const servers = await Promise.all([startPostgres({ major: 17 }), startPostgres({ major: 17, ownIdentity: true })]);
  const identities = await Promise.all(
    servers.map((server) => server.query('select system_identifier::text as id from pg_control_system()')),
  );
  await Promise.all(servers.map((server) => server.stop('immediate')));
  expect(identities[0]).not.toEqual(identities[1]);
});

test('dies with the process that started it, even by SIGKILL', async () => {
  const script = `import { runnerImport } from 'vite';
    const { module } = await runnerImport(${JSON.stringify(fileURLToPath(new URL('./server.ts', import.meta.url)))});
    const server = await module.startPostgres({ major: 17 });
    process.stdout.write(server.dir + '\\n');
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script]);
  const dir = await new Promise<string>((resolve) =>
    child.stdout.once('data', (chunk) => resolve(String(chunk).trim())),
  );
  expect(existsSync(dir)).toBe(true);
  child.kill('SIGKILL');
  await expect.poll(() => existsSync(dir), { timeout: 20_000 }).toBe(false);
});
