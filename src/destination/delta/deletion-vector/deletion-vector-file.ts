import { crc32 } from 'node:zlib';
import { SluiceError } from '../../../error/sluice-error.js';
import type { DeletionVectorDescriptor } from '../action.js';
import { ByteReader, corruptVector } from './byte-reader.js';
import type { DeletionVector } from './deletion-vector.js';
import { parseVector, serializeVector } from './roaring-bitmap-array.js';

const VERSION = 1;
/** The version byte stands before the first vector. */
const FIRST_OFFSET = 1;
/** Length before a vector and CRC-32 behind it, both big-endian. */
const FRAME_BYTES = 8;
/** Offsets and sizes are Java's int. */
const MAX_FILE_BYTES = 0x7fff_ffff;

/** Where a vector is in its file, as its descriptor says. */
export interface VectorPlacement {
  readonly offset: number;
  readonly sizeInBytes: number;
  readonly cardinality: number;
}

/**
 * A whole file of deletion vectors, in the order given.
 * @throws SluiceError DELTA_DV_UNSUPPORTED where they need 2 GiB or more: split them over several files
 * @see PROTOCOL.md, "Deletion Vector File Storage Format"
 */
export function writeVectorFile(vectors: readonly DeletionVector[]): {
  readonly bytes: Uint8Array;
  readonly placements: readonly VectorPlacement[];
} {
  const parts = vectors.map(serializeVector);
  const length = parts.reduce((sum, data) => sum + FRAME_BYTES + data.length, FIRST_OFFSET);
  if (length > MAX_FILE_BYTES) {
    throw new SluiceError({
      code: 'DELTA_DV_UNSUPPORTED',
      message: `${vectors.length} deletion vectors need ${length} bytes, one file holds ${MAX_FILE_BYTES}`,
    });
  }
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, VERSION);
  const placements: VectorPlacement[] = [];
  let offset = FIRST_OFFSET;
  for (const [i, data] of parts.entries()) {
    view.setUint32(offset, data.length);
    bytes.set(data, offset + 4);
    view.setUint32(offset + 4 + data.length, crc32(data));
    placements.push({ offset, sizeInBytes: data.length, cardinality: vectors[i]?.cardinality ?? 0 });
    offset += FRAME_BYTES + data.length;
  }
  return { bytes, placements };
}

/**
 * The bytes of a file that hold one vector, for a ranged read: `from` up to, but without, `to`.
 * @param descriptor of storage type u or p. A missing offset means the first vector: the protocol says 0 for it, where the
 *   version byte is and so never a vector.
 */
export function vectorRange(descriptor: DeletionVectorDescriptor): { readonly from: number; readonly to: number } {
  const from = descriptor.offset ?? FIRST_OFFSET;
  return { from, to: from + FRAME_BYTES + descriptor.sizeInBytes };
}

/**
 * Reads one vector from the bytes of its {@link vectorRange} and checks length, CRC-32, format and cardinality.
 * @param place for the message of an error: the file
 * @throws SluiceError DELTA_DV_CORRUPT
 */
export function readVector(range: Uint8Array, descriptor: DeletionVectorDescriptor, place: string): DeletionVector {
  const where = `${place} at offset ${vectorRange(descriptor).from}`;
  const reader = new ByteReader(range, where);
  const vector = readFramed(reader, where, descriptor.sizeInBytes);
  if (reader.remaining > 0) throw reader.corrupt(`${reader.remaining} bytes behind its end`);
  checkCardinality(vector, descriptor, where);
  return vector;
}

/** Reads all vectors of a file, with their places. @throws SluiceError DELTA_DV_CORRUPT */
export function readVectorFile(
  file: Uint8Array,
  place: string,
): { readonly vector: DeletionVector; readonly placement: VectorPlacement }[] {
  if (file[0] !== VERSION) {
    throw corruptVector(place, file.length === 0 ? 'the file is empty' : `format version ${file[0]}, not ${VERSION}`);
  }
  const reader = new ByteReader(file, place, FIRST_OFFSET);
  const found: { vector: DeletionVector; placement: VectorPlacement }[] = [];
  while (reader.remaining > 0) {
    const offset = reader.at;
    const vector = readFramed(reader, `${place} at offset ${offset}`, null);
    const sizeInBytes = reader.at - offset - FRAME_BYTES;
    found.push({ vector, placement: { offset, sizeInBytes, cardinality: vector.cardinality } });
  }
  return found;
}

/** The number of rows that the log promises must be that of the vector. @throws SluiceError DELTA_DV_CORRUPT */
export function checkCardinality(vector: DeletionVector, descriptor: DeletionVectorDescriptor, where: string): void {
  if (vector.cardinality === descriptor.cardinality) return;
  throw corruptVector(where, `it holds ${vector.cardinality} rows, the log says ${descriptor.cardinality}`);
}

function readFramed(reader: ByteReader, where: string, expectedBytes: number | null): DeletionVector {
  const at = reader.at;
  const length = reader.uint32BE('the length');
  if (expectedBytes !== null && length !== expectedBytes) {
    throw reader.corrupt(`its length is ${length}, the log says ${expectedBytes}`, at);
  }
  const data = reader.slice(length, 'the data');
  const crcAt = reader.at;
  const stored = reader.uint32BE('the CRC-32');
  const computed = crc32(data);
  if (stored !== computed) throw reader.corrupt(`CRC-32 is ${hex(computed)}, stored is ${hex(stored)}`, crcAt);
  return parseVector(data, where);
}

function hex(word: number): string {
  return word.toString(16).padStart(8, '0');
}
