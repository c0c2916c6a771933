import { beforeEach, expect, test } from 'vitest';
import { type Compared, CURRENT, expectNoChanges, expectSame, LIVE } from './comparison.js';
import { freshWorkspaces } from './fresh-workspaces.js';
import { at, items } from './reported-error.js';
import type { ShopConfig, Workspace } from './workspace.js';

/**
 * Edits of the file on live data: apply, sync, and the destination equals Postgres, the plan has nothing left to say,
 * and the server holds what the file asks for and nothing else.
 */

const COLUMNS = ['id', 'name', 'score'];
const users = (where: string = LIVE, columns: readonly string[] = COLUMNS): Compared => ({
  source: 'public.users',
  columns,
  where,
});
const orders: Compared = { source: 'public.orders', columns: COLUMNS, where: LIVE };

interface Edit {
  readonly name: string;
  readonly before: ShopConfig;
  readonly after: ShopConfig;
  /** Something that happens to the database together with the edit. */
  readonly sql?: string;
  /** `action address` of what the plan says, in order. */
  readonly changes: readonly string[];
  readonly same: readonly Compared[];
  /** Members of the publication afterwards; null: neither publication nor slot is left. */
  readonly members: readonly string[] | null;
  readonly check?: (workspace: Workspace) => Promise<void>;
}

const fresh = freshWorkspaces('edit');
let workspace: Workspace;

beforeEach(async () => {
  workspace = await fresh();
  for (const table of ['users', 'orders']) {
    await workspace.source(`create table ${table} (id bigint primary key, name text, score numeric(8,2));
      insert into ${table} select i, '${table} ' || i, i * 1.25 from generate_series(1, 40) i`);
  }
});

/** Inserts, updates and deletes in every table that there is; called several times, it meets other rows each time. */
async function changeRows(round: number): Promise<void> {
  const tables = await workspace.source<{ name: string }>(
    "select tablename as name from pg_tables where schemaname = 'public' order by 1",
  );
  for (const { name } of tables) {
    await workspace.source(`insert into ${name} values (${100 + round}, 'round ${round}', ${round});
      update ${name} set score = score + 1 where id % 4 = ${round % 4};
      delete from ${name} where id = ${round}`);
  }
}

const tablesOf = (schema: string): Promise<string[]> =>
  workspace.read(async (duckdb) =>
    (await duckdb.rows(`SELECT table_name FROM duckdb_tables() WHERE schema_name = '${schema}' ORDER BY 1`)).map(
      (row) => row[0] ?? '',
    ),
  );

const USERS = { 'public.users': {} };
const ORDERS = { 'public.orders': {} };
const BOTH = { ...USERS, ...ORDERS };
const withoutName = { columns: { exclude: ['name'] } };

const EDITS: readonly Edit[] = [
  {
    name: 'a table is added',
    before: { tables: USERS },
    after: { tables: BOTH },
    changes: [
      'add_publication_tables shop:publication',
      'create_table shop:public.orders',
      'snapshot_table shop:public.orders',
    ],
    same: [users(), orders],
    members: ['public.orders', 'public.users'],
  },
  {
    name: 'a table is removed and retired',
    before: { tables: BOTH },
    after: { tables: USERS },
    changes: ['retire_table shop:public.orders', 'remove_publication_tables shop:publication'],
    same: [users()],
    members: ['public.users'],
    check: async () => {
      expect(await tablesOf('public')).toEqual(['users']);
      expect(await tablesOf('_sluice_retired')).toEqual([expect.stringMatching(/^public\.orders@2/)]);
    },
  },
  {
    name: 'a table is removed and kept',
    before: { tables: { ...USERS, 'public.orders': { on_remove: 'keep' } } },
    after: { tables: USERS },
    changes: ['forget_table shop:public.orders', 'remove_publication_tables shop:publication'],
    same: [users()],
    members: ['public.users'],
    check: async () => {
      expect(await tablesOf('public')).toEqual(['orders', 'users']);
      const rows = await workspace.read((duckdb) => duckdb.rows('SELECT max(id) FROM public.orders'));
      expect(rows, 'as it was at the first edit').toEqual([['101']]);
    },
  },
  {
    name: 'a table is removed and dropped',
    before: { tables: { ...USERS, 'public.orders': { on_remove: 'drop', output: 'both' } } },
    after: { tables: USERS },
    changes: ['drop_table shop:public.orders', 'remove_publication_tables shop:publication'],
    same: [users()],
    members: ['public.users'],
    check: async () => {
      expect(await tablesOf('public')).toEqual(['users']);
      expect(await tablesOf('_sluice_retired')).toEqual([]);
    },
  },
  {
    name: 'a column is excluded',
    before: { tables: USERS },
    after: { tables: { 'public.users': withoutName } },
    changes: ['remove_columns shop:public.users', 'update_settings shop:publication'],
    same: [users(LIVE, ['id', 'score'])],
    members: ['public.users'],
    check: async () => {
      const named = await workspace.read((duckdb) =>
        duckdb.rows('SELECT id FROM public.users WHERE id > 101 AND name IS NOT NULL'),
      );
      expect(named, 'rows from then on do not have it').toEqual([]);
    },
  },
  {
    name: 'a column comes back while changes wait',
    before: { tables: { 'public.users': withoutName } },
    after: { tables: { 'public.users': { on_add_columns: 'forward_only' } } },
    changes: ['update_settings shop:publication', 'add_columns shop:public.users'],
    same: [users(LIVE, ['id', 'score'])],
    members: ['public.users'],
    check: async () => {
      const rows = await workspace.read((duckdb) =>
        duckdb.rows('SELECT id, name FROM public.users WHERE id IN (5, 102) OR id > 102 ORDER BY id'),
      );
      // The changes that waited were sent without the column, by the list before: the table was read anew for them.
      expect(rows).toEqual([
        ['5', 'users 5'],
        ['102', 'round 2'],
        ['103', 'round 3'],
      ]);
    },
  },
  {
    name: 'a column comes back and the table is read again',
    before: { tables: { 'public.users': withoutName } },
    after: { tables: { 'public.users': { on_add_columns: 'resync' } } },
    changes: ['update_settings shop:publication', 'resync_table shop:public.users', 'add_columns shop:public.users'],
    same: [users()],
    members: ['public.users'],
  },
  {
    name: 'consolidated becomes both',
    before: { tables: USERS },
    after: { tables: { 'public.users': { output: 'both' } } },
    changes: ['resync_table shop:public.users', 'change_output shop:public.users'],
    same: [users(), { ...users(CURRENT), target: 'public.users_cdc' }],
    members: ['public.users'],
  },
  {
    name: 'both becomes consolidated',
    before: { tables: { 'public.users': { output: 'both' } } },
    after: { tables: USERS },
    changes: ['change_output shop:public.users'],
    same: [users()],
    members: ['public.users'],
  },
  {
    name: 'both becomes history',
    before: { tables: { 'public.users': { output: 'both' } } },
    after: { tables: { 'public.users': { output: 'history' } } },
    changes: ['resync_table shop:public.users', 'change_output shop:public.users'],
    same: [{ ...users(CURRENT), target: 'public.users_cdc' }],
    members: ['public.users'],
  },
  {
    name: 'soft deletes become hard',
    before: { tables: USERS },
    after: { tables: { 'public.users': { deletes: 'hard' } } },
    changes: ['resync_table shop:public.users', 'update_settings shop:public.users'],
    same: [users('true')],
    members: ['public.users'],
  },
  {
    name: 'cdc becomes full_table, and nothing is streamed any more',
    before: { tables: USERS },
    after: { tables: { 'public.users': { method: 'full_table' } } },
    changes: ['change_method shop:public.users', 'drop_slot shop:slot', 'drop_publication shop:publication'],
    same: [users('true')],
    members: null,
  },
  {
    name: 'full_table becomes cdc',
    before: { tables: { 'public.users': { method: 'full_table' } } },
    after: { tables: USERS },
    changes: ['create_publication shop:publication', 'create_slot shop:slot', 'change_method shop:public.users'],
    same: [users()],
    members: ['public.users'],
  },
  {
    name: 'a table is disabled',
    before: { tables: BOTH },
    after: { tables: { ...USERS, 'public.orders': { enabled: false } } },
    changes: ['disable_table shop:public.orders', 'remove_publication_tables shop:publication'],
    same: [users()],
    members: ['public.users'],
    check: async () => {
      const rows = await workspace.read((duckdb) => duckdb.rows('SELECT max(id) FROM public.orders'));
      expect(rows, 'it stays as it was').toEqual([['101']]);
    },
  },
  {
    name: 'a table is renamed, and its rows stay',
    before: { tables: BOTH },
    after: {
      tables: { 'public.people': {}, ...ORDERS },
      top: { moved: [{ from: 'shop:public.users', to: 'shop:public.people' }] },
    },
    sql: 'alter table users rename to people',
    changes: ['move shop:public.people'],
    same: [{ ...users(), source: 'public.people' }, orders],
    members: ['public.orders', 'public.people'],
    check: async () => {
      expect(await tablesOf('public')).toEqual(['orders', 'people']);
      const loads = await workspace.read((duckdb) =>
        duckdb.rows("SELECT count(*) FROM _sluice.runs WHERE kind = 'snapshot' AND address = 'shop:public.people'"),
      );
      expect(loads, 'it was not read again').toEqual([['1']]);
    },
  },
  {
    name: 'a table is dropped and made anew under its name',
    before: { tables: BOTH },
    after: { tables: BOTH },
    sql: `drop table users; create table users (id bigint primary key, name text, score numeric(8,2));
      insert into users values (1, 'another', 1), (2, 'table', 2), (3, 'now', 3), (50, 'fifty', 50)`,
    changes: [
      'add_publication_tables shop:publication',
      'resync_table shop:public.users',
      'update_settings shop:public.users',
    ],
    same: [users(), orders],
    members: ['public.orders', 'public.users'],
  },
  {
    name: 'the whole source leaves the file',
    before: { tables: BOTH },
    after: { tables: {}, top: { sources: {} } },
    changes: [
      'drop_slot shop:slot',
      'drop_publication shop:publication',
      'retire_table shop:public.orders',
      'retire_table shop:public.users',
      'remove_source shop',
    ],
    same: [],
    members: null,
    check: async () => {
      expect(await tablesOf('public')).toEqual([]);
      expect((await tablesOf('_sluice_retired')).length).toBe(2);
    },
  },
];

test.each(EDITS)('$name', async (edit) => {
  await workspace.configure(edit.before);
  await workspace.expect(0, 'apply', '--yes', '--sync');
  await changeRows(1);
  if (edit.sql === undefined) await workspace.expect(0, 'sync', '--until-caught-up');
  else await workspace.source(edit.sql);

  await workspace.configure(edit.after);
  const plan = await workspace.json('plan');
  const changes = items(at(plan, 'changes')).map((change) => `${at(change, 'action')} ${at(change, 'address')}`);
  expect(changes).toEqual(edit.changes);
  await changeRows(2);
  await workspace.expect(0, 'apply', '--yes');
  await expectNoChanges(workspace);
  await changeRows(3);
  await workspace.expect(0, 'sync', '--until-caught-up');

  for (const compared of edit.same) await expectSame(workspace, compared);
  await expectNoChanges(workspace);
  expect(await workspace.onServer()).toEqual(
    edit.members === null
      ? { slots: [], publications: [], members: [] }
      : { slots: [workspace.slot], publications: [workspace.publication], members: edit.members },
  );
  await edit.check?.(workspace);
});

test('a table is disabled and enabled again', async () => {
  await workspace.configure({ tables: BOTH });
  await workspace.expect(0, 'apply', '--yes', '--sync');
  await workspace.configure({ tables: { ...USERS, 'public.orders': { enabled: false } } });
  await workspace.expect(0, 'apply', '--yes', '--sync');
  await changeRows(1);
  await workspace.configure({ tables: BOTH });
  await workspace.expect(0, 'apply', '--yes');
  await changeRows(2);
  await workspace.expect(0, 'sync', '--until-caught-up');
  await expectSame(workspace, users());
  await expectSame(workspace, orders);
  await expectNoChanges(workspace);
  expect((await workspace.onServer()).members).toEqual(['public.orders', 'public.users']);
});

test('a source is renamed, and its slot and rows stay', async () => {
  await workspace.configure({ tables: USERS });
  await workspace.expect(0, 'apply', '--yes', '--sync');
  await changeRows(1);
  const [before] = await workspace.source<{ lsn: string }>(
    'select restart_lsn::text as lsn from pg_replication_slots where database = current_database()',
  );
  await workspace.configure({
    tables: USERS,
    top: {
      sources: {
        store: {
          connection: 'db',
          destination: 'warehouse',
          cdc: { slot: workspace.slot, publication: workspace.publication },
          tables: USERS,
        },
      },
      moved: [{ from: 'shop', to: 'store' }],
    },
  });
  await workspace.expect(0, 'apply', '--yes');
  await expectNoChanges(workspace);
  const [after] = await workspace.source<{ lsn: string }>(
    'select restart_lsn::text as lsn from pg_replication_slots where database = current_database()',
  );
  expect(after, 'the slot was not made anew').toEqual(before);
  await workspace.expect(0, 'sync', '--until-caught-up');
  await expectSame(workspace, users());
  await expectNoChanges(workspace);
});
