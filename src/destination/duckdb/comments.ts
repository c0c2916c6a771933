import {
  HISTORY_COLUMNS,
  METADATA_COMMENTS,
  metadataNames,
  placesOf,
  type TableName,
  type TablePlace,
  type TargetTable,
} from '../target-table.js';
import type { DuckDbSession } from './session.js';
import { identifier, literal, qualified } from './sql-text.js';

/**
 * What the source says that its tables and columns are (COMMENT ON), kept as the comments of DuckDB's own catalog. There a
 * lake finds them, too: its working file has a table for each of its own.
 */

export interface TableComments {
  readonly table: string | null;
  /** All of the table's columns; null for one that has no comment. */
  readonly columns: ReadonlyMap<string, string | null>;
}

/** Of every table of the file, by its {@link qualified} name. */
export async function readComments(session: DuckDbSession): Promise<Map<string, TableComments>> {
  const tables = await session.rows<{ schema: string; name: string; comment: string | null }>(
    `SELECT schema_name AS schema, table_name AS name, comment FROM duckdb_tables() WHERE ${OWN}`,
  );
  const found = new Map<string, { table: string | null; columns: Map<string, string | null> }>();
  for (const table of tables) found.set(qualified(table), { table: table.comment, columns: new Map() });
  const columns = await session.rows<{ schema: string; name: string; column: string; comment: string | null }>(
    `SELECT schema_name AS schema, table_name AS name, column_name AS column, comment FROM duckdb_columns() WHERE ${OWN}`,
  );
  // Views have columns as well; they are nobody's tables.
  for (const { column, comment, ...table } of columns) found.get(qualified(table))?.columns.set(column, comment);
  return found;
}

/** Neither DuckDB's own tables nor temporary ones, which are in a database of their own. */
const OWN = 'NOT internal AND database_name = current_database()';

/** The tables of which the file says something else than the source. */
export async function undescribed(session: DuckDbSession, tables: readonly TargetTable[]): Promise<TargetTable[]> {
  const existing = await readComments(session);
  return tables.filter((table) => describing(table, existing).length > 0);
}

/** In the caller's transaction: gives tables, their histories and all columns that are there the comments of the source. */
export async function describeTables(session: DuckDbSession, tables: readonly TargetTable[]): Promise<void> {
  const existing = await readComments(session);
  for (const statement of tables.flatMap((table) => describing(table, existing))) await session.run(statement);
}

/** In the caller's transaction: comments of a table and its columns go to another that has columns of the same names. */
export async function copyComments(session: DuckDbSession, from: TableName, to: TableName): Promise<void> {
  const existing = await readComments(session);
  const [given, has] = [existing.get(qualified(from)), existing.get(qualified(to))];
  if (given === undefined || has === undefined) return;
  for (const statement of statements(to, has, given)) await session.run(statement);
}

/** In the caller's transaction: for a table that has just been made, with these columns and no comments. */
export async function commentNew(session: DuckDbSession, place: TableName, comments: TableComments): Promise<void> {
  const none = { table: null, columns: new Map([...comments.columns.keys()].map((name) => [name, null])) };
  for (const statement of statements(place, none, comments)) await session.run(statement);
}

function describing(table: TargetTable, existing: ReadonlyMap<string, TableComments>): string[] {
  return placesOf(table).flatMap((place) => {
    const has = existing.get(qualified(place));
    return has === undefined ? [] : statements(place, has, wantedComments(table, place));
  });
}

/** Undefined or missing: whatever is there stays. */
interface WantedComments {
  readonly table: string | null | undefined;
  readonly columns: ReadonlyMap<string, string | null | undefined>;
}

function wantedComments(table: TargetTable, place: TablePlace): WantedComments {
  const columns = new Map(table.columns.map(({ name, comment }) => [name, comment]));
  if (table.method === 'cdc') {
    for (const [index, name] of metadataNames(table.metadataPrefix).entries()) {
      columns.set(name, METADATA_COMMENTS[index]);
    }
    if (place.history) for (const { name, comment } of HISTORY_COLUMNS) columns.set(name, comment);
  }
  return { table: table.comment, columns };
}

function statements(place: TableName, has: TableComments, wanted: WantedComments): string[] {
  const table = qualified(place);
  // DuckDB does not tell case apart in names.
  const byName = new Map([...wanted.columns].map(([name, comment]) => [name.toLowerCase(), comment]));
  const onTable =
    wanted.table === undefined || wanted.table === has.table
      ? []
      : [`COMMENT ON TABLE ${table} IS ${literal(wanted.table)}`];
  const onColumns = [...has.columns].flatMap(([name, comment]) => {
    const is = byName.get(name.toLowerCase());
    return is === undefined || is === comment
      ? []
      : [`COMMENT ON COLUMN ${table}.${identifier(name)} IS ${literal(is)}`];
  });
  return [...onTable, ...onColumns];
}
