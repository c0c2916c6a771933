import { ByteReader } from './byte-reader.js';
import { type Bucket, DeletionVector } from './deletion-vector.js';
import { bitmapBytes, readBitmap, writeBitmap } from './roaring-bitmap.js';

const MAGIC_PORTABLE = 1_681_511_377;
/** Delta's older format: buckets without keys, each with its length. Spark reads it, and so do we; nobody should write it. */
const MAGIC_NATIVE = 1_681_511_376;

/** A vector as Delta stores it: magic number, then a 64-bit Roaring bitmap in the portable format; all little-endian. */
export function serializeVector(vector: DeletionVector): Uint8Array {
  let length = 12;
  for (const bucket of vector.buckets) length += 4 + bitmapBytes(bucket.blocks);
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC_PORTABLE, true);
  view.setBigUint64(4, BigInt(vector.buckets.length), true);
  let to = 12;
  for (const bucket of vector.buckets) {
    view.setUint32(to, bucket.key, true);
    to = writeBitmap(bucket.blocks, view, to + 4);
  }
  return bytes;
}

/**
 * Reads what {@link serializeVector} and other writers of Delta make; the bytes must end with the vector.
 * @param place for the message of an error, such as the file's name
 * @throws SluiceError DELTA_DV_CORRUPT
 * @see PROTOCOL.md, "Deletion Vector Format"
 */
export function parseVector(bytes: Uint8Array, place: string): DeletionVector {
  const reader = new ByteReader(bytes, place);
  const magic = reader.uint32('the magic number');
  let buckets: Bucket[];
  if (magic === MAGIC_PORTABLE) buckets = readPortable(reader);
  else if (magic === MAGIC_NATIVE) buckets = readNative(reader);
  else throw reader.corrupt(`unknown magic number ${magic}`, 0);
  if (reader.remaining > 0) throw reader.corrupt(`${reader.remaining} bytes behind its end`);
  return new DeletionVector(buckets.filter((bucket) => bucket.blocks.length > 0));
}

function readPortable(reader: ByteReader): Bucket[] {
  const count = reader.uint64('the number of bitmaps');
  const buckets: Bucket[] = [];
  let before = -1;
  // A false count ends with the bytes: each bitmap takes twelve at least.
  for (let i = 0n; i < count; i++) {
    const at = reader.at;
    const key = reader.uint32('the key of a bitmap');
    if (key > 0x7fff_ffff) throw reader.corrupt(`key ${key} of a bitmap has its sign bit set`, at);
    if (key <= before) throw reader.corrupt(`key ${key} of a bitmap is out of order`, at);
    before = key;
    buckets.push({ key, blocks: readBitmap(reader) });
  }
  return buckets;
}

function readNative(reader: ByteReader): Bucket[] {
  const count = reader.uint32('the number of bitmaps');
  const buckets: Bucket[] = [];
  for (let key = 0; key < count; key++) {
    const length = reader.uint32('the length of a bitmap');
    const at = reader.at;
    buckets.push({ key, blocks: readBitmap(reader) });
    if (reader.at - at !== length) throw reader.corrupt(`bitmap ${key} has ${reader.at - at} bytes, not ${length}`, at);
  }
  return buckets;
}
