import type { Data } from 'apache-arrow';

/** Everything that a column consists of, as comparable plain data. */
export function bufferParts(data: Data): unknown {
  return {
    length: data.length,
    nulls: data.nullCount,
    validity: hexOf(data.nullBitmap),
    offsets: hexOf(data.valueOffsets),
    values: hexOf(data.values),
    children: data.children.map(bufferParts),
  };
}

/** One cell's bytes in hex, a list for a list, null for NULL. */
export type Cell = string | null | readonly Cell[];

/** The cells of a column, each as its bytes in hex. */
export function cellsOf(data: Data): Cell[] {
  return Array.from({ length: data.length }, (_, row) => (data.getValid(row) ? cellAt(data, row) : null));
}

/** The cells of a text column. */
export function textsOf(data: Data): (string | null)[] {
  return cellsOf(data).map((cell) => (typeof cell === 'string' ? Buffer.from(cell, 'hex').toString('utf8') : null));
}

/** The cells of an int column of up to 64 bits, as numbers. */
export function numbersOf(data: Data): (number | null)[] {
  const values: ArrayLike<number | bigint> = data.values;
  return Array.from({ length: data.length }, (_, row) => (data.getValid(row) ? Number(values[row]) : null));
}

function cellAt(data: Data, row: number): Cell {
  const offsets: Int32Array | undefined = data.valueOffsets;
  const child = data.children[0];
  if (offsets !== undefined && child !== undefined) return cellsOf(child).slice(offsets[row], offsets[row + 1]);
  const values: unknown = data.values;
  if (!ArrayBuffer.isView(values)) throw new Error('a column without values');
  const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
  if (offsets !== undefined) return bytes.subarray(offsets[row], offsets[row + 1]).toString('hex');
  const width = values.byteLength / data.length;
  return bytes.subarray(row * width, (row + 1) * width).toString('hex');
}

function hexOf(view: unknown): string | null {
  return ArrayBuffer.isView(view) ? Buffer.from(view.buffer, view.byteOffset, view.byteLength).toString('hex') : null;
}
