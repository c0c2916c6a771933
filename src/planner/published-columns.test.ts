import { describe, expect, test } from 'vitest';
import type { TableConfig } from '../config/config.js';
import type { ObservedTable } from '../source/catalog-model.js';
import type { Plan } from './change.js';
import {
  converged,
  planOf,
  SERVER,
  sampleCdc,
  sampleColumn,
  sampleEntry,
  samplePublication,
  sampleTableOf,
  shop,
  world,
} from './sample-world.js';

/** With which columns tables are published, by version, selection and replica identity. */

const ID = sampleColumn('id', 1);
const NAME = sampleColumn('name', 2, 'text');
const SECRET = sampleColumn('secret', 3, 'text');
const SUM = sampleColumn('sum', 4, 'integer', { generated: 's' });
const LATE = sampleColumn('late', 5, 'integer', { generated: 'v' });
const users = (fields: Partial<ObservedTable> = {}) =>
  sampleTableOf('public.users', { columns: [ID, NAME, SECRET], ...fields });
const on = (versionNum: number) => ({ server: { ...SERVER, versionNum } });
const WITHOUT_SECRET = { columns: { kind: 'exclude', columns: ['secret'] } } as const;

function createSql(plan: Plan): string | null {
  for (const change of plan.changes) if (change.action === 'create_publication') return change.details.sql;
  return null;
}

describe('a publication that is made', () => {
  test.each<{
    name: string;
    version: number;
    table: ObservedTable;
    others?: readonly ObservedTable[];
    config?: Partial<TableConfig>;
    sql: RegExp;
    notice: RegExp | null;
  }>([
    { name: 'all columns need no list', version: 170_000, table: users(), sql: /"users" with/, notice: null },
    {
      name: 'an excluded column is not in the list',
      version: 150_000,
      table: users(),
      config: WITHOUT_SECRET,
      sql: /"users" \("id", "name"\) with/,
      notice: /refuses to drop or retype/,
    },
    {
      name: 'no lists before 15',
      version: 140_012,
      table: users(),
      config: WITHOUT_SECRET,
      sql: /"users" with/,
      notice: /"secret" leave the database all the same.*before Postgres 15/,
    },
    {
      name: 'no list beside REPLICA IDENTITY FULL',
      version: 170_000,
      table: users({ replicaIdentity: 'f', replicaIdentityColumns: ['id', 'name', 'secret'] }),
      config: WITHOUT_SECRET,
      sql: /"users" with/,
      notice: /REPLICA IDENTITY FULL cannot have a column list/,
    },
    {
      name: 'the replica identity is in the list, copied or not',
      version: 170_000,
      table: users({ replicaIdentity: 'i', replicaIdentityColumns: ['id', 'name'] }),
      config: { columns: { kind: 'include', columns: ['id'] } },
      sql: /"users" \("id", "name"\) with/,
      notice: /column list/,
    },
    {
      name: 'that of a partition as well',
      version: 170_000,
      table: users({ kind: 'p', partitionOids: [77] }),
      others: [
        users({
          oid: 77,
          name: 'users_1',
          isPartition: true,
          partitionRootOid: users().oid,
          replicaIdentity: 'i',
          replicaIdentityColumns: ['id', 'name'],
        }),
      ],
      config: { columns: { kind: 'include', columns: ['id'] } },
      sql: /"users" \("id", "name"\) with/,
      notice: /column list/,
    },
    {
      name: 'a partition with REPLICA IDENTITY FULL allows no list',
      version: 170_000,
      table: users({ kind: 'p', partitionOids: [77] }),
      others: [
        users({
          oid: 77,
          name: 'users_1',
          isPartition: true,
          partitionRootOid: users().oid,
          replicaIdentity: 'f',
          replicaIdentityColumns: ['id', 'name', 'secret'],
        }),
      ],
      config: WITHOUT_SECRET,
      sql: /"users" with/,
      notice: /REPLICA IDENTITY FULL/,
    },
    {
      name: 'a stored generated column is left out on 17',
      version: 170_000,
      table: users({ columns: [ID, SUM] }),
      sql: /"users" with \(publish = '[^']+', publish_via_partition_root = true\);/,
      notice: /"sum" is left out.*before Postgres 18/,
    },
    {
      name: 'a stored generated column is published on 18',
      version: 180_000,
      table: users({ columns: [ID, SUM] }),
      sql: /"users" with \(.*publish_generated_columns = stored\)/,
      notice: null,
    },
    {
      name: 'a virtual one never is',
      version: 180_000,
      table: users({ columns: [ID, LATE] }),
      sql: /"users" with \(publish = '[^']+', publish_via_partition_root = true\);/,
      notice: /"late" is left out: it is virtual/,
    },
    {
      name: 'a list on 18 holds the generated columns that are copied',
      version: 180_000,
      table: users({ columns: [ID, NAME, SECRET, SUM, LATE] }),
      config: WITHOUT_SECRET,
      sql: /"users" \("id", "name", "sum"\) with/,
      notice: /column list/,
    },
    {
      name: 'REPLICA IDENTITY FULL on 18 asks for the generated columns even if none is copied',
      version: 180_000,
      table: users({ columns: [ID, SUM], replicaIdentity: 'f', replicaIdentityColumns: ['id'] }),
      config: { columns: { kind: 'include', columns: ['id'] } },
      sql: /"users" with \(.*publish_generated_columns = stored\)/,
      notice: null,
    },
  ])('$name', ({ version, table, others, config, sql, notice }) => {
    const plan = planOf(shop([sampleEntry('public.users', config)]), world([table, ...(others ?? [])], on(version)));
    expect(plan.blockers).toEqual([]);
    expect(createSql(plan)).toMatch(sql);
    const messages = plan.notices.map(({ message }) => message);
    if (notice === null) expect(messages).toEqual([]);
    else expect(messages).toContainEqual(expect.stringMatching(notice));
  });
});

describe('a publication that is there', () => {
  const config = shop([sampleEntry('public.users', WITHOUT_SECRET), sampleEntry('public.orders')]);
  const tables = [users(), sampleTableOf('public.orders')];

  test('a list is changed for its table alone, in one statement', () => {
    const before = converged(shop([sampleEntry('public.users'), sampleEntry('public.orders')]), world(tables));
    const [change] = planOf(config, before).changes.filter(({ action }) => action === 'update_settings');
    expect(change?.details).toMatchObject({
      settings: { 'columns.public.users': { from: 'all', to: ['id', 'name'] } },
      sql: 'do $sluice$ begin alter publication "sluice_pub_shop" drop table "public"."users"; alter publication "sluice_pub_shop" add table "public"."users" ("id", "name"); end $sluice$;',
      loads: {},
    });
  });

  test('columns that are no longer copied leave the list after the table has let go of them', () => {
    const before = converged(shop([sampleEntry('public.users'), sampleEntry('public.orders')]), world(tables));
    expect(planOf(config, before).changes.map(({ action }) => action)).toEqual(['remove_columns', 'update_settings']);
  });

  test.each([
    { name: 'for all tables', fields: { allTables: true } },
    { name: 'for a schema', fields: { schemas: ['public'] } },
  ])('no list beside a publication $name', ({ fields }) => {
    const plan = planOf(config, world(tables, { publications: [samplePublication(tables, fields)] }));
    expect(plan.blockers).toEqual([]);
    expect(plan.changes.map(({ action }) => action)).not.toContain('update_settings');
  });

  test('somebody else may not change the list of a table that is not theirs', () => {
    const before = converged(config, world(tables));
    const foreign = tables.map((table) => ({ ...table, ownedByCurrentUser: false }));
    const narrowed = before.publications.map((publication) => ({
      ...publication,
      tables: publication.tables.map((member) => ({ ...member, columns: ['id'] })),
    }));
    const plan = planOf(config, { ...before, tables: foreign, publications: narrowed });
    expect(plan.blockers.map(({ code, address }) => `${code} ${address}`)).toContain(
      'PRIVILEGE_MISSING shop:public.users',
    );
  });

  test('publish_generated_columns that was switched off is mended, and what was missed read again', () => {
    const stored = [users({ columns: [ID, SUM] })];
    const file = shop([sampleEntry('public.users')]);
    const before = converged(file, world(stored, on(180_000)));
    const off = before.publications.map((publication) => ({ ...publication, storedGenerated: false }));
    const plan = planOf(file, { ...before, publications: off });
    expect(plan.changes.map(({ action }) => action)).toEqual(['update_settings', 'resync_table']);
    expect(planOf(file, before).changes).toEqual([]);
  });

  test.each([
    { name: 'the option', fields: { storedGenerated: true }, list: null, copied: true },
    { name: 'a list', fields: {}, list: ['id', 'sum'], copied: true },
    { name: 'neither', fields: {}, list: null, copied: false },
  ])('self-managed on 18: generated columns come by $name', ({ fields, list, copied }) => {
    const table = users({ columns: [ID, SUM] });
    const publication = samplePublication([table], { ownedByCurrentUser: false, ...fields });
    const members = publication.tables.map((member) => ({ ...member, columns: list }));
    const plan = planOf(
      shop([sampleEntry('public.users')], { cdc: sampleCdc({ management: 'self_managed' }) }),
      world([table], { ...on(180_000), publications: [{ ...publication, tables: members }] }),
    );
    expect(plan.blockers).toEqual([]);
    const made = plan.changes.flatMap((change) =>
      change.action === 'create_table' ? change.details.table.columns : [],
    );
    expect(made.map((column) => column.name)).toEqual(copied ? ['id', 'sum'] : ['id']);
  });

  test('self-managed: a list that covers what is copied will do', () => {
    const publication = samplePublication(tables, { ownedByCurrentUser: false });
    const members = publication.tables.map((member) => ({
      ...member,
      columns: member.name === 'users' ? ['name', 'id'] : null,
    }));
    const plan = planOf(
      { ...config, sources: { shop: { ...config.sources['shop']!, cdc: sampleCdc({ management: 'self_managed' }) } } },
      world(tables, { publications: [{ ...publication, tables: members }] }),
    );
    expect(plan.blockers).toEqual([]);
    expect(plan.changes.map(({ action }) => action)).not.toContain('update_settings');
  });
});
