import type { Lsn } from './lsn.js';

/**
 * The messages of the pgoutput plugin, protocol versions 1 and 2.
 * @see Postgres docs, "Logical Replication Message Formats"
 */
export type Message =
  | { readonly kind: 'begin'; readonly finalLsn: Lsn; readonly commitTs: bigint; readonly xid: number }
  | { readonly kind: 'commit'; readonly commitLsn: Lsn; readonly endLsn: Lsn; readonly commitTs: bigint }
  | { readonly kind: 'origin'; readonly lsn: Lsn; readonly name: string }
  | ({ readonly kind: 'relation'; readonly relation: Relation } & Streamed)
  | ({ readonly kind: 'type'; readonly oid: number; readonly schema: string; readonly name: string } & Streamed)
  | ({ readonly kind: 'insert'; readonly relationOid: number; readonly row: Tuple } & Streamed)
  | ({
      readonly kind: 'update';
      readonly relationOid: number;
      readonly old: OldTuple | null;
      readonly row: Tuple;
    } & Streamed)
  | ({ readonly kind: 'delete'; readonly relationOid: number; readonly old: OldTuple } & Streamed)
  | ({
      readonly kind: 'truncate';
      readonly relationOids: readonly number[];
      readonly cascade: boolean;
      readonly restartIdentity: boolean;
    } & Streamed)
  | ({
      readonly kind: 'message';
      readonly transactional: boolean;
      readonly lsn: Lsn;
      readonly prefix: string;
      readonly content: Uint8Array;
    } & Streamed)
  | { readonly kind: 'stream_start'; readonly xid: number; readonly firstSegment: boolean }
  | { readonly kind: 'stream_stop' }
  | {
      readonly kind: 'stream_commit';
      readonly xid: number;
      readonly commitLsn: Lsn;
      readonly endLsn: Lsn;
      readonly commitTs: bigint;
    }
  | { readonly kind: 'stream_abort'; readonly xid: number; readonly subxid: number };

/** Within a streamed block each message names its (sub)transaction; null outside. */
interface Streamed {
  readonly streamXid: number | null;
}

export interface Relation {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** pg_class.relreplident: d default, n nothing, f full, i index. */
  readonly identity: 'd' | 'n' | 'f' | 'i';
  readonly columns: readonly RelationColumn[];
}

export interface RelationColumn {
  readonly name: string;
  /** Part of the replica identity; all columns are where it is full. */
  readonly key: boolean;
  readonly typeOid: number;
  readonly typmod: number;
}

/** One value a column of the relation, in its order. */
export type Tuple = readonly TupleValue[];

/** `unchanged` is a TOAST value that the statement did not touch: it was not sent, and is neither NULL nor absent. */
export type TupleValue =
  | { readonly kind: 'null' }
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'text'; readonly bytes: Uint8Array }
  | { readonly kind: 'binary'; readonly bytes: Uint8Array };

/** `key`: only the columns of the replica identity hold values, the rest is sent as NULL. `full`: the whole old row. */
export interface OldTuple {
  readonly kind: 'key' | 'full';
  readonly row: Tuple;
}

/** First bytes of the messages, and the marks within them. */
export const CODE = {
  begin: 0x42, // B
  commit: 0x43, // C
  origin: 0x4f, // O
  relation: 0x52, // R
  type: 0x59, // Y
  insert: 0x49, // I
  update: 0x55, // U
  delete: 0x44, // D
  truncate: 0x54, // T
  message: 0x4d, // M
  streamStart: 0x53, // S
  streamStop: 0x45, // E
  streamCommit: 0x63, // c
  streamAbort: 0x41, // A
} as const;

export const MARK = {
  newRow: 0x4e, // N
  key: 0x4b, // K
  full: 0x4f, // O
  null: 0x6e, // n
  unchanged: 0x75, // u
  text: 0x74, // t
  binary: 0x62, // b
} as const;

/** A byte for people: `"x" (0x78)`. */
export function describeByte(byte: number | undefined): string {
  if (byte === undefined) return 'nothing';
  const hex = `0x${byte.toString(16).padStart(2, '0')}`;
  return byte > 0x20 && byte < 0x7f ? `"${String.fromCharCode(byte)}" (${hex})` : hex;
}
