import { beforeEach, describe, expect, test } from 'vitest';
import { CURRENT, expectNoChanges, expectSame, LIVE } from './comparison.js';
import { freshWorkspaces } from './fresh-workspaces.js';
import { at, items, reportedInText } from './reported-error.js';
import { eventually, type ShopConfig, type Workspace } from './workspace.js';

/**
 * `apply` is killed between each change and its record in the state, and after each record. Running it again has to
 * lead to a working state, without SQL by hand and without anything left on the server.
 */

const COLUMNS = ['id', 'name'];
const FIRST: ShopConfig = { tables: { 'public.users': {}, 'public.orders': { output: 'both' } } };
/** Drops one cdc table, adds another, and the publication and slot get other names. */
const SECOND: ShopConfig = {
  tables: { 'public.users': {}, 'public.items': { method: 'cdc' } },
  cdc: { slot: 'slot_renamed', publication: 'pub_renamed' },
};

const fresh = freshWorkspaces('killed');
let workspace: Workspace;

beforeEach(async () => {
  workspace = await fresh();
  for (const table of ['users', 'orders', 'items']) {
    await workspace.source(`create table ${table} (id bigint primary key, name text);
      insert into ${table} select i, '${table} ' || i from generate_series(1, 20) i`);
  }
});

async function changeSomeRows(): Promise<void> {
  for (const table of ['users', 'orders', 'items']) {
    await workspace.source(`insert into ${table} select max(id) + 1, 'new' from ${table};
      update ${table} set name = name || '!' where id % 3 = 0; delete from ${table} where id = (select min(id) from ${table})`);
  }
}

/** Kills an apply at every n-th passing of a failpoint until one gets through; each is followed by a whole one. */
const POINTS = ['before_state_write', 'after_state_write'] as const;

describe.each(POINTS)('killed %s', (point) => {
  test('a first apply', async () => {
    await workspace.configure(FIRST);
    const plan = await workspace.json('plan');
    const count = items(at(plan, 'changes')).length;
    expect(count).toBeGreaterThan(4);
    for (let times = 1; times <= count; times += 1) {
      const killed = await workspace.run(['apply', '--yes'], { env: { SLUICE_FAILPOINT: `${point}@${times}` } });
      expect(killed.signal, `change ${times}: ${killed.output}`).toBe('SIGKILL');
      await changeSomeRows();
      await workspace.expect(0, 'apply', '--yes');
      await expectNoChanges(workspace);
      expect(await workspace.onServer()).toEqual({
        slots: [workspace.slot],
        publications: [workspace.publication],
        members: ['public.orders', 'public.users'],
      });
      if (times === 1 || times === count) {
        await workspace.expect(0, 'sync', '--until-caught-up');
        await expectSame(workspace, { source: 'public.users', columns: COLUMNS, where: LIVE });
        await expectSame(workspace, { source: 'public.orders', columns: COLUMNS, where: LIVE });
      }
      await startOver();
    }
  });

  test('an apply of an edit on live data', async () => {
    await workspace.configure(FIRST);
    await workspace.expect(0, 'apply', '--yes', '--sync');
    await workspace.configure(SECOND);
    // Killed again and again, each time one change further than the last got.
    for (let kills = 0; ; kills += 1) {
      expect(kills).toBeLessThan(20);
      const run = await workspace.run(['apply', '--yes'], { env: { SLUICE_FAILPOINT: point } });
      await changeSomeRows();
      if (run.signal === null) {
        expect(run.code, run.output).toBe(0);
        expect(kills, 'it was killed at all').toBeGreaterThan(3);
        break;
      }
      // Before the record nothing was written, so this way it would never get on. Two steps: one may only clear up.
      if (point === 'before_state_write') {
        await workspace.run(['apply', '--yes'], { env: { SLUICE_FAILPOINT: 'after_state_write@2' } });
      }
    }
    await expectNoChanges(workspace);
    await workspace.expect(0, 'sync', '--until-caught-up');
    await expectNoChanges(workspace);
    await expectSame(workspace, { source: 'public.users', columns: COLUMNS, where: LIVE });
    await expectSame(workspace, { source: 'public.items', columns: COLUMNS, where: LIVE });
    await changeSomeRows();
    await workspace.expect(0, 'sync', '--until-caught-up');
    await expectSame(workspace, { source: 'public.users', columns: COLUMNS, where: LIVE });
    expect(await workspace.onServer()).toMatchObject({ slots: ['slot_renamed'], publications: ['pub_renamed'] });
    const retired = await workspace.read((duckdb) =>
      duckdb.rows("SELECT table_name FROM duckdb_tables() WHERE schema_name = '_sluice_retired'"),
    );
    expect(retired.length, 'both tables of public.orders, once each').toBe(2);
  });
});

/** Takes the source out of the file, which has to leave nothing behind. */
async function startOver(): Promise<void> {
  await workspace.configure({ ...FIRST, source: { enabled: undefined }, tables: {} });
  await workspace.expect(0, 'apply', '--yes');
  expect(await workspace.onServer()).toEqual({ slots: [], publications: [], members: [] });
  await workspace.configure(FIRST);
}

test("a slot that is somebody else's is not taken for ours", async () => {
  await workspace.configure(FIRST);
  // Killed before the slot was made: it was announced, and then another tool makes one of that name.
  await workspace.run(['apply', '--yes'], { env: { SLUICE_FAILPOINT: 'before_state_write@1' } });
  await workspace.source(`select pg_create_logical_replication_slot('${workspace.slot}', 'pgoutput')`);
  const run = await workspace.expect(1, 'apply', '--yes');
  expect(reportedInText(run)?.code).toBe('SLOT_OCCUPIED');
  expect(await workspace.onServer()).toMatchObject({ slots: [workspace.slot] });
});

test('killed while the slot waits for an older transaction', async () => {
  await workspace.configure(FIRST);
  const writer = await workspace.postgres.client(workspace.database);
  await writer.query("begin; insert into users values (1000, 'open')");
  const apply = workspace.start(['apply', '--yes']);
  await eventually(async () => (await workspace.onServer()).slots.length === 1, 'the slot');
  apply.kill('SIGKILL');
  await apply.ended;
  // The server goes on making it until the writer ends; until then its maker's backend holds it.
  const run = await workspace.run(['apply', '--yes']);
  expect(run.code, run.output).toBe(1);
  expect(run.output).toContain('SLOT_IN_USE');
  expect(reportedInText(run)?.hint).toMatch(/pg_terminate_backend\(\d+\)/);
  await writer.query('commit');
  await writer.end();
  await eventually(
    async () => (await workspace.run(['apply', '--yes'])).code === 0,
    'an apply that gets through after the writer has ended',
  );
  await workspace.expect(0, 'sync', '--until-caught-up');
  await expectSame(workspace, { source: 'public.users', columns: COLUMNS, where: LIVE });
  await expectSame(workspace, {
    source: 'public.orders',
    target: 'public.orders_cdc',
    columns: COLUMNS,
    where: CURRENT,
  });
  await expectNoChanges(workspace);
});

test('a slot that could not be made is not remembered as announced', async () => {
  await workspace.configure(FIRST);
  await workspace.expect(0, 'plan', '--out', 'next.plan');
  await workspace.postgres.query(`alter system set max_replication_slots = 1`);
  await workspace.postgres.restart();
  try {
    await workspace.source("select pg_create_physical_replication_slot('taken')");
    const run = await workspace.run(['apply', 'next.plan']);
    expect(run.code, run.output).toBe(1);
    expect(run.output).toContain('SERVER_UNSUITABLE');
    const state = await workspace.readState();
    expect(at(at(at(state, 'sources'), 'shop'), 'pending_slot')).toBeNull();
  } finally {
    await workspace.source("select pg_drop_replication_slot('taken')");
    await workspace.postgres.query(`alter system reset max_replication_slots`);
    await workspace.postgres.restart();
  }
  await workspace.expect(0, 'apply', '--yes', '--sync');
  await expectSame(workspace, { source: 'public.users', columns: COLUMNS, where: LIVE });
});
