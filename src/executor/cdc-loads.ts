import type { StreamIdentity } from '../destination/writer.js';
import { SluiceError } from '../error/sluice-error.js';
import { formatLsn, type Lsn, parseLsn } from '../pgoutput/lsn.js';
import type { SourceConnection } from '../source/connect.js';
import { backfillColumns } from './backfill-columns.js';
import { factsOf } from './due.js';
import { emptyTableRun } from './empty-run.js';
import type { TableRun } from './engine.js';
import { loadIdentity } from './load-identity.js';
import { loadTable } from './load-table.js';
import { SNAPSHOT_WAIT_MS, waitForEarlierWriters } from './publication-wait.js';
import type { SnapshotReaders } from './snapshot-readers.js';
import type { SourceSyncRun } from './source-sync-run.js';
import type { SourceStream, StreamTable } from './stream-source.js';
import { streamWhile } from './stream-while.js';
import type { TablePlan } from './table-plan.js';
import { waitUntilSeen } from './visibility-wait.js';

/** A load whose snapshot raced with the stream is made again at once; more often than this something else is wrong. */
const RACE_ATTEMPTS = 5;

export interface CdcLoadsDeps {
  readonly stream: SourceStream;
  readonly identity: StreamIdentity;
  /** Live tables, by address, whose added columns are to be filled. */
  readonly backfills: Set<string>;
  /** Looks at the source's table again. @throws as planTable */
  readonly planAgain: (plan: TablePlan) => Promise<TablePlan>;
  /** What was committed asynchronously before this call can be read from the slot after it. */
  readonly flushWal: () => Promise<void>;
}

/** The loads of a source's cdc tables, beside the stream that the tables join. */
export class CdcLoads {
  readonly #run: SourceSyncRun;
  readonly #control: SourceConnection;
  readonly #stream: SourceStream;
  readonly #identity: StreamIdentity;
  readonly #planAgain: CdcLoadsDeps['planAgain'];
  readonly #flushWal: CdcLoadsDeps['flushWal'];
  readonly #backfills: Set<string>;
  /** A table whose load failed is left to the next sync. */
  readonly #failedLoads = new Set<string>();
  /** When the first load began to wait for commits to become visible; the others wait no longer than it does. */
  #waitingSinceMs: number | null = null;

  constructor(run: SourceSyncRun, control: SourceConnection, deps: CdcLoadsDeps) {
    this.#run = run;
    this.#control = control;
    this.#stream = deps.stream;
    this.#identity = deps.identity;
    this.#backfills = deps.backfills;
    this.#planAgain = deps.planAgain;
    this.#flushWal = deps.flushWal;
  }

  /** Loads those of the tables that wait for a load or for new columns; the stream is read meanwhile. */
  async loadWaiting(tables: readonly StreamTable[], target: Lsn): Promise<void> {
    const { only, held } = this.#run.request;
    const left = new Set(
      [...held].filter(([, verdict]) => verdict === 'leave').map(([key]) => this.#run.addressOf(key)),
    );
    const chosen = tables.filter(
      ({ plan: { address } }) =>
        !this.#failedLoads.has(address) &&
        !left.has(address) &&
        (only === null || address === this.#run.addressOf(only)),
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
    const streaming = streamWhile(this.#run, this.#control, { stream: this.#stream, target }, loading.signal);
    const loads = this.#loadEach([...waiting, ...backfills]).finally(() => loading.abort());
    const [loaded, streamed] = await Promise.allSettled([loads, streaming]);
    if (streamed.status === 'rejected') throw streamed.reason;
    if (loaded.status === 'rejected') throw loaded.reason;
  }

  async #waitUntilSeen(address: string): Promise<void> {
    const { clock, onEvent } = this.#run.deps;
    this.#waitingSinceMs ??= clock.monotonicMs();
    await waitUntilSeen(
      address,
      () => this.#stream.unseen(this.#run.signal),
      {
        clock,
        onWait: (what) => onEvent({ kind: 'waiting', address, what }),
        untilMs: this.#waitingSinceMs + SNAPSHOT_WAIT_MS,
      },
      this.#run.signal,
    );
    this.#waitingSinceMs = null;
  }

  async #loadEach(waiting: readonly StreamTable[]): Promise<void> {
    const first = await this.#run.openLoader();
    const readers = this.#run.readersOf(first);
    try {
      for (const table of waiting) {
        const load = table.mode === 'live' ? this.#backfill : this.#load;
        const finished = await this.#run.attempt(table.plan, () => load.call(this, table, readers));
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
  async #backfill(table: StreamTable, readers: SnapshotReaders): Promise<TableRun> {
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
          await this.#waitUntilSeen(plan.address);
          const run = await backfillColumns(
            plan,
            {
              columns: backfill.columns.filter((name) => plan.target.columns.some((column) => column.name === name)),
              id: backfill.id,
              passStream: (position) => this.#stream.catchUp(position, this.#run.signal),
              obstacle: () => (isOvertaken() ? overtaken(plan) : null),
            },
            this.#run.loadDeps(readers),
          );
          this.#backfills.delete(plan.address);
          return run;
        } catch (error) {
          if (!(error instanceof SluiceError) || error.code !== 'SCHEMA_MOVED' || attempt >= RACE_ATTEMPTS) throw error;
          await readers.reset();
          if (isOvertaken()) {
            // No trouble: the load that overtook the backfill follows in the same sync.
            return emptyTableRun(plan.address, 'backfill', null);
          }
          table.plan = await this.#planAgain(plan);
        }
      }
    } finally {
      if (!isOvertaken()) table.mode = 'live';
    }
  }

  async #load(table: StreamTable, readers: SnapshotReaders): Promise<TableRun> {
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
        await this.#waitUntilSeen(plan.address);
        // Not where the table's last load began: versions of a row would share their place.
        const seedLsn = formatLsn(this.#stream.reached);
        const { run, mark, outcome } = await loadTable(plan, this.#run.loadDeps(readers), seedLsn, {
          cursor: null,
          where: null,
          stream: { ...this.#identity, confirmedLsn: seedLsn },
          resumption: {
            identity: loadIdentity(plan, {
              slot: this.#run.request.state.slot,
              systemIdentifier: this.#run.request.state.system_identifier,
              timelineId: this.#identity.timelineId,
            }),
            catchUp: async (lsn) => {
              await this.#flushWal();
              await this.#stream.catchUp(parseLsn(lsn), this.#run.signal);
            },
          },
          // Changes that its stream passed over since the snapshot are in neither.
          obstacle: () => (table.mode === 'excluded' ? (this.#stream.failures.get(plan.address) ?? null) : null),
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
          plan = await this.#planAgain(plan);
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
