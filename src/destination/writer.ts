import type { PlainError } from '../error/sluice-error.js';
import type { ChannelEnd } from '../thread/batch-channel.js';
import type { DestinationFacts, PartitionFacts } from './facts.js';
import type { SnapshotMark, TargetTable } from './target-table.js';

/**
 * What the executor asks of a destination. Calls are carried out one after the other, in the order they were made;
 * a call that resolves has committed. Arguments are cloneable, as they may cross a thread.
 */
export interface DestinationWriter {
  /** @param options busyWaitMs: how long to wait for a file that another process holds, instead of the usual time */
  readFacts(options?: { readonly busyWaitMs: number }): Promise<DestinationFacts>;

  /** Prepares an empty load table beside the target; leftovers of an earlier, unfinished load are removed. */
  beginLoad(load: BeginLoad): Promise<void>;
  /** Takes batches until the channel ends ('done') or {@link interruptReceiver} asks for a pause ('paused'). Not visible to readers yet. */
  continueLoad(address: string): Promise<{ readonly state: 'done' | 'paused'; readonly rows: number }>;
  /** Values that the load's types could not hold, as batches of (key, column, source_text, reason), all varchar. */
  loadRejected(load: { readonly address: string; readonly channel: ChannelEnd }): Promise<number>;
  /** One transaction: the load takes the target's place, held changes that its snapshot did not see are applied, checkpoint and run record are written. */
  finishLoad(load: FinishLoad): Promise<LoadOutcome>;
  /** Ends a load that failed and removes what it wrote. */
  abandonLoad(address: string): Promise<void>;

  /** Takes the batches of one page of changes into temporary tables. Ends with the channel. */
  stagePage(page: { readonly tables: readonly TargetTable[]; readonly channel: ChannelEnd }): Promise<void>;
  /** One transaction: merges the staged page, keeps the changes of tables that wait for a load, moves the checkpoint. */
  commitPage(page: CommitPage): Promise<PageOutcome>;
  /** Forgets held changes of transactions that every later snapshot will see (xid below `xmin`). */
  pruneHeld(request: { readonly addresses: readonly string[]; readonly xmin: string }): Promise<void>;

  /** Takes the rows of one incremental or append run into a temporary table. */
  stageRows(request: { readonly table: TargetTable; readonly channel: ChannelEnd }): Promise<void>;
  /** One transaction: the staged rows of an incremental (by key) or append sync, with the new cursor. */
  writeRows(rows: WriteRows): Promise<{ readonly rows: number; readonly rejected: number }>;

  recordFailure(failure: RecordFailure): Promise<void>;
  /** Asks for a new snapshot of a table, remembered in the destination. */
  requestSnapshot(request: { readonly address: string; readonly reason: string }): Promise<void>;

  /** Remembers the partitions that the table is whole with, or that a difference to them was accepted. */
  recordPartitions(request: RecordPartitions): Promise<void>;

  addColumns(table: TargetTable): Promise<void>;
  retireTable(request: RetireTable): Promise<void>;
  dropTable(request: RetireTable): Promise<void>;
  moveTable(request: { readonly from: RetireTable; readonly to: RetireTable }): Promise<void>;
  moveStream(request: { readonly from: string; readonly to: string }): Promise<void>;
  forgetStream(source: string): Promise<void>;

  /** Lets go of the file until the next call. */
  release(): Promise<void>;
  /** Swaps a consistent copy in for long readers. */
  publish(path: string): Promise<void>;
  close(): Promise<void>;
}

export interface BeginLoad {
  readonly table: TargetTable;
  /** For cdc: what the seeded rows carry; null for the other methods. */
  readonly seed: { readonly lsn: string; readonly at: string } | null;
  readonly channel: ChannelEnd;
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

export interface StreamStart {
  readonly source: string;
  readonly slot: string;
  readonly systemIdentifier: string;
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

export interface PageTable {
  /** Position in the page's table list. */
  readonly index: number;
  readonly table: TargetTable;
  /** merge: the table is live; hold: it waits for a load, its changes are kept. */
  readonly mode: 'merge' | 'hold';
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

export interface CommitPage {
  readonly source: string;
  readonly slot: string;
  readonly systemIdentifier: string;
  readonly tables: readonly PageTable[];
  readonly confirmedLsn: string;
  readonly confirmedAt: string;
  readonly runId: string;
  readonly startedAt: string;
  readonly transactions: number;
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
