import { SluiceError } from '../error/sluice-error.js';

/** PGCOPY\n\377\r\n\0 */
const SIGNATURE = [0x50, 0x47, 0x43, 0x4f, 0x50, 0x59, 0x0a, 0xff, 0x0d, 0x0a, 0x00];
/** Signature, flags, length of the extension area. */
const HEADER_BYTES = SIGNATURE.length + 8;
/** Flag bits that a reader must know or refuse; none is in use. */
const CRITICAL_FLAGS = 0xffff0000;
const TRAILER = -1;
const NULL_FIELD = -1;

/** Taken at a time to complete a tuple that a chunk cut; what is too much is given back. */
const COMPLETION_BYTES = 4096;
/** A carry buffer larger than that is given up again after its tuple. */
const KEPT_CARRY_BYTES = 1024 * 1024;

/** Called with a whole tuple: its bytes lie from `start` to `end`, its fields where the reader's `starts` and `lengths` say. */
export type TupleHandler = (bytes: Uint8Array, start: number, end: number) => void;

/**
 * Splits the payload of `COPY ... (FORMAT binary)` into tuples, wherever its chunks are cut. Tuples that lie within one
 * chunk are handed on in place; only a cut one is put together in a buffer of its own.
 * @see Postgres docs, "COPY", Binary Format
 */
export class CopyTupleReader {
  /** Where each field of the current tuple begins. */
  readonly starts: Int32Array;
  /** Bytes of each field of the current tuple, -1 for NULL. */
  readonly lengths: Int32Array;
  private readonly fieldCount: number;
  private readonly onTuple: TupleHandler;
  private phase: 'header' | 'tuples' | 'done' = 'header';
  private carry = Buffer.allocUnsafe(COMPLETION_BYTES);
  private carried = 0;
  /** Bytes from the beginning of a cut item that are needed before it is worth another look. */
  private needed = 0;

  constructor(fieldCount: number, onTuple: TupleHandler) {
    this.fieldCount = fieldCount;
    this.onTuple = onTuple;
    this.starts = new Int32Array(fieldCount);
    this.lengths = new Int32Array(fieldCount);
  }

  /**
   * The next piece of the payload; the bytes may be reused after the call.
   * @throws SluiceError PROTOCOL_VIOLATION
   */
  feed(bytes: Uint8Array, start: number, end: number): void {
    let at = this.carried > 0 ? this.completeCarried(bytes, start, end) : start;
    while (at < end) {
      const next = this.scanItem(bytes, at, end);
      if (next < 0) {
        this.appendCarry(bytes, at, end);
        return;
      }
      at = next;
    }
  }

  /** @throws SluiceError PROTOCOL_VIOLATION when the payload ended before its trailer */
  finish(): void {
    if (this.phase !== 'done') throw violation('binary COPY ended before its trailer');
  }

  /** Goes on with an item that earlier chunks began. Returns where the rest of this chunk begins. */
  private completeCarried(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    while (at < end) {
      const take = Math.min(Math.max(this.needed - this.carried, COMPLETION_BYTES), end - at);
      this.appendCarry(bytes, at, at + take);
      at += take;
      if (this.carried < this.needed) continue;
      const size = this.scanItem(this.carry, 0, this.carried);
      if (size < 0) continue;
      const surplus = this.carried - size;
      this.carried = 0;
      if (this.carry.length > KEPT_CARRY_BYTES) this.carry = Buffer.allocUnsafe(COMPLETION_BYTES);
      return at - surplus;
    }
    return at;
  }

  /** Grows with what has really arrived, never by what a length in the stream claims. */
  private appendCarry(bytes: Uint8Array, start: number, end: number): void {
    const size = this.carried + end - start;
    if (size > this.carry.length) {
      const wider = Buffer.allocUnsafe(Math.max(size, this.carry.length * 2));
      wider.set(this.carry.subarray(0, this.carried));
      this.carry = wider;
    }
    this.carry.set(bytes.subarray(start, end), this.carried);
    this.carried = size;
  }

  /** Handles the item at `at` and returns where it ends; -1 when its end is not there yet. */
  private scanItem(bytes: Uint8Array, at: number, end: number): number {
    if (this.phase === 'tuples') return this.scanTuple(bytes, at, end);
    if (this.phase === 'header') return this.scanHeader(bytes, at, end);
    throw violation('bytes after the trailer of binary COPY');
  }

  private scanTuple(bytes: Uint8Array, start: number, end: number): number {
    if (end - start < 2) return this.need(2);
    const count = ((bytes[start]! << 24) >> 16) | bytes[start + 1]!;
    if (count === TRAILER) {
      this.phase = 'done';
      return start + 2;
    }
    const { fieldCount, starts, lengths } = this;
    if (count !== fieldCount) throw violation(`a tuple of ${count} fields where ${fieldCount} were asked for`);
    let at = start + 2;
    for (let field = 0; field < fieldCount; field++) {
      if (end - at < 4) return this.need(at + 4 - start);
      const length = (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
      at += 4;
      starts[field] = at;
      lengths[field] = length;
      if (length > 0) {
        at += length;
        if (at > end) return this.need(at - start);
      } else if (length < NULL_FIELD) {
        throw violation(`a field of ${length} bytes`);
      }
    }
    this.onTuple(bytes, start, at);
    return at;
  }

  private scanHeader(bytes: Uint8Array, start: number, end: number): number {
    if (end - start < HEADER_BYTES) return this.need(HEADER_BYTES);
    if (SIGNATURE.some((byte, index) => bytes[start + index] !== byte)) throw violation('no signature of binary COPY');
    const view = new DataView(bytes.buffer, bytes.byteOffset + start, HEADER_BYTES);
    const flags = view.getUint32(SIGNATURE.length);
    if ((flags & CRITICAL_FLAGS) !== 0) throw violation(`unknown flags 0x${flags.toString(16)} of binary COPY`);
    const extension = view.getInt32(SIGNATURE.length + 4);
    if (extension < 0) throw violation(`a header extension of ${extension} bytes`);
    if (end - start < HEADER_BYTES + extension) return this.need(HEADER_BYTES + extension);
    this.phase = 'tuples';
    return start + HEADER_BYTES + extension;
  }

  private need(size: number): -1 {
    this.needed = size;
    return -1;
  }
}

function violation(message: string): SluiceError {
  return new SluiceError({ code: 'PROTOCOL_VIOLATION', message });
}
