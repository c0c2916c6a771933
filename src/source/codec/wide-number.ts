/** Largest factor of {@link WideNumber.scale}: a 32-bit limb times it plus a carry stays below 2^53. */
export const MAX_FACTOR = 1_000_000;

const LIMB = 0x1_0000_0000;

/** A non-negative 128-bit number in four 32-bit limbs, for decimals and integers beyond 2^53 without BigInt. */
export class WideNumber {
  w0 = 0;
  w1 = 0;
  w2 = 0;
  w3 = 0;

  set(value: number): void {
    this.w0 = value >>> 0;
    this.w1 = Math.floor(value / LIMB);
    this.w2 = 0;
    this.w3 = 0;
  }

  /** this = this * factor + addend, modulo 2^64. Cheaper than {@link scale} where the upper half is not needed. */
  scale64(factor: number, addend: number): void {
    const low = this.w0 * factor + addend;
    this.w0 = low >>> 0;
    this.w1 = (this.w1 * factor + (low - this.w0) / LIMB) >>> 0;
  }

  /** this = this * factor + addend, modulo 2^128. */
  scale(factor: number, addend: number): void {
    let product = this.w0 * factor + addend;
    this.w0 = product >>> 0;
    product = this.w1 * factor + (product - this.w0) / LIMB;
    this.w1 = product >>> 0;
    product = this.w2 * factor + (product - this.w1) / LIMB;
    this.w2 = product >>> 0;
    product = this.w3 * factor + (product - this.w2) / LIMB;
    this.w3 = product >>> 0;
  }

  /** Two's complement. */
  negate(): void {
    this.w0 = (~this.w0 + 1) >>> 0;
    let carry = this.w0 === 0 ? 1 : 0;
    this.w1 = (~this.w1 + carry) >>> 0;
    carry = carry === 1 && this.w1 === 0 ? 1 : 0;
    this.w2 = (~this.w2 + carry) >>> 0;
    carry = carry === 1 && this.w2 === 0 ? 1 : 0;
    this.w3 = (~this.w3 + carry) >>> 0;
  }
}
