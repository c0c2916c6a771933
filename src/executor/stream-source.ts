import { isDeepStrictEqual } from 'node:util';
import type { PageTable, PageTableOutcome, StreamIdentity } from '../destination/writer.js';
import { asSluiceError, SluiceError, toPlain } from '../error/sluice-error.js';
import { formatLsn, type Lsn, laterLsn } from '../pgoutput/lsn.js';
import { isVisible, parseSnapshot } from '../pgoutput/snapshot-visibility.js';
import type { SourceConnection } from '../source/connect.js';
import { currentSnapshot } from '../source/slot.js';
import { abandonReceiver, openBatchChannel } from '../thread/batch-channel.js';
import { failpoint } from '../thread/failpoint.js';
import type { OpenDestination } from './destinations.js';
import type { Clock, EngineEvent } from './engine.js';
import type { FedPage, PageFeed } from './page-feed.js';
import { settleBoth } from './settle.js';
import { relationTarget, type TablePlan } from './table-plan.js';

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
  readonly control: SourceConnection;
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
  #feed: PageFeed;
  readonly counts = new Map<string, StreamCounts>();
  readonly failures = new Map<string, SluiceError>();
  #confirmed: Lsn;
  /** Nothing happened between what is confirmed and here, which was worth no write. */
  #idleUntil: Lsn;
  #unseen: readonly number[];
  transactions = 0;
  changes = 0;

  /** @param unseen as the destination recorded it with the position */
  constructor(deps: StreamDeps, feed: PageFeed, confirmed: Lsn, unseen: readonly number[]) {
    this.#deps = deps;
    this.#feed = feed;
    this.#confirmed = confirmed;
    this.#idleUntil = confirmed;
    this.#unseen = unseen;
  }

  /** The destination holds everything up to here. */
  get confirmed(): Lsn {
    return this.#confirmed;
  }

  /** As {@link confirmed}, or beyond it where nothing happened that was worth a write. */
  get reached(): Lsn {
    return laterLsn(this.#confirmed, this.#idleUntil);
  }

  /** From now on pages come from there; between two pages only. */
  readFrom(feed: PageFeed): void {
    this.#feed = feed;
  }

  /**
   * Transactions that were streamed and that a snapshot taken now would not see: their commit is in the WAL, but waits for
   * a synchronous standby. A table that is loaded anew would lose what they wrote to it, as the stream has passed them.
   */
  async unseen(signal: AbortSignal): Promise<readonly number[]> {
    return this.#stillUnseen(this.#unseen, signal);
  }

  async #stillUnseen(xids: readonly number[], signal: AbortSignal): Promise<readonly number[]> {
    if (xids.length === 0) return [];
    try {
      const snapshot = parseSnapshot(await currentSnapshot(this.#deps.control, signal));
      return xids.filter((xid) => !isVisible(xid, snapshot));
    } catch {
      // A server that goes down still waits for the page to be confirmed; the next session asks again.
      signal.throwIfAborted();
      return xids;
    }
  }

  /** Reads pages until everything that was committed before `target` has landed. */
  async catchUp(target: Lsn, signal: AbortSignal): Promise<void> {
    do {
      signal.throwIfAborted();
      await this.page(target, signal);
    } while (this.reached < target);
  }

  /** One page of whole transactions. */
  async page(target: Lsn, signal: AbortSignal): Promise<void> {
    const { destination } = this.#deps;
    await destination.pages.run(() => this.#page(target, signal));
  }

  async #page(target: Lsn, signal: AbortSignal): Promise<void> {
    const { clock, destination } = this.#deps;
    const startedAt = clock.now().toISOString();
    const startedMs = clock.monotonicMs();
    const streamed = this.#deps.tables.filter((table) => table.mode !== 'excluded');
    const page = await this.#stage(streamed, signal);
    if (page === null) return;
    const { summary } = page;
    if (await this.#lookAgain(streamed, summary, signal)) return;
    const next = laterLsn(page.reached, this.#confirmed);
    const unseen = await this.#stillUnseen([...new Set([...this.#unseen, ...summary.unseen])], signal);
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
      confirmedAt: page.asOf ?? startedAt,
      runId: this.#deps.runId,
      startedAt,
      transactions: summary.transactions,
      unseen,
      isIdle: this.#isIdle(page, next >= target),
    });
    this.#unseen = unseen;
    const committed = (tables: readonly PageTableOutcome[]): void =>
      this.#deps.onEvent({
        kind: 'page_committed',
        source: this.#deps.identity.source,
        durationMs: clock.monotonicMs() - startedMs,
        transactions: summary.transactions,
        asOf: page.asOf ?? startedAt,
        tables: tables.flatMap(({ index, inserted, updated, deleted, rejected }) => {
          const address = streamed[index]?.plan.address;
          return address === undefined ? [] : [{ address, inserted, updated, deleted, rejected }];
        }),
      });
    if (!outcome.recorded) {
      this.#idleUntil = next;
      committed([]);
      return;
    }
    await failpoint('after_data_commit');
    // Law 1: the rows and this position are durable in the destination; only now may Postgres drop its WAL.
    if (next > this.#confirmed) {
      await this.#feed.confirm(next, signal);
      this.#confirmed = next;
    }
    await failpoint('after_confirm');
    this.transactions += summary.transactions;
    this.changes += summary.changes;
    for (const table of outcome.tables) this.#note(streamed, table);
    committed(outcome.tables);
    this.#deps.onEvent({
      kind: 'stream_progress',
      source: this.#deps.identity.source,
      changes: this.changes,
      transactions: this.transactions,
      confirmedLsn: formatLsn(next),
      remainingBytes: next >= target ? 0 : Number(target - next),
    });
  }

  /** Nobody waits for what the page brings: it is the last one, and has no change for tables that are as usual. */
  #isIdle({ summary }: FedPage, isLast: boolean): boolean {
    return (
      isLast &&
      this.#feed.repeats &&
      summary.changes === 0 &&
      summary.truncates.length === 0 &&
      summary.mismatches.length === 0 &&
      this.#deps.tables.every(({ mode, upTo }) => mode === 'live' && (upTo ?? null) === null)
    );
  }

  /** Nothing was published up to `position`: it is recorded and confirmed, so that it pins no WAL. */
  async advance(position: Lsn, signal: AbortSignal): Promise<void> {
    const { destination, identity, runId, clock } = this.#deps;
    if (position <= this.#confirmed) return;
    await destination.pages.run(async () => {
      const now = clock.now().toISOString();
      const unseen = await this.#stillUnseen(this.#unseen, signal);
      await destination.writer.commitPage({
        ...identity,
        // A load that was broken off goes on only while every step of the stream has taken its table along.
        tables: this.#deps.tables
          .filter(({ mode }) => mode === 'waiting')
          .map(({ plan }, index) => ({
            index,
            table: plan.target,
            mode: 'hold',
            upTo: null,
            truncates: [],
            mismatch: null,
          })),
        confirmedLsn: formatLsn(position),
        confirmedAt: now,
        runId,
        startedAt: now,
        transactions: 0,
        unseen,
        isIdle: false,
      });
      this.#unseen = unseen;
      await this.#feed.confirm(position, signal);
      this.#confirmed = position;
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
  async #stage(tables: readonly StreamTable[], signal: AbortSignal): Promise<FedPage | null> {
    const { destination } = this.#deps;
    const channel = openBatchChannel();
    const staging = destination.writer.stagePage({
      tables: tables.map((table) => table.plan.target),
      channel: channel.receiver,
    });
    const request = {
      confirmedLsn: formatLsn(this.#confirmed),
      tables: tables.map((table) => ({
        address: table.plan.address,
        ...relationTarget(table.plan),
        gate: table.mode === 'waiting' ? null : table.gate,
      })),
      channel: channel.sender,
    };
    const feeding = this.#feed.stage(request, signal);
    feeding.catch(() => abandonReceiver(channel.sender.shared));
    try {
      const [page] = await settleBoth(feeding, staging);
      return page;
    } catch (error) {
      const excluded = await this.#exclude(tables, asSluiceError(error));
      if (!excluded) throw error;
      await this.#feed.recover();
      return null;
    }
  }

  /**
   * A table may have been altered since it was looked at, so before its stream is given up for a new load it is looked
   * at again.
   * @returns true when the page has to be read again, with what is known now
   */
  async #lookAgain(
    tables: readonly StreamTable[],
    { mismatches }: FedPage['summary'],
    signal: AbortSignal,
  ): Promise<boolean> {
    let changed = false;
    for (const { table: index } of mismatches) {
      const table = tables[index];
      if (table === undefined) continue;
      try {
        const plan = await this.#deps.planAgain(table.plan, signal);
        if (isDeepStrictEqual(relationTarget(plan), relationTarget(table.plan))) continue;
        table.plan = plan;
        this.#deps.onEvent({
          kind: 'notice',
          address: plan.address,
          message: `altered in the source: ${plan.drift.join('; ')}; sluice plan shows what that means for the copy`,
        });
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
