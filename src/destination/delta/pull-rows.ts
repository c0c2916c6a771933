import type { DuckDbSession } from '../duckdb/session.js';
import { columnList, identifier, keyEquality, literal, qualified } from '../duckdb/sql-text.js';
import { queryTypes } from '../duckdb/target-ddl.js';
import type { LakeColumn } from '../lake/ledger.js';
import { keyJoin } from '../lake/row-choice.js';
import type { PullRequest, RowChoice } from '../lake/table-format.js';

/** The SQL by which rows of data files come into the working file, with the places where they are. */

/** A data file as DuckDB reads it. */
export interface ReadableFile {
  /** By which its rows are named. */
  readonly index: number;
  readonly path: string;
}

const FILES = 'pull_files';

/**
 * Makes the temporary table `request.into`: `__file`, `__row` and the columns, of the rows that are chosen and that
 * `deleted`, a table of (`__file`, `__row`), does not name.
 */
export async function pullRows(
  session: DuckDbSession,
  request: Pick<PullRequest, 'columns' | 'into' | 'choose'>,
  files: readonly ReadableFile[],
  deleted: string | null,
): Promise<number> {
  const { columns, into, choose } = request;
  await session.run(`DROP TABLE IF EXISTS ${into}`);
  const definitions = columns.map(({ name, type }) => `${identifier(name)} ${type}`).join(', ');
  if (files.length === 0) {
    await session.run(`CREATE TEMP TABLE ${into} (__file INTEGER, __row BIGINT, ${definitions})`);
    return 0;
  }
  await session.run(`CREATE OR REPLACE TEMP TABLE ${FILES} (__index INTEGER, __path VARCHAR)`);
  await session.run(
    `INSERT INTO ${FILES} VALUES ${files.map(({ index, path }) => `(${index}, ${literal(path)})`).join(', ')}`,
  );
  const stored = await storedColumns(session, files);
  try {
    if (choose.kind === 'keys' && choose.whole !== 'all') {
      const place = `${into}_place`;
      const narrow = [...choose.key, ...choose.always];
      await session.run(
        `CREATE OR REPLACE TEMP TABLE ${place} AS ${select(columns, narrow, stored, files, choose, deleted)}`,
      );
      await addWholeRows(session, { into, place, columns, choose, narrow, stored });
      await session.run(`DROP TABLE ${place}`);
    } else {
      const names = columns.map((column) => column.name);
      await session.run(`CREATE TEMP TABLE ${into} AS ${select(columns, names, stored, files, choose, deleted)}`);
    }
  } finally {
    await session.run(`DROP TABLE IF EXISTS ${FILES}`);
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
  const stored = await storedColumns(session, files);
  const pairs = files.map(({ index, path }) => `(${index}, ${literal(path)})`).join(', ');
  const names = columnList(
    columns.map(({ name }) => name),
    'r',
  );
  const rows = `(SELECT __path, __row, ${columnsOf(columns, stored)} FROM ${readFiles(files.map(({ path }) => path))}) r`;
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
    readonly stored: ReadonlyMap<string, string>;
  },
): Promise<void> {
  const { into, place, columns, choose, narrow, stored } = found;
  const whole = choose.whole === 'none' || choose.whole === 'all' ? null : choose.whole.keys;
  const wanted = whole === null ? null : `${place} p SEMI JOIN (${whole}) k ON ${keyEquality(choose.key, 'p', 'k')}`;
  const files =
    wanted === null
      ? []
      : await session.rows<{ path: string }>(
          `SELECT __path AS path FROM ${FILES} f SEMI JOIN (SELECT p.__file FROM ${wanted}) n ON n.__file = f.__index`,
        );
  const isNarrow = (name: string): boolean => narrow.includes(name);
  if (files.length === 0) {
    const cells = columns.map(({ name, type }) =>
      isNarrow(name) ? `p.${identifier(name)}` : `NULL::${type} AS ${identifier(name)}`,
    );
    await session.run(`CREATE TEMP TABLE ${into} AS SELECT p.__file, p.__row, ${cells.join(', ')} FROM ${place} p`);
    return;
  }
  const rest = columns.filter(({ name }) => !isNarrow(name));
  const cells = columns.map(({ name }) => `${isNarrow(name) ? 'p' : 'w'}.${identifier(name)}`);
  await session.run(
    `CREATE TEMP TABLE ${into} AS
     WITH wanted AS (SELECT p.__file, p.__row FROM ${wanted}),
       whole AS (
         SELECT f.__index AS __file, r.* EXCLUDE (__path)
         FROM (SELECT __path, __row, ${columnsOf(rest, stored)} FROM ${readFiles(files.map(({ path }) => path))}) r
         JOIN ${FILES} f ON f.__path = r.__path
         SEMI JOIN wanted n ON n.__file = f.__index AND n.__row = r.__row)
     SELECT p.__file, p.__row, ${cells.join(', ')}
     FROM ${place} p LEFT JOIN whole w ON w.__file = p.__file AND w.__row = p.__row`,
  );
}

function select(
  columns: readonly LakeColumn[],
  names: readonly string[],
  stored: ReadonlyMap<string, string>,
  files: readonly ReadableFile[],
  choose: RowChoice,
  deleted: string | null,
): string {
  const where = choose.kind === 'where' || choose.kind === 'keys' ? choose.where : null;
  const needed = where === null ? columns.filter(({ name }) => names.includes(name)) : columns;
  const read = `SELECT __path, __row, ${columnsOf(needed, stored)} FROM ${readFiles(files.map(({ path }) => path))}`;
  const source = where === null ? `(${read})` : `(SELECT * FROM (${read}) WHERE ${where})`;
  const gone = deleted === null ? '' : ` ANTI JOIN ${deleted} d ON d.__file = f.__index AND d.__row = r.__row`;
  return `SELECT f.__index AS __file, r.__row, ${columnList(names, 'r')}
    FROM ${source} r JOIN ${FILES} f ON f.__path = r.__path${keyJoin(choose, 'r')}${gone}`;
}

/** Rows of files with their place: columns `__path`, `__row` and what the files hold. */
function readFiles(paths: readonly string[]): string {
  const list = paths.map(literal).join(', ');
  return `(SELECT *, file_row_number AS __row
    FROM read_parquet([${list}], filename = '__path', file_row_number = true, union_by_name = true))`;
}

/** A column that came later than every one of the files is NULL in them. */
function columnsOf(columns: readonly LakeColumn[], stored: ReadonlyMap<string, string>): string {
  return columns
    .map(({ name, type }) => {
      const found = stored.get(name);
      if (found === type) return identifier(name);
      // Others write a type in their own way: Spark's timestamps are INT96, which says nothing of a time zone. They are UTC,
      // as the session is.
      const value = found === undefined ? 'NULL' : identifier(name);
      return `CAST(${value} AS ${type}) AS ${identifier(name)}`;
    })
    .join(', ');
}

/** The columns that at least one of the files has, with their types. */
function storedColumns(session: DuckDbSession, files: readonly ReadableFile[]): Promise<ReadonlyMap<string, string>> {
  const list = files.map(({ path }) => literal(path)).join(', ');
  return queryTypes(session, `SELECT * FROM read_parquet([${list}], union_by_name = true)`);
}
