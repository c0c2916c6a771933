import type { ObservedPublication, ObservedTable } from '../source/catalog-model.js';
import {
  breaksUpdates,
  columnList,
  hasColumnLists,
  leftOut,
  needsStoredGenerated,
  type Publishable,
  sendsWholeOldRows,
} from '../source/column-list.js';
import {
  addPublicationTablesSql,
  type PublishedTable,
  relistPublicationTablesSql,
  removePublicationTablesSql,
} from '../source/publication-sql.js';
import { quoteQualified } from '../source/sql-identifier.js';
import { leavesOf } from '../source/table-problem.js';
import type { Change, Notice, SettingChange } from './change.js';
import { NO_COST } from './cost.js';
import { type Gap, loadsOf } from './load-order.js';
import type { PublicationInput } from './publication-check.js';

/** With which columns the streamed tables are to be published. */
export interface PublishedColumns {
  readonly storedGenerated: boolean;
  /** Null: all columns, without a list. */
  listOf(key: string): readonly string[] | null;
  /** A streamed table as the publication's SQL names it. */
  publish(key: string, table: ObservedTable): PublishedTable;
}

/** @param publication the one that is there; null where it is made anew */
export function publishedColumns(input: PublicationInput, publication: ObservedPublication | null): PublishedColumns {
  const { versionNum } = input.catalog.server;
  const entries = publishables(input);
  const managed = input.source.cdc.management === 'managed';
  // Of a self-managed publication only what its owner made it send is copied; what breaks the source has to be mended.
  const needing = [...entries.values()].filter((entry) => managed || breaksUpdates(entry));
  const storedGenerated = (publication?.storedGenerated ?? false) || needsStoredGenerated(needing, versionNum);
  // Neither FOR ALL TABLES nor FOR TABLES IN SCHEMA suffers a list beside it.
  const listable = publication === null || (!publication.allTables && publication.schemas.length === 0);
  const listOf = (key: string): readonly string[] | null => {
    const entry = entries.get(key);
    return entry === undefined || !listable ? null : columnList(entry, versionNum, storedGenerated);
  };
  return {
    storedGenerated,
    listOf,
    publish: (key, { schema, name }) => ({ schema, name, list: listOf(key) }),
  };
}

function publishables(input: PublicationInput): ReadonlyMap<string, Publishable> {
  return new Map(
    [...input.streamed].flatMap(([key, table]): [string, Publishable][] =>
      table === null
        ? []
        : [[key, { table, leaves: leavesOf(table, input.catalog.tables), copied: input.copied(key) }]],
    ),
  );
}

export interface Relisting {
  /** Columns that are missed until then: before the tables' own changes. */
  readonly widen: readonly Change[];
  /** Columns that nobody needs any more: after them. */
  readonly narrow: readonly Change[];
  /** Tables that did not get columns which they hold. */
  readonly gaps: ReadonlyMap<string, Gap>;
  readonly tables: readonly { readonly key: string; readonly table: ObservedTable }[];
}

/** Brings the column lists of a managed publication's members to what is copied now. */
export function planRelisting(
  address: string,
  input: PublicationInput,
  publication: ObservedPublication,
  columns: PublishedColumns,
): Relisting {
  const wider: Listed[] = [];
  const narrower: Listed[] = [];
  const gaps = new Map<string, Gap>();
  for (const [key, table] of input.streamed) {
    const member = publication.tables.find((candidate) => candidate.oid === table?.oid);
    // A row filter blocks the plan until it is taken away, and the list with it.
    if (table === null || member === undefined || member.rowFilter !== null) continue;
    const to = columns.listOf(key);
    if (sameList(member.columns, to)) continue;
    const lacks = (names: readonly string[] | null) =>
      member.columns !== null && (names === null || names.some((name) => member.columns?.includes(name) === false));
    (lacks(to) ? wider : narrower).push({ key, table, from: member.columns, to });
    const held = (input.state?.tables[key]?.columns ?? [])
      .map((column) => column.name)
      .filter((name) => table.columns.some((column) => column.name === name));
    if (input.continuing.has(key) && lacks(held)) {
      gaps.set(key, { cause: `publication ${publication.name} did not send all its columns`, consented: false });
    }
  }
  const change = (listed: readonly Listed[], reason: string): Change[] =>
    listed.length === 0 ? [] : [relistChange(address, input, listed, reason, gaps)];
  return {
    widen: change(wider, 'columns that are copied were not sent'),
    narrow: change(narrower, 'only the columns that are copied leave the database'),
    gaps,
    tables: [...wider, ...narrower].map(({ key, table }) => ({ key, table })),
  };
}

interface Listed {
  readonly key: string;
  readonly table: ObservedTable;
  readonly from: readonly string[] | null;
  readonly to: readonly string[] | null;
}

/** How a list stands in `update_settings`: `columns.schema.table`. */
export const LIST_SETTING = 'columns.';

function relistChange(
  address: string,
  input: PublicationInput,
  listed: readonly Listed[],
  reason: string,
  gaps: ReadonlyMap<string, Gap>,
): Change {
  const settings: Record<string, SettingChange> = {};
  for (const { key, from, to } of listed) settings[`${LIST_SETTING}${key}`] = { from: from ?? 'all', to: to ?? 'all' };
  const tables = listed.map(({ table, to }): PublishedTable => ({ schema: table.schema, name: table.name, list: to }));
  const missed = listed.map(({ key }) => key).filter((key) => gaps.has(key));
  return {
    action: 'update_settings',
    address,
    destructive: false,
    reason,
    cost: NO_COST,
    details: {
      settings,
      sql: relistPublicationTablesSql(input.source.cdc.publication, tables),
      loads: loadsOf(missed, input.generation),
      source: null,
      table_fields: null,
    },
  };
}

/** What follows from publishing these tables as they are published now; said when that changes. */
export function listNotices(
  input: PublicationInput,
  columns: PublishedColumns,
  keys: readonly string[],
): readonly Notice[] {
  const entries = publishables(input);
  const { publication } = input.source.cdc;
  return keys.flatMap((key): Notice[] => {
    const entry = entries.get(key);
    const list = columns.listOf(key);
    if (entry === undefined) return [];
    const address = `${input.source.name}:${key}`;
    if (list !== null) return [{ address, message: listHint(publication, entry.table, list) }];
    const out = leftOut(entry);
    if (out.length === 0) return [];
    const why = !hasColumnLists(input.catalog.server.versionNum)
      ? 'publications have no column lists before Postgres 15'
      : sendsWholeOldRows(entry)
        ? 'a table with REPLICA IDENTITY FULL cannot have a column list'
        : `publication ${publication} is for all tables or a whole schema, which allows no column list`;
    return [
      {
        address,
        message: `${out.map((name) => `"${name}"`).join(', ')} leave the database all the same and are dropped before the destination: ${why}`,
      },
    ];
  });
}

/** What Postgres refuses while a table is published with a list, and how to do it all the same. */
export function listHint(publication: string, table: ObservedTable, list: readonly string[]): string {
  const name = quoteQualified(table);
  const out = removePublicationTablesSql(publication, [table]);
  const back = addPublicationTablesSql(publication, [{ schema: table.schema, name: table.name, list }]);
  return (
    `published with a column list; Postgres refuses to drop or retype a column of it. Do that in one transaction: ` +
    `BEGIN; ${out} ALTER TABLE ${name} ...; ${back} COMMIT; (without a dropped column in the list)`
  );
}

function sameList(left: readonly string[] | null, right: readonly string[] | null): boolean {
  if (left === null || right === null) return left === right;
  return left.length === right.length && left.every((name) => right.includes(name));
}
