import type { DuckDbSession } from '../duckdb/session.js';
import { columnList, identifier, keyEquality, literal } from '../duckdb/sql-text.js';
import { columnTypes } from '../duckdb/target-ddl.js';
import type { LakeColumn } from '../lake/ledger.js';
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
  await session.run(`CREATE OR REPLACE TEMP TABLE ${FILES} (index INTEGER, path VARCHAR)`);
  await session.run(`INSERT INTO ${FILES} VALUES ${files.map(({ index, path }) => `(${index}, ${literal(path)})`).join(', ')}`);
  const stored = await storedColumns(session, files);
  try {
    if (choose.kind === 'keys' && choose.whole !== 'all') {
      const place = `${into}_place`;
      const narrow = [...choose.key, ...choose.always];
      await session.run(`CREATE OR REPLACE TEMP TABLE ${place} AS ${select(columns, narrow, stored, files, choose, deleted)}`);
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

/** The places and a few columns of the chosen rows are known; the others are read of those rows that need them. */
async function addWholeRows(
  session: DuckDbSession,
  found: {
    readonly into: string;
    readonly place: string;
    readonly columns: readonly LakeColumn[];
    readonly choose: Extract<RowChoice, { kind: 'keys' }>;
    readonly narrow: readonly string[];
    readonly stored: ReadonlySet<string>;
  },
): Promise<void> {
  const { into, place, columns, choose, narrow, stored } = found;
  const names = columns.map((column) => column.name);
  const rest = names.filter((name) => !narrow.includes(name));
  const whole = choose.whole === 'none' || choose.whole === 'all' ? null : choose.whole.keys;
  const wanted = whole === null ? null : `${place} p SEMI JOIN (${whole}) k ON ${keyEquality(choose.key, 'p', 'k')}`;
  const paths =
    wanted === null
      ? []
      : await session.rows<{ path: string }>(
          `SELECT DISTINCT f.path FROM ${wanted} JOIN ${FILES} f ON f.index = p.__file`.replace(
            ' SEMI JOIN',
            ' SEMI JOIN',
          ),
        );
  if (paths.length === 0) {
    const empty = columns.map(({ name, type }) =>
      rest.includes(name) ? `NULL::${type} AS ${identifier(name)}` : `p.${identifier(name)}`,
    );
    await session.run(`CREATE TEMP TABLE ${into} AS SELECT p.__file, p.__row, ${empty.join(', ')} FROM ${place} p`);
    return;
  }
  const list = paths.map(({ path }) => literal(path)).join(', ');
  const read = columns
    .filter(({ name }) => rest.includes(name))
    .map((column) => `${stored.has(column.name) ? identifier(column.name) : `NULL::${column.type}`} AS ${identifier(column.name)}`);
  const chosen = names.map((name) => (rest.includes(name) ? `w.${identifier(name)}` : `p.${identifier(name)}`));
  await session.run(
    `CREATE TEMP TABLE ${into} AS
     WITH wanted AS (SELECT p.__file, p.__row FROM ${wanted}),
       whole AS (
         SELECT f.index AS __file, r.* EXCLUDE (filename) FROM (
           SELECT filename, file_row_number AS __row, ${read.join(', ')}
           FROM read_parquet([${list}], filename = true, file_row_number = true, union_by_name = true)) r
         JOIN ${FILES} f ON f.path = r.filename
         SEMI JOIN wanted n ON n.__file = f.index AND n.__row = r.__row)
     SELECT p.__file, p.__row, ${chosen.join(', ')}
     FROM ${place} p LEFT JOIN whole w ON w.__file = p.__file AND w.__row = p.__row`,
  );
}

function select(
  columns: readonly LakeColumn[],
  names: readonly string[],
  stored: ReadonlySet<string>,
  files: readonly ReadableFile[],
  choose: RowChoice,
  deleted: string | null,
): string {
  // A column that came later than every one of these files is NULL in them.
  const read = columns
    .filter(({ name }) => names.includes(name) || (choose.kind === 'keys' && choose.where !== null) || choose.kind === 'where')
    .map((column) => `${stored.has(column.name) ? identifier(column.name) : `NULL::${column.type}`} AS ${identifier(column.name)}`);
  const list = files.map(({ path }) => literal(path)).join(', ');
  const source = `(SELECT filename, file_row_number AS __row, ${read.join(', ')}
    FROM read_parquet([${list}], filename = true, file_row_number = true, union_by_name = true)) r`;
  const gone = deleted === null ? '' : ` ANTI JOIN ${deleted} d ON d.__file = f.index AND d.__row = r.__row`;
  return `SELECT f.index AS __file, r.__row, ${columnList(names, 'r')} FROM ${source} JOIN ${FILES} f ON f.path = r.filename${chosenBy(choose)}${gone}`;
}

function chosenBy(choose: RowChoice): string {
  switch (choose.kind) {
    case 'all':
      return '';
    case 'where':
      return ` SEMI JOIN (SELECT 1) one ON (${choose.where})`;
    case 'keys': {
      const where = choose.where === null ? '' : ` AND (${choose.where})`;
      return ` SEMI JOIN (${choose.keys}) k ON ${keyEquality(choose.key, 'r', 'k')}${where}`;
    }
    case 'other_keys':
      return ` ANTI JOIN (${choose.keys}) k ON ${keyEquality(choose.key, 'r', 'k')}`;
  }
}

async function storedColumns(session: DuckDbSession, files: readonly ReadableFile[]): Promise<ReadonlySet<string>> {
  const view = 'pull_columns';
  const list = files.map(({ path }) => literal(path)).join(', ');
  await session.run(`CREATE OR REPLACE TEMP VIEW ${view} AS SELECT * FROM read_parquet([${list}], union_by_name = true)`);
  const names = new Set((await columnTypes(session, { schema: 'main', name: view })).keys());
  await session.run(`DROP VIEW ${view}`);
  return names;
}
