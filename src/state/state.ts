import type { Deletes, Method, OnPartitionChange, OnRemove, Output } from '../config/config.js';
import type { ScheduleState } from './schedule-state.js';

/**
 * The state document: what was applied, never what was read. Cursors, LSNs and run history are the destination's (law 2);
 * a table needs a load exactly when the destination holds an older generation than the one written here.
 * Keys are snake_case as they are stored as they stand.
 */
export interface StateDocument {
  readonly format_version: 2;
  /** Made once with the document; two documents of different lineage never replace one another. */
  readonly lineage: string;
  /** Rises by one with each write; writers compare and swap on it. */
  readonly serial: number;
  readonly sources: Readonly<Record<string, SourceState>>;
}

export interface SourceState {
  /** sha256 of host, port, database and user: notices that the entry now points elsewhere. Null before the first apply. */
  readonly connection_fingerprint: string | null;
  readonly system_identifier: string | null;
  readonly database: string | null;
  /** Name of the destination entry and a fingerprint of where it points. */
  readonly destination: string;
  readonly destination_fingerprint: string;
  /** Where a destination on a disk lies. Null for a bucket, and in documents from before it was kept. */
  readonly destination_place: DestinationPlace | null;
  readonly management: 'managed' | 'self_managed';
  /** Null until created (managed) or verified (self-managed). */
  readonly publication: string | null;
  /**
   * `schema.table` of what Sluice put into the publication (managed; [] when self-managed). Tells a table that somebody
   * took out of it (its stream has a gap) from one that never was in it, and what is ours to take out again.
   */
  readonly publication_tables: readonly string[];
  readonly slot: { readonly name: string; readonly created_lsn: string } | null;
  /**
   * A slot that is about to be made, written before it is: where the apply ends before it can record the slot, the next
   * plan knows what it finds on the server for ours. `wal_lsn` is the end of the WAL at that moment; a slot that stands
   * before it is somebody else's. Null at all other times.
   */
  readonly pending_slot: { readonly name: string; readonly wal_lsn: string } | null;
  /**
   * The guard dropped the slot, as it held back too much WAL: nothing is synced until a person has applied. Written by
   * the guard, cleared when a new slot is recorded or none is needed any more. Null at all other times.
   */
  readonly halted: Halt | null;
  /** Nothing of it is synced until a person resumes it; its stream stands still meanwhile. */
  readonly paused: { readonly at: string } | null;
  /**
   * The source left the file and its removal was consented to: what this state still names of it is to be cleaned up, by
   * every apply and by the daemon, until it is gone. Written before the first step, so that a removal that is broken off
   * is gone on with; ends when the source is in the file again. Null at all other times.
   */
  readonly cleanup: PendingCleanup | null;
  /** By `schema.table` of the source. */
  readonly tables: Readonly<Record<string, TableState>>;
}

/**
 * A file or a folder on the disk of one machine, which other machines that share the state do not have. The first sync
 * records it, just before anything of it is written for good.
 */
export interface DestinationPlace {
  /** The path as the config has it: another one is a move, the same one in another folder is another checkout. */
  readonly written: string;
  /** Absolute, on the machine that has it. */
  readonly path: string;
  /** Tables are in it, or about to be: from then on it is expected to be there. */
  readonly filled: boolean;
}

/** Why a source does not sync any more, whatever its schedule says. */
export interface Halt {
  readonly code: 'WAL_LAG_CRITICAL';
  readonly message: string;
  readonly at: string;
}

export interface PendingCleanup {
  /** ISO; when the removal began. */
  readonly since: string;
  /** What kept single things from being cleaned up when that was last tried. */
  readonly failures: readonly CleanupFailure[];
}

export interface CleanupFailure {
  /** `source:slot`, `source:publication` or `source:schema.table`. */
  readonly address: string;
  readonly code: string;
  readonly message: string;
  readonly hint: string | null;
}

export interface ColumnState {
  readonly name: string;
  readonly attnum: number;
  /** As format_type prints it. */
  readonly type: string;
  /** The destination type, e.g. `DECIMAL(12,2)`. */
  readonly target_type: string;
}

/** What the WAL says of the old row of an update or delete (`ALTER TABLE ... REPLICA IDENTITY`). */
export type ReplicaIdentity = 'default' | 'nothing' | 'full' | 'index';

export interface TableState {
  readonly oid: number;
  readonly method: Method;
  readonly output: Output;
  readonly deletes: Deletes;
  /** Source columns that are copied, in source order. */
  readonly columns: readonly ColumnState[];
  /** Key by which rows are told apart; [] for append and full_table without one. */
  readonly primary_key: readonly string[];
  /**
   * Of a streamed table, to notice that somebody changed it. Null for other methods, for a partitioned table, whose
   * partitions have one each, and where the state was written before this was kept.
   */
  readonly replica_identity: ReplicaIdentity | null;
  readonly cursor: string | null;
  readonly lookback_ms: number;
  readonly schedule: ScheduleState;
  /** Columns whose values a delta table's files are kept apart by; [] for none. */
  readonly partition_by: readonly string[];
  readonly on_remove: OnRemove;
  readonly on_partition_change: OnPartitionChange;
  /** Schema and name in the destination. */
  readonly target: { readonly schema: string; readonly name: string };
  readonly metadata_prefix: string;
  readonly enabled: boolean;
  readonly paused: boolean;
  /**
   * Since when it is paused and where the source's stream stood then, in words that are only compared; a null position is
   * not known. Where the stream has moved by the time that it is resumed, the table missed changes. Null while not paused.
   */
  readonly pause: { readonly at: string; readonly stream_position: string | null } | null;
  /**
   * Rises with each load that is asked for (first load, resync, re-enabling, change of method). The destination records
   * the generation it holds; a lower one there means: load due.
   */
  readonly generation: number;
  readonly generation_reason: string;
  /**
   * The generation in which the table was added to a publication whose slot already existed. While the destination holds
   * a lower one, the snapshot must wait until all older writers of the table have ended (DESIGN 3, first trap): a later
   * resync does not lift that. Null where the slot came after the table was published.
   */
  readonly published_in_generation: number | null;
  /**
   * Columns that were added with `on_add_columns: backfill` and are to be filled in the rows that are there. Due while the
   * destination records a lower id; a load of the whole table makes it needless. Null where none was asked for.
   */
  readonly backfill: { readonly id: number; readonly columns: readonly string[] } | null;
}
