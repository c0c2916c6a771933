import { setImmediate as turn } from 'node:timers/promises';
import { SluiceError } from '../../error/sluice-error.js';
import type { ChangeDecoder } from '../../pgoutput/change-decoder.js';
import { formatLsn, type Lsn, laterLsn, parseLsn } from '../../pgoutput/lsn.js';
import { CODE } from '../../pgoutput/message.js';
import { type CommittedStream, Replay, TransactionAssembler } from '../../pgoutput/transaction-assembler.js';
import { ReplicationStream } from '../../source/replication-stream.js';
import { clearSpill, type SpillLog, SpillStore } from '../spill-store.js';
import type { FollowRequest, StreamLook } from './reader-thread.js';

/**
 * What has come by the replication protocol and is not in the destination yet. Messages are kept as they came until their
 * page is due, so that the destination is only busy, and its file only held, while a page is written.
 */

/** A page is due with so much, whatever its rows; the socket rests once the next one has filled up meanwhile. */
const PAGE_BYTES = 64 * 1024 * 1024;
/** Up to here transactions share a log; a larger one's own log takes its place in the page. */
const SHARED_BYTES = 32 * 1024;
/** A position that moved without any changes is confirmed after so much WAL at the latest. */
const MOVED_BYTES = 64n * 1024n * 1024n;
/** A server that waits for its position asks again and again. */
const URGENT_MS = 500;

type Segment =
  | { readonly kind: 'messages'; readonly log: SpillLog }
  | { readonly kind: 'streamed'; readonly log: SpillLog; readonly transaction: CommittedStream };

/** Whole transactions, in the order of their commits. */
interface Page {
  readonly segments: Segment[];
  rows: number;
  /** performance.now() when its first transaction was whole. */
  sinceMs: number;
}

export class FollowedStream {
  readonly #flush: FollowRequest['flush'];
  readonly #idle: FollowRequest['idle'];
  readonly #store: SpillStore;
  readonly #assembler: TransactionAssembler;
  /** The logs of transactions that are open on the server. */
  readonly #open = new Map<number, SpillLog>();
  /** The ordinary transaction that is just coming in. */
  #current: SpillLog;
  #currentMessages = 0;
  #filling: Page = emptyPage();
  #taken: Page | null = null;
  /** Where the stream stood when the page was taken: no transaction after it commits before that. */
  #takenPosition: Lsn;
  #logs = 0;
  /** The latest description of each relation before the taken page, and those within it: the server gives each only once. */
  readonly #relations = new Map<number, Buffer>();
  readonly #newRelations = new Map<number, Buffer>();
  #stream: ReplicationStream | null = null;
  #position: Lsn;
  #confirmed: Lsn;
  #confirmedMs = performance.now();
  #urgent = false;
  #ended: SluiceError | null = null;
  #wake: (() => void) | null = null;

  /**
   * Removes what a crash has left in the folder, connects and begins to receive.
   * @throws SluiceError as ReplicationStream.open
   */
  static async open(request: FollowRequest, signal: AbortSignal): Promise<FollowedStream> {
    await clearSpill(request.spillFolder);
    const followed = new FollowedStream(request);
    const { slot, publication } = request;
    followed.#stream = await ReplicationStream.open(
      request.target,
      { slot, publication, start: parseLsn(request.startLsn) },
      {
        onMessage: (bytes, start, end) => followed.#assembler.push(bytes, start, end),
        onPosition: (position, urgent) => followed.#reached(position, urgent),
        onEnd: (error) => followed.#end(error),
      },
      signal,
    );
    return followed;
  }

  private constructor(request: FollowRequest) {
    this.#flush = request.flush;
    this.#idle = request.idle;
    this.#position = parseLsn(request.startLsn);
    this.#confirmed = this.#position;
    this.#takenPosition = this.#position;
    this.#store = new SpillStore(request.spillFolder);
    this.#current = this.#newLog();
    this.#assembler = new TransactionAssembler({
      store: {
        append: (topXid, subXid, bytes, start, end) => this.#logOf(topXid).append(subXid, bytes, start, end),
        remove: (topXid) => {
          this.#open.get(topXid)?.remove();
          this.#open.delete(topXid);
        },
      },
      onMessage: (bytes, start, end) => {
        this.#current.append(0, bytes, start, end);
        this.#currentMessages += 1;
      },
      onCommit: (endLsn, rows) => this.#ordinaryEnds(endLsn, rows),
      onStreamed: (transaction) => this.#streamedEnds(transaction),
    });
  }

  /**
   * Waits for a page that is due, at most `waitMs`; with `cut` whatever is whole is due at once.
   * @throws SluiceError that ended the stream
   */
  async look({ waitMs, cut }: { readonly waitMs: number; readonly cut: boolean }): Promise<StreamLook> {
    const untilMs = performance.now() + waitMs;
    for (;;) {
      if (this.#ended !== null) throw this.#ended;
      const now = performance.now();
      if (this.#taken !== null || this.#isDue(now) || (cut && this.#filling.segments.length > 0)) return this.#take();
      const moved = this.#hasMoved(now, cut);
      if (moved || now >= untilMs) return { page: null, position: formatLsn(this.#position), moved };
      await this.#somethingOrUntil(Math.min(untilMs, this.#dueMs()));
    }
  }

  /** Feeds the page that was found to a decoder, which it leaves between two transactions. */
  async stage(decoder: ChangeDecoder, room: () => Promise<void>): Promise<void> {
    const page = this.#taken;
    if (page === null) throw new SluiceError({ code: 'INTERNAL', message: 'no page of the stream was found' });
    this.#newRelations.clear();
    for (const description of this.#relations.values()) decoder.push(description, 0, description.length);
    const push = (bytes: Uint8Array, start: number, end: number): void => {
      decoder.push(bytes, start, end);
      if (bytes[start] !== CODE.relation) return;
      const description = Buffer.from(bytes.subarray(start, end));
      this.#newRelations.set(description.readUInt32BE(1), description);
    };
    // Also a turn for the socket and the timer of the feedback.
    const pause = async (): Promise<void> => {
      await room();
      await turn();
    };
    for (const segment of page.segments) {
      if (segment.kind === 'messages') {
        await segment.log.read((_, bytes, start, end) => push(bytes, start, end), pause);
      } else {
        const replay = new Replay(segment.transaction, push);
        replay.begin();
        await segment.log.read((subXid, bytes, start, end) => replay.message(subXid, bytes, start, end), pause);
        replay.commit();
      }
    }
  }

  /** The destination has committed everything before `lsn`, the page that was taken included (law 1). */
  committed(lsn: Lsn): void {
    if (this.#taken !== null) {
      discard(this.#taken);
      for (const [oid, description] of this.#newRelations) this.#relations.set(oid, description);
      this.#newRelations.clear();
    }
    this.#taken = null;
    this.#confirmed = lsn;
    this.#confirmedMs = performance.now();
    this.#urgent = false;
    this.#stream?.confirm(lsn);
  }

  /** Ends the session and removes what was kept; Postgres sends again what was not confirmed. */
  async close(): Promise<void> {
    await this.#stream?.close();
    await this.#store.close();
  }

  #take(): StreamLook {
    if (this.#taken === null) {
      this.#taken = this.#filling;
      this.#filling = emptyPage();
      this.#takenPosition = this.#position;
      this.#stream?.resume();
    }
    return { page: { rows: this.#taken.rows }, position: formatLsn(this.#takenPosition), moved: false };
  }

  #ordinaryEnds(endLsn: Lsn, rows: number): void {
    // Begin and Commit alone: a transaction of other tables, which majors before 15 announce all the same.
    if (this.#currentMessages > 2) {
      const last = this.#filling.segments.at(-1);
      if (this.#current.onDisk || this.#current.bytes > SHARED_BYTES) {
        this.#add({ kind: 'messages', log: this.#current }, rows);
        this.#current = this.#newLog();
      } else if (last?.kind === 'messages' && !last.log.onDisk) {
        this.#current.moveTo(last.log);
        this.#add(null, rows);
      } else {
        const shared = this.#newLog();
        this.#current.moveTo(shared);
        this.#add({ kind: 'messages', log: shared }, rows);
      }
    } else {
      this.#current.clear();
    }
    this.#currentMessages = 0;
    this.#reached(endLsn, false);
  }

  #streamedEnds(transaction: CommittedStream): void {
    const log = this.#open.get(transaction.xid);
    this.#open.delete(transaction.xid);
    // Without a log nothing of it was published.
    if (log !== undefined) this.#add({ kind: 'streamed', log, transaction }, transaction.rows);
    this.#reached(transaction.endLsn, false);
  }

  #add(segment: Segment | null, rows: number): void {
    const page = this.#filling;
    if (page.segments.length === 0) page.sinceMs = performance.now();
    if (segment !== null) page.segments.push(segment);
    page.rows += rows;
    if (!this.#isFull()) return;
    this.#stream?.pause();
    this.#wake?.();
  }

  #reached(position: Lsn, urgent: boolean): void {
    this.#position = laterLsn(this.#position, position);
    this.#urgent ||= urgent;
    if (urgent) this.#wake?.();
  }

  #end(error: SluiceError): void {
    this.#ended = error;
    this.#wake?.();
  }

  #isFull(): boolean {
    const { rows, segments } = this.#filling;
    return rows >= this.#flush.rows || segments.reduce((sum, { log }) => sum + log.bytes, 0) >= PAGE_BYTES;
  }

  #isDue(now: number): boolean {
    if (this.#filling.segments.length === 0) return false;
    return this.#isFull() || now >= this.#filling.sinceMs + this.#flush.everyMs || this.#isUrgent(now);
  }

  #isUrgent(now: number): boolean {
    return this.#urgent && this.#position > this.#confirmed && now >= this.#confirmedMs + URGENT_MS;
  }

  #hasMoved(now: number, cut: boolean): boolean {
    if (this.#position <= this.#confirmed) return false;
    const long = now >= this.#confirmedMs + this.#idle.everyMs || this.#position - this.#confirmed >= MOVED_BYTES;
    // With whole transactions waiting the position is theirs, and goes with them.
    return this.#filling.segments.length === 0 && (long || (cut && this.#idle.atEnd) || this.#isUrgent(now));
  }

  #dueMs(): number {
    const { segments, sinceMs } = this.#filling;
    return segments.length === 0 ? Number.POSITIVE_INFINITY : sinceMs + this.#flush.everyMs;
  }

  async #somethingOrUntil(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, Math.max(1, ms - performance.now()));
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = null;
  }

  #newLog(): SpillLog {
    this.#logs += 1;
    return this.#store.open(String(this.#logs));
  }

  #logOf(topXid: number): SpillLog {
    let log = this.#open.get(topXid);
    if (log === undefined) {
      log = this.#newLog();
      this.#open.set(topXid, log);
    }
    return log;
  }
}

function emptyPage(): Page {
  return { segments: [], rows: 0, sinceMs: 0 };
}

function discard(page: Page): void {
  for (const { log } of page.segments) log.remove();
}
