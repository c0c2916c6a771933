import { describe, expect, test } from 'vitest';
import type { ObservedTable } from '../source/catalog-model.js';
import { planDrift } from './plan.js';
import {
  converged,
  observedOf,
  planOf,
  sampleCdc,
  sampleColumn,
  sampleEntry,
  sampleTableOf,
  shop,
  type World,
  world,
} from './sample-world.js';

const USERS = sampleTableOf('public.users');
const ORDERS = sampleTableOf('public.orders');
const CONFIG = shop([
  sampleEntry('public.users'),
  sampleEntry('public.orders', { columns: { kind: 'exclude', columns: ['at'] } }),
]);
const APPLIED = converged(CONFIG, world([USERS, ORDERS]));

function onUsers(fields: Partial<ObservedTable>): World {
  return {
    ...APPLIED,
    tables: APPLIED.tables.map((table) => (table.oid === USERS.oid ? { ...table, ...fields } : table)),
  };
}

function withColumns(edit: (columns: ObservedTable['columns']) => ObservedTable['columns']): World {
  return onUsers({ columns: edit(USERS.columns) });
}

const users = 'shop:public.users';

describe('what changed in Postgres', () => {
  test.each<{ name: string; now: World; drift: readonly string[] }>([
    { name: 'nothing', now: APPLIED, drift: [] },
    {
      name: 'the slot is gone',
      now: { ...APPLIED, slots: [] },
      drift: ['slot_missing shop:slot slot sluice_shop is gone from the server'],
    },
    {
      name: 'the slot lost its WAL',
      now: { ...APPLIED, slots: APPLIED.slots.map((slot) => ({ ...slot, walStatus: 'lost' })) },
      drift: ['slot_lost shop:slot the server removed WAL that slot sluice_shop needs'],
    },
    {
      name: 'the publication is gone',
      now: { ...APPLIED, publications: [] },
      drift: ['publication_missing shop:publication publication sluice_pub_shop is gone from the server'],
    },
    {
      name: 'a table left the publication',
      now: {
        ...APPLIED,
        publications: APPLIED.publications.map((each) => ({
          ...each,
          tables: each.tables.filter((member) => member.name !== 'users'),
        })),
      },
      drift: [`publication_table_missing ${users} it is not in publication sluice_pub_shop any more`],
    },
    {
      name: 'the publication keeps deletes to itself',
      now: { ...APPLIED, publications: APPLIED.publications.map((each) => ({ ...each, delete: false })) },
      drift: ['publication_settings shop:publication publication sluice_pub_shop does not send delete'],
    },
    {
      name: 'a table is gone',
      now: { ...APPLIED, tables: [ORDERS] },
      drift: [`table_missing ${users} table public.users is gone from the database`],
    },
    {
      name: 'a column was added',
      now: withColumns((columns) => [...columns, sampleColumn('note', 4, 'text')]),
      drift: [`column_added ${users} column note (text) was added`],
    },
    {
      name: 'a column was dropped',
      now: withColumns((columns) => columns.filter((column) => column.name !== 'name')),
      drift: [`column_removed ${users} column name was dropped`],
    },
    {
      name: 'a column was renamed and retyped',
      now: withColumns((columns) =>
        columns.map((column) => (column.name === 'name' ? sampleColumn('title', 2, 'character varying(20)') : column)),
      ),
      drift: [
        `column_renamed ${users} column name was renamed to title`,
        `column_retyped ${users} column title is character varying(20) now, it was text`,
      ],
    },
    {
      name: 'the replica identity does not carry the key any more',
      now: onUsers({ replicaIdentity: 'n', replicaIdentityColumns: [] }),
      drift: [
        `replica_identity ${users} the replica identity of public.users does not carry the key (id), so updates and deletes could not be told apart`,
      ],
    },
    {
      name: 'the primary key is another one',
      now: onUsers({ primaryKey: ['name'], replicaIdentityColumns: ['name'] }),
      drift: [`key_changed ${users} its primary key is (name) now, it was (id)`],
    },
    {
      name: 'the role may not read the table any more',
      now: onUsers({ canSelect: false, readableColumns: [] }),
      drift: [`privilege_lost ${users} role "sluice" may not read public.users`],
    },
    {
      name: 'the database is another one',
      now: { ...APPLIED, server: { ...APPLIED.server, systemIdentifier: '8' } },
      drift: [
        'system_changed shop the connection reaches another database cluster (system identifier 8, it was 7000000000000000001)',
      ],
    },
  ])('$name', (c) => {
    const told = planOf(CONFIG, c.now).drift.map(({ kind, address, message }) => `${kind} ${address} ${message}`);
    expect(told).toEqual(c.drift);
  });

  test('a column of the file is no drift, nor is one that the file left out', () => {
    const edited = shop([sampleEntry('public.users'), sampleEntry('public.orders')]);
    expect(planOf(edited, converged(CONFIG, world([USERS, sampleTableOf('public.orders')]))).drift).toEqual([
      // `at` is newer than all columns that were copied: which of the two it is nobody can tell.
      {
        address: 'shop:public.orders',
        kind: 'column_added',
        message: 'column at (timestamp with time zone) was added',
      },
    ]);
    const narrower = shop([sampleEntry('public.users', { columns: { kind: 'include', columns: ['id'] } })]);
    expect(planOf(narrower, APPLIED).drift).toEqual([]);
  });

  test('what the file points elsewhere is the file, not drift', () => {
    const { db } = CONFIG.connections;
    if (db === undefined) throw new Error('the sample has a connection');
    const moved = { ...CONFIG, connections: { db: { ...db, host: 'other.example.com' } } };
    const other = { ...APPLIED, server: { ...APPLIED.server, systemIdentifier: '8' } };
    expect(planOf(moved, other).drift).toEqual([]);
  });

  test('self-managed: a streamed table that its owner took out', () => {
    const config = shop([sampleEntry('public.users')], { cdc: sampleCdc({ management: 'self_managed' }) });
    const applied = converged(config, {
      ...world([USERS]),
      publications: APPLIED.publications,
    });
    const emptied = { ...applied, publications: applied.publications.map((each) => ({ ...each, tables: [] })) };
    expect(planOf(config, applied).drift).toEqual([]);
    expect(planOf(config, emptied).drift.map(({ kind }) => kind)).toEqual(['publication_table_missing']);
  });
});

describe('what goes on all the same', () => {
  const EVENTS = sampleTableOf('public.events', { kind: 'p', oid: 901, partitionOids: [902] });
  const LEAF = sampleTableOf('public.events_1', { oid: 902, isPartition: true, partitionRootOid: 901 });
  const told = (plan: ReturnType<typeof planOf>) =>
    plan.drift.map(({ kind, address, message }) => `${kind} ${address} ${message}`);
  const made = (plan: ReturnType<typeof planOf>) =>
    plan.changes.map(({ action, address, origin }) => `${action} ${address} ${origin}`);

  test.each<{ letter: ObservedTable['replicaIdentity']; word: string; effect: string }>([
    { letter: 'f', word: 'full', effect: '; every update and delete writes the whole old row to the WAL' },
    { letter: 'i', word: 'index', effect: '' },
  ])('the replica identity is $word now: told once, and apply takes note of it', ({ letter, word, effect }) => {
    const now = onUsers({ replicaIdentity: letter, replicaIdentityColumns: ['id'] });
    const plan = planOf(CONFIG, now);
    expect(told(plan)).toEqual([
      `replica_identity ${users} the replica identity of public.users is ${word} now, it was default${effect}`,
    ]);
    expect(plan.drift[0]?.hint).toContain('ALTER TABLE "public"."users" REPLICA IDENTITY DEFAULT;');
    expect(made(plan)).toEqual([`update_settings ${users} drift`]);
    expect(plan.changes.every((change) => !change.destructive)).toBe(true);
    const after = planOf(CONFIG, converged(CONFIG, now));
    expect([after.drift, after.changes]).toEqual([[], []]);
  });

  test('of a state that was written before it was kept no replica identity is told', () => {
    const { state } = APPLIED;
    const shopState = state?.sources['shop'];
    if (state === null || shopState === undefined) throw new Error('it was applied');
    const tables = Object.fromEntries(
      Object.entries(shopState.tables).map(([key, table]) => [key, { ...table, replica_identity: null }]),
    );
    const old = { ...state, sources: { shop: { ...shopState, tables } } };
    const plan = planOf(CONFIG, { ...onUsers({ replicaIdentity: 'f', replicaIdentityColumns: ['id'] }), state: old });
    expect([plan.drift, plan.changes]).toEqual([[], []]);
  });

  test('publish_via_partition_root was switched off: apply mends it, and reads what was missed', () => {
    const config = shop([sampleEntry('public.events')]);
    const applied = converged(config, world([EVENTS, LEAF]));
    const off = {
      ...applied,
      publications: applied.publications.map((each) => ({ ...each, viaPartitionRoot: false })),
    };
    const plan = planOf(config, off);
    expect(told(plan)).toEqual([
      'publication_settings shop:publication publication sluice_pub_shop sends the changes of a partitioned table as those of its partitions (publish_via_partition_root is off)',
    ]);
    expect(made(plan)).toEqual(['update_settings shop:publication drift', 'resync_table shop:public.events drift']);
    const after = planOf(config, converged(config, off));
    expect([after.drift, after.changes]).toEqual([[], []]);
  });

  test('without a partitioned table that option is no matter', () => {
    const off = {
      ...APPLIED,
      publications: APPLIED.publications.map((each) => ({ ...each, viaPartitionRoot: false })),
    };
    expect(told(planOf(CONFIG, off))).toEqual([]);
  });

  test.each([
    { server: { hasReplication: false }, lost: true },
    { server: { hasReplication: false, replicationRoles: ['rds_replication'] }, lost: false },
    { server: { hasReplication: false, isSuperuser: true }, lost: false },
  ])('the role lost REPLICATION: $server', ({ server, lost }) => {
    const plan = planOf(CONFIG, { ...APPLIED, server: { ...APPLIED.server, ...server } });
    expect(plan.drift).toEqual(
      lost
        ? [
            {
              address: 'shop:slot',
              kind: 'privilege_lost',
              message: 'role "sluice" may not use replication slots any more',
              hint: 'ALTER ROLE "sluice" REPLICATION;',
            },
          ]
        : [],
    );
    expect(plan.changes).toEqual([]);
  });
});

describe('changes that answer to drift', () => {
  test('are told apart from those that the file asks for', () => {
    const edited = shop([
      sampleEntry('public.users'),
      sampleEntry('public.orders', {
        columns: { kind: 'exclude', columns: ['at'] },
        schedule: { kind: 'every', everyMs: 1000 },
      }),
    ]);
    const plan = planOf(
      edited,
      withColumns((columns) => [...columns, sampleColumn('note', 4, 'text')]),
    );
    expect(plan.changes.map((change) => [change.action, change.address, change.origin ?? 'file'])).toEqual([
      ['change_schedule', 'shop:public.orders', 'file'],
      ['add_columns', users, 'drift'],
    ]);
  });

  test('a column list that the file changes is no answer to another table that left the publication', () => {
    const narrower = shop([
      sampleEntry('public.users'),
      sampleEntry('public.orders', { columns: { kind: 'include', columns: ['id'] } }),
    ]);
    const left = {
      ...APPLIED,
      publications: APPLIED.publications.map((each) => ({
        ...each,
        tables: each.tables.filter((member) => member.name !== 'users'),
      })),
    };
    const origins = planOf(narrower, left).changes.map((change) => [change.action, change.origin ?? 'file']);
    expect(origins).toContainEqual(['update_settings', 'file']);
    expect(origins).toContainEqual(['add_publication_tables', 'drift']);
    expect(origins).toContainEqual(['resync_table', 'drift']);
  });

  test('a slot that is gone is answered by a new one and loads', () => {
    const plan = planOf(CONFIG, { ...APPLIED, slots: [] });
    expect(plan.changes.map((change) => change.origin)).toEqual(plan.changes.map(() => 'drift'));
    expect(plan.changes.length).toBe(3);
  });

  test('a plan without drift marks nothing', () => {
    const plan = planOf(shop([sampleEntry('public.users')]), APPLIED);
    expect(plan.changes.some((change) => change.origin !== undefined)).toBe(false);
  });
});

test('only drift: no changes, and what could not be asked stays in the way', () => {
  const input = (now: World) => ({
    config: CONFIG,
    state: now.state,
    observed: observedOf(CONFIG, now),
    now: '',
    id: 'plan-1',
    targets: [],
  });
  const edited = { ...APPLIED, slots: [] };
  const plan = planDrift(input(edited));
  expect(plan).toMatchObject({
    changes: [],
    blockers: [],
    basis: { kind: 'refresh_only' },
    drift: [{ kind: 'slot_missing' }],
  });
  expect(plan.summary).toMatchObject({ add: 0, destructive: 0, rows: 0 });
  const unreached = planDrift(input({ ...APPLIED, unreachable: ['shop'] }));
  expect(unreached.blockers.map(({ code }) => code)).toEqual(['SOURCE_UNREACHABLE']);
  expect(unreached.unknown.map(({ address }) => address)).toEqual(['shop']);
});
