import { formatLsn, type Lsn, laterLsn, parseLsn } from '../pgoutput/lsn.js';
import type { SourceConnection } from '../source/connect.js';
import { advanceSlot, currentSnapshot, currentWalAndSnapshot } from '../source/slot.js';
import type { FollowRequest, PageRequest, ReaderThread, StreamedPage, StreamLook } from './reader/reader-thread.js';

/** One page as it was sent to the destination's staging. */
export interface FedPage {
  readonly summary: StreamedPage;
  /** All that was committed before this is in the page, or was in one before it. */
  readonly reached: Lsn;
  /** When the destination, with this page, was as the source: ISO; null: at the moment when the page was begun. */
  readonly asOf: string | null;
}

/** A page as the stream asks for it; the snapshot that it is read after is the feed's to take. */
export type FeedRequest = Omit<PageRequest, 'snapshot'>;

/** Where the pages of a stream come from. */
export interface PageFeed {
  /** A page that was not confirmed is read again with the next; otherwise none comes before it is confirmed. */
  readonly repeats: boolean;
  /** Sends the next page through the request's channel. */
  stage(request: FeedRequest, signal: AbortSignal): Promise<FedPage>;
  /** Law 1: the destination has committed everything before `lsn`; only now may Postgres drop its WAL. */
  confirm(lsn: Lsn, signal: AbortSignal): Promise<void>;
  /** After a stage() that was broken off; the same page comes again. */
  recover(): Promise<void>;
}

/**
 * Messages in one page. Each page costs a pass over the WAL since the slot's restart point, so few large pages are
 * cheaper than many small ones; the server keeps one page in a temporary file while it is read.
 */
const PAGE_MESSAGES = 500_000;
/**
 * A page is merged as one, which needs several times its size; DuckDB has 256 MB unless told otherwise. Postgres counts
 * messages only, so the size is learned from the pages before: what is read beyond it is read twice.
 */
const PAGE_BYTES = 64 * 1024 * 1024;
const LEAST_MESSAGES = 1_000;

/** Pages that are peeked at by SQL: through any connection, and for a backlog the fastest. */
export class ScheduledFeed implements PageFeed {
  readonly repeats = true;
  readonly #slot: string;
  readonly #publication: string;
  readonly #control: SourceConnection;
  readonly #reader: ReaderThread;
  /** About as many as make a page of PAGE_BYTES. */
  #maxMessages = PAGE_MESSAGES;

  constructor(slot: string, publication: string, control: SourceConnection, reader: ReaderThread) {
    this.#slot = slot;
    this.#publication = publication;
    this.#control = control;
    this.#reader = reader;
  }

  async stage(request: FeedRequest, signal: AbortSignal): Promise<FedPage> {
    // Read before the peek: whatever was committed before it is in a page that did not fill up.
    const { flushed, snapshot } = await currentWalAndSnapshot(this.#control, signal);
    const summary = await this.#reader.peekPage({
      ...request,
      snapshot,
      slot: this.#slot,
      publication: this.#publication,
      maxChanges: this.#maxMessages,
      maxBytes: PAGE_BYTES,
    });
    const full = summary.cut || summary.messages >= this.#maxMessages;
    if (summary.cut) this.#maxMessages = Math.max(LEAST_MESSAGES, Math.ceil(summary.messages * 1.1));
    else if (full) this.#maxMessages = Math.min(PAGE_MESSAGES, this.#maxMessages * 2);
    const lastEnd = parseLsn(summary.lastEndLsn ?? request.confirmedLsn);
    return {
      summary,
      reached: full ? lastEnd : laterLsn(flushed, lastEnd),
      asOf: full ? summary.lastCommitAt : null,
    };
  }

  async confirm(lsn: Lsn, signal: AbortSignal): Promise<void> {
    await advanceSlot(this.#control, this.#slot, lsn, signal);
  }

  async recover(): Promise<void> {
    // The peek was broken off in the middle, and its connection with it.
    await this.#reader.resetSession();
  }
}

/** Pages of what has come by the replication protocol. A page has to be found by look() before it is staged. */
export class ContinuousFeed implements PageFeed {
  readonly repeats = false;
  readonly #reader: ReaderThread;
  readonly #control: SourceConnection;
  #reached: Lsn;

  private constructor(reader: ReaderThread, control: SourceConnection, start: Lsn) {
    this.#reader = reader;
    this.#control = control;
    this.#reached = start;
  }

  static async open(
    reader: ReaderThread,
    control: SourceConnection,
    request: Omit<FollowRequest, 'target'>,
  ): Promise<ContinuousFeed> {
    await reader.startStream(request);
    return new ContinuousFeed(reader, control, parseLsn(request.startLsn));
  }

  /** @throws SluiceError that ended the stream */
  async look(request: { readonly waitMs: number; readonly cut: boolean }): Promise<StreamLook> {
    const found = await this.#reader.lookForPage(request);
    this.#reached = parseLsn(found.position);
    return found;
  }

  async stage(request: FeedRequest, signal: AbortSignal): Promise<FedPage> {
    // Where the server is going down the page can still be committed, and its walsender waits for that.
    const snapshot = await currentSnapshot(this.#control, signal).catch(() => null);
    signal.throwIfAborted();
    const summary = await this.#reader.stageStreamed({ ...request, snapshot });
    return { summary, reached: this.#reached, asOf: summary.lastCommitAt };
  }

  async confirm(lsn: Lsn): Promise<void> {
    await this.#reader.confirmStreamed(formatLsn(lsn));
  }

  /** The page lies in the reading thread until it is confirmed. */
  async recover(): Promise<void> {}

  async close(): Promise<void> {
    await this.#reader.stopStream();
  }
}
