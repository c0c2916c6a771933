import { WordBuilder } from '../../batch/column-builder.js';
import { ColumnCodec, readInt32 } from './column-codec.js';
import { hexByte } from './hex.js';

const DASH = 0x2d;
const TEXT_LENGTH = 36;
/** DuckDB sorts a UUID as a signed 128-bit number, so the top bit is flipped. */
const TOP_BIT = 0x80000000;

export class UuidCodec extends ColumnCodec {
  readonly builder: WordBuilder;

  constructor(rowLimit: number) {
    super('uuid');
    this.builder = new WordBuilder({ kind: 'uuid' }, 4, rowLimit);
  }

  override putBinary(bytes: Uint8Array, start: number, length: number): boolean {
    if (length !== 16) throw this.malformed(length);
    this.builder.appendQuad(
      readInt32(bytes, start + 12),
      readInt32(bytes, start + 8),
      readInt32(bytes, start + 4),
      readInt32(bytes, start) ^ TOP_BIT,
    );
    return true;
  }

  /** xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx */
  override putText(bytes: Uint8Array, start: number, length: number): boolean {
    if (
      length !== TEXT_LENGTH ||
      bytes[start + 8] !== DASH ||
      bytes[start + 13] !== DASH ||
      bytes[start + 18] !== DASH ||
      bytes[start + 23] !== DASH
    ) {
      throw this.malformed(length);
    }
    const high = this.word(bytes, start, start + 4);
    const upper = this.word(bytes, start + 9, start + 14);
    const lower = this.word(bytes, start + 19, start + 24);
    const low = this.word(bytes, start + 28, start + 32);
    this.builder.appendQuad(low, lower, upper, high ^ TOP_BIT);
    return true;
  }

  /** A 32-bit word from two groups of four hex digits. */
  private word(bytes: Uint8Array, first: number, second: number): number {
    const b0 = hexByte(bytes, first);
    const b1 = hexByte(bytes, first + 2);
    const b2 = hexByte(bytes, second);
    const b3 = hexByte(bytes, second + 2);
    if ((b0 | b1 | b2 | b3) < 0) throw this.malformed(TEXT_LENGTH);
    return (b0 << 24) | (b1 << 16) | (b2 << 8) | b3;
  }
}
