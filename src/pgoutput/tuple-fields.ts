import { SluiceError } from '../error/sluice-error.js';
import { describeByte, MARK } from './message.js';

const FIRST_FIELDS = 64;

/** Where the values of one tuple lie within a message. Reused from row to row, so no value becomes an object. */
export class TupleFields {
  /** Values in the tuple. */
  count = 0;
  /** Of each value its kind: a byte of MARK (null, unchanged, text, binary). */
  kinds = new Uint8Array(FIRST_FIELDS);
  /** Of text and binary: the first byte. */
  starts = new Int32Array(FIRST_FIELDS);
  /** Of text and binary: bytes. */
  lengths = new Int32Array(FIRST_FIELDS);

  /**
   * Scans the tuple at `at`.
   * @returns the position behind it
   * @throws SluiceError PROTOCOL_VIOLATION when it reaches beyond `end`
   */
  scan(bytes: Uint8Array, from: number, end: number): number {
    if (end - from < 2) throw truncated();
    const count = (bytes[from]! << 8) | bytes[from + 1]!;
    if (count > this.kinds.length) this.widen(count);
    const { kinds, starts, lengths } = this;
    let at = from + 2;
    for (let field = 0; field < count; field++) {
      if (at >= end) throw truncated();
      const kind = bytes[at++]!;
      kinds[field] = kind;
      if (kind === MARK.text || kind === MARK.binary) {
        if (end - at < 4) throw truncated();
        const length = (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
        at += 4;
        if (length < 0 || length > end - at) throw truncated();
        starts[field] = at;
        lengths[field] = length;
        at += length;
      } else if (kind !== MARK.null && kind !== MARK.unchanged) {
        throw new SluiceError({ code: 'PROTOCOL_VIOLATION', message: `unknown kind of value ${describeByte(kind)}` });
      }
    }
    this.count = count;
    return at;
  }

  private widen(count: number): void {
    this.kinds = new Uint8Array(count);
    this.starts = new Int32Array(count);
    this.lengths = new Int32Array(count);
  }
}

/** True when two fields of the same message hold the same. */
export function sameField(bytes: Uint8Array, a: TupleFields, b: TupleFields, field: number): boolean {
  if (a.kinds[field] !== b.kinds[field]) return false;
  if (a.kinds[field] !== MARK.text) return true;
  const length = a.lengths[field]!;
  if (length !== b.lengths[field]) return false;
  const left = a.starts[field]!;
  const right = b.starts[field]!;
  for (let i = 0; i < length; i++) {
    if (bytes[left + i] !== bytes[right + i]) return false;
  }
  return true;
}

function truncated(): SluiceError {
  return new SluiceError({ code: 'PROTOCOL_VIOLATION', message: 'cut short' });
}
