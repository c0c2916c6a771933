import { beforeEach, describe, expect, test } from 'vitest';
import { expectNoChanges, expectSame, LIVE } from './comparison.js';
import { freshWorkspaces } from './fresh-workspaces.js';
import { at } from './reported-error.js';
import { eventually, exists, type Running, type ShopConfig, type Workspace } from './workspace.js';

/** The daemon as a process: what it does by itself, and how it ends. */

const EVERY_SECOND: ShopConfig = {
  tables: {
    'public.users': { schedule: { every: '1s' } },
    'public.countries': { method: 'full_table', schedule: { every: '1s' } },
  },
};
/** Law 10. */
const STOP_MS = 10_000;

const fresh = freshWorkspaces('daemon');
let workspace: Workspace;

beforeEach(async () => {
  workspace = await fresh();
  for (const table of ['users', 'countries', 'orders']) {
    await workspace.source(`create table ${table} (id bigint primary key, name text);
      insert into ${table} select i, '${table} ' || i from generate_series(1, 30) i`);
  }
});

/** Log lines of a daemon, as JSON. */
function lines(daemon: Running): readonly unknown[] {
  return daemon.output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line));
}

const says = (daemon: Running, message: string, fields: Readonly<Record<string, unknown>> = {}): boolean =>
  lines(daemon).some(
    (line) => at(line, 'msg') === message && Object.entries(fields).every(([key, value]) => at(line, key) === value),
  );

async function startDaemon(config: ShopConfig = EVERY_SECOND): Promise<Running> {
  await workspace.configure(config);
  const daemon = workspace.start(['daemon']);
  await daemon.until(() => says(daemon, 'daemon started'), 'the start');
  return daemon;
}

/** Ends it as a service manager does, and insists on an orderly end in time. */
async function stop(daemon: Running): Promise<void> {
  const started = performance.now();
  daemon.kill('SIGTERM');
  const run = await daemon.ended;
  expect(run.code, run.output).toBe(0);
  expect(performance.now() - started).toBeLessThan(STOP_MS);
  expect(await exists(`${workspace.stateFile}.lock`), 'the lock was given back').toBe(false);
}

/** Rows in the destination, asked for while the daemon runs. */
async function rowsOf(table: string, where = 'true'): Promise<number | null> {
  const run = await workspace.run(['query', `select count(*) as n from ${table} where ${where}`, '--format', 'csv']);
  return run.code === 0 ? Number(run.stdout.split('\n')[1]) : null;
}

test('applies, loads, follows changes by its schedule and ends in order', async () => {
  const daemon = await startDaemon();
  await daemon.until(() => says(daemon, 'table synced', { address: 'shop:public.users', kind: 'snapshot' }), 'a load');
  await workspace.source(`insert into users values (100, 'new'); delete from users where id = 1;
    insert into countries values (100, 'new')`);
  await eventually(async () => (await rowsOf('public.users', 'id = 100')) === 1, 'the streamed row');
  await eventually(async () => (await rowsOf('public.countries', 'id = 100')) === 1, 'the row of the full_table');
  await stop(daemon);
  expect(says(daemon, 'daemon stopped')).toBe(true);
  await expectSame(workspace, { source: 'public.countries', columns: ['id', 'name'] });
  await workspace.expect(0, 'sync', '--until-caught-up');
  await expectSame(workspace, { source: 'public.users', columns: ['id', 'name'], where: LIVE });
  await expectNoChanges(workspace);
});

test('runs loads that another process queues', async () => {
  const daemon = await startDaemon();
  await daemon.until(() => says(daemon, 'table synced', { address: 'shop:public.users', kind: 'snapshot' }), 'a load');
  const loads = (): number =>
    lines(daemon).filter(
      (line) =>
        at(line, 'msg') === 'table synced' && at(line, 'kind') === 'snapshot' && at(line, 'error') === undefined,
    ).length;
  const before = loads();
  const resync = await workspace.expect(0, 'resync', 'shop:public.users', '--yes');
  expect(resync.stdout).toContain('queued  shop:public.users');
  await daemon.until(() => loads() > before, 'the queued load');
  await stop(daemon);
});

test('leaves destructive changes to a person', async () => {
  await workspace.configure(EVERY_SECOND);
  await workspace.expect(0, 'apply', '--yes', '--sync');
  const daemon = await startDaemon({ tables: { 'public.users': { schedule: { every: '1s' } } } });
  await daemon.until(() => says(daemon, 'changes wait for sluice apply'), 'the warning');
  await workspace.source("insert into users values (100, 'new')");
  await eventually(async () => (await rowsOf('public.users', 'id = 100')) === 1, 'syncs go on meanwhile');
  await eventually(async () => (await rowsOf('public.countries')) === 30, 'the table, which is still there');
  await stop(daemon);
});

test('waits for a database that is away and goes on when it is back', async () => {
  await workspace.configure(EVERY_SECOND);
  await workspace.expect(0, 'apply', '--yes', '--sync');
  const daemon = await startDaemon();
  await daemon.until(() => says(daemon, 'no changes to apply'), 'the plan');
  await workspace.postgres.restart('immediate');
  await workspace.source("insert into users values (100, 'after the crash')");
  await eventually(async () => (await rowsOf('public.users', 'id = 100')) === 1, 'the row', 60_000);
  await stop(daemon);
});

describe('while a load is running', () => {
  /** A load that waits in Postgres for a lock, which is given back by ending the client. */
  async function loading(): Promise<{ daemon: Running; letGo: () => Promise<void> }> {
    const blocker = await workspace.postgres.client(workspace.database);
    await blocker.query('begin; lock table orders in access exclusive mode');
    const daemon = await startDaemon({ tables: { 'public.orders': { method: 'full_table' } } });
    await eventually(
      async () =>
        (
          await workspace.source(
            "select 1 from pg_stat_activity where application_name like 'sluice%' and wait_event_type = 'Lock' and datname = current_database()",
          )
        ).length > 0,
      'the load to wait in Postgres',
    );
    return { daemon, letGo: () => blocker.end() };
  }

  test('SIGTERM ends it in time, and the next start loads', async () => {
    const { daemon, letGo } = await loading();
    await stop(daemon);
    await letGo();
    await workspace.expect(0, 'sync');
    await expectSame(workspace, { source: 'public.orders', columns: ['id', 'name'] });
  });

  test('a second signal ends it at once', async () => {
    const { daemon, letGo } = await loading();
    daemon.kill('SIGTERM');
    await new Promise((resolve) => setTimeout(resolve, 20));
    const started = performance.now();
    daemon.kill('SIGTERM');
    const run = await daemon.ended;
    expect(performance.now() - started).toBeLessThan(2_000);
    // Through before the second signal came, or ended by it.
    expect([0, 'SIGTERM'], run.output).toContain(run.code ?? run.signal);
    await letGo();
    await workspace.expect(0, 'sync');
    await expectSame(workspace, { source: 'public.orders', columns: ['id', 'name'] });
  });

  test('SIGTERM in the middle of many rows', async () => {
    await workspace.source("insert into orders select i, repeat('x', 200) from generate_series(31, 1500000) i");
    const daemon = await startDaemon({ tables: { 'public.orders': {} } });
    await eventually(
      async () =>
        (
          await workspace.source(
            "select 1 from pg_stat_activity where application_name like 'sluice%' and query ilike 'copy%' and datname = current_database()",
          )
        ).length > 0,
      'the load',
    );
    await stop(daemon);
    await workspace.expect(0, 'sync', '--until-caught-up');
    const [counted] = await workspace.source<{ n: number }>('select count(*)::int as n from orders');
    expect(await rowsOf('public.orders')).toBe(counted?.n);
    await expectNoChanges(workspace);
  });
});
