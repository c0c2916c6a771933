import { asciiText, isAscii } from './column-codec.js';

const MINUS = 0x2d;
const PLUS = 0x2b;
const DOT = 0x2e;
const ZERO = 0x30;
const LETTER_E = 0x65;

/** Up to here both the digits and the power of ten are exact doubles, so one division or product rounds correctly. */
const EXACT_DIGITS = 15;
const EXACT_POWER = 22;
const EXACT_POWERS = Array.from({ length: EXACT_POWER + 1 }, (_, power) => Number(`1e${power}`));

/** A decimal number in parts: value = (negative ? -1 : 1) * digits * 10^exponent. */
const DECIMAL_TEXT = /^(-?)([0-9]+)(?:\.([0-9]+))?(?:e([+-][0-9]+))?$/;

/**
 * The double nearest to what float8out or float4out printed, with its sign of zero.
 * @returns NaN for `NaN` and for bytes that are no number; the caller tells them apart
 */
export function parseDouble(bytes: Uint8Array, start: number, length: number): number {
  const end = start + length;
  let at = start;
  const negative = length > 0 && bytes[at] === MINUS;
  if (negative) at++;
  let digits = 0;
  let mantissa = 0;
  let exponent = 0;
  let seen = 0;
  for (let fraction = false; at < end; at++) {
    const byte = bytes[at]!;
    if (byte === DOT && !fraction && seen > 0) {
      fraction = true;
      continue;
    }
    const digit = byte - ZERO;
    if (digit < 0 || digit > 9) break;
    seen++;
    mantissa = mantissa * 10 + digit;
    if (mantissa !== 0) digits++;
    if (fraction) exponent--;
  }
  if (seen === 0) return infinityOrNaN(bytes, start, length);
  if (bytes[at - 1] === DOT) return Number.NaN;
  if (at < end) {
    const power = parseExponent(bytes, at, end);
    if (Number.isNaN(power)) return Number.NaN;
    exponent += power;
  }
  if (digits > EXACT_DIGITS || exponent > EXACT_POWER || exponent < -EXACT_POWER) {
    const parsed = Number(asciiText(bytes, start, length));
    return Number.isFinite(parsed) ? parsed : Number.NaN;
  }
  const value = exponent < 0 ? mantissa / EXACT_POWERS[-exponent]! : mantissa * EXACT_POWERS[exponent]!;
  return negative ? -value : value;
}

/**
 * The float nearest to a printed number, given the double nearest to it. Rounding twice goes wrong where that double
 * lies halfway between two floats while the number itself does not.
 */
export function nearestFloat(double: number, bytes: Uint8Array, start: number, length: number): number {
  const float = Math.fround(double);
  if (float === double || !Number.isFinite(double)) return float;
  const other = neighbour(float, double > float);
  // Two neighbouring floats have an exact mean in a double. (Beyond the largest float the next step counts as a float.)
  const middle = Number.isFinite(other) && Number.isFinite(float) ? (float + other) / 2 : Number.NaN;
  if (double !== middle) return float;
  const order = compareDecimal(asciiText(bytes, start, length), double);
  if (order === 0) return float;
  return order > 0 ? Math.max(float, other) : Math.min(float, other);
}

/** The exponent `e[+-][0-9]+` that must fill the rest; NaN otherwise. */
function parseExponent(bytes: Uint8Array, from: number, end: number): number {
  const sign = bytes[from + 1];
  if (bytes[from] !== LETTER_E || (sign !== MINUS && sign !== PLUS) || from + 2 >= end || end - from > 6)
    return Number.NaN;
  let power = 0;
  for (let at = from + 2; at < end; at++) {
    const digit = bytes[at]! - ZERO;
    if (digit < 0 || digit > 9) return Number.NaN;
    power = power * 10 + digit;
  }
  return sign === MINUS ? -power : power;
}

function infinityOrNaN(bytes: Uint8Array, start: number, length: number): number {
  if (isAscii(bytes, start, length, 'Infinity')) return Number.POSITIVE_INFINITY;
  if (isAscii(bytes, start, length, '-Infinity')) return Number.NEGATIVE_INFINITY;
  return Number.NaN;
}

const floatCell = new Float32Array(1);
const floatBits = new Int32Array(floatCell.buffer);

/** The next float above or below. */
function neighbour(float: number, above: boolean): number {
  if (float === 0) return above ? 2 ** -149 : -(2 ** -149);
  floatCell[0] = float;
  // The bits of a float count up away from zero on either side of it.
  floatBits[0]! += above === float > 0 ? 1 : -1;
  return floatCell[0];
}

/** Whether a decimal text is less than (-1), equal to (0) or greater than (1) a finite double, exactly. */
function compareDecimal(text: string, double: number): -1 | 0 | 1 {
  const parts = DECIMAL_TEXT.exec(text);
  if (parts === null) return 0;
  const [, sign, whole = '', fraction = '', power = '0'] = parts;
  const exponent = Number(power) - fraction.length;
  let left = BigInt(whole + fraction) * (sign === '-' ? -1n : 1n);
  const exact = exactDouble(double);
  let right = exact.mantissa;
  if (exponent >= 0) left *= 10n ** BigInt(exponent);
  else right *= 10n ** BigInt(-exponent);
  left *= 2n ** BigInt(-exact.exponent);
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

/** A finite double as an integer times 2^exponent; the exponent is never above 0. */
function exactDouble(value: number): { mantissa: bigint; exponent: number } {
  let mantissa = value;
  let exponent = 0;
  while (!Number.isInteger(mantissa)) {
    mantissa *= 2;
    exponent--;
  }
  return { mantissa: BigInt(mantissa), exponent };
}
