import { HeapBuilder } from '../../batch/column-builder.js';
import type { LogicalType } from '../../batch/logical-type.js';
import { ColumnCodec } from './column-codec.js';

const JSONB_VERSION = 1;

/** Text as it stands: text types, json, and everything that comes as its output function's text. */
export class TextCodec extends ColumnCodec {
  readonly builder: HeapBuilder;
  private readonly shortest: 0 | 1;

  constructor(type: LogicalType, rowLimit: number) {
    super('text');
    this.builder = new HeapBuilder(type, rowLimit);
    this.shortest = type.kind === 'varchar' && type.empty === 'rejected' ? 1 : 0;
  }

  override putBinary(bytes: Uint8Array, start: number, length: number): boolean {
    return this.append(bytes, start, length);
  }

  override putText(bytes: Uint8Array, start: number, length: number): boolean {
    return this.append(bytes, start, length);
  }

  private append(bytes: Uint8Array, start: number, length: number): boolean {
    if (length < this.shortest) return this.reject();
    this.builder.append(bytes, start, length);
    return true;
  }
}

/** jsonb: its binary form is a version byte and the same text that its output function writes. */
export class JsonbCodec extends ColumnCodec {
  readonly builder: HeapBuilder;

  constructor(type: LogicalType, rowLimit: number) {
    super('jsonb');
    this.builder = new HeapBuilder(type, rowLimit);
  }

  override putBinary(bytes: Uint8Array, start: number, length: number): boolean {
    if (length < 1 || bytes[start] !== JSONB_VERSION) throw this.malformed(length);
    this.builder.append(bytes, start + 1, length - 1);
    return true;
  }

  override putText(bytes: Uint8Array, start: number, length: number): boolean {
    this.builder.append(bytes, start, length);
    return true;
  }
}
