import type { LogicalType } from './logical-type.js';

/**
 * The columns that follow a table's own in a batch of changes, in this order:
 * op (ASCII I, U or D), lsn (commit LSN), seq (1-based position in the transaction; one number a row event), commit_ts
 * (microseconds since 1970 UTC), xid (32 bits, as Begin carries it), key_change (1 on the D and the I that an update of
 * the key became; the D stands directly before its I, with seq one lower), unchanged_0..n (bit i of word i/30: the
 * value of the table column with that position in the batch was not sent: unchanged TOAST, or all but the key in a D
 * without full old row).
 */
export const CHANGE_COLUMNS = [
  { name: '__op', type: { kind: 'int16' } },
  { name: '__lsn', type: { kind: 'int64' } },
  { name: '__seq', type: { kind: 'int64' } },
  { name: '__commit_ts', type: { kind: 'timestamptz' } },
  { name: '__xid', type: { kind: 'uint32' } },
  { name: '__key_change', type: { kind: 'int16' } },
] as const satisfies readonly { readonly name: string; readonly type: LogicalType }[];

/** Bits used of each `__unchanged_N` word: 30, so that a word is always a small integer in JavaScript. */
export const UNCHANGED_BITS = 30;

export const OP_INSERT = 73;
export const OP_UPDATE = 85;
export const OP_DELETE = 68;

/** `__unchanged_0`, `__unchanged_1`, ... for a table of that many columns (at least one). */
export function unchangedColumnNames(tableColumns: number): string[] {
  const words = Math.max(1, Math.ceil(tableColumns / UNCHANGED_BITS));
  return Array.from({ length: words }, (_, word) => `__unchanged_${word}`);
}

/** Names that the columns of a streamed table cannot have, as they stand beside them while changes are merged. */
export function workingColumnNames(tableColumns: number): string[] {
  const merging = ['__segment', '__segment_id', '__root', '__present', '__valid_from', '__valid_to', '__nth'];
  const numbered = Array.from({ length: tableColumns }, (_, i) => [`__sent_${i}`, `__root_key_${i}`]).flat();
  return [...CHANGE_COLUMNS.map(({ name }) => name), ...unchangedColumnNames(tableColumns), ...merging, ...numbered];
}
