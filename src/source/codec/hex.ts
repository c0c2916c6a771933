/** The value of each ASCII byte as a hex digit, -1 for all others. */
const HEX_VALUES = new Int8Array(256).fill(-1);
for (let digit = 0; digit < 16; digit++) {
  const text = digit.toString(16);
  HEX_VALUES[text.charCodeAt(0)] = digit;
  HEX_VALUES[text.toUpperCase().charCodeAt(0)] = digit;
}

/** Two hex digits as a byte; negative where one of them is none. */
export function hexByte(bytes: Uint8Array, at: number): number {
  // A negative digit sets the sign bit of the result, whichever of the two it is.
  return (HEX_VALUES[bytes[at]!]! << 4) | HEX_VALUES[bytes[at + 1]!]!;
}
