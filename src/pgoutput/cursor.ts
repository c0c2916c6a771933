import { SluiceError } from '../error/sluice-error.js';
import { type Lsn, lsnFromBigInt } from './lsn.js';

/** Reads the fields of one message in their order, never beyond its end. Numbers are big endian. */
export class Cursor {
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private readonly end: number;
  private at: number;

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = start;
    this.end = Math.min(end, bytes.length);
  }

  /** Where the next field begins. */
  get position(): number {
    return this.at;
  }

  get left(): number {
    return this.end - this.at;
  }

  byte(): number {
    return this.view.getUint8(this.step(1));
  }

  uint16(): number {
    return this.view.getUint16(this.step(2));
  }

  int32(): number {
    return this.view.getInt32(this.step(4));
  }

  /** Oids and transaction ids are unsigned. */
  uint32(): number {
    return this.view.getUint32(this.step(4));
  }

  int64(): bigint {
    return this.view.getBigInt64(this.step(8));
  }

  lsn(): Lsn {
    return lsnFromBigInt(this.view.getBigUint64(this.step(8)));
  }

  /** UTF-8 up to a zero byte. */
  text(): string {
    const zero = this.bytes.indexOf(0, this.at);
    if (zero < 0 || zero >= this.end) throw truncated();
    const text = Buffer.from(this.bytes.buffer, this.bytes.byteOffset + this.at, zero - this.at).toString('utf8');
    this.at = zero + 1;
    return text;
  }

  /** A copy of that many bytes. */
  slice(length: number): Uint8Array {
    const from = this.step(length);
    // Buffer's own slice() would be a view.
    return new Uint8Array(this.bytes.subarray(from, from + length));
  }

  /** @throws SluiceError PROTOCOL_VIOLATION when bytes are left */
  finish(): void {
    if (this.at !== this.end) {
      throw new SluiceError({ code: 'PROTOCOL_VIOLATION', message: `${this.end - this.at} bytes too many` });
    }
  }

  private step(size: number): number {
    const from = this.at;
    if (size < 0 || from + size > this.end) throw truncated();
    this.at = from + size;
    return from;
  }
}

function truncated(): SluiceError {
  return new SluiceError({ code: 'PROTOCOL_VIOLATION', message: 'cut short' });
}
