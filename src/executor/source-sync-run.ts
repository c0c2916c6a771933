import { randomUUID } from 'node:crypto';
import type { SnapshotConfig } from '../config/config.js';
import { asSluiceError, SluiceError, toPlain } from '../error/sluice-error.js';
import type { ObservedSource } from '../source/catalog-model.js';
import type { SourceState, TableState } from '../state/state.js';
import type { OpenDestination } from './destinations.js';
import { emptyTableRun } from './empty-run.js';
import type { Clock, EngineEvent, TableRun } from './engine.js';
import type { LoadDeps } from './load-table.js';
import { ReaderThread } from './reader/reader-thread.js';
import { SnapshotReaders } from './snapshot-readers.js';
import type { SourceConnections } from './source-connections.js';
import type { Verdicts } from './table-holds.js';
import { planTable, type TablePlan } from './table-plan.js';

export interface SyncSourceRequest {
  readonly source: string;
  readonly connection: string;
  readonly state: SourceState;
  readonly snapshot: SnapshotConfig;
  /** Tables of methods other than cdc that are synced at once. */
  readonly parallelTables: number;
  /** `schema.table` of the tables whose key is the config's and not their primary key. */
  readonly ownKeys: ReadonlySet<string>;
  /** `schema.table` to sync; null: what is due. */
  readonly only: string | null;
  readonly force: boolean;
  /** Everything that was committed before the call has to land, asynchronous commits included. */
  readonly untilCaughtUp: boolean;
  /** Whether anything may be written to the server's WAL. */
  readonly heartbeat: boolean;
  /** Goes on by the replication protocol after the sync; null: ends after it. */
  readonly following: Following | null;
  /** Another session of this engine follows the stream: it is left alone unless a sync is forced. */
  readonly followedElsewhere: boolean;
  /** Tables that failed not long ago, see table-holds.ts; none where a sync was asked for. */
  readonly held: Verdicts;
}

/** What a session that follows a stream is told from outside. */
export interface Following {
  readonly flush: { readonly everyMs: number; readonly rows: number };
  /** The sync is over and the stream goes on. */
  readonly onFollowing: () => Promise<void>;
  /** Whether it is to end: asked several times a second. */
  readonly isEnough: () => Promise<boolean>;
  /** A page has been committed and confirmed; the destination's file may be let go of. */
  readonly betweenPages: () => Promise<void>;
}

export interface SyncSourceDeps {
  readonly connections: SourceConnections;
  readonly destination: OpenDestination;
  readonly clock: Clock;
  readonly onEvent: (event: EngineEvent) => void;
  /** For messages of open transactions that do not fit in memory. */
  readonly spillFolder: string;
  /** Before the source's stream or tables are touched: whoever follows it ends first. @returns whether somebody did */
  readonly claim: () => Promise<boolean>;
  /** Before anything is written to the destination or confirmed: it is there from now on, and the state says so. */
  readonly settle: () => Promise<void>;
}

/** One sync of one source: what its parts share, and the record of what each table came to. */
export class SourceSyncRun {
  readonly request: SyncSourceRequest;
  readonly deps: SyncSourceDeps;
  readonly signal: AbortSignal;
  readonly runId = randomUUID();
  readonly startedAt: string;
  readonly tables: TableRun[] = [];
  /** How tables differ from what was applied, for the report. */
  readonly drift: string[] = [];
  readonly newColumns: string[] = [];
  #reader: ReaderThread | null = null;

  constructor(request: SyncSourceRequest, deps: SyncSourceDeps, signal: AbortSignal) {
    this.request = request;
    this.deps = deps;
    this.signal = signal;
    this.startedAt = deps.clock.now().toISOString();
  }

  addressOf(key: string): string {
    return `${this.request.source}:${key}`;
  }

  /** @throws as {@link planTable} */
  planTable(key: string, table: TableState, observed: ObservedSource): TablePlan {
    const { source, ownKeys } = this.request;
    return planTable(source, key, table, observed, ownKeys.has(key), this.deps.destination.dialect);
  }

  /** The thread that reads pages and the tables of other methods; opened when it is first needed. */
  async openReader(): Promise<ReaderThread> {
    if (this.#reader === null) {
      const target = await this.deps.connections.target(this.request.connection);
      this.#reader = await ReaderThread.open(target, 'read', (progress) => this.#onProgress(progress), this.signal);
    }
    return this.#reader;
  }

  /** A thread of its own for loads, so that the stream can be read meanwhile. The caller closes it. */
  async openLoader(): Promise<ReaderThread> {
    const target = await this.deps.connections.target(this.request.connection);
    return ReaderThread.open(target, 'snapshot', (progress) => this.#onProgress(progress), this.signal);
  }

  /** {@link openLoader}; null where the server has no room for another session: then it goes with fewer. */
  async openOneMore(): Promise<ReaderThread | null> {
    try {
      return await this.openLoader();
    } catch (error) {
      if (error instanceof SluiceError && error.code === 'SOURCE_BUSY') return null;
      throw error;
    }
  }

  /** The given thread and what joins it where a table is large enough. */
  readersOf(first: ReaderThread): SnapshotReaders {
    return new SnapshotReaders(first, this.request.snapshot.parallel, () => this.openOneMore());
  }

  async close(): Promise<void> {
    await this.#reader?.close();
  }

  loadDeps(readers: SnapshotReaders): LoadDeps {
    return {
      readers,
      snapshot: this.request.snapshot,
      destination: this.deps.destination,
      clock: this.deps.clock,
      onEvent: this.deps.onEvent,
      run: { runId: this.runId, source: this.request.source, startedAt: this.startedAt },
      signal: this.signal,
    };
  }

  #onProgress(progress: { readonly address: string; readonly rows: number; readonly bytes: number }): void {
    this.deps.onEvent({ ...progress, kind: 'load_progress', estimatedRows: null });
  }

  /** Runs one table's work; its own trouble is recorded, trouble of the source or the destination is thrown on. */
  async attempt(plan: TablePlan, work: () => Promise<TableRun>): Promise<boolean> {
    try {
      this.tables.push(await work());
      return true;
    } catch (error) {
      this.signal.throwIfAborted();
      const sluiceError = asSluiceError(error);
      if (stopsSource(sluiceError)) throw error;
      await this.recordFailure(plan.address, plan.state.method === 'cdc' ? 'snapshot' : plan.state.method, sluiceError);
      return false;
    }
  }

  /**
   * Brings what the source says of these tables and their columns to the destination. Postgres tells nobody of a new
   * comment, so this is done whenever its catalog was looked at.
   * @param plans of tables that are loaded: others get their comments with the load
   */
  async describe(plans: readonly TablePlan[]): Promise<void> {
    if (plans.length === 0) return;
    const { destination, onEvent } = this.deps;
    const tables = plans.map(({ target }) => target);
    const troubles = await destination.writer.describeTables({ source: this.request.source, tables });
    for (const { address, error } of troubles) {
      onEvent({ kind: 'notice', address, message: `its comments cannot be written now: ${error.message}` });
    }
  }

  async recordFailure(address: string, kind: TableRun['kind'], error: SluiceError): Promise<void> {
    this.failed(address, kind, error);
    this.deps.onEvent({ kind: 'table_failed', address, error: toPlain(error) });
    await this.deps.destination.writer.recordFailure({
      source: this.request.source,
      address,
      kind,
      runId: this.runId,
      startedAt: this.startedAt,
      error: toPlain(error),
    });
  }

  failed(address: string, kind: TableRun['kind'], error: SluiceError): void {
    this.tables.push(emptyTableRun(address, kind, toPlain(error)));
  }
}

/** Trouble that no other table of the source would be spared. */
export function stopsSource(error: SluiceError): boolean {
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
    case 'TUNNEL_UNREACHABLE':
    case 'TUNNEL_LOGIN_REFUSED':
    case 'TUNNEL_KEY_UNUSABLE':
    case 'TUNNEL_HOST_KEY_UNKNOWN':
    case 'TUNNEL_HOST_KEY_CHANGED':
    case 'TUNNEL_FORWARD_REFUSED':
    case 'TUNNEL_LOST':
    case 'SLOT_MISSING':
    case 'SLOT_IN_USE':
    case 'SLOT_AHEAD':
    case 'SLOT_LOST':
    case 'SLOT_OCCUPIED':
    case 'SERVER_BEHIND':
    case 'TIMELINE_CHANGED':
    case 'SYSTEM_CHANGED':
    case 'DESTINATION_BUSY':
    case 'CANCELLED':
      return true;
    default:
      return false;
  }
}
