import { readFile, rename, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { at } from './reported-error.js';
import { eventually, type Running, type ShopConfig, Workspace } from './workspace.js';

/** A daemon whose config is edited while it runs, on a real server. */

const USERS: ShopConfig['tables'] = { 'public.users': { schedule: { every: '1s' } } };
const BOTH: ShopConfig['tables'] = { ...USERS, 'public.orders': { schedule: { every: '1s' } } };

let postgres: TestPostgres;
let workspace: Workspace;
let daemon: Running;

beforeAll(async () => {
  postgres = await startPostgres({ major: 17 });
  await postgres.createDatabase('edited');
  workspace = await Workspace.create(postgres, 'edited');
  for (const table of ['users', 'orders']) {
    await workspace.source(`create table ${table} (id bigint primary key, name text);
      insert into ${table} select i, '${table} ' || i from generate_series(1, 30) i`);
  }
  await workspace.configure({ tables: USERS });
  daemon = workspace.start(['daemon']);
  await daemon.until(() => says('table synced', { address: 'shop:public.users', kind: 'snapshot' }), 'a load');
});

afterAll(async () => {
  await workspace.remove();
  await postgres.stop();
});

function lines(): readonly unknown[] {
  return daemon.output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line));
}

function count(message: string, fields: Readonly<Record<string, unknown>> = {}): number {
  return lines().filter(
    (line) => at(line, 'msg') === message && Object.entries(fields).every(([key, value]) => at(line, key) === value),
  ).length;
}

const says = (message: string, fields: Readonly<Record<string, unknown>> = {}): boolean => count(message, fields) > 0;

async function rowsOf(table: string, ...options: readonly string[]): Promise<number | null> {
  const run = await workspace.run(['query', `select count(*) as n from ${table}`, '--format', 'csv', ...options]);
  return run.code === 0 ? Number(run.stdout.split('\n')[1]) : null;
}

test('a table that is added is loaded', async () => {
  await workspace.configure({ tables: BOTH });
  await daemon.until(() => says('table synced', { address: 'shop:public.orders', kind: 'snapshot' }), 'the new table');
  await eventually(async () => (await rowsOf('public.orders')) === 30, 'its rows');
});

const GOES_ON = 'the changed config is not used; the last good one goes on';

test('a broken file is told with its place, and the copy goes on', async () => {
  const good = await readFile(workspace.configFile, 'utf8');
  await writeFile(workspace.configFile, good.replace('destination: warehouse', 'destination: warehous'));
  await daemon.until(() => says(GOES_ON), 'the complaint');
  const complaint = lines().find((line) => at(line, 'msg') === GOES_ON);
  expect(at(at(complaint, 'error'), 'code')).toBe('CONFIG_INVALID');
  expect(at(at(complaint, 'error'), 'message')).toMatch(/sources\.yaml:\d+:\d+ .*no destination is called "warehous"/);
  await workspace.source("insert into users values (100, 'meanwhile')");
  // The file itself is broken, so the rows are asked for with a copy of the good one.
  await writeFile(workspace.file('good.yaml'), good);
  await eventually(async () => (await rowsOf('public.users', '-c', 'good.yaml')) === 31, 'a row written meanwhile');
  await writeFile(`${workspace.configFile}.new`, good);
  await rename(`${workspace.configFile}.new`, workspace.configFile);
  await daemon.until(() => says('the config is right again, as it is in use'), 'the mended file');
});

test('a table that leaves the file waits for consent', async () => {
  await workspace.configure({ tables: USERS });
  await daemon.until(() => says('changes wait for sluice apply'), 'the wait');
  await eventually(async () => (await rowsOf('public.orders')) === 30, 'the table, which is still there');
});

test('SIGHUP reads the file again', async () => {
  const before = count('the config says what is in use', { because: 'SIGHUP' });
  daemon.kill('SIGHUP');
  await daemon.until(() => count('the config says what is in use', { because: 'SIGHUP' }) > before, 'the answer');
});

test('it stops in order', async () => {
  daemon.kill('SIGTERM');
  const run = await daemon.ended;
  expect(run.code, run.output).toBe(0);
  expect(says('daemon stopped')).toBe(true);
});
