import type { RecordBatch, Schema } from 'apache-arrow';
import type { AlertKind, Config } from '../config/config.js';
import type { Comparison } from '../destination/comparison.js';
import type { StoreTraffic } from '../destination/lake/object-store.js';
import type { PlainError } from '../error/sluice-error.js';
import type { Finding } from '../guard/finding.js';
import type { GuardEvent } from '../guard/lag-guard.js';
import type { LagFacts } from '../guard/wal-lag.js';
import type { Change, Plan } from '../planner/change.js';
import type { Pausing, Resuming } from '../state/pause.js';
import type { DiscoverReport, DiscoverRequest } from './discover.js';
import type { KeepCleanOptions } from './keep-clean.js';
import type { LeftThing } from './left-behind.js';
import type {
  MaintenanceStatus,
  OptimizeReport,
  OptimizeRequest,
  TableOptimization,
  TableVacuum,
  VacuumReport,
  VacuumRequest,
} from './maintenance-report.js';
import type { StateDesk } from './state-desk.js';
import type { HeldTable } from './table-holds.js';

/** Time comes in from outside, so tests own it. */
export interface Clock {
  now(): Date;
  /** Milliseconds that only ever rise; for durations. */
  monotonicMs(): number;
  /** Resolves after `ms`; rejects with the signal's reason when it aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/** What happens while the engine works; views turn it into bars or lines, the daemon into logs. */
export type EngineEvent =
  | { readonly kind: 'change_started'; readonly change: Change }
  | { readonly kind: 'change_ended'; readonly result: ChangeResult }
  | {
      readonly kind: 'load_started';
      readonly address: string;
      readonly method: string;
      readonly estimatedRows: number | null;
    }
  | {
      readonly kind: 'load_progress';
      readonly address: string;
      readonly rows: number;
      readonly bytes: number;
      readonly estimatedRows: number | null;
    }
  | {
      readonly kind: 'load_ended';
      readonly address: string;
      readonly rows: number;
      readonly bytes: number;
      readonly durationMs: number;
    }
  | {
      readonly kind: 'stream_progress';
      readonly source: string;
      readonly changes: number;
      readonly transactions: number;
      readonly confirmedLsn: string;
      readonly remainingBytes: number | null;
    }
  /** A page of a stream is durable, or there was nothing to write. */
  | {
      readonly kind: 'page_committed';
      readonly source: string;
      readonly durationMs: number;
      readonly transactions: number;
      /** What was committed in Postgres until then has landed; ISO. */
      readonly asOf: string;
      readonly tables: readonly PageCounts[];
    }
  /** A session with a source has ended: a sync, or a follower's from one interruption to the next. */
  | { readonly kind: 'source_ended'; readonly run: SourceRun; readonly at: string }
  | { readonly kind: 'waiting'; readonly address: string; readonly what: string }
  | { readonly kind: 'table_failed'; readonly address: string; readonly error: PlainError }
  | { readonly kind: 'notice'; readonly address: string; readonly message: string }
  | { readonly kind: 'optimized'; readonly table: TableOptimization }
  | { readonly kind: 'vacuumed'; readonly table: TableVacuum }
  /** Upkeep of a lake; syncs go on without it. */
  | { readonly kind: 'maintenance_failed'; readonly address: string; readonly error: PlainError }
  | GuardEvent
  /** A hook of `alerts:` that failed for good; the others have the event. */
  | { readonly kind: 'alert_failed'; readonly hook: string; readonly alert: AlertKind; readonly error: PlainError };

export type ChangeResult =
  | { readonly change: Change; readonly status: 'applied'; readonly durationMs: number }
  | { readonly change: Change; readonly status: 'failed'; readonly error: PlainError }
  /** An earlier change of the same source failed and this one builds on it, or the apply was cancelled. */
  | { readonly change: Change; readonly status: 'not_attempted'; readonly because: string };

/** What a page brought to one table. */
export interface PageCounts {
  readonly address: string;
  readonly inserted: number;
  readonly updated: number;
  readonly deleted: number;
  readonly rejected: number;
}

export interface TableRun {
  readonly address: string;
  readonly kind: 'snapshot' | 'backfill' | 'stream' | 'incremental' | 'append' | 'full_table';
  readonly status: 'ok' | 'failed';
  readonly rows: number;
  readonly inserted: number;
  readonly updated: number;
  readonly deleted: number;
  readonly rejected: number;
  readonly durationMs: number;
  readonly error: PlainError | null;
}

export interface SourceRun {
  readonly source: string;
  readonly transactions: number;
  readonly changes: number;
  readonly confirmedLsn: string | null;
  readonly durationMs: number;
  /** Trouble of the connection, the slot or the destination: the whole source stopped. */
  readonly error: PlainError | null;
  /** What the slot held back before the sync; null without a slot, or where nobody could look. */
  readonly lag: LagFacts | null;
  readonly tables: readonly TableRun[];
  /** How tables of the source differ from what was applied, one line each; a plan says what to do about it. */
  readonly drift: readonly string[];
  /** `address.column` of columns that a plan may want to add. */
  readonly newColumns: readonly string[];
}

export interface DestinationTraffic extends StoreTraffic {
  readonly destination: string;
}

export interface SyncReport {
  readonly sources: readonly SourceRun[];
  /** What the sync asked of object stores, by destination; absent where it wrote to none. */
  readonly traffic?: readonly DestinationTraffic[];
  /** True when nothing failed. */
  readonly ok: boolean;
}

export interface VerifyRequest {
  /** `source` or `source:schema.table`; null: every table that is enabled. */
  readonly address: string | null;
  /** Above 0, up to 100; null: every row. */
  readonly samplePercent: number | null;
  /** Chooses the sample; null: another one each time. */
  readonly seed: string | null;
  /** Examples of differing rows at most, for each table of the destination. */
  readonly limit: number;
}

export interface TableVerdict {
  readonly address: string;
  readonly method: string;
  /** not_compared: `error` says why. */
  readonly status: 'equal' | 'different' | 'not_compared';
  /** The server's clock when the snapshot was taken that the table was compared with; ISO. */
  readonly snapshotAt: string | null;
  readonly snapshotLsn: string | null;
  /** Null: every row was compared. */
  readonly sample: { readonly percent: number; readonly seed: string } | null;
  /** One for each table of the destination: the rows, the history. */
  readonly comparisons: readonly Comparison[];
  /** Values of the source that do not fit their destination type: NULL on both sides. */
  readonly rejectedValues: number;
  readonly notes: readonly string[];
  readonly durationMs: number;
  readonly error: PlainError | null;
}

export interface VerifyReport {
  readonly tables: readonly TableVerdict[];
  /** True when every table was compared and is equal. */
  readonly ok: boolean;
}

export interface TableStatus {
  readonly address: string;
  readonly method: string;
  readonly output: string;
  /** pending: no load yet; loading is only seen from within the process that loads. */
  /** unknown: the destination could not be read. */
  readonly phase: 'pending' | 'live' | 'needs_load' | 'failed' | 'disabled' | 'paused' | 'unknown';
  readonly phaseReason: string | null;
  readonly rows: number | null;
  readonly asOf: string | null;
  readonly asOfLsn: string | null;
  readonly cursor: string | null;
  readonly rejectedValues: number;
  readonly lastRunAt: string | null;
  readonly lastError: { readonly code: string; readonly message: string; readonly at: string } | null;
  readonly schedule: string;
  readonly target: string;
}

export interface SourceStatus {
  readonly source: string;
  readonly connection: string;
  readonly destination: string;
  /** A file, a folder or `s3://bucket/prefix`; null where the config has no such destination. */
  readonly place: string | null;
  readonly slot: {
    readonly name: string;
    readonly exists: boolean | null;
    readonly active: boolean | null;
    readonly walStatus: string | null;
    /** 17+: standbys may keep a copy of it; null where that is not known. */
    readonly failover: boolean | null;
    /** Why the stream cannot go on from it; null when it can, or when the server was not asked. */
    readonly trouble: PlainError | null;
    readonly retainedWalBytes: number | null;
    readonly unconfirmedWalBytes: number | null;
    readonly confirmedLsn: string | null;
    /** Level, growth and time left; growth is told from what a daemon or an earlier sync saw. Null where nobody could look. */
    readonly lag: LagFacts | null;
  } | null;
  /** Since when nothing of it is synced, while its slot goes on holding WAL; ISO. Null: it is not paused. */
  readonly pausedAt: string | null;
  /** The slot holds back too much WAL, or was dropped for it, or could not be; null while all is well. */
  readonly errored: PlainError | null;
  /** Why the server could not be asked; null when it was. */
  readonly unreachable: PlainError | null;
  /** Why the destination could not be asked (a reader holds the file, say); null when it was. */
  readonly destinationTrouble: PlainError | null;
  /** Of a lake: what its upkeep found last; null before the first, and of other destinations. */
  readonly maintenance: MaintenanceStatus | null;
  /** The source left the file and its removal was applied: what could not be cleaned up yet. Null for all others. */
  readonly cleanup: { readonly since: string; readonly left: readonly LeftThing[] } | null;
  readonly tables: readonly TableStatus[];
}

export interface StatusReport {
  readonly state: { readonly lineage: string; readonly serial: number } | null;
  readonly sources: readonly SourceStatus[];
  readonly lock: { readonly holder: string; readonly sinceMs: number } | null;
}

export interface QueryResult {
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  /** Cells as text the way DuckDB prints them; null for NULL. */
  readonly rows: readonly (readonly (string | null)[])[];
}

/** An answer as it comes, of which only one page is held. */
export interface QueryPages {
  readonly columns: QueryResult['columns'];
  /** As {@link QueryResult.rows}. */
  readonly pages: AsyncIterable<QueryResult['rows']>;
}

/** The same as Arrow, with every type as exact as Arrow has it. */
export interface QueryBatches {
  readonly schema: Schema;
  readonly batches: AsyncIterable<RecordBatch>;
}

export interface QueryRequest {
  /** Null: the only one. */
  readonly destination: string | null;
  /** One statement, which reads. */
  readonly sql: string;
}

export interface PlanRequest {
  /** Addresses; only changes at or below them stay in the plan. */
  readonly targets: readonly string[];
  /** False: only the state is read, and the plan may not be applied. Absent: true. */
  readonly refresh?: boolean;
  /** Only what changed in Postgres since the last apply; such a plan may not be applied. Absent: false. */
  readonly driftOnly?: boolean;
}

export interface SyncRequest {
  /** `source` or `source:schema.table`; null: everything that is due. */
  readonly address: string | null;
  /** End when everything committed in Postgres before the call has landed. */
  readonly untilCaughtUp: boolean;
  /** Sync what is asked for whether or not its schedule says so. */
  readonly force: boolean;
}

/**
 * Everything that Sluice does, as the CLI and the daemon see it. One engine serves one config file; each call takes the
 * state lock for as long as it changes something. Calls may overlap: each waits for its turn with a source
 * (state-access.ts), so that what goes on with one source keeps no other waiting. All errors are SluiceErrors.
 */
export interface Engine {
  readonly config: Config;
  /** The document itself, for `sluice state`. */
  readonly state: StateDesk;
  /** Looks at sources, state and destinations; changes nothing. */
  plan(request: PlanRequest, signal: AbortSignal): Promise<Plan>;
  /**
   * Does the control work of a plan and queues its loads. Sources that the plan says nothing of go on meanwhile; a run of
   * one that it does is waited for, not for long.
   * @throws PLAN_STALE, PLAN_UNOBSERVED, STATE_LOCKED
   */
  apply(plan: Plan, signal: AbortSignal): Promise<readonly ChangeResult[]>;
  /**
   * Runs loads and streams. Another sync of the same source is waited for as long as it takes, each source by itself. Table
   * failures are in the report, not thrown.
   * @throws STATE_LOCKED where another process works with the state, ADDRESS_UNKNOWN
   */
  sync(request: SyncRequest, signal: AbortSignal): Promise<SyncReport>;
  /**
   * Compares tables with their source, row by row, streaming on meanwhile. A table's trouble is in its verdict.
   * @throws STATE_LOCKED, ADDRESS_UNKNOWN
   */
  verify(request: VerifyRequest, signal: AbortSignal): Promise<VerifyReport>;
  /**
   * Follows a source with the continuous transport: a sync, then what is committed as it is committed. Other work of this
   * process and others goes first: the follower ends its session for it and takes up again. Resolves when the signal
   * aborts, with what was whole committed and confirmed, or with trouble of the connection, the slot or the destination.
   * @throws STATE_LOCKED, ADDRESS_UNKNOWN
   */
  follow(source: string, signal: AbortSignal): Promise<SourceRun>;
  /**
   * Tables of a source that failed in this engine's syncs and are left alone until their next try. Who asks for a sync by
   * address, or forces one, has them tried at once.
   */
  heldTables(source: string): readonly HeldTable[];
  status(signal: AbortSignal): Promise<StatusReport>;
  /** Asks for a new load of tables (raises their generation). @throws ADDRESS_UNKNOWN */
  resync(addresses: readonly string[], reason: string, signal: AbortSignal): Promise<readonly string[]>;
  /**
   * Lets nothing of sources or tables be synced until they are resumed; see state/pause.ts for what that means.
   * @returns what it means, for each address. @throws ADDRESS_UNKNOWN, STATE_LOCKED
   */
  pause(addresses: readonly string[], signal: AbortSignal): Promise<readonly Pausing[]>;
  /** @throws ADDRESS_UNKNOWN, PAUSED for a table that only its source keeps back, STATE_LOCKED, DESTINATION_BUSY */
  resume(addresses: readonly string[], signal: AbortSignal): Promise<readonly Resuming[]>;
  /** Writes small files of lakes anew as larger ones, and files with many deleted rows. @throws STATE_LOCKED, ADDRESS_UNKNOWN */
  optimize(request: OptimizeRequest, signal: AbortSignal): Promise<OptimizeReport>;
  /** Deletes files of lakes that nothing has referred to for as long as the retention. @throws STATE_LOCKED, ADDRESS_UNKNOWN */
  vacuum(request: VacuumRequest, signal: AbortSignal): Promise<VacuumReport>;
  /**
   * The part of both that is due, as `maintenance:` of the destinations says. Failures are events.
   * @param options until: when a source is needed for something else; no more work on it is begun after this
   * @returns when to ask again; null: there is no lake
   * @throws STATE_LOCKED
   */
  maintain(options: { readonly until: (source: string) => Date }, signal: AbortSignal): Promise<Date | null>;
  /**
   * Tries again, until the signal aborts, what could not be cleaned up of sources that left the file and whose removal was
   * applied: apart from the other calls, under the state lock only where something can be done. Failures are in the state,
   * and events where they are new.
   */
  keepClean(options: KeepCleanOptions, signal: AbortSignal): Promise<void>;
  doctor(signal: AbortSignal): Promise<readonly Finding[]>;
  /** Looks at the tables that databases have, without the state lock. @throws ADDRESS_UNKNOWN */
  discover(request: DiscoverRequest, signal: AbortSignal): Promise<DiscoverReport>;
  /** SQL for a self-managed publication (and the role's grants) of one source. */
  setupSql(source: string, signal: AbortSignal): Promise<string>;
  /** Read-only SQL against a destination, for answers that are small. */
  query(destination: string | null, sql: string, signal: AbortSignal): Promise<QueryResult>;
  /**
   * The same for answers of any size. The destination is open until `use` has read what it wants.
   * @throws QUERY_FAILED, DESTINATION_FAILED, DESTINATION_BUSY, QUERY_READ_ONLY, ADDRESS_UNKNOWN, what `use` throws
   */
  queryPages<T>(request: QueryRequest, use: (answer: QueryPages) => Promise<T>, signal: AbortSignal): Promise<T>;
  /** @throws as queryPages, and QUERY_UNREPRESENTABLE */
  queryBatches<T>(request: QueryRequest, use: (answer: QueryBatches) => Promise<T>, signal: AbortSignal): Promise<T>;
  /**
   * Watches how much WAL the slots hold back until the signal aborts, apart from all that the other calls do and without
   * the state lock; drops a slot that holds back too much where the config says so.
   */
  guard(options: { readonly everyMs: number }, signal: AbortSignal): Promise<void>;
  /** Sources whose slot the guard dropped, with why: they sync again once a person has applied. */
  halts(): Promise<ReadonlyMap<string, PlainError>>;
  /** Tells the hooks of `alerts:` that a source stopped. */
  alertErrored(source: string, error: PlainError): void;
  /** Stops worker threads and closes files. */
  close(): Promise<void>;
}

/** The process and machine that the engine runs on, taken from the system at the entry point only. */
export interface Host {
  readonly name: string;
  readonly pid: number;
  /** What the process does, for whoever finds its lock: `sluice apply`. */
  readonly command: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly homeDir: string;
}

export interface EngineDeps {
  readonly config: Config;
  readonly clock: Clock;
  readonly host: Host;
  readonly onEvent: (event: EngineEvent) => void;
}
