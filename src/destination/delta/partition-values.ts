import { SluiceError } from '../../error/sluice-error.js';
import { literal } from '../duckdb/sql-text.js';
import type { LakeColumn } from '../lake/ledger.js';
import { deltaType } from './schema.js';

/**
 * Values of partition columns, for which the log counts and not what the data files hold (PROTOCOL.md, "Partition Value
 * Serialization"): as text, and null for NULL. An empty text means NULL there whatever the column's type.
 */
export type PartitionValues = Readonly<Record<string, string | null>>;

/** Patterns of strftime. */
const INSTANT = '%Y-%m-%dT%H:%M:%S.%fZ';
const LOCAL_TIME = '%Y-%m-%d %H:%M:%S.%f';

/**
 * SQL of a value's text for the log. The session's time zone is UTC.
 * @param expression of the column's type
 * @throws SluiceError DELTA_TYPE_UNSUPPORTED for a type that no table can be partitioned by
 */
export function serializedValue(expression: string, column: LakeColumn): string {
  const type = deltaType(column.type);
  const text = `CAST(${expression} AS VARCHAR)`;
  // DuckDB prints `-.5` for a DECIMAL(1,1).
  if (type.kind === 'decimal') return `regexp_replace(${text}, '^(-?)\\.', '\\10.')`;
  if (type.kind !== 'plain') throw unsupported(column);
  switch (type.name) {
    case 'boolean':
    case 'byte':
    case 'short':
    case 'integer':
    case 'long':
    case 'date':
      return text;
    case 'string':
      return `nullif(${text}, '')`;
    case 'timestamp':
      // Without its zone, readers take the text for a time of their own zone.
      return `strftime(CAST(${expression} AS TIMESTAMPTZ), ${literal(INSTANT)})`;
    case 'timestamp_ntz':
      return `strftime(${expression}, ${literal(LOCAL_TIME)})`;
    case 'float':
    case 'double':
    case 'binary':
      throw unsupported(column);
  }
}

/** SQL of the value that a text of the log stands for, whoever wrote it. The session's time zone is UTC. */
export function typedValue(text: string | null, column: LakeColumn): string {
  return text === null || text === '' ? `CAST(NULL AS ${column.type})` : `CAST(${literal(text)} AS ${column.type})`;
}

/** The columns that a table's files are partitioned by: a file of the log has a value for each. */
export function partitionNames(files: readonly { readonly partitionValues?: PartitionValues }[]): string[] {
  return Object.keys(files[0]?.partitionValues ?? {});
}

/** By which files are told apart that lie in different partitions. */
export function partitionKey(values: PartitionValues): string {
  const pairs = Object.entries(values).map(([name, text]) => [name, text === '' ? null : text] as const);
  return JSON.stringify(pairs.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function unsupported({ name, type }: LakeColumn): SluiceError {
  return new SluiceError({
    code: 'DELTA_TYPE_UNSUPPORTED',
    message: `a Delta table cannot be partitioned by column "${name}" of type ${type}`,
    hint: 'take another column for partition_by, such as a date or a country',
  });
}
