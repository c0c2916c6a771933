import type { DestinationFacts } from '../destination/facts.js';
import type { StreamIdentity } from '../destination/writer.js';
import { SluiceError } from '../error/sluice-error.js';
import { formatLsn, type Lsn, parseLsn } from '../pgoutput/lsn.js';
import { readCatalog } from '../source/catalog.js';
import type { ObservedSource } from '../source/catalog-model.js';
import type { SourceConnection } from '../source/connect.js';
import { readServer } from '../source/server.js';
import { advanceSlot, currentWalFlushLsn } from '../source/slot.js';
import { backfillColumns } from './backfill-columns.js';
import { factsOf, needsBackfill, needsLoad, wasLoaded } from './due.js';
import type { TableRun } from './engine.js';
import { loadIdentity } from './load-identity.js';
import { loadTable } from './load-table.js';
import { ContinuousFeed, ScheduledFeed } from './page-feed.js';
import { watchPartitions } from './partition-watch.js';
import { SNAPSHOT_WAIT_MS, waitForEarlierWriters } from './publication-wait.js';
import { waitForFreeSlot } from './slot-holder.js';
import { slotPosition } from './slot-position.js';
import type { SnapshotReaders } from './snapshot-readers.js';
import type { Following, SourceSyncRun } from './source-sync-run.js';
import { clearSpill } from './spill-store.js';
import { checkStream } from './stream-check.js';
import { SourceStream, type StreamTable } from './stream-source.js';
import type { TablePlan } from './table-plan.js';
import { waitUntilNoneIsOlder, waitUntilSeen } from './visibility-wait.js';
import { flushWal } from './wal-flush.js';

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
  readonly #failedLoads = new Set<string>();
  /** Live tables, by address, whose added columns are to be filled. */
  readonly #backfills = new Set<string>();
  #stream: SourceStream | null = null;
  #identity: StreamIdentity | null = null;
  /** When the first load began to wait for commits to become visible; the others wait no longer than it does. */
  #waitingSinceMs: number | null = null;
  #tables: readonly StreamTable[] = [];

  constructor(run: SourceSyncRun, control: SourceConnection) {
    this.#run = run;
    this.#control = control;
  }

  /** Null until the slot was found in order. */
  get stream(): SourceStream | null {
    return this.#stream;
  }

  /**
   * Finds the slot in order and opens the stream where the destination left it.
   * @throws SluiceError SLOT_MISSING, SLOT_LOST, SLOT_AHEAD, SYSTEM_CHANGED
   */
  async open(
    observed: ObservedSource,
    facts: DestinationFacts,
    plans: readonly TablePlan[],
  ): Promise<{ readonly stream: SourceStream; readonly tables: readonly StreamTable[] }> {
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
      if (needsBackfill(plan.state, table)) this.#backfills.add(plan.address);
      return { plan, mode: waiting ? 'waiting' : 'live', gate: waiting ? null : (table?.snapshot ?? null) };
    });
    const recorded = facts.streams.find((stream) => stream.source === source) ?? null;
    const { server, history } = await checkStream(
      observed.server,
      recorded,
      {
        target: await this.#run.deps.connections.target(this.#run.request.connection),
        again: () => readServer(control, this.#run.signal),
      },
      this.#run.signal,
    );
    const position = slotPosition(source, {
      slot: state.slot,
      state,
      server,
      slots: observed.slots,
      stream: recorded,
      history,
      continues: tables.some((table) => table.mode === 'live'),
    });
    if (position.restart) {
      const addresses = Object.keys(state.tables).map((key) => this.#run.addressOf(key));
      await this.#run.deps.destination.writer.restartStream({ source, addresses });
    }
    const identity: StreamIdentity = {
      source,
      slot: slotName,
      slotCreatedLsn: state.slot.created_lsn,
      systemIdentifier: state.system_identifier ?? server.systemIdentifier ?? '',
      timelineId: server.timelineId,
    };
    this.#identity = identity;
    this.#tables = tables;
    await clearSpill(this.#run.deps.spillFolder);
    const { clock, onEvent } = this.#run.deps;
    const onWait = (what: string): void => onEvent({ kind: 'waiting', address: `${source}:slot`, what });
    await waitForFreeSlot(control, slotName, { clock, onWait }, this.#run.signal);
    const forgotten = recorded === null || position.restart;
    if (forgotten && position.start > parseLsn(state.slot.created_lsn)) {
      const untilMs = clock.monotonicMs() + SNAPSHOT_WAIT_MS;
      await waitUntilNoneIsOlder(`${source}:slot`, control, { clock, onWait, untilMs }, this.#run.signal);
    }
    // A crash between the destination's commit and the confirmation leaves the slot behind; catching up repeats nothing.
    if (position.slotConfirmed < position.start) await advanceSlot(control, slotName, position.start, this.#run.signal);

    const reader = await this.#run.openReader();
    const stream = new SourceStream(
      {
        identity,
        control,
        destination: this.#run.deps.destination,
        clock,
        onEvent,
        runId: this.#run.runId,
        tables,
        planAgain: (plan, signal) => this.#planAgain(plan, signal),
      },
      new ScheduledFeed(slotName, state.publication, control, reader),
      position.start,
      forgotten ? [] : recorded.unseen,
    );
    this.#stream = stream;
    return { stream, tables };
  }

  /** What was committed asynchronously before this call can be read from the slot after it. */
  async flushWal(signal: AbortSignal): Promise<void> {
    const { deps, request } = this.#run;
    const onNotice = (message: string) => deps.onEvent({ kind: 'notice', address: `${request.source}:slot`, message });
    await flushWal(this.#control, { heartbeat: request.heartbeat, clock: deps.clock, onNotice }, signal);
  }

  /** Loads what waits for a load and streams to the server's position. */
  async sync(observed: ObservedSource, facts: DestinationFacts, plans: readonly TablePlan[]): Promise<void> {
    const control = this.#control;
    const { stream, tables } = await this.open(observed, facts, plans);
    const reloads = tables.some(({ plan, mode }) => mode === 'waiting' && wasLoaded(factsOf(facts, plan.address)));
    if (this.#run.request.untilCaughtUp || reloads) await this.flushWal(this.#run.signal);
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
    const feed = await ContinuousFeed.open(reader, this.#control, {
      slot: slot.name,
      publication,
      startLsn: formatLsn(stream.confirmed),
      flush,
      idle: deps.destination.idle,
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
    const chosen = tables.filter(
      ({ plan }) =>
        !this.#failedLoads.has(plan.address) && (only === null || plan.address === this.#run.addressOf(only)),
    );
    const waiting = chosen.filter((table) => table.mode === 'waiting');
    const backfills = chosen.filter((table) => table.mode === 'live' && this.#backfills.has(table.plan.address));
    if (waiting.length + backfills.length === 0) return;
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
    const streaming = this.streamWhile(stream, target, loading.signal);
    const loads = this.#loadEach(stream, [...waiting, ...backfills]).finally(() => loading.abort());
    const [loaded, streamed] = await Promise.allSettled([loads, streaming]);
    if (streamed.status === 'rejected') throw streamed.reason;
    if (loaded.status === 'rejected') throw loaded.reason;
  }

  /** Reads a page when enough WAL has piled up, or after a while, until the loads are done. */
  async streamWhile(stream: SourceStream, target: Lsn, loadsDone: AbortSignal): Promise<void> {
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

  async #planAgain({ address, state }: TablePlan, signal: AbortSignal): Promise<TablePlan> {
    return this.#run.planTable(keyOf(address), state, await readCatalog(this.#control, { schema: null }, signal));
  }

  async #waitUntilSeen(stream: SourceStream, address: string): Promise<void> {
    const { clock, onEvent } = this.#run.deps;
    this.#waitingSinceMs ??= clock.monotonicMs();
    await waitUntilSeen(
      address,
      () => stream.unseen(this.#run.signal),
      {
        clock,
        onWait: (what) => onEvent({ kind: 'waiting', address, what }),
        untilMs: this.#waitingSinceMs + SNAPSHOT_WAIT_MS,
      },
      this.#run.signal,
    );
    this.#waitingSinceMs = null;
  }

  async #loadEach(stream: SourceStream, waiting: readonly StreamTable[]): Promise<void> {
    const first = await this.#run.openLoader();
    const readers = this.#run.readersOf(first);
    try {
      for (const table of waiting) {
        const load = table.mode === 'live' ? this.#backfill : this.#load;
        const finished = await this.#run.attempt(table.plan, () => load.call(this, stream, table, readers));
        if (finished) continue;
        this.#failedLoads.add(table.plan.address);
        // An aborted transaction may be left in the threads' sessions.
        await readers.reset();
      }
    } finally {
      await readers.close();
      await first.close();
    }
  }

  /** Its changes are held until the end; where it fails, the next page merges them. */
  async #backfill(stream: SourceStream, table: StreamTable, readers: SnapshotReaders): Promise<TableRun> {
    const { backfill } = table.plan.state;
    if (backfill === null) {
      throw new SluiceError({ code: 'INTERNAL', message: `${table.plan.address} has no backfill to do` });
    }
    const isOvertaken = (): boolean => table.mode !== 'backfilling';
    table.mode = 'backfilling';
    try {
      for (let attempt = 1; ; attempt += 1) {
        const { plan } = table;
        try {
          // What was merged already and the snapshot does not see would be overwritten by older values.
          await this.#waitUntilSeen(stream, plan.address);
          const run = await backfillColumns(
            plan,
            {
              columns: backfill.columns.filter((name) => plan.target.columns.some((column) => column.name === name)),
              id: backfill.id,
              passStream: (position) => stream.catchUp(position, this.#run.signal),
              obstacle: () => (isOvertaken() ? overtaken(plan) : null),
            },
            this.#run.loadDeps(readers),
          );
          this.#backfills.delete(plan.address);
          return run;
        } catch (error) {
          if (!(error instanceof SluiceError) || error.code !== 'SCHEMA_MOVED' || attempt >= RACE_ATTEMPTS) throw error;
          await readers.reset();
          if (isOvertaken()) return nothingFilled(plan.address);
          table.plan = await this.#planAgain(plan, this.#run.signal);
        }
      }
    } finally {
      if (!isOvertaken()) table.mode = 'live';
    }
  }

  async #load(stream: SourceStream, table: StreamTable, readers: SnapshotReaders): Promise<TableRun> {
    let { plan } = table;
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
        await this.#waitUntilSeen(stream, plan.address);
        const seedLsn = formatLsn(stream.confirmed);
        const { run, mark, outcome } = await loadTable(plan, this.#run.loadDeps(readers), seedLsn, {
          cursor: null,
          where: null,
          stream: this.#identity === null ? null : { ...this.#identity, confirmedLsn: seedLsn },
          resumption: {
            identity: loadIdentity(plan, {
              slot: this.#run.request.state.slot,
              systemIdentifier: this.#run.request.state.system_identifier,
              timelineId: this.#identity?.timelineId ?? null,
            }),
            catchUp: async (lsn) => {
              await this.flushWal(this.#run.signal);
              await stream.catchUp(parseLsn(lsn), this.#run.signal);
            },
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
        if (!(error instanceof SluiceError) || attempt >= RACE_ATTEMPTS) throw error;
        if (error.code !== 'SNAPSHOT_RACED' && error.code !== 'SCHEMA_MOVED') throw error;
        await readers.reset();
        if (error.code === 'SCHEMA_MOVED') {
          plan = await this.#planAgain(plan, this.#run.signal);
          table.plan = plan;
        }
      }
    }
  }
}

/** A TRUNCATE, or a change of its columns, has come meanwhile: the load that follows brings the new columns too. */
function overtaken({ address }: TablePlan): SluiceError {
  return new SluiceError({
    code: 'SCHEMA_MOVED',
    address,
    message: `${address} has to be read as a whole, which makes the filling of its new columns needless`,
    hint: 'nothing was filled; the load follows by itself',
  });
}

/** No trouble: the load that overtook the backfill follows in the same sync. */
function nothingFilled(address: string): TableRun {
  return {
    address,
    kind: 'backfill',
    status: 'ok',
    rows: 0,
    inserted: 0,
    updated: 0,
    deleted: 0,
    rejected: 0,
    durationMs: 0,
    error: null,
  };
}

function keyOf(address: string): string {
  return address.slice(address.indexOf(':') + 1);
}
