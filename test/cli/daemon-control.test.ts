import { readFile, stat, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { at, items } from './reported-error.js';
import { exists, type Running, type ShopConfig, Workspace } from './workspace.js';

/** A running daemon and the commands that ask it by its control socket, on a real server. */

const USERS: ShopConfig['tables'] = { 'public.users': { schedule: { every: '1s' } } };
const BOTH: ShopConfig['tables'] = { ...USERS, 'public.orders': { schedule: { every: '1s' } } };

let postgres: TestPostgres;
let workspace: Workspace;
let daemon: Running;
let socket: string;

beforeAll(async () => {
  postgres = await startPostgres({ major: 17 });
  await postgres.createDatabase('asked');
  workspace = await Workspace.create(postgres, 'asked');
  socket = workspace.file('.sluice/control.sock');
  for (const table of ['users', 'orders']) {
    await workspace.source(`create table ${table} (id bigint primary key, name text);
      insert into ${table} select i, '${table} ' || i from generate_series(1, 30) i`);
  }
  await workspace.configure({ tables: USERS });
});

afterAll(async () => {
  await workspace.remove();
  await postgres.stop();
});

test('without a daemon a reload says how to start one', async () => {
  const run = await workspace.expect(69, 'reload');
  expect(run.stderr).toContain('error DAEMON_NOT_RUNNING: no daemon answers at');
  expect(run.stderr).toContain('sluice daemon');
  expect(at(await workspace.json('status'), 'daemon')).toBeNull();
});

test('the daemon opens a socket that is for its owner alone', async () => {
  daemon = workspace.start(['daemon']);
  await daemon.until((output) => output.includes('table synced'), 'a load');
  expect((await stat(socket)).mode & 0o777).toBe(0o600);
  const run = await workspace.expect(0, 'status');
  expect(run.stdout).toMatch(new RegExp(`^daemon  pid ${daemon.pid}, .*, started .*\\n  config in use since `));
  expect(run.stdout).toContain('shop:public.users');
  const told = at(await workspace.json('status'), 'daemon');
  expect(told).toMatchObject({ pid: daemon.pid, config: { valid: true, error: null }, held_sources: [] });
});

test('a second daemon refuses and names the first', async () => {
  const run = await workspace.expect(75, 'daemon');
  expect(run.stderr).toContain('DAEMON_RUNNING');
  expect(run.stderr).toContain(`pid ${daemon.pid}`);
  expect((await workspace.expect(0, 'reload')).stdout).toMatch(/^The daemon runs with this config already\.\n/);
});

test('a reload tells what was applied', async () => {
  await workspace.configure({ tables: BOTH });
  const outcome = await workspace.json('reload');
  expect(outcome).toMatchObject({ format_version: 1 });
  // The daemon's own watch may have been faster.
  expect(['applied', 'unchanged']).toContain(at(outcome, 'outcome'));
  expect(
    items(at(await workspace.json('status'), 'sources')).flatMap((each) => items(at(each, 'tables'))),
  ).toHaveLength(2);
});

test('a broken file is told by reload and status, and its daemon is found all the same', async () => {
  const good = await readFile(workspace.configFile, 'utf8');
  await writeFile(workspace.configFile, good.replace('destination: warehouse', 'destination: warehous'));
  const run = await workspace.expect(78, 'reload');
  expect(run.stdout).toMatch(/^The last good config goes on\.\n.*sources\.yaml:\d+:\d+ .*"warehous"/);
  expect(run.stderr).toContain('error CONFIG_INVALID');
  expect(await workspace.json('reload')).toMatchObject({
    outcome: 'refused',
    mistakes: [expect.stringContaining('no destination is called "warehous"')],
    error: { code: 'CONFIG_INVALID' },
  });
  const status = await workspace.expect(78, 'status');
  expect(status.stdout).toMatch(/config not used.*CONFIG_INVALID/);
  expect(status.stdout).toContain('the last good config goes on since 20');
  expect(at(await workspace.json('status'), 'daemon')).toMatchObject({
    config: { valid: false, error: { code: 'CONFIG_INVALID' } },
  });
  await writeFile(workspace.configFile, good);
  expect((await workspace.expect(0, 'reload')).stdout).toMatch(/^The daemon runs with this config already\.\n/);
});

test('a reload and the status tell what waits', async () => {
  await workspace.configure({ tables: USERS });
  await workspace.expect(0, 'reload');
  const run = await workspace.expect(0, 'status');
  expect(run.stdout).toMatch(/waiting for sluice apply since .*\n {4}\S+ shop:public\.orders/);
});

test('the socket moves with the config, and whoever asked at the old one is answered', async () => {
  await workspace.configure({ tables: USERS, top: { daemon: { socket: 'elsewhere.sock' } } });
  await daemon.until((output) => output.split('going over to the changed config').length >= 4, 'the third config');
  expect((await workspace.expect(0, 'reload')).stdout).toMatch(/^The daemon runs with this config already\.\n/);
  expect(await exists(socket)).toBe(false);
  socket = workspace.file('elsewhere.sock');
});

test('it stops in order and removes its socket; one that is killed leaves it, and the next start replaces it', async () => {
  daemon.kill('SIGTERM');
  expect((await daemon.ended).code).toBe(0);
  expect(await exists(socket)).toBe(false);
  const killed = workspace.start(['daemon']);
  await killed.until((output) => output.includes('daemon started'), 'its start');
  killed.kill('SIGKILL');
  await killed.ended;
  expect(await exists(socket)).toBe(true);
  await workspace.expect(69, 'reload');
  const next = workspace.start(['daemon']);
  await next.until((output) => output.includes('daemon started'), 'its start');
  await workspace.expect(0, 'reload');
  next.kill('SIGTERM');
  expect((await next.ended).code).toBe(0);
});
