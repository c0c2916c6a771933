import type { DeltaType } from './schema.js';

/**
 * One bound of a column in three forms: DuckDB's text (of RETURN_STATS and of a cast to VARCHAR), the JSON of Delta's
 * statistics, and a value that can be compared.
 */
export type Comparable = number | bigint | string;

/** Spark's `delta.stats` cut: characters of a text's bound. */
const PREFIX_CHARACTERS = 32;
const ASCII_LAST = '\u007f';
const UNICODE_LAST = '\u{10ffff}';

const DATE = /^([0-9]{4})-([0-9]{2})-([0-9]{2})$/;
const TIMESTAMP =
  /^([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?$/;
const INTEGER = /^-?[0-9]+$/;
const DECIMAL = /^(-?)([0-9]*)(?:\.([0-9]*))?$/;

/**
 * The JSON text of a bound.
 * @param text as DuckDB prints the value
 * @returns null where the type has no bounds in Delta, or this value cannot be one: the bound is left out then
 */
export function boundJson(type: DeltaType, text: string, side: 'min' | 'max'): string | null {
  if (type.kind === 'decimal') return decimalJson(text);
  if (type.kind !== 'plain') return null;
  switch (type.name) {
    case 'byte':
    case 'short':
    case 'integer':
    case 'long':
      return INTEGER.test(text) ? text : null;
    case 'float':
    case 'double':
      return floatJson(text, side);
    case 'string':
      return stringJson(text, side);
    case 'date':
      return isDate(text) ? JSON.stringify(text) : null;
    case 'timestamp':
    case 'timestamp_ntz':
      return timestampJson(text, side, type.name === 'timestamp');
    case 'boolean':
    case 'binary':
      return null;
  }
}

/**
 * A bound, or a value that is looked for, as something that `<` orders like the column.
 * @param text DuckDB's text, or what stands in the statistics
 * @returns null where that cannot be said: then nothing may be concluded from it
 */
export function comparable(type: DeltaType, text: string): Comparable | null {
  if (type.kind === 'decimal') return scaled(text, type.scale);
  if (type.kind !== 'plain') return null;
  switch (type.name) {
    case 'byte':
    case 'short':
    case 'integer':
    case 'long':
      return INTEGER.test(text) ? BigInt(text) : null;
    case 'float':
    case 'double': {
      const value = text === '' ? Number.NaN : Number(text);
      return Number.isFinite(value) ? value : null;
    }
    case 'string':
      return text;
    case 'date':
      return isDate(text) ? text : null;
    case 'timestamp':
    case 'timestamp_ntz':
      return microseconds(text);
    case 'boolean':
    case 'binary':
      return null;
  }
}

/** Negative, zero or positive. Texts are ordered by their UTF-8 bytes, as Parquet and Spark do, not by UTF-16 units. */
export function compare(a: Comparable, b: Comparable): number {
  if (typeof a === 'string' && typeof b === 'string') return compareText(a, b);
  return a < b ? -1 : a > b ? 1 : 0;
}

/** UTF-16's surrogates stand for the code points above all others, so its units do not order as UTF-8's bytes do. */
function compareText(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i += 1) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    const surrogateX = x >= 0xd800 && x <= 0xdfff;
    const surrogateY = y >= 0xd800 && y <= 0xdfff;
    if (surrogateX !== surrogateY) return surrogateX ? 1 : -1;
    return x - y;
  }
  return a.length - b.length;
}

/** Digits as they are: `0.50`, `-12345678901234567890.123`. */
function decimalJson(text: string): string | null {
  const [, sign, whole, fraction] = DECIMAL.exec(text) ?? [];
  if (sign === undefined || whole === undefined) return null;
  // DuckDB prints `.5` for a DECIMAL(1,1): no JSON.
  return `${sign}${whole === '' ? '0' : whole}${fraction === undefined || fraction === '' ? '' : `.${fraction}`}`;
}

/** JSON has no infinities: that side is open. A zero covers both zeros, since readers may tell them apart. */
function floatJson(text: string, side: 'min' | 'max'): string | null {
  const value = Number(text);
  if (text === '' || !Number.isFinite(value)) return null;
  if (value === 0) return side === 'min' ? '-0.0' : '0.0';
  return text;
}

/** A text's beginning: at or below it as a min, at or above it as a max. */
function stringJson(text: string, side: 'min' | 'max'): string | null {
  // A prefix in whole characters: no surrogate loses its other half.
  const head = [...text.slice(0, 4 * PREFIX_CHARACTERS + 1)].slice(0, 2 * PREFIX_CHARACTERS);
  if (head.length <= PREFIX_CHARACTERS) return JSON.stringify(text);
  if (side === 'min') return JSON.stringify(head.slice(0, PREFIX_CHARACTERS).join(''));
  // The character behind the cut must be below the one that is put in its place, or the cut moves on.
  const cut = head.findIndex((character, i) => i >= PREFIX_CHARACTERS && character !== UNICODE_LAST);
  const next = head[cut];
  if (next === undefined) return null;
  return JSON.stringify(head.slice(0, cut).join('') + (next < ASCII_LAST ? ASCII_LAST : UNICODE_LAST));
}

/** Delta's statistics have milliseconds: a min is cut down, a max rounded up. Spark's own format, in UTC. */
function timestampJson(text: string, side: 'min' | 'max', zoned: boolean): string | null {
  const micros = microseconds(text);
  if (micros === null) return null;
  const whole = floorDivide(micros, 1000n);
  const millis = side === 'max' && whole * 1000n < micros ? whole + 1n : whole;
  const iso = new Date(Number(millis)).toISOString();
  // Rounding up may leave the last of the four-digit years.
  if (iso.length !== 24) return null;
  return JSON.stringify(zoned ? iso : iso.slice(0, -1));
}

/** Microseconds since 1970; a text without a zone counts as UTC. */
function microseconds(text: string): bigint | null {
  const [, date, time, fraction = '', zone] = TIMESTAMP.exec(text) ?? [];
  if (date === undefined || time === undefined || !isDate(date)) return null;
  const seconds = Date.parse(`${date}T${time}Z`);
  if (Number.isNaN(seconds)) return null;
  const nanos = BigInt(fraction.padEnd(9, '0'));
  return BigInt(seconds) * 1000n + nanos / 1000n - zoneMicroseconds(zone);
}

function zoneMicroseconds(zone: string | undefined): bigint {
  if (zone === undefined || zone === 'Z') return 0n;
  const sign = zone.startsWith('-') ? -1n : 1n;
  const hours = BigInt(zone.slice(1, 3));
  const minutes = BigInt(zone.slice(3).replace(':', '') || '0');
  return sign * (hours * 60n + minutes) * 60_000_000n;
}

/** A date with a year of four digits, from 1 AD on. `infinity`, `12026-01-01` and `0044-01-01 (BC)` are none. */
function isDate(text: string): boolean {
  return DATE.test(text) && !text.startsWith('0000') && !Number.isNaN(Date.parse(text));
}

function scaled(text: string, scale: number): bigint | null {
  // A foreign writer's number may have an exponent: then its exact value is not worth the trouble.
  const [, sign, whole, fraction = ''] = DECIMAL.exec(text) ?? [];
  if (sign === undefined || whole === undefined || (whole === '' && fraction === '')) return null;
  // More digits than the column has are cut only where they are zeros.
  if (/[^0]/.test(fraction.slice(scale))) return null;
  const value = BigInt(whole + fraction.slice(0, scale).padEnd(scale, '0'));
  return sign === '-' ? -value : value;
}

function floorDivide(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  return value % by < 0n ? quotient - 1n : quotient;
}
