import { SluiceError } from '../../../error/sluice-error.js';
import { BLOCK_SIZE, containerHas, containerOf, fillPositions, largestOf, unionOf } from './container.js';
import type { Block } from './roaring-bitmap.js';

/** The largest upper half of a position: Delta keeps its sign bit clear and Java cannot index the very last. */
const MAX_BUCKET = 0x7fff_fffe;
const MAX_POSITION = (BigInt(MAX_BUCKET) << 32n) | 0xffff_ffffn;
/** A chunk is not shorter than a block, so that a block never has to be cut. */
const CHUNK_POSITIONS = 2 * BLOCK_SIZE;

/** The positions that share their upper 32 bits. */
export interface Bucket {
  readonly key: number;
  /** Ascending by key, at least one. */
  readonly blocks: readonly Block[];
}

/**
 * The rows of one data file that are deleted: a set of row numbers from 0 on, kept as Roaring containers (at most 8 KiB
 * for each 65,536 rows of the file, mostly far less). It never changes: a union is a new one that shares what is the same.
 * @see PROTOCOL.md, "Deletion Vector Format"
 */
export class DeletionVector {
  static readonly EMPTY = new DeletionVector([]);

  /** Ascending by key, none empty. */
  readonly buckets: readonly Bucket[];
  /** How many rows are deleted. */
  readonly cardinality: number;

  /** For the maker of the format: positions become a vector by {@link DeletionVector.of}. */
  constructor(buckets: readonly Bucket[]) {
    this.buckets = buckets;
    let cardinality = 0;
    for (const { blocks } of buckets) for (const { container } of blocks) cardinality += container.cardinality;
    this.cardinality = cardinality;
  }

  /**
   * @param positions row numbers in any order, also more than once; the array is left as it is
   * @throws RangeError for one below 0 or beyond what Delta can hold (2^63 less 2^32)
   */
  static of(positions: Uint32Array | BigInt64Array): DeletionVector {
    if (positions.length === 0) return DeletionVector.EMPTY;
    if (positions instanceof BigInt64Array) return ofWide(positions);
    const sorted = isAscending(positions) ? positions : positions.slice().sort();
    return new DeletionVector([{ key: 0, blocks: blocksOf(sorted) }]);
  }

  union(other: DeletionVector): DeletionVector {
    if (other.cardinality === 0) return this;
    if (this.cardinality === 0) return other;
    return new DeletionVector(
      merged(this.buckets, other.buckets, (a, b) => ({
        key: a.key,
        blocks: merged(a.blocks, b.blocks, (x, y) => ({ key: x.key, container: unionOf(x.container, y.container) })),
      })),
    );
  }

  has(position: number | bigint): boolean {
    const wide = BigInt(position);
    const bucket = find(this.buckets, Number(wide >> 32n));
    if (bucket === undefined) return false;
    const low = Number(wide & 0xffff_ffffn);
    const block = find(bucket.blocks, low >>> 16);
    return block !== undefined && containerHas(block.container, low & 0xffff);
  }

  /** The last deleted row, null where there is none. A file with fewer rows than this does not belong to the vector. */
  get last(): bigint | null {
    const bucket = this.buckets.at(-1);
    const block = bucket?.blocks.at(-1);
    if (bucket === undefined || block === undefined) return null;
    return (BigInt(bucket.key) << 32n) | BigInt(block.key * BLOCK_SIZE + largestOf(block.container));
  }

  /**
   * All positions, ascending, in arrays of 1 to 131,072, each with a buffer of its own (it may be transferred).
   * @throws SluiceError DELTA_DV_UNSUPPORTED where a position needs more than 32 bits: take {@link widePositions}
   */
  *positions(): Generator<Uint32Array> {
    if (this.buckets.some((bucket) => bucket.key > 0)) {
      throw new SluiceError({
        code: 'DELTA_DV_UNSUPPORTED',
        message: `a deletion vector names row ${this.last} of a file; more than 4,294,967,296 rows in one file are not supported`,
      });
    }
    for (const bucket of this.buckets) yield* bucketPositions(bucket);
  }

  /** As {@link positions}, for files of any size. */
  *widePositions(): Generator<BigInt64Array> {
    for (const bucket of this.buckets) {
      const base = BigInt(bucket.key) << 32n;
      for (const low of bucketPositions(bucket)) yield BigInt64Array.from(low, (position) => base | BigInt(position));
    }
  }
}

function* bucketPositions(bucket: Bucket): Generator<Uint32Array> {
  let waiting: Block[] = [];
  let count = 0;
  for (const block of bucket.blocks) {
    if (count + block.container.cardinality > CHUNK_POSITIONS) {
      yield blockPositions(waiting, count);
      waiting = [];
      count = 0;
    }
    waiting.push(block);
    count += block.container.cardinality;
  }
  if (count > 0) yield blockPositions(waiting, count);
}

function blockPositions(blocks: readonly Block[], count: number): Uint32Array {
  const positions = new Uint32Array(count);
  let to = 0;
  for (const { key, container } of blocks) to = fillPositions(container, key * BLOCK_SIZE, positions, to);
  return positions;
}

function isAscending(positions: Uint32Array): boolean {
  for (let i = 1; i < positions.length; i++) {
    if ((positions[i] ?? 0) < (positions[i - 1] ?? 0)) return false;
  }
  return true;
}

function blocksOf(sorted: Uint32Array): Block[] {
  const blocks: Block[] = [];
  for (let from = 0; from < sorted.length; ) {
    const key = (sorted[from] ?? 0) >>> 16;
    let to = from + 1;
    while (to < sorted.length && (sorted[to] ?? 0) >>> 16 === key) to += 1;
    blocks.push({ key, container: containerOf(sorted, from, to) });
    from = to;
  }
  return blocks;
}

function ofWide(positions: BigInt64Array): DeletionVector {
  const sorted = positions.slice().sort();
  const first = sorted[0] ?? 0n;
  const last = sorted[sorted.length - 1] ?? 0n;
  if (first < 0n) throw new RangeError(`row ${first} of a file`);
  if (last > MAX_POSITION) throw new RangeError(`row ${last} of a file`);
  const buckets: Bucket[] = [];
  for (let from = 0; from < sorted.length; ) {
    const key = (sorted[from] ?? 0n) >> 32n;
    let to = from + 1;
    while (to < sorted.length && (sorted[to] ?? 0n) >> 32n === key) to += 1;
    const lows = new Uint32Array(to - from);
    for (let i = from; i < to; i++) lows[i - from] = Number((sorted[i] ?? 0n) & 0xffff_ffffn);
    buckets.push({ key: Number(key), blocks: blocksOf(lows) });
    from = to;
  }
  return new DeletionVector(buckets);
}

/** Two lists that ascend by key as one; `both` joins two of the same key. */
function merged<T extends { readonly key: number }>(a: readonly T[], b: readonly T[], both: (x: T, y: T) => T): T[] {
  const list: T[] = [];
  let i = 0;
  let j = 0;
  for (;;) {
    const x = a[i];
    const y = b[j];
    if (x === undefined) return list.concat(b.slice(j));
    if (y === undefined) return list.concat(a.slice(i));
    if (x.key === y.key) list.push(both(x, y));
    else list.push(x.key < y.key ? x : y);
    if (x.key <= y.key) i += 1;
    if (y.key <= x.key) j += 1;
  }
}

function find<T extends { readonly key: number }>(list: readonly T[], key: number): T | undefined {
  let from = 0;
  let to = list.length;
  while (from < to) {
    const middle = (from + to) >>> 1;
    if ((list[middle]?.key ?? 0) < key) from = middle + 1;
    else to = middle;
  }
  return list[from]?.key === key ? list[from] : undefined;
}
