import { createHash } from 'node:crypto';
import {
  DuckDBBlobValue,
  DuckDBDateValue,
  DuckDBDecimalValue,
  DuckDBListValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  type DuckDBValue,
} from '@duckdb/node-api';

/**
 * One exact text for each row, as canonical.py makes it of what other engines read; its docstring lists the forms. A type
 * is that of a Delta schema in text: `long`, `decimal(10,2)`, `array<timestamp>`.
 */

export type Cell = string | null | readonly Cell[];

/** A set of rows in one value. */
export interface RowsDigest {
  readonly rows: number;
  readonly sha256: string;
}

const MICROS_PER_DAY = 86_400_000_000n;
/** Years of a Gregorian cycle and its days; Date does not go as far as Postgres. */
const CYCLE_YEARS = 400;
const CYCLE_DAYS = 146_097;

export function canonicalRow(cells: readonly Cell[]): string {
  return JSON.stringify(cells);
}

/** @param rows as {@link canonicalRow} gives them, in any order */
export function digestOf(rows: readonly string[]): RowsDigest {
  const sorted = rows.map((row) => Buffer.from(row)).sort(Buffer.compare);
  const hash = createHash('sha256');
  for (const row of sorted) hash.update(row).update('\n');
  return { rows: rows.length, sha256: hash.digest('hex') };
}

/**
 * A value as Postgres prints it (DateStyle ISO, TimeZone UTC, extra_float_digits 1 or more, bytea_output hex) in a Delta
 * column. What Delta cannot hold is null there, as it is in the lake: infinite dates and timestamps, NaN and infinities
 * of a decimal, arrays of several dimensions in an array.
 */
export function cellOfPostgres(type: string, text: string | null): Cell {
  if (text === null) return null;
  const element = elementOf(type);
  if (element !== null) {
    const items = arrayItems(text);
    return items === null ? null : items.map((item) => cellOfPostgres(element, item));
  }
  switch (type) {
    case 'boolean':
      return text === 't' || text === 'true' ? 'true' : 'false';
    case 'byte':
    case 'short':
    case 'integer':
    case 'long':
      return BigInt(text).toString();
    case 'float':
      return floatText(Math.fround(Number(text)));
    case 'double':
      return floatText(Number(text));
    case 'binary':
      return text.slice('\\x'.length);
    case 'date': {
      const micros = postgresMicros(text);
      return micros === null ? null : (micros / MICROS_PER_DAY).toString();
    }
    case 'timestamp':
    case 'timestamp_ntz':
      return postgresMicros(text)?.toString() ?? null;
    default:
      return type.startsWith('decimal') ? decimalText(text, scaleOf(type)) : stringOf(type, text);
  }
}

/** A value as @duckdb/node-api gives it, in a Delta column. @throws TypeError for one that the type does not hold */
export function cellOfDuckDb(type: string, value: DuckDBValue): Cell {
  if (value === null) return null;
  const element = elementOf(type);
  if (element !== null && value instanceof DuckDBListValue) {
    return value.items.map((item) => cellOfDuckDb(element, item));
  }
  switch (type) {
    case 'boolean':
      if (typeof value === 'boolean') return String(value);
      break;
    case 'byte':
    case 'short':
    case 'integer':
    case 'long':
      if (typeof value === 'bigint' || Number.isInteger(value)) return value.toString();
      break;
    case 'float':
    case 'double':
      if (typeof value === 'number') return floatText(value);
      break;
    case 'string':
      if (typeof value === 'string') return value;
      break;
    case 'binary':
      if (value instanceof DuckDBBlobValue) return Buffer.from(value.bytes).toString('hex');
      break;
    case 'date':
      if (value instanceof DuckDBDateValue) return String(value.days);
      break;
    case 'timestamp':
      if (value instanceof DuckDBTimestampTZValue) return value.micros.toString();
      break;
    case 'timestamp_ntz':
      if (value instanceof DuckDBTimestampValue) return value.micros.toString();
      break;
    default:
      if (value instanceof DuckDBDecimalValue && value.scale === scaleOf(type))
        return scaledText(value.value, value.scale);
  }
  throw new TypeError(`${type} came as ${typeof value}: ${value}`);
}

function elementOf(type: string): string | null {
  return /^array<(.*)>$/.exec(type)?.[1] ?? null;
}

function scaleOf(type: string): number {
  const scale = /^decimal\(\d+,(\d+)\)$/.exec(type)?.[1];
  if (scale === undefined) throw new TypeError(`the type ${type} has no canonical form`);
  return Number(scale);
}

function stringOf(type: string, text: string): string {
  if (type !== 'string') throw new TypeError(`the type ${type} has no canonical form`);
  return text;
}

function floatText(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  return Object.is(value, -0) ? '-0e+0' : value.toExponential();
}

/** Postgres pads a numeric(p,s) to its scale, so nothing is rounded here. */
function decimalText(text: string, scale: number): string | null {
  const [, sign, whole, fraction = ''] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text) ?? [];
  if (whole === undefined) return null;
  if (fraction.length > scale) throw new TypeError(`${text} has more than ${scale} digits behind its point`);
  return scaledText(BigInt(`${sign}${whole}${fraction.padEnd(scale, '0')}`), scale);
}

function scaledText(value: bigint, scale: number): string {
  const digits = (value < 0n ? -value : value).toString().padStart(scale + 1, '0');
  const point = digits.length - scale;
  return `${value < 0n ? '-' : ''}${digits.slice(0, point)}${scale > 0 ? `.${digits.slice(point)}` : ''}`;
}

/** @returns null for an infinity */
function postgresMicros(text: string): bigint | null {
  if (text === 'infinity' || text === '-infinity') return null;
  const parts = /^(\d+)-(\d\d)-(\d\d)(?: (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?(?:\+00)?( BC)?$/.exec(text);
  if (parts === null) throw new TypeError(`not a date or timestamp of Postgres: ${text}`);
  const number = (index: number): number => Number(parts[index] ?? 0);
  const year = parts[8] === undefined ? number(1) : 1 - number(1);
  const cycles = Math.floor(year / CYCLE_YEARS);
  // Within the cycle that begins in 2000, which Date knows.
  const inCycle = Date.UTC(2000 + year - cycles * CYCLE_YEARS, number(2) - 1, number(3)) / 86_400_000;
  const days = inCycle + (cycles - 2000 / CYCLE_YEARS) * CYCLE_DAYS;
  const seconds = number(4) * 3600 + number(5) * 60 + number(6);
  return BigInt(days) * MICROS_PER_DAY + BigInt(seconds) * 1_000_000n + BigInt((parts[7] ?? '').padEnd(6, '0'));
}

/** The items of an array's text; null where it has more than one dimension. Bounds before it are passed over. */
function arrayItems(text: string): (string | null)[] | null {
  if (!text.endsWith('}')) throw new TypeError(`not an array of Postgres: ${text}`);
  const body = text.slice(text.indexOf('{') + 1, -1);
  const items: (string | null)[] = [];
  // One item each: quoted with escapes, or plain up to the comma.
  const item = /\{|"((?:[^"\\]|\\.)*)"(?:,|$)|([^",{]+)(?:,|$)/gsy;
  while (item.lastIndex < body.length) {
    const found = item.exec(body);
    if (found === null) throw new TypeError(`not an array of Postgres: ${text}`);
    if (found[0] === '{') return null;
    const quoted = found[1]?.replaceAll(/\\(.)/gs, '$1');
    items.push(quoted ?? (found[2] === 'NULL' ? null : (found[2] ?? null)));
  }
  return items;
}
