import { type Comparison, faultsOf } from '../destination/comparison.js';
import type { DestinationFacts, TableFacts } from '../destination/facts.js';
import type { KeySample } from '../destination/target-table.js';
import { SETTLED_COLUMN } from '../destination/writer.js';
import { asSluiceError, fromPlain, type PlainError, SluiceError, toPlain } from '../error/sluice-error.js';
import { parseLsn } from '../pgoutput/lsn.js';
import { readCatalog } from '../source/catalog.js';
import type { SourceConnection } from '../source/connect.js';
import type { DecodedColumn } from '../source/copy-decoder.js';
import { currentWalFlushLsn } from '../source/slot.js';
import { OID } from '../source/type-oid.js';
import type { TableState } from '../state/state.js';
import { abandonReceiver, openBatchChannel } from '../thread/batch-channel.js';
import { failpoint } from '../thread/failpoint.js';
import { factsOf, needsLoad } from './due.js';
import type { TableVerdict } from './engine.js';
import { beyondCursor, cursorColumn } from './incremental.js';
import { keySample, sampleWhere, whyNotSampled } from './key-sample.js';
import { hasOpenWriters, SNAPSHOT_WAIT_MS, waitForEarlierWriters } from './publication-wait.js';
import type { ReaderThread, SnapshotTaken } from './reader/reader-thread.js';
import { settleBoth } from './settle.js';
import { SourceSyncRun, type SyncSourceDeps, type SyncSourceRequest, stopsSource } from './source-sync-run.js';
import type { SourceStream, StreamTable } from './stream-source.js';
import { streamWhile } from './stream-while.js';
import { CdcSync } from './sync-cdc.js';
import { planTables } from './sync-source.js';
import { NO_VERDICTS } from './table-holds.js';
import { copySql, decodedColumns, snapshotOf, type TablePlan } from './table-plan.js';

/**
 * Compares tables with their source, row by row.
 *
 * A cdc table is compared at exactly one snapshot while writers go on: from the moment it is taken, only transactions that
 * it sees are merged into the table, the others are held as for a table that loads. When the stream has passed the
 * snapshot's position, the table holds what the snapshot shows, no more and no less; the copy that it is compared with came
 * by COPY alone. Afterwards the held changes are merged. A process that dies in between leaves them for the next sync.
 */

export interface VerifySourceRequest
  extends Omit<SyncSourceRequest, 'force' | 'untilCaughtUp' | 'following' | 'followedElsewhere' | 'held'> {
  readonly samplePercent: number | null;
  readonly seed: string;
  readonly limit: number;
}

const SETTLED: DecodedColumn = {
  name: SETTLED_COLUMN.name,
  logical: SETTLED_COLUMN.type,
  source: {
    oid: OID.bool,
    name: 'boolean',
    kind: 'b',
    baseOid: OID.bool,
    baseName: 'boolean',
    baseKind: 'b',
    typmod: -1,
    element: null,
  },
};

/** One verdict for each table asked for; trouble is in the verdicts, only cancelling is thrown. */
export async function verifySource(
  request: VerifySourceRequest,
  deps: SyncSourceDeps,
  signal: AbortSignal,
): Promise<TableVerdict[]> {
  const run = new SourceSyncRun(
    { ...request, force: true, untilCaughtUp: true, following: null, followedElsewhere: false, held: NO_VERDICTS },
    deps,
    signal,
  );
  const cancel = new SharedArrayBuffer(4);
  const onAbort = (): void => {
    const word = new Int32Array(cancel);
    Atomics.store(word, 0, 1);
    Atomics.notify(word, 0);
  };
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await new SourceVerify(request, run, cancel).execute();
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** What the comparison of one table rests on. */
interface Copied {
  readonly taken: SnapshotTaken;
  readonly rejected: number;
}

class SourceVerify {
  readonly #request: VerifySourceRequest;
  readonly #run: SourceSyncRun;
  readonly #cancel: SharedArrayBuffer;
  readonly #verdicts = new Map<string, TableVerdict>();

  constructor(request: VerifySourceRequest, run: SourceSyncRun, cancel: SharedArrayBuffer) {
    this.#request = request;
    this.#run = run;
    this.#cancel = cancel;
  }

  async execute(): Promise<TableVerdict[]> {
    const { state, only, connection } = this.#request;
    const wanted = Object.entries(state.tables).filter(([key, table]) =>
      only === null ? table.enabled && !table.paused : key === only,
    );
    let trouble: SluiceError | null = null;
    try {
      const facts = await this.#run.deps.destination.writer.readFacts();
      const active = new Set(wanted.filter(([, table]) => table.enabled && !table.paused).map(([key]) => key));
      if (active.size > 0) {
        await this.#run.deps.connections.with(connection, 'verify', this.#run.signal, (control) =>
          this.#verify(control, facts, active),
        );
      }
    } catch (error) {
      this.#run.signal.throwIfAborted();
      trouble = asSluiceError(error);
    } finally {
      await this.#run.close();
    }
    return wanted.map(([key, table]) => {
      const address = this.#run.addressOf(key);
      return this.#verdicts.get(address) ?? notCompared(address, table, toPlain(trouble ?? this.#planFailure(address)));
    });
  }

  #planFailure(address: string): SluiceError {
    const failed = this.#run.tables.find((table) => table.address === address)?.error;
    if (failed !== undefined && failed !== null) return fromPlain(failed);
    return notReady(address, 'it is disabled or paused');
  }

  async #verify(control: SourceConnection, facts: DestinationFacts, active: ReadonlySet<string>): Promise<void> {
    const { state } = this.#request;
    const observed = await readCatalog(control, { schema: null }, this.#run.signal);
    const streams = [...active].some((key) => state.tables[key]?.method === 'cdc');
    // All cdc tables of the source share its stream, so the others go on while some are compared.
    const plans = await planTables(this.#run, observed, facts, (key, table) =>
      table.method === 'cdc' ? streams : active.has(key),
    );
    const asked = plans.filter((plan) => active.has(this.#keyOf(plan)));
    if (asked.length === 0) return;
    const reader = await this.#run.openLoader();
    try {
      const cdcPlans = plans.filter((plan) => plan.state.method === 'cdc');
      if (cdcPlans.length > 0) {
        const cdc = new CdcSync(this.#run, control);
        const { stream, tables } = await cdc.open(observed, facts, cdcPlans);
        await cdc.flushWal(this.#run.signal);
        await stream.catchUp(await currentWalFlushLsn(control, this.#run.signal), this.#run.signal);
        for (const table of tables) {
          if (!asked.includes(table.plan)) continue;
          await this.#judge(table.plan, reader, (startedMs) =>
            this.#compareStreamed({ control, cdc, stream, table, reader, startedMs }),
          );
        }
      }
      for (const plan of asked) {
        if (plan.state.method === 'cdc') continue;
        await this.#judge(plan, reader, (startedMs) =>
          this.#compareOther(plan, reader, factsOf(facts, plan.address), startedMs),
        );
      }
    } finally {
      await reader.close();
    }
  }

  #keyOf(plan: TablePlan): string {
    return plan.address.slice(this.#request.source.length + 1);
  }

  /** A table's own trouble is its verdict; trouble of the source or the destination is thrown on. */
  async #judge(
    plan: TablePlan,
    reader: ReaderThread,
    compare: (startedMs: number) => Promise<TableVerdict>,
  ): Promise<void> {
    try {
      this.#verdicts.set(plan.address, await compare(this.#run.deps.clock.monotonicMs()));
    } catch (error) {
      this.#run.signal.throwIfAborted();
      await this.#run.deps.destination.writer.abandonLoad(loadName(plan)).catch(() => undefined);
      const sluiceError = asSluiceError(error);
      if (stopsSource(sluiceError)) throw error;
      this.#run.deps.onEvent({ kind: 'table_failed', address: plan.address, error: toPlain(sluiceError) });
      this.#verdicts.set(plan.address, notCompared(plan.address, plan.state, toPlain(sluiceError)));
      await reader.resetSession();
    }
  }

  async #compareStreamed(input: {
    readonly control: SourceConnection;
    readonly cdc: CdcSync;
    readonly stream: SourceStream;
    readonly table: StreamTable;
    readonly reader: ReaderThread;
    readonly startedMs: number;
  }): Promise<TableVerdict> {
    const { control, stream, table } = input;
    const { plan } = table;
    const { signal, deps } = this.#run;
    for (let attempt = 1; ; attempt += 1) {
      await this.#refuseUnfit(stream, table);
      if (attempt > 1) {
        const onWait = (what: string): void => deps.onEvent({ kind: 'waiting', address: plan.address, what });
        const wait = { clock: deps.clock, onWait, deadlineMs: SNAPSHOT_WAIT_MS };
        await waitForEarlierWriters(control, plan.observed, plan.address, wait, signal);
      }
      // A commit reaches the stream a moment before it becomes visible (longer with a synchronous standby). What was
      // merged before the snapshot and is not visible in it can only be of a transaction that still holds its lock.
      const unsure = attempt === 1 && (await hasOpenWriters(control, plan.observed, signal));
      const verdict = await this.#compareAtSnapshot(input);
      if (verdict.status === 'equal' || !unsure) return verdict;
    }
  }

  /** @throws SluiceError the table's trouble in the stream, or VERIFY_NOT_READY while it waits for a load */
  async #refuseUnfit(stream: SourceStream, table: StreamTable): Promise<void> {
    const { address } = table.plan;
    const failure = stream.failures.get(address);
    if (failure !== undefined) throw failure;
    if (table.mode === 'live') return;
    const reason = factsOf(await this.#run.deps.destination.writer.readFacts(), address)?.resnapshotReason ?? null;
    throw notReady(address, `it waits for a load${reason === null ? '' : ` (${reason})`}`);
  }

  async #compareAtSnapshot(input: {
    readonly control: SourceConnection;
    readonly cdc: CdcSync;
    readonly stream: SourceStream;
    readonly table: StreamTable;
    readonly reader: ReaderThread;
    readonly startedMs: number;
  }): Promise<TableVerdict> {
    const { control, cdc, stream, table, reader, startedMs } = input;
    const { plan } = table;
    const { signal } = this.#run;
    const sample = this.#sampleOf(plan);
    const copying = new AbortController();
    let verdict: TableVerdict;
    try {
      const copy = this.#copy(plan, reader, sample.key, 'true', (taken) => {
        table.upTo = taken.snapshot;
      }).finally(() => copying.abort());
      const streaming = streamWhile(this.#run, control, { stream, target: stream.confirmed }, copying.signal);
      const [copied, streamed] = await Promise.allSettled([copy, streaming]);
      if (streamed.status === 'rejected') throw streamed.reason;
      if (copied.status === 'rejected') throw copied.reason;
      // The copy's transaction stays open: its lock keeps TRUNCATE and ALTER TABLE away until the stream has passed it.
      await cdc.flushWal(signal);
      await stream.catchUp(parseLsn(copied.value.taken.snapshotLsn), signal);
      await reader.endSnapshot();
      await this.#refuseUnfit(stream, table);
      verdict = await this.#compare(plan, copied.value, sample, startedMs);
    } finally {
      table.upTo = null;
    }
    // What was held meanwhile is merged with this page.
    await stream.page(stream.confirmed, signal);
    return verdict;
  }

  async #compareOther(
    plan: TablePlan,
    reader: ReaderThread,
    facts: TableFacts | null,
    startedMs: number,
  ): Promise<TableVerdict> {
    if (facts === null || needsLoad(plan.state, facts)) throw notReady(plan.address, 'it waits for a load');
    const sample = this.#sampleOf(plan);
    const copied = await this.#copy(plan, reader, sample.key, settledSql(plan, facts.cursor), () => undefined);
    await reader.endSnapshot();
    const notes =
      plan.state.method === 'full_table'
        ? [`rows that changed at the source since the load of ${facts.asOf} differ`]
        : [];
    return this.#compare(plan, copied, { ...sample, notes: [...sample.notes, ...notes] }, startedMs);
  }

  #sampleOf(plan: TablePlan): { readonly key: KeySample | null; readonly notes: readonly string[] } {
    const { samplePercent, seed } = this.#request;
    if (samplePercent === null) return { key: null, notes: [] };
    const obstacle = whyNotSampled(plan);
    return obstacle === null
      ? { key: keySample(samplePercent, seed), notes: [] }
      : { key: null, notes: [`compared in full and not by a sample: ${obstacle}`] };
  }

  /** Leaves the snapshot's transaction open. @param onTaken told before the first row is read */
  async #copy(
    plan: TablePlan,
    reader: ReaderThread,
    sample: KeySample | null,
    settled: string,
    onTaken: (taken: SnapshotTaken) => void,
  ): Promise<Copied> {
    const { destination, onEvent, clock } = this.#run.deps;
    const startedMs = clock.monotonicMs();
    const { estimatedRows } = plan.observed;
    onEvent({
      kind: 'load_started',
      address: plan.address,
      method: 'verify',
      estimatedRows: sample === null ? estimatedRows : null,
    });
    const taken = await reader.beginSnapshot(snapshotOf(plan));
    onTaken(taken);
    const channel = openBatchChannel();
    const load = loadName(plan);
    await destination.writer.beginShadow({ table: plan.target, load, channel: channel.receiver });
    const copying = reader.copy({
      address: plan.address,
      sql: copySql(plan, sample === null ? null : sampleWhere(plan, sample), [settled]),
      columns: [...decodedColumns(plan), SETTLED],
      channel: channel.sender,
    });
    copying.catch(() => abandonReceiver(channel.sender.shared));
    const [summary] = await settleBoth(copying, destination.continueLoad(load, channel.sender.shared));
    onEvent({
      kind: 'load_ended',
      address: plan.address,
      rows: summary.rows,
      bytes: summary.bytes,
      durationMs: clock.monotonicMs() - startedMs,
    });
    return { taken, rejected: summary.rejected.reduce((sum, count) => sum + count, 0) };
  }

  async #compare(
    plan: TablePlan,
    { taken, rejected }: Copied,
    sample: { readonly key: KeySample | null; readonly notes: readonly string[] },
    startedMs: number,
  ): Promise<TableVerdict> {
    const { destination, clock } = this.#run.deps;
    await failpoint('before_compare');
    const byKey = plan.target.key.length > 0;
    const followsDeletes = plan.state.method === 'cdc' || plan.state.method === 'full_table';
    const comparisons = await destination.pages.run(() =>
      destination.writer.compareShadow({
        table: plan.target,
        load: loadName(plan),
        by: byKey ? 'key' : 'rows',
        surplus: followsDeletes ? 'extra' : 'unfollowed',
        sample: sample.key,
        limit: this.#request.limit,
        cancel: this.#cancel,
      }),
    );
    const notes = [...sample.notes];
    if (rejected > 0) notes.push(`values that do not fit their destination type, NULL on both sides: ${rejected}`);
    return {
      address: plan.address,
      method: plan.state.method,
      status: comparisons.some((comparison: Comparison) => faultsOf(comparison) > 0) ? 'different' : 'equal',
      snapshotAt: taken.takenAt,
      snapshotLsn: taken.snapshotLsn,
      sample: sample.key === null ? null : { percent: this.#request.samplePercent ?? 100, seed: this.#request.seed },
      comparisons,
      rejectedValues: rejected,
      notes,
      durationMs: clock.monotonicMs() - startedMs,
      error: null,
    };
  }
}

function loadName(plan: TablePlan): string {
  return `verify ${plan.address}`;
}

/** SQL that is false for the rows that the next sync by cursor reads again or for the first time. */
function settledSql(plan: TablePlan, cursor: string | null): string {
  switch (plan.state.method) {
    case 'incremental':
    case 'append': {
      const beyond = cursor === null ? `(${cursorIsSet(plan)})` : `(${beyondCursor(plan, cursor)})`;
      return `${beyond} IS NOT TRUE`;
    }
    case 'cdc':
    case 'full_table':
      return 'true';
  }
}

function cursorIsSet(plan: TablePlan): string {
  return `"${cursorColumn(plan).name.replaceAll('"', '""')}" IS NOT NULL`;
}

function notReady(address: string, why: string): SluiceError {
  return new SluiceError({
    code: 'VERIFY_NOT_READY',
    address,
    message: `${address} cannot be compared: ${why}`,
    hint: `run: sluice sync ${address}, then verify it again`,
  });
}

/** The verdict on a table that could not be looked at. */
export function notCompared(address: string, table: TableState, error: PlainError): TableVerdict {
  return {
    address,
    method: table.method,
    status: 'not_compared',
    snapshotAt: null,
    snapshotLsn: null,
    sample: null,
    comparisons: [],
    rejectedValues: 0,
    notes: [],
    durationMs: 0,
    error,
  };
}
