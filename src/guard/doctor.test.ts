import { describe, expect, test } from 'vitest';
import type { Config } from '../config/config.js';
import type { ObservedColumn, ObservedPublication, ObservedSource } from '../source/catalog-model.js';
import { runDoctor } from './doctor.js';
import { type Case, configOf, findings, id, publication, server, slot, users } from './sample-subject.js';

const secret: ObservedColumn = { ...id, name: 'secret', attnum: 2 };

/** The publication with this column list for users. */
function listed(columns: readonly string[] | null): ObservedPublication {
  const tables = publication.tables.map((member) => (member.name === 'users' ? { ...member, columns } : member));
  return { ...publication, tables };
}

describe('findings', () => {
  test.each<Case & { name: string; codes: string[] }>([
    { name: 'all is well', codes: [] },
    { name: 'server too old', server: { versionNum: 120_000, version: '12.1' }, codes: ['error SERVER_VERSION shop'] },
    { name: 'standby with cdc', server: { inRecovery: true }, codes: ['error IN_RECOVERY shop'] },
    {
      name: 'standby without cdc',
      server: { inRecovery: true },
      method: 'full_table',
      codes: ['info IN_RECOVERY shop'],
    },
    { name: 'wal_level replica', server: { walLevel: 'replica' }, codes: ['error WAL_LEVEL shop'] },
    { name: 'wal_level does not matter without cdc', server: { walLevel: 'replica' }, method: 'full_table', codes: [] },
    { name: 'SQL_ASCII', server: { serverEncoding: 'SQL_ASCII' }, codes: ['warning SERVER_ENCODING shop'] },
    { name: 'no TLS to another machine', server: { tls: false }, codes: ['warning TLS_OFF shop'] },
    { name: 'no TLS on this machine', server: { tls: false }, connection: { host: '127.0.0.1' }, codes: [] },
    { name: 'no TLS over a unix socket', server: { tls: false }, connection: { host: '/run/postgresql' }, codes: [] },
    {
      name: 'TLS that nobody verifies',
      connection: { tls: { mode: 'require', caFile: null, certFile: null, keyFile: null } },
      codes: ['info TLS_UNVERIFIED shop'],
    },
    { name: 'role without REPLICATION', server: { hasReplication: false }, codes: ['error REPLICATION_ROLE shop'] },
    {
      name: 'role with rds_replication',
      server: { hasReplication: false, replicationRoles: ['rds_replication'] },
      codes: [],
    },
    { name: 'superuser', server: { hasReplication: false, isSuperuser: true }, codes: [] },
    { name: 'no slot left', server: { usedReplicationSlots: 10 }, slots: [], codes: ['error SLOT_CAPACITY shop:slot'] },
    { name: 'no slot left, but it has its own', server: { usedReplicationSlots: 10 }, codes: [] },
    { name: 'no WAL sender left, none needed', server: { usedWalSenders: 10 }, codes: ['info WAL_SENDERS shop'] },
    {
      name: 'no WAL sender left for continuous',
      server: { usedWalSenders: 10 },
      cdc: { transport: 'continuous' },
      codes: ['error WAL_SENDERS shop'],
    },
    { name: 'WAL kept without a limit', server: { maxSlotWalKeepSizeMb: null }, codes: ['warning WAL_RETENTION shop'] },
    { name: 'WAL kept too short', server: { maxSlotWalKeepSizeMb: 100 }, codes: ['warning WAL_RETENTION shop'] },
    { name: 'missing table', keys: ['public.users', 'public.gone'], codes: ['error TABLE_MISSING shop:public.gone'] },
    { name: 'missing table, switched off', keys: ['public.gone'], settings: { enabled: false }, codes: [] },
    { name: 'pattern without a table', keys: ['billing.*'], codes: [] },
    {
      name: 'pattern leaves partitions out',
      keys: ['public.*'],
      part: { canSelect: false, readableColumns: [] },
      codes: [],
    },
    { name: 'unlogged table', table: { persistence: 'u' }, codes: ['error TABLE_KIND shop:public.users'] },
    { name: 'unlogged partition', part: { persistence: 'u' }, codes: ['error TABLE_KIND shop:public.events'] },
    {
      name: 'view with cdc',
      table: { kind: 'v', primaryKey: [] },
      codes: ['error TABLE_KIND shop:public.users'],
    },
    { name: 'view with full_table', table: { kind: 'v', primaryKey: [] }, method: 'full_table', codes: [] },
    { name: 'no USAGE', table: { schemaUsage: false }, codes: ['error SCHEMA_USAGE shop'] },
    {
      name: 'no SELECT',
      table: { canSelect: false, readableColumns: [] },
      codes: ['error TABLE_SELECT shop:public.users'],
    },
    {
      name: 'no SELECT on one column',
      table: { canSelect: false, readableColumns: ['id'] },
      codes: ['error TABLE_SELECT shop:public.users'],
    },
    {
      name: 'no SELECT on a column that is excluded',
      table: { canSelect: false, readableColumns: ['id'] },
      settings: { columns: { kind: 'exclude', columns: ['secret'] } },
      codes: [],
    },
    {
      name: 'no SELECT on a column that is not included',
      table: { canSelect: false, readableColumns: ['id'] },
      settings: { columns: { kind: 'include', columns: ['id'] } },
      codes: [],
    },
    { name: 'row security with cdc', table: { rowSecurity: true }, codes: ['error ROW_SECURITY shop:public.users'] },
    {
      name: 'row security with full_table',
      table: { rowSecurity: true },
      method: 'full_table',
      codes: ['error ROW_SECURITY shop:public.users'],
    },
    { name: 'no primary key for cdc', table: { primaryKey: [] }, codes: ['error PRIMARY_KEY shop:public.users'] },
    {
      name: 'no primary key for incremental',
      table: { primaryKey: [] },
      method: 'incremental',
      codes: ['error PRIMARY_KEY shop:public.users'],
    },
    {
      name: 'a key of the config for incremental',
      table: { primaryKey: [] },
      method: 'incremental',
      settings: { primaryKey: ['id'] },
      codes: [],
    },
    { name: 'no primary key for append', table: { primaryKey: [] }, method: 'append', codes: [] },
    {
      name: 'replica identity nothing',
      table: { replicaIdentity: 'n', replicaIdentityColumns: [] },
      codes: ['error REPLICA_IDENTITY shop:public.users'],
    },
    {
      name: 'deferrable primary key',
      table: { replicaIdentityColumns: [] },
      codes: ['error REPLICA_IDENTITY shop:public.users'],
    },
    {
      name: 'replica identity by another index',
      table: { replicaIdentity: 'i', replicaIdentityColumns: ['secret'] },
      codes: ['error REPLICA_IDENTITY shop:public.users'],
    },
    {
      name: 'replica identity full',
      table: { replicaIdentity: 'f', replicaIdentityColumns: ['id', 'secret'] },
      codes: [],
    },
    {
      name: 'replica identity of a partition',
      part: { replicaIdentity: 'n', replicaIdentityColumns: [] },
      codes: ['error REPLICA_IDENTITY shop:public.events'],
    },
    { name: 'slot lost', slots: [{ ...slot, walStatus: 'lost' }], codes: ['error SLOT_LOST shop:slot'] },
    {
      name: 'slot invalidated',
      slots: [{ ...slot, invalidationReason: 'idle_timeout' }],
      codes: ['error SLOT_LOST shop:slot'],
    },
    { name: "another tool's slot", slots: [{ ...slot, plugin: 'wal2json' }], codes: ['error SLOT_FOREIGN shop:slot'] },
    {
      name: "another database's slot",
      slots: [{ ...slot, database: 'other' }],
      codes: ['error SLOT_FOREIGN shop:slot'],
    },
    { name: 'slot far behind', slots: [{ ...slot, retainedWalBytes: 2 ** 31 }], codes: ['warning SLOT_LAG shop:slot'] },
    {
      name: 'slot about to be lost',
      slots: [{ ...slot, walStatus: 'unreserved' }],
      codes: ['warning SLOT_LAG shop:slot'],
    },
    { name: 'managed, not there yet', publications: [], codes: [] },
    {
      name: 'managed, may not create it',
      publications: [],
      server: { canCreateInDatabase: false },
      codes: ['error PUBLICATION_CREATE shop:publication'],
    },
    {
      name: 'managed, of somebody else',
      publications: [{ ...publication, ownedByCurrentUser: false }],
      codes: ['error PUBLICATION_OWNER shop:publication'],
    },
    {
      name: 'managed, a table of somebody else',
      publications: [],
      table: { ownedByCurrentUser: false },
      codes: ['error TABLE_OWNER shop:public.users'],
    },
    { name: 'managed, a table of somebody else that is published', table: { ownedByCurrentUser: false }, codes: [] },
    {
      name: 'self-managed, missing',
      cdc: { management: 'self_managed' },
      publications: [],
      codes: ['error PUBLICATION_MISSING shop:publication'],
    },
    {
      name: 'self-managed, lacks a table',
      cdc: { management: 'self_managed' },
      publications: [{ ...publication, tables: publication.tables.slice(1) }],
      codes: ['error PUBLICATION_TABLES shop:publication'],
    },
    {
      name: 'self-managed, lacks operations',
      cdc: { management: 'self_managed' },
      publications: [{ ...publication, truncate: false }],
      codes: ['error PUBLICATION_OPERATIONS shop:publication'],
    },
    {
      name: 'self-managed, partitions under their own names',
      cdc: { management: 'self_managed' },
      publications: [
        {
          ...publication,
          viaPartitionRoot: false,
          tables: [
            ...publication.tables.slice(0, 1),
            { schema: 'public', name: 'events_1', oid: 201, columns: null, rowFilter: null },
          ],
        },
      ],
      codes: ['error PUBLICATION_PARTITIONS shop:publication'],
    },
    {
      name: 'self-managed, with a row filter',
      cdc: { management: 'self_managed' },
      publications: [
        {
          ...publication,
          tables: [
            { schema: 'public', name: 'users', oid: 100, columns: null, rowFilter: '(id > 5)' },
            ...publication.tables.slice(1),
          ],
        },
      ],
      codes: ['error PUBLICATION_FILTER shop:public.users'],
    },
    {
      name: 'self-managed, a list without a copied column',
      cdc: { management: 'self_managed' },
      table: { columns: [id, secret] },
      publications: [listed(['id'])],
      codes: ['error PUBLICATION_FILTER shop:public.users'],
    },
    {
      name: 'self-managed, a list that covers what is copied',
      keys: ['public.users'],
      cdc: { management: 'self_managed' },
      table: { columns: [id, secret] },
      settings: { columns: { kind: 'exclude', columns: ['secret'] } },
      publications: [listed(['id'])],
      codes: [],
    },
    {
      name: 'self-managed, excluded columns are sent',
      keys: ['public.users'],
      cdc: { management: 'self_managed' },
      table: { columns: [id, secret] },
      settings: { columns: { kind: 'exclude', columns: ['secret'] } },
      publications: [listed(null)],
      codes: ['info PUBLICATION_COLUMNS shop:public.users'],
    },
    {
      name: 'managed, with a list',
      table: { columns: [id, secret] },
      settings: { columns: { kind: 'exclude', columns: ['secret'] } },
      publications: [listed(['id'])],
      codes: ['info COLUMN_LIST shop:public.users'],
    },
    {
      name: 'managed, with a list that the replica identity has outgrown',
      table: { columns: [id, secret], replicaIdentity: 'i', replicaIdentityColumns: ['id', 'secret'] },
      settings: { columns: { kind: 'exclude', columns: ['secret'] } },
      publications: [listed(['id'])],
      codes: ['error COLUMN_LIST_IDENTITY shop:public.users'],
    },
  ])('$name', ({ codes, ...c }) => {
    expect(findings(c).map(({ level, code, address }) => `${level} ${code} ${address}`)).toEqual(codes);
  });
});

test.each<Case & { name: string; sql: string }>([
  {
    name: 'grants',
    table: { canSelect: false, readableColumns: [] },
    sql: 'grant select on "public"."users" to "sluice";',
  },
  {
    name: 'a key of a column that is there',
    table: { primaryKey: [] },
    sql: 'alter table "public"."users" add primary key (id);',
  },
  {
    name: 'a key of a new column',
    table: { primaryKey: [], columns: [] },
    sql: 'alter table "public"."users" add column id bigint generated always as identity primary key;',
  },
  {
    name: 'the publication',
    cdc: { management: 'self_managed' },
    publications: [],
    sql: `create publication "sluice_pub_shop" for table "public"."events", "public"."users" with (publish = 'insert, update, delete, truncate', publish_via_partition_root = true);`,
  },
])('the SQL that mends it: $name', ({ sql, ...c }) =>
  expect(findings(c).map((finding) => finding.fixSql)).toEqual([sql]),
);

test('a source that does not answer is one finding, and the others are judged all the same', () => {
  const config = configOf({});
  const shop = config.sources['shop'];
  if (shop === undefined) throw new Error('no source');
  const both: Config = { ...config, sources: { far: { ...shop, name: 'far' }, shop } };
  const refused = { code: 'SOURCE_LOGIN_REFUSED' as const, message: 'no', hint: 'check the password' };
  const catalog: ObservedSource = {
    server: { ...server, walLevel: 'replica' },
    tables: [users],
    publications: [publication],
    slots: [slot],
  };
  const observed = {
    sources: { far: { ok: false as const, error: refused }, shop: { ok: true as const, source: catalog } },
    destinations: {},
  };
  expect(runDoctor({ config: both, observed }).map(({ code, address }) => `${code} ${address}`)).toEqual([
    'SOURCE_LOGIN_REFUSED far',
    'WAL_LEVEL shop',
    'TABLE_MISSING shop:public.events',
  ]);
});
