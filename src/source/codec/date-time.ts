import { WordBuilder } from '../../batch/column-builder.js';
import { CivilDate, DAY_MICROS, daysFromCivil, POSTGRES_EPOCH_DAYS, scanTimeOfDay, scanZone } from './calendar.js';
import { ColumnCodec, isAscii, readInt32 } from './column-codec.js';
import { Scanner } from './scanner.js';

const SPACE = 0x20;
const LIMB = 0x1_0000_0000;

const INT32_MAX = 0x7fffffff;
const INT32_MIN = -0x80000000;
/** Postgres' own bounds of date, in days since 2000: 4714-11-24 BC to 5874897-12-31 (DATETIME_MIN_JULIAN, DATE_END_JULIAN). */
const FIRST_POSTGRES_DAY = -2_451_545;
const LAST_POSTGRES_DAY = 2_145_031_948;

/** 946684800000000: microseconds from 1970 to 2000, in two halves. */
const EPOCH_SHIFT_LOW = 0x3b37e000;
const EPOCH_SHIFT_HIGH = 0x00035d01;
/** Timestamps within so many days of 1970 are exact doubles in microseconds (years 1697 to 2243). */
const EXACT_DAYS = 100_000;
/** DuckDB's infinity; finite values stay below. */
const TIMESTAMP_INFINITY = 0x7fffffffffffffffn;

/** The first and the last day that have a year of four digits, since 1970, and the microseconds of a timestamp in two halves. */
const FIRST_FOUR_DIGIT_DAY = daysFromCivil(1, 1, 1);
const LAST_FOUR_DIGIT_DAY = daysFromCivil(9999, 12, 31);
const FIRST_FOUR_DIGIT_MICROS = BigInt(FIRST_FOUR_DIGIT_DAY) * BigInt(DAY_MICROS);
const END_OF_FOUR_DIGIT_MICROS = BigInt(LAST_FOUR_DIGIT_DAY + 1) * BigInt(DAY_MICROS);
const FIRST_HIGH = Number(FIRST_FOUR_DIGIT_MICROS >> 32n);
const FIRST_LOW = Number(BigInt.asUintN(32, FIRST_FOUR_DIGIT_MICROS));
const END_HIGH = Number(END_OF_FOUR_DIGIT_MICROS >> 32n);
const END_LOW = Number(BigInt.asUintN(32, END_OF_FOUR_DIGIT_MICROS));

/** DuckDB keeps a zone as its distance to the largest one, 15:59:59. */
const MAX_ZONE_SECONDS = 57_599;

/** Days since 1970-01-01; the infinities are +-2147483647. With `years` they and other years are rejected. */
export class DateCodec extends ColumnCodec {
  readonly builder: WordBuilder;
  private readonly first: number;
  private readonly last: number;
  private readonly scanner = new Scanner();
  private readonly date = new CivilDate();

  constructor(years: 'four_digits' | undefined, rowLimit: number) {
    super('date');
    this.first = years === undefined ? -INT32_MAX : FIRST_FOUR_DIGIT_DAY;
    this.last = years === undefined ? INT32_MAX : LAST_FOUR_DIGIT_DAY;
    this.builder = new WordBuilder({ kind: 'date' }, 1, rowLimit);
  }

  override putBinary(bytes: Uint8Array, start: number, length: number): boolean {
    if (length !== 4) throw this.malformed(length);
    const days = readInt32(bytes, start);
    if (days === INT32_MAX || days === INT32_MIN) return this.append(days === INT32_MAX ? INT32_MAX : -INT32_MAX);
    if (days < FIRST_POSTGRES_DAY || days > LAST_POSTGRES_DAY) throw this.malformed(length);
    return this.append(days + POSTGRES_EPOCH_DAYS);
  }

  override putText(bytes: Uint8Array, start: number, length: number): boolean {
    const { scanner, date } = this;
    scanner.reset(bytes, start, length);
    if (!date.scan(scanner)) {
      const sign = infinitySign(bytes, start, length);
      if (sign === 0) throw this.malformed(length);
      return this.append(sign * INT32_MAX);
    }
    const days = date.days(scanner);
    if (!scanner.done) throw this.malformed(length);
    return this.append(days);
  }

  private append(days: number): boolean {
    if (days < this.first || days > this.last) return this.reject();
    this.builder.append(days);
    return true;
  }
}

/** Microseconds since midnight, 24:00:00 included. */
export class TimeCodec extends ColumnCodec {
  readonly builder: WordBuilder;
  private readonly scanner = new Scanner();

  constructor(rowLimit: number) {
    super('time');
    this.builder = new WordBuilder({ kind: 'time' }, 2, rowLimit);
  }

  override putBinary(bytes: Uint8Array, start: number, length: number): boolean {
    if (length !== 8) throw this.malformed(length);
    const micros = readMicrosOfDay(bytes, start);
    if (micros < 0) throw this.malformed(length);
    this.builder.appendSafe(micros);
    return true;
  }

  override putText(bytes: Uint8Array, start: number, length: number): boolean {
    const { scanner } = this;
    scanner.reset(bytes, start, length);
    const micros = scanTimeOfDay(scanner);
    if (micros < 0 || !scanner.done) throw this.malformed(length);
    this.builder.appendSafe(micros);
    return true;
  }
}

/** Microseconds since midnight in the upper 40 bits, the zone in the lower 24. */
export class TimeTzCodec extends ColumnCodec {
  readonly builder: WordBuilder;
  private readonly scanner = new Scanner();

  constructor(rowLimit: number) {
    super('timetz');
    this.builder = new WordBuilder({ kind: 'timetz' }, 2, rowLimit);
  }

  override putBinary(bytes: Uint8Array, start: number, length: number): boolean {
    if (length !== 12) throw this.malformed(length);
    // Postgres sends seconds west of UTC.
    this.append(readMicrosOfDay(bytes, start), -readInt32(bytes, start + 8), length);
    return true;
  }

  override putText(bytes: Uint8Array, start: number, length: number): boolean {
    const { scanner } = this;
    scanner.reset(bytes, start, length);
    const micros = scanTimeOfDay(scanner);
    const east = scanZone(scanner);
    if (!scanner.done) throw this.malformed(length);
    this.append(micros, east, length);
    return true;
  }

  private append(micros: number, eastSeconds: number, length: number): void {
    if (micros < 0 || !(Math.abs(eastSeconds) <= MAX_ZONE_SECONDS)) throw this.malformed(length);
    const high = Math.floor(micros / 256);
    this.builder.appendPair(((micros - high * 256) << 24) | (MAX_ZONE_SECONDS - eastSeconds), high);
  }
}

/**
 * timestamp and timestamptz: microseconds since 1970-01-01 UTC; the infinities are +-9223372036854775807. Postgres goes
 * on to the year 294276, DuckDB to 294247-01-10 04:00:54.775806; what lies between is rejected. With `years` all but
 * those of four digits is.
 */
export class TimestampCodec extends ColumnCodec {
  readonly builder: WordBuilder;
  private readonly zoned: boolean;
  private readonly bounded: boolean;
  private readonly scanner = new Scanner();
  private readonly date = new CivilDate();

  constructor(kind: 'timestamp' | 'timestamptz', years: 'four_digits' | undefined, rowLimit: number) {
    super(kind);
    this.zoned = kind === 'timestamptz';
    this.bounded = years !== undefined;
    this.builder = new WordBuilder({ kind }, 2, rowLimit);
  }

  override putBinary(bytes: Uint8Array, start: number, length: number): boolean {
    if (length !== 8) throw this.malformed(length);
    const high = readInt32(bytes, start);
    const low = readInt32(bytes, start + 4) >>> 0;
    if (high === INT32_MAX && low === 0xffffffff) return this.appendInfinity(1);
    if (high === INT32_MIN && low === 0) return this.appendInfinity(-1);
    const lowSum = low + EPOCH_SHIFT_LOW;
    const highSum = high + EPOCH_SHIFT_HIGH + (lowSum >= LIMB ? 1 : 0);
    const lowWord = lowSum >>> 0;
    if (highSum > INT32_MAX || (highSum === INT32_MAX && lowWord === 0xffffffff)) return this.reject();
    if (this.bounded && !hasFourDigitYear(highSum, lowWord)) return this.reject();
    this.builder.appendPair(lowWord, highSum);
    return true;
  }

  override putText(bytes: Uint8Array, start: number, length: number): boolean {
    const { scanner, date } = this;
    scanner.reset(bytes, start, length);
    if (!date.scan(scanner)) {
      const sign = infinitySign(bytes, start, length);
      if (sign === 0) throw this.malformed(length);
      return this.appendInfinity(sign);
    }
    const micros = scanner.take(SPACE) ? scanTimeOfDay(scanner) : -1;
    const east = this.zoned ? scanZone(scanner) : 0;
    const days = date.days(scanner);
    if (micros < 0 || Number.isNaN(east) || !scanner.done) throw this.malformed(length);
    if (days < EXACT_DAYS && days > -EXACT_DAYS) {
      this.builder.appendSafe(days * DAY_MICROS + micros - east * 1_000_000);
      return true;
    }
    return this.putFar(days, micros - east * 1_000_000);
  }

  /** Far from 1970, where the sum is beyond 2^53. */
  private putFar(days: number, micros: number): boolean {
    const total = BigInt(days) * BigInt(DAY_MICROS) + BigInt(micros);
    if (total >= TIMESTAMP_INFINITY) return this.reject();
    if (this.bounded && (total < FIRST_FOUR_DIGIT_MICROS || total >= END_OF_FOUR_DIGIT_MICROS)) return this.reject();
    this.builder.appendPair(Number(BigInt.asIntN(32, total)), Number(BigInt.asIntN(32, total >> 32n)));
    return true;
  }

  private appendInfinity(sign: number): boolean {
    if (this.bounded) return this.reject();
    if (sign > 0) this.builder.appendPair(-1, INT32_MAX);
    else this.builder.appendPair(1, INT32_MIN);
    return true;
  }
}

/** Of microseconds since 1970 in two halves, the lower one unsigned. */
function hasFourDigitYear(high: number, low: number): boolean {
  if (high < FIRST_HIGH || (high === FIRST_HIGH && low < FIRST_LOW)) return false;
  return high < END_HIGH || (high === END_HIGH && low < END_LOW);
}

/** An int64 from 0 to 24 hours; -1 for any other. */
function readMicrosOfDay(bytes: Uint8Array, at: number): number {
  const micros = readInt32(bytes, at) * LIMB + (readInt32(bytes, at + 4) >>> 0);
  return micros >= 0 && micros <= DAY_MICROS ? micros : -1;
}

/** 1 for `infinity`, -1 for `-infinity`, 0 for anything else. */
function infinitySign(bytes: Uint8Array, start: number, length: number): number {
  if (isAscii(bytes, start, length, 'infinity')) return 1;
  return isAscii(bytes, start, length, '-infinity') ? -1 : 0;
}
