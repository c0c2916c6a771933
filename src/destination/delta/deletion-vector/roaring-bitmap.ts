import type { ByteReader } from './byte-reader.js';
import { ARRAY_MAXIMUM, BITMAP_WORDS, BLOCK_SIZE, type Container, containerBytes, countBits } from './container.js';

/** One block of a 32-bit bitmap: the upper 16 bits of its positions, and the lower. */
export interface Block {
  readonly key: number;
  readonly container: Container;
}

const COOKIE_WITHOUT_RUNS = 12_346;
const COOKIE_WITH_RUNS = 12_347;
/** A bitmap with runs and fewer containers than this has no table of offsets. */
const OFFSETS_FROM = 4;

/**
 * Reads one 32-bit bitmap in the portable Roaring format and stops behind it. Everything that the format says twice must
 * agree: keys and values ascend, cardinalities are those of the header, offsets are where the containers are.
 * @throws SluiceError DELTA_DV_CORRUPT
 * @see https://github.com/RoaringBitmap/RoaringFormatSpec
 */
export function readBitmap(reader: ByteReader): Block[] {
  const start = reader.at;
  const { count, hasRuns, isRun } = readCookie(reader);
  const header = reader.uint16Array(count * 2, 'the header of a bitmap');
  const offsets =
    !hasRuns || count >= OFFSETS_FROM ? reader.uint32Array(count, 'the table of offsets of a bitmap') : null;
  const blocks: Block[] = [];
  for (let i = 0; i < count; i++) {
    const key = header[i * 2] ?? 0;
    if (i > 0 && key <= (header[i * 2 - 2] ?? 0)) throw reader.corrupt(`block ${key} is out of order`);
    if (offsets !== null && offsets[i] !== reader.at - start) {
      throw reader.corrupt(`the table of offsets puts block ${key} at ${offsets[i]}, it is at ${reader.at - start}`);
    }
    blocks.push({ key, container: readContainer(reader, key, (header[i * 2 + 1] ?? 0) + 1, isRun(i)) });
  }
  return blocks;
}

function readCookie(reader: ByteReader): { count: number; hasRuns: boolean; isRun: (index: number) => boolean } {
  const at = reader.at;
  const cookie = reader.uint32('the cookie of a bitmap');
  if (cookie === COOKIE_WITHOUT_RUNS) {
    const count = reader.uint32('the number of containers');
    if (count > BLOCK_SIZE) throw reader.corrupt(`${count} containers in one bitmap`, at);
    return { count, hasRuns: false, isRun: () => false };
  }
  if ((cookie & 0xffff) !== COOKIE_WITH_RUNS) throw reader.corrupt(`unknown cookie ${cookie} of a bitmap`, at);
  const count = (cookie >>> 16) + 1;
  const flags = reader.slice((count + 7) >>> 3, 'the run flags of a bitmap');
  return { count, hasRuns: true, isRun: (index) => (((flags[index >>> 3] ?? 0) >>> (index & 7)) & 1) === 1 };
}

function readContainer(reader: ByteReader, key: number, cardinality: number, isRun: boolean): Container {
  const at = reader.at;
  if (isRun) {
    const count = reader.uint16('the number of runs');
    const runs = reader.uint16Array(count * 2, `the runs of block ${key}`);
    checkRuns(reader, runs, key, cardinality, at);
    return { kind: 'run', cardinality, runs };
  }
  if (cardinality > ARRAY_MAXIMUM) {
    const words = reader.uint32Array(BITMAP_WORDS, `the bits of block ${key}`);
    let found = 0;
    for (const word of words) found += countBits(word);
    if (found !== cardinality)
      throw reader.corrupt(`block ${key} has ${found} bits, its header says ${cardinality}`, at);
    return { kind: 'bitmap', cardinality, words };
  }
  const values = reader.uint16Array(cardinality, `the values of block ${key}`);
  for (let i = 1; i < cardinality; i++) {
    if ((values[i] ?? 0) <= (values[i - 1] ?? 0))
      throw reader.corrupt(`the values of block ${key} are out of order`, at);
  }
  return { kind: 'array', cardinality, values };
}

function checkRuns(reader: ByteReader, runs: Uint16Array, key: number, cardinality: number, at: number): void {
  let found = 0;
  let behind = 0;
  for (let i = 0; i < runs.length; i += 2) {
    const first = runs[i] ?? 0;
    const length = (runs[i + 1] ?? 0) + 1;
    if (first < behind) throw reader.corrupt(`the runs of block ${key} are out of order`, at);
    behind = first + length;
    if (behind > BLOCK_SIZE) throw reader.corrupt(`a run of block ${key} goes beyond its end`, at);
    found += length;
  }
  if (found !== cardinality) {
    throw reader.corrupt(`the runs of block ${key} hold ${found} values, its header says ${cardinality}`, at);
  }
}

export function bitmapBytes(blocks: readonly Block[]): number {
  let bytes = headerBytes(blocks);
  for (const block of blocks) bytes += containerBytes(block.container);
  return bytes;
}

/**
 * Writes one 32-bit bitmap in the portable Roaring format.
 * @param blocks ascending by key
 * @returns the offset behind it
 */
export function writeBitmap(blocks: readonly Block[], view: DataView, start: number): number {
  const hasRuns = someRun(blocks);
  let to = start;
  if (hasRuns) {
    view.setUint32(to, (COOKIE_WITH_RUNS | ((blocks.length - 1) << 16)) >>> 0, true);
    to += 4;
    for (const [i, block] of blocks.entries()) {
      if (block.container.kind !== 'run') continue;
      view.setUint8(to + (i >>> 3), view.getUint8(to + (i >>> 3)) | (1 << (i & 7)));
    }
    to += (blocks.length + 7) >>> 3;
  } else {
    view.setUint32(to, COOKIE_WITHOUT_RUNS, true);
    view.setUint32(to + 4, blocks.length, true);
    to += 8;
  }
  for (const { key, container } of blocks) {
    view.setUint16(to, key, true);
    view.setUint16(to + 2, container.cardinality - 1, true);
    to += 4;
  }
  if (!hasRuns || blocks.length >= OFFSETS_FROM) {
    let offset = headerBytes(blocks);
    for (const { container } of blocks) {
      view.setUint32(to, offset, true);
      to += 4;
      offset += containerBytes(container);
    }
  }
  for (const { container } of blocks) to = writeContainer(container, view, to);
  return to;
}

function writeContainer(container: Container, view: DataView, start: number): number {
  let to = start;
  if (container.kind === 'bitmap') {
    for (const word of container.words) {
      view.setUint32(to, word, true);
      to += 4;
    }
    return to;
  }
  if (container.kind === 'run') {
    view.setUint16(to, container.runs.length / 2, true);
    to += 2;
  }
  for (const value of container.kind === 'run' ? container.runs : container.values) {
    view.setUint16(to, value, true);
    to += 2;
  }
  return to;
}

function headerBytes(blocks: readonly Block[]): number {
  if (!someRun(blocks)) return 8 + 8 * blocks.length;
  return 4 + ((blocks.length + 7) >>> 3) + (blocks.length >= OFFSETS_FROM ? 8 : 4) * blocks.length;
}

function someRun(blocks: readonly Block[]): boolean {
  return blocks.some((block) => block.container.kind === 'run');
}
