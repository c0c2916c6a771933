import type { DeletionVectorDescriptor } from '../action.js';
import { corruptVector } from './byte-reader.js';
import type { DeletionVector } from './deletion-vector.js';
import { checkCardinality, type VectorPlacement } from './deletion-vector-file.js';
import { parseVector, serializeVector } from './roaring-bitmap-array.js';
import { decodeZ85, encodeZ85 } from './z85.js';

/** A UUID in Z85. */
const ENCODED_UUID_LENGTH = 20;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** What a folder before the file may be named; a foreign log must not lead out of its table. */
const PREFIX = /^(?!\.\.?$)[A-Za-z0-9._-]+$/;

/** Where the bytes of a vector are. */
export type VectorLocation =
  /** Relative to the table's folder. */
  | { readonly kind: 'relative'; readonly path: string }
  /** A URI, as the path of an add action may be. */
  | { readonly kind: 'absolute'; readonly uri: string }
  /** In the descriptor: {@link readInlineVector}. */
  | { readonly kind: 'inline' };

/** Name of a file of vectors, relative to the table's folder. @param uuid in lower case, with hyphens */
export function vectorFileName(uuid: string): string {
  return `deletion_vector_${uuid}.bin`;
}

/** A descriptor of a vector in the file {@link vectorFileName} in the table's folder. */
export function storedDescriptor(uuid: string, placement: VectorPlacement): DeletionVectorDescriptor {
  if (!UUID.test(uuid)) throw new RangeError(`not a UUID: ${uuid}`);
  const { offset, sizeInBytes, cardinality } = placement;
  const pathOrInlineDv = encodeZ85(Buffer.from(uuid.replaceAll('-', ''), 'hex'));
  return { storageType: 'u', pathOrInlineDv, offset, sizeInBytes, cardinality };
}

/** A descriptor that holds the vector itself. */
export function inlineDescriptor(vector: DeletionVector): DeletionVectorDescriptor {
  const data = serializeVector(vector);
  return {
    storageType: 'i',
    pathOrInlineDv: encodeZ85(data),
    sizeInBytes: data.length,
    cardinality: vector.cardinality,
  };
}

/**
 * @param place for the message of an error: the commit or data file that names the vector
 * @throws SluiceError DELTA_DV_CORRUPT for a descriptor that cannot be
 * @see PROTOCOL.md, "Deletion Vector Descriptor Schema" and "Derived Fields"
 */
export function locateVector(descriptor: DeletionVectorDescriptor, place: string): VectorLocation {
  checkNumbers(descriptor, place);
  switch (descriptor.storageType) {
    case 'i':
      return { kind: 'inline' };
    case 'p':
      return { kind: 'absolute', uri: descriptor.pathOrInlineDv };
    case 'u':
      return { kind: 'relative', path: relativePath(descriptor.pathOrInlineDv, place) };
    default:
      throw corruptVector(place, `unknown storage type ${JSON.stringify(descriptor.storageType)}`);
  }
}

/** @throws SluiceError DELTA_DV_CORRUPT */
export function readInlineVector(descriptor: DeletionVectorDescriptor, place: string): DeletionVector {
  checkNumbers(descriptor, place);
  const bytes = decodeZ85(descriptor.pathOrInlineDv);
  if (bytes === null) throw corruptVector(place, 'the inline vector is not Z85');
  const padding = bytes.length - descriptor.sizeInBytes;
  if (padding < 0 || padding > 3) {
    throw corruptVector(place, `the inline vector has ${bytes.length} bytes, the log says ${descriptor.sizeInBytes}`);
  }
  const vector = parseVector(bytes.subarray(0, descriptor.sizeInBytes), place);
  checkCardinality(vector, descriptor, place);
  return vector;
}

/** What tells two versions of a data file apart in the log, together with its path ("uniqueId" of the protocol). */
export function vectorId(descriptor: DeletionVectorDescriptor): string {
  const at = descriptor.offset ?? null;
  return `${descriptor.storageType}${descriptor.pathOrInlineDv}${at === null ? '' : `@${at}`}`;
}

function relativePath(encoded: string, place: string): string {
  const split = encoded.length - ENCODED_UUID_LENGTH;
  const uuid = split < 0 ? null : decodeZ85(encoded.slice(split));
  if (uuid === null) throw corruptVector(place, `${JSON.stringify(encoded)} does not end with a UUID in Z85`);
  const prefix = encoded.slice(0, split);
  if (prefix !== '' && !PREFIX.test(prefix)) {
    throw corruptVector(place, `${JSON.stringify(prefix)} is no name for the folder of its file`);
  }
  const name = vectorFileName(uuidText(uuid));
  return prefix === '' ? name : `${prefix}/${name}`;
}

function uuidText(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

function checkNumbers(descriptor: DeletionVectorDescriptor, place: string): void {
  const { offset, sizeInBytes, cardinality } = descriptor;
  const numbers = { offset: offset ?? 0, sizeInBytes, cardinality };
  for (const [name, value] of Object.entries(numbers)) {
    if (!Number.isSafeInteger(value) || value < 0) throw corruptVector(place, `its ${name} is ${value}`);
  }
  if (sizeInBytes > 0x7fff_ffff) throw corruptVector(place, `its sizeInBytes is ${sizeInBytes}`);
}
