import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { freshWorkspaces } from '../cli/fresh-workspaces.js';
import { at, items, reportedInText } from '../cli/reported-error.js';
import { exists, type Run, type Settings, type Workspace } from '../cli/workspace.js';
import { readDuckDb } from '../engine-fixture.js';

/**
 * One state in Postgres, two checkouts of one config, and a destination on the disk of the first of them. The second must
 * not take its own empty place for that of the first.
 */

const DUCKDB = { type: 'duckdb', path: 'warehouse.duckdb' };
const LAKE = { type: 'local', format: 'delta', path: 'lake' };
const USERS = { 'public.users': {} };
const BOTH = { 'public.users': {}, 'public.orders': { method: 'full_table' } };

const fresh = freshWorkspaces('places');
let workspace: Workspace;

beforeEach(async () => {
  workspace = await fresh();
  await workspace.source(`
    create table users (id bigint primary key, name text);
    create table orders (id bigint primary key, total numeric(10,2));
    insert into users select i, 'user ' || i from generate_series(1, 50) i;
    insert into orders select i, i from generate_series(1, 20) i;`);
});

interface Checkout {
  readonly tables?: Settings;
  readonly destination?: Settings;
  readonly state?: Settings;
}

async function configure(folder: string, { tables = BOTH, destination = DUCKDB, state }: Checkout = {}): Promise<void> {
  const { postgres, database, slot, publication } = workspace;
  const { host, port, user } = postgres;
  await mkdir(workspace.file(folder), { recursive: true });
  await writeFile(
    workspace.file(`${folder}/sources.yaml`),
    stringify({
      version: 1,
      state: state ?? { type: 'postgres', connection: 'db' },
      connections: {
        db: { host, port, database, user, password: { env: 'SHOP_PASSWORD' }, tls: { mode: 'disable' } },
      },
      destinations: { warehouse: destination },
      sources: {
        shop: {
          connection: 'db',
          destination: 'warehouse',
          cdc: { slot, publication },
          tables,
        },
      },
    }),
  );
}

const inside = (folder: string) => ({
  run: (...args: readonly string[]) => workspace.run([...args, '-c', `${folder}/sources.yaml`]),
  expect: async (code: number, ...args: readonly string[]): Promise<Run> =>
    workspace.expect(code, ...args, '-c', `${folder}/sources.yaml`),
  plan: async (...args: readonly string[]): Promise<unknown> =>
    workspace.json('plan', ...args, '-c', `${folder}/sources.yaml`),
});

const server = inside('server');
const ci = inside('ci');

const actions = (plan: unknown): readonly string[] =>
  items(at(plan, 'changes')).map((change) => `${at(change, 'action')} ${at(change, 'address')}`);
const told = (plan: unknown): string => JSON.stringify([at(plan, 'notices'), at(plan, 'unknown')]);

async function confirmed(): Promise<unknown> {
  const rows = await workspace.source<{ lsn: string }>(
    `select confirmed_flush_lsn::text as lsn from pg_replication_slots where slot_name = '${workspace.slot}'`,
  );
  return rows[0]?.lsn;
}

const count = (file: string, table: string): Promise<string | null | undefined> =>
  readDuckDb(workspace.file(file), async (duckdb) => (await duckdb.rows(`select count(*) from ${table}`))[0]?.[0]);

async function loadOnServer(checkout: Checkout = {}): Promise<void> {
  await configure('server', checkout);
  await server.expect(0, 'apply', '--yes', '--sync');
  await server.expect(0, 'plan', '--detailed-exitcode');
}

describe.each([
  { name: 'a DuckDB file', destination: DUCKDB, mark: 'warehouse.duckdb' },
  { name: 'a lake in a folder', destination: LAKE, mark: 'lake' },
])('with $name in another checkout', ({ destination, mark }) => {
  test('nothing is moved, nothing is read, and the first goes on', async () => {
    await loadOnServer({ destination });
    await configure('ci', { destination });

    const plan = await ci.plan();
    expect(actions(plan)).toEqual([]);
    expect(told(plan)).toContain(workspace.file(`server/${mark}`));
    await ci.expect(0, 'plan', '--detailed-exitcode');
    expect(actions(await ci.plan('--no-refresh'))).toEqual([]);

    await workspace.source(`insert into users values (1000, 'late')`);
    const before = await confirmed();
    for (const command of [['sync'], ['sync', 'shop:public.users'], ['sync', '--until-caught-up']]) {
      const refused = await ci.expect(78, ...command);
      expect(reportedInText(refused), command.join(' ')).toMatchObject({ code: 'DESTINATION_CHANGED' });
      expect(refused.stderr).toContain(workspace.file(`server/${mark}`));
      expect(refused.stderr).toContain(workspace.file(`ci/${mark}`));
    }
    expect((await ci.run('verify')).output).toContain('DESTINATION_CHANGED');
    expect(reportedInText(await ci.expect(78, 'resync', 'shop', '--yes'))).toMatchObject({
      code: 'DESTINATION_CHANGED',
    });
    expect((await ci.run('status')).output).toContain('DESTINATION_CHANGED');
    expect(await confirmed()).toBe(before);
    expect(await exists(workspace.file(`ci/${mark}`))).toBe(false);

    await server.expect(0, 'sync', '--until-caught-up');
    await server.expect(0, 'verify');
    await server.expect(0, 'plan', '--detailed-exitcode');
  });
});

test('an edit is planned there as it is where the file lies, and what it does to the file is not done elsewhere', async () => {
  await loadOnServer();
  await configure('ci', { tables: USERS });
  const plan = await ci.plan();
  expect(actions(plan)).toEqual(['retire_table shop:public.orders']);
  const applied = await ci.expect(78, 'apply', '--yes');
  expect(applied.output).toContain('DESTINATION_CHANGED');
  expect(await exists(workspace.file('ci/warehouse.duckdb'))).toBe(false);
  expect(await count('server/warehouse.duckdb', 'public.orders')).toBe('20');

  await configure('server', { tables: USERS });
  expect(actions(await server.plan())).toEqual(['retire_table shop:public.orders']);
  await server.expect(0, 'apply', '--yes');
  expect(await count('server/warehouse.duckdb', '_sluice_retired.' + `"${await retiredName()}"`)).toBe('20');
  await server.expect(0, 'plan', '--detailed-exitcode');
});

async function retiredName(): Promise<string> {
  return readDuckDb(workspace.file('server/warehouse.duckdb'), async (duckdb) =>
    String((await duckdb.rows(`select table_name from duckdb_tables() where schema_name = '_sluice_retired'`))[0]?.[0]),
  );
}

test('a source that leaves the file is cleaned up where its tables are', async () => {
  await loadOnServer({ tables: USERS });
  for (const folder of ['ci', 'server']) {
    await configure(folder);
    const file = workspace.file(`${folder}/sources.yaml`);
    const { postgres, database } = workspace;
    const { host, port, user } = postgres;
    await writeFile(
      file,
      stringify({
        version: 1,
        state: { type: 'postgres', connection: 'db' },
        connections: {
          db: { host, port, database, user, password: { env: 'SHOP_PASSWORD' }, tls: { mode: 'disable' } },
        },
        destinations: { warehouse: DUCKDB },
        sources: {},
      }),
    );
  }
  expect(actions(await ci.plan())).toContain('retire_table shop:public.users');
  const applied = await ci.expect(1, 'apply', '--yes');
  expect(applied.output).toContain('DESTINATION_CHANGED');
  expect((await workspace.onServer()).slots).toEqual([]);
  expect(await exists(workspace.file('ci/warehouse.duckdb'))).toBe(false);
  await server.expect(0, 'apply', '--yes');
  expect(await retiredName()).toContain('users');
  await server.expect(0, 'plan', '--detailed-exitcode');
});

test('control work may be applied elsewhere, and is synced where the file lies', async () => {
  await loadOnServer({ tables: USERS });
  await configure('ci');
  expect(actions(await ci.plan())).toEqual(['create_table shop:public.orders', 'snapshot_table shop:public.orders']);
  await ci.expect(0, 'apply', '--yes');
  await configure('server');
  await server.expect(0, 'plan', '--detailed-exitcode');
  await server.expect(0, 'sync');
  expect(await count('server/warehouse.duckdb', 'public.orders')).toBe('20');
});

test('what nothing was loaded into yet is made by the first sync, wherever it was applied', async () => {
  await configure('ci');
  await ci.expect(0, 'apply', '--yes');
  await configure('server');
  await server.expect(0, 'plan', '--detailed-exitcode');
  await server.expect(0, 'sync');
  expect(await count('server/warehouse.duckdb', 'public.users')).toBe('50');
  await server.expect(0, 'plan', '--detailed-exitcode');
  expect(reportedInText(await ci.expect(78, 'sync'))).toMatchObject({ code: 'DESTINATION_CHANGED' });
});

test('another path in the file is a move: refused by sync, carried out by apply', async () => {
  await loadOnServer();
  const moved = { type: 'duckdb', path: 'other.duckdb' };
  await configure('server', { destination: moved });
  const before = await confirmed();
  const refused = await server.expect(78, 'sync', '--until-caught-up');
  expect(reportedInText(refused)).toMatchObject({
    code: 'DESTINATION_CHANGED',
    hint: expect.stringContaining('apply'),
  });
  expect(await exists(workspace.file('server/other.duckdb'))).toBe(false);
  expect(await confirmed()).toBe(before);
  expect(actions(await server.plan())).toEqual([
    'update_settings shop',
    'create_table shop:public.orders',
    'snapshot_table shop:public.orders',
    'create_table shop:public.users',
    'snapshot_table shop:public.users',
  ]);
  await server.expect(0, 'apply', '--yes', '--sync');
  expect(await count('server/other.duckdb', 'public.users')).toBe('50');
  await server.expect(0, 'plan', '--detailed-exitcode');
  await workspace.source(`insert into users values (1000, 'late')`);
  await server.expect(0, 'sync', '--until-caught-up');
  expect(await count('server/other.duckdb', 'public.users')).toBe('51');

  // In another checkout it is an edit, too, whatever its folder.
  await configure('ci', { destination: { type: 'duckdb', path: 'third.duckdb' } });
  expect(actions(await ci.plan())).toContain('update_settings shop');
});

test.each([
  { name: 'a DuckDB file', type: DUCKDB },
  { name: 'a lake', type: LAKE },
])('$name that is not there any more is neither made anew nor taken for empty', async ({ type }) => {
  const place = path.join(workspace.file('disk'), 'place');
  const destination = { ...type, path: place };
  await mkdir(path.dirname(place), { recursive: true });
  await loadOnServer({ destination });
  await rename(workspace.file('disk'), workspace.file('away'));
  await workspace.source(`insert into users values (1000, 'late')`);
  const before = await confirmed();

  const plan = await server.plan();
  expect(actions(plan)).toEqual([]);
  expect(told(plan)).toContain(place);
  for (const command of [['sync'], ['sync', '--until-caught-up'], ['sync', 'shop:public.orders']]) {
    const refused = await server.expect(69, ...command);
    const error = reportedInText(refused);
    expect(error).toMatchObject({ code: 'DESTINATION_ABSENT', hint: expect.stringContaining('sluice resync shop') });
    expect(refused.stderr).toContain(place);
  }
  expect((await server.run('verify')).output).toContain('DESTINATION_ABSENT');
  expect((await server.run('status')).output).toContain('DESTINATION_ABSENT');
  await configure('server', { destination, tables: USERS });
  expect(actions(await server.plan())).toEqual(['retire_table shop:public.orders']);
  expect((await server.expect(69, 'apply', '--yes')).output).toContain('DESTINATION_ABSENT');
  await configure('server', { destination });
  expect(await exists(place)).toBe(false);
  expect(await confirmed()).toBe(before);

  // Brought back, it goes on as if nothing had been.
  await rm(workspace.file('disk'), { recursive: true, force: true });
  await rename(workspace.file('away'), workspace.file('disk'));
  await server.expect(0, 'sync', '--until-caught-up');
  await server.expect(0, 'verify');
});

test('what is lost for good is loaded anew once that is asked for, with the state in a file as well', async () => {
  await loadOnServer({ state: { type: 'file', path: 'state.json' } });
  await rm(workspace.file('server/warehouse.duckdb'));
  await rm(workspace.file('server/warehouse.duckdb.wal'), { force: true });
  expect(reportedInText(await server.expect(69, 'sync'))).toMatchObject({ code: 'DESTINATION_ABSENT' });
  await server.expect(0, 'resync', 'shop', '--yes');
  await server.expect(0, 'sync', '--until-caught-up');
  await server.expect(0, 'verify');
  await server.expect(0, 'plan', '--detailed-exitcode');
});

test('a folder that was moved with its state and its file goes on after an apply that loads nothing', async () => {
  await loadOnServer({ state: { type: 'file', path: 'state.json' } });
  await rename(workspace.file('server'), workspace.file('moved'));
  const there = inside('moved');
  expect(reportedInText(await there.expect(78, 'sync'))).toMatchObject({ code: 'DESTINATION_CHANGED' });
  expect(actions(await there.plan())).toEqual(['update_settings shop']);
  await there.expect(0, 'apply', '--yes');
  await workspace.source(`insert into users values (1000, 'late')`);
  await there.expect(0, 'sync', '--until-caught-up');
  expect(await count('moved/warehouse.duckdb', 'public.users')).toBe('51');
  await there.expect(0, 'plan', '--detailed-exitcode');
});
