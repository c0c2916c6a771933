import { describe, expect, test } from 'vitest';
import type { Config } from '../config/config.js';
import type { ObservedServer, ObservedTable } from '../source/catalog-model.js';
import {
  converged,
  planOf,
  SERVER,
  sampleCdc,
  sampleColumn,
  sampleConfig,
  sampleDestination,
  sampleEntry,
  samplePublication,
  sampleSlot,
  sampleSourceConfig,
  sampleTableOf,
  shop,
  type World,
  world,
} from './sample-world.js';

const USERS = sampleTableOf('public.users');
const usersWith = (fields: Partial<ObservedTable>) => world([sampleTableOf('public.users', fields)]);
const server = (fields: Partial<ObservedServer>) => world([USERS], { server: { ...SERVER, ...fields } });
const cdcUsers = shop([sampleEntry('public.users')]);
const selfManaged = shop([sampleEntry('public.users')], { cdc: sampleCdc({ management: 'self_managed' }) });
const partitioned = (leaf: Partial<ObservedTable>) =>
  world([
    sampleTableOf('public.users', { kind: 'p', oid: 1, partitionOids: [2] }),
    sampleTableOf('public.users_1', { oid: 2, isPartition: true, partitionRootOid: 1, ...leaf }),
  ]);

interface Case {
  readonly name: string;
  readonly config: Config;
  readonly current: World;
  /** `code address: message`, with a part of the message. */
  readonly blocked: readonly {
    readonly code: string;
    readonly address: string;
    readonly message: RegExp;
    readonly hint?: RegExp;
  }[];
}

describe('what stands in the way', () => {
  test.each<Case>([
    {
      name: 'a source out of reach',
      config: cdcUsers,
      current: world([USERS], { unreachable: ['shop'] }),
      blocked: [{ code: 'SOURCE_UNREACHABLE', address: 'shop', message: /out of reach/ }],
    },
    {
      name: 'an exact entry without a table names the nearest',
      config: shop([sampleEntry('public.usres')]),
      current: world([USERS]),
      blocked: [{ code: 'TABLE_MISSING', address: 'shop:public.usres', message: /did you mean "public\.users"\?/ }],
    },
    {
      name: 'cdc without a primary key',
      config: cdcUsers,
      current: usersWith({ primaryKey: [], replicaIdentityColumns: [] }),
      blocked: [
        {
          code: 'PRIMARY_KEY_MISSING',
          address: 'shop:public.users',
          message: /no primary key/,
          hint: /ALTER TABLE "public"\."users" ADD PRIMARY KEY/,
        },
      ],
    },
    {
      name: 'incremental without a primary key',
      config: shop([sampleEntry('public.users', { method: 'incremental', cursor: 'at' })]),
      current: usersWith({ primaryKey: [] }),
      blocked: [
        { code: 'PRIMARY_KEY_MISSING', address: 'shop:public.users', message: /incremental/, hint: /primary_key/ },
      ],
    },
    {
      name: 'replica identity nothing',
      config: cdcUsers,
      current: usersWith({ replicaIdentity: 'n', replicaIdentityColumns: [] }),
      blocked: [
        {
          code: 'REPLICA_IDENTITY_UNSUITABLE',
          address: 'shop:public.users',
          message: /does not carry the key \(id\)/,
          hint: /REPLICA IDENTITY DEFAULT;/,
        },
      ],
    },
    {
      name: 'a deferrable primary key, which DEFAULT would not mend',
      config: cdcUsers,
      current: usersWith({ replicaIdentity: 'd', replicaIdentityColumns: [] }),
      blocked: [
        {
          code: 'REPLICA_IDENTITY_UNSUITABLE',
          address: 'shop:public.users',
          message: /does not carry the key \(id\)/,
          hint: /REPLICA IDENTITY FULL;/,
        },
      ],
    },
    {
      name: 'replica identity by an index without the key',
      config: cdcUsers,
      current: usersWith({ replicaIdentity: 'i', replicaIdentityColumns: ['name'] }),
      blocked: [{ code: 'REPLICA_IDENTITY_UNSUITABLE', address: 'shop:public.users', message: /replica identity/ }],
    },
    {
      name: 'replica identity full beside a virtual generated column',
      config: cdcUsers,
      current: usersWith({
        replicaIdentity: 'f',
        replicaIdentityColumns: ['id'],
        columns: [sampleColumn('id', 1), sampleColumn('sum', 2, 'integer', { generated: 'v' })],
      }),
      blocked: [
        {
          code: 'REPLICA_IDENTITY_UNSUITABLE',
          address: 'shop:public.users',
          message: /Postgres refuses its updates/,
          hint: /REPLICA IDENTITY DEFAULT/,
        },
      ],
    },
    {
      name: 'replica identity nothing on one partition',
      config: cdcUsers,
      current: partitioned({ replicaIdentity: 'n', replicaIdentityColumns: [] }),
      blocked: [
        {
          code: 'REPLICA_IDENTITY_UNSUITABLE',
          address: 'shop:public.users',
          message: /public\.users_1/,
          hint: /"users_1"/,
        },
      ],
    },
    {
      name: 'a key of its own that the replica identity lacks',
      config: shop([sampleEntry('public.users', { primaryKey: ['name'] })]),
      current: usersWith({}),
      blocked: [
        {
          code: 'REPLICA_IDENTITY_UNSUITABLE',
          address: 'shop:public.users',
          message: /\(name\)/,
          hint: /IDENTITY FULL/,
        },
      ],
    },
    ...(['f', 'v', 'm'] as const).map((kind) => ({
      name: `cdc on relkind ${kind}`,
      config: cdcUsers,
      current: usersWith({ kind }),
      blocked: [
        { code: 'METHOD_UNSUITABLE', address: 'shop:public.users', message: /cannot follow/, hint: /full_table/ },
      ],
    })),
    {
      name: 'cdc on an unlogged table',
      config: cdcUsers,
      current: usersWith({ persistence: 'u' }),
      blocked: [{ code: 'METHOD_UNSUITABLE', address: 'shop:public.users', message: /is unlogged/ }],
    },
    {
      name: 'cdc with a foreign partition',
      config: cdcUsers,
      current: partitioned({ kind: 'f' }),
      blocked: [
        { code: 'METHOD_UNSUITABLE', address: 'shop:public.users', message: /foreign table among its partitions/ },
      ],
    },
    {
      name: 'a partition beside its root',
      config: shop([sampleEntry('public.users'), sampleEntry('public.users_1')]),
      current: partitioned({}),
      blocked: [{ code: 'METHOD_UNSUITABLE', address: 'shop:public.users_1', message: /partition of public\.users/ }],
    },
    {
      name: 'partitions by a type that has none',
      config: shop([sampleEntry('public.users', { partitionBy: ['id', 'at'], types: { at: { kind: 'double' } } })]),
      current: world([USERS]),
      blocked: [
        {
          code: 'METHOD_UNSUITABLE',
          address: 'shop:public.users',
          message: /cannot be partitioned by "at": Delta has no partitions by type/,
        },
      ],
    },
    {
      name: 'partitions by every column, and by one that is not copied',
      config: shop([
        sampleEntry('public.users', { partitionBy: ['id', 'at'], columns: { kind: 'include', columns: ['id', 'at'] } }),
        sampleEntry('public.clicks', { partitionBy: ['at'], columns: { kind: 'exclude', columns: ['at'] } }),
      ]),
      current: world([USERS, sampleTableOf('public.clicks', { oid: 77 })]),
      blocked: [
        { code: 'METHOD_UNSUITABLE', address: 'shop:public.clicks', message: /by "at", which is not copied/ },
        { code: 'METHOD_UNSUITABLE', address: 'shop:public.users', message: /no column beside those of partition_by/ },
      ],
    },
    {
      name: 'unknown columns, each with the option that names it',
      config: shop([
        sampleEntry('public.users', {
          method: 'incremental',
          cursor: 'att',
          primaryKey: ['idd'],
          columns: { kind: 'exclude', columns: ['nmae'] },
          types: { zzzzzz: { kind: 'varchar' } },
        }),
      ]),
      current: usersWith({}),
      blocked: [
        {
          code: 'COLUMN_MISSING',
          address: 'shop:public.users',
          message: /"att" \(named in cursor\); did you mean "at"/,
        },
        {
          code: 'COLUMN_MISSING',
          address: 'shop:public.users',
          message: /"idd" \(named in primary_key\); did you mean "id"/,
        },
        {
          code: 'COLUMN_MISSING',
          address: 'shop:public.users',
          message: /"nmae" \(named in columns\.exclude\); did you mean "name"/,
        },
        {
          code: 'COLUMN_MISSING',
          address: 'shop:public.users',
          message: /"zzzzzz" \(named in types\); known: id, name, at/,
        },
      ],
    },
    {
      name: 'columns that differ only in case',
      config: cdcUsers,
      current: usersWith({ columns: [sampleColumn('id', 1), sampleColumn('Name', 2), sampleColumn('name', 3)] }),
      blocked: [
        { code: 'COLUMN_NAME_CLASH', address: 'shop:public.users', message: /"name".* has the name of column "Name"/ },
      ],
    },
    {
      name: 'a column with the name of a metadata column',
      config: cdcUsers,
      current: usersWith({ columns: [sampleColumn('id', 1), sampleColumn('_PH_deleted', 2)] }),
      blocked: [
        {
          code: 'COLUMN_NAME_CLASH',
          address: 'shop:public.users',
          message: /a column that Sluice adds/,
          hint: /metadata_prefix/,
        },
      ],
    },
    {
      name: 'a column with the name of a history column',
      config: shop([sampleEntry('public.users', { output: 'both' })]),
      current: usersWith({ columns: [sampleColumn('id', 1), sampleColumn('valid_to', 2)] }),
      blocked: [{ code: 'COLUMN_NAME_CLASH', address: 'shop:public.users', message: /history/ }],
    },
    {
      name: 'a generated key',
      config: cdcUsers,
      current: usersWith({ columns: [sampleColumn('id', 1, 'integer', { generated: 's' })] }),
      blocked: [{ code: 'METHOD_UNSUITABLE', address: 'shop:public.users', message: /key column "id"/ }],
    },
    {
      name: 'no USAGE on the schema',
      config: cdcUsers,
      current: usersWith({ schemaUsage: false }),
      blocked: [
        {
          code: 'PRIVILEGE_MISSING',
          address: 'shop:public.users',
          message: /schema "public"/,
          hint: /GRANT USAGE ON SCHEMA "public" TO "sluice";/,
        },
      ],
    },
    {
      name: 'no SELECT on the table',
      config: cdcUsers,
      current: usersWith({ canSelect: false, readableColumns: [] }),
      blocked: [
        {
          code: 'PRIVILEGE_MISSING',
          address: 'shop:public.users',
          message: /may not read public\.users$/,
          hint: /GRANT SELECT ON "public"\."users" TO "sluice";/,
        },
      ],
    },
    {
      name: 'no SELECT on one selected column',
      config: cdcUsers,
      current: usersWith({ canSelect: false, readableColumns: ['id', 'at'] }),
      blocked: [
        { code: 'PRIVILEGE_MISSING', address: 'shop:public.users', message: /may not read "name" of public\.users/ },
      ],
    },
    {
      name: 'row security with cdc',
      config: cdcUsers,
      current: usersWith({ rowSecurity: true }),
      blocked: [
        { code: 'PRIVILEGE_MISSING', address: 'shop:public.users', message: /row security/, hint: /BYPASSRLS/ },
      ],
    },
    {
      name: 'a table that the role does not own cannot be published',
      config: cdcUsers,
      current: usersWith({ ownedByCurrentUser: false }),
      blocked: [
        {
          code: 'PRIVILEGE_MISSING',
          address: 'shop:public.users',
          message: /does not own/,
          hint: /OWNER TO "sluice".*self_managed/,
        },
      ],
    },
    {
      name: 'no CREATE on the database',
      config: cdcUsers,
      current: server({ canCreateInDatabase: false }),
      blocked: [
        {
          code: 'PRIVILEGE_MISSING',
          address: 'shop:publication',
          message: /create a publication/,
          hint: /GRANT CREATE ON DATABASE "shop"/,
        },
      ],
    },
    {
      name: 'no REPLICATION',
      config: cdcUsers,
      current: server({ hasReplication: false }),
      blocked: [
        {
          code: 'PRIVILEGE_MISSING',
          address: 'shop:slot',
          message: /replication slots/,
          hint: /ALTER ROLE "sluice" REPLICATION/,
        },
      ],
    },
    {
      name: 'wal_level replica',
      config: cdcUsers,
      current: server({ walLevel: 'replica' }),
      blocked: [
        {
          code: 'SERVER_UNSUITABLE',
          address: 'shop:slot',
          message: /wal_level is replica/,
          hint: /ALTER SYSTEM SET wal_level/,
        },
      ],
    },
    {
      name: 'a standby',
      config: cdcUsers,
      current: server({ inRecovery: true }),
      blocked: [{ code: 'SERVER_UNSUITABLE', address: 'shop:slot', message: /standby/ }],
    },
    {
      name: 'Postgres 12',
      config: cdcUsers,
      current: server({ versionNum: 120_020, version: '12.20' }),
      blocked: [{ code: 'SERVER_UNSUITABLE', address: 'shop:slot', message: /12\.20 is too old/ }],
    },
    {
      name: 'no free slot',
      config: cdcUsers,
      current: server({ usedReplicationSlots: 10 }),
      blocked: [{ code: 'SERVER_UNSUITABLE', address: 'shop:slot', message: /all 10 replication slots/ }],
    },
    {
      name: 'a slot of that name that was not made here',
      config: cdcUsers,
      current: world([USERS], { slots: [sampleSlot()] }),
      blocked: [
        {
          code: 'SLOT_OCCUPIED',
          address: 'shop:slot',
          message: /exists that this state did not make/,
          hint: /pg_drop_replication_slot\('sluice_shop'\)/,
        },
      ],
    },
    {
      name: 'the slot became one of another plugin',
      config: cdcUsers,
      current: { ...converged(cdcUsers, world([USERS])), slots: [sampleSlot({ plugin: 'wal2json' })] },
      blocked: [{ code: 'SLOT_OCCUPIED', address: 'shop:slot', message: /wal2json/ }],
    },
    {
      name: 'the slot became one of another database',
      config: cdcUsers,
      current: { ...converged(cdcUsers, world([USERS])), slots: [sampleSlot({ database: 'other' })] },
      blocked: [{ code: 'SLOT_OCCUPIED', address: 'shop:slot', message: /database "other"/ }],
    },
    {
      name: 'a publication of that name of somebody else that lacks tables',
      config: cdcUsers,
      current: world([USERS], { publications: [samplePublication([], { owner: 'dba', ownedByCurrentUser: false })] }),
      blocked: [{ code: 'PUBLICATION_OCCUPIED', address: 'shop:publication', message: /belongs to role "dba"/ }],
    },
    {
      name: 'a publication with a row filter',
      config: cdcUsers,
      current: world([USERS], {
        publications: [
          samplePublication([], {
            tables: [{ schema: 'public', name: 'users', oid: USERS.oid, columns: null, rowFilter: '(id > 1)' }],
          }),
        ],
      }),
      blocked: [
        {
          code: 'PUBLICATION_INCOMPLETE',
          address: 'shop:public.users',
          message: /only some rows/,
          hint: /drop table .* add table/,
        },
      ],
    },
    {
      name: 'self-managed: a column list without a copied column',
      config: shop([sampleEntry('public.users', { columns: { kind: 'exclude', columns: ['at'] } })], {
        cdc: sampleCdc({ management: 'self_managed' }),
      }),
      current: world([USERS], {
        publications: [
          samplePublication([], {
            tables: [{ schema: 'public', name: 'users', oid: USERS.oid, columns: ['id'], rowFilter: null }],
          }),
        ],
      }),
      blocked: [
        {
          code: 'PUBLICATION_INCOMPLETE',
          address: 'shop:public.users',
          message: /only some of the columns that are copied/,
          hint: /drop table "public"\."users"; .* add table "public"\."users" \("id", "name"\);$/,
        },
      ],
    },
    {
      name: 'self-managed: no publication',
      config: selfManaged,
      current: world([USERS]),
      blocked: [
        {
          code: 'PUBLICATION_MISSING',
          address: 'shop:publication',
          message: /by hand/,
          hint: /create publication "sluice_pub_shop" for table "public"\."users" with/,
        },
      ],
    },
    {
      name: 'self-managed: a table is missing',
      config: selfManaged,
      current: world([USERS], { publications: [samplePublication([])] }),
      blocked: [
        {
          code: 'PUBLICATION_INCOMPLETE',
          address: 'shop:publication',
          message: /lacks public\.users/,
          hint: /alter publication "sluice_pub_shop" add table "public"\."users";$/,
        },
      ],
    },
    {
      name: 'self-managed: a table that was streamed is missing, so it has to be read again',
      config: selfManaged,
      current: (() => {
        const done = converged(selfManaged, world([USERS], { publications: [samplePublication([USERS])] }));
        return { ...done, publications: [samplePublication([])] };
      })(),
      blocked: [
        {
          code: 'PUBLICATION_INCOMPLETE',
          address: 'shop:publication',
          message: /lacks/,
          hint: /then: sluice resync shop:public\.users/,
        },
      ],
    },
    {
      name: 'self-managed: updates are not sent',
      config: selfManaged,
      current: world([USERS], { publications: [samplePublication([USERS], { update: false })] }),
      blocked: [
        { code: 'PUBLICATION_INCOMPLETE', address: 'shop:publication', message: /\(publish\)/, hint: /set \(publish/ },
      ],
    },
    {
      name: 'another cluster behind the same address',
      config: cdcUsers,
      current: (() => {
        const done = converged(cdcUsers, world([USERS]));
        return { ...done, server: { ...SERVER, systemIdentifier: '8' } };
      })(),
      blocked: [
        {
          code: 'SYSTEM_CHANGED',
          address: 'shop',
          message: /another database cluster/,
          hint: /sluice state forget shop/,
        },
      ],
    },
    {
      name: 'another database of the cluster while there is a slot',
      config: cdcUsers,
      current: (() => {
        const done = converged(cdcUsers, world([USERS]));
        return { ...done, server: { ...SERVER, database: 'other' } };
      })(),
      blocked: [{ code: 'SYSTEM_CHANGED', address: 'shop', message: /another database \("other"/ }],
    },
    {
      name: 'a table in the destination that is not ours',
      config: cdcUsers,
      current: world([USERS], { foreignTables: ['PUBLIC.users'] }),
      blocked: [
        {
          code: 'DESTINATION_OCCUPIED',
          address: 'shop:public.users',
          message: /public\.users that Sluice did not make/,
        },
      ],
    },
    {
      name: 'the history would take the place of another table',
      config: shop([
        sampleEntry('public.users', { output: 'both' }),
        sampleEntry('public.users_cdc', { method: 'full_table' }),
      ]),
      current: world([USERS, sampleTableOf('public.users_cdc')]),
      blocked: [{ code: 'TARGET_CLASH', address: 'shop:public.users_cdc', message: /public\.users_cdc/ }],
    },
    {
      name: 'two sources with one target',
      config: sampleConfig([
        sampleSourceConfig([sampleEntry('public.users', { method: 'full_table' })]),
        sampleSourceConfig([sampleEntry('public.users', { method: 'full_table' })], { name: 'store' }),
      ]),
      current: world([USERS]),
      blocked: [
        { code: 'TARGET_CLASH', address: 'store:public.users', message: /shop:public\.users/, hint: /target_schema/ },
      ],
    },
    {
      name: 'a connection that is not in the file',
      config: shop([sampleEntry('public.users')], { connection: 'nope' }),
      current: world([USERS]),
      blocked: [{ code: 'CONFIG_INVALID', address: 'shop', message: /connection or a destination/ }],
    },
  ])('$name', (c) => {
    const found = planOf(c.config, c.current).blockers;
    expect(found.map((blocker) => `${blocker.code} ${blocker.address}`)).toEqual(
      c.blocked.map((blocker) => `${blocker.code} ${blocker.address}`),
    );
    c.blocked.forEach((expected, index) => {
      expect(found[index]?.message).toMatch(expected.message);
      if (expected.hint !== undefined) expect(found[index]?.hint).toMatch(expected.hint);
    });
  });
});

describe('what does not stand in the way', () => {
  test.each<{ name: string; config: Config; current: World; notices: readonly RegExp[] }>([
    {
      name: 'a superuser needs no ownership, no CREATE, no REPLICATION',
      config: cdcUsers,
      current: {
        ...usersWith({ ownedByCurrentUser: false }),
        server: { ...SERVER, isSuperuser: true, hasReplication: false, canCreateInDatabase: false },
      },
      notices: [],
    },
    {
      name: "a managed service's replication role",
      config: cdcUsers,
      current: server({ hasReplication: false, replicationRoles: ['rds_replication'] }),
      notices: [],
    },
    {
      name: 'replica identity full',
      config: cdcUsers,
      current: usersWith({ replicaIdentity: 'f', replicaIdentityColumns: ['id', 'name', 'at'] }),
      notices: [],
    },
    {
      name: 'an index identity with the key',
      config: cdcUsers,
      current: usersWith({ replicaIdentity: 'i', replicaIdentityColumns: ['id', 'name'] }),
      notices: [],
    },
    {
      name: 'a hidden column that is not selected',
      config: shop([sampleEntry('public.users', { columns: { kind: 'exclude', columns: ['name'] } })]),
      current: usersWith({ canSelect: false, readableColumns: ['id', 'at'] }),
      notices: [/published with a column list/],
    },
    {
      name: 'a view with full_table',
      config: shop([sampleEntry('public.users', { method: 'full_table' })]),
      current: usersWith({ kind: 'v', primaryKey: [] }),
      notices: [],
    },
    {
      name: 'a publication of ours is taken over',
      config: cdcUsers,
      current: world([USERS], { publications: [samplePublication([sampleTableOf('public.others')])] }),
      notices: [/is taken over/],
    },
    {
      name: 'a publication for all tables of somebody else',
      config: cdcUsers,
      current: world([USERS], {
        publications: [samplePublication([USERS], { allTables: true, ownedByCurrentUser: false, owner: 'dba' })],
      }),
      notices: [/is taken over/],
    },
    {
      name: 'self-managed and complete',
      config: selfManaged,
      current: world([USERS], { publications: [samplePublication([USERS], { ownedByCurrentUser: false })] }),
      notices: [],
    },
    {
      name: 'a pattern skips what cannot be streamed and says so',
      config: shop([sampleEntry('public.*')]),
      current: world([
        USERS,
        sampleTableOf('public.keyless', { primaryKey: [], replicaIdentityColumns: [] }),
        sampleTableOf('public.fast', { persistence: 'u' }),
        sampleTableOf('public.scratch', { persistence: 't' }),
        sampleTableOf('public.view', { kind: 'v' }),
      ]),
      notices: [/skipped.*public\.fast is unlogged/, /skipped.*public\.keyless has no primary key/],
    },
    {
      name: 'a pattern without tables',
      config: shop([sampleEntry('public.users'), sampleEntry('billing.*')]),
      current: world([USERS]),
      notices: [/"billing\.\*" finds no table/],
    },
    {
      name: 'a generated column',
      config: cdcUsers,
      current: usersWith({ columns: [sampleColumn('id', 1), sampleColumn('sum', 2, 'integer', { generated: 's' })] }),
      notices: [/generated column "sum" is left out/],
    },
    {
      name: 'an excluded key',
      config: shop([sampleEntry('public.users', { columns: { kind: 'exclude', columns: ['id'] } })]),
      current: usersWith({}),
      notices: [/"id" is copied although it is not selected/],
    },
    {
      name: 'a type that DuckDB does not have',
      config: cdcUsers,
      current: usersWith({ columns: [sampleColumn('id', 1), sampleColumn('words', 2, 'tsvector')] }),
      notices: [/"words" \(tsvector\) becomes text/],
    },
    {
      name: 'row security without cdc',
      config: shop([sampleEntry('public.users', { method: 'full_table' })]),
      current: usersWith({ rowSecurity: true }),
      notices: [/row security is on/],
    },
    {
      name: 'a source that left the file and cannot be reached',
      config: shop([], { name: 'other' }),
      current: { ...converged(cdcUsers, world([USERS])), unreachable: ['shop'] },
      notices: [/pg_drop_replication_slot\('sluice_shop'\)/],
    },
  ])('$name', (c) => {
    const plan = planOf(c.config, c.current);
    expect(plan.blockers).toEqual([]);
    expect(plan.changes.length).toBeGreaterThan(0);
    expect(plan.notices.length, JSON.stringify(plan.notices)).toBe(c.notices.length);
    c.notices.forEach((notice, index) => {
      expect(plan.notices[index]?.message).toMatch(notice);
    });
  });
});

describe('trouble stays where it is', () => {
  test('another source is planned while one is out of reach', () => {
    const config = sampleConfig([
      sampleSourceConfig([sampleEntry('public.users')]),
      sampleSourceConfig([sampleEntry('public.users', { method: 'full_table' })], {
        name: 'store',
        targetSchema: 'store',
      }),
    ]);
    const plan = planOf(config, world([USERS], { unreachable: ['shop'] }));
    expect(plan.changes.map((change) => `${change.action} ${change.address}`)).toEqual([
      'create_table store:public.users',
      'snapshot_table store:public.users',
    ]);
    expect(plan.blockers.map((blocker) => blocker.address)).toEqual(['shop']);
  });

  test('a blocked table keeps its state, its publication and its slot', () => {
    const done = converged(cdcUsers, world([USERS]));
    const plan = planOf(cdcUsers, {
      ...done,
      tables: [sampleTableOf('public.users', { primaryKey: [], replicaIdentityColumns: [] })],
    });
    expect(plan.blockers.map((blocker) => blocker.code)).toEqual(['PRIMARY_KEY_MISSING']);
    expect(plan.changes).toEqual([]);
  });

  test('a blocked table is read again all the same when the slot is gone', () => {
    const done = converged(cdcUsers, world([USERS]));
    const plan = planOf(cdcUsers, {
      ...done,
      slots: [],
      tables: [sampleTableOf('public.users', { schemaUsage: false })],
    });
    expect(plan.blockers.map((blocker) => blocker.code)).toEqual(['PRIVILEGE_MISSING']);
    expect(plan.changes.map((change) => change.action)).toEqual(['create_slot', 'resync_table']);
  });

  test('what nothing was loaded from is not destroyed by another load', () => {
    const config = cdcUsers;
    const done = { ...converged(config, world([USERS])), facts: [] };
    const plan = planOf(config, { ...done, slots: [] });
    expect(plan.changes.map((change) => [change.action, change.destructive])).toEqual([
      ['create_slot', false],
      ['resync_table', false],
    ]);
  });

  test('tables of a destination that left the file as well are only forgotten', () => {
    const done = converged(cdcUsers, world([USERS]));
    const config = { ...sampleConfig([]), destinations: { other: sampleDestination('other') } };
    expect(planOf(config, done).changes.map((change) => change.action)).toEqual([
      'drop_slot',
      'drop_publication',
      'forget_table',
      'remove_source',
    ]);
  });
});
