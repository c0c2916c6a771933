import type { LogicalType } from '../batch/logical-type.js';
import type { Deletes, Method, Output } from '../config/config.js';

/** A table as a destination writes it. Cloneable, as it travels to the writer's thread. */
export interface TargetTable {
  /** `source:schema.table` */
  readonly address: string;
  readonly schema: string;
  readonly name: string;
  readonly method: Method;
  readonly output: Output;
  readonly deletes: Deletes;
  readonly columns: readonly { readonly name: string; readonly type: LogicalType }[];
  /** Names of key columns; [] where rows have no key (append, full_table). */
  readonly key: readonly string[];
  /** Delta tables: the columns whose values its files are kept apart by; absent or [] for none. */
  readonly partitionBy?: readonly string[];
  readonly metadataPrefix: string;
  /** A column's type has grown since it was applied: the destination's may have to be widened before rows are written. */
  readonly widened?: boolean;
  /** The number of the last backfill that was asked for, which a load of the whole table makes needless; 0 for none. */
  readonly backfill?: number;
  /** The generation that a load brings the table to. */
  readonly generation: number;
}

export function historyName(table: { readonly name: string }): string {
  return `${table.name}_cdc`;
}

/** A part of a table's rows, chosen by their key alone: those whose md5 of seed and key begins below a hex prefix. */
export interface KeySample {
  readonly seed: string;
  /** Lower-case hex digits; a key is in the sample when the digits of its hash sort before them. */
  readonly below: string;
}

/** The columns that Sluice adds, under the source's prefix (DESIGN 6). */
export interface MetadataColumns {
  readonly op: string;
  readonly timestamp: string;
  readonly deleted: string;
  readonly deletedAt: string;
  readonly lsn: string;
  readonly seq: string;
}

export function metadataColumns(prefix: string): MetadataColumns {
  return {
    op: `${prefix}cdc_op`,
    timestamp: `${prefix}cdc_timestamp`,
    deleted: `${prefix}deleted`,
    deletedAt: `${prefix}deleted_at`,
    lsn: `${prefix}cdc_lsn`,
    seq: `${prefix}cdc_seq`,
  };
}

/** In the order in which they follow the table's own columns. */
export function metadataNames(prefix: string): string[] {
  const names = metadataColumns(prefix);
  return [names.op, names.timestamp, names.deleted, names.deletedAt, names.lsn, names.seq];
}

export const METADATA_TYPES = ['VARCHAR', 'TIMESTAMPTZ', 'BOOLEAN', 'TIMESTAMPTZ', 'BIGINT', 'BIGINT'] as const;

/** When a transaction of the source counts as seen by a snapshot (DESIGN 3). */
export interface SnapshotMark {
  /** pg_current_snapshot() as text: `xmin:xmax:xip,...` */
  readonly snapshot: string;
  /** pg_current_wal_insert_lsn() read after the snapshot was taken: everything visible committed before it. */
  readonly snapshotLsn: string;
  /** The stream's position when the load began: the LSN that seeded rows carry. */
  readonly seedLsn: string;
  /** Server clock at the snapshot, ISO 8601 with offset. */
  readonly takenAt: string;
}
