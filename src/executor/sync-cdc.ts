import type { DestinationFacts } from '../destination/facts.js';
import type { StreamIdentity } from '../destination/writer.js';
import { SluiceError } from '../error/sluice-error.js';
import { formatLsn, parseLsn } from '../pgoutput/lsn.js';
import { readCatalog } from '../source/catalog.js';
import type { ObservedSource } from '../source/catalog-model.js';
import type { SourceConnection } from '../source/connect.js';
import { readServer } from '../source/server.js';
import { advanceSlot, currentWalFlushLsn } from '../source/slot.js';
import { CdcLoads } from './cdc-loads.js';
import { factsOf, needsBackfill, needsLoad, wasLoaded } from './due.js';
import { ContinuousFeed, ScheduledFeed } from './page-feed.js';
import { watchPartitions } from './partition-watch.js';
import { SNAPSHOT_WAIT_MS } from './publication-wait.js';
import { waitForFreeSlot } from './slot-holder.js';
import { slotPosition } from './slot-position.js';
import type { Following, SourceSyncRun } from './source-sync-run.js';
import { clearSpill } from './spill-store.js';
import { checkStream } from './stream-check.js';
import { SourceStream, type StreamTable } from './stream-source.js';
import type { TablePlan } from './table-plan.js';
import { waitUntilNoneIsOlder } from './visibility-wait.js';
import { flushWal } from './wal-flush.js';

/** How often a follower looks whether it is to end. */
const FOLLOW_LOOK_MS = 250;
/** A table in trouble waits for a load, and its neighbours need not be kept from following for that. */
const LOAD_AGAIN_MS = 60_000;

export interface OpenedStream {
  readonly stream: SourceStream;
  readonly tables: readonly StreamTable[];
  readonly loads: CdcLoads;
}

/** The cdc tables of one source in one sync: one stream, and loads beside it. */
export class CdcSync {
  readonly #run: SourceSyncRun;
  readonly #control: SourceConnection;
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

  /**
   * Finds the slot in order and opens the stream where the destination left it.
   * @throws SluiceError SLOT_MISSING, SLOT_LOST, SLOT_AHEAD, SYSTEM_CHANGED
   */
  async open(observed: ObservedSource, facts: DestinationFacts, plans: readonly TablePlan[]): Promise<OpenedStream> {
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
    const backfills = new Set<string>();
    const tables = plans.map((plan): StreamTable => {
      const table = factsOf(facts, plan.address);
      const waiting = needsLoad(plan.state, table);
      if (needsBackfill(plan.state, table)) backfills.add(plan.address);
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
    const loads = new CdcLoads(this.#run, control, {
      stream,
      identity,
      backfills,
      planAgain: (plan) => this.#planAgain(plan, this.#run.signal),
      flushWal: () => this.flushWal(this.#run.signal),
    });
    return { stream, tables, loads };
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
    const { stream, tables, loads } = await this.open(observed, facts, plans);
    const reloads = tables.some(({ plan, mode }) => mode === 'waiting' && wasLoaded(factsOf(facts, plan.address)));
    if (this.#run.request.untilCaughtUp || reloads) await this.flushWal(this.#run.signal);
    const target = await currentWalFlushLsn(control, this.#run.signal);
    // What a reload finds changed gets the stream's position as its own: it has to lie behind all that was streamed or
    // loaded before, or the versions of a row would share a place.
    if (reloads) await stream.catchUp(target, this.#run.signal);
    await loads.loadWaiting(tables, target);
    await stream.catchUp(target, this.#run.signal);
    await this.#watchPartitions(stream, tables);
    // A TRUNCATE that was streamed just now asks for a load of its own.
    await loads.loadWaiting(tables, target);
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

  async #planAgain({ address, state }: TablePlan, signal: AbortSignal): Promise<TablePlan> {
    const observed = await readCatalog(this.#control, { schema: null }, signal);
    const plan = this.#run.planTable(keyOf(address), state, observed);
    const isLive = this.#tables.some((table) => table.plan.address === address && table.mode === 'live');
    if (isLive) await this.#run.describe([plan]);
    return plan;
  }
}

function keyOf(address: string): string {
  return address.slice(address.indexOf(':') + 1);
}
