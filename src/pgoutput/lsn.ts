import { SluiceError } from '../error/sluice-error.js';

/** A position in the write-ahead log: a byte offset as an unsigned 64-bit number. */
export type Lsn = bigint & { readonly __brand: 'Lsn' };

export const LSN_ZERO = 0n as Lsn;

/** @throws SluiceError LSN_MALFORMED */
export function parseLsn(text: string): Lsn {
  const match = /^([0-9A-F]{1,8})\/([0-9A-F]{1,8})$/i.exec(text);
  if (match?.[1] === undefined || match[2] === undefined) {
    throw new SluiceError({ code: 'LSN_MALFORMED', message: `not an LSN: "${text}"` });
  }
  return lsnFromBigInt((BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`));
}

/** @throws SluiceError LSN_MALFORMED when the number is no unsigned 64-bit one */
export function lsnFromBigInt(value: bigint): Lsn {
  if (value < 0n || value > 0xffffffffffffffffn) {
    throw new SluiceError({ code: 'LSN_MALFORMED', message: `not an LSN: ${value}` });
  }
  return value as Lsn;
}

/** As Postgres prints it: two upper-case hex halves without leading zeros, such as `16/B374D848`. */
export function formatLsn(lsn: Lsn): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffffffffn).toString(16).toUpperCase()}`;
}

export function laterLsn(a: Lsn, b: Lsn): Lsn {
  if (a > b) return a;
  return b;
}
