import { ShortBuilder, WordBuilder } from '../../batch/column-builder.js';
import { ColumnCodec, readInt16, readInt32 } from './column-codec.js';
import { WideNumber } from './wide-number.js';

const MINUS = 0x2d;
const ZERO = 0x30;
/** So many digits always fit a double exactly. */
const SAFE_DIGITS = 15;
const MAX_INT64_DIGITS = 19;

/** Reads `-?[0-9]{1,15}`; NaN for anything else. */
function parseSafeInteger(bytes: Uint8Array, start: number, length: number): number {
  let at = start;
  const end = start + length;
  const negative = bytes[at] === MINUS && length > 0;
  if (negative) at++;
  if (at === end || end - at > SAFE_DIGITS) return Number.NaN;
  let value = 0;
  for (; at < end; at++) {
    const digit = bytes[at]! - ZERO;
    if (digit < 0 || digit > 9) return Number.NaN;
    value = value * 10 + digit;
  }
  return negative ? -value : value;
}

export class Int16Codec extends ColumnCodec {
  readonly builder: ShortBuilder;

  constructor(rowLimit: number) {
    super('smallint');
    this.builder = new ShortBuilder({ kind: 'int16' }, rowLimit);
  }

  override putBinary(bytes: Uint8Array, start: number, length: number): boolean {
    if (length !== 2) throw this.malformed(length);
    this.builder.append(readInt16(bytes, start));
    return true;
  }

  override putText(bytes: Uint8Array, start: number, length: number): boolean {
    const value = parseSafeInteger(bytes, start, length);
    if (!(value >= -0x8000 && value <= 0x7fff)) throw this.malformed(length);
    this.builder.append(value);
    return true;
  }
}

export class Int32Codec extends ColumnCodec {
  readonly builder: WordBuilder;

  constructor(rowLimit: number) {
    super('integer');
    this.builder = new WordBuilder({ kind: 'int32' }, 1, rowLimit);
  }

  override putBinary(bytes: Uint8Array, start: number, length: number): boolean {
    if (length !== 4) throw this.malformed(length);
    this.builder.append(readInt32(bytes, start));
    return true;
  }

  override putText(bytes: Uint8Array, start: number, length: number): boolean {
    const value = parseSafeInteger(bytes, start, length);
    if (!(value >= -0x80000000 && value <= 0x7fffffff)) throw this.malformed(length);
    this.builder.append(value);
    return true;
  }
}

/** oid: an unsigned 32-bit number. */
export class UInt32Codec extends ColumnCodec {
  readonly builder: WordBuilder;

  constructor(rowLimit: number) {
    super('oid');
    this.builder = new WordBuilder({ kind: 'uint32' }, 1, rowLimit);
  }

  override putBinary(bytes: Uint8Array, start: number, length: number): boolean {
    if (length !== 4) throw this.malformed(length);
    this.builder.append(readInt32(bytes, start));
    return true;
  }

  override putText(bytes: Uint8Array, start: number, length: number): boolean {
    const value = parseSafeInteger(bytes, start, length);
    if (!(value >= 0 && value <= 0xffffffff)) throw this.malformed(length);
    this.builder.append(value | 0);
    return true;
  }
}

/** oid where the destination has no unsigned numbers. */
export class WideOidCodec extends ColumnCodec {
  readonly builder: WordBuilder;

  constructor(rowLimit: number) {
    super('oid');
    this.builder = new WordBuilder({ kind: 'int64' }, 2, rowLimit);
  }

  override putBinary(bytes: Uint8Array, start: number, length: number): boolean {
    if (length !== 4) throw this.malformed(length);
    this.builder.appendPair(readInt32(bytes, start), 0);
    return true;
  }

  override putText(bytes: Uint8Array, start: number, length: number): boolean {
    const value = parseSafeInteger(bytes, start, length);
    if (!(value >= 0 && value <= 0xffffffff)) throw this.malformed(length);
    this.builder.appendPair(value | 0, 0);
    return true;
  }
}

export class Int64Codec extends ColumnCodec {
  readonly builder: WordBuilder;
  private readonly wide = new WideNumber();

  constructor(rowLimit: number) {
    super('bigint');
    this.builder = new WordBuilder({ kind: 'int64' }, 2, rowLimit);
  }

  override putBinary(bytes: Uint8Array, start: number, length: number): boolean {
    if (length !== 8) throw this.malformed(length);
    this.builder.appendPair(readInt32(bytes, start + 4), readInt32(bytes, start));
    return true;
  }

  override putText(bytes: Uint8Array, start: number, length: number): boolean {
    const value = parseSafeInteger(bytes, start, length);
    if (Number.isNaN(value)) this.putLong(bytes, start, length);
    else this.builder.appendSafe(value);
    return true;
  }

  /** 16 to 19 digits. */
  private putLong(bytes: Uint8Array, start: number, length: number): void {
    const { wide } = this;
    const end = start + length;
    const negative = bytes[start] === MINUS;
    let at = negative ? start + 1 : start;
    if (end - at <= SAFE_DIGITS || end - at > MAX_INT64_DIGITS) throw this.malformed(length);
    wide.set(parseSafeInteger(bytes, at, SAFE_DIGITS));
    // A minus among the digits would be read by the parser above as a sign; only digits may follow one.
    if (bytes[at] === MINUS) throw this.malformed(length);
    for (at += SAFE_DIGITS; at < end; at++) {
      const digit = bytes[at]! - ZERO;
      if (digit < 0 || digit > 9) throw this.malformed(length);
      wide.scale(10, digit);
    }
    // 19 digits reach 2^64 at most in w2, so nothing is lost before this check.
    const limit = negative && wide.w0 === 0 ? 0x80000000 : 0x7fffffff;
    if (wide.w2 > 0 || wide.w1 > limit) throw this.malformed(length);
    if (negative) wide.negate();
    this.builder.appendPair(wide.w0, wide.w1);
  }
}
