import type { DuckDbSession } from '../duckdb/session.js';
import { identifier } from '../duckdb/sql-text.js';
import type { LakeColumn } from '../lake/ledger.js';
import type { RowChoice } from '../lake/table-format.js';
import type { AddAction } from './action.js';
import { partitionNames } from './partition-values.js';
import { type DeltaField, deltaField } from './schema.js';
import { type Comparable, comparable } from './stat-value.js';
import { type ColumnBounds, columnBounds, mayHold, rangeEnd } from './stats.js';

export interface FilePruning {
  readonly columns: readonly LakeColumn[];
  readonly choose: RowChoice;
}

/** Ranges of keys that files are compared with; more would cost more than they spare. */
const KEY_RANGES = 256;

/**
 * The files that may hold a row with one of the keys, told from the statistics of the key's first column and from the values
 * of those that files are partitioned by; all of them where keys are not asked for.
 */
export async function prunedFiles(
  session: DuckDbSession,
  files: readonly AddAction[],
  { columns, choose }: FilePruning,
): Promise<AddAction[]> {
  if (choose.kind !== 'keys') return [...files];
  const partition = partitionNames(files);
  const telling = columns.filter(({ name }) => name === choose.key[0] || partition.includes(name));
  let left = [...files];
  for (const column of telling) {
    if (left.length === 0 || !choose.key.includes(column.name)) continue;
    left = await prunedBy(session, left, column, choose.keys, partition.includes(column.name));
  }
  return left;
}

async function prunedBy(
  session: DuckDbSession,
  files: readonly AddAction[],
  { name, type }: LakeColumn,
  keys: string,
  isPartition: boolean,
): Promise<AddAction[]> {
  const field = deltaField({ name, duckdbType: type, nullable: true });
  const key = identifier(name);
  // Keys that lie together share a range, so that new rows at the end of a table do not make every file a candidate.
  const ranges = await session.rows<{ low: string | null; high: string | null }>(
    `SELECT min(${key})::VARCHAR AS low, max(${key})::VARCHAR AS high
     FROM (SELECT ${key}, ntile(${KEY_RANGES}) OVER (ORDER BY ${key}) AS __range FROM (SELECT DISTINCT ${key} FROM (${keys})))
     GROUP BY __range`,
  );
  const ends = ranges.map(({ low, high }): [Comparable | null, Comparable | null] => [
    rangeEnd(field, low),
    rangeEnd(field, high),
  ]);
  return files.filter((file) => {
    const bounds = isPartition ? partitionBounds(file, field) : columnBounds(file.stats, field);
    return ends.some(([low, high]) => mayHold(bounds, low, high));
  });
}

/** All rows of a file have the one value. */
function partitionBounds({ partitionValues }: AddAction, field: DeltaField): ColumnBounds {
  const text = partitionValues[field.name] ?? '';
  const value = text === '' ? null : comparable(field.type, text);
  return { min: value, max: value, allNull: text === '' };
}
