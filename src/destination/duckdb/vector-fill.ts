import duckdb from '@duckdb/node-bindings';
import type { Data } from 'apache-arrow';
import type { LogicalType } from '../../batch/logical-type.js';

/**
 * Copies a row range of an Arrow array into a DuckDB vector. The arrays already have DuckDB's physical layout
 * (see batch/logical-type.ts), so fixed-width values are one copy; strings share one heap a vector.
 */

/** DuckDB's vector size: the most rows one chunk holds. */
export const VECTOR_ROWS = 2048;

const STRING_BYTES = 16;
/** Strings up to this length lie in the 16-byte entry itself. */
const INLINE_BYTES = 12;
const LIST_ENTRY_BYTES = 16;

/** Bytes of one value; 0 for strings and lists. */
export function valueBytes(type: LogicalType): number {
  switch (type.kind) {
    case 'boolean':
      return 1;
    case 'int16':
      return 2;
    case 'int32':
    case 'uint32':
    case 'float32':
    case 'date':
      return 4;
    case 'int64':
    case 'float64':
    case 'time':
    case 'timetz':
    case 'timestamp':
    case 'timestamptz':
      return 8;
    case 'uuid':
    case 'interval':
      return 16;
    case 'decimal':
      return type.precision <= 4 ? 2 : type.precision <= 9 ? 4 : type.precision <= 18 ? 8 : 16;
    case 'varchar':
    case 'json':
    case 'blob':
    case 'list':
      return 0;
  }
}

/**
 * @param from first row of the range, relative to the array
 * @param count rows; at most {@link VECTOR_ROWS} for a top-level vector, any number for a list's child
 */
export function fillVector(vector: duckdb.Vector, type: LogicalType, data: Data, from: number, count: number): void {
  if (count === 0) return;
  if (data.nullCount > 0) fillValidity(vector, data.nullBitmap, data.offset + from, count);
  const width = valueBytes(type);
  if (width > 0) {
    const values = bytesOf(data.values);
    duckdb.copy_data_to_vector(
      vector,
      0,
      values.buffer as ArrayBuffer,
      values.byteOffset + (data.offset + from) * width,
      count * width,
    );
  } else if (type.kind === 'list') {
    fillList(vector, type.element, data, from, count);
  } else {
    fillStrings(vector, data, from, count);
  }
}

function bytesOf(values: ArrayBufferView): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** Arrow and DuckDB agree on validity bitmaps (bit set = present); only a range that starts inside a byte is shifted. */
function fillValidity(vector: duckdb.Vector, bitmap: Uint8Array, from: number, count: number): void {
  const bytes = (count + 7) >> 3;
  const shift = from & 7;
  const start = from >> 3;
  let source = bitmap;
  let position = start;
  // DuckDB's bitmap is made of 64-bit words; a fresh copy also keeps us from reading past the end of Arrow's.
  if (shift !== 0 || start + bytes > bitmap.length) {
    source = new Uint8Array(bytes);
    for (let i = 0; i < bytes; i += 1) {
      const low = bitmap[start + i] ?? 0;
      const high = bitmap[start + i + 1] ?? 0;
      source[i] = (low >> shift) | (high << (8 - shift));
    }
    position = 0;
  }
  duckdb.vector_ensure_validity_writable(vector);
  duckdb.copy_data_to_vector_validity(vector, 0, source.buffer as ArrayBuffer, source.byteOffset + position, bytes);
}

const entryBytes = new Uint8Array(VECTOR_ROWS * STRING_BYTES);
const entryWords = new Uint32Array(entryBytes.buffer);

/**
 * The values' bytes lie one after the other in Arrow's data buffer. The whole slice is handed to DuckDB as element 0,
 * which copies it into the vector's string heap; its address is read back and every entry then points into that copy.
 */
function fillStrings(vector: duckdb.Vector, data: Data, from: number, count: number): void {
  const offsets = data.valueOffsets as Int32Array;
  const heap = bytesOf(data.values);
  const first = data.offset + from;
  const heapStart = offsets[first] as number;
  const heapEnd = offsets[first + count] as number;
  let bytes = entryBytes;
  let words = entryWords;
  if (count > VECTOR_ROWS) {
    bytes = new Uint8Array(count * STRING_BYTES);
    words = new Uint32Array(bytes.buffer);
  }
  let pointerLow = 0;
  let pointerHigh = 0;
  if (heapEnd - heapStart > INLINE_BYTES) {
    duckdb.vector_assign_string_element_len(vector, 0, heap.subarray(heapStart, heapEnd));
    const entry = duckdb.vector_get_data(vector, STRING_BYTES);
    const view = new DataView(entry.buffer, entry.byteOffset, STRING_BYTES);
    pointerLow = view.getUint32(8, true);
    pointerHigh = view.getUint32(12, true);
  }
  let position = heapStart;
  for (let row = 0; row < count; row += 1) {
    const end = offsets[first + row + 1] as number;
    const length = end - position;
    const word = row * 4;
    words[word] = length;
    if (length <= INLINE_BYTES) {
      words[word + 1] = 0;
      words[word + 2] = 0;
      words[word + 3] = 0;
      const target = row * STRING_BYTES + 4;
      for (let i = 0; i < length; i += 1) bytes[target + i] = heap[position + i] as number;
    } else {
      words[word + 1] =
        (heap[position] as number) |
        ((heap[position + 1] as number) << 8) |
        ((heap[position + 2] as number) << 16) |
        ((heap[position + 3] as number) << 24);
      const low = pointerLow + (position - heapStart);
      words[word + 2] = low;
      words[word + 3] = low > 0xffffffff ? pointerHigh + 1 : pointerHigh;
    }
    position = end;
  }
  duckdb.copy_data_to_vector(vector, 0, bytes.buffer as ArrayBuffer, 0, count * STRING_BYTES);
}

function fillList(vector: duckdb.Vector, element: LogicalType, data: Data, from: number, count: number): void {
  const offsets = data.valueOffsets as Int32Array;
  const first = data.offset + from;
  const childStart = offsets[first] as number;
  const childCount = (offsets[first + count] as number) - childStart;
  const entries = new Uint32Array(count * (LIST_ENTRY_BYTES / 4));
  for (let row = 0; row < count; row += 1) {
    const start = offsets[first + row] as number;
    entries[row * 4] = start - childStart;
    entries[row * 4 + 2] = (offsets[first + row + 1] as number) - start;
  }
  duckdb.list_vector_reserve(vector, childCount);
  duckdb.list_vector_set_size(vector, childCount);
  duckdb.copy_data_to_vector(vector, 0, entries.buffer, 0, entries.byteLength);
  const child = data.children[0];
  if (child !== undefined) fillVector(duckdb.list_vector_get_child(vector), element, child, childStart, childCount);
}
