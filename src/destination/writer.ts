import type { PlainError } from '../error/sluice-error.js';
import type { ChannelEnd } from '../thread/batch-channel.js';
import type { MergedEnd } from '../thread/merged-channel.js';
import type { Comparison } from './comparison.js';
import type { DestinationFacts, PartitionFacts } from './facts.js';
import type { StoreTraffic } from './lake/object-store.js';
import type { HeapRange, LoadProgress } from './load-progress.js';
import type { DestinationMaintenance } from './maintenance.js';
import type { KeySample, SnapshotMark, TargetTable } from './target-table.js';

/**
 * What the executor asks of a destination. Calls are carried out one after the other, in the order they were made;
 * a call that resolves has committed. Arguments are cloneable, as they may cross a thread.
 */
export interface DestinationWriter {
  /** Makes the destination where there is none: its file, or of a lake on a disk the folder that tells it from an empty one. */
  makePlace(): Promise<void>;

  /** What was asked of the object store since this writer was opened; null where there is none. */
  readTraffic(): Promise<StoreTraffic | null>;

  /** @param options busyWaitMs: how long to wait for a file that another process holds, instead of the usual time */
  readFacts(options?: { readonly busyWaitMs: number }): Promise<DestinationFacts>;

  /** Prepares an empty load table beside the target; leftovers of an earlier, unfinished load are removed. */
  beginLoad(load: BeginLoad): Promise<void>;
  /** How far an unfinished load of the table has come that can be gone on with; null where there is none. */
  readLoad(address: string): Promise<LoadProgress | null>;
  /** Goes on with the load that {@link readLoad} told of, under a new snapshot: see {@link rebaseLoad}. */
  resumeLoad(load: Omit<BeginLoad, 'progress'>): Promise<void>;
  /** The next rows of a load. They are committed together, with the ranges that they come from. */
  openPart(part: LoadPart): Promise<void>;
  /** Takes batches until the part's channel ends ('done') or {@link interruptReceiver} asks an interruptible one for a pause ('paused'). Not visible to readers yet. */
  continueLoad(address: string): Promise<{ readonly state: 'done' | 'paused'; readonly rows: number }>;
  /**
   * One transaction: makes the rows that an earlier snapshot saw in the ranges that were read into those that the new one
   * sees there. The stream has delivered everything that the new one sees, and parts `into: 'changed'` brought the rows
   * that were written since.
   * @throws SluiceError SNAPSHOT_RACED when the load cannot be gone on with any more
   */
  rebaseLoad(load: { readonly table: TargetTable; readonly mark: SnapshotMark }): Promise<void>;
  /** Ends a load that was broken off but keeps what can be gone on with. */
  leaveLoad(address: string): Promise<void>;
  /** Values that the load's types could not hold, as batches of (key, column, source_text, reason), all varchar. */
  loadRejected(load: { readonly address: string; readonly channel: ChannelEnd }): Promise<number>;
  /** One transaction: the load takes the target's place, held changes that its snapshot did not see are applied, checkpoint and run record are written. */
  finishLoad(load: FinishLoad): Promise<LoadOutcome>;
  /** One transaction: a load of a few columns fills them in the rows that are there, between the held changes before and after its snapshot. */
  finishBackfill(backfill: FinishBackfill): Promise<BackfillOutcome>;
  /** Ends a load that failed and removes what it wrote. */
  abandonLoad(address: string): Promise<void>;

  /** Takes the batches of one page of changes into temporary tables. Ends with the channel. */
  stagePage(page: { readonly tables: readonly TargetTable[]; readonly channel: ChannelEnd }): Promise<void>;
  /** One transaction: merges the staged page, keeps the changes of tables that wait for a load, moves the checkpoint. */
  commitPage(page: CommitPage): Promise<PageOutcome>;
  /**
   * Forgets held changes of transactions that every later snapshot will see (xid below `xmin`); of a table with a load to
   * go on with only those that its snapshot saw.
   */
  pruneHeld(request: { readonly addresses: readonly string[]; readonly xmin: string }): Promise<void>;

  /** Prepares a temporary table for a fresh copy of the source; {@link continueLoad} with `load` takes its rows. */
  beginShadow(shadow: BeginShadow): Promise<void>;
  /** Compares the copy with what the destination holds and forgets it. Nothing of the destination is changed. */
  compareShadow(request: CompareShadow): Promise<readonly Comparison[]>;

  /** Takes the rows of one incremental or append run into a temporary table. */
  stageRows(request: { readonly table: TargetTable; readonly channel: ChannelEnd }): Promise<void>;
  /** One transaction: the staged rows of an incremental (by key) or append sync, with the new cursor. */
  writeRows(rows: WriteRows): Promise<{ readonly rows: number; readonly rejected: number }>;

  recordFailure(failure: RecordFailure): Promise<void>;
  /** Asks for a new snapshot of a table, remembered in the destination. */
  requestSnapshot(request: { readonly address: string; readonly reason: string }): Promise<void>;

  /** Remembers the partitions that the table is whole with, or that a difference to them was accepted. */
  recordPartitions(request: RecordPartitions): Promise<void>;

  /** One transaction: adds columns to the table and its history, empty; a left-over one of that name is set aside. */
  addColumns(request: AddColumns): Promise<void>;
  /** One transaction: widens columns whose type has grown; others stay as they are. */
  widenColumns(table: TargetTable): Promise<void>;
  /** One transaction: renames columns of the table and its history. Doing it twice is the same as once. */
  renameColumns(request: RenameColumns): Promise<void>;
  /**
   * Brings the source's comments to the tables that are there and their columns. Where nothing has changed, nothing is written.
   * @returns tables that they could not be brought to, which is no reason not to go on with their rows
   */
  describeTables(request: DescribeTables): Promise<readonly TableTrouble[]>;
  retireTable(request: RetireTable): Promise<void>;
  dropTable(request: RetireTable): Promise<void>;
  moveTable(request: { readonly from: RetireTable; readonly to: RetireTable }): Promise<void>;
  moveStream(request: { readonly from: string; readonly to: string }): Promise<void>;
  forgetStream(source: string): Promise<void>;
  /** One transaction: forgets the stream's position and what was held for its tables, as both belong to a slot that is gone. */
  restartStream(request: { readonly source: string; readonly addresses: readonly string[] }): Promise<void>;

  /** Lets go of the file until the next call. */
  release(): Promise<void>;
  /** Swaps a consistent copy in for long readers. */
  publish(path: string): Promise<void>;
  /** Upkeep of the tables' files; null where the destination looks after itself. */
  readonly maintenance: DestinationMaintenance | null;
  close(): Promise<void>;
}

export interface BeginLoad {
  readonly table: TargetTable;
  /** For cdc: what the seeded rows carry; null for the other methods. */
  readonly seed: { readonly lsn: string; readonly at: string } | null;
  /** Kept from the first part on, so that another process can go on with the load; null: it could not. */
  readonly progress: Pick<LoadProgress, 'identity' | 'mark'> | null;
}

export interface LoadPart {
  readonly address: string;
  readonly channel: MergedEnd;
  /** changed: rows of ranges that were read before, written since. */
  readonly into: 'load' | 'changed';
  /** What the channel's tasks read, in their order; [] where a load keeps no progress. */
  readonly ranges: readonly HeapRange[];
  readonly interruptible: boolean;
}

/** What readers send of a load. */
export type LoadItem<Batch> =
  | { readonly kind: 'batch'; readonly batch: Batch }
  /** Positions of columns of which some value did not fit. */
  | { readonly kind: 'rejected_columns'; readonly columns: readonly number[] };
export interface BeginShadow {
  readonly table: TargetTable;
  /** Names the load in continueLoad and abandonLoad. */
  readonly load: string;
  readonly channel: ChannelEnd;
}

/** Follows the table's own columns in a shadow's batches: false for rows that the next sync by cursor brings anyway. */
export const SETTLED_COLUMN = { name: '__settled', type: { kind: 'boolean' } } as const;

export interface CompareShadow {
  readonly table: TargetTable;
  readonly load: string;
  /** key: row by row; rows: as two bags of rows, for tables without a key. */
  readonly by: 'key' | 'rows';
  /** What a row is that only the destination has. */
  readonly surplus: 'extra' | 'unfollowed';
  /** The copy holds only these rows; null: all. */
  readonly sample: KeySample | null;
  /** Examples at most, of each table of the destination. */
  readonly limit: number;
  /** An Int32 that is set to 1 and notified when the comparison shall end early. */
  readonly cancel: SharedArrayBuffer;
}

export interface RunRecord {
  readonly runId: string;
  readonly source: string;
  readonly startedAt: string;
}

export interface FinishLoad {
  readonly table: TargetTable;
  /** For cdc; null for the other methods. */
  readonly mark: SnapshotMark | null;
  readonly asOf: string;
  readonly cursor: string | null;
  readonly rowsPerSecond: number | null;
  readonly run: RunRecord;
  /** The stream's identity and start, written with the first load when no stream is recorded yet. */
  readonly stream: StreamStart | null;
  /** The leaves that the snapshot's own transaction saw; null where the table is no partitioned cdc table. */
  readonly partitions: PartitionFacts | null;
}

export interface RecordPartitions {
  readonly address: string;
  readonly partitions: PartitionFacts;
  /** Rows came or went unseen and the table is kept as it is: goes into `_sluice.runs`. */
  readonly accepted: { readonly run: RunRecord; readonly code: string; readonly message: string } | null;
}

/** Whose position a stream's LSN is; see facts.ts. */
export interface StreamIdentity {
  readonly source: string;
  readonly slot: string;
  readonly slotCreatedLsn: string;
  readonly systemIdentifier: string;
  readonly timelineId: number | null;
}

export interface StreamStart extends StreamIdentity {
  readonly confirmedLsn: string;
}

export interface LoadOutcome {
  readonly rows: number;
  readonly rejected: number;
  /** Changes that arrived while the table loaded and were applied on top. */
  readonly heldChanges: number;
  /** The table was truncated after its snapshot and waits for another load. */
  readonly needsLoad: boolean;
}

export interface FinishBackfill {
  /** The whole table; the load held its key and `columns`. */
  readonly table: TargetTable;
  readonly columns: readonly string[];
  /** The backfill's number, by which it is known to be done. */
  readonly id: number;
  readonly mark: SnapshotMark;
  readonly run: RunRecord;
}

export interface BackfillOutcome {
  readonly rows: number;
  readonly rejected: number;
  readonly heldChanges: number;
}

export interface PageTable {
  /** Position in the page's table list. */
  readonly index: number;
  readonly table: TargetTable;
  /** merge: the table is live; hold: it waits for a load, its changes are kept. */
  readonly mode: 'merge' | 'hold';
  /**
   * Merges only what this snapshot sees and holds the rest for a later page. Changes of one row become visible in the
   * order of their commits, as the later one waited for the lock of the earlier, so the order of a row's changes is kept.
   */
  readonly upTo?: string | null;
  /** The destination cannot write the table now: its changes are held and it is marked with this. */
  readonly trouble?: PlainError | null;
  /** Places of TRUNCATE in the stream, in order. */
  readonly truncates: readonly {
    readonly lsn: string;
    readonly seq: number;
    readonly committedAt: string;
    readonly xid: number;
  }[];
  /** Set when the table's columns no longer fit: later changes are not in the page, and a load is asked for. */
  readonly mismatch: { readonly reason: string; readonly lsn: string; readonly xid: number } | null;
}

export interface CommitPage extends StreamIdentity {
  readonly tables: readonly PageTable[];
  readonly confirmedLsn: string;
  readonly confirmedAt: string;
  readonly runId: string;
  readonly startedAt: string;
  readonly transactions: number;
  /** Ids of streamed transactions that no snapshot sees yet; they replace those recorded before. */
  readonly unseen: readonly number[];
  /**
   * The page says no more than that nothing happened: a destination where each write is paid for may leave it unwritten,
   * for a while. It then comes again.
   */
  readonly isIdle: boolean;
}

export interface PageTableOutcome {
  readonly index: number;
  readonly inserted: number;
  readonly updated: number;
  readonly deleted: number;
  readonly rejected: number;
  /** The table now waits for a load. */
  readonly needsLoad: boolean;
  readonly error: PlainError | null;
}

export interface PageOutcome {
  /** The position is durable. False only of an idle page: Postgres is not told of it then. */
  readonly recorded: boolean;
  readonly tables: readonly PageTableOutcome[];
}

export interface WriteRows {
  readonly table: TargetTable;
  readonly mode: 'upsert' | 'append';
  readonly cursorColumn: string;
  readonly cursor: string | null;
  readonly asOf: string;
  readonly run: RunRecord;
}

export interface RecordFailure {
  readonly source: string;
  readonly address: string;
  readonly kind: string;
  readonly runId: string;
  readonly startedAt: string;
  readonly error: PlainError;
}

export interface AddColumns {
  /** With the new columns. */
  readonly table: TargetTable;
  /** Their names. */
  readonly added: readonly string[];
}

export interface RenameColumns {
  /** As it is before or after the renaming; its columns are not looked at. */
  readonly table: TargetTable;
  /** No new name is an old one too. */
  readonly renames: readonly { readonly from: string; readonly to: string }[];
}

export interface DescribeTables {
  readonly source: string;
  readonly tables: readonly TargetTable[];
}

export interface TableTrouble {
  readonly address: string;
  readonly error: PlainError;
}

export interface RetireTable {
  readonly address: string;
  readonly schema: string;
  readonly name: string;
  readonly history: boolean;
  readonly consolidated: boolean;
}

/** A value that the destination's type cannot hold; its cell is NULL and its text is kept. */
export interface RejectedValue {
  /** JSON object of the key columns' text. */
  readonly key: string;
  readonly column: string;
  readonly text: string;
  readonly reason: string;
  readonly lsn: string | null;
}

/** What a reader sends of a page of changes. */
export type PageItem<Batch> =
  | { readonly kind: 'batch'; readonly table: number; readonly batch: Batch }
  | { readonly kind: 'rejected'; readonly table: number; readonly values: readonly RejectedValue[] };
