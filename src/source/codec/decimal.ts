import { type ColumnBuilder, ShortBuilder, WordBuilder } from '../../batch/column-builder.js';
import type { LogicalType } from '../../batch/logical-type.js';
import { ColumnCodec, isAscii, readInt16 } from './column-codec.js';
import { MAX_FACTOR, WideNumber } from './wide-number.js';

const MINUS = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;

/** numeric's digits are base 10000, four decimal digits each (numeric.c, NBASE). */
const NBASE = 10_000;
const NBASE_DIGITS = 4;
const SIGN_POSITIVE = 0x0000;
const SIGN_NEGATIVE = 0x4000;
const SIGN_NAN = 0xc000;
const SIGN_PINF = 0xd000;
const SIGN_NINF = 0xf000;

const POWERS_OF_TEN = [1, 10, 100, 1_000, 10_000, 100_000, MAX_FACTOR];

/** Decimals of so many digits are exact in a double. */
const SMALL_PRECISION = 15;

/**
 * numeric as DECIMAL(p,s): the value times 10^s. Values that it cannot hold exactly are rejected (NaN, the infinities,
 * too many digits before or behind the point; of a numeric(p,s) column only NaN can occur).
 * Subclasses collect the digits: in a double up to 15 of them, else in 128 bits.
 */
abstract class DecimalCodec extends ColumnCodec {
  abstract override readonly builder: ColumnBuilder;
  protected readonly precision: number;
  protected readonly scale: number;

  constructor(precision: number, scale: number) {
    super('numeric');
    this.precision = precision;
    this.scale = scale;
  }

  protected abstract clear(): void;
  /** The collected digits times factor plus addend. */
  protected abstract push(factor: number, addend: number): void;
  protected abstract store(negative: boolean): void;

  override putBinary(bytes: Uint8Array, start: number, length: number): boolean {
    if (length < 8) throw this.malformed(length);
    const count = readInt16(bytes, start);
    if (count < 0 || length !== 8 + 2 * count) throw this.malformed(length);
    const weight = readInt16(bytes, start + 2);
    const sign = (bytes[start + 4]! << 8) | bytes[start + 5]!;
    if (sign !== SIGN_POSITIVE && sign !== SIGN_NEGATIVE) {
      if (sign === SIGN_NAN || sign === SIGN_PINF || sign === SIGN_NINF) return this.reject();
      throw this.malformed(length);
    }
    this.clear();
    // The power of ten that the first digit group counts, after the shift by the scale.
    let exponent = weight * NBASE_DIGITS + this.scale;
    let significant = false;
    let at = start + 8;
    for (const end = at + 2 * count; at < end; at += 2, exponent -= NBASE_DIGITS) {
      const group = (bytes[at]! << 8) | bytes[at + 1]!;
      if (group >= NBASE) throw this.malformed(length);
      if (group === 0 && !significant) continue;
      if (!significant) {
        significant = true;
        if (exponent + decimalDigits(group) > this.precision) return this.reject();
      }
      if (exponent >= 0) {
        this.push(NBASE, group);
      } else if (exponent > -NBASE_DIGITS) {
        const beyond = POWERS_OF_TEN[-exponent]!;
        if (group % beyond !== 0) return this.reject();
        this.push(NBASE / beyond, group / beyond);
      } else if (group !== 0) {
        return this.reject();
      }
    }
    // `exponent` is now that of the group that would follow; the zeros below the last one are not sent.
    if (significant) this.pad(exponent + NBASE_DIGITS);
    this.store(sign === SIGN_NEGATIVE);
    return true;
  }

  override putText(bytes: Uint8Array, start: number, length: number): boolean {
    const end = start + length;
    const negative = length > 0 && bytes[start] === MINUS;
    let at = negative ? start + 1 : start;
    const first = at;
    while (at < end && bytes[at] === ZERO) at++;
    const significant = at;
    this.clear();
    at = this.pushDigits(bytes, at, end, this.precision - this.scale);
    if (at === first) return this.notDigits(bytes, start, length);
    if (at - significant > this.precision - this.scale) return this.reject();
    if (at === end) {
      this.pad(this.scale);
      this.store(negative);
      return true;
    }
    if (bytes[at] !== DOT || at + 1 === end) throw this.malformed(length);
    return this.putFraction(bytes, at + 1, end, negative, length);
  }

  private putFraction(bytes: Uint8Array, from: number, end: number, negative: boolean, length: number): boolean {
    const at = this.pushDigits(bytes, from, Math.min(end, from + this.scale), this.scale);
    const given = at - from;
    for (let rest = at; rest < end; rest++) {
      const digit = bytes[rest]! - ZERO;
      if (digit < 0 || digit > 9) throw this.malformed(length);
      if (digit !== 0) return this.reject();
    }
    this.pad(this.scale - given);
    this.store(negative);
    return true;
  }

  /**
   * Pushes digits up to the first other byte; digits beyond `limit` are only counted, as the value will be rejected.
   * @returns the position after them
   */
  private pushDigits(bytes: Uint8Array, from: number, end: number, limit: number): number {
    let chunk = 0;
    let chunkDigits = 0;
    let at = from;
    for (; at < end; at++) {
      const digit = bytes[at]! - ZERO;
      if (digit < 0 || digit > 9) break;
      if (at - from >= limit) continue;
      chunk = chunk * 10 + digit;
      if (++chunkDigits === 6) {
        this.push(MAX_FACTOR, chunk);
        chunk = 0;
        chunkDigits = 0;
      }
    }
    if (chunkDigits > 0) this.push(POWERS_OF_TEN[chunkDigits]!, chunk);
    return at;
  }

  private notDigits(bytes: Uint8Array, start: number, length: number): false {
    if (
      isAscii(bytes, start, length, 'NaN') ||
      isAscii(bytes, start, length, 'Infinity') ||
      isAscii(bytes, start, length, '-Infinity')
    ) {
      return this.reject();
    }
    throw this.malformed(length);
  }

  /** Multiplies by 10^zeros; nothing where `zeros` is not above 0. */
  private pad(zeros: number): void {
    for (let left = zeros; left > 0; left -= 6) this.push(POWERS_OF_TEN[Math.min(left, 6)]!, 0);
  }
}

/** Up to 15 digits: one double collects them. */
class SmallDecimalCodec extends DecimalCodec {
  readonly builder: ShortBuilder | WordBuilder;
  private readonly short: ShortBuilder | null;
  private readonly word: WordBuilder;
  private readonly paired: boolean;
  private value = 0;

  constructor(precision: number, scale: number, rowLimit: number) {
    super(precision, scale);
    const type: LogicalType = { kind: 'decimal', precision, scale };
    this.short = precision <= 4 ? new ShortBuilder(type, rowLimit) : null;
    this.paired = precision > 9;
    this.word = new WordBuilder(type, this.paired ? 2 : 1, rowLimit);
    this.builder = this.short ?? this.word;
  }

  protected override clear(): void {
    this.value = 0;
  }

  protected override push(factor: number, addend: number): void {
    this.value = this.value * factor + addend;
  }

  protected override store(negative: boolean): void {
    const value = negative ? -this.value : this.value;
    if (this.paired) this.word.appendSafe(value);
    else if (this.short === null) this.word.append(value);
    else this.short.append(value);
  }
}

/** 16 to 38 digits. */
class LargeDecimalCodec extends DecimalCodec {
  readonly builder: WordBuilder;
  private readonly quad: boolean;
  private readonly wide = new WideNumber();

  constructor(precision: number, scale: number, rowLimit: number) {
    super(precision, scale);
    this.quad = precision > 18;
    this.builder = new WordBuilder({ kind: 'decimal', precision, scale }, this.quad ? 4 : 2, rowLimit);
  }

  protected override clear(): void {
    this.wide.set(0);
  }

  protected override push(factor: number, addend: number): void {
    if (this.quad) this.wide.scale(factor, addend);
    else this.wide.scale64(factor, addend);
  }

  protected override store(negative: boolean): void {
    const { wide } = this;
    if (negative) wide.negate();
    if (this.quad) this.builder.appendQuad(wide.w0, wide.w1, wide.w2, wide.w3);
    else this.builder.appendPair(wide.w0, wide.w1);
  }
}

/** The codec for a precision of 1 to 38. */
export function decimalCodec(
  precision: number,
  scale: number,
  rowLimit: number,
): SmallDecimalCodec | LargeDecimalCodec {
  if (precision <= SMALL_PRECISION) return new SmallDecimalCodec(precision, scale, rowLimit);
  return new LargeDecimalCodec(precision, scale, rowLimit);
}

function decimalDigits(group: number): number {
  if (group >= 1000) return 4;
  if (group >= 100) return 3;
  return group >= 10 ? 2 : 1;
}
