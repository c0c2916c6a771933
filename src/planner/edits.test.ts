import { describe, expect, test } from 'vitest';
import type { Config, SourceConfig, TableConfig, TableEntry } from '../config/config.js';
import type { ObservedTable } from '../source/catalog-model.js';
import { emptyState, withHalt, withPendingSlot } from '../state/edit.js';
import { stateAfter, stateBeforeSlot } from './apply-edit.js';
import type { Change, Plan } from './change.js';
import {
  applied,
  byHand,
  converged,
  loaded,
  planOf,
  sampleCdc,
  sampleColumn,
  sampleConfig,
  sampleDestination,
  sampleEntry,
  samplePublication,
  sampleSlot,
  sampleSourceConfig,
  sampleTableOf,
  type World,
  world,
} from './sample-world.js';

/** Something that a person does to the file or that happens to the database, and what the plan then says. */
interface Edit {
  readonly name: string;
  readonly config?: (config: Config) => Config;
  readonly world?: (current: World) => World;
  /** `action address` of each change, in order. */
  readonly changes: readonly string[];
  /** Those of them that are destructive. */
  readonly destructive?: readonly string[];
}

const leaf = sampleTableOf('public.events_1', { isPartition: true, oid: 902, partitionRootOid: 901 });
const BASE_TABLES: readonly ObservedTable[] = [
  sampleTableOf('public.users'),
  sampleTableOf('public.audit'),
  sampleTableOf('public.events', { kind: 'p', oid: 901, partitionOids: [902] }),
  leaf,
  sampleTableOf('public.orders'),
  sampleTableOf('public.clicks'),
  sampleTableOf('public.countries'),
  sampleTableOf('billing.bills'),
  sampleTableOf('billing.lines'),
];
const BASE_CONFIG = sampleConfig(
  [
    sampleSourceConfig([
      sampleEntry('public.users', { columns: { kind: 'exclude', columns: ['at'] } }),
      sampleEntry('public.audit', { output: 'both' }),
      sampleEntry('public.events', { onRemove: 'keep' }),
      sampleEntry('public.orders', { method: 'incremental', cursor: 'at' }),
      sampleEntry('public.clicks', { method: 'append', cursor: 'id' }),
      sampleEntry('public.countries', { method: 'full_table', onRemove: 'drop' }),
      sampleEntry('billing.*'),
    ]),
  ],
  { destinations: { warehouse: sampleDestination('warehouse'), lake: sampleDestination('lake') } },
);
const BASE = converged(BASE_CONFIG, world(BASE_TABLES));

const editSource =
  (edit: (source: SourceConfig) => SourceConfig) =>
  (config: Config): Config => ({
    ...config,
    sources: Object.fromEntries(Object.entries(config.sources).map(([name, source]) => [name, edit(source)])),
  });
const editEntries = (edit: (entry: TableEntry) => readonly TableEntry[]) =>
  editSource((source) => ({ ...source, tables: source.tables.flatMap(edit) }));
const editEntry = (key: string, fields: Partial<TableConfig>) =>
  editEntries((entry) => [entry.key === key ? { ...entry, table: { ...entry.table, ...fields } } : entry]);
const removeEntry = (key: string) => editEntries((entry) => (entry.key === key ? [] : [entry]));
const addEntry = (entry: TableEntry) => editSource((source) => ({ ...source, tables: [...source.tables, entry] }));
const editObserved =
  (name: string, fields: (table: ObservedTable) => Partial<ObservedTable>) =>
  (current: World): World => ({
    ...current,
    tables: current.tables.map((table) => (table.name === name ? { ...table, ...fields(table) } : table)),
  });
const withoutMember =
  (name: string) =>
  (current: World): World => ({
    ...current,
    publications: current.publications.map((publication) => ({
      ...publication,
      tables: publication.tables.filter((member) => member.name !== name),
    })),
  });

const CDC = ['billing.bills', 'billing.lines', 'public.audit', 'public.events', 'public.users'];
const ALL = [
  'billing.bills',
  'billing.lines',
  'public.audit',
  'public.clicks',
  'public.countries',
  'public.events',
  'public.orders',
  'public.users',
];
const resyncs = (keys: readonly string[]) => keys.map((key) => `resync_table shop:${key}`);
const halted = (current: World): World => ({
  ...current,
  state:
    current.state === null
      ? null
      : withHalt(current.state, 'shop', { code: 'WAL_LAG_CRITICAL', message: 'too much', at: '2026-03-02T12:00:00Z' }),
});
const recreated = ['drop_slot shop:slot', 'create_slot shop:slot'];

const EDITS: readonly Edit[] = [
  { name: 'nothing', changes: [] },
  {
    name: 'a new cdc entry',
    config: addEntry(sampleEntry('public.payments')),
    world: (current) => ({ ...current, tables: [...current.tables, sampleTableOf('public.payments')] }),
    changes: [
      'add_publication_tables shop:publication',
      'create_table shop:public.payments',
      'snapshot_table shop:public.payments',
    ],
  },
  {
    name: 'a new full_table entry for a view',
    config: addEntry(sampleEntry('public.totals', { method: 'full_table' })),
    world: (current) => ({
      ...current,
      tables: [...current.tables, sampleTableOf('public.totals', { kind: 'v', primaryKey: [] })],
    }),
    changes: ['create_table shop:public.totals', 'snapshot_table shop:public.totals'],
  },
  {
    name: 'a new table that a pattern finds',
    world: (current) => ({ ...current, tables: [...current.tables, sampleTableOf('billing.taxes')] }),
    changes: [
      'add_publication_tables shop:publication',
      'create_table shop:billing.taxes',
      'snapshot_table shop:billing.taxes',
    ],
  },
  {
    name: 'a cdc entry is removed',
    config: removeEntry('public.audit'),
    changes: ['retire_table shop:public.audit', 'remove_publication_tables shop:publication'],
    destructive: ['retire_table shop:public.audit'],
  },
  {
    name: 'an entry with on_remove keep is removed',
    config: removeEntry('public.events'),
    changes: ['forget_table shop:public.events', 'remove_publication_tables shop:publication'],
  },
  {
    name: 'an entry with on_remove drop is removed',
    config: removeEntry('public.countries'),
    changes: ['drop_table shop:public.countries'],
    destructive: ['drop_table shop:public.countries'],
  },
  {
    name: 'a table of a pattern is gone from the database',
    world: (current) =>
      withoutMember('lines')({ ...current, tables: current.tables.filter((table) => table.name !== 'lines') }),
    changes: ['retire_table shop:billing.lines', 'remove_publication_tables shop:publication'],
    destructive: ['retire_table shop:billing.lines'],
  },
  {
    name: 'a column is selected in addition',
    config: editEntry('public.users', { columns: { kind: 'all' } }),
    changes: ['update_settings shop:publication', 'add_columns shop:public.users'],
  },
  {
    name: 'a column is selected in addition, with on_add_columns resync',
    config: editEntry('public.users', { columns: { kind: 'all' }, onAddColumns: 'resync' }),
    changes: ['update_settings shop:publication', 'resync_table shop:public.users', 'add_columns shop:public.users'],
    destructive: ['resync_table shop:public.users'],
  },
  {
    name: 'a column is selected in addition, with on_add_columns backfill',
    config: editEntry('public.users', { columns: { kind: 'all' }, onAddColumns: 'backfill' }),
    changes: [
      'update_settings shop:publication',
      'add_columns shop:public.users',
      'backfill_columns shop:public.users',
    ],
  },
  {
    name: 'a column is excluded',
    config: editEntry('public.audit', { columns: { kind: 'exclude', columns: ['name'] } }),
    changes: ['remove_columns shop:public.audit', 'update_settings shop:publication'],
    destructive: ['remove_columns shop:public.audit'],
  },
  {
    name: 'one column is excluded and another selected',
    config: editEntry('public.users', { columns: { kind: 'exclude', columns: ['name'] } }),
    changes: ['update_settings shop:publication', 'remove_columns shop:public.users', 'add_columns shop:public.users'],
    destructive: ['remove_columns shop:public.users'],
  },
  {
    name: 'a column is added in the source of a table with a column list',
    world: editObserved('users', (table) => ({ columns: [...table.columns, sampleColumn('note', 4, 'text')] })),
    changes: ['update_settings shop:publication', 'add_columns shop:public.users'],
  },
  {
    name: 'somebody took a column out of the list',
    world: relist('users', ['id']),
    changes: ['update_settings shop:publication', ...resyncs(['public.users'])],
    destructive: resyncs(['public.users']),
  },
  {
    name: 'somebody took the list away',
    world: relist('users', null),
    changes: ['update_settings shop:publication'],
  },
  {
    name: 'the replica identity of a table with a column list becomes FULL',
    world: editObserved('users', () => ({ replicaIdentity: 'f', replicaIdentityColumns: ['id', 'name', 'at'] })),
    changes: ['update_settings shop:publication', 'update_settings shop:public.users'],
  },
  {
    name: 'the replica identity of a table with a column list takes in a column that is not copied',
    world: editObserved('users', () => ({ replicaIdentity: 'i', replicaIdentityColumns: ['id', 'at'] })),
    changes: ['update_settings shop:publication', 'update_settings shop:public.users'],
  },
  {
    name: 'a column is added in the source',
    world: editObserved('audit', (table) => ({ columns: [...table.columns, sampleColumn('note', 4, 'text')] })),
    changes: ['add_columns shop:public.audit'],
  },
  {
    name: 'a column is dropped in the source',
    world: editObserved('clicks', (table) => ({ columns: table.columns.filter((column) => column.name !== 'name') })),
    changes: ['remove_columns shop:public.clicks'],
  },
  {
    name: 'a column is renamed in the source',
    world: editObserved('countries', (table) => ({
      columns: table.columns.map((column) => (column.name === 'name' ? { ...column, name: 'title' } : column)),
    })),
    changes: ['rename_columns shop:public.countries'],
    destructive: [],
  },
  {
    name: 'a column is renamed in the source and gets another type',
    world: editObserved('countries', (table) => ({
      columns: table.columns.map((column) =>
        column.name === 'name' ? sampleColumn('title', column.attnum, 'bigint') : column,
      ),
    })),
    changes: ['resync_table shop:public.countries', 'rename_columns shop:public.countries'],
    destructive: ['resync_table shop:public.countries'],
  },
  {
    name: 'a column is dropped and added again in the source',
    world: editObserved('bills', (table) => ({
      columns: table.columns.map((column) => (column.name === 'name' ? { ...column, attnum: 9 } : column)),
    })),
    changes: resyncs(['billing.bills']),
    destructive: resyncs(['billing.bills']),
  },
  {
    name: 'a column gets another type in the source',
    world: editObserved('users', (table) => ({
      columns: table.columns.map((column) => (column.name === 'name' ? sampleColumn('name', 2, 'bigint') : column)),
    })),
    changes: resyncs(['public.users']),
    destructive: resyncs(['public.users']),
  },
  {
    name: 'the type of a column is overridden',
    config: editEntry('public.orders', { types: { id: { kind: 'varchar' } } }),
    changes: resyncs(['public.orders']),
    destructive: resyncs(['public.orders']),
  },
  {
    name: 'method cdc -> full_table',
    config: editEntry('public.users', { method: 'full_table' }),
    changes: ['change_method shop:public.users', 'remove_publication_tables shop:publication'],
    destructive: ['change_method shop:public.users'],
  },
  {
    name: 'method incremental -> cdc',
    config: editEntry('public.orders', { method: 'cdc', cursor: null }),
    changes: ['add_publication_tables shop:publication', 'change_method shop:public.orders'],
    destructive: ['change_method shop:public.orders'],
  },
  {
    name: 'output consolidated -> both',
    config: editEntry('public.users', { output: 'both' }),
    changes: ['resync_table shop:public.users', 'change_output shop:public.users'],
    destructive: ['resync_table shop:public.users'],
  },
  {
    name: 'output both -> consolidated',
    config: editEntry('public.audit', { output: 'consolidated' }),
    changes: ['change_output shop:public.audit'],
  },
  {
    name: 'deletes soft -> hard',
    config: editEntry('public.users', { deletes: 'hard' }),
    changes: ['resync_table shop:public.users', 'update_settings shop:public.users'],
    destructive: ['resync_table shop:public.users'],
  },
  {
    name: 'schedule, lookback and on_remove',
    config: editEntry('public.orders', {
      schedule: { kind: 'cron', cron: '0 3 * * *', timezone: 'UTC' },
      lookbackMs: 60_000,
      onRemove: 'keep',
    }),
    changes: ['change_schedule shop:public.orders', 'update_settings shop:public.orders'],
  },
  {
    name: 'another cursor',
    config: editEntry('public.orders', { cursor: 'id' }),
    changes: ['resync_table shop:public.orders', 'update_settings shop:public.orders'],
    destructive: ['resync_table shop:public.orders'],
  },
  {
    name: 'another primary key in the source',
    world: editObserved('bills', () => ({ primaryKey: ['id', 'name'], replicaIdentityColumns: ['id', 'name'] })),
    changes: ['resync_table shop:billing.bills', 'update_settings shop:billing.bills'],
    destructive: ['resync_table shop:billing.bills'],
  },
  {
    name: 'another primary key of a table whose method has no use for it',
    world: editObserved('countries', () => ({ primaryKey: ['at'], replicaIdentityColumns: ['at'] })),
    changes: ['update_settings shop:public.countries'],
  },
  {
    name: 'a table is dropped and made anew in the source',
    world: (current) => withoutMember('users')(editObserved('users', () => ({ oid: 77 }))(current)),
    changes: [
      'add_publication_tables shop:publication',
      'resync_table shop:public.users',
      'update_settings shop:public.users',
    ],
    destructive: ['resync_table shop:public.users'],
  },
  {
    name: 'a table is disabled',
    config: editEntry('public.users', { enabled: false }),
    changes: ['disable_table shop:public.users', 'remove_publication_tables shop:publication'],
  },
  {
    name: 'a pattern is disabled',
    config: editEntry('billing.*', { enabled: false }),
    changes: [
      'disable_table shop:billing.bills',
      'disable_table shop:billing.lines',
      'remove_publication_tables shop:publication',
    ],
  },
  {
    name: 'a full_table table is disabled',
    config: editEntry('public.countries', { enabled: false }),
    changes: ['disable_table shop:public.countries'],
  },
  {
    name: 'another target schema',
    config: editSource((source) => ({ ...source, targetSchema: '{source}_{schema}' })),
    changes: ALL.flatMap((key) => [
      `retire_table shop:${key}`,
      `create_table shop:${key}`,
      `snapshot_table shop:${key}`,
    ]),
    destructive: ALL.map((key) => `retire_table shop:${key}`),
  },
  {
    name: 'another metadata prefix',
    config: editSource((source) => ({ ...source, metadataPrefix: '_x_' })),
    changes: ALL.flatMap((key) => [
      `retire_table shop:${key}`,
      `create_table shop:${key}`,
      `snapshot_table shop:${key}`,
    ]),
    destructive: ALL.map((key) => `retire_table shop:${key}`),
  },
  {
    name: 'a table is renamed and moved',
    config: (config) => ({
      ...editEntries((entry) => [entry.key === 'public.users' ? sampleEntry('public.accounts', entry.table) : entry])(
        config,
      ),
      moved: [{ from: 'shop:public.users', to: 'shop:public.accounts' }],
    }),
    world: (current) => ({
      ...editObserved('users', () => ({ name: 'accounts' }))(current),
      publications: current.publications.map((publication) => ({
        ...publication,
        tables: publication.tables.map((member) =>
          member.name === 'users' ? { ...member, name: 'accounts' } : member,
        ),
      })),
    }),
    changes: ['move shop:public.accounts'],
  },
  {
    name: 'another slot name',
    config: editSource((source) => ({ ...source, cdc: { ...source.cdc, slot: 'sluice_other' } })),
    changes: [...recreated, ...resyncs(CDC)],
    destructive: ['drop_slot shop:slot', ...resyncs(CDC)],
  },
  {
    name: 'another publication name',
    config: editSource((source) => ({ ...source, cdc: { ...source.cdc, publication: 'other_pub' } })),
    changes: [
      'drop_slot shop:slot',
      'drop_publication shop:publication',
      'create_publication shop:publication',
      'create_slot shop:slot',
      ...resyncs(CDC),
    ],
    destructive: ['drop_slot shop:slot', 'drop_publication shop:publication', ...resyncs(CDC)],
  },
  {
    name: 'managed -> self_managed',
    config: editSource((source) => ({ ...source, cdc: { ...source.cdc, management: 'self_managed' } })),
    changes: ['update_settings shop'],
  },
  {
    name: 'the slot is gone from the server',
    world: (current) => ({ ...current, slots: [] }),
    changes: ['create_slot shop:slot', ...resyncs(CDC)],
    destructive: resyncs(CDC),
  },
  {
    name: 'the slot is lost',
    world: (current) => ({ ...current, slots: current.slots.map((slot) => ({ ...slot, walStatus: 'lost' as const })) }),
    changes: [...recreated, ...resyncs(CDC)],
    destructive: ['drop_slot shop:slot', ...resyncs(CDC)],
  },
  {
    name: 'the slot is lost and the file consents',
    config: editSource((source) => ({ ...source, cdc: { ...source.cdc, onSlotLost: 'resync' } })),
    world: (current) => ({
      ...current,
      slots: current.slots.map((slot) => ({ ...slot, invalidationReason: 'idle_timeout' })),
    }),
    changes: [...recreated, ...resyncs(CDC)],
  },
  {
    name: 'the guard dropped slot and publication; what the file consents to does not hold for that',
    config: editSource((source) => ({ ...source, cdc: { ...source.cdc, onSlotLost: 'resync' } })),
    world: (current) => halted({ ...current, slots: [], publications: [] }),
    changes: ['create_publication shop:publication', 'create_slot shop:slot', ...resyncs(CDC)],
    destructive: resyncs(CDC),
  },
  {
    name: 'the guard dropped the slot and somebody made one of that name',
    config: editSource((source) => ({ ...source, cdc: { ...source.cdc, onSlotLost: 'resync' } })),
    world: halted,
    changes: [...recreated, ...resyncs(CDC)],
    destructive: ['drop_slot shop:slot', ...resyncs(CDC)],
  },
  {
    name: 'the publication is gone from the server',
    world: (current) => ({ ...current, publications: [] }),
    changes: ['drop_slot shop:slot', 'create_publication shop:publication', 'create_slot shop:slot', ...resyncs(CDC)],
    destructive: ['drop_slot shop:slot', ...resyncs(CDC)],
  },
  {
    name: 'somebody took a table out of the publication',
    world: withoutMember('audit'),
    changes: ['add_publication_tables shop:publication', ...resyncs(['public.audit'])],
    destructive: resyncs(['public.audit']),
  },
  {
    name: 'the publication does not send deletes any more',
    world: (current) => ({
      ...current,
      publications: current.publications.map((publication) => ({ ...publication, delete: false })),
    }),
    changes: ['update_settings shop:publication', ...resyncs(CDC)],
    destructive: resyncs(CDC),
  },
  {
    name: 'the publication sends partitions under their own names',
    world: (current) => ({
      ...current,
      publications: current.publications.map((publication) => ({
        ...publication,
        viaPartitionRoot: false,
        tables: publication.tables.map((member) =>
          member.oid === 901 ? { ...member, name: 'events_1', oid: 902 } : member,
        ),
      })),
    }),
    changes: ['update_settings shop:publication', ...resyncs(['public.events'])],
    destructive: resyncs(['public.events']),
  },
  {
    name: 'the same cluster by another host name',
    config: (config) => ({
      ...config,
      connections: Object.fromEntries(
        Object.entries(config.connections).map(([name, value]) => [name, { ...value, host: 'new.example.com' }]),
      ),
    }),
    changes: ['update_settings shop'],
  },
  {
    name: 'another destination',
    config: editSource((source) => ({ ...source, destination: 'lake' })),
    changes: [
      'update_settings shop',
      ...ALL.flatMap((key) => [`create_table shop:${key}`, `snapshot_table shop:${key}`]),
    ],
    // Nothing is destroyed, but nothing follows what readers may have open either.
    destructive: ['update_settings shop'],
  },
  {
    name: 'the destination entry has another name',
    config: (config) => ({
      ...editSource((source) => ({
        ...source,
        destination: source.destination === 'warehouse' ? 'store' : source.destination,
      }))(config),
      destinations: { ...config.destinations, store: { ...sampleDestination('warehouse'), name: 'store' } },
    }),
    changes: ['update_settings shop'],
  },
  {
    name: 'the source is removed',
    config: (config) => ({ ...config, sources: {} }),
    changes: [
      'drop_slot shop:slot',
      'drop_publication shop:publication',
      'retire_table shop:billing.bills',
      'retire_table shop:billing.lines',
      'retire_table shop:public.audit',
      'retire_table shop:public.clicks',
      'drop_table shop:public.countries',
      'forget_table shop:public.events',
      'retire_table shop:public.orders',
      'retire_table shop:public.users',
      'remove_source shop',
    ],
    destructive: [
      'drop_slot shop:slot',
      'drop_publication shop:publication',
      'retire_table shop:billing.bills',
      'retire_table shop:billing.lines',
      'retire_table shop:public.audit',
      'retire_table shop:public.clicks',
      'drop_table shop:public.countries',
      'retire_table shop:public.orders',
      'retire_table shop:public.users',
      'remove_source shop',
    ],
  },
  {
    name: 'no table is streamed any more',
    config: editEntries((entry) => [
      entry.table.method === 'cdc' ? { ...entry, table: { ...entry.table, enabled: false } } : entry,
    ]),
    changes: [
      ...CDC.map((key) => `disable_table shop:${key}`),
      'drop_slot shop:slot',
      'drop_publication shop:publication',
    ],
    destructive: ['drop_slot shop:slot', 'drop_publication shop:publication'],
  },
];

const labels = (changes: readonly Change[]) => changes.map((change) => `${change.action} ${change.address}`);

function edited(edits: readonly Edit[]): { readonly config: Config; readonly current: World } {
  return {
    config: edits.reduce((config, edit) => edit.config?.(config) ?? config, BASE_CONFIG),
    current: edits.reduce((current, edit) => edit.world?.(current) ?? current, BASE),
  };
}

test('the base has nothing to do', () => {
  expect(planOf(BASE_CONFIG, BASE)).toMatchObject({ changes: [], blockers: [], notices: [] });
});

describe('one edit', () => {
  test.each(EDITS)('$name', (edit) => {
    const { config, current } = edited([edit]);
    const plan = planOf(config, current);
    expect(plan.blockers).toEqual([]);
    expect(labels(plan.changes)).toEqual(edit.changes);
    expect(labels(plan.changes.filter((change) => change.destructive))).toEqual(edit.destructive ?? []);
  });
});

describe('two edits at once', () => {
  test.each(EDITS.map((edit, index) => ({ ...edit, others: EDITS.slice(index + 1) })))('$name', (first) => {
    for (const second of first.others) {
      const { config, current } = edited([first, second]);
      check(`${first.name} + ${second.name}`, config, current);
    }
  });
});

/** What must hold of every plan, whatever was edited. */
function check(name: string, config: Config, current: World): void {
  const first = planOf(config, current);
  const waits = first.blockers.some(
    (blocker) => blocker.code === 'PUBLICATION_INCOMPLETE' || blocker.code === 'PUBLICATION_MISSING',
  );
  // A self-managed publication waits for its owner; then it goes on.
  if (waits) {
    check(`${name} (after its owner)`, config, byHand(current, first));
    return;
  }
  const plan = first;
  expect(plan.blockers, name).toEqual([]);
  expectOrder(name, plan);
  const after = applied(config, current, plan.changes);
  expect(labels(planOf(config, after).changes), `${name}: the same file, no changes`).toEqual([]);
  expect(labels(planOf(config, loaded(after)).changes), `${name}: nor after the loads`).toEqual([]);
  expectGapsRead(name, plan, current, after);
  // An apply may end after any change, and syncs may run before the next one. Of a run of like changes one place is enough.
  for (let made = 1; made < plan.changes.length; made += 1) {
    if (plan.changes[made]?.action === plan.changes[made - 1]?.action) continue;
    const part = applied(config, current, plan.changes.slice(0, made));
    const resumed = made % 2 === 0 ? loaded(part) : part;
    const rest = applied(config, resumed, planOf(config, resumed).changes);
    expect(labels(planOf(config, rest).changes), `${name}: ended after ${made} changes`).toEqual([]);
    if (resumed === part) expectGapsRead(`${name}: ended after ${made} changes`, plan, current, rest);
  }
  expectSlotFound(name, config, plan, current);
  expectIdempotent(name, plan, current);
}

/** An apply that was killed after it made a slot and before it recorded it: the next one gets along without a person. */
function expectSlotFound(name: string, config: Config, plan: Plan, current: World): void {
  for (const [index, change] of plan.changes.entries()) {
    if (change.action !== 'create_slot') continue;
    const before = applied(config, current, plan.changes.slice(0, index));
    const killed = {
      ...before,
      slots: [...before.slots, sampleSlot({ name: change.details.slot })],
      state: stateBeforeSlot(before.state ?? emptyState('a-lineage'), change, IDENTITY, '0/1000'),
    };
    const next = planOf(config, killed);
    expect(next.blockers, `${name}: killed before the slot was recorded`).toEqual([]);
    const after = applied(config, killed, next.changes);
    expect(labels(planOf(config, after).changes), `${name}: killed before the slot was recorded`).toEqual([]);
    expectGapsRead(`${name}: killed before the slot was recorded`, next, current, after);
  }
}

function expectOrder(name: string, plan: Plan): void {
  const position = (action: Change['action']) => plan.changes.findIndex((change) => change.action === action);
  const before = (first: Change['action'], second: Change['action']) => {
    if (position(first) !== -1 && position(second) !== -1) {
      expect(position(first), `${name}: ${first} before ${second}`).toBeLessThan(position(second));
    }
  };
  before('create_publication', 'create_slot');
  before('add_publication_tables', 'create_slot');
  before('create_slot', 'create_table');
  before('create_slot', 'resync_table');
  before('retire_table', 'remove_publication_tables');
  if (position('create_slot') !== -1) before('drop_slot', 'create_slot');
}

/** Whatever the stream carried before and carries now is due for a load where the stream was interrupted. */
function expectGapsRead(name: string, plan: Plan, before: World, after: World): void {
  const interrupted = plan.changes.some((change) => change.action === 'create_slot');
  const old = before.state?.sources['shop'];
  const now = after.state?.sources['shop'];
  if (!interrupted || old === undefined || now === undefined) return;
  for (const [key, table] of Object.entries(now.tables)) {
    if (table.method !== 'cdc' || !table.enabled) continue;
    const held = after.facts.find((fact) => fact.address === `shop:${key}`)?.loadedGeneration ?? 0;
    expect(table.generation, `${name}: ${key} is read again`).toBeGreaterThan(held);
  }
}

function expectIdempotent(name: string, plan: Plan, current: World): void {
  const context = { identity: IDENTITY, slotLsn: '0/1' };
  let state = current.state ?? emptyState('l');
  for (const change of plan.changes) {
    const once = stateAfter(state, change, context);
    if (change.action !== 'move')
      expect(stateAfter(once, change, context), `${name}: ${change.action} twice`).toEqual(once);
    state = once;
  }
}

const IDENTITY = {
  connection_fingerprint: 'c',
  system_identifier: 's',
  database: 'd',
  destination: 'w',
  destination_fingerprint: 'f',
  destination_place: null,
  management: 'managed',
} as const;

describe('a slot that was about to be made', () => {
  const pending = (wal_lsn: string) => (current: World) => ({
    ...current,
    state: withPendingSlot(current.state ?? emptyState('l'), 'shop', { name: 'sluice_shop', wal_lsn }),
  });
  const remade = [...recreated, ...resyncs(CDC)];

  test.each<{
    name: string;
    world: (current: World) => World;
    changes: readonly string[];
    blockers: readonly string[];
  }>([
    { name: 'and is there: ours, made anew', world: pending('0/FFF'), changes: remade, blockers: [] },
    {
      name: 'and is not there',
      world: (current) => ({ ...pending('0/FFF')(current), slots: [] }),
      changes: remade.slice(1),
      blockers: [],
    },
    {
      name: 'and one that stood there before',
      world: pending('0/1001'),
      changes: remade.slice(1),
      blockers: ['SLOT_OCCUPIED'],
    },
    {
      name: 'and one of another plugin',
      world: (current) => ({
        ...pending('0/FFF')(current),
        slots: current.slots.map((slot) => ({ ...slot, plugin: 'test_decoding' })),
      }),
      changes: remade.slice(1),
      blockers: ['SLOT_OCCUPIED'],
    },
    {
      name: 'and one of another database',
      world: (current) => ({
        ...pending('0/FFF')(current),
        slots: current.slots.map((slot) => ({ ...slot, database: 'other' })),
      }),
      changes: remade.slice(1),
      blockers: ['SLOT_OCCUPIED'],
    },
  ])('$name', (c) => {
    const plan = planOf(BASE_CONFIG, c.world(BASE));
    expect(labels(plan.changes)).toEqual(c.changes);
    expect(plan.blockers.map((blocker) => blocker.code)).toEqual(c.blockers);
    const drop = plan.changes.find((change) => change.action === 'drop_slot');
    expect(drop?.destructive ?? false, 'nothing was read from it').toBe(false);
  });

  test('goes with its source, when that leaves the file', () => {
    const plan = planOf({ ...BASE_CONFIG, sources: {} }, pending('0/FFF')(BASE));
    expect(labels(plan.changes).filter((label) => label.startsWith('drop_slot'))).toEqual(['drop_slot shop:slot']);
  });
});

describe('edits that follow one another', () => {
  test.each<{
    name: string;
    first: Edit['config'];
    second: Edit['config'];
    changes: readonly string[];
    destructive?: readonly string[];
  }>([
    {
      name: 'disabled, then enabled again',
      first: editEntry('public.users', { enabled: false }),
      second: undefined,
      changes: ['add_publication_tables shop:publication', 'enable_table shop:public.users'],
      destructive: ['enable_table shop:public.users'],
    },
    {
      name: 'disabled, then edited: frozen until it is enabled',
      first: editEntry('public.users', { enabled: false }),
      second: editEntry('public.users', { enabled: false, deletes: 'hard', columns: { kind: 'all' } }),
      changes: [],
    },
    {
      name: 'disabled, then removed',
      first: editEntry('public.users', { enabled: false }),
      second: removeEntry('public.users'),
      changes: ['retire_table shop:public.users'],
      destructive: ['retire_table shop:public.users'],
    },
    {
      name: 'disabled, then enabled with another method and target',
      first: editEntry('public.users', { enabled: false }),
      second: (config) =>
        editSource((source) => ({ ...source, targetSchema: 'x_{schema}' }))(removeAllBut('public.users')(config)),
      changes: [
        'add_publication_tables shop:publication',
        'retire_table shop:public.users',
        'create_table shop:public.users',
        'snapshot_table shop:public.users',
      ],
    },
    {
      name: 'self_managed, then managed again: what is in the publication is taken over',
      first: editSource((source) => ({ ...source, cdc: sampleCdc({ management: 'self_managed' }) })),
      second: undefined,
      changes: ['update_settings shop', 'add_publication_tables shop:publication'],
    },
    {
      name: 'removed, then back: a new load above the old one',
      first: removeEntry('public.events'),
      second: undefined,
      changes: [
        'add_publication_tables shop:publication',
        'create_table shop:public.events',
        'snapshot_table shop:public.events',
      ],
    },
  ])('$name', (c) => {
    const middle = converged(c.first?.(BASE_CONFIG) ?? BASE_CONFIG, BASE);
    const config = c.second?.(BASE_CONFIG) ?? BASE_CONFIG;
    const plan = planOf(config, middle);
    const relevant = c.name.includes('target')
      ? plan.changes.filter((change) => change.address.endsWith('users') || change.action === 'add_publication_tables')
      : plan.changes;
    expect(labels(relevant)).toEqual(c.changes);
    if (c.destructive !== undefined)
      expect(labels(plan.changes.filter((change) => change.destructive))).toEqual(c.destructive);
    check(c.name, config, middle);
  });
});

function removeAllBut(key: string) {
  return editEntries((entry) => (entry.key === key ? [entry] : []));
}

test('a table that joins a slot that is there waits for older writers; one that came with the slot does not', () => {
  const config = addEntry(sampleEntry('public.payments'))(BASE_CONFIG);
  const current = converged(config, { ...BASE, tables: [...BASE.tables, sampleTableOf('public.payments')] });
  const tables = current.state?.sources['shop']?.tables;
  expect(tables?.['public.payments']?.published_in_generation).toBe(1);
  expect(tables?.['public.users']?.published_in_generation).toBeNull();
});

test('a publication and a slot of another destination stay out of it', () => {
  const extra = { publications: [samplePublication([], { name: 'other' })], slots: [sampleSlot({ name: 'other' })] };
  const current = {
    ...BASE,
    publications: [...BASE.publications, ...extra.publications],
    slots: [...BASE.slots, ...extra.slots],
  };
  expect(planOf(BASE_CONFIG, current).changes).toEqual([]);
});

/** Somebody else gives a member of the publication another column list. */
function relist(name: string, columns: readonly string[] | null) {
  return (current: World): World => ({
    ...current,
    publications: current.publications.map((publication) => ({
      ...publication,
      tables: publication.tables.map((member) => (member.name === name ? { ...member, columns } : member)),
    })),
  });
}
