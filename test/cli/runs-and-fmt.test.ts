import { readFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { at, items, reportedInText } from './reported-error.js';
import { Workspace } from './workspace.js';

/** Commands on what is there: the record of runs in the destination, and the file itself. */

let postgres: TestPostgres;
let workspace: Workspace;

beforeAll(async () => {
  postgres = await startPostgres({ major: 17 });
  await postgres.createDatabase('runs');
});

afterAll(() => postgres.stop());

beforeEach(async () => {
  workspace = await Workspace.create(postgres, 'runs');
});

afterEach(() => workspace.remove());

test('runs are those that were recorded, the newest first', async () => {
  await workspace.source(`create table users (id int primary key, name text);
    insert into users select i, 'u' from generate_series(1, 30) i;
    create table orders (id int primary key); insert into orders values (1)`);
  await workspace.configure({ tables: { 'public.users': {}, 'public.orders': { method: 'full_table' } } });
  const none = await workspace.run(['runs']);
  expect(reportedInText(none)?.code).toBe('DESTINATION_FAILED');
  await workspace.expect(0, 'apply', '--yes', '--sync');
  await workspace.source("insert into users values (31, 'new'); update users set name = 'b' where id < 3");
  await workspace.expect(0, 'sync', 'shop:public.users');
  await workspace.source('drop table orders');
  await workspace.run(['sync', 'shop:public.orders']);

  const all = items(at(await workspace.json('runs', '--limit', '100'), 'runs'));
  const told = all.map((run) => [at(run, 'address'), at(run, 'kind'), at(run, 'status')].join(' '));
  expect(told[0]).toBe('shop:public.orders full_table failed');
  expect(told).toContain('shop:public.users snapshot ok');
  const starts = all.map((run) => String(at(run, 'started_at')));
  expect(starts).toEqual([...starts].sort().reverse());
  expect(starts[0]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  const [stream] = items(at(await workspace.json('runs', '--table', 'public.users', '--limit', '1'), 'runs'));
  expect(stream).toMatchObject({ kind: 'stream', source: 'shop', inserted: 1, updated: 2, destination: 'warehouse' });
  const failed = await workspace.expect(0, 'runs', '--failed', '--source', 'shop');
  expect(failed.stdout).toMatch(/^STARTED +TABLE +KIND +STATUS/);
  expect(failed.stdout).toContain('TABLE_MISSING  shop:public.orders at ');
  expect(failed.stdout).not.toContain('public.users');
  expect(reportedInText(await workspace.expect(64, 'runs', '--source', 'x'))?.code).toBe('ADDRESS_UNKNOWN');
});

test('fmt --check shows what fmt does, and then there is nothing to do', async () => {
  await workspace.configureText('version:   1 # one\nsources: {a:  1}\n');
  const check = await workspace.expect(1, 'fmt', '--check');
  expect(check.stdout).toContain('-version:   1 # one\n');
  expect(check.stdout).toContain('+version: 1 # one\n');
  expect(await readFile(workspace.configFile, 'utf8')).toBe('version:   1 # one\nsources: {a:  1}\n');
  await workspace.expect(0, 'fmt');
  expect(await readFile(workspace.configFile, 'utf8')).toBe('version: 1 # one\nsources: { a: 1 }\n');
  await workspace.expect(0, 'fmt', '--check');
  await workspace.configureText('a: [1');
  expect(reportedInText(await workspace.expect(78, 'fmt'))?.code).toBe('CONFIG_INVALID');
});
