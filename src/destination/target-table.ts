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
  readonly columns: readonly {
    readonly name: string;
    readonly type: LogicalType;
    /** What the source says the column is; null: nothing; absent: not looked at, so what the destination has stays. */
    readonly comment?: string | null;
  }[];
  /** The same of the table. */
  readonly comment?: string | null;
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

export interface TableName {
  readonly schema: string;
  readonly name: string;
}

export interface TablePlace extends TableName {
  /** Its history, and not itself. */
  readonly history: boolean;
}

/** The tables of the destination that it has: itself, its history, or both. */
export function placesOf(table: TargetTable): TablePlace[] {
  const consolidated = { schema: table.schema, name: table.name, history: false };
  const history = { schema: table.schema, name: historyName(table), history: true };
  if (table.method !== 'cdc' || table.output === 'consolidated') return [consolidated];
  return table.output === 'history' ? [history] : [consolidated, history];
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

/** What they are, for whoever reads the destination; in the same order. */
export const METADATA_COMMENTS = [
  'Last change of the row: I (insert), U (update) or D (delete)',
  'When that change was committed in the source',
  'Whether the row has been deleted in the source',
  'When the row was deleted in the source',
  "Commit LSN of that change's transaction, as a number",
  'Position of that change in its transaction; 0 from a snapshot',
] as const;

/** The columns that a history has behind those. */
export const HISTORY_COLUMNS = [
  { name: 'valid_from', comment: 'From when on this version of the row held' },
  { name: 'valid_to', comment: 'Until when it held, exclusive; NULL for the current version' },
] as const;

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
