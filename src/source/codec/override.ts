import { type ShortBuilder, WordBuilder } from '../../batch/column-builder.js';
import { NUMBER_PATTERN, NUMBER_TEXT_LIMIT } from '../value-type.js';
import { asciiText, ColumnCodec } from './column-codec.js';
import { decimalCodec } from './decimal.js';

const NUMBER = new RegExp(NUMBER_PATTERN);
const NAN_HIGH = 0x7ff80000;

/**
 * `types: {column: double}`: the output text of any type, read as the nearest double. NaN and the infinities are kept;
 * text that is no number, or one too large for a finite double, is rejected.
 */
export class DoubleOverrideCodec extends ColumnCodec {
  readonly builder: WordBuilder;
  private readonly textLimit: number;
  private readonly double = new Float64Array(1);
  private readonly bits = new Int32Array(this.double.buffer);

  /** @param fromNumber whether the column's type prints only numbers; else long text is rejected unread */
  constructor(fromNumber: boolean, rowLimit: number) {
    super('number');
    this.builder = new WordBuilder({ kind: 'float64' }, 2, rowLimit);
    this.textLimit = fromNumber ? Number.POSITIVE_INFINITY : NUMBER_TEXT_LIMIT;
  }

  override putBinary(bytes: Uint8Array, start: number, length: number): boolean {
    return this.putText(bytes, start, length);
  }

  override putText(bytes: Uint8Array, start: number, length: number): boolean {
    const text = asciiText(bytes, start, length);
    if (text === 'NaN') {
      this.builder.appendPair(0, NAN_HIGH);
      return true;
    }
    const infinite = text === 'Infinity' || text === '-Infinity';
    if (!infinite && (length > this.textLimit || !NUMBER.test(text))) return this.reject();
    const value = Number(text);
    if (!infinite && !Number.isFinite(value)) return this.reject();
    this.double[0] = value;
    this.builder.appendPair(this.bits[0]!, this.bits[1]!);
    return true;
  }
}

/**
 * `types: {column: decimal(p,s)}` for a column that is not numeric: the output text, rejected unless it is a number that
 * fits exactly. Exponents, as float8out prints them, are written out first.
 */
export class DecimalOverrideCodec extends ColumnCodec {
  readonly builder: ShortBuilder | WordBuilder;
  private readonly decimal: ReturnType<typeof decimalCodec>;
  private readonly textLimit: number;

  constructor(precision: number, scale: number, fromNumber: boolean, rowLimit: number) {
    super('number');
    this.decimal = decimalCodec(precision, scale, rowLimit);
    this.builder = this.decimal.builder;
    this.textLimit = fromNumber ? Number.POSITIVE_INFINITY : NUMBER_TEXT_LIMIT;
  }

  override putBinary(bytes: Uint8Array, start: number, length: number): boolean {
    return this.putText(bytes, start, length);
  }

  override putText(bytes: Uint8Array, start: number, length: number): boolean {
    const text = asciiText(bytes, start, length);
    if (length > this.textLimit || !NUMBER.test(text)) return this.reject();
    const plain = Buffer.from(withoutExponent(text), 'latin1');
    return this.decimal.putText(plain, 0, plain.length);
  }
}

/** A number that matches NUMBER_PATTERN in plain decimal notation, as numeric_out would print it. */
function withoutExponent(text: string): string {
  const [mantissa = '', power = '0'] = text.toLowerCase().split('e');
  const negative = mantissa.startsWith('-');
  const [whole = '', fraction = ''] = mantissa.replace(/^[+-]/, '').split('.');
  const digits = whole + fraction;
  const point = whole.length + Number(power);
  const left = point > 0 ? digits.slice(0, point).padEnd(point, '0') : '0';
  const right = point < 0 ? '0'.repeat(-point) + digits : digits.slice(point);
  return `${negative ? '-' : ''}${left}${right === '' ? '' : `.${right}`}`;
}
