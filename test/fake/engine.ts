import { Schema } from 'apache-arrow';
import type { Config, Schedule, SourceConfig, TableEntry } from '../../src/config/config.js';
import type { PlainError } from '../../src/error/sluice-error.js';
import type { DiscoverReport, DiscoverRequest } from '../../src/executor/discover.js';
import type {
  ChangeResult,
  Engine,
  EngineDeps,
  Host,
  QueryBatches,
  QueryPages,
  QueryRequest,
  QueryResult,
  SourceRun,
  StatusReport,
  SyncReport,
  SyncRequest,
  VerifyReport,
  VerifyRequest,
} from '../../src/executor/engine.js';
import type { KeepCleanOptions } from '../../src/executor/keep-clean.js';
import type {
  OptimizeReport,
  OptimizeRequest,
  VacuumReport,
  VacuumRequest,
} from '../../src/executor/maintenance-report.js';
import type { StateDesk } from '../../src/executor/state-desk.js';
import type { HeldTable } from '../../src/executor/table-holds.js';
import type { Finding } from '../../src/guard/finding.js';
import type { Change, Plan } from '../../src/planner/change.js';
import type { Pausing, Resuming } from '../../src/state/pause.js';
import type { StateDocument } from '../../src/state/state.js';

export const FAKE_HOST: Host = { name: 'machine', pid: 7, command: 'sluice test', env: {}, homeDir: '/home/sluice' };

/** A config as the loader gives it, with one CDC table entry for each schedule of each source. */
export function fakeConfig(
  sources: Readonly<Record<string, readonly Schedule[]>> = {},
  patch: Partial<Config> = {},
): Config {
  return {
    file: '/srv/sources.yaml',
    hash: 'c0ffee',
    state: { type: 'file', path: '/srv/.sluice/state.json' },
    daemon: { http: null, socket: '/srv/.sluice/control.sock', autoApply: 'additive' },
    connections: {},
    destinations: {
      warehouse: {
        type: 'duckdb',
        name: 'warehouse',
        path: '/srv/warehouse.duckdb',
        writtenPath: 'warehouse.duckdb',
        publish: null,
        memoryLimitMb: 1024,
        threads: null,
        parallelLoads: null,
      },
    },
    sources: Object.fromEntries(
      Object.entries(sources).map(([name, schedules]) => [name, fakeSource(name, schedules)]),
    ),
    alerts: [],
    moved: [],
    ...patch,
  };
}

function fakeSource(name: string, schedules: readonly Schedule[]): SourceConfig {
  return {
    name,
    connection: `${name}_db`,
    destination: 'warehouse',
    schema: null,
    metadataPrefix: '_ph_',
    targetSchema: '{schema}',
    cdc: {
      management: 'managed',
      publication: `sluice_pub_${name}`,
      slot: `sluice_${name}`,
      transport: 'scheduled',
      flush: { everyMs: 10_000, rows: 100_000 },
      lag: { warningMb: 1024, criticalMb: 10_240, onCritical: 'drop_slot' },
      onSlotLost: 'manual',
      heartbeat: true,
    },
    snapshot: { parallel: 1, saveEveryMs: 20_000 },
    parallelTables: 1,
    tables: schedules.map((schedule, index): TableEntry => {
      const table = `t${index + 1}`;
      return {
        key: `public.${table}`,
        pattern: null,
        schema: 'public',
        name: table,
        table: {
          method: 'cdc',
          output: 'consolidated',
          deletes: 'soft',
          columns: { kind: 'all' },
          cursor: null,
          lookbackMs: 0,
          primaryKey: null,
          onAddColumns: 'forward_only',
          partitionBy: [],
          onPartitionChange: 'resync',
          types: {},
          onRemove: 'retire',
          enabled: true,
          schedule,
        },
      };
    }),
  };
}

export function fakeChange(patch: { readonly destructive?: boolean; readonly address?: string } = {}): Change {
  return {
    action: 'create_slot',
    address: patch.address ?? 'shop:slot',
    destructive: patch.destructive ?? false,
    reason: 'cdc tables need it',
    cost: { rows: null, bytes: null, seconds: null, wal_bytes: 0, basis: 'none' },
    details: { slot: 'sluice_shop', publication: 'sluice_pub_shop', failover: false, loads: {} },
  };
}

export function fakePlan(changes: readonly Change[] = [], blockers: Plan['blockers'] = []): Plan {
  return {
    format_version: 1,
    id: 'plan-1',
    created_at: '2026-03-02T12:00:00.000Z',
    config_hash: 'c0ffee',
    state: { lineage: 'lineage-1', serial: 3 },
    changes,
    summary: {
      add: changes.length,
      change: 0,
      destroy: 0,
      destructive: changes.filter((change) => change.destructive).length,
      rows: 0,
      bytes: 0,
      seconds: 0,
    },
    blockers,
    notices: [],
    basis: { kind: 'observed' },
    drift: [],
    unknown: [],
  };
}

export const EMPTY_STATUS: StatusReport = { state: { lineage: 'lineage-1', serial: 3 }, sources: [], lock: null };

/** Answers of a {@link FakeEngine}; what is left out gives the quiet answer. */
export interface FakeAnswers {
  readonly queryPages?: (sql: string, signal: AbortSignal) => QueryPages['pages'];
  readonly plan?: (call: number) => Promise<Plan> | Plan;
  readonly apply?: (plan: Plan, deps: EngineDeps) => Promise<readonly ChangeResult[]> | readonly ChangeResult[];
  readonly sync?: (request: SyncRequest, signal: AbortSignal, deps: EngineDeps) => Promise<SyncReport> | SyncReport;
  readonly follow?: (source: string, signal: AbortSignal, deps: EngineDeps) => Promise<SourceRun> | SourceRun;
  readonly status?: () => Promise<StatusReport> | StatusReport;
  readonly heldTables?: (source: string) => readonly HeldTable[];
  readonly doctor?: () => readonly Finding[];
  readonly discover?: (request: DiscoverRequest) => DiscoverReport;
  readonly verify?: (request: VerifyRequest) => VerifyReport;
  readonly optimize?: () => OptimizeReport;
  readonly vacuum?: () => VacuumReport;
  readonly maintain?: (until: (source: string) => Date) => Promise<Date | null> | Date | null;
  /** Called when the guard starts. */
  readonly guard?: (everyMs: number) => void;
  readonly halts?: () => ReadonlyMap<string, PlainError>;
}

/** An engine that does nothing, notes its calls and answers as it was told. */
export class FakeEngine implements Engine {
  readonly config: Config;
  /** `plan`, `apply`, `sync shop force`, ... in order. */
  readonly calls: string[] = [];
  private plans = 0;

  constructor(
    private readonly deps: EngineDeps,
    private readonly answers: FakeAnswers,
  ) {
    this.config = deps.config;
  }

  /** Only its serial is known. */
  get state(): StateDesk {
    const none = (): never => {
      throw new Error('the fake engine has no state');
    };
    const read = async (): Promise<StateDocument | null> => {
      const { state: known } = (await this.answers.status?.()) ?? EMPTY_STATUS;
      return known === null ? null : { format_version: 2, ...known, sources: {} };
    };
    return { place: '', read, holder: none, unlock: none, forget: none, import: none, migrateFrom: none };
  }

  async plan(): Promise<Plan> {
    this.calls.push('plan');
    this.plans += 1;
    return (await this.answers.plan?.(this.plans)) ?? fakePlan();
  }

  async apply(plan: Plan): Promise<readonly ChangeResult[]> {
    this.calls.push(`apply ${plan.id}`);
    return (
      (await this.answers.apply?.(plan, this.deps)) ??
      plan.changes.map((change) => ({ change, status: 'applied', durationMs: 5 }))
    );
  }

  async sync(request: SyncRequest, signal: AbortSignal): Promise<SyncReport> {
    const words = [
      'sync',
      request.address ?? 'all',
      ...(request.untilCaughtUp ? ['caught-up'] : []),
      ...(request.force ? ['force'] : []),
    ];
    this.calls.push(words.join(' '));
    return (await this.answers.sync?.(request, signal, this.deps)) ?? { sources: [], ok: true };
  }

  async verify(request: VerifyRequest): Promise<VerifyReport> {
    const sample = request.samplePercent === null ? '' : ` ${request.samplePercent}% ${request.seed ?? '-'}`;
    this.calls.push(`verify ${request.address ?? 'all'} limit ${request.limit}${sample}`);
    return this.answers.verify?.(request) ?? { tables: [], ok: true };
  }

  /** Unless told otherwise it follows, quietly, until the signal aborts. */
  async follow(source: string, signal: AbortSignal): Promise<SourceRun> {
    this.calls.push(`follow ${source}`);
    const answer = await this.answers.follow?.(source, signal, this.deps);
    if (answer !== undefined) return answer;
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    return {
      source,
      transactions: 0,
      changes: 0,
      confirmedLsn: null,
      durationMs: 0,
      error: null,
      lag: null,
      tables: [],
      drift: [],
      newColumns: [],
    };
  }

  heldTables(source: string): readonly HeldTable[] {
    return this.answers.heldTables?.(source) ?? [];
  }

  async status(): Promise<StatusReport> {
    this.calls.push('status');
    return (await this.answers.status?.()) ?? EMPTY_STATUS;
  }

  async resync(addresses: readonly string[]): Promise<readonly string[]> {
    this.calls.push(`resync ${addresses.join(' ')}`);
    return addresses;
  }

  async pause(addresses: readonly string[]): Promise<readonly Pausing[]> {
    this.calls.push(`pause ${addresses.join(' ')}`);
    return addresses.map((address) => ({ address, already: false, heldSlot: null, missesChanges: false }));
  }

  async resume(addresses: readonly string[]): Promise<readonly Resuming[]> {
    this.calls.push(`resume ${addresses.join(' ')}`);
    return addresses.map((address) => ({ address, already: false, load: null, stillPaused: [] }));
  }

  async optimize({ address }: OptimizeRequest): Promise<OptimizeReport> {
    this.calls.push(`optimize ${address ?? 'all'}`);
    return this.answers.optimize?.() ?? { tables: [], notes: [], ok: true };
  }

  async vacuum({ address, dryRun }: VacuumRequest): Promise<VacuumReport> {
    this.calls.push(`vacuum ${address ?? 'all'}${dryRun ? ' dry' : ''}`);
    return this.answers.vacuum?.() ?? { dryRun, tables: [], notes: [], ok: true };
  }

  /** Unless told otherwise there is no lake. */
  async maintain({ until }: { readonly until: (source: string) => Date }): Promise<Date | null> {
    if (this.answers.maintain === undefined) return null;
    this.calls.push('maintain');
    return this.answers.maintain(until);
  }

  /** There is nothing to be cleaned up. */
  async keepClean(_options: KeepCleanOptions, signal: AbortSignal): Promise<void> {
    await untilAborted(signal);
  }

  async doctor(): Promise<readonly Finding[]> {
    this.calls.push('doctor');
    return this.answers.doctor?.() ?? [];
  }

  async discover(request: DiscoverRequest): Promise<DiscoverReport> {
    this.calls.push(`discover ${request.source ?? request.connection ?? 'all'} ${request.schema ?? '*'}`);
    return this.answers.discover?.(request) ?? { sources: [] };
  }

  async setupSql(source: string): Promise<string> {
    this.calls.push(`setupSql ${source}`);
    return `create publication sluice_pub_${source};\n`;
  }

  async query(
    destination: string | null,
    sql: string,
  ): Promise<{ columns: { name: string; type: string }[]; rows: (string | null)[][] }> {
    this.calls.push(`query ${destination ?? '-'} ${sql}`);
    return { columns: [{ name: 'n', type: 'BIGINT' }], rows: [['42'], [null]] };
  }

  async queryPages<T>(
    { destination, sql }: QueryRequest,
    use: (answer: QueryPages) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const pages = this.answers.queryPages?.(sql, signal) ?? paged(await this.query(destination, sql));
    return use({ columns: [{ name: 'n', type: 'BIGINT' }], pages });
  }

  async queryBatches<T>(_request: QueryRequest, use: (answer: QueryBatches) => Promise<T>): Promise<T> {
    return use({ schema: new Schema([]), batches: (async function* () {})() });
  }

  /** Looks at nothing; the guard's own tests have a server. */
  async guard({ everyMs }: { readonly everyMs: number }, signal: AbortSignal): Promise<void> {
    this.answers.guard?.(everyMs);
    await untilAborted(signal);
  }

  async halts(): Promise<ReadonlyMap<string, PlainError>> {
    return this.answers.halts?.() ?? new Map();
  }

  alertErrored(source: string, error: PlainError): void {
    this.calls.push(`alertErrored ${source} ${error.code}`);
  }

  async close(): Promise<void> {
    this.calls.push('close');
  }
}

async function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

async function* paged({ rows }: QueryResult): QueryPages['pages'] {
  yield rows;
}
