import type { DuckDbSession } from '../duckdb/session.js';
import { columnList, identifier, keyEquality, literal } from '../duckdb/sql-text.js';
import { queryTypes } from '../duckdb/target-ddl.js';
import type { LakeColumn } from '../lake/ledger.js';
import { keyJoin } from '../lake/row-choice.js';
import type { RowChoice } from '../lake/table-format.js';
import { COMMIT_COLUMN, REMOVED_COLUMN } from './manifest.js';

/** The SQL that tells a table's rows as they are now from its files. */

/** A table's files as DuckDB reads them. */
export interface TableFiles {
  readonly snapshot: readonly string[];
  readonly changes: readonly string[];
  /** Manifest.identity */
  readonly identity: readonly string[];
  /** The columns that some file has. */
  readonly stored: ReadonlyMap<string, string>;
}

/** The columns that at least one of the files has, with their types. */
export function storedColumns(session: DuckDbSession, files: readonly string[]): Promise<ReadonlyMap<string, string>> {
  return queryTypes(session, `SELECT * FROM ${readParquet(files)}`);
}

/**
 * SQL of the rows that a table has now and that are chosen: the given columns, of which those that are not in `filled` are
 * NULL, and behind them the commit that a row came with.
 * @param filled null: all
 */
export function liveRows(
  files: TableFiles,
  columns: readonly LakeColumn[],
  choose: RowChoice,
  filled: ReadonlySet<string> | null,
): string {
  const { snapshot, changes, identity, stored } = files;
  const where = choose.kind === 'where' || choose.kind === 'keys' ? choose.where : null;
  const cells = columns.map(({ name, type }) => {
    const isRead = stored.has(name) && (filled === null || filled.has(name) || identity.includes(name));
    return `${isRead ? `r.${identifier(name)}` : `NULL::${type}`} AS ${identifier(name)}`;
  });
  // Every key that is asked for is part of what tells rows apart, so that whole lives of rows are chosen.
  const all = [...snapshot, ...changes];
  const rows = `SELECT ${cells.join(', ')}, r.${COMMIT_COLUMN}, r.${REMOVED_COLUMN} FROM ${readParquet(all)} r${keyJoin(choose, 'r')}`;
  const names = columnList([...columns.map(({ name }) => name), COMMIT_COLUMN], 'l');
  const chosen = where === null ? '' : ` WHERE ${where}`;
  if (changes.length === 0 || identity.length === 0) {
    return `SELECT * FROM (SELECT ${names} FROM (${rows}) l WHERE NOT l.${REMOVED_COLUMN})${chosen}`;
  }
  const last = `SELECT ${columnList(identity, 'c')}, max(c.${COMMIT_COLUMN}) AS __last
    FROM ${readParquet(changes)} c${keyJoin(choose, 'c')} GROUP BY ${columnList(identity, 'c')}`;
  return `SELECT * FROM (SELECT ${names} FROM (${rows}) l LEFT JOIN (${last}) c ON ${keyEquality(identity, 'l', 'c')}
    WHERE NOT l.${REMOVED_COLUMN} AND (c.__last IS NULL OR l.${COMMIT_COLUMN} = c.__last))${chosen}`;
}

function readParquet(files: readonly string[]): string {
  return `read_parquet([${files.map(literal).join(', ')}], union_by_name = true, hive_partitioning = false)`;
}
