import { randomUUID } from 'node:crypto';
import type { DestinationFacts, TableFacts } from '../destination/facts.js';
import { asSluiceError, type PlainError, SluiceError, toPlain } from '../error/sluice-error.js';
import { formatLsn, type Lsn } from '../pgoutput/lsn.js';
import { readCatalog } from '../source/catalog.js';
import type { ObservedSource } from '../source/catalog-model.js';
import type { SourceConnection } from '../source/connect.js';
import { advanceSlot, currentWalFlushLsn } from '../source/slot.js';
import type { SourceState } from '../state/state.js';
import type { OpenDestination } from './destinations.js';
import { type DueWork, dueWork, factsOf, needsLoad, wasLoaded } from './due.js';
import type { Clock, EngineEvent, SourceRun, TableRun } from './engine.js';
import { cursorColumn, cursorWhere, settledUpperBound, syncByCursor } from './incremental.js';
import { type LoadDeps, loadTable } from './load-table.js';
import { SNAPSHOT_WAIT_MS, waitForEarlierWriters } from './publication-wait.js';
import { ReaderThread } from './reader/reader-thread.js';
import { slotPosition } from './slot-position.js';
import type { SourceConnections } from './source-connections.js';
import { SourceStream, type StreamTable } from './stream-source.js';
import { planTable, type TablePlan } from './table-plan.js';

/**
 * While tables load, the stream is read so that a long load does not pin WAL. Each page interrupts the load, and a row
 * group that is cut off has to be compressed again, so it has to be worth it: this much WAL, or this long.
 */
const STREAM_LOOK_MS = 2_000;
const STREAM_DURING_LOAD_BYTES = 64n * 1024n * 1024n;
const STREAM_DURING_LOAD_MS = 60_000;

/** A load whose snapshot raced with the stream is made again at once; more often than this something else is wrong. */
const RACE_ATTEMPTS = 5;

export interface SyncSourceRequest {
  readonly source: string;
  readonly connection: string;
  readonly state: SourceState;
  /** `schema.table` to sync; null: what is due. */
  readonly only: string | null;
  readonly force: boolean;
  /** Everything that was committed before the call has to land, asynchronous commits included. */
  readonly untilCaughtUp: boolean;
}

export interface SyncSourceDeps {
  readonly connections: SourceConnections;
  readonly destination: OpenDestination;
  readonly clock: Clock;
  readonly onEvent: (event: EngineEvent) => void;
}

/** Syncs one source: loads what waits for a load, streams cdc tables to the server's position, runs the other methods. */
export async function syncSource(
  request: SyncSourceRequest,
  deps: SyncSourceDeps,
  signal: AbortSignal,
): Promise<SourceRun> {
  const run = new SourceSync(request, deps, signal);
  return run.execute();
}

class SourceSync {
  readonly #request: SyncSourceRequest;
  readonly #deps: SyncSourceDeps;
  readonly #signal: AbortSignal;
  readonly #runId = randomUUID();
  readonly #startedAt: string;
  readonly #runs: TableRun[] = [];
  /** A table whose load failed is left to the next sync. */
  readonly #failedLoads = new Set<StreamTable>();
  #stream: SourceStream | null = null;
  #reader: ReaderThread | null = null;

  constructor(request: SyncSourceRequest, deps: SyncSourceDeps, signal: AbortSignal) {
    this.#request = request;
    this.#deps = deps;
    this.#signal = signal;
    this.#startedAt = deps.clock.now().toISOString();
  }

  async execute(): Promise<SourceRun> {
    const startedMs = this.#deps.clock.monotonicMs();
    let error: PlainError | null = null;
    try {
      const facts = await this.#deps.destination.writer.readFacts();
      const due = dueWork(this.#request, this.#request.state, facts, this.#deps.clock.now());
      if (due.stream || due.tables.size > 0) {
        await this.#deps.connections.with(this.#request.connection, 'sync', this.#signal, (control) =>
          this.#sync(control, facts, due),
        );
      }
    } catch (cause) {
      this.#signal.throwIfAborted();
      error = toPlain(asSluiceError(cause));
    } finally {
      await this.#reader?.close();
    }
    this.#addStreamRuns();
    return {
      source: this.#request.source,
      transactions: this.#stream?.transactions ?? 0,
      changes: this.#stream?.changes ?? 0,
      confirmedLsn: this.#stream === null ? null : formatLsn(this.#stream.confirmed),
      durationMs: this.#deps.clock.monotonicMs() - startedMs,
      error,
      tables: this.#runs,
    };
  }

  async #sync(control: SourceConnection, facts: DestinationFacts, due: DueWork): Promise<void> {
    const observed = await readCatalog(control, { schema: null }, this.#signal);
    const plans = await this.#planTables(observed, facts, due);
    const streamed = plans.filter((plan) => plan.state.method === 'cdc');
    if (streamed.length > 0) await this.#syncCdc(control, observed, facts, streamed);
    for (const plan of plans) {
      if (plan.state.method === 'cdc') continue;
      await this.#attempt(plan, () => this.#syncOther(control, plan, factsOf(facts, plan.address)));
    }
  }

  /** Tables that cannot be planned are marked as failed; the others go on. */
  async #planTables(observed: ObservedSource, facts: DestinationFacts, due: DueWork): Promise<TablePlan[]> {
    const plans: TablePlan[] = [];
    for (const [key, table] of Object.entries(this.#request.state.tables)) {
      if (!table.enabled || table.paused) continue;
      if (table.method === 'cdc' ? !due.stream : !due.tables.has(key)) continue;
      try {
        plans.push(planTable(this.#request.source, key, table, observed));
      } catch (error) {
        const address = `${this.#request.source}:${key}`;
        const sluiceError = asSluiceError(error);
        await this.#recordFailure(address, table.method === 'cdc' ? 'stream' : table.method, sluiceError);
        // Its changes pass by from here on: only a new snapshot makes the table whole again.
        if (table.method === 'cdc' && factsOf(facts, address) !== null) {
          await this.#deps.destination.writer.requestSnapshot({ address, reason: sluiceError.code });
        }
      }
    }
    return plans;
  }

  async #syncCdc(
    control: SourceConnection,
    observed: ObservedSource,
    facts: DestinationFacts,
    plans: readonly TablePlan[],
  ): Promise<void> {
    const { state, source } = this.#request;
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
    if (position.slotConfirmed < position.start) await advanceSlot(control, slotName, position.start, this.#signal);

    const reader = await this.#openReader();
    const stream = new SourceStream(
      {
        source,
        slot: slotName,
        publication: state.publication,
        systemIdentifier: state.system_identifier ?? observed.server.systemIdentifier ?? '',
        control,
        reader,
        destination: this.#deps.destination,
        clock: this.#deps.clock,
        onEvent: this.#deps.onEvent,
        runId: this.#runId,
        tables,
      },
      position.start,
    );
    this.#stream = stream;
    const reloads = tables.some(({ plan, mode }) => mode === 'waiting' && wasLoaded(factsOf(facts, plan.address)));
    if (this.#request.untilCaughtUp || reloads) await flushWal(control, this.#signal);
    const target = await currentWalFlushLsn(control, this.#signal);
    // What a reload finds changed gets the stream's position as its own: it has to lie behind all that was streamed or
    // loaded before, or the versions of a row would share a place.
    if (reloads) await stream.catchUp(target, this.#signal);
    await this.#loadWaiting(control, stream, tables, target);
    await stream.catchUp(target, this.#signal);
    // A TRUNCATE that was streamed just now asks for a load of its own.
    await this.#loadWaiting(control, stream, tables, target);
    for (const [address, error] of stream.failures) this.#failed(address, 'stream', error);
  }

  async #loadWaiting(
    control: SourceConnection,
    stream: SourceStream,
    tables: readonly StreamTable[],
    target: Lsn,
  ): Promise<void> {
    const { only } = this.#request;
    const waiting = tables.filter(
      (table) =>
        table.mode === 'waiting' &&
        !this.#failedLoads.has(table) &&
        (only === null || table.plan.address === `${this.#request.source}:${only}`),
    );
    if (waiting.length === 0) return;
    const [row] = await control.query<{ xmin: string }>(
      'SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::text AS xmin',
      [],
      this.#signal,
    );
    if (row !== undefined) {
      await this.#deps.destination.writer.pruneHeld({ addresses: waiting.map((t) => t.plan.address), xmin: row.xmin });
    }
    const loading = new AbortController();
    const streaming = this.#streamWhile(control, stream, target, loading.signal);
    const loads = this.#loadEach(control, stream, waiting).finally(() => loading.abort());
    const [loaded, streamed] = await Promise.allSettled([loads, streaming]);
    if (streamed.status === 'rejected') throw streamed.reason;
    if (loaded.status === 'rejected') throw loaded.reason;
  }

  /** Reads a page when enough WAL has piled up, or after a while, until the loads are done. */
  async #streamWhile(
    control: SourceConnection,
    stream: SourceStream,
    target: Lsn,
    loadsDone: AbortSignal,
  ): Promise<void> {
    const { clock } = this.#deps;
    const signal = AbortSignal.any([loadsDone, this.#signal]);
    let readAtMs = clock.monotonicMs();
    for (;;) {
      try {
        await clock.sleep(STREAM_LOOK_MS, signal);
      } catch {
        this.#signal.throwIfAborted();
        return;
      }
      const waitingBytes = (await currentWalFlushLsn(control, this.#signal)) - stream.confirmed;
      const elapsedMs = clock.monotonicMs() - readAtMs;
      if (waitingBytes < STREAM_DURING_LOAD_BYTES && elapsedMs < STREAM_DURING_LOAD_MS) continue;
      await stream.page(target, this.#signal);
      readAtMs = clock.monotonicMs();
    }
  }

  async #loadEach(control: SourceConnection, stream: SourceStream, waiting: readonly StreamTable[]): Promise<void> {
    const loader = await this.#deps.connections.target(this.#request.connection);
    const reader = await ReaderThread.open(loader, 'snapshot', (progress) => this.#onProgress(progress), this.#signal);
    try {
      for (const table of waiting) {
        const finished = await this.#attempt(table.plan, () => this.#loadCdc(control, stream, table, reader));
        if (finished) continue;
        this.#failedLoads.add(table);
        // An aborted transaction may be left in the thread's session.
        await reader.resetSession();
      }
    } finally {
      await reader.close();
    }
  }

  async #loadCdc(
    control: SourceConnection,
    stream: SourceStream,
    table: StreamTable,
    reader: ReaderThread,
  ): Promise<TableRun> {
    const { plan } = table;
    const { slot, system_identifier } = this.#request.state;
    const facts = await this.#deps.destination.writer.readFacts();
    const loaded = factsOf(facts, plan.address)?.loadedGeneration ?? 0;
    const published = plan.state.published_in_generation;
    if (published !== null && loaded < published) {
      await waitForEarlierWriters(
        control,
        plan.observed,
        plan.address,
        {
          clock: this.#deps.clock,
          onWait: (what) => this.#deps.onEvent({ kind: 'waiting', address: plan.address, what }),
          deadlineMs: SNAPSHOT_WAIT_MS,
        },
        this.#signal,
      );
    }
    for (let attempt = 1; ; attempt += 1) {
      try {
        const seedLsn = formatLsn(stream.confirmed);
        const { run, mark, outcome } = await loadTable(plan, this.#loadDeps(reader), seedLsn, {
          cursor: null,
          where: null,
          stream: {
            source: this.#request.source,
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

  async #syncOther(control: SourceConnection, plan: TablePlan, facts: TableFacts | null): Promise<TableRun> {
    const reader = await this.#openReader();
    const deps = this.#loadDeps(reader);
    try {
      switch (plan.state.method) {
        case 'full_table':
          return (await loadTable(plan, deps, null, { cursor: null, stream: null, where: null })).run;
        case 'incremental':
        case 'append': {
          const upper = await settledUpperBound(plan, control, deps, this.#signal);
          if (facts !== null && !needsLoad(plan.state, facts)) return await syncByCursor(plan, facts, upper, deps);
          return (await loadTable(plan, deps, null, { cursor: upper, stream: null, where: firstWhere(plan, upper) }))
            .run;
        }
        case 'cdc':
          throw new SluiceError({ code: 'INTERNAL', message: 'cdc tables are streamed' });
      }
    } catch (error) {
      await reader.resetSession();
      throw error;
    }
  }

  async #openReader(): Promise<ReaderThread> {
    if (this.#reader === null) {
      const target = await this.#deps.connections.target(this.#request.connection);
      this.#reader = await ReaderThread.open(target, 'read', (progress) => this.#onProgress(progress), this.#signal);
    }
    return this.#reader;
  }

  #loadDeps(reader: ReaderThread): LoadDeps {
    return {
      reader,
      destination: this.#deps.destination,
      clock: this.#deps.clock,
      onEvent: this.#deps.onEvent,
      run: { runId: this.#runId, source: this.#request.source, startedAt: this.#startedAt },
    };
  }

  #onProgress(progress: { readonly address: string; readonly rows: number; readonly bytes: number }): void {
    this.#deps.onEvent({ ...progress, kind: 'load_progress', estimatedRows: null });
  }

  /** Runs one table's work; its own trouble is recorded, trouble of the source or the destination is thrown on. */
  async #attempt(plan: TablePlan, work: () => Promise<TableRun>): Promise<boolean> {
    try {
      this.#runs.push(await work());
      return true;
    } catch (error) {
      this.#signal.throwIfAborted();
      const sluiceError = asSluiceError(error);
      if (stopsSource(sluiceError)) throw error;
      await this.#recordFailure(
        plan.address,
        plan.state.method === 'cdc' ? 'snapshot' : plan.state.method,
        sluiceError,
      );
      return false;
    }
  }

  async #recordFailure(address: string, kind: TableRun['kind'], error: SluiceError): Promise<void> {
    this.#failed(address, kind, error);
    this.#deps.onEvent({ kind: 'table_failed', address, error: toPlain(error) });
    await this.#deps.destination.writer.recordFailure({
      source: this.#request.source,
      address,
      kind,
      runId: this.#runId,
      startedAt: this.#startedAt,
      error: toPlain(error),
    });
  }

  #failed(address: string, kind: TableRun['kind'], error: SluiceError): void {
    this.#runs.push({
      address,
      kind,
      status: 'failed',
      rows: 0,
      inserted: 0,
      updated: 0,
      deleted: 0,
      rejected: 0,
      durationMs: 0,
      error: toPlain(error),
    });
  }

  #addStreamRuns(): void {
    for (const [address, counts] of this.#stream?.counts ?? []) {
      if (this.#stream?.failures.has(address) === true) continue;
      this.#runs.push({
        address,
        kind: 'stream',
        status: 'ok',
        rows: counts.inserted + counts.updated + counts.deleted,
        ...counts,
        durationMs: 0,
        error: null,
      });
    }
  }
}

/** The rows of a first load: append stops at the settled cursor, as what lies above it comes with the next run. */
function firstWhere(plan: TablePlan, upper: string | null): string | null {
  if (plan.state.method !== 'append') return null;
  const cursor = cursorColumn(plan).name;
  const unset = `"${cursor.replaceAll('"', '""')}" IS NULL`;
  return upper === null ? unset : `(${cursorWhere(plan, null, upper)}) OR ${unset}`;
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

/** Trouble that no other table of the source would be spared. */
function stopsSource(error: SluiceError): boolean {
  switch (error.code) {
    case 'SOURCE_HOST_UNKNOWN':
    case 'SOURCE_UNREACHABLE':
    case 'SOURCE_TIMEOUT':
    case 'SOURCE_LOGIN_REFUSED':
    case 'SOURCE_DATABASE_MISSING':
    case 'SOURCE_TLS_REFUSED':
    case 'SOURCE_TLS_UNVERIFIED':
    case 'SOURCE_CONNECTION_LOST':
    case 'SOURCE_BUSY':
    case 'SLOT_MISSING':
    case 'SLOT_IN_USE':
    case 'SLOT_AHEAD':
    case 'SLOT_LOST':
    case 'DESTINATION_BUSY':
    case 'CANCELLED':
      return true;
    default:
      return false;
  }
}
