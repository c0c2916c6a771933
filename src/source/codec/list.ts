import { ListBuilder } from '../../batch/column-builder.js';
import { ColumnCodec, readInt32 } from './column-codec.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN = 0x7b; // {
const CLOSE = 0x7d; // }
const BOUNDS = 0x5b; // [

const FIRST_SCRATCH_BYTES = 256;
const MAX_DIMENSIONS = 6;

/**
 * One-dimensional arrays that begin at 1; empty ones are empty lists. Arrays of more dimensions, or that begin elsewhere,
 * are rejected whole, and so is one with an element that the element's codec rejects.
 * @see Postgres docs, "Array Input and Output Syntax"; array_send in arrayfuncs.c
 */
export class ListCodec extends ColumnCodec {
  readonly builder: ListBuilder;
  private readonly element: ColumnCodec;
  /** Holds a quoted element without its backslashes. */
  private scratch = new Uint8Array(FIRST_SCRATCH_BYTES);
  private accepted = true;

  constructor(element: ColumnCodec, rowLimit: number) {
    super('array');
    this.element = element;
    this.builder = new ListBuilder({ kind: 'list', element: element.builder.type }, element.builder, rowLimit);
  }

  /** int32 dimensions, int32 flags, oid; per dimension int32 size and lower bound; per element int32 length and bytes. */
  override putBinary(bytes: Uint8Array, start: number, length: number): boolean {
    if (length < 12) throw this.malformed(length);
    const dimensions = readInt32(bytes, start);
    if (dimensions < 0 || dimensions > MAX_DIMENSIONS || length < 12 + 8 * dimensions) throw this.malformed(length);
    if (dimensions === 0) {
      if (length !== 12) throw this.malformed(length);
      this.builder.appendList();
      return true;
    }
    const count = readInt32(bytes, start + 12);
    if (dimensions > 1 || readInt32(bytes, start + 16) !== 1) return this.reject();
    if (count < 0) throw this.malformed(length);
    return this.putElements(bytes, start + 20, start + length, count, length);
  }

  override putText(bytes: Uint8Array, start: number, length: number): boolean {
    if (length < 2) throw this.malformed(length);
    // Bounds are printed only where one of them is not 1.
    if (bytes[start] === BOUNDS) return this.reject();
    const end = start + length;
    if (bytes[start] !== OPEN || bytes[end - 1] !== CLOSE) throw this.malformed(length);
    if (bytes[start + 1] === OPEN) return this.reject();
    const first = this.element.builder.length;
    this.accepted = true;
    if (length > 2) this.scanElements(bytes, start + 1, end - 1, length);
    return this.endList(first);
  }

  private putElements(bytes: Uint8Array, from: number, end: number, count: number, length: number): boolean {
    const { element } = this;
    const first = element.builder.length;
    let at = from;
    let accepted = true;
    for (let i = 0; i < count; i++) {
      if (end - at < 4) throw this.malformed(length);
      const size = readInt32(bytes, at);
      at += 4;
      if (size === -1) {
        element.putNull();
      } else {
        if (size < 0 || size > end - at) throw this.malformed(length);
        if (!element.putBinary(bytes, at, size)) accepted = false;
        at += size;
      }
    }
    if (at !== end) throw this.malformed(length);
    this.accepted = accepted;
    return this.endList(first);
  }

  /** Elements separated by commas, at least one. */
  private scanElements(bytes: Uint8Array, from: number, end: number, length: number): void {
    let at = from;
    for (;;) {
      at =
        at < end && bytes[at] === QUOTE
          ? this.scanQuoted(bytes, at + 1, end, length)
          : this.scanPlain(bytes, at, end, length);
      if (at === end) return;
      if (bytes[at] !== COMMA) throw this.malformed(length);
      at++;
    }
  }

  private scanPlain(bytes: Uint8Array, from: number, end: number, length: number): number {
    let at = from;
    while (at < end && bytes[at] !== COMMA) {
      const byte = bytes[at]!;
      if (byte === QUOTE || byte === BACKSLASH || byte === OPEN || byte === CLOSE) throw this.malformed(length);
      at++;
    }
    if (at === from) throw this.malformed(length);
    if (isNull(bytes, from, at)) this.element.putNull();
    else this.putElement(bytes, from, at - from);
    return at;
  }

  /** From behind the opening quote; returns the position behind the closing one. */
  private scanQuoted(bytes: Uint8Array, from: number, end: number, length: number): number {
    let at = from;
    while (at < end && bytes[at] !== QUOTE && bytes[at] !== BACKSLASH) at++;
    if (at < end && bytes[at] === QUOTE) {
      this.putElement(bytes, from, at - from);
      return at + 1;
    }
    if (this.scratch.length < end - from) this.scratch = new Uint8Array(end - from);
    const { scratch } = this;
    let size = 0;
    for (at = from; at < end && bytes[at] !== QUOTE; at++) {
      if (bytes[at] === BACKSLASH) at++;
      if (at < end) scratch[size++] = bytes[at]!;
    }
    if (at >= end) throw this.malformed(length);
    this.putElement(scratch, 0, size);
    return at + 1;
  }

  private putElement(bytes: Uint8Array, start: number, length: number): void {
    if (!this.element.putText(bytes, start, length)) this.accepted = false;
  }

  private endList(first: number): boolean {
    if (this.accepted) {
      this.builder.appendList();
      return true;
    }
    this.element.builder.truncate(first);
    return this.reject();
  }
}

/** An element that is the word NULL without quotes. */
function isNull(bytes: Uint8Array, from: number, end: number): boolean {
  if (end - from !== 4) return false;
  return bytes[from] === 0x4e && bytes[from + 1] === 0x55 && bytes[from + 2] === 0x4c && bytes[from + 3] === 0x4c;
}
