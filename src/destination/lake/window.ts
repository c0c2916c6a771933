import type { ErrorCode } from '../../error/codes.js';
import { SluiceError } from '../../error/sluice-error.js';
import { commentNew } from '../duckdb/comments.js';
import type { DuckDbSession } from '../duckdb/session.js';
import { columnList, identifier, keyEquality, literal, qualified } from '../duckdb/sql-text.js';
import { shortTypeName } from '../duckdb/target-ddl.js';
import type { TableName } from '../target-table.js';
import type { LakeColumn, LedgerRelation } from './ledger.js';
import type { StoreTraffic } from './object-store.js';
import type { PulledRows, RowChoice, TableFormat } from './table-format.js';
import { trafficSince } from './traffic.js';

/** The rows of one table that a piece of work needs in the working file, and what becomes of the others. */
export interface WindowRequest {
  readonly schema: string;
  readonly name: string;
  /** rows: what was pulled goes and what is there afterwards comes; replace: everything in the lake goes. */
  readonly mode: 'rows' | 'replace';
  /** null: none. */
  readonly choose: RowChoice | null;
  /**
   * Where rows were pulled in part (RowChoice, `whole`): SQL that is true for one that is still as it was pulled, as the
   * work did not replace it after all; null where each is replaced for certain, or is whole.
   */
  readonly untouched: string | null;
  /** As the ledger keeps them of a relation; null: as they were. */
  readonly told: Told | null;
  /** A table that is there gets the partitions that are told, too; otherwise it keeps those that it has. */
  readonly repartitions?: boolean;
  /** What others wrote into the table may go too; where it stays, it is taken as it is. */
  readonly overwriteForeign?: boolean;
  /** How the rows that count as the table's are told (`_sluice.tables.rows`); null where another window counts them. */
  readonly counted: { readonly address: string; readonly where: string } | null;
}

export type Told = Pick<LedgerRelation, 'key' | 'identity' | 'partitionBy'>;

export interface OpenWindow {
  readonly request: WindowRequest;
  readonly pulled: PulledRows | null;
  /** What counted of the pulled rows, and what the working file said of the whole table. */
  readonly countedBefore: number;
  readonly rowsBefore: number | null;
  /** What it took to fill it. */
  readonly cost: StoreTraffic;
}

/** By which tables are known here; quoted, as a dot may stand in either part. */
export function relationName(relation: { readonly schema: string; readonly name: string }): string {
  return qualified({ schema: relation.schema, name: relation.name });
}

/** Fills the windows that a piece of work asks for. */
export async function openWindows(
  session: DuckDbSession,
  format: TableFormat,
  requests: readonly WindowRequest[],
  relations: ReadonlyMap<string, LedgerRelation & { readonly application: string }>,
  traffic: () => StoreTraffic,
): Promise<Map<string, OpenWindow>> {
  const open = new Map<string, OpenWindow>();
  for (const [index, request] of requests.entries()) {
    const relation = relations.get(relationName(request));
    let pulled: PulledRows | null = null;
    const asked = traffic();
    if (relation !== undefined && request.choose !== null) {
      const { columns } = relation;
      const { overwriteForeign = false } = request;
      const wanted = { table: relation, columns, into: `pulled_${index}`, choose: request.choose, overwriteForeign };
      try {
        pulled = await format.pull(session, wanted);
      } catch (error) {
        throw asTableTrouble(error, relationName(relation));
      }
      const names = columnList(columns.map((column) => column.name));
      if (pulled.rows > 0) {
        await session.run(`INSERT INTO ${qualified(relation)} (${names}) SELECT ${names} FROM ${pulled.into}`);
      }
    }
    const before = relation === undefined ? NOTHING_COUNTED : await countedBefore(session, request);
    open.set(relationName(request), { request, pulled, cost: trafficSince(asked, traffic()), ...before });
  }
  return open;
}

/** One table's own trouble, as told from the lake's. */
export class LakeTableTrouble extends Error {
  constructor(
    readonly relation: string,
    readonly reason: SluiceError,
  ) {
    super(reason.message);
  }
}

const TABLE_CODES: readonly ErrorCode[] = [
  'DELTA_FOREIGN_WRITE',
  'DELTA_FEATURE_UNSUPPORTED',
  'DELTA_TYPE_UNSUPPORTED',
  'DELTA_PARTITIONS_TOO_MANY',
  'DELTA_LOG_CORRUPT',
  'DELTA_DV_CORRUPT',
  'PARQUET_FOREIGN_WRITE',
  'PARQUET_MANIFEST_CORRUPT',
  'PARQUET_COLUMN_RESERVED',
  'STORE_OBJECT_MISSING',
  'STORE_FORBIDDEN',
];

export function asTableTrouble(error: unknown, relation: string): unknown {
  return error instanceof SluiceError && TABLE_CODES.includes(error.code)
    ? new LakeTableTrouble(relation, error)
    : error;
}

const NOTHING_COUNTED = { countedBefore: 0, rowsBefore: null } as const;

async function countedBefore(
  session: DuckDbSession,
  request: WindowRequest,
): Promise<Pick<OpenWindow, 'countedBefore' | 'rowsBefore'>> {
  if (request.counted === null) return NOTHING_COUNTED;
  const [known] = await session.rows<{ rows: string | null }>(
    `SELECT rows FROM _sluice.tables WHERE address = ${literal(request.counted.address)}`,
  );
  const rowsBefore = known === undefined || known.rows === null ? null : Number(known.rows);
  return { countedBefore: await count(session, request), rowsBefore };
}

/** Rows of the window that count; 0 where another one counts them. */
async function count(session: DuckDbSession, request: WindowRequest): Promise<number> {
  if (request.counted === null) return 0;
  const [row] = await session.rows<{ n: string }>(
    `SELECT count(*) AS n FROM ${qualified(request)} WHERE ${request.counted.where}`,
  );
  return Number(row?.n ?? 0);
}

/** The working file has counted the rows of its windows; a table's are those and all that stayed in the lake. */
export async function recountRows(
  session: DuckDbSession,
  windows: ReadonlyMap<string, OpenWindow>,
  tables: ReadonlySet<string>,
): Promise<void> {
  for (const [name, { request, rowsBefore, countedBefore }] of windows) {
    const isWhole = request.mode === 'replace' || request.choose?.kind === 'all';
    if (request.counted === null || isWhole || !tables.has(name) || rowsBefore === null) continue;
    const rows = rowsBefore + (await count(session, request)) - countedBefore;
    await session.run(`UPDATE _sluice.tables SET rows = ${rows} WHERE address = ${literal(request.counted.address)}`);
  }
}

/**
 * Lets go of rows that were pulled in part and that the work left alone, such as those of changes that it held back: they
 * stay in the lake as they are.
 */
export async function letGoOfUntouched(
  session: DuckDbSession,
  windows: ReadonlyMap<string, OpenWindow>,
  tables: ReadonlySet<string>,
): Promise<void> {
  for (const [name, { request, pulled }] of windows) {
    const { choose, untouched } = request;
    if (untouched === null || pulled === null || choose?.kind !== 'keys' || !tables.has(name)) continue;
    const alone = `SELECT ${columnList(choose.key)} FROM ${name} WHERE ${untouched}`;
    await session.run(`DELETE FROM ${pulled.into} p USING (${alone}) a WHERE ${keyEquality(choose.key, 'p', 'a')}`);
    await session.run(`DELETE FROM ${name} WHERE ${untouched}`);
  }
}

export async function createWindow(session: DuckDbSession, relation: LedgerRelation): Promise<void> {
  const columns = relation.columns.map(({ name, type }) => `${identifier(name)} ${type}`).join(', ');
  await session.run(`CREATE SCHEMA IF NOT EXISTS ${identifier(relation.schema)}`);
  await session.run(`DROP TABLE IF EXISTS ${qualified(relation)}`);
  await session.run(`CREATE TABLE ${qualified(relation)} (${columns})`);
  await commentNew(session, relation, {
    table: relation.comment ?? null,
    columns: new Map(relation.columns.map(({ name, comment }) => [name, comment ?? null])),
  });
}

/** The tables of the working file that stand for tables of the lake. */
const WINDOWS = `NOT internal AND NOT temporary AND schema_name <> '_sluice' AND NOT starts_with(table_name, '_sluice_load_')`;

export function windowNames(session: DuckDbSession): Promise<TableName[]> {
  return session.rows<{ schema: string; name: string }>(
    `SELECT schema_name AS schema, table_name AS name FROM duckdb_tables() WHERE ${WINDOWS}`,
  );
}

/** The same with all that is known of them. */
export async function windowTables(
  session: DuckDbSession,
): Promise<Pick<LedgerRelation, 'schema' | 'name' | 'columns' | 'comment'>[]> {
  const tables = await session.rows<{ schema: string; name: string; comment: string | null }>(
    `SELECT schema_name AS schema, table_name AS name, comment FROM duckdb_tables() WHERE ${WINDOWS}
     ORDER BY schema_name, table_name`,
  );
  const all = await session.rows<{
    schema: string;
    name: string;
    column: string;
    type: string;
    comment: string | null;
  }>(
    `SELECT c.schema_name AS schema, c.table_name AS name, c.column_name AS column, c.data_type AS type, c.comment
     FROM duckdb_columns() c JOIN (SELECT table_oid FROM duckdb_tables() WHERE ${WINDOWS}) USING (table_oid)
     WHERE c.database_name = current_database() ORDER BY c.column_index`,
  );
  const columns = new Map<string, LakeColumn[]>();
  for (const { column, type, comment, ...table } of all) {
    const known = columns.get(relationName(table)) ?? [];
    known.push({ name: column, type: shortTypeName(type), ...commented(comment) });
    columns.set(relationName(table), known);
  }
  return tables.map(({ schema, name, comment }) => ({
    schema,
    name,
    columns: columns.get(relationName({ schema, name })) ?? [],
    ...commented(comment),
  }));
}

function commented(comment: string | null | undefined): { readonly comment?: string } {
  return comment === null || comment === undefined ? {} : { comment };
}

/** Whether a table can have its new columns without a row being written anew: some may have come, none gone or changed. */
export function isAdditive(before: readonly LakeColumn[], after: readonly LakeColumn[]): boolean {
  const types = new Map(after.map((column) => [column.name, column.type]));
  return before.every((column) => types.get(column.name) === column.type);
}

export function samePartitions(before: readonly string[], after: readonly string[]): boolean {
  return before.length === after.length && before.every((name, i) => name === after[i]);
}

export function sameColumns(before: readonly LakeColumn[], after: readonly LakeColumn[]): boolean {
  return (
    before.length === after.length && before.every((c, i) => c.name === after[i]?.name && c.type === after[i]?.type)
  );
}

/** Whether the same is said of a table and of columns that are the same. */
export function sameComments(before: Commented, after: Commented): boolean {
  return before.comment === after.comment && before.columns.every((c, i) => c.comment === after.columns[i]?.comment);
}

type Commented = Pick<LedgerRelation, 'columns' | 'comment'>;

/** SQL of the keys in some relation of the working file. */
export function keysOf(relation: string, key: readonly string[]): string {
  return `SELECT ${columnList(key)} FROM ${relation}`;
}

export async function hasTemporary(session: DuckDbSession, name: string): Promise<boolean> {
  const [row] = await session.rows<{ n: number }>(
    `SELECT count(*)::INTEGER AS n FROM duckdb_tables() WHERE temporary AND table_name = ${literal(name)}`,
  );
  return (row?.n ?? 0) > 0;
}
