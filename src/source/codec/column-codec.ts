import type { Data } from 'apache-arrow';
import type { ColumnBuilder } from '../../batch/column-builder.js';
import { SluiceError } from '../../error/sluice-error.js';

/**
 * Both halves of one column: the same value gives the same cell, bit for bit, whether it comes as a field of binary COPY
 * ({@link putBinary}) or as text of pgoutput ({@link putText}). Each put appends exactly one cell.
 *
 * A put returns false where the value is a valid one of its type that the destination cannot hold: the cell is then NULL,
 * and the caller records the original text. Bytes that are no value of the type throw VALUE_MALFORMED.
 * The caller guarantees that `start` to `start + length` lies within the bytes.
 */
export abstract class ColumnCodec {
  /** The Postgres type, for error messages. */
  protected readonly typeName: string;
  abstract readonly builder: ColumnBuilder;

  constructor(typeName: string) {
    this.typeName = typeName;
  }

  abstract putBinary(bytes: Uint8Array, start: number, length: number): boolean;
  abstract putText(bytes: Uint8Array, start: number, length: number): boolean;

  putNull(): void {
    this.builder.appendNull();
  }

  /** The cells so far; the codec is empty afterwards. */
  build(): Data {
    return this.builder.build();
  }

  /** Appends NULL for a value that the destination cannot hold. */
  protected reject(): false {
    this.builder.appendNull();
    return false;
  }

  /** The value itself stays out of the message: it may be anybody's data. */
  protected malformed(length: number): SluiceError {
    return new SluiceError({
      code: 'VALUE_MALFORMED',
      message: `${length} bytes that are no value of type ${this.typeName}`,
      hint: 'the settings of the session may not be the ones Sluice asks for, or the stream is damaged',
    });
  }
}

export function readInt32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}

export function readInt16(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) >> 16) | bytes[at + 1]!;
}

/** True when the field is exactly that ASCII text. */
export function isAscii(bytes: Uint8Array, start: number, length: number, text: string): boolean {
  if (length !== text.length) return false;
  for (let i = 0; i < length; i++) {
    if (bytes[start + i] !== text.charCodeAt(i)) return false;
  }
  return true;
}

/** ASCII bytes as a string. */
export function asciiText(bytes: Uint8Array, start: number, length: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, length).toString('latin1');
}
