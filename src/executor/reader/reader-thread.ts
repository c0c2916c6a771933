import { asSluiceError } from '../../error/sluice-error.js';
import type { RelationTarget } from '../../pgoutput/relation-cache.js';
import { type ConnectTarget, requestCancel } from '../../source/connect.js';
import type { DecodedColumn } from '../../source/copy-decoder.js';
import type { PartitionRecord } from '../../source/partition-leaf.js';
import type { ChannelEnd } from '../../thread/batch-channel.js';
import { startThread, type ThreadHandle } from '../../thread/call.js';
import type { HeapRelation } from '../heap-range.js';
import type { ReaderSurface } from './worker.js';

/** What the reading thread is told and tells; all of it can be cloned. */

export interface BeginSnapshot {
  readonly schema: string;
  readonly name: string;
  /** Views and foreign tables cannot be locked; for them the snapshot alone has to do. */
  readonly lock: boolean;
  /** The table as it was looked at; once it is locked it has to be that one still. */
  readonly expected: {
    readonly oid: number;
    readonly columns: readonly { readonly attnum: number; readonly name: string; readonly type: string }[];
  };
  /** Oid of a partitioned table whose leaves are wanted; null: none are. */
  readonly partitionsOf: number | null;
}

export interface SnapshotTaken {
  readonly snapshot: string;
  readonly snapshotLsn: string;
  /** Server clock, ISO 8601 UTC. */
  readonly takenAt: string;
  readonly partitions: PartitionRecord | null;
}

export interface CopyRequest {
  /** Names the copy in progress events; null: none are sent. */
  readonly address: string | null;
  readonly sql: string;
  readonly columns: readonly DecodedColumn[];
  readonly channel: ChannelEnd;
}

/** Takes part in the snapshot that another thread's transaction exported. */
export interface JoinSnapshot extends Pick<BeginSnapshot, 'schema' | 'name' | 'lock'> {
  readonly snapshot: string;
}

/** COPYs of one table that several threads do together; each takes the next that nobody has (merged-channel.ts). */
export interface CopyRangesRequest {
  readonly address: string | null;
  readonly statements: readonly string[];
  readonly columns: readonly DecodedColumn[];
  readonly channel: ChannelEnd;
  readonly control: SharedArrayBuffer;
}

export interface CopySummary {
  readonly rows: number;
  readonly bytes: number;
  /** By position of the column: values that did not fit. */
  readonly rejected: readonly number[];
}

export interface PeekTable extends RelationTarget {
  readonly address: string;
  /** Transactions that the table's snapshot saw are skipped; null while the table waits for a load. */
  readonly gate: { readonly snapshot: string; readonly snapshotLsn: string } | null;
}

/** How a page is decoded, wherever its messages come from. */
export interface PageRequest {
  readonly confirmedLsn: string;
  /**
   * `pg_current_snapshot()` before the page, to tell which of its transactions may not be visible yet; null where it could
   * not be asked for: then none counts as visible.
   */
  readonly snapshot: string | null;
  readonly tables: readonly PeekTable[];
  readonly channel: ChannelEnd;
}

export interface PeekRequest extends PageRequest {
  readonly slot: string;
  readonly publication: string;
  /** Ends with the first transaction that brings the page to so many messages. */
  readonly maxChanges: number;
  /** Ends with the first transaction that brings the page to so many bytes. */
  readonly maxBytes: number;
}

export interface FollowRequest {
  readonly target: ConnectTarget;
  readonly slot: string;
  readonly publication: string;
  /** The destination holds everything before it. */
  readonly startLsn: string;
  /** When a page is due. */
  readonly flush: { readonly everyMs: number; readonly rows: number };
  /** When a position that moved without any changes is confirmed: so often, and before following ends. */
  readonly idle: { readonly everyMs: number; readonly atEnd: boolean };
  /** For what does not fit in memory. */
  readonly spillFolder: string;
}

export interface StreamLook {
  /** Whole transactions that are due, to be staged now; null: none are. */
  readonly page: { readonly rows: number } | null;
  /** Where the stream stands with that page, or without one. */
  readonly position: string;
  /** No page, but the position is worth confirming: it has moved for a while, or the server waits for it. */
  readonly moved: boolean;
}

export interface PageSummary {
  readonly transactions: number;
  readonly changes: number;
  /** Messages that went into the page; it was full when there are at least `maxChanges`. */
  readonly messages: number;
  /** The page was ended after its first transaction beyond `maxBytes`: there is more. */
  readonly cut: boolean;
  readonly lastEndLsn: string | null;
  readonly lastCommitAt: string | null;
  /** Ids of transactions that the request's snapshot does not see. */
  readonly unseen: readonly number[];
  readonly truncates: readonly {
    readonly table: number;
    readonly lsn: string;
    readonly seq: number;
    readonly committedAt: string;
    readonly xid: number;
  }[];
  readonly mismatches: readonly {
    readonly table: number;
    readonly reason: string;
    readonly lsn: string;
    readonly xid: number;
  }[];
}

/** A page of the replication protocol, which is cut before it is staged. */
export type StreamedPage = Omit<PageSummary, 'messages' | 'cut'>;

export interface CopyProgress {
  readonly kind: 'copy_progress';
  readonly address: string;
  readonly rows: number;
  readonly bytes: number;
}

/** A thread with one connection to the source: it receives and decodes while other threads write. */
export class ReaderThread {
  readonly #thread: ThreadHandle<ReaderSurface>;
  readonly #target: ConnectTarget;
  readonly #signal: AbortSignal;
  readonly #onAbort: () => void;
  #cancelRequest: Uint8Array | null = null;
  #cancelling: Promise<void> | null = null;
  /** While ranges are copied, in place of the thread's own. */
  #onRangeProgress: ((progress: CopyProgress) => void) | null = null;

  private constructor(
    thread: ThreadHandle<ReaderSurface>,
    target: ConnectTarget,
    onProgress: (progress: CopyProgress) => void,
    signal: AbortSignal,
  ) {
    this.#thread = thread;
    this.#target = target;
    this.#signal = signal;
    // A blocked or busy thread cannot be asked to stop; ending it closes its socket. The server only notices that when it
    // has something to send, so what it runs (a scan that finds nothing, a wait for a lock) is cancelled beside that.
    this.#onAbort = () => {
      const request = this.#cancelRequest;
      if (request !== null) this.#cancelling = requestCancel(target, request);
      thread.terminate().catch(() => undefined);
    };
    thread.onEvent((event) => {
      if (isProgress(event)) (this.#onRangeProgress ?? onProgress)(event);
    });
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  static async open(
    target: ConnectTarget,
    purpose: string,
    onProgress: (progress: CopyProgress) => void,
    signal: AbortSignal,
  ): Promise<ReaderThread> {
    signal.throwIfAborted();
    const thread = startThread<ReaderSurface>(new URL('./worker.js', import.meta.url), `sluice-${purpose}`);
    const reader = new ReaderThread(thread, target, onProgress, signal);
    try {
      reader.#cancelRequest = await thread.call.connect({ target, purpose });
    } catch (error) {
      await reader.close();
      throw asSluiceError(error);
    }
    return reader;
  }

  beginSnapshot(request: BeginSnapshot): Promise<SnapshotTaken> {
    return this.#thread.call.beginSnapshot(request);
  }

  copy(request: CopyRequest): Promise<CopySummary> {
    return this.#thread.call.copy(request, [request.channel.port]);
  }

  exportSnapshot(): Promise<string> {
    return this.#thread.call.exportSnapshot(null);
  }

  joinSnapshot(request: JoinSnapshot): Promise<boolean> {
    return this.#thread.call.joinSnapshot(request);
  }

  heapRelations(table: { readonly oid: number; readonly kind: 'r' | 'p' }): Promise<readonly HeapRelation[] | null> {
    return this.#thread.call.heapRelations(table);
  }

  async copyRanges(request: CopyRangesRequest, onProgress: (progress: CopyProgress) => void): Promise<CopySummary> {
    this.#onRangeProgress = onProgress;
    try {
      return await this.#thread.call.copyRanges(request, [request.channel.port]);
    } finally {
      this.#onRangeProgress = null;
    }
  }

  endSnapshot(): Promise<void> {
    return this.#thread.call.endSnapshot(null);
  }

  /** After a failed copy: leaves its transaction, connecting anew where the connection is gone. */
  async resetSession(): Promise<void> {
    this.#cancelRequest = await this.#thread.call.resetSession(this.#target);
  }

  /** Follows by the replication protocol from here on; copies and peeks need resetSession() after stopStream(). */
  startStream(request: Omit<FollowRequest, 'target'>): Promise<void> {
    return this.#thread.call.startStream({ ...request, target: this.#target });
  }

  /** Waits for a page that is due, at most `waitMs`; with `cut` whatever is whole is due. @throws what ended the stream */
  lookForPage(request: { readonly waitMs: number; readonly cut: boolean }): Promise<StreamLook> {
    return this.#thread.call.lookForPage(request);
  }

  /** Sends the page that was found. It can be sent again until it is confirmed. */
  stageStreamed(request: PageRequest): Promise<StreamedPage> {
    return this.#thread.call.stageStreamed(request, [request.channel.port]);
  }

  confirmStreamed(lsn: string): Promise<void> {
    return this.#thread.call.confirmStreamed(lsn);
  }

  stopStream(): Promise<void> {
    return this.#thread.call.stopStream(null);
  }

  peekPage(request: PeekRequest): Promise<PageSummary> {
    return this.#thread.call.peekPage(request, [request.channel.port]);
  }

  async close(): Promise<void> {
    this.#signal.removeEventListener('abort', this.#onAbort);
    await this.#thread.terminate();
    await this.#cancelling;
  }
}

function isProgress(event: unknown): event is CopyProgress {
  return typeof event === 'object' && event !== null && 'kind' in event && event.kind === 'copy_progress';
}
