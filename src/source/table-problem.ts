import type { TableConfig } from '../config/config.js';
import type { ObservedTable } from './catalog-model.js';

/*
 * What keeps a table from being synced as the file says, as data. The planner makes blockers of it and the guard
 * findings, so that the two never disagree.
 */

/** The table does not suit its method, whatever the role may do. */
export type MethodProblem =
  /** Its changes are not in the write-ahead log; `what` goes on a sentence that starts with its name. */
  | { readonly kind: 'not_logged'; readonly what: string }
  | { readonly kind: 'no_key' }
  /** One of the tables that hold its rows could not be written any more once it is published. */
  | { readonly kind: 'unwritable'; readonly carrier: ObservedTable }
  /** Those of the tables that hold its rows whose replica identity lacks the key. */
  | { readonly kind: 'identity'; readonly key: readonly string[]; readonly carriers: readonly ObservedTable[] };

/** The role may not do what every method does. */
export type PrivilegeProblem =
  | { readonly kind: 'schema_closed' }
  | { readonly kind: 'unreadable'; readonly columns: readonly string[]; readonly whole: boolean }
  | { readonly kind: 'row_security' };

/** Kind of table, key and replica identity; the first of them that is wrong, as the rest would follow from it. */
export function methodProblem(
  table: ObservedTable,
  config: Pick<TableConfig, 'method'>,
  key: readonly string[],
  tables: readonly ObservedTable[],
): MethodProblem | null {
  const streamed = config.method === 'cdc';
  const unlogged = streamed ? notLogged(table, tables) : null;
  if (unlogged !== null) return unlogged;
  if ((streamed || config.method === 'incremental') && key.length === 0) return { kind: 'no_key' };
  if (!streamed) return null;
  // Postgres sends the replica identity of the table that holds the row: for a partitioned table, that of the leaf.
  const holders = table.kind === 'p' ? leavesOf(table, tables) : [table];
  const unwritable = holders.find(
    (holder) => holder.replicaIdentity === 'f' && holder.columns.some(({ generated }) => generated === 'v'),
  );
  if (unwritable !== undefined) return { kind: 'unwritable', carrier: unwritable };
  const carriers = holders.filter((holder) => key.some((column) => !holder.replicaIdentityColumns.includes(column)));
  return carriers.length === 0 ? null : { kind: 'identity', key, carriers };
}

/**
 * What the role may not do with the table; the first of it that is wrong.
 * @param columns that are wanted of it
 */
export function privilegeProblem(table: ObservedTable, columns: readonly string[]): PrivilegeProblem | null {
  if (!table.schemaUsage) return { kind: 'schema_closed' };
  const hidden = table.canSelect ? [] : columns.filter((column) => !(table.readableColumns ?? []).includes(column));
  if (hidden.length > 0) return { kind: 'unreadable', columns: hidden, whole: hidden.length === columns.length };
  return table.rowSecurity ? { kind: 'row_security' } : null;
}

/** Leaf partitions; none for an ordinary table. */
export function leavesOf(table: ObservedTable, tables: readonly ObservedTable[]): readonly ObservedTable[] {
  if (table.kind !== 'p') return [];
  const below = new Set(table.partitionOids);
  return tables.filter((candidate) => below.has(candidate.oid) && candidate.kind !== 'p');
}

/** The SQL keyword of the replica identity that would carry a key. */
export function identityFor(table: ObservedTable, key: readonly string[]): 'default' | 'full' {
  const primary = key.length === table.primaryKey.length && key.every((column) => table.primaryKey.includes(column));
  // Where it is the default already and does not carry the key, the primary key is deferrable.
  return primary && table.replicaIdentity !== 'd' ? 'default' : 'full';
}

function notLogged(table: ObservedTable, tables: readonly ObservedTable[]): MethodProblem | null {
  const leaves = leavesOf(table, tables);
  const unlogged = table.persistence === 'u' || leaves.some((leaf) => leaf.persistence === 'u');
  const what =
    table.kind === 'f'
      ? 'is a foreign table'
      : table.kind === 'v' || table.kind === 'm'
        ? 'is a view'
        : table.persistence === 't'
          ? 'is a temporary table'
          : unlogged
            ? table.persistence === 'u'
              ? 'is unlogged'
              : 'has an unlogged partition'
            : leaves.some((leaf) => leaf.kind === 'f')
              ? 'has a foreign table among its partitions'
              : null;
  return what === null ? null : { kind: 'not_logged', what };
}
