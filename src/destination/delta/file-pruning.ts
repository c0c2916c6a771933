import type { DuckDbSession } from '../duckdb/session.js';
import { identifier } from '../duckdb/sql-text.js';
import type { LakeColumn } from '../lake/ledger.js';
import type { RowChoice } from '../lake/table-format.js';
import type { AddAction } from './action.js';
import { deltaField } from './schema.js';
import type { Comparable } from './stat-value.js';
import { columnBounds, mayHold, rangeEnd } from './stats.js';

export interface FilePruning {
  readonly columns: readonly LakeColumn[];
  readonly choose: RowChoice;
}

/** Ranges of keys that files are compared with; more would cost more than they spare. */
const KEY_RANGES = 256;

/** The files that may hold a row with one of the keys, told from their statistics; all of them where keys are not asked for. */
export async function prunedFiles(
  session: DuckDbSession,
  files: readonly AddAction[],
  { columns, choose }: FilePruning,
): Promise<AddAction[]> {
  const first = choose.kind === 'keys' ? columns.find((column) => column.name === choose.key[0]) : undefined;
  if (choose.kind !== 'keys' || first === undefined || files.length === 0) return [...files];
  const field = deltaField({ name: first.name, duckdbType: first.type, nullable: true });
  const key = identifier(first.name);
  // Keys that lie together share a range, so that new rows at the end of a table do not make every file a candidate.
  const ranges = await session.rows<{ low: string | null; high: string | null }>(
    `SELECT min(${key})::VARCHAR AS low, max(${key})::VARCHAR AS high
     FROM (SELECT ${key}, ntile(${KEY_RANGES}) OVER (ORDER BY ${key}) AS __range FROM (SELECT DISTINCT ${key} FROM (${choose.keys})))
     GROUP BY __range`,
  );
  const ends = ranges.map(({ low, high }): [Comparable | null, Comparable | null] => [
    rangeEnd(field, low),
    rangeEnd(field, high),
  ]);
  return files.filter((file) => {
    const bounds = columnBounds(file.stats, field);
    return ends.some(([low, high]) => mayHold(bounds, low, high));
  });
}
