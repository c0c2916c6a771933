import { SluiceError } from '../../error/sluice-error.js';
import { type ExactJson, ExactNumber, parseExactJson } from './exact-json.js';
import type { DeltaField } from './schema.js';
import { boundJson, type Comparable, comparable, compare } from './stat-value.js';

/**
 * A file's statistics (PROTOCOL.md, "Per-file Statistics"): made from what DuckDB's `COPY ... (FORMAT parquet, RETURN_STATS)`
 * answers, and asked whether a file may hold a value.
 */

/** A file that a COPY wrote. */
export interface WrittenFile {
  readonly path: string;
  readonly rows: number;
  readonly sizeBytes: number;
  /** JSON for `add.stats`. */
  readonly stats: string;
}

/** What DuckDB says of one column: texts by name (min, max, null_count, has_nan, ...). */
export type ColumnStatistics = ReadonlyMap<string, string>;

/**
 * Reads one row of RETURN_STATS.
 * @param row from `getRowObjectsJson()`: filename, count, file_size_bytes, column_statistics
 * @param fields the columns of the file, as the table has them
 * @throws SluiceError INTERNAL where the row has another form
 */
export function writtenFile(row: Readonly<Record<string, unknown>>, fields: readonly DeltaField[]): WrittenFile {
  const { filename } = row;
  if (typeof filename !== 'string') throw unexpected('filename');
  const rows = count(row['count'], 'count');
  const columns = columnStatistics(row['column_statistics']);
  return {
    path: filename,
    rows,
    sizeBytes: count(row['file_size_bytes'], 'file_size_bytes'),
    stats: statsJson(rows, columns, fields),
  };
}

/**
 * The JSON of `add.stats`, with exact digits.
 * @param columns by name; columns of lists and the like are left out
 */
export function statsJson(
  rows: number,
  columns: ReadonlyMap<string, ColumnStatistics>,
  fields: readonly DeltaField[],
): string {
  const minima: string[] = [];
  const maxima: string[] = [];
  const nulls: string[] = [];
  for (const { name, type } of fields) {
    const statistics = columns.get(name);
    if (statistics === undefined || type.kind === 'array' || type.kind === 'opaque') continue;
    const key = JSON.stringify(name);
    const nullCount = statistics.get('null_count');
    if (nullCount !== undefined && /^[0-9]+$/.test(nullCount)) nulls.push(`${key}:${nullCount}`);
    // A NaN is above every number and in no bound of DuckDB's, so such bounds would hide it.
    const isFloat = type.kind === 'plain' && (type.name === 'float' || type.name === 'double');
    if (isFloat && statistics.get('has_nan') !== 'false') continue;
    const min = statistics.get('min');
    const max = statistics.get('max');
    const minJson = min === undefined ? null : boundJson(type, min, 'min');
    const maxJson = max === undefined ? null : boundJson(type, max, 'max');
    if (minJson !== null) minima.push(`${key}:${minJson}`);
    if (maxJson !== null) maxima.push(`${key}:${maxJson}`);
  }
  return `{"numRecords":${rows},"minValues":{${minima}},"maxValues":{${maxima}},"nullCount":{${nulls}}}`;
}

/**
 * The statistics of a file of which rows are deleted by a vector: the bounds hold still, but nothing needs to lie on them.
 * @throws SluiceError DELTA_LOG_CORRUPT where it is not said how many rows the file has: a vector needs it
 */
export function wideStats(stats: string | null | undefined, path: string): string {
  const parsed = stats === null || stats === undefined ? undefined : parseExactJson(stats);
  if (!isMap(parsed) || !(parsed.get('numRecords') instanceof ExactNumber)) {
    throw new SluiceError({
      code: 'DELTA_LOG_CORRUPT',
      message: `the statistics of ${path} do not say how many rows it has`,
      hint: 'rewrite the file, with OPTIMIZE for one',
    });
  }
  return exactJsonText(new Map([...parsed, ['tightBounds', false]]));
}

/** @returns the rows of the file, deleted ones too; null where it is not said */
export function rowCount(stats: string | null | undefined): number | null {
  const parsed = stats === null || stats === undefined ? undefined : parseExactJson(stats);
  const rows = isMap(parsed) ? parsed.get('numRecords') : undefined;
  return rows instanceof ExactNumber && Number.isSafeInteger(Number(rows.text)) ? Number(rows.text) : null;
}

/** What is known of a column's values in a file: null for a side that is open. */
export interface ColumnBounds {
  readonly min: Comparable | null;
  readonly max: Comparable | null;
  /** All of them are NULL: no value that is looked for is in the file. */
  readonly allNull: boolean;
}

const OPEN: ColumnBounds = { min: null, max: null, allNull: false };

/** Bounds of foreign writers' files too: what they left out, or wrote in a way of their own, is open. */
export function columnBounds(stats: string | null | undefined, field: DeltaField): ColumnBounds {
  const parsed = stats === null || stats === undefined ? undefined : parseExactJson(stats);
  if (!isMap(parsed)) return OPEN;
  const nulls = member(parsed, 'nullCount', field.name);
  const rows = parsed.get('numRecords');
  const allNull = nulls instanceof ExactNumber && rows instanceof ExactNumber && nulls.text === rows.text;
  const max = bound(parsed, 'maxValues', field);
  return { min: bound(parsed, 'minValues', field), max: max === null ? null : atMost(field, max), allNull };
}

/**
 * Whether a file may have a value of the column in this range.
 * @param stats `add.stats`
 * @param min as DuckDB prints it (a cast to VARCHAR); null for no end on this side
 * @returns false only where it certainly has none
 */
export function mayContain(
  stats: string | null | undefined,
  field: DeltaField,
  min: string | null,
  max: string | null,
): boolean {
  return mayHold(columnBounds(stats, field), rangeEnd(field, min), rangeEnd(field, max));
}

/** The end of a range that is asked for again and again: read once, for {@link mayHold}. Null is open. */
export function rangeEnd(field: DeltaField, text: string | null): Comparable | null {
  return text === null ? null : comparable(field.type, text);
}

export function mayHold(bounds: ColumnBounds, min: Comparable | null, max: Comparable | null): boolean {
  if (bounds.allNull) return false;
  if (max !== null && bounds.min !== null && compare(bounds.min, max) > 0) return false;
  return min === null || bounds.max === null || compare(bounds.max, min) >= 0;
}

/** Other writers cut a max timestamp down to the millisecond, so the rest of that millisecond may be in the file. */
function atMost(field: DeltaField, max: Comparable): Comparable {
  const { type } = field;
  const cut = type.kind === 'plain' && (type.name === 'timestamp' || type.name === 'timestamp_ntz');
  return cut && typeof max === 'bigint' ? max + 999n : max;
}

function bound(
  stats: ReadonlyMap<string, ExactJson>,
  side: 'minValues' | 'maxValues',
  field: DeltaField,
): Comparable | null {
  const value = member(stats, side, field.name);
  if (value instanceof ExactNumber) return comparable(field.type, value.text);
  // A column of numbers whose bound is text is nothing that we know.
  const textual = typeof value === 'string' && field.type.kind === 'plain';
  return textual ? comparable(field.type, value) : null;
}

function member(stats: ReadonlyMap<string, ExactJson>, part: string, name: string): ExactJson | undefined {
  const values = stats.get(part);
  return isMap(values) ? values.get(name) : undefined;
}

/** The list of {key: quoted path, value: list of {key, value}}: columns at the top, by name. */
function columnStatistics(json: unknown): ReadonlyMap<string, ColumnStatistics> {
  if (!Array.isArray(json)) throw unexpected('column_statistics');
  const columns = new Map<string, ColumnStatistics>();
  for (const [path, values] of json.map(entry)) {
    if (typeof path !== 'string' || !Array.isArray(values)) throw unexpected('column_statistics');
    const name = /^"((?:[^"]|"")*)"$/.exec(path)?.[1]?.replaceAll('""', '"');
    if (name === undefined) continue; // an element of a list: "l"."element"
    const texts = new Map<string, string>();
    for (const [key, value] of values.map(entry)) {
      if (typeof key === 'string' && typeof value === 'string') texts.set(key, value);
    }
    columns.set(name, texts);
  }
  return columns;
}

function entry(json: unknown): readonly [unknown, unknown] {
  if (typeof json !== 'object' || json === null || !('key' in json) || !('value' in json)) {
    throw unexpected('column_statistics');
  }
  return [json.key, json.value];
}

function count(json: unknown, what: string): number {
  const value = typeof json === 'string' || typeof json === 'bigint' ? Number(json) : json;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw unexpected(what);
}

function exactJsonText(value: ExactJson): string {
  if (value instanceof ExactNumber) return value.text;
  if (isMap(value)) return `{${[...value].map(([name, inner]) => `${JSON.stringify(name)}:${exactJsonText(inner)}`)}}`;
  return Array.isArray(value) ? `[${value.map(exactJsonText)}]` : JSON.stringify(value);
}

function isMap(value: ExactJson | undefined): value is ReadonlyMap<string, ExactJson> {
  return value instanceof Map;
}

function unexpected(what: string): SluiceError {
  return new SluiceError({ code: 'INTERNAL', message: `DuckDB's RETURN_STATS has no ${what} as it should be` });
}
