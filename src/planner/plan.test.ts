import { describe, expect, test } from 'vitest';
import type { Config } from '../config/config.js';
import type { ObservedTable } from '../source/catalog-model.js';
import { editTable } from '../state/edit.js';
import { DEFAULT_ROWS_PER_SECOND, loadCost, NO_COST } from './cost.js';
import {
  applied,
  converged,
  planOf,
  sampleConfig,
  sampleEntry,
  sampleFacts,
  sampleSourceConfig,
  sampleTableOf,
  shop,
  type World,
  world,
} from './sample-world.js';

const TABLES = [sampleTableOf('public.users'), sampleTableOf('public.orders'), sampleTableOf('public.countries')];
const CONFIG = shop([
  sampleEntry('public.users'),
  sampleEntry('public.orders'),
  sampleEntry('public.countries', { method: 'full_table' }),
]);
const DONE = converged(CONFIG, world(TABLES));
const labels = (config: Config, current: World, targets: readonly string[] = []) =>
  planOf(config, current, targets).changes.map((change) => `${change.action} ${change.address}`);

test('the first plan: publication, slot, tables in name order', () => {
  const plan = planOf(CONFIG, world(TABLES));
  expect(plan).toMatchObject({
    format_version: 1,
    id: 'plan-1',
    created_at: '2026-01-01T00:00:00.000Z',
    config_hash: 'hash',
    state: { lineage: '', serial: 0 },
    summary: { add: 5, change: 0, destroy: 0, destructive: 0, rows: 3_000_000, bytes: 192_000_000, seconds: 12 },
  });
  expect(labels(CONFIG, world(TABLES))).toEqual([
    'create_publication shop:publication',
    'create_slot shop:slot',
    'create_table shop:public.countries',
    'snapshot_table shop:public.countries',
    'create_table shop:public.orders',
    'snapshot_table shop:public.orders',
    'create_table shop:public.users',
    'snapshot_table shop:public.users',
  ]);
  expect(plan.changes[0]?.details).toMatchObject({
    publication: 'sluice_pub_shop',
    tables: ['public.orders', 'public.users'],
    sql: expect.stringContaining('publish_via_partition_root = true'),
    self_managed: false,
  });
});

test('a plan is plain JSON', () => {
  const plan = planOf(CONFIG, world(TABLES));
  expect(JSON.parse(JSON.stringify(plan))).toEqual(plan);
});

test('names are quoted in SQL and kept as keys', () => {
  const table = sampleTableOf('"My Schema"."odd.""name"');
  const config = shop([sampleEntry('"My Schema"."odd.""name"')]);
  const plan = planOf(config, world([table]));
  expect(plan.changes[0]?.details).toMatchObject({
    tables: ['My Schema."odd.""name"'],
    sql: expect.stringContaining('for table "My Schema"."odd.""name" with'),
  });
  const after = applied(config, world([table]), plan.changes);
  expect(planOf(config, after).changes).toEqual([]);
});

test('a returned entry loads above what the destination still holds', () => {
  const current = world(TABLES, { facts: [sampleFacts('shop:public.users', { loadedGeneration: 4 })] });
  const change = planOf(CONFIG, current).changes.find((candidate) => candidate.address === 'shop:public.users');
  expect(change?.action === 'create_table' ? change.details.table.generation : null).toBe(5);
});

test('a state behind the destination (from a backup) asks for a generation above it', () => {
  const behind = { ...DONE, facts: [sampleFacts('shop:public.users', { loadedGeneration: 9 })], slots: [] };
  const slot = planOf(CONFIG, behind).changes.find((change) => change.action === 'create_slot');
  expect(slot?.details).toMatchObject({ loads: { 'public.users': 10, 'public.orders': 2 } });
});

test('a paused table stays paused through a change of method', () => {
  if (DONE.state === null) throw new Error('no state');
  const pause = { at: '2026-03-02T12:00:00.000Z', stream_position: '0/2000 of 0/1000' };
  const paused = { ...DONE, state: editTable(DONE.state, 'shop', 'public.users', { paused: true, pause }) };
  const config = shop([
    sampleEntry('public.users', { method: 'full_table' }),
    ...CONFIG.sources['shop']!.tables.slice(1),
  ]);
  const after = applied(config, paused, planOf(config, paused).changes);
  expect(after.state?.sources['shop']?.tables['public.users']).toMatchObject({
    paused: true,
    pause,
    method: 'full_table',
    generation: 2,
  });
});

describe('cost', () => {
  const table = TABLES[0]!;
  test.each<{ name: string; table: ObservedTable | null; rate: number | null; cost: ReturnType<typeof loadCost> }>([
    {
      name: 'measured',
      table,
      rate: 500_000,
      cost: { rows: 1_000_000, bytes: 64_000_000, seconds: 2, wal_bytes: 0, basis: 'measured' },
    },
    {
      name: 'the default',
      table,
      rate: null,
      cost: {
        rows: 1_000_000,
        bytes: 64_000_000,
        seconds: 1_000_000 / DEFAULT_ROWS_PER_SECOND,
        wal_bytes: 0,
        basis: 'default',
      },
    },
    {
      name: 'a rate of zero tells nothing',
      table,
      rate: 0,
      cost: { rows: 1_000_000, bytes: 64_000_000, seconds: 4, wal_bytes: 0, basis: 'default' },
    },
    {
      name: 'rounded up to a tenth',
      table: { ...table, estimatedRows: 1 },
      rate: null,
      cost: { rows: 1, bytes: 64_000_000, seconds: 0.1, wal_bytes: 0, basis: 'default' },
    },
    {
      name: 'never analyzed',
      table: { ...table, estimatedRows: null },
      rate: 1,
      cost: { rows: null, bytes: 64_000_000, seconds: null, wal_bytes: 0, basis: 'none' },
    },
    {
      name: 'not seen',
      table: null,
      rate: 1,
      cost: { rows: null, bytes: null, seconds: null, wal_bytes: 0, basis: 'none' },
    },
  ])('$name', (c) => expect(loadCost(c.table, sampleFacts('a', { loadRowsPerSecond: c.rate }))).toEqual(c.cost));

  test('control work costs nothing', () =>
    expect(NO_COST).toEqual({ rows: 0, bytes: 0, seconds: 0, wal_bytes: 0, basis: 'none' }));
});

describe('--target', () => {
  test.each<{ name: string; targets: readonly string[]; current: World; changes: readonly string[] }>([
    {
      name: 'a full_table table needs neither publication nor slot',
      targets: ['shop:public.countries'],
      current: world(TABLES),
      changes: ['create_table shop:public.countries', 'snapshot_table shop:public.countries'],
    },
    {
      name: 'a cdc table brings them along, for itself only',
      targets: ['shop:public.users'],
      current: world(TABLES),
      changes: [
        'create_publication shop:publication',
        'create_slot shop:slot',
        'create_table shop:public.users',
        'snapshot_table shop:public.users',
      ],
    },
    { name: 'a whole source', targets: ['shop'], current: DONE, changes: [] },
    {
      name: 'the slot, with what follows from it',
      targets: ['shop:slot'],
      current: { ...DONE, slots: [] },
      changes: ['create_slot shop:slot', 'resync_table shop:public.orders', 'resync_table shop:public.users'],
    },
    {
      name: 'a table beside a lost slot',
      targets: ['shop:public.countries'],
      current: { ...DONE, slots: [] },
      changes: [],
    },
    {
      name: 'tables that are not named keep their state though they are gone',
      targets: ['shop:public.users'],
      current: { ...DONE, tables: TABLES.slice(0, 1) },
      changes: [],
    },
  ])('$name', (c) => {
    expect(labels(CONFIG, c.current, c.targets)).toEqual(c.changes);
    expect(planOf(CONFIG, c.current, c.targets).blockers).toEqual([]);
  });

  test('only the named source is looked at', () => {
    const config = sampleConfig([
      sampleSourceConfig([sampleEntry('public.users', { method: 'full_table' })]),
      sampleSourceConfig([sampleEntry('public.nope')], { name: 'store' }),
    ]);
    const plan = planOf(config, world(TABLES), ['shop']);
    expect(plan.blockers).toEqual([]);
    expect(plan.changes.map((change) => change.address)).toEqual(['shop:public.users', 'shop:public.users']);
  });

  test('the rest converges afterwards', () => {
    const first = applied(CONFIG, world(TABLES), planOf(CONFIG, world(TABLES), ['shop:public.users']).changes);
    expect(labels(CONFIG, first)).toEqual([
      'add_publication_tables shop:publication',
      'create_table shop:public.countries',
      'snapshot_table shop:public.countries',
      'create_table shop:public.orders',
      'snapshot_table shop:public.orders',
    ]);
    const second = applied(CONFIG, first, planOf(CONFIG, first).changes);
    expect(labels(CONFIG, second)).toEqual([]);
  });

  test('one table of a source that left the file', () => {
    const config = sampleConfig([]);
    expect(labels(config, DONE, ['shop:public.users'])).toEqual(['retire_table shop:public.users']);
  });

  test.each<{ name: string; target: string; message: RegExp }>([
    { name: 'no address', target: 'shop:', message: /"shop:" is no address/ },
    { name: 'an unknown source', target: 'shpo', message: /names no source; did you mean "shop"\?/ },
    {
      name: 'an unknown table',
      target: 'shop:public.usrs',
      message: /names no table; did you mean "shop:public\.users"\?/,
    },
  ])('$name is refused', (c) => {
    expect(() => planOf(CONFIG, DONE, [c.target])).toThrow(
      expect.objectContaining({ code: 'ADDRESS_UNKNOWN', message: expect.stringMatching(c.message) }),
    );
  });

  test('a table of a source out of reach is taken on trust', () => {
    const plan = planOf(CONFIG, { ...DONE, unreachable: ['shop'] }, ['shop:public.whatever']);
    expect(plan.blockers.map((blocker) => blocker.code)).toEqual(['SOURCE_UNREACHABLE']);
  });
});

describe('moved', () => {
  const renamed = sampleTableOf('public.accounts', { oid: TABLES[0]!.oid });
  const moved = [{ from: 'shop:public.users', to: 'shop:public.accounts' }];
  const others = CONFIG.sources['shop']!.tables.slice(1);
  const accounts = shop([sampleEntry('public.accounts'), ...others], {}, { moved });
  const inDatabase: World = {
    ...DONE,
    tables: [renamed, ...TABLES.slice(1)],
    publications: DONE.publications.map((publication) => ({
      ...publication,
      tables: publication.tables.map((member) => (member.name === 'users' ? { ...member, name: 'accounts' } : member)),
    })),
  };

  test('a renamed table keeps its data; its destination table is renamed', () => {
    const plan = planOf(accounts, inDatabase);
    expect(plan.changes).toMatchObject([
      {
        action: 'move',
        address: 'shop:public.accounts',
        details: { target: { from: { schema: 'public', name: 'users' }, to: { schema: 'public', name: 'accounts' } } },
      },
    ]);
    const after = applied(accounts, inDatabase, plan.changes);
    expect(after.state?.sources['shop']?.publication_tables).toEqual(['public.accounts', 'public.orders']);
    expect(labels(accounts, after), 'the entry may stay in the file').toEqual([]);
  });

  test('without the entry the table leaves and comes anew', () => {
    const config = shop([sampleEntry('public.accounts'), ...others]);
    expect(labels(config, inDatabase)).toEqual([
      'add_publication_tables shop:publication',
      'create_table shop:public.accounts',
      'snapshot_table shop:public.accounts',
      'retire_table shop:public.users',
      'remove_publication_tables shop:publication',
    ]);
  });

  test('a renamed source keeps slot and publication by their names', () => {
    const config = sampleConfig([{ ...CONFIG.sources['shop']!, name: 'store' }], {
      moved: [{ from: 'shop', to: 'store' }],
    });
    expect(labels(config, DONE)).toEqual(['move store']);
    const after = applied(config, DONE, planOf(config, DONE).changes);
    expect(labels(config, after)).toEqual([]);
    expect(Object.keys(after.state?.sources ?? {})).toEqual(['store']);
  });

  test('a rename that was broken off, as the destination has it behind it already, is made to its end', () => {
    const config = sampleConfig([{ ...CONFIG.sources['shop']!, name: 'store' }], {
      moved: [{ from: 'shop', to: 'store' }],
    });
    const position = DONE.server.currentWalLsn;
    const stream = {
      ...{ source: 'store', slot: DONE.slots[0]!.name, systemIdentifier: DONE.server.systemIdentifier ?? '' },
      ...{ slotCreatedLsn: null, timelineId: null, unseen: [], confirmedLsn: position },
      ...{ confirmedAt: '2026-01-01T00:00:00.000Z', updatedAt: '2026-01-01T00:00:00.000Z' },
    };
    const ahead: World = {
      ...DONE,
      slots: DONE.slots.map((slot) => ({ ...slot, confirmedFlushLsn: position })),
      streams: [stream],
      facts: DONE.facts.map((facts) => ({ ...facts, address: facts.address.replace('shop:', 'store:') })),
    };
    expect(labels(config, ahead)).toEqual(['move store']);
  });

  test('source and table move together, and the destination is asked under the old names', () => {
    const config = sampleConfig([{ ...accounts.sources['shop']!, name: 'store' }], {
      moved: [
        { from: 'shop', to: 'store' },
        { from: 'store:public.users', to: 'store:public.accounts' },
      ],
    });
    expect(labels(config, inDatabase)).toEqual(['move store', 'move store:public.accounts']);
    const lost = { ...inDatabase, slots: [] };
    const resync = planOf(config, lost).changes.find(
      (change) => change.address === 'store:public.accounts' && change.action === 'resync_table',
    );
    expect(resync?.destructive, 'its data was found').toBe(true);
  });

  test.each<{ name: string; moved: Config['moved']; config: Config; result: 'blocked' | 'notice' | 'nothing' }>([
    {
      name: 'to another source',
      moved: [{ from: 'shop:public.users', to: 'other:public.users' }],
      config: CONFIG,
      result: 'blocked',
    },
    {
      name: 'a source to a table',
      moved: [{ from: 'shop', to: 'shop:public.users' }],
      config: CONFIG,
      result: 'blocked',
    },
    {
      name: 'to a table without an entry',
      moved: [{ from: 'shop:public.users', to: 'shop:public.zzz' }],
      config: CONFIG,
      result: 'blocked',
    },
    { name: 'to a source without an entry', moved: [{ from: 'shop', to: 'zzz' }], config: CONFIG, result: 'blocked' },
    {
      name: 'both are there',
      moved: [{ from: 'shop:public.users', to: 'shop:public.orders' }],
      config: CONFIG,
      result: 'notice',
    },
    {
      name: 'moved long ago',
      moved: [{ from: 'shop:public.old', to: 'shop:public.users' }],
      config: CONFIG,
      result: 'nothing',
    },
  ])('$name: $result', (c) => {
    const plan = planOf({ ...c.config, moved: c.moved }, DONE);
    expect(plan.blockers.map((blocker) => blocker.code)).toEqual(c.result === 'blocked' ? ['MOVE_INVALID'] : []);
    expect(plan.notices.length).toBe(c.result === 'notice' ? 1 : 0);
    expect(plan.changes).toEqual([]);
  });
});

test('another cluster without an identifier behind another address: everything is read again', () => {
  const nameless = (current: World): World => ({ ...current, server: { ...current.server, systemIdentifier: null } });
  const before = converged(CONFIG, nameless(world(TABLES)));
  const config = { ...CONFIG, connections: { db: { ...CONFIG.connections['db']!, host: 'elsewhere' } } };
  const plan = planOf(config, before);
  expect(plan.changes.map((change) => `${change.action} ${change.address}`)).toEqual([
    'update_settings shop',
    'resync_table shop:public.countries',
    'resync_table shop:public.orders',
    'resync_table shop:public.users',
  ]);
  expect(plan.changes.every((change) => change.destructive)).toBe(true);
  expect(
    planOf(config, applied(config, before, plan.changes.slice(0, 1))).changes,
    'the first change queues all loads',
  ).toEqual([]);
});
