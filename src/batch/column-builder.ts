import { isUtf8 } from 'node:buffer';
import { type Data, type DataType, Float32, Float64, Int64, Uint32 } from 'apache-arrow';
import { SluiceError } from '../error/sluice-error.js';
import { type ColumnBuffers, columnData } from './arrow-data.js';
import { arrowType } from './arrow-schema.js';
import type { LogicalType } from './logical-type.js';

/** Rows that a builder makes room for at first: enough for a small page of changes, little for a table that has none. */
const FIRST_ROWS = 256;
const FIRST_HEAP_BYTES = 4096;
/** A heap this large is not kept for the next batch: one huge value must not hold its memory for good. */
const KEPT_HEAP_BYTES = 48 * 1024 * 1024;
/**
 * Up to here a loop over 32-bit words beats the subarray and the call that `set` needs. Measured for 16, 48, 96 and 128
 * bytes: 9, 22, 42 and 130 ns by words, about 80 to 120 ns by `set`; a loop over bytes took 24, 94, 194 and 376 ns.
 */
const LOOPED_COPY_BYTES = 96;

/**
 * A column under construction: typed arrays that grow, and a validity bitmap (1 = valid, least significant bit first).
 * Values go in through the subclass, one call a cell; {@link build} hands them over as Arrow data and starts anew.
 */
export abstract class ColumnBuilder {
  readonly type: LogicalType;
  /** Cells appended since the last build. */
  length = 0;
  protected readonly arrow: DataType;
  /** Cells there is room for. */
  protected capacity = 0;
  /** Growth stops here once, so that a batch of exactly that many rows is handed over without a copy. */
  protected readonly rowLimit: number;
  private nullCount = 0;
  private validity = new Uint8Array(0);

  constructor(type: LogicalType, rowLimit: number) {
    this.type = type;
    this.arrow = arrowType(type);
    this.rowLimit = rowLimit;
  }

  /** Appends NULL. */
  abstract appendNull(): void;
  /** Bytes that the cells take, without the bitmap. */
  abstract get byteLength(): number;
  protected abstract resize(capacity: number): void;
  /** Takes the cells out, in buffers that nothing else will write to. */
  protected abstract take(): ColumnBuffers;
  protected abstract discard(length: number): void;

  /** The cells so far as Arrow data in buffers of their own; the builder is empty afterwards. */
  build(): Data {
    const { length, nullCount } = this;
    const validity = nullCount === 0 ? null : this.bitmap((length + 7) >> 3).slice(0, (length + 7) >> 3);
    const parts = this.take();
    if (nullCount > 0) this.validity.fill(0xff);
    this.length = 0;
    this.nullCount = 0;
    return columnData(this.arrow, length, nullCount, { ...parts, validity });
  }

  /** Drops the cells from `length` on. */
  truncate(length: number): void {
    if (this.nullCount > 0) {
      for (let row = length; row < this.length; row++) {
        const mask = 1 << (row & 7);
        const byte = this.validity[row >> 3]!;
        if ((byte & mask) === 0) {
          this.validity[row >> 3] = byte | mask;
          this.nullCount--;
        }
      }
    }
    this.discard(length);
    this.length = length;
  }

  protected grow(): void {
    const { capacity, rowLimit } = this;
    const wanted = capacity === 0 ? FIRST_ROWS : capacity * 4;
    const next = capacity < rowLimit ? Math.min(wanted, rowLimit) : Math.max(capacity * 2, FIRST_ROWS);
    this.resize(next);
    this.capacity = next;
  }

  /** Marks the cell at `length` as NULL; the subclass still appends a zero value for it. */
  protected markNull(): void {
    const row = this.length;
    this.bitmap((row >> 3) + 1)[row >> 3]! &= ~(1 << (row & 7));
    this.nullCount++;
  }

  /** The bitmap with room for at least that many bytes; it only grows when a NULL comes. */
  private bitmap(bytes: number): Uint8Array {
    if (bytes > this.validity.length) {
      const wider = new Uint8Array(Math.max((this.capacity + 7) >> 3, bytes)).fill(0xff);
      wider.set(this.validity);
      this.validity = wider;
    }
    return this.validity;
  }
}

/** One byte a cell: boolean. */
export class ByteBuilder extends ColumnBuilder {
  private values = new Uint8Array(0);

  append(value: number): void {
    if (this.length === this.capacity) this.grow();
    this.values[this.length++] = value;
  }

  override appendNull(): void {
    if (this.length === this.capacity) this.grow();
    this.markNull();
    this.values[this.length++] = 0;
  }

  override get byteLength(): number {
    return this.length;
  }

  protected override resize(capacity: number): void {
    const wider = new Uint8Array(capacity);
    wider.set(this.values.subarray(0, this.length));
    this.values = wider;
  }

  protected override take(): ColumnBuffers {
    if (this.length < this.capacity) return { values: this.values.slice(0, this.length) };
    const { values } = this;
    this.values = new Uint8Array(this.capacity);
    return { values };
  }

  protected override discard(): void {}
}

/** Two bytes a cell: int16 and small decimals. */
export class ShortBuilder extends ColumnBuilder {
  private values = new Int16Array(0);

  append(value: number): void {
    if (this.length === this.capacity) this.grow();
    this.values[this.length++] = value;
  }

  override appendNull(): void {
    if (this.length === this.capacity) this.grow();
    this.markNull();
    this.values[this.length++] = 0;
  }

  override get byteLength(): number {
    return this.length * 2;
  }

  protected override resize(capacity: number): void {
    const wider = new Int16Array(capacity);
    wider.set(this.values.subarray(0, this.length));
    this.values = wider;
  }

  protected override take(): ColumnBuffers {
    if (this.length < this.capacity) return { values: this.values.slice(0, this.length) };
    const { values } = this;
    this.values = new Int16Array(this.capacity);
    return { values };
  }

  protected override discard(): void {}
}

/**
 * One, two or four 32-bit words a cell, least significant first: everything of 4, 8 and 16 bytes. Floats go in as their
 * bits, 64-bit numbers as two halves, so no BigInt is made for a cell.
 */
export class WordBuilder extends ColumnBuilder {
  private readonly width: 1 | 2 | 4;
  private words = new Int32Array(0);

  constructor(type: LogicalType, width: 1 | 2 | 4, rowLimit: number) {
    super(type, rowLimit);
    this.width = width;
  }

  /** Width 1. */
  append(word: number): void {
    if (this.length === this.capacity) this.grow();
    this.words[this.length++] = word;
  }

  /** Width 2. */
  appendPair(low: number, high: number): void {
    if (this.length === this.capacity) this.grow();
    const at = this.length++ << 1;
    this.words[at] = low;
    this.words[at + 1] = high;
  }

  /** Width 2: a whole number of at most 53 bits. */
  appendSafe(value: number): void {
    const high = Math.floor(value / 0x1_0000_0000);
    this.appendPair(value - high * 0x1_0000_0000, high);
  }

  /** Width 4. */
  appendQuad(w0: number, w1: number, w2: number, w3: number): void {
    if (this.length === this.capacity) this.grow();
    const at = this.length++ << 2;
    this.words[at] = w0;
    this.words[at + 1] = w1;
    this.words[at + 2] = w2;
    this.words[at + 3] = w3;
  }

  override appendNull(): void {
    if (this.length === this.capacity) this.grow();
    this.markNull();
    const at = this.length++ * this.width;
    for (let word = at; word < at + this.width; word++) this.words[word] = 0;
  }

  override get byteLength(): number {
    return this.length * this.width * 4;
  }

  protected override resize(capacity: number): void {
    const wider = new Int32Array(capacity * this.width);
    wider.set(this.words.subarray(0, this.length * this.width));
    this.words = wider;
  }

  protected override take(): ColumnBuffers {
    if (this.length < this.capacity) return { values: this.viewOf(this.words.slice(0, this.length * this.width)) };
    const { words } = this;
    this.words = new Int32Array(words.length);
    return { values: this.viewOf(words) };
  }

  protected override discard(): void {}

  /** The view that Arrow expects for the column's type. */
  private viewOf(words: Int32Array<ArrayBuffer>): ArrayBufferView {
    const { arrow } = this;
    if (arrow instanceof Int64) return new BigInt64Array(words.buffer);
    if (arrow instanceof Float64) return new Float64Array(words.buffer);
    if (arrow instanceof Float32) return new Float32Array(words.buffer);
    if (arrow instanceof Uint32) return new Uint32Array(words.buffer);
    return this.width === 1 ? words : new Uint8Array(words.buffer);
  }
}

/** Offsets into a heap of bytes: varchar, json and blob. */
export class HeapBuilder extends ColumnBuilder {
  private offsets = new Int32Array(1);
  private heap = new Uint8Array(0);
  private heapView = new DataView(this.heap.buffer);
  private used = 0;
  /** The bytes of the last append and a view of them: many appends in a row come out of one chunk. */
  private source: Uint8Array = this.heap;
  private sourceView: DataView = this.heapView;

  append(bytes: Uint8Array, start: number, length: number): void {
    const at = this.reserve(length);
    if (length > LOOPED_COPY_BYTES) {
      this.heap.set(bytes.subarray(start, start + length), at);
      return;
    }
    if (bytes !== this.source) {
      this.source = bytes;
      this.sourceView = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    const { heap, heapView, sourceView } = this;
    let i = 0;
    for (const words = length - 4; i <= words; i += 4) {
      heapView.setInt32(at + i, sourceView.getInt32(start + i, true), true);
    }
    for (; i < length; i++) heap[at + i] = bytes[start + i]!;
  }

  /** Appends a cell of that many bytes, which the caller writes into {@link target} from the returned position on. */
  reserve(length: number): number {
    if (this.length === this.capacity) this.grow();
    const at = this.used;
    if (at + length > this.heap.length) this.growHeap(at + length);
    this.used = at + length;
    this.offsets[++this.length] = this.used;
    return at;
  }

  /** The heap as it stands now; another one after the next append. */
  get target(): Uint8Array {
    return this.heap;
  }

  override appendNull(): void {
    if (this.length === this.capacity) this.grow();
    this.markNull();
    this.offsets[++this.length] = this.used;
  }

  override get byteLength(): number {
    return this.used + this.length * 4;
  }

  protected override resize(capacity: number): void {
    const wider = new Int32Array(capacity + 1);
    wider.set(this.offsets.subarray(0, this.length + 1));
    this.offsets = wider;
  }

  protected override take(): ColumnBuffers {
    const { heap, used } = this;
    const values = used * 4 >= heap.length * 3 ? heap.subarray(0, used) : heap.slice(0, used);
    if (this.type.kind !== 'blob' && !isUtf8(values)) {
      throw new SluiceError({
        code: 'VALUE_MALFORMED',
        message: 'text that is not valid UTF-8',
        hint: 'a database with encoding SQL_ASCII can hold such text; convert the rows or leave the column out',
      });
    }
    if (values.buffer === heap.buffer || heap.length > KEPT_HEAP_BYTES) {
      // The next batch is likely as large as this one; the eighth spares it one doubling.
      this.setHeap(new Uint8Array(Math.min(used + (used >> 3), KEPT_HEAP_BYTES)));
    }
    this.used = 0;
    const offsets = this.offsets.slice(0, this.length + 1);
    return { offsets, values };
  }

  protected override discard(length: number): void {
    this.used = this.offsets[length]!;
  }

  private growHeap(needed: number): void {
    if (needed > 0x7fffffff) {
      throw new SluiceError({ code: 'INTERNAL', message: 'more than 2 GiB of text in one column of a batch' });
    }
    const wider = new Uint8Array(Math.min(Math.max(needed, this.heap.length * 2, FIRST_HEAP_BYTES), 0x7fffffff));
    wider.set(this.heap.subarray(0, this.used));
    this.setHeap(wider);
  }

  private setHeap(heap: Uint8Array<ArrayBuffer>): void {
    this.heap = heap;
    this.heapView = new DataView(heap.buffer);
  }
}

/** Offsets into a child column. Elements go into {@link child}; then {@link appendList} or {@link appendNull} ends the cell. */
export class ListBuilder extends ColumnBuilder {
  readonly child: ColumnBuilder;
  private offsets = new Int32Array(1);

  constructor(type: LogicalType, child: ColumnBuilder, rowLimit: number) {
    super(type, rowLimit);
    this.child = child;
  }

  /** Ends a cell that holds the elements appended to the child since the last cell. */
  appendList(): void {
    if (this.length === this.capacity) this.grow();
    this.offsets[++this.length] = this.child.length;
  }

  override appendNull(): void {
    if (this.length === this.capacity) this.grow();
    this.markNull();
    this.offsets[++this.length] = this.child.length;
  }

  override get byteLength(): number {
    return this.child.byteLength + this.length * 4;
  }

  protected override resize(capacity: number): void {
    const wider = new Int32Array(capacity + 1);
    wider.set(this.offsets.subarray(0, this.length + 1));
    this.offsets = wider;
  }

  protected override take(): ColumnBuffers {
    return { offsets: this.offsets.slice(0, this.length + 1), children: [this.child.build()] };
  }

  protected override discard(length: number): void {
    this.child.truncate(this.offsets[length]!);
  }
}
