import type { LogicalType } from '../batch/logical-type.js';
import type { DestinationConfig } from '../config/config.js';
import { assertNever } from '../error/sluice-error.js';

/**
 * Which types a destination has (DESIGN 7). `lake` is what Delta Lake and Parquet and all of their readers share: no
 * unsigned numbers, times of day or intervals, a uuid and JSON as text. Dates and timestamps are those of the years 1 to
 * 9999: no format of a lake has the infinities, and one cell beyond these years fails a whole query in Spark (whose DATE
 * and TIMESTAMP are defined for them) and in every reader that makes a datetime of Python from it; file statistics write
 * a year with four digits as well.
 * @see https://github.com/delta-io/delta/blob/master/PROTOCOL.md#primitive-types
 * @see https://spark.apache.org/docs/latest/sql-ref-datatypes.html
 */
export type Dialect = 'duckdb' | 'lake';

export function dialectOf(destination: DestinationConfig): Dialect {
  switch (destination.type) {
    case 'duckdb':
      return 'duckdb';
    case 's3':
    case 'local':
      return 'lake';
    default:
      return assertNever(destination);
  }
}

/** What a column's type is where a Delta table is partitioned by it: an empty text is NULL there (PROTOCOL.md). */
export function asPartition(type: LogicalType): LogicalType {
  return type.kind === 'varchar' ? { kind: 'varchar', empty: 'rejected' } : type;
}

/** The dialect as a reader of a message knows it. */
export function dialectName(dialect: Dialect): string {
  return dialect === 'duckdb' ? 'DuckDB' : 'the lake';
}

/**
 * What a type is in a dialect. A type that is one of the dialect already stays, so it also gives back what
 * parseDuckdbTypeName loses of one.
 */
export function inDialect(type: LogicalType, dialect: Dialect): LogicalType {
  if (dialect === 'duckdb') return type;
  switch (type.kind) {
    case 'uint32':
      return { kind: 'int64' };
    case 'uuid':
    case 'json':
    case 'time':
    case 'timetz':
    case 'interval':
      return { kind: 'varchar' };
    case 'date':
    case 'timestamp':
    case 'timestamptz':
      return { kind: type.kind, years: 'four_digits' };
    case 'list':
      return { kind: 'list', element: inDialect(type.element, dialect) };
    default:
      return type;
  }
}
