import { WordBuilder } from '../../batch/column-builder.js';
import { ColumnCodec, isAscii, readInt32 } from './column-codec.js';
import { Scanner } from './scanner.js';

const MINUS = 0x2d;
const PLUS = 0x2b;
const SPACE = 0x20;
const COLON = 0x3a;
const LETTER_S = 0x73;
const LIMB = 0x1_0000_0000;

const INT32_MAX = 0x7fffffff;
const INT32_MIN = -0x80000000;
/** Hours that are an exact double in microseconds. */
const EXACT_HOURS = 1_000_000;

/**
 * Months, days and microseconds, each with its own sign. Its text has the form `1 year 2 mons -3 days +04:05:06.789`
 * (IntervalStyle = postgres), any part but one left out. The infinite intervals of 17+ have all bits of one extreme and
 * are rejected; before 17 the same bits are rejected too, so that a value means the same whatever the server.
 */
export class IntervalCodec extends ColumnCodec {
  readonly builder: WordBuilder;
  private readonly scanner = new Scanner();
  private months = 0;
  private days = 0;
  private microsLow = 0;
  private microsHigh = 0;

  constructor(rowLimit: number) {
    super('interval');
    this.builder = new WordBuilder({ kind: 'interval' }, 4, rowLimit);
  }

  override putBinary(bytes: Uint8Array, start: number, length: number): boolean {
    if (length !== 16) throw this.malformed(length);
    this.microsHigh = readInt32(bytes, start);
    this.microsLow = readInt32(bytes, start + 4);
    this.days = readInt32(bytes, start + 8);
    this.months = readInt32(bytes, start + 12);
    return this.append();
  }

  override putText(bytes: Uint8Array, start: number, length: number): boolean {
    if (isAscii(bytes, start, length, 'infinity') || isAscii(bytes, start, length, '-infinity')) return this.reject();
    this.months = 0;
    this.days = 0;
    this.microsLow = 0;
    this.microsHigh = 0;
    this.scanner.reset(bytes, start, length);
    do {
      if (!this.scanPart()) throw this.malformed(length);
    } while (this.scanner.take(SPACE));
    if (!this.scanner.done || !isInt32(this.months) || !isInt32(this.days)) throw this.malformed(length);
    return this.append();
  }

  /** One number with its unit, or the time at the end. */
  private scanPart(): boolean {
    const { scanner } = this;
    const negative = scanner.take(MINUS);
    if (!negative) scanner.take(PLUS);
    const number = scanner.digits(1, 10);
    if (number < 0) return false;
    if (scanner.peek() === COLON) return this.scanTime(number, negative);
    if (!scanner.take(SPACE)) return false;
    const signed = negative ? -number : number;
    if (scanner.takeWord('year')) this.months += signed * 12;
    else if (scanner.takeWord('mon')) this.months += signed;
    else if (scanner.takeWord('day')) this.days += signed;
    else return false;
    scanner.take(LETTER_S);
    return true;
  }

  private scanTime(hours: number, negative: boolean): boolean {
    const { scanner } = this;
    const minutes = scanner.take(COLON) ? scanner.digits(2, 2) : -1;
    const seconds = scanner.take(COLON) ? scanner.digits(2, 2) : -1;
    const fraction = scanner.microseconds();
    if (minutes < 0 || minutes > 59 || seconds < 0 || seconds > 59 || fraction < 0) return false;
    const rest = (minutes * 60 + seconds) * 1_000_000 + fraction;
    if (hours <= EXACT_HOURS) {
      const micros = hours * 3_600_000_000 + rest;
      this.setMicros(negative ? -micros : micros);
      return true;
    }
    const micros = BigInt(hours) * 3_600_000_000n + BigInt(rest);
    const signed = negative ? -micros : micros;
    if (BigInt.asIntN(64, signed) !== signed) return false;
    this.microsLow = Number(BigInt.asIntN(32, signed));
    this.microsHigh = Number(BigInt.asIntN(32, signed >> 32n));
    return true;
  }

  private setMicros(micros: number): void {
    this.microsHigh = Math.floor(micros / LIMB);
    this.microsLow = (micros - this.microsHigh * LIMB) | 0;
  }

  private append(): boolean {
    const { months, days, microsLow, microsHigh } = this;
    if (months === INT32_MAX && days === INT32_MAX && microsHigh === INT32_MAX && microsLow === -1)
      return this.reject();
    if (months === INT32_MIN && days === INT32_MIN && microsHigh === INT32_MIN && microsLow === 0) return this.reject();
    this.builder.appendQuad(months, days, microsLow, microsHigh);
    return true;
  }
}

function isInt32(value: number): boolean {
  return value >= INT32_MIN && value <= INT32_MAX;
}
