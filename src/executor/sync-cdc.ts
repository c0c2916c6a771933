import type { DestinationFacts } from '../destination/facts.js';
import { SluiceError } from '../error/sluice-error.js';
import { formatLsn, type Lsn } from '../pgoutput/lsn.js';
import type { ObservedSource } from '../source/catalog-model.js';
import type { SourceConnection } from '../source/connect.js';
import { advanceSlot, currentWalFlushLsn } from '../source/slot.js';
import { factsOf, needsLoad, wasLoaded } from './due.js';
import type { TableRun } from './engine.js';
import { loadTable } from './load-table.js';
import { watchPartitions } from './partition-watch.js';
import { SNAPSHOT_WAIT_MS, waitForEarlierWriters } from './publication-wait.js';
import type { ReaderThread } from './reader/reader-thread.js';
import { slotPosition } from './slot-position.js';
import type { SourceSyncRun } from './source-sync-run.js';
import { SourceStream, type StreamTable } from './stream-source.js';
import type { TablePlan } from './table-plan.js';

/**
 * While tables load, the stream is read so that a long load does not pin WAL. Each page interrupts the load, and a row
 * group that is cut off has to be compressed again, so it has to be worth it: this much WAL, or this long.
 */
const STREAM_LOOK_MS = 2_000;
const STREAM_DURING_LOAD_BYTES = 64n * 1024n * 1024n;
const STREAM_DURING_LOAD_MS = 60_000;

/** A load whose snapshot raced with the stream is made again at once; more often than this something else is wrong. */
const RACE_ATTEMPTS = 5;

/** The cdc tables of one source in one sync: one stream, and loads beside it. */
export class CdcSync {
  readonly #run: SourceSyncRun;
  readonly #control: SourceConnection;
  /** A table whose load failed is left to the next sync. */
  readonly #failedLoads = new Set<StreamTable>();
  #stream: SourceStream | null = null;

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
    // A crash between the destination's commit and the confirmation leaves the slot behind; catching up repeats nothing.
    if (position.slotConfirmed < position.start) await advanceSlot(control, slotName, position.start, this.#run.signal);

    const reader = await this.#run.openReader();
    const stream = new SourceStream(
      {
        source,
        slot: slotName,
        publication: state.publication,
        systemIdentifier: state.system_identifier ?? observed.server.systemIdentifier ?? '',
        control,
        reader,
        destination: this.#run.deps.destination,
        clock: this.#run.deps.clock,
        onEvent: this.#run.deps.onEvent,
        runId: this.#run.runId,
        tables,
      },
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
    await this.#watchPartitions(stream, tables);
    // A TRUNCATE that was streamed just now asks for a load of its own.
    await this.#loadWaiting(stream, tables, target);
    for (const [address, error] of stream.failures) this.#run.failed(address, 'stream', error);
  }

  /** After the stream, as a TRUNCATE of the whole table closes history where it stands between the changes. */
  async #watchPartitions(stream: SourceStream, tables: readonly StreamTable[]): Promise<void> {
    const watched = tables.filter(({ plan, mode }) => mode === 'live' && plan.observed.kind === 'p');
    if (watched.length === 0) return;
    const { writer } = this.#run.deps.destination;
    const facts = await writer.readFacts();
    for (const table of watched) {
      const { address, observed, state } = table.plan;
      const before = factsOf(facts, address)?.partitions ?? null;
      const verdict = await watchPartitions(this.#control, observed.oid, before, this.#run.signal);
      if (verdict.kind === 'unknown') continue;
      if (verdict.kind === 'whole') {
        // A later look goes by rows from before this one, so it is worth moving on with the rows.
        const written = stream.counts.has(address);
        if (verdict.moved || written)
          await writer.recordPartitions({ address, partitions: verdict.now, accepted: null });
        continue;
      }
      const what = `rows came or went without a change: ${verdict.what.join('; ')}`;
      if (state.on_partition_change === 'warn') {
        this.#run.deps.onEvent({
          kind: 'notice',
          address,
          message: `${what}; on_partition_change: warn keeps the table as it is`,
        });
        const run = { runId: this.#run.runId, source: this.#run.request.source, startedAt: this.#run.startedAt };
        const accepted = { run, code: 'PARTITIONS_CHANGED', message: what };
        await writer.recordPartitions({ address, partitions: verdict.now, accepted });
      } else {
        this.#run.deps.onEvent({ kind: 'notice', address, message: `${what}; the table is loaded again` });
        await writer.requestSnapshot({ address, reason: 'PARTITIONS_CHANGED' });
        table.mode = 'waiting';
        table.gate = null;
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
      if (waitingBytes < STREAM_DURING_LOAD_BYTES && elapsedMs < STREAM_DURING_LOAD_MS) continue;
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
    const known = factsOf(facts, plan.address);
    const loaded = known?.loadedGeneration ?? 0;
    const published = plan.state.published_in_generation;
    // By the plan, or by hand after a sync had found it missing.
    const joined = (published !== null && loaded < published) || known?.resnapshotReason === 'PUBLICATION_INCOMPLETE';
    if (joined) {
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
