import type { DestinationFacts, TableFacts } from '../destination/facts.js';
import { asSluiceError, type PlainError, SluiceError, toPlain } from '../error/sluice-error.js';
import { formatLsn } from '../pgoutput/lsn.js';
import { otherPlace } from '../planner/stream-break.js';
import { readCatalog } from '../source/catalog.js';
import type { ObservedSource } from '../source/catalog-model.js';
import type { SourceConnection } from '../source/connect.js';
import type { TableState } from '../state/state.js';
import { type DueWork, dueWork, factsOf, needsLoad } from './due.js';
import type { SourceRun, TableRun } from './engine.js';
import { cursorColumn, cursorWhere, settledUpperBound, syncByCursor } from './incremental.js';
import { loadTable } from './load-table.js';
import { requirePublished } from './published-table.js';
import type { ReaderThread } from './reader/reader-thread.js';
import { settleAll } from './settle.js';
import { breakError } from './slot-position.js';
import { SourceSyncRun, type SyncSourceDeps, type SyncSourceRequest } from './source-sync-run.js';
import type { SourceStream } from './stream-source.js';
import { CdcSync } from './sync-cdc.js';
import type { TablePlan } from './table-plan.js';

/** Syncs one source: loads what waits for a load, streams cdc tables to the server's position, runs the other methods. */
export async function syncSource(
  request: SyncSourceRequest,
  deps: SyncSourceDeps,
  signal: AbortSignal,
): Promise<SourceRun> {
  return new SourceSync(new SourceSyncRun(request, deps, signal)).execute();
}

class SourceSync {
  readonly #run: SourceSyncRun;
  #cdc: CdcSync | null = null;

  constructor(run: SourceSyncRun) {
    this.#run = run;
  }

  async execute(): Promise<SourceRun> {
    const { request, deps, signal } = this.#run;
    const startedMs = deps.clock.monotonicMs();
    let error: PlainError | null = null;
    try {
      let facts = await deps.destination.writer.readFacts();
      const due = dueWork(
        { ...request, following: request.following !== null },
        request.state,
        facts,
        deps.clock.now(),
      );
      if (due.stream || due.tables.size > 0) {
        // Whoever followed the source may have committed more until now.
        if (await deps.claim()) facts = await deps.destination.writer.readFacts();
        const known = facts;
        await deps.connections.with(request.connection, 'sync', signal, (control) => this.#sync(control, known, due));
      }
    } catch (cause) {
      signal.throwIfAborted();
      error = toPlain(asSluiceError(cause));
    } finally {
      await this.#run.close();
    }
    const stream = this.#cdc?.stream ?? null;
    return {
      source: request.source,
      transactions: stream?.transactions ?? 0,
      changes: stream?.changes ?? 0,
      confirmedLsn: stream === null ? null : formatLsn(stream.confirmed),
      durationMs: deps.clock.monotonicMs() - startedMs,
      error,
      lag: null,
      tables: [...this.#run.tables, ...streamRuns(stream)],
      drift: this.#run.drift,
      newColumns: this.#run.newColumns,
    };
  }

  async #sync(control: SourceConnection, facts: DestinationFacts, due: DueWork): Promise<void> {
    const observed = await readCatalog(control, { schema: null }, this.#run.signal);
    const { state, source } = this.#run.request;
    const elsewhere = otherPlace({ state, server: observed.server });
    if (elsewhere !== null) throw breakError(source, elsewhere);
    await this.#run.deps.settle();
    const plans = await planTables(this.#run, observed, facts, (key, table) =>
      table.method === 'cdc' ? due.stream : due.tables.has(key),
    );
    await this.#run.describe(plans.filter((plan) => !needsLoad(plan.state, factsOf(facts, plan.address))));
    const streamed = plans.filter((plan) => plan.state.method === 'cdc');
    if (streamed.length > 0) {
      this.#cdc = new CdcSync(this.#run, control);
      await this.#cdc.sync(observed, facts, streamed);
    }
    await this.#syncOthers(control, plans, facts);
    const { following } = this.#run.request;
    if (following !== null) await this.#cdc?.follow(following);
  }

  /** Several at once where the config says so. Those that are loaded as a whole come last: the others are soon through. */
  async #syncOthers(control: SourceConnection, plans: readonly TablePlan[], facts: DestinationFacts): Promise<void> {
    const isWhole = ({ state, address }: TablePlan): boolean =>
      state.method === 'full_table' || needsLoad(state, factsOf(facts, address));
    const others = plans.filter((plan) => plan.state.method !== 'cdc');
    const left = [...others.filter((plan) => !isWhole(plan)), ...others.filter(isWhole)];
    if (left.length === 0) return;
    const opened: ReaderThread[] = [];
    const work = async (reader: ReaderThread): Promise<void> => {
      for (let plan = left.shift(); plan !== undefined; plan = left.shift()) {
        const chosen = plan;
        const known = factsOf(facts, chosen.address);
        await this.#run.attempt(chosen, () => this.#syncOther(control, chosen, known, reader));
      }
    };
    const ending = (reader: ReaderThread): Promise<void> =>
      work(reader).catch((error: unknown) => {
        // The source is in trouble: the others end with the table that they are at.
        left.length = 0;
        throw error;
      });
    try {
      const first = await this.#run.openReader();
      const wanted = Math.min(this.#run.request.parallelTables, left.length);
      while (opened.length + 1 < wanted) {
        const more = await this.#run.openOneMore();
        if (more === null) break;
        opened.push(more);
      }
      await settleAll([first, ...opened].map(ending));
    } finally {
      for (const reader of opened) await reader.close();
    }
  }

  async #syncOther(
    control: SourceConnection,
    plan: TablePlan,
    facts: TableFacts | null,
    reader: ReaderThread,
  ): Promise<TableRun> {
    const readers = this.#run.readersOf(reader);
    const deps = this.#run.loadDeps(readers);
    try {
      switch (plan.state.method) {
        case 'full_table':
          return (await loadTable(plan, deps, null, { cursor: null, stream: null, where: null })).run;
        case 'incremental':
        case 'append': {
          const upper = await settledUpperBound(plan, control, deps, this.#run.signal);
          if (facts !== null && !needsLoad(plan.state, facts)) return await syncByCursor(plan, facts, upper, deps);
          return (await loadTable(plan, deps, null, { cursor: upper, stream: null, where: firstWhere(plan, upper) }))
            .run;
        }
        case 'cdc':
          throw new SluiceError({ code: 'INTERNAL', message: 'cdc tables are streamed' });
      }
    } catch (error) {
      await readers.reset();
      throw error;
    } finally {
      await readers.close();
    }
  }
}

/** Tables that cannot be planned are marked as failed; the others go on. */
export async function planTables(
  run: SourceSyncRun,
  observed: ObservedSource,
  facts: DestinationFacts,
  isWanted: (key: string, table: TableState) => boolean,
): Promise<TablePlan[]> {
  const plans: TablePlan[] = [];
  for (const [key, table] of Object.entries(run.request.state.tables)) {
    if (!table.enabled || table.paused || !isWanted(key, table)) continue;
    try {
      const plan = run.planTable(key, table, observed);
      if (table.method === 'cdc') requirePublished(plan, run.request.state.publication, observed);
      run.drift.push(...plan.drift.map((difference) => `${plan.address}: ${difference}`));
      run.newColumns.push(...plan.newColumns.map((name) => `${plan.address}.${name}`));
      plans.push(plan);
    } catch (error) {
      const address = run.addressOf(key);
      const sluiceError = asSluiceError(error);
      run.drift.push(`${address}: ${sluiceError.message}`);
      // Told already, and its neighbours share the stream that it is looked at for.
      if ((run.request.held.get(key) ?? 'try') !== 'try') continue;
      await run.recordFailure(address, table.method === 'cdc' ? 'stream' : table.method, sluiceError);
      // Its changes pass by from here on: only a new snapshot makes the table whole again.
      if (table.method === 'cdc' && factsOf(facts, address) !== null) {
        await run.deps.destination.writer.requestSnapshot({ address, reason: sluiceError.code });
      }
    }
  }
  return plans;
}

function streamRuns(stream: SourceStream | null): TableRun[] {
  if (stream === null) return [];
  return [...stream.counts]
    .filter(([address]) => !stream.failures.has(address))
    .map(([address, counts]) => ({
      address,
      kind: 'stream',
      status: 'ok',
      rows: counts.inserted + counts.updated + counts.deleted,
      ...counts,
      durationMs: 0,
      error: null,
    }));
}

/** The rows of a first load: append stops at the settled cursor, as what lies above it comes with the next run. */
function firstWhere(plan: TablePlan, upper: string | null): string | null {
  if (plan.state.method !== 'append') return null;
  const cursor = cursorColumn(plan).name;
  const unset = `"${cursor.replaceAll('"', '""')}" IS NULL`;
  return upper === null ? unset : `(${cursorWhere(plan, null, upper)}) OR ${unset}`;
}
