const ZERO = 0x30;
const DOT = 0x2e;

/** Walks over the ASCII text of one value. A part that does not match leaves the place where it was and tells so. */
export class Scanner {
  bytes: Uint8Array = new Uint8Array(0);
  at = 0;
  end = 0;

  reset(bytes: Uint8Array, start: number, length: number): void {
    this.bytes = bytes;
    this.at = start;
    this.end = start + length;
  }

  get done(): boolean {
    return this.at === this.end;
  }

  /** Steps over one byte if it is this one. */
  take(byte: number): boolean {
    if (this.at >= this.end || this.bytes[this.at] !== byte) return false;
    this.at++;
    return true;
  }

  /** Steps over an ASCII word. */
  takeWord(word: string): boolean {
    if (this.end - this.at < word.length) return false;
    for (let i = 0; i < word.length; i++) {
      if (this.bytes[this.at + i] !== word.charCodeAt(i)) return false;
    }
    this.at += word.length;
    return true;
  }

  /** The next byte, -1 at the end. */
  peek(): number {
    return this.at < this.end ? this.bytes[this.at]! : -1;
  }

  /** A whole number of `min` to `max` digits (at most 15), all digits that follow being part of it; -1 otherwise. */
  digits(min: number, max: number): number {
    let value = 0;
    let at = this.at;
    for (; at < this.end; at++) {
      const digit = this.bytes[at]! - ZERO;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    const count = at - this.at;
    if (count < min || count > max) return -1;
    this.at = at;
    return value;
  }

  /** An optional `.` and one to six digits, in millionths; -1 for a point without digits or with too many. */
  microseconds(): number {
    if (!this.take(DOT)) return 0;
    const from = this.at;
    let value = this.digits(1, 6);
    if (value < 0) return -1;
    for (let count = this.at - from; count < 6; count++) value *= 10;
    return value;
  }
}
