import { SluiceError } from '../../../error/sluice-error.js';

/** A deletion vector that does not follow its format. @param place the file or descriptor, and where in it */
export function corruptVector(place: string, what: string): SluiceError {
  return new SluiceError({
    code: 'DELTA_DV_CORRUPT',
    message: `deletion vector in ${place}: ${what}`,
    hint: 'bring the file back from a backup or an older version of the object, or load the table anew: sluice resync ADDRESS',
  });
}

/** Reads numbers from bytes in sequence and refuses to go beyond their end. */
export class ByteReader {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #place: string;
  #at: number;

  constructor(bytes: Uint8Array, place: string, at = 0) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#place = place;
    this.#at = at;
  }

  get at(): number {
    return this.#at;
  }

  get remaining(): number {
    return this.bytes.length - this.#at;
  }

  /** An error about the byte at which the reader stands, or about the one given. */
  corrupt(what: string, at = this.#at): SluiceError {
    return corruptVector(this.#place, `${what} (byte ${at})`);
  }

  /** Big-endian. */
  uint32BE(what: string): number {
    return this.#view.getUint32(this.#take(4, what));
  }

  uint32(what: string): number {
    return this.#view.getUint32(this.#take(4, what), true);
  }

  uint16(what: string): number {
    return this.#view.getUint16(this.#take(2, what), true);
  }

  uint64(what: string): bigint {
    return this.#view.getBigUint64(this.#take(8, what), true);
  }

  slice(length: number, what: string): Uint8Array {
    const from = this.#take(length, what);
    return this.bytes.subarray(from, from + length);
  }

  uint16Array(length: number, what: string): Uint16Array {
    const from = this.#take(length * 2, what);
    const values = new Uint16Array(length);
    for (let i = 0; i < length; i++) values[i] = this.#view.getUint16(from + i * 2, true);
    return values;
  }

  uint32Array(length: number, what: string): Uint32Array {
    const from = this.#take(length * 4, what);
    const values = new Uint32Array(length);
    for (let i = 0; i < length; i++) values[i] = this.#view.getUint32(from + i * 4, true);
    return values;
  }

  #take(length: number, what: string): number {
    const from = this.#at;
    if (length > this.bytes.length - from) {
      throw this.corrupt(`${what} needs ${length} bytes, ${this.bytes.length - from} are left`);
    }
    this.#at += length;
    return from;
  }
}
