import type { DestinationFacts } from '../destination/facts.js';
import { SluiceError } from '../error/sluice-error.js';
import { formatLsn, type Lsn, parseLsn } from '../pgoutput/lsn.js';
import type { ObservedSource } from '../source/catalog-model.js';
import type { SourceConnection } from '../source/connect.js';
import { advanceSlot, currentWalFlushLsn } from '../source/slot.js';
import { factsOf, needsLoad, wasLoaded } from './due.js';
import type { TableRun } from './engine.js';
import { loadTable } from './load-table.js';
import { ContinuousFeed, ScheduledFeed } from './page-feed.js';
import { SNAPSHOT_WAIT_MS, waitForEarlierWriters } from './publication-wait.js';
import type { ReaderThread } from './reader/reader-thread.js';
import { waitForFreeSlot } from './slot-holder.js';
import { slotPosition } from './slot-position.js';
import type { Following, SourceSyncRun } from './source-sync-run.js';
import { clearSpill } from './spill-store.js';
import { SourceStream, type StreamTable } from './stream-source.js';
import type { TablePlan } from './table-plan.js';

/**
 * While tables load, the stream is read so that a long load does not pin WAL. Each page interrupts the load, and a row
 * group that is cut off has to be compressed again, so it has to be worth it: this much WAL, or this long.
 */
const STREAM_LOOK_MS = 2_000;
const STREAM_DURING_LOAD_BYTES = 64n * 1024n * 1024n;
const STREAM_DURING_LOAD_MS = 60_000;
/** Who asked for seconds of latency is given them while a table loads, too. */
const CONTINUOUS_DURING_LOAD_MS = 5_000;

/** How often a follower looks whether it is to end. */
const FOLLOW_LOOK_MS = 250;
/** A table in trouble waits for a load, and its neighbours need not be kept from following for that. */
const LOAD_AGAIN_MS = 60_000;

/** A load whose snapshot raced with the stream is made again at once; more often than this something else is wrong. */
const RACE_ATTEMPTS = 5;

/** The cdc tables of one source in one sync: one stream, and loads beside it. */
export class CdcSync {
  readonly #run: SourceSyncRun;
  readonly #control: SourceConnection;
  /** A table whose load failed is left to the next sync. */
  readonly #failedLoads = new Set<StreamTable>();
  #stream: SourceStream | null = null;
  #tables: readonly StreamTable[] = [];

  constructor(run: SourceSyncRun, control: SourceConnection) {
    this.#run = run;
    this.#control = control;
  }

  /** Null until the slot was found in order. */
  get stream(): SourceStream | null {
    return this.#stream;
  }

  /** Loads what waits for a load and streams to the server's position. */
  async sync(observed: ObservedSource, facts: DestinationFacts, plans: readonly TablePlan[]): Promise<void> {
    const control = this.#control;
    const { state, source } = this.#run.request;
    if (state.slot === null || state.publication === null) {
      throw new SluiceError({
        code: 'SLOT_MISSING',
        address: `${source}:slot`,
        message: `source ${source} has no replication slot yet`,
        hint: 'run: sluice apply',
      });
    }
    const slotName = state.slot.name;
    const tables = plans.map((plan): StreamTable => {
      const table = factsOf(facts, plan.address);
      const waiting = needsLoad(plan.state, table);
      return { plan, mode: waiting ? 'waiting' : 'live', gate: waiting ? null : (table?.snapshot ?? null) };
    });
    const position = slotPosition({
      source,
      slot: state.slot,
      systemIdentifier: state.system_identifier,
      observed,
      stream: facts.streams.find((stream) => stream.source === source) ?? null,
      anyLive: tables.some((table) => table.mode === 'live'),
    });
    this.#tables = tables;
    await clearSpill(this.#run.deps.spillFolder);
    const { clock, onEvent } = this.#run.deps;
    const onWait = (what: string): void => onEvent({ kind: 'waiting', address: `${source}:slot`, what });
    await waitForFreeSlot(control, slotName, { clock, onWait }, this.#run.signal);
    // A crash between the destination's commit and the confirmation leaves the slot behind; catching up repeats nothing.
    if (position.slotConfirmed < position.start) await advanceSlot(control, slotName, position.start, this.#run.signal);

    const reader = await this.#run.openReader();
    const stream = new SourceStream(
      {
        source,
        slot: slotName,
        systemIdentifier: state.system_identifier ?? observed.server.systemIdentifier ?? '',
        destination: this.#run.deps.destination,
        clock,
        onEvent,
        runId: this.#run.runId,
        tables,
      },
      new ScheduledFeed(slotName, state.publication, control, reader),
      position.start,
    );
    this.#stream = stream;
    const reloads = tables.some(({ plan, mode }) => mode === 'waiting' && wasLoaded(factsOf(facts, plan.address)));
    if (this.#run.request.untilCaughtUp || reloads) await flushWal(control, this.#run.signal);
    const target = await currentWalFlushLsn(control, this.#run.signal);
    // What a reload finds changed gets the stream's position as its own: it has to lie behind all that was streamed or
    // loaded before, or the versions of a row would share a place.
    if (reloads) await stream.catchUp(target, this.#run.signal);
    await this.#loadWaiting(stream, tables, target);
    await stream.catchUp(target, this.#run.signal);
    // A TRUNCATE that was streamed just now asks for a load of its own.
    await this.#loadWaiting(stream, tables, target);
    for (const [address, error] of stream.failures) this.#run.failed(address, 'stream', error);
  }

  /**
   * After sync(): goes on by the replication protocol until it is asked to end, a table needs a load, or the connection
   * breaks (which is thrown). What is whole by then is committed and confirmed.
   */
  async follow({ flush, onFollowing, isEnough, betweenPages }: Following): Promise<void> {
    const stream = this.#stream;
    const { slot, publication } = this.#run.request.state;
    if (stream === null || slot === null || publication === null) return;
    const { signal, deps } = this.#run;
    const reader = await this.#run.openReader();
    const feed = await ContinuousFeed.open(reader, {
      slot: slot.name,
      publication,
      startLsn: formatLsn(stream.confirmed),
      flush,
      spillFolder: deps.spillFolder,
    });
    stream.readFrom(feed);
    const waiting = (): number => this.#tables.filter((table) => table.mode === 'waiting').length;
    const failed = waiting();
    let troubledMs: number | null = null;
    let enough = false;
    try {
      await onFollowing();
      while (!enough) {
        const now = deps.clock.monotonicMs();
        if (this.#tables.some((table) => table.mode !== 'live')) troubledMs ??= now;
        const again = troubledMs !== null && now - troubledMs >= LOAD_AGAIN_MS;
        enough = again || waiting() > failed || (await isEnough());
        const found = await feed.look({ waitMs: enough ? 0 : FOLLOW_LOOK_MS, cut: enough });
        if (found.page !== null) await stream.page(stream.confirmed, signal);
        else if (found.moved) await stream.advance(parseLsn(found.position), signal);
        if (found.page !== null || found.moved) await betweenPages();
      }
    } catch (error) {
      // What comes of the end after it says nothing new.
      await feed.close().catch(() => undefined);
      throw error;
    }
    await feed.close();
    for (const [address, error] of stream.failures) {
      if (!this.#run.tables.some((run) => run.address === address && run.kind === 'stream')) {
        this.#run.failed(address, 'stream', error);
      }
    }
  }

  async #loadWaiting(stream: SourceStream, tables: readonly StreamTable[], target: Lsn): Promise<void> {
    const { only } = this.#run.request;
    const waiting = tables.filter(
      (table) =>
        table.mode === 'waiting' &&
        !this.#failedLoads.has(table) &&
        (only === null || table.plan.address === this.#run.addressOf(only)),
    );
    if (waiting.length === 0) return;
    const [row] = await this.#control.query<{ xmin: string }>(
      'SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::text AS xmin',
      [],
      this.#run.signal,
    );
    if (row !== undefined) {
      await this.#run.deps.destination.writer.pruneHeld({
        addresses: waiting.map((t) => t.plan.address),
        xmin: row.xmin,
      });
    }
    const loading = new AbortController();
    const streaming = this.#streamWhile(stream, target, loading.signal);
    const loads = this.#loadEach(stream, waiting).finally(() => loading.abort());
    const [loaded, streamed] = await Promise.allSettled([loads, streaming]);
    if (streamed.status === 'rejected') throw streamed.reason;
    if (loaded.status === 'rejected') throw loaded.reason;
  }

  /** Reads a page when enough WAL has piled up, or after a while, until the loads are done. */
  async #streamWhile(stream: SourceStream, target: Lsn, loadsDone: AbortSignal): Promise<void> {
    const { clock } = this.#run.deps;
    const signal = AbortSignal.any([loadsDone, this.#run.signal]);
    const { following } = this.#run.request;
    const everyMs =
      following === null ? STREAM_DURING_LOAD_MS : Math.max(following.flush.everyMs, CONTINUOUS_DURING_LOAD_MS);
    let readAtMs = clock.monotonicMs();
    for (;;) {
      try {
        await clock.sleep(STREAM_LOOK_MS, signal);
      } catch {
        this.#run.signal.throwIfAborted();
        return;
      }
      const waitingBytes = (await currentWalFlushLsn(this.#control, this.#run.signal)) - stream.confirmed;
      const elapsedMs = clock.monotonicMs() - readAtMs;
      if (waitingBytes < STREAM_DURING_LOAD_BYTES && elapsedMs < everyMs) continue;
      await stream.page(target, this.#run.signal);
      readAtMs = clock.monotonicMs();
    }
  }

  async #loadEach(stream: SourceStream, waiting: readonly StreamTable[]): Promise<void> {
    const reader = await this.#run.openLoader();
    try {
      for (const table of waiting) {
        const finished = await this.#run.attempt(table.plan, () => this.#load(stream, table, reader));
        if (finished) continue;
        this.#failedLoads.add(table);
        // An aborted transaction may be left in the thread's session.
        await reader.resetSession();
      }
    } finally {
      await reader.close();
    }
  }

  async #load(stream: SourceStream, table: StreamTable, reader: ReaderThread): Promise<TableRun> {
    const { plan } = table;
    const { slot, system_identifier } = this.#run.request.state;
    const facts = await this.#run.deps.destination.writer.readFacts();
    const loaded = factsOf(facts, plan.address)?.loadedGeneration ?? 0;
    const published = plan.state.published_in_generation;
    if (published !== null && loaded < published) {
      await waitForEarlierWriters(
        this.#control,
        plan.observed,
        plan.address,
        {
          clock: this.#run.deps.clock,
          onWait: (what) => this.#run.deps.onEvent({ kind: 'waiting', address: plan.address, what }),
          deadlineMs: SNAPSHOT_WAIT_MS,
        },
        this.#run.signal,
      );
    }
    for (let attempt = 1; ; attempt += 1) {
      try {
        const seedLsn = formatLsn(stream.confirmed);
        const { run, mark, outcome } = await loadTable(plan, this.#run.loadDeps(reader), seedLsn, {
          cursor: null,
          where: null,
          stream: {
            source: this.#run.request.source,
            slot: slot?.name ?? '',
            systemIdentifier: system_identifier ?? '',
            confirmedLsn: seedLsn,
          },
          // Changes that its stream passed over since the snapshot are in neither.
          obstacle: () => (table.mode === 'excluded' ? (stream.failures.get(plan.address) ?? null) : null),
        });
        if (!outcome.needsLoad) {
          table.mode = 'live';
          table.gate = mark;
        }
        return run;
      } catch (error) {
        if (!(error instanceof SluiceError) || error.code !== 'SNAPSHOT_RACED' || attempt >= RACE_ATTEMPTS) throw error;
      }
    }
  }
}

/**
 * Commits with synchronous_commit = off reach the disk some time after they returned, and only what is on disk is
 * decoded. A transactional message is a commit of our own that takes everything before it along.
 */
async function flushWal(control: SourceConnection, signal: AbortSignal): Promise<void> {
  try {
    await control.query('SET synchronous_commit = on', [], signal);
    await control.query("SELECT pg_catalog.pg_logical_emit_message(true, 'sluice', 'flush')", [], signal);
  } catch (error) {
    // A role that may not write simply sees what has been flushed already.
    if (!(error instanceof SluiceError) || error.code !== 'PRIVILEGE_MISSING') throw error;
  }
}
