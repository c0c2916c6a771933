import { SluiceError } from '../error/sluice-error.js';

/** `pg_current_snapshot()`: 64-bit transaction ids, their epoch in the upper half. */
export interface PgSnapshot {
  /** Everything below has ended. */
  readonly xmin: bigint;
  /** Nothing from here on had begun. */
  readonly xmax: bigint;
  /** Between the two: still running, in ascending order. Subtransactions are not listed; Begin carries none either. */
  readonly xip: readonly bigint[];
}

const HALF = 1n << 31n;
const EPOCH = 1n << 32n;

/**
 * Parses `xmin:xmax:xip,...`.
 * @throws SluiceError PROTOCOL_VIOLATION
 * @see Postgres docs, "Transaction ID and Snapshot Information Functions"
 */
export function parseSnapshot(text: string): PgSnapshot {
  const match = /^([0-9]{1,20}):([0-9]{1,20}):((?:[0-9]{1,20}(?:,[0-9]{1,20})*)?)$/.exec(text);
  const [, xmin, xmax, xip] = match ?? [];
  if (xmin === undefined || xmax === undefined || xip === undefined || BigInt(xmin) > BigInt(xmax)) {
    throw new SluiceError({ code: 'PROTOCOL_VIOLATION', message: `not a snapshot: "${text}"` });
  }
  return { xmin: BigInt(xmin), xmax: BigInt(xmax), xip: xip === '' ? [] : xip.split(',').map(BigInt) };
}

/**
 * Whether the snapshot sees what a committed transaction did.
 * @param xid32 the id as Begin carries it, without its epoch. The transaction is taken for the one nearest to the
 *   snapshot: Postgres keeps all ids in use within 2^31 of one another.
 */
export function isVisible(xid32: number, snapshot: PgSnapshot): boolean {
  const xid = nearest(xid32, snapshot.xmax);
  if (xid < snapshot.xmin) return true;
  return xid < snapshot.xmax && !snapshot.xip.includes(xid);
}

function nearest(xid32: number, to: bigint): bigint {
  const xid = (to & ~(EPOCH - 1n)) | BigInt(xid32);
  if (xid - to > HALF) return xid - EPOCH;
  return to - xid > HALF ? xid + EPOCH : xid;
}
