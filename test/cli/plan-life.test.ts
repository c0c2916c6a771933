import { readFile } from 'node:fs/promises';
import { beforeEach, describe, expect, test } from 'vitest';
import { expectNoChanges, expectSame, LIVE } from './comparison.js';
import { freshWorkspaces } from './fresh-workspaces.js';
import { at, items, reportedInText } from './reported-error.js';
import { exists, type ShopConfig, type Workspace } from './workspace.js';

/** A plan from its making to its end, and what keeps two of them from being applied at once. */

const USERS: ShopConfig = { tables: { 'public.users': {} } };
const BOTH: ShopConfig = { tables: { 'public.users': {}, 'public.orders': { method: 'full_table' } } };
const COLUMNS = ['id', 'name'];

const fresh = freshWorkspaces('life');
let workspace: Workspace;

beforeEach(async () => {
  workspace = await fresh();
  await workspace.source(`
    create table users (id bigint primary key, name text);
    create table orders (id bigint primary key, total numeric(10,2));
    insert into users select i, 'user ' || i from generate_series(1, 50) i;
    insert into orders select i, i * 1.5 from generate_series(1, 20) i;`);
});

describe('a saved plan', () => {
  test('is shown as it was made, applied once, and leaves no changes', async () => {
    await workspace.configure(BOTH);
    const changes = await workspace.expect(2, 'plan', '--detailed-exitcode');
    const made = await workspace.expect(0, 'plan', '--out', 'next.plan');
    expect(made.stdout).toContain('sluice apply next.plan');
    const shown = await workspace.expect(0, 'show', 'next.plan');
    expect(shown.stdout).toBe(changes.stdout);
    expect(made.stdout.startsWith(shown.stdout)).toBe(true);
    expect(await exists(workspace.stateFile), 'planning writes no state').toBe(false);
    expect(await workspace.onServer()).toEqual({ slots: [], publications: [], members: [] });

    // A reviewed plan needs neither a terminal nor --yes.
    await workspace.expect(0, 'apply', 'next.plan');
    expect(await workspace.onServer()).toEqual({
      slots: [workspace.slot],
      publications: [workspace.publication],
      members: ['public.users'],
    });
    await expectNoChanges(workspace);
    const again = await workspace.expect(1, 'apply', 'next.plan');
    expect(reportedInText(again)).toMatchObject({ code: 'PLAN_STALE', hint: expect.stringContaining('sluice plan') });

    await workspace.expect(0, 'sync');
    await expectNoChanges(workspace);
    await expectSame(workspace, { source: 'public.users', columns: COLUMNS, where: LIVE });
    await expectSame(workspace, { source: 'public.orders', columns: ['id', 'total'] });
  });

  test('made for another config is refused', async () => {
    await workspace.configure(USERS);
    await workspace.expect(0, 'plan', '--out', 'next.plan');
    await workspace.configure(BOTH);
    const run = await workspace.expect(1, 'apply', 'next.plan');
    expect(reportedInText(run)).toMatchObject({ code: 'PLAN_STALE', message: expect.stringContaining('sources.yaml') });
    expect(await exists(workspace.stateFile)).toBe(false);
    await workspace.configure(USERS);
    await workspace.expect(0, 'apply', 'next.plan');
  });

  test('with something in its way is saved, shown and refused', async () => {
    await workspace.configure({ tables: { 'public.users': {}, 'public.usres': {} } });
    await workspace.expect(1, 'plan', '--detailed-exitcode');
    await workspace.expect(1, 'plan', '--out', 'next.plan');
    const run = await workspace.expect(1, 'apply', 'next.plan');
    expect(reportedInText(run)).toMatchObject({ code: 'TABLE_MISSING' });
    expect(await workspace.onServer()).toMatchObject({ slots: [], publications: [] });
  });
});

test('a target takes only its table, the rest comes later', async () => {
  await workspace.configure(BOTH);
  const plan = await workspace.json('plan', '--target', 'shop:public.orders');
  expect(items(at(plan, 'changes')).map((change) => at(change, 'address'))).toEqual([
    'shop:public.orders',
    'shop:public.orders',
  ]);
  await workspace.expect(0, 'apply', '--yes', '--sync', '--target', 'shop:public.orders');
  await expectSame(workspace, { source: 'public.orders', columns: ['id', 'total'] });
  expect(await workspace.onServer()).toMatchObject({ slots: [], publications: [] });

  await workspace.expect(0, 'apply', '--yes', '--sync', '--target', 'shop:public.users');
  await expectSame(workspace, { source: 'public.users', columns: COLUMNS, where: LIVE });
  await expectNoChanges(workspace);
});

test('without a terminal nothing is changed before --yes', async () => {
  await workspace.configure(USERS);
  const apply = await workspace.expect(64, 'apply');
  expect(reportedInText(apply)).toMatchObject({ code: 'CONSENT_NEEDED', hint: expect.stringContaining('--yes') });
  expect(apply.stdout, 'the plan was shown').toContain('public.users');
  expect(await exists(workspace.stateFile)).toBe(false);
  await workspace.expect(0, 'apply', '--yes', '--sync');
  const before = await readFile(workspace.stateFile, 'utf8');
  const resync = await workspace.expect(64, 'resync', 'shop');
  expect(reportedInText(resync)).toMatchObject({ code: 'CONSENT_NEEDED' });
  expect(await readFile(workspace.stateFile, 'utf8')).toBe(before);
});

describe('the lock', () => {
  /** A sync that waits inside of Postgres until the returned function is called. */
  async function heldSync(): Promise<{ sync: ReturnType<Workspace['start']>; letGo: () => Promise<void> }> {
    await workspace.configure({ tables: { 'public.orders': { method: 'full_table' } } });
    await workspace.expect(0, 'apply', '--yes');
    const blocker = await workspace.postgres.client(workspace.database);
    await blocker.query('begin; lock table orders in access exclusive mode');
    const sync = workspace.start(['sync']);
    await sync.until((output) => output.includes('public.orders'), 'the load');
    return { sync, letGo: () => blocker.end() };
  }

  test('a second process waits a little, then names the holder', async () => {
    const { sync, letGo } = await heldSync();
    const holder = `sluice sync (pid ${sync.pid} on `;
    const status = await workspace.expect(0, 'status');
    expect(status.stdout).toContain(`Locked by ${holder}`);
    const runs = await Promise.all(
      [['sync'], ['resync', 'shop', '--yes']].map(async (args) => {
        const started = performance.now();
        return { run: await workspace.run(args), tookMs: performance.now() - started };
      }),
    );
    for (const { run, tookMs } of runs) {
      expect(run.code, run.output).toBe(75);
      expect(reportedInText(run)).toMatchObject({ code: 'STATE_LOCKED' });
      expect(run.stderr).toContain(`pid ${sync.pid}`);
      expect(run.stderr).toContain('sluice sync');
      expect(tookMs).toBeGreaterThan(9_000);
    }
    await letGo();
    expect((await sync.ended).code).toBe(0);
    await expectSame(workspace, { source: 'public.orders', columns: ['id', 'total'] });
  });

  test('a second process goes on as soon as the first is through', async () => {
    const { sync, letGo } = await heldSync();
    const second = workspace.start(['sync', 'shop:public.orders']);
    await Promise.race([second.ended, new Promise((resolve) => setTimeout(resolve, 2_000))]);
    await letGo();
    const [first, other] = await Promise.all([sync.ended, second.ended]);
    expect(first.code, first.output).toBe(0);
    expect(other.code, other.output).toBe(0);
  });

  test('of a killed process frees itself', async () => {
    const { sync, letGo } = await heldSync();
    sync.kill('SIGKILL');
    expect((await sync.ended).signal).toBe('SIGKILL');
    expect(await exists(`${workspace.stateFile}.lock`), 'the lock is still there').toBe(true);
    await letGo();
    const started = performance.now();
    await workspace.expect(0, 'sync');
    expect(performance.now() - started).toBeLessThan(9_000);
    await expectSame(workspace, { source: 'public.orders', columns: ['id', 'total'] });
    await expectNoChanges(workspace);
  });
});
