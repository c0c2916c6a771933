import { HeapBuilder } from '../../batch/column-builder.js';
import { ColumnCodec } from './column-codec.js';
import { hexByte } from './hex.js';

const BACKSLASH = 0x5c;
const LETTER_X = 0x78;

/** bytea; its text is `\x` and two hex digits a byte (bytea_output = hex). */
export class BlobCodec extends ColumnCodec {
  readonly builder: HeapBuilder;

  constructor(rowLimit: number) {
    super('bytea');
    this.builder = new HeapBuilder({ kind: 'blob' }, rowLimit);
  }

  override putBinary(bytes: Uint8Array, start: number, length: number): boolean {
    this.builder.append(bytes, start, length);
    return true;
  }

  override putText(bytes: Uint8Array, start: number, length: number): boolean {
    if (length < 2 || (length & 1) === 1 || bytes[start] !== BACKSLASH || bytes[start + 1] !== LETTER_X) {
      throw this.malformed(length);
    }
    const size = (length - 2) >> 1;
    const to = this.builder.reserve(size);
    const { target } = this.builder;
    let bad = 0;
    for (let i = 0, at = start + 2; i < size; i++, at += 2) {
      const byte = hexByte(bytes, at);
      bad |= byte;
      target[to + i] = byte;
    }
    if (bad < 0) throw this.malformed(length);
    return true;
  }
}
