import { SluiceError } from '../../error/sluice-error.js';
import type { DuckDbSession } from '../duckdb/session.js';
import { columnList, identifier } from '../duckdb/sql-text.js';
import type { LakeColumn } from '../lake/ledger.js';
import type { AddAction } from './action.js';
import { type DataFileTools, writeDataFiles } from './data-files.js';
import { serializedValue } from './partition-values.js';

export interface WrittenTable {
  readonly folder: string;
  readonly columns: readonly LakeColumn[];
  /** Columns by whose values the files are kept apart; [] for none. */
  readonly partitionBy: readonly string[];
}

/**
 * Partitions of one commit. Each is a file of its own with a line in the log and in the ledger, some KB together: with more
 * than these a commit is megabytes that every reader has to go through, and a column is no use to partition by.
 */
export const MAX_PARTITIONS = 10_000;

/** Rows that are sorted at once: a sort that does not fit into the memory limit fails where rows are wide. */
const RUN_BYTES = 16_000_000;

const PARTITIONS = 'write_partitions';
const UNSORTED = 'write_unsorted';
const ROWS = 'write_rows';
/** Of a partition in {@link PARTITIONS}, and of a row in the others. */
const ID = identifier('__partition id');
/** Of rows that are sorted together. */
const RUN = identifier('__partition run');

/**
 * Writes what a query gives as the files of a table, those of each partition apart, and sends them. The files have the
 * partition's columns as well, as PROTOCOL.md allows ("Materialize Partition Columns"): readers go by the log, but Polars,
 * which knows partitions by the names of folders alone, would read NULL.
 * @param query gives the same rows whenever it is asked
 * @returns their add actions
 * @throws SluiceError DELTA_PARTITIONS_TOO_MANY
 */
export async function writePartitions(
  session: DuckDbSession,
  query: string,
  table: WrittenTable,
  dataChange: boolean,
  tools: DataFileTools,
): Promise<AddAction[]> {
  const { columns, partitionBy } = table;
  if (partitionBy.length === 0) return writeDataFiles(session, query, table, dataChange, tools);
  const names = columnList(columns.map(({ name }) => name));
  try {
    const partitions = await partitionsOf(session, query, table);
    const adds: AddAction[] = [];
    const write = async (rows: string, values: Record<string, string | null>): Promise<void> => {
      adds.push(...(await writeDataFiles(session, rows, table, dataChange, tools, values)));
    };
    const [only, ...others] = partitions;
    if (only === undefined) return adds;
    if (others.length === 0) {
      await write(`SELECT ${names} FROM (${query})`, only.values);
      return adds;
    }
    await sortRows(session, query, columns, partitionBy);
    for (const { id, values } of partitions) await write(`SELECT ${names} FROM ${ROWS} WHERE ${ID} = ${id}`, values);
    return adds;
  } finally {
    for (const temporary of [ROWS, UNSORTED, PARTITIONS]) await session.run(`DROP TABLE IF EXISTS ${temporary}`);
  }
}

/**
 * Makes {@link ROWS}: a query's rows as runs, each sorted by partition, in which they stay in their order. A scan for one
 * partition passes over the blocks of all others. (DuckDB's own PARTITION_BY holds rows of all partitions in memory at once,
 * and knows no size of files.)
 */
async function sortRows(
  session: DuckDbSession,
  query: string,
  columns: readonly LakeColumn[],
  partitionBy: readonly string[],
): Promise<void> {
  const names = columns.map(({ name }) => name);
  const width = columns.map(widthOf).join(' + ');
  await session.run(
    `CREATE OR REPLACE TEMP TABLE ${UNSORTED} AS
     SELECT ${columnList(names, 'r')}, p.${ID}, r.${RUN}
     FROM (SELECT *, (sum(${width}) OVER (ROWS UNBOUNDED PRECEDING) // ${RUN_BYTES})::INTEGER AS ${RUN} FROM (${query})) r
       JOIN ${PARTITIONS} p ON ${sameValues(partitionBy)}`,
  );
  const sorted = `SELECT ${columnList(names)}, ${ID} FROM ${UNSORTED}`;
  await session.run(`CREATE OR REPLACE TEMP TABLE ${ROWS} AS ${sorted} LIMIT 0`);
  const [last] = await session.rows<{ run: number | null }>(`SELECT max(${RUN}) AS run FROM ${UNSORTED}`);
  for (let run = 0; run <= (last?.run ?? -1); run += 1) {
    await session.run(`INSERT INTO ${ROWS} ${sorted} WHERE ${RUN} = ${run} ORDER BY ${ID}, rowid`);
  }
  await session.run(`DROP TABLE ${UNSORTED}`);
}

/** SQL of a cell's bytes, more or less. */
function widthOf({ name, type }: LakeColumn): string {
  const column = identifier(name);
  if (type.endsWith('[]')) return `coalesce(strlen(CAST(${column} AS VARCHAR)), 0) + 16`;
  if (type === 'VARCHAR') return `coalesce(strlen(${column}), 0) + 16`;
  return type === 'BLOB' ? `coalesce(octet_length(${column}), 0) + 16` : '16';
}

interface Partition {
  readonly id: number;
  readonly values: Record<string, string | null>;
}

/** The partitions that a query's rows lie in, in no order; makes the table {@link PARTITIONS} of them. */
async function partitionsOf(session: DuckDbSession, query: string, table: WrittenTable): Promise<Partition[]> {
  const { folder, columns, partitionBy } = table;
  const by = partitionBy.map((name) => {
    const column = columns.find((each) => each.name === name);
    if (column !== undefined) return column;
    throw new SluiceError({ code: 'INTERNAL', message: `${folder} is partitioned by "${name}", which it has not` });
  });
  await session.run(
    `CREATE OR REPLACE TEMP TABLE ${PARTITIONS} AS
     SELECT (row_number() OVER ())::INTEGER AS ${ID}, * FROM (SELECT DISTINCT ${columnList(partitionBy)} FROM (${query}) LIMIT ${MAX_PARTITIONS + 1})`,
  );
  const texts = by.map((column, i) => `${serializedValue(identifier(column.name), column)} AS ${identifier(`v${i}`)}`);
  const rows = await session.rows<Record<string, string | number | null>>(
    `SELECT ${ID} AS id, ${texts.join(', ')} FROM ${PARTITIONS} ORDER BY id`,
  );
  if (rows.length > MAX_PARTITIONS) {
    throw new SluiceError({
      code: 'DELTA_PARTITIONS_TOO_MANY',
      message: `the rows for ${folder} lie in more than ${MAX_PARTITIONS} partitions by ${partitionBy.join(', ')}`,
      hint: 'take a column with fewer different values for partition_by, or leave it out: files are chosen by statistics, too',
    });
  }
  return rows.map((row) => ({
    id: Number(row['id']),
    values: Object.fromEntries(partitionBy.map((name, i) => [name, (row[`v${i}`] ?? null) as string | null])),
  }));
}

function sameValues(names: readonly string[]): string {
  return names.map((name) => `r.${identifier(name)} IS NOT DISTINCT FROM p.${identifier(name)}`).join(' AND ');
}
