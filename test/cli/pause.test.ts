import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { at, items } from './reported-error.js';
import { eventually, type Running, type ShopConfig, Workspace } from './workspace.js';

/** Pausing and resuming on a real server: what stands still, what is read on, and that nothing is lost. */

const TABLES: ShopConfig['tables'] = {
  'public.users': { output: 'both' },
  'public.orders': {},
  'public.clicks': { method: 'append', cursor: 'id' },
};

let postgres: TestPostgres;
let workspace: Workspace;
let daemon: Running | null = null;
let workspaces = 0;

beforeAll(async () => {
  postgres = await startPostgres({ major: 17 });
});

afterAll(() => postgres.stop());

beforeEach(async () => {
  workspaces += 1;
  const database = `paused_${workspaces}`;
  await postgres.createDatabase(database);
  workspace = await Workspace.create(postgres, database);
  for (const table of ['users', 'orders', 'clicks']) {
    await workspace.source(`create table ${table} (id bigint primary key, name text);
      insert into ${table} select i, 'first' from generate_series(1, 5) i`);
  }
});

afterEach(async () => {
  daemon?.kill('SIGTERM');
  await daemon?.ended;
  daemon = null;
  await workspace.remove();
});

async function begin(cdc: ShopConfig['cdc'] = {}): Promise<void> {
  await workspace.configure({ tables: TABLES, cdc });
  await workspace.expect(0, 'apply', '--yes', '--sync');
}

/** One change of each kind in every table; another name each time. */
async function change(name: string): Promise<void> {
  for (const table of ['users', 'orders']) {
    await workspace.source(`insert into ${table} select max(id) + 1, '${name}' from ${table};
      update ${table} set name = '${name}' where id = 2; delete from ${table} where id = (select min(id) from ${table})`);
  }
  await workspace.source(`insert into clicks select max(id) + 1, '${name}' from clicks`);
}

interface Rows {
  readonly inPostgres: string;
  readonly inCopy: string;
}

async function rowsOf(table: string): Promise<Rows> {
  const [row] = await workspace.source<{ rows: string }>(
    `select string_agg(id || ' ' || name, ', ' order by id) as rows from ${table}`,
  );
  const deleted = table === 'clicks' ? '' : 'where not _ph_deleted';
  let inCopy: string | null = null;
  await eventually(async () => {
    try {
      const rows = await workspace.read((duckdb) =>
        duckdb.rows(`select string_agg(id || ' ' || name, ', ' order by id) from public.${table} ${deleted}`),
      );
      inCopy = String(Object.values(rows[0] ?? {})[0]);
    } catch (error) {
      // A daemon may have the file for a moment.
      if (!String(error).includes('Could not set lock')) throw error;
    }
    return inCopy !== null;
  }, `the rows of ${table}`);
  return { inPostgres: row?.rows ?? '', inCopy: inCopy ?? '' };
}

async function expectEqual(...tables: readonly string[]): Promise<void> {
  for (const table of tables) {
    const { inPostgres, inCopy } = await rowsOf(table);
    expect(`${table}: ${inCopy}`).toBe(`${table}: ${inPostgres}`);
  }
}

async function expectBehind(...tables: readonly string[]): Promise<void> {
  for (const table of tables) {
    const { inPostgres, inCopy } = await rowsOf(table);
    expect(`${table}: ${inCopy}`).not.toBe(`${table}: ${inPostgres}`);
  }
}

/** By table: what a sync of everything did to it. */
async function sync(): Promise<Record<string, string>> {
  const report = await workspace.json('sync', '--force');
  const kinds: Record<string, string> = {};
  for (const table of items(at(report, 'sources')).flatMap((source) => items(at(source, 'tables')))) {
    const name = String(at(table, 'address')).replace('shop:public.', '');
    kinds[name] = [...(kinds[name]?.split(', ') ?? []), at(table, 'kind')].sort().join(', ');
  }
  return kinds;
}

test('a paused source stands still as a whole, and resume loses nothing', async () => {
  await begin();
  const paused = await workspace.expect(0, 'pause', 'shop');
  expect(paused.stdout).toContain(`slot ${workspace.slot} holds the server's WAL`);
  await change('second');
  const none = await workspace.expect(0, 'sync', '--force');
  expect(none.stdout).toBe('Nothing was due.\n');
  expect(none.stderr).toMatch(/note +shop +paused since .*: sluice resume shop/);
  await expectBehind('users', 'orders', 'clicks');
  const refused = await workspace.expect(1, 'sync', 'shop:public.users');
  expect(refused.stderr).toContain('error PAUSED: source shop as a whole is paused since');
  expect(refused.stderr).toContain('sluice resume shop');
  expect((await workspace.expect(1, 'verify', 'shop')).stderr).toContain('error PAUSED');
  const status = await workspace.expect(0, 'status');
  expect(status.stdout).toMatch(
    /paused since .*: nothing of it is synced, its slot goes on holding WAL; sluice resume/,
  );
  expect(status.stdout).toMatch(/shop:public\.users +cdc +paused/);
  expect((await workspace.expect(0, 'plan')).stdout).toContain('No changes');
  expect((await workspace.expect(0, 'resume', 'shop')).stdout).toBe('resumed  shop\n');
  expect(await sync()).toEqual({ users: 'stream', orders: 'stream', clicks: 'append' });
  await expectEqual('users', 'orders', 'clicks');
});

test('a cdc table beside others is asked about, and loaded anew when it is resumed', async () => {
  await begin();
  const asked = await workspace.expect(64, 'pause', 'shop:public.users');
  expect(asked.stderr).toContain('error CONSENT_NEEDED');
  await workspace.expect(0, 'pause', 'shop:public.users', 'shop:public.clicks', '--yes');
  await change('second');
  expect(await sync()).toEqual({ orders: 'stream' });
  await expectBehind('users', 'clicks');
  await expectEqual('orders');
  expect((await workspace.expect(1, 'sync', 'shop:public.users')).stderr).toContain(
    'shop:public.users is paused since',
  );
  const resumed = await workspace.expect(0, 'resume', 'shop:public.users', 'shop:public.clicks');
  expect(resumed.stdout).toBe(
    'resumed  shop:public.users\n  It is loaded anew with the next sync: its changes passed by unread while it was paused.\nresumed  shop:public.clicks\n',
  );
  await change('third');
  expect(await sync()).toMatchObject({ users: 'snapshot, stream', clicks: 'append' });
  await expectEqual('users', 'orders', 'clicks');
  await change('fourth');
  expect(await sync()).toEqual({ users: 'stream', orders: 'stream', clicks: 'append' });
  await expectEqual('users', 'orders', 'clicks');
});

test('a table that is resumed before the stream moved goes on where it was', async () => {
  await begin();
  await workspace.expect(0, 'pause', 'shop:public.users', '--yes');
  await change('second');
  expect((await workspace.expect(0, 'resume', 'shop:public.users')).stdout).toBe('resumed  shop:public.users\n');
  expect(await sync()).toMatchObject({ users: 'stream', orders: 'stream' });
  await expectEqual('users', 'orders');
});

test('a table paused by itself stays so when its source is resumed', async () => {
  await begin();
  await workspace.expect(0, 'pause', 'shop:public.users', '--yes');
  await workspace.expect(0, 'pause', 'shop');
  await change('second');
  await sync();
  await expectBehind('users', 'orders');
  const resumed = await workspace.expect(0, 'resume', 'shop');
  expect(resumed.stdout).toContain('Still paused: shop:public.users');
  await sync();
  await expectEqual('orders');
  await expectBehind('users');
  await workspace.expect(0, 'resume', 'shop:public.users');
  expect(await sync()).toMatchObject({ users: expect.stringContaining('snapshot') });
  await expectEqual('users', 'orders');
});

test('where all cdc tables are paused the stream stands still, and all go on where they were', async () => {
  await begin();
  const paused = await workspace.expect(0, 'pause', 'shop:public.users', 'shop:public.orders');
  expect(paused.stdout).toContain('Its stream stands still');
  await change('second');
  expect(await sync()).toEqual({ clicks: 'append' });
  await workspace.expect(0, 'resume', 'shop:public.users', 'shop:public.orders');
  expect(await sync()).toMatchObject({ users: 'stream', orders: 'stream' });
  await expectEqual('users', 'orders', 'clicks');
});

test('what is paused stays so through an apply', async () => {
  await begin();
  await workspace.expect(0, 'pause', 'shop');
  await workspace.configure({ tables: { ...TABLES, 'public.orders': { schedule: { every: '1h' } } } });
  await workspace.expect(0, 'apply', '--yes', '--sync');
  await change('second');
  expect(await sync()).toEqual({});
  await workspace.expect(0, 'resume', 'shop');
  await sync();
  await expectEqual('users', 'orders', 'clicks');
});

test('a source that a daemon follows ends its session and takes it up again', async () => {
  await begin({ transport: 'continuous', flush: { every: '1s' } });
  daemon = workspace.start(['daemon']);
  const slotInUse = async (): Promise<boolean> => {
    const [slot] = await workspace.source<{ active: boolean }>(
      `select active from pg_replication_slots where slot_name = '${workspace.slot}'`,
    );
    return slot?.active === true;
  };
  await eventually(slotInUse, 'the follower');
  await workspace.expect(0, 'pause', 'shop');
  await eventually(async () => !(await slotInUse()), 'the end of the follower');
  await change('second');
  await expectBehind('users', 'orders');
  await workspace.expect(0, 'resume', 'shop');
  await eventually(async () => {
    const { inPostgres, inCopy } = await rowsOf('users');
    return inPostgres === inCopy;
  }, 'the changes that waited');
  await eventually(async () => {
    const { inPostgres, inCopy } = await rowsOf('orders');
    return inPostgres === inCopy;
  }, 'the changes that waited');
  expect(await slotInUse()).toBe(true);
});
