import type { DuckDbSession } from '../duckdb/session.js';
import { columnList, identifier, keyEquality, literal, qualified } from '../duckdb/sql-text.js';
import { queryTypes } from '../duckdb/target-ddl.js';
import type { LakeColumn } from '../lake/ledger.js';
import { keyJoin } from '../lake/row-choice.js';
import type { PullRequest, RowChoice } from '../lake/table-format.js';
import { type PartitionValues, partitionNames, typedValue } from './partition-values.js';

/** The SQL by which rows of data files come into the working file, with the places where they are. */

/** A data file as DuckDB reads it. */
export interface ReadableFile {
  /** By which its rows are named. */
  readonly index: number;
  readonly path: string;
  /** Of its rows, whatever they have themselves; absent where the table has no partitions. */
  readonly partitionValues?: PartitionValues;
}

/** The files of a table that rows are pulled from. */
export interface PullFiles {
  /** Whether reading all of a file asks for no more of the store than reading some columns. */
  readonly areNear: boolean;
  /** Where these columns of all files can be read. */
  columns(names: readonly string[]): Promise<ReadableFile[]>;
  /** Where files can be read whole: those of these indexes, or all. */
  whole(indexes: readonly number[] | 'all'): Promise<ReadableFile[]>;
}

/** Files that are read where they are. */
export function nearFiles(files: readonly ReadableFile[]): PullFiles {
  const chosen = (indexes: readonly number[] | 'all'): ReadableFile[] =>
    files.filter(({ index }) => indexes === 'all' || indexes.includes(index));
  return { areNear: true, columns: async () => [...files], whole: async (indexes) => chosen(indexes) };
}

const FILES = 'pull_files';

/**
 * Makes the temporary table `request.into`: `__file`, `__row` and the columns, of the rows that are chosen and that
 * `deleted`, a table of (`__file`, `__row`), does not name.
 */
export async function pullRows(
  session: DuckDbSession,
  request: Pick<PullRequest, 'columns' | 'into' | 'choose'>,
  files: PullFiles,
  deleted: string | null,
): Promise<number> {
  const { columns, into, choose } = request;
  await session.run(`DROP TABLE IF EXISTS ${into}`);
  // Of files that are far away the keys tell which are worth fetching.
  if (choose.kind === 'keys' && (choose.whole !== 'all' || !files.areNear)) {
    const place = `${into}_place`;
    const narrow = [...choose.key, ...choose.always];
    const some = columns.filter(({ name }) => narrow.includes(name));
    await selectInto(session, place, { columns: some, choose, deleted }, await files.columns(narrow));
    await addWholeRows(session, { into, place, columns, choose, narrow, files });
    await session.run(`DROP TABLE ${place}`);
  } else {
    await selectInto(session, into, { columns, choose, deleted }, await files.whole('all'));
  }
  const [row] = await session.rows<{ n: string }>(`SELECT count(*) AS n FROM ${into}`);
  return Number(row?.n ?? 0);
}

/** Makes a view of the live rows of files. `deleted` stays for as long as the view is used. */
export async function viewRows(
  session: DuckDbSession,
  view: { readonly columns: readonly LakeColumn[]; readonly place: { readonly schema: string; readonly name: string } },
  files: readonly ReadableFile[],
  deleted: string | null,
): Promise<void> {
  const { columns, place } = view;
  await session.run(`CREATE SCHEMA IF NOT EXISTS ${identifier(place.schema)}`);
  await session.run(`CREATE VIEW ${qualified(place)} AS ${await liveRows(session, columns, files, deleted)}`);
}

/** A query that gives the live rows of files: those that `deleted`, a table of (`__file`, `__row`), does not name. */
export async function liveRows(
  session: DuckDbSession,
  columns: readonly LakeColumn[],
  files: readonly ReadableFile[],
  deleted: string | null,
): Promise<string> {
  if (files.length === 0) {
    const empty = columns.map(({ name, type }) => `NULL::${type} AS ${identifier(name)}`).join(', ');
    return `SELECT ${empty} WHERE false`;
  }
  const stored = await storedColumns(session, columns, files);
  const pairs = files.map(({ index, path }) => `(${index}, ${literal(path)})`).join(', ');
  const names = columnList(
    columns.map(({ name }) => name),
    'r',
  );
  const rows = `(SELECT ${['__path', '__row', ...columnsOf(columns, stored)].join(', ')} FROM ${readFiles(files, columns)}) r`;
  const live =
    deleted === null
      ? ''
      : ` JOIN (VALUES ${pairs}) f(__index, __path) ON f.__path = r.__path ANTI JOIN ${deleted} d ON d.__file = f.__index AND d.__row = r.__row`;
  return `SELECT ${names} FROM ${rows}${live}`;
}

/** The places and a few columns of the chosen rows are known; the others are read of those rows that need them. */
async function addWholeRows(
  session: DuckDbSession,
  found: {
    readonly into: string;
    readonly place: string;
    readonly columns: readonly LakeColumn[];
    readonly choose: Extract<RowChoice, { kind: 'keys' }>;
    readonly narrow: readonly string[];
    readonly files: PullFiles;
  },
): Promise<void> {
  const { into, place, columns, choose, narrow } = found;
  const wanted = wantedRows(choose, place);
  const indexes =
    wanted === null ? [] : await session.rows<{ index: number }>(`SELECT DISTINCT p.__file AS index FROM ${wanted}`);
  const isNarrow = (name: string): boolean => narrow.includes(name);
  if (wanted === null || indexes.length === 0) {
    const cells = columns.map(({ name, type }) =>
      isNarrow(name) ? `p.${identifier(name)}` : `NULL::${type} AS ${identifier(name)}`,
    );
    await session.run(`CREATE TEMP TABLE ${into} AS SELECT p.__file, p.__row, ${cells.join(', ')} FROM ${place} p`);
    return;
  }
  const files = await found.files.whole(indexes.map(({ index }) => index));
  const rest = columns.filter(({ name }) => !isNarrow(name));
  const stored = await storedColumns(session, rest, files);
  const cells = columns.map(({ name }) => `${isNarrow(name) ? 'p' : 'w'}.${identifier(name)}`);
  await nameFiles(session, files);
  await session.run(
    `CREATE TEMP TABLE ${into} AS
     WITH wanted AS (SELECT p.__file, p.__row FROM ${wanted}),
       whole AS (
         SELECT f.__index AS __file, r.* EXCLUDE (__path)
         FROM (SELECT ${['__path', '__row', ...columnsOf(rest, stored)].join(', ')} FROM ${readFiles(files, rest)}) r
         JOIN ${FILES} f ON f.__path = r.__path
         SEMI JOIN wanted n ON n.__file = f.__index AND n.__row = r.__row)
     SELECT p.__file, p.__row, ${cells.join(', ')}
     FROM ${place} p LEFT JOIN whole w ON w.__file = p.__file AND w.__row = p.__row`,
  );
  await session.run(`DROP TABLE ${FILES}`);
}

/** What stands behind a FROM for the rows, as `p`, that are needed whole; null: none. */
function wantedRows({ whole, key }: Extract<RowChoice, { kind: 'keys' }>, place: string): string | null {
  switch (whole) {
    case 'all':
      return `${place} p`;
    case 'none':
      return null;
    default:
      return `${place} p SEMI JOIN (${whole.keys}) k ON ${keyEquality(key, 'p', 'k')}`;
  }
}

/** Makes a temporary table of the chosen rows: their places and the columns. */
async function selectInto(
  session: DuckDbSession,
  into: string,
  request: { readonly columns: readonly LakeColumn[]; readonly choose: RowChoice; readonly deleted: string | null },
  files: readonly ReadableFile[],
): Promise<void> {
  const { columns, choose, deleted } = request;
  if (files.length === 0) {
    const definitions = columns.map(({ name, type }) => `, ${identifier(name)} ${type}`).join('');
    await session.run(`CREATE OR REPLACE TEMP TABLE ${into} (__file INTEGER, __row BIGINT${definitions})`);
    return;
  }
  const stored = await storedColumns(session, columns, files);
  const where = choose.kind === 'where' || choose.kind === 'keys' ? choose.where : null;
  const cells = ['__path', '__row', ...columnsOf(columns, stored)].join(', ');
  const read = `SELECT ${cells} FROM ${readFiles(files, columns)}`;
  const source = where === null ? `(${read})` : `(SELECT * FROM (${read}) WHERE ${where})`;
  const gone = deleted === null ? '' : ` ANTI JOIN ${deleted} d ON d.__file = f.__index AND d.__row = r.__row`;
  const names = columns.map(({ name }) => `, r.${identifier(name)}`).join('');
  await nameFiles(session, files);
  await session.run(
    `CREATE OR REPLACE TEMP TABLE ${into} AS SELECT f.__index AS __file, r.__row${names}
     FROM ${source} r JOIN ${FILES} f ON f.__path = r.__path${keyJoin(choose, 'r')}${gone}`,
  );
  await session.run(`DROP TABLE ${FILES}`);
}

/** Makes the table by which a file's path tells its index. */
async function nameFiles(session: DuckDbSession, files: readonly ReadableFile[]): Promise<void> {
  const pairs = files.map(({ index, path }) => `(${index}, ${literal(path)})`).join(', ');
  await session.run(`CREATE OR REPLACE TEMP TABLE ${FILES} (__index INTEGER, __path VARCHAR)`);
  await session.run(`INSERT INTO ${FILES} VALUES ${pairs}`);
}

/** Rows of files with their place: columns `__path`, `__row`, what the files hold and their {@link partitionColumn}s. */
function readFiles(files: readonly ReadableFile[], columns: readonly LakeColumn[]): string {
  const rows = `(SELECT *, file_row_number AS __row FROM ${parquet(files, "filename = '__path', file_row_number = true")})`;
  const partition = partitionOf(columns, files);
  if (partition.length === 0) return rows;
  const values = files.map(({ path, partitionValues }) => {
    const cells = partition.map((column) => typedValue(partitionValues?.[column.name] ?? null, column));
    return `(${[literal(path), ...cells].join(', ')})`;
  });
  const names = partition.map(({ name }) => partitionColumn(name)).join(', ');
  return `(SELECT r.*, ${names} FROM ${rows} r
    JOIN (VALUES ${values.join(', ')}) f(__partition_path, ${names}) ON f.__partition_path = r.__path)`;
}

/** Names of folders, which other engines make of partition values, say nothing that the log does not. */
function parquet(files: readonly ReadableFile[], options: string): string {
  const list = files.map(({ path }) => literal(path)).join(', ');
  return `read_parquet([${list}], union_by_name = true, hive_partitioning = false${options === '' ? '' : `, ${options}`})`;
}

/** The columns whose values the log has; what a file holds in such a column does not count. */
function partitionOf(columns: readonly LakeColumn[], files: readonly ReadableFile[]): readonly LakeColumn[] {
  const names = partitionNames(files);
  return columns.filter(({ name }) => names.includes(name));
}

function partitionColumn(name: string): string {
  return identifier(`__partition ${name}`);
}

/** Stands for the type of a column that files are partitioned by. */
const PARTITION = 'PARTITION';

/** A column that came later than every one of the files is NULL in them. */
function columnsOf(columns: readonly LakeColumn[], stored: ReadonlyMap<string, string>): string[] {
  return columns.map(({ name, type }) => {
    const found = stored.get(name);
    if (found === PARTITION) return `${partitionColumn(name)} AS ${identifier(name)}`;
    if (found === type) return identifier(name);
    // Others write a type in their own way: Spark's timestamps are INT96, which says nothing of a time zone. They are UTC,
    // as the session is.
    const value = found === undefined ? 'NULL' : identifier(name);
    return `CAST(${value} AS ${type}) AS ${identifier(name)}`;
  });
}

/** The columns that at least one of the files has, with their types; {@link PARTITION} for those that the log has. */
async function storedColumns(
  session: DuckDbSession,
  columns: readonly LakeColumn[],
  files: readonly ReadableFile[],
): Promise<ReadonlyMap<string, string>> {
  const types = await queryTypes(session, `SELECT * FROM ${parquet(files, '')}`);
  const partition = partitionOf(columns, files).map(({ name }) => [name, PARTITION] as const);
  return new Map([...types, ...partition]);
}
