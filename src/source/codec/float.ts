import { WordBuilder } from '../../batch/column-builder.js';
import { ColumnCodec, isAscii, readInt32 } from './column-codec.js';
import { nearestFloat, parseDouble } from './float-text.js';

/** Every NaN is written as this one: Postgres keeps the bits that arithmetic left, but prints them all alike. */
const NAN_FLOAT64_HIGH = 0x7ff80000;
const NAN_FLOAT32 = 0x7fc00000;

export class Float64Codec extends ColumnCodec {
  readonly builder: WordBuilder;
  private readonly double = new Float64Array(1);
  private readonly bits = new Int32Array(this.double.buffer);

  constructor(rowLimit: number) {
    super('double precision');
    this.builder = new WordBuilder({ kind: 'float64' }, 2, rowLimit);
  }

  override putBinary(bytes: Uint8Array, start: number, length: number): boolean {
    if (length !== 8) throw this.malformed(length);
    const high = readInt32(bytes, start);
    const low = readInt32(bytes, start + 4);
    if ((high & 0x7ff00000) === 0x7ff00000 && ((high & 0xfffff) | low) !== 0) {
      this.builder.appendPair(0, NAN_FLOAT64_HIGH);
    } else {
      this.builder.appendPair(low, high);
    }
    return true;
  }

  override putText(bytes: Uint8Array, start: number, length: number): boolean {
    const value = parseDouble(bytes, start, length);
    if (Number.isNaN(value)) {
      if (!isAscii(bytes, start, length, 'NaN')) throw this.malformed(length);
      this.builder.appendPair(0, NAN_FLOAT64_HIGH);
    } else {
      this.double[0] = value;
      this.builder.appendPair(this.bits[0]!, this.bits[1]!);
    }
    return true;
  }
}

export class Float32Codec extends ColumnCodec {
  readonly builder: WordBuilder;
  private readonly float = new Float32Array(1);
  private readonly bits = new Int32Array(this.float.buffer);

  constructor(rowLimit: number) {
    super('real');
    this.builder = new WordBuilder({ kind: 'float32' }, 1, rowLimit);
  }

  override putBinary(bytes: Uint8Array, start: number, length: number): boolean {
    if (length !== 4) throw this.malformed(length);
    const word = readInt32(bytes, start);
    this.builder.append((word & 0x7f800000) === 0x7f800000 && (word & 0x7fffff) !== 0 ? NAN_FLOAT32 : word);
    return true;
  }

  override putText(bytes: Uint8Array, start: number, length: number): boolean {
    const value = parseDouble(bytes, start, length);
    if (Number.isNaN(value)) {
      if (!isAscii(bytes, start, length, 'NaN')) throw this.malformed(length);
      this.builder.append(NAN_FLOAT32);
    } else {
      const float = nearestFloat(value, bytes, start, length);
      if (Number.isFinite(value) && !Number.isFinite(float)) throw this.malformed(length);
      this.float[0] = float;
      this.builder.append(this.bits[0]!);
    }
    return true;
  }
}
