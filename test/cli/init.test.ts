import { readdir, readFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { at, reportedInText } from './reported-error.js';
import { exists, Workspace } from './workspace.js';

/** From nothing to a first plan, by flags. */

let postgres: TestPostgres;
let workspace: Workspace;
let flags: string[];

beforeAll(async () => {
  postgres = await startPostgres({ major: 17 });
  await postgres.createDatabase('shop');
  await postgres.query('create table users (id int primary key, name text)', [], 'shop');
});

afterAll(() => postgres.stop());

beforeEach(async () => {
  workspace = await Workspace.create(postgres, 'shop');
  const { host, port, user } = postgres;
  flags = ['init', '--yes', '--url', `postgres://${user}@${host}:${port}/shop`];
});

afterEach(() => workspace.remove());

test('init, discover, plan: a file that is whole, and no password in it', async () => {
  const run = await workspace.expect(0, ...flags, '--destination', 'copy.duckdb');
  expect(run.stdout).toContain('The connection works: the database has 1 table.');
  expect(run.stdout).toContain('sluice discover --write');
  const text = await readFile(workspace.configFile, 'utf8');
  expect(text).toContain('password: { env: SHOP_PASSWORD }');
  expect(text).toContain('path: copy.duckdb');
  expect(JSON.parse(await readFile(workspace.file('sources.schema.json'), 'utf8'))).toHaveProperty('definitions');
  await workspace.expect(0, 'validate');
  await workspace.expect(0, 'discover', '--write');
  expect(await readFile(workspace.configFile, 'utf8')).toContain('\n      public.users: {}\n');
  const plan = await workspace.expect(2, 'plan', '--detailed-exitcode');
  expect(plan.stdout).toContain('create replication slot sluice_shop');
});

test('a file that is there is left alone', async () => {
  await workspace.configureText('# mine\n');
  const run = await workspace.expect(1, ...flags);
  expect(reportedInText(run)).toMatchObject({ code: 'CONFIG_UNWRITABLE', message: 'sources.yaml is there already' });
  expect(await readFile(workspace.configFile, 'utf8')).toBe('# mine\n');
  const other = await workspace.expect(0, ...flags, '-c', 'other.yaml');
  expect(other.stdout).toContain('sluice plan -c other.yaml');
});

test('a connection that fails: why, and nothing is written, unless --no-test', async () => {
  const wrong = flags.map((word) => word.replace('/shop', '/shopp'));
  const run = await workspace.expect(69, ...wrong, '--password-env', 'SHOP_PASSWORD');
  expect(reportedInText(run)).toMatchObject({
    code: 'SOURCE_DATABASE_MISSING',
    hint: expect.stringContaining('nothing was written; --no-test'),
  });
  expect(await readdir(workspace.folder)).toEqual([]);
  const written = await workspace.expect(0, ...wrong, '--no-test');
  expect(written.stdout).toContain('The connection was not tried.');
  expect(written.stdout).toContain('export SHOPP_PASSWORD=...');
  expect(await exists(workspace.configFile)).toBe(true);
});

test('the password of a url is tried and written nowhere', async () => {
  const { host, port, user, password } = postgres;
  const url = `postgres://${user}:${password}@${host}:${port}/shop`;
  const run = await workspace.run(['init', '--yes', '--url', url, '--format', 'json'], {
    env: { SHOP_PASSWORD: undefined },
  });
  expect(run.code, run.output).toBe(0);
  const document: unknown = JSON.parse(run.stdout);
  expect(at(document, 'format_version')).toBe(1);
  expect(at(document, 'tested')).toBe(true);
  expect(at(document, 'next')).toContain('export SHOP_PASSWORD=...');
  expect(await readFile(workspace.configFile, 'utf8')).not.toContain(password);
});

test('without a terminal and --yes it says what it needs', async () => {
  const run = await workspace.expect(64, 'init', '--host', 'localhost');
  expect(reportedInText(run)?.message).toBe('init needs --database, --user, or a --url that holds them');
});
