import { assertNever } from '../error/sluice-error.js';

/**
 * What a column's values are in the destination (DESIGN 7). The Arrow arrays that carry them use DuckDB's own physical
 * layout, so that the loader can copy them in bulk; a field's metadata names the logical type:
 *
 * | kind | Arrow type | bytes of one value |
 * |---|---|---|
 * | boolean | Uint8 | 0 or 1 |
 * | int16, int32, int64, uint32, float32, float64 | the same | little endian |
 * | decimal p<=4, <=9, <=18 | Int16, Int32, Int64 | the value times 10^scale |
 * | decimal p>18 | FixedSizeBinary(16) | 128-bit little-endian two's complement, times 10^scale |
 * | varchar, json | Utf8 | |
 * | blob | Binary | |
 * | uuid | FixedSizeBinary(16) | little-endian 128-bit number with the top bit flipped (DuckDB sorts it as a signed hugeint) |
 * | date | Int32 | days since 1970-01-01; +-2147483647 for the infinities |
 * | time | Int64 | microseconds since midnight, 24:00:00 included |
 * | timetz | FixedSizeBinary(8) | microseconds << 24 | (57599 - offset east of UTC in seconds) |
 * | timestamp, timestamptz | Int64 | microseconds since 1970-01-01 (UTC); +-9223372036854775807 for the infinities |
 * | interval | FixedSizeBinary(16) | int32 months, int32 days, int64 microseconds |
 * | list | List with Int32 offsets | children as above |
 */
export type LogicalType =
  | { readonly kind: 'boolean' | 'int16' | 'int32' | 'int64' | 'uint32' | 'float32' | 'float64' }
  | { readonly kind: 'decimal'; readonly precision: number; readonly scale: number }
  | {
      readonly kind: 'varchar';
      /**
       * An empty text is no value of the column, as a Delta table is partitioned by it, where it would be read as NULL. Says
       * what the codec rejects, and is no part of the type's name.
       */
      readonly empty?: 'rejected';
    }
  | {
      readonly kind: 'json' | 'blob' | 'uuid' | 'time' | 'timetz' | 'interval';
    }
  | {
      readonly kind: 'date' | 'timestamp' | 'timestamptz';
      /**
       * Only the years 1 to 9999 (in UTC) and no infinities are values of the column; absent: all that DuckDB holds. Says
       * what the codec rejects, and is no part of the type's name.
       */
      readonly years?: 'four_digits';
    }
  | { readonly kind: 'list'; readonly element: LogicalType };

/** For `_sluice.rejected_values`. */
export const EMPTY_PARTITION_VALUE = 'an empty text, which is NULL in a column that a Delta table is partitioned by';

/** The type as DuckDB writes it in DDL. */
export function duckdbTypeName(type: LogicalType): string {
  switch (type.kind) {
    case 'boolean':
      return 'BOOLEAN';
    case 'int16':
      return 'SMALLINT';
    case 'int32':
      return 'INTEGER';
    case 'int64':
      return 'BIGINT';
    case 'uint32':
      return 'UINTEGER';
    case 'float32':
      return 'FLOAT';
    case 'float64':
      return 'DOUBLE';
    case 'decimal':
      return `DECIMAL(${type.precision},${type.scale})`;
    case 'varchar':
      return 'VARCHAR';
    case 'json':
      return 'JSON';
    case 'blob':
      return 'BLOB';
    case 'uuid':
      return 'UUID';
    case 'date':
      return 'DATE';
    case 'time':
      return 'TIME';
    case 'timetz':
      return 'TIMETZ';
    case 'timestamp':
      return 'TIMESTAMP';
    case 'timestamptz':
      return 'TIMESTAMPTZ';
    case 'interval':
      return 'INTERVAL';
    case 'list':
      return `${duckdbTypeName(type.element)}[]`;
    default:
      return assertNever(type);
  }
}

const SIMPLE_TYPES: readonly LogicalType[] = (
  [
    'boolean',
    'int16',
    'int32',
    'int64',
    'uint32',
    'float32',
    'float64',
    'varchar',
    'json',
    'blob',
    'uuid',
    'date',
    'time',
    'timetz',
    'timestamp',
    'timestamptz',
    'interval',
  ] as const
).map((kind) => ({ kind }));

const TYPE_BY_NAME = new Map(SIMPLE_TYPES.map((type) => [duckdbTypeName(type), type]));

/** The inverse of {@link duckdbTypeName}; null for a name that it never gives. */
export function parseDuckdbTypeName(name: string): LogicalType | null {
  if (name.endsWith('[]')) {
    const element = parseDuckdbTypeName(name.slice(0, -2));
    return element === null ? null : { kind: 'list', element };
  }
  const decimal = /^DECIMAL\((\d+),(\d+)\)$/.exec(name);
  if (decimal !== null) return { kind: 'decimal', precision: Number(decimal[1]), scale: Number(decimal[2]) };
  return TYPE_BY_NAME.get(name) ?? null;
}
