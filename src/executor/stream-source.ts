import { isDeepStrictEqual } from 'node:util';
import type { PageTable, PageTableOutcome, StreamIdentity } from '../destination/writer.js';
import { asSluiceError, SluiceError, toPlain } from '../error/sluice-error.js';
import { formatLsn, type Lsn, laterLsn, parseLsn } from '../pgoutput/lsn.js';
import { isVisible, parseSnapshot } from '../pgoutput/snapshot-visibility.js';
import type { SourceConnection } from '../source/connect.js';
import { advanceSlot, currentSnapshot, currentWalAndSnapshot } from '../source/slot.js';
import { abandonReceiver, openBatchChannel } from '../thread/batch-channel.js';
import type { OpenDestination } from './destinations.js';
import type { Clock, EngineEvent } from './engine.js';
import { failpoint } from './failpoint.js';
import { settleBoth } from './load-table.js';
import type { PageSummary, ReaderThread } from './reader/reader-thread.js';
import { relationTarget, type TablePlan } from './table-plan.js';

/**
 * Messages in one page. Each page costs a pass over the WAL since the slot's restart point, so few large pages are
 * cheaper than many small ones; the server keeps one page in a temporary file while it is read.
 */
const PAGE_MESSAGES = 500_000;

/** A cdc table while its source is synced. */
export interface StreamTable {
  plan: TablePlan;
  /**
   * live: changes are merged; waiting: they are held for the load to come; backfilling: they are held until new columns
   * are filled; excluded: it has trouble of its own and waits for a load without them.
   */
  mode: 'live' | 'waiting' | 'backfilling' | 'excluded';
  gate: { readonly snapshot: string; readonly snapshotLsn: string } | null;
  /** While the table is compared with a snapshot: only what that sees is merged, the rest is held. */
  upTo?: string | null;
}

export interface StreamCounts {
  inserted: number;
  updated: number;
  deleted: number;
  rejected: number;
}

export interface StreamDeps {
  readonly identity: StreamIdentity;
  readonly publication: string;
  readonly control: SourceConnection;
  readonly reader: ReaderThread;
  readonly destination: OpenDestination;
  readonly clock: Clock;
  readonly onEvent: (event: EngineEvent) => void;
  readonly runId: string;
  readonly tables: readonly StreamTable[];
  /** Looks at the source's table again. @throws as planTable */
  readonly planAgain: (plan: TablePlan, signal: AbortSignal) => Promise<TablePlan>;
}

/** The stream of one source: pages are staged, committed with their checkpoint, and only then confirmed to Postgres. */
export class SourceStream {
  readonly #deps: StreamDeps;
  readonly counts = new Map<string, StreamCounts>();
  readonly failures = new Map<string, SluiceError>();
  #confirmed: Lsn;
  #unseen: readonly number[];
  transactions = 0;
  changes = 0;

  /** @param unseen as the destination recorded it with the position */
  constructor(deps: StreamDeps, confirmed: Lsn, unseen: readonly number[]) {
    this.#deps = deps;
    this.#confirmed = confirmed;
    this.#unseen = unseen;
  }

  /** The destination holds everything up to here. */
  get confirmed(): Lsn {
    return this.#confirmed;
  }

  /**
   * Transactions that were streamed and that a snapshot taken now would not see: their commit is in the WAL, but waits for
   * a synchronous standby. A table that is loaded anew would lose what they wrote to it, as the stream has passed them.
   */
  async unseen(signal: AbortSignal): Promise<readonly number[]> {
    if (this.#unseen.length === 0) return [];
    const snapshot = parseSnapshot(await currentSnapshot(this.#deps.control, signal));
    return this.#unseen.filter((xid) => !isVisible(xid, snapshot));
  }

  /** Reads pages until everything that was committed before `target` has landed. */
  async catchUp(target: Lsn, signal: AbortSignal): Promise<void> {
    do {
      signal.throwIfAborted();
      await this.page(target, signal);
    } while (this.#confirmed < target);
  }

  /** One page: at most about {@link PAGE_MESSAGES}, whole transactions. */
  async page(target: Lsn, signal: AbortSignal): Promise<void> {
    const { destination } = this.#deps;
    await destination.pages.run(() => this.#page(target, signal));
  }

  async #page(target: Lsn, signal: AbortSignal): Promise<void> {
    const { control, clock, destination } = this.#deps;
    const startedAt = clock.now().toISOString();
    // Read before the peek: whatever was committed before it is in a page that did not fill up.
    const { flushed, snapshot } = await currentWalAndSnapshot(control, signal);
    const streamed = this.#deps.tables.filter((table) => table.mode !== 'excluded');
    const summary = await this.#stage(streamed, snapshot);
    if (summary === null || (await this.#lookAgain(streamed, summary, signal))) return;
    const full = summary.messages >= PAGE_MESSAGES;
    const lastEnd = summary.lastEndLsn === null ? this.#confirmed : parseLsn(summary.lastEndLsn);
    const reached = full ? lastEnd : laterLsn(flushed, lastEnd);
    const next = laterLsn(reached, this.#confirmed);
    const delivered = [...new Set([...this.#unseen, ...summary.unseen])];
    const now = delivered.length === 0 ? null : parseSnapshot(await currentSnapshot(control, signal));
    const unseen = now === null ? [] : delivered.filter((xid) => !isVisible(xid, now));
    await failpoint('before_data_commit');
    const outcome = await destination.writer.commitPage({
      ...this.#deps.identity,
      tables: streamed.map(
        (table, index): PageTable => ({
          index,
          table: table.plan.target,
          mode: table.mode === 'live' ? 'merge' : 'hold',
          upTo: table.upTo ?? null,
          truncates: summary.truncates.filter((t) => t.table === index),
          mismatch: summary.mismatches.find((m) => m.table === index) ?? null,
        }),
      ),
      confirmedLsn: formatLsn(next),
      confirmedAt: full && summary.lastCommitAt !== null ? summary.lastCommitAt : startedAt,
      runId: this.#deps.runId,
      startedAt,
      transactions: summary.transactions,
      unseen,
    });
    this.#unseen = unseen;
    await failpoint('after_data_commit');
    // Law 1: the rows and this position are durable in the destination; only now may Postgres drop its WAL.
    if (next > this.#confirmed) {
      await advanceSlot(control, this.#deps.identity.slot, next, signal);
      this.#confirmed = next;
    }
    await failpoint('after_confirm');
    this.transactions += summary.transactions;
    this.changes += summary.changes;
    for (const table of outcome.tables) this.#note(streamed, table);
    this.#deps.onEvent({
      kind: 'stream_progress',
      source: this.#deps.identity.source,
      changes: this.changes,
      transactions: this.transactions,
      confirmedLsn: formatLsn(next),
      remainingBytes: next >= target ? 0 : Number(target - next),
    });
  }

  #note(streamed: readonly StreamTable[], outcome: PageTableOutcome): void {
    const table = streamed[outcome.index];
    if (table === undefined) return;
    const { address } = table.plan;
    const counts = this.counts.get(address) ?? { inserted: 0, updated: 0, deleted: 0, rejected: 0 };
    counts.inserted += outcome.inserted;
    counts.updated += outcome.updated;
    counts.deleted += outcome.deleted;
    counts.rejected += outcome.rejected;
    this.counts.set(address, counts);
    if (outcome.error !== null) {
      this.failures.set(address, new SluiceError({ ...outcome.error, address }));
      this.#deps.onEvent({ kind: 'table_failed', address, error: outcome.error });
    }
    if (outcome.needsLoad) {
      table.mode = 'waiting';
      table.gate = null;
    }
  }

  /** @returns null when a table's own trouble was met: it is excluded now, and the page is read again without it */
  async #stage(tables: readonly StreamTable[], snapshot: string): Promise<PageSummary | null> {
    const { reader, destination } = this.#deps;
    const channel = openBatchChannel();
    const staging = destination.writer.stagePage({
      tables: tables.map((table) => table.plan.target),
      channel: channel.receiver,
    });
    const peeking = reader.peekPage({
      slot: this.#deps.identity.slot,
      publication: this.#deps.publication,
      maxChanges: PAGE_MESSAGES,
      confirmedLsn: formatLsn(this.#confirmed),
      snapshot,
      tables: tables.map((table) => ({
        address: table.plan.address,
        ...relationTarget(table.plan),
        gate: table.mode === 'waiting' ? null : table.gate,
      })),
      channel: channel.sender,
    });
    peeking.catch(() => abandonReceiver(channel.sender.shared));
    try {
      const [summary] = await settleBoth(peeking, staging);
      return summary;
    } catch (error) {
      const excluded = await this.#exclude(tables, asSluiceError(error));
      if (!excluded) throw error;
      // The peek was broken off in the middle, and its connection with it.
      await reader.resetSession();
      return null;
    }
  }

  /**
   * A table may have been altered since it was looked at, so before its stream is given up for a new load it is looked
   * at again.
   * @returns true when the page has to be read again, with what is known now
   */
  async #lookAgain(tables: readonly StreamTable[], summary: PageSummary, signal: AbortSignal): Promise<boolean> {
    let changed = false;
    for (const { table: index } of summary.mismatches) {
      const table = tables[index];
      if (table === undefined) continue;
      try {
        const plan = await this.#deps.planAgain(table.plan, signal);
        if (isDeepStrictEqual(relationTarget(plan), relationTarget(table.plan))) continue;
        table.plan = plan;
      } catch (error) {
        if (!(await this.#exclude(tables, asSluiceError(error)))) throw error;
      }
      changed = true;
    }
    return changed;
  }

  async #exclude(tables: readonly StreamTable[], error: SluiceError): Promise<boolean> {
    switch (error.code) {
      case 'KEY_NOT_REPRESENTABLE':
      case 'VALUE_MALFORMED':
      case 'SCHEMA_CHANGED':
      case 'TABLE_MISSING':
      case 'COLUMN_MISSING':
        break;
      default:
        return false;
    }
    const table = tables.find((t) => t.plan.address === error.address);
    if (table === undefined) return false;
    const { writer } = this.#deps.destination;
    table.mode = 'excluded';
    this.failures.set(table.plan.address, error);
    this.#deps.onEvent({ kind: 'table_failed', address: table.plan.address, error: toPlain(error) });
    await writer.recordFailure({
      source: this.#deps.identity.source,
      address: table.plan.address,
      kind: 'stream',
      runId: this.#deps.runId,
      startedAt: this.#deps.clock.now().toISOString(),
      error: toPlain(error),
    });
    // Its changes pass by unread from here on, so nothing but a new snapshot makes it whole again.
    await writer.requestSnapshot({ address: table.plan.address, reason: error.code });
    return true;
  }
}
