import { describe, expect, test } from 'vitest';
import type { ObservedColumn } from '../source/catalog-model.js';
import type { OpenWriter, Platform } from '../source/readiness-model.js';
import { type Case, findings, id, ok, sampleReadiness, users } from './sample-subject.js';

const failed = { ok: false as const, error: { code: 'SOURCE_SQL_FAILED' as const, message: 'canceling statement' } };
const writer: OpenWriter = {
  pid: 42,
  user: 'shop',
  application: 'import',
  database: 'shop',
  state: 'idle in transaction',
  ageMs: 400_000,
  laterTransactions: 5,
};
const byCursor = { method: 'incremental' as const, keys: ['public.users'], settings: { cursor: 'at' } };
const at: ObservedColumn = { ...id, name: 'at', attnum: 3, notNull: false };
const bigTable = { columns: [id, at], estimatedBytes: 2 ** 30 };
const cursor = (holdsNulls: boolean | null, indexed: boolean) =>
  sampleReadiness({ cursors: ok([{ oid: users.oid, column: 'at', holdsNulls, indexed }]) });

describe('what is beside the catalog', () => {
  test.each<Case & { name: string; codes: string[]; says?: RegExp }>([
    { name: 'all is well', readiness: sampleReadiness(), codes: [] },
    {
      name: 'a pooler in transaction mode',
      readiness: sampleReadiness({ pooling: 'transaction' }),
      codes: ['error POOLER shop'],
    },
    {
      name: 'a pooler in transaction mode matters to every method',
      readiness: sampleReadiness({ pooling: 'transaction' }),
      method: 'full_table',
      codes: ['error POOLER shop'],
    },
    {
      name: 'a pooler in session mode',
      readiness: sampleReadiness({ pooling: 'session' }),
      codes: ['warning POOLER shop'],
    },
    {
      name: 'a pooler of unknown mode',
      readiness: sampleReadiness({ pooling: 'unclear' }),
      codes: ['warning POOLER shop'],
    },
    {
      name: 'no pooler passes the replication protocol on',
      readiness: sampleReadiness({ pooling: 'session' }),
      cdc: { transport: 'continuous' },
      codes: ['error POOLER shop'],
    },
    {
      name: 'a read-only role of a managed source',
      readiness: sampleReadiness({ session: { defaultReadOnly: true } }),
      codes: ['error READ_ONLY_ROLE shop'],
    },
    {
      name: 'a read-only role without cdc',
      readiness: sampleReadiness({ session: { defaultReadOnly: true } }),
      method: 'full_table',
      codes: [],
    },
    {
      name: 'a read-only role of a self-managed source',
      readiness: sampleReadiness({ session: { defaultReadOnly: true } }),
      cdc: { management: 'self_managed' },
      codes: [],
    },
    {
      name: 'timeouts of the role, which our sessions do without',
      readiness: sampleReadiness({ session: { timeouts: [{ name: 'statement_timeout', ms: 30_000 }] } }),
      codes: ['info TIMEOUTS shop'],
      says: /statement_timeout = 30s/,
    },
    {
      name: 'timeouts of the role behind a pooler that forgets settings',
      readiness: sampleReadiness({
        pooling: 'transaction',
        session: { timeouts: [{ name: 'statement_timeout', ms: 30_000 }] },
      }),
      codes: ['error POOLER shop', 'warning TIMEOUTS shop'],
    },
    {
      name: 'little memory for decoding',
      readiness: sampleReadiness({ session: { decodingWorkMemKb: 1_000 } }),
      codes: ['info DECODING_MEMORY shop'],
    },
    {
      name: 'decoding spilled',
      readiness: sampleReadiness({ decoding: ok({ spilledBytes: 2 ** 30 }) }),
      codes: ['info DECODING_MEMORY shop'],
      says: /1024 MB to the server's disk/,
    },
    {
      name: 'decoding spilled, and has ample memory now',
      readiness: sampleReadiness({
        session: { decodingWorkMemKb: 262_144 },
        decoding: ok({ spilledBytes: 2 ** 30 }),
      }),
      codes: [],
    },
    {
      name: 'slots time out soon',
      readiness: sampleReadiness({ session: { idleSlotTimeoutMs: 3_600_000 } }),
      codes: ['warning SLOT_IDLE_TIMEOUT shop'],
    },
    {
      name: 'slots time out some day',
      readiness: sampleReadiness({ session: { idleSlotTimeoutMs: 7 * 86_400_000 } }),
      codes: ['info SLOT_IDLE_TIMEOUT shop'],
    },
    {
      name: 'settings of the stream do not matter without one',
      readiness: sampleReadiness({
        session: { idleSlotTimeoutMs: 1_000, decodingWorkMemKb: 64 },
        writers: ok([writer]),
        prepared: ok([{ gid: 'a', owner: 'shop', database: 'shop', ageMs: 1e9 }]),
      }),
      method: 'full_table',
      codes: [],
    },
    {
      name: 'a clock ahead',
      readiness: sampleReadiness({ clock: ok({ aheadMs: 90_000, roundTripMs: 10 }) }),
      codes: ['warning CLOCK shop'],
      says: /1m30s ahead of/,
    },
    {
      name: 'a clock behind',
      readiness: sampleReadiness({ clock: ok({ aheadMs: -90_000, roundTripMs: 10 }) }),
      codes: ['warning CLOCK shop'],
      says: /1m30s behind/,
    },
    {
      name: 'a clock that may agree, as the answer took long',
      readiness: sampleReadiness({ clock: ok({ aheadMs: 6_000, roundTripMs: 12_000 }) }),
      codes: [],
    },
    {
      name: 'TLS facts',
      readiness: sampleReadiness({
        encryption: ok({ encrypted: true, version: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384' }),
      }),
      codes: ['info TLS shop'],
      says: /TLSv1\.3 with TLS_AES_256_GCM_SHA384/,
    },
    {
      name: 'TLS that ends before the server',
      readiness: sampleReadiness({ encryption: ok({ encrypted: false, version: null, cipher: null }) }),
      codes: ['warning TLS_ENDS_EARLY shop'],
    },
    {
      name: 'a transaction open for long',
      readiness: sampleReadiness({ writers: ok([writer]) }),
      codes: ['warning TRANSACTION_OPEN shop:slot'],
      says: /backend 42 .*6m40s.*application "import"/,
    },
    {
      name: 'a transaction open for a while',
      readiness: sampleReadiness({ writers: ok([{ ...writer, ageMs: 20_000 }]) }),
      codes: ['info TRANSACTION_OPEN shop:slot'],
    },
    {
      name: 'an ordinary transaction',
      readiness: sampleReadiness({ writers: ok([{ ...writer, ageMs: 100 }]) }),
      codes: [],
    },
    {
      name: 'a transaction whose start is hidden, overtaken by many',
      readiness: sampleReadiness({ writers: ok([{ ...writer, ageMs: null, laterTransactions: 1e6 }]) }),
      codes: ['warning TRANSACTION_OPEN shop:slot'],
    },
    {
      name: 'a transaction whose start is hidden, overtaken by few',
      readiness: sampleReadiness({ writers: ok([{ ...writer, ageMs: null }]) }),
      codes: [],
    },
    {
      name: 'a prepared transaction',
      readiness: sampleReadiness({ prepared: ok([{ gid: 'a', owner: 'shop', database: 'shop', ageMs: 400_000 }]) }),
      codes: ['warning TRANSACTION_PREPARED shop:slot'],
    },
    {
      name: 'a cursor with NULLs',
      ...byCursor,
      table: bigTable,
      readiness: cursor(true, true),
      codes: ['warning CURSOR_NULLS shop:public.users'],
    },
    {
      name: 'a cursor that could not be looked at',
      ...byCursor,
      table: bigTable,
      readiness: cursor(null, true),
      codes: [],
    },
    {
      name: 'a cursor without an index',
      ...byCursor,
      table: bigTable,
      readiness: cursor(false, false),
      codes: ['warning CURSOR_INDEX shop:public.users'],
    },
    {
      name: 'a cursor without an index on a small table',
      ...byCursor,
      table: { ...bigTable, estimatedBytes: 8192 },
      readiness: cursor(false, false),
      codes: [],
    },
    {
      name: 'a cursor that does not exist',
      ...byCursor,
      settings: { cursor: 'att' },
      table: bigTable,
      codes: ['error COLUMN_MISSING shop:public.users'],
      says: /did you mean "at"/,
    },
    {
      name: 'a cursor that one table of a pattern does not have',
      ...byCursor,
      keys: ['public.u*'],
      settings: { cursor: 'att' },
      table: bigTable,
      codes: ['warning COLUMN_MISSING shop:public.users'],
    },
    {
      name: 'children of inheritance without an entry',
      readiness: sampleReadiness({ children: ok([{ parentOid: users.oid, schema: 'public', name: 'old_users' }]) }),
      codes: ['warning INHERITANCE shop:public.users'],
      says: /public\.old_users/,
    },
    {
      name: 'children of inheritance with an entry',
      keys: ['public.*'],
      readiness: sampleReadiness({ children: ok([{ parentOid: users.oid, schema: 'public', name: 'old_users' }]) }),
      codes: [],
    },
    {
      name: 'columns that become text',
      table: {
        columns: [
          id,
          {
            ...id,
            name: 'area',
            formattedType: 'box',
            type: { ...id.type, oid: 603, name: 'box', baseOid: 603, baseName: 'box' },
          },
        ],
      },
      codes: ['info TEXT_COLUMNS shop:public.users'],
      says: /"area" \(box\)/,
    },
    {
      name: 'a column that becomes text and is excluded',
      table: {
        columns: [
          id,
          { ...id, name: 'area', type: { ...id.type, oid: 603, name: 'box', baseOid: 603, baseName: 'box' } },
        ],
      },
      settings: { columns: { kind: 'exclude', columns: ['area'] } },
      codes: [],
    },
    {
      name: 'a generated column before 18',
      table: { columns: [id, { ...id, name: 'total', generated: 's' }] },
      codes: ['info GENERATED_COLUMNS shop:public.users'],
    },
    {
      name: 'a stored generated column on 18',
      server: { versionNum: 180_000 },
      table: { columns: [id, { ...id, name: 'total', generated: 's' }] },
      codes: [],
    },
    {
      name: 'a virtual generated column on 18',
      server: { versionNum: 180_000 },
      table: { columns: [id, { ...id, name: 'total', generated: 'v' }] },
      codes: ['info GENERATED_COLUMNS shop:public.users'],
    },
    {
      name: 'what a pattern skips',
      keys: ['public.*'],
      table: { primaryKey: [], ownedByCurrentUser: false, canSelect: false, readableColumns: [] },
      publications: [],
      codes: ['warning PRIMARY_KEY shop:public.users'],
    },
    {
      name: 'readers that failed',
      readiness: { ...sampleReadiness({ prepared: failed }), pooling: failed },
      codes: ['warning NOT_CHECKED shop', 'warning NOT_CHECKED shop'],
      says: /prepared transactions: canceling statement/,
    },
    { name: 'a plan that looked at little', readiness: { ...sampleReadiness(), details: null }, codes: [] },
  ])('$name', ({ codes, says, ...c }) => {
    const found = findings(c);
    expect(found.map(({ level, code, address }) => `${level} ${code} ${address}`)).toEqual(codes);
    expect(found.map(({ message }) => message).join('\n')).toMatch(says ?? /(?:)/);
  });
});

describe('the words of the service that runs the server', () => {
  test.each<{ platform: Platform; wal: string; role: string }>([
    { platform: 'plain', wal: 'alter system set wal_level = logical;', role: 'alter role "sluice" with replication;' },
    { platform: 'rds', wal: 'rds.logical_replication = 1', role: 'grant rds_replication to "sluice";' },
    { platform: 'cloudsql', wal: 'cloudsql.logical_decoding = on', role: 'alter role "sluice" with replication;' },
    { platform: 'alloydb', wal: 'alloydb.logical_decoding = on', role: 'alloydbsuperuser' },
    { platform: 'azure', wal: 'server parameter wal_level = logical', role: 'azure_pg_admin' },
    { platform: 'supabase', wal: 'postgres-config update --config wal_level=logical', role: 'in the SQL editor' },
    { platform: 'neon', wal: 'logical replication on in the settings', role: 'neon_superuser' },
  ])('$platform', ({ platform, wal, role }) => {
    const readiness = sampleReadiness({ session: { platform } });
    const fixes = findings({ readiness, server: { walLevel: 'replica', hasReplication: false } });
    expect(fixes.map(({ code }) => code)).toEqual(['WAL_LEVEL', 'REPLICATION_ROLE']);
    expect(fixes[0]?.fixSql).toContain(wal);
    expect(fixes[1]?.fixSql).toContain(role);
  });
});

test.each<{ name: string; superuser: boolean; sql: string }>([
  { name: 'an owner', superuser: false, sql: 'grant "app" to "sluice";' },
  {
    name: 'a superuser, who is not to be granted',
    superuser: true,
    sql: 'alter table "public"."users" owner to "sluice";',
  },
])('a table of $name', ({ superuser, sql }) => {
  const owners = ok([{ oid: users.oid, owner: 'app', superuser }]);
  const found = findings({
    publications: [],
    table: { ownedByCurrentUser: false },
    readiness: sampleReadiness({ owners }),
  });
  expect(found.map(({ code, fixSql }) => [code, fixSql])).toEqual([['TABLE_OWNER', sql]]);
});
