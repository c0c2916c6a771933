import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { PendingSource } from '../executor/clean-up.js';
import type { EngineEvent, SourceRun, TableRun } from '../executor/engine.js';
import type { HeldTable } from '../executor/table-holds.js';
import type { Plan } from '../planner/change.js';

/** Pages take milliseconds, loads of large tables hours. */
const DURATION_BUCKETS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200];

/** Every value of a label that says which of several states something is in: exactly one of them is 1. */
const LAG_LEVELS = ['ok', 'warning', 'critical'] as const;
const WAL_STATUSES = ['reserved', 'extended', 'unreserved', 'lost', 'missing'] as const;
const SOURCE_STATES = ['running', 'retrying', 'stopped'] as const;
export type SourceCondition = (typeof SOURCE_STATES)[number];

/**
 * What Prometheus reads of a daemon. Everything comes from what the loop and the guard saw anyway, so a scrape asks
 * neither Postgres nor a destination. Names follow Prometheus: prefix, base units, `_total` on what only rises.
 * @see https://prometheus.io/docs/practices/naming/
 */
export class DaemonMetrics {
  readonly registry = new Registry();
  /** By source: what was committed in Postgres until then has landed; milliseconds. */
  readonly #asOfMs = new Map<string, number>();
  /** By source: the addresses of its held tables. */
  readonly #held = new Map<string, ReadonlySet<string>>();

  readonly #configValid = this.#gauge(
    'config_valid',
    'Whether the config file is valid as it is now (1), or an earlier one is still in use (0)',
  );
  readonly #configLoaded = this.#gauge(
    'config_last_load_success_timestamp_seconds',
    'When the config in use was loaded',
  );
  readonly #configReloads = this.#counter('config_reloads_total', 'Reloads of the config by result', ['result']);
  readonly #pending = this.#gauge('plan_pending_changes', 'Changes that wait for sluice apply', ['kind']);
  readonly #blockers = this.#gauge('plan_blockers', 'What stands in the way of applying the config');
  readonly #planned = this.#gauge(
    'plan_last_success_timestamp_seconds',
    'When the config was last compared with what is there',
  );

  readonly #retained = this.#gauge('slot_retained_wal_bytes', 'WAL that the server keeps for the slot', [
    'source',
    'slot',
  ]);
  readonly #lagBytes = this.#gauge('source_lag_bytes', 'WAL after what is confirmed to be in the destination', [
    'source',
  ]);
  readonly #lagSeconds: Gauge<string>;
  readonly #level = this.#gauge('slot_lag_level', 'The level of retained WAL, by cdc.lag', ['source', 'slot', 'level']);
  readonly #walStatus = this.#gauge('slot_wal_status', 'wal_status of the slot, missing where there is none', [
    'source',
    'slot',
    'status',
  ]);
  readonly #growth = this.#gauge(
    'slot_growth_bytes_per_second',
    'How fast the retained WAL grows, negative while it shrinks',
    ['source', 'slot'],
  );
  readonly #blind = this.#gauge('guard_failed_looks', 'Looks at the slot in a row that failed', ['source']);
  readonly #drops = this.#counter('guard_drops_total', 'Slots and publications that the guard dropped', ['source']);

  readonly #cleanup = this.#gauge(
    'cleanup_pending',
    'Slots, publications and tables of a source that left the file which could not be cleaned up yet',
    ['source'],
  );

  readonly #condition = this.#gauge('source_state', 'running; retrying after trouble; stopped until a person acts', [
    'source',
    'state',
  ]);
  readonly #sourceSuccess = this.#gauge(
    'source_last_success_timestamp_seconds',
    'When a sync or page of the source last went well',
    ['source'],
  );
  readonly #tableSuccess = this.#gauge(
    'table_last_success_timestamp_seconds',
    'When rows of the table were last written, or looked for',
    ['source', 'table'],
  );
  readonly #syncs = this.#counter('syncs_total', 'Syncs of sources by result', ['source', 'result']);
  readonly #tableRetry = this.#gauge(
    'table_retry_timestamp_seconds',
    'When a table that failed is tried again; absent for the others',
    ['source', 'table'],
  );
  readonly #tableFailures = this.#counter('table_failures_total', 'Runs of a table that failed', ['source', 'table']);
  readonly #rows = this.#counter('rows_total', 'Rows written, by operation', ['source', 'table', 'operation']);
  readonly #rejected = this.#counter('rejected_values_total', 'Values that did not fit their destination type', [
    'source',
    'table',
  ]);
  readonly #transactions = this.#counter('transactions_total', 'Streamed transactions', ['source']);
  readonly #batchSeconds = this.#histogram(
    'batch_duration_seconds',
    'From reading a page of the stream to its commit',
    ['source'],
  );
  readonly #syncSeconds = this.#histogram('sync_duration_seconds', 'Syncs of sources', ['source']);
  readonly #loadSeconds = this.#histogram('load_duration_seconds', 'Loads of tables by kind', ['source', 'kind']);
  readonly #maintenanceFailures = this.#counter('maintenance_failures_total', 'Upkeep of lakes that failed', [
    'address',
  ]);
  readonly #alertFailures = this.#counter('alert_failures_total', 'Alerts that could not be delivered', ['hook']);

  constructor(build: { readonly version: string; readonly now: () => Date }) {
    collectDefaultMetrics({ register: this.registry });
    this.#gauge('build_info', 'Always 1; the version is in the labels', ['version', 'node']).set(
      { version: build.version, node: process.versions.node },
      1,
    );
    const asOf = this.#asOfMs;
    this.#lagSeconds = new Gauge({
      name: 'sluice_source_lag_seconds',
      help: 'Age of the copy: time since the moment up to which everything committed has landed',
      labelNames: ['source'],
      registers: [this.registry],
      // Ages by itself between two pages, so it is told at the scrape; from memory.
      collect() {
        for (const [source, ms] of asOf) this.set({ source }, Math.max(0, build.now().getTime() - ms) / 1_000);
      },
    });
  }

  /** Names without suffixes of histograms, as alert rules and dashboards are checked by. */
  names(): readonly string[] {
    return this.registry.getMetricsAsArray().map(({ name }) => name);
  }

  configLoaded(at: Date): void {
    this.#configValid.set(1);
    this.#configLoaded.set(at.getTime() / 1_000);
  }

  /** A new file was looked at while another config runs. */
  configReloaded(result: 'applied' | 'refused' | 'failed', at: Date): void {
    this.#configReloads.inc({ result });
    if (result === 'applied') this.configLoaded(at);
    else this.#configValid.set(0);
  }

  /** @param waiting whether its changes wait for a person; else they were applied or there are none */
  planned(plan: Plan, waiting: boolean, at: Date): void {
    const destructive = plan.changes.filter((change) => change.destructive).length;
    this.#pending.set({ kind: 'destructive' }, waiting ? destructive : 0);
    this.#pending.set({ kind: 'additive' }, waiting ? plan.changes.length - destructive : 0);
    this.#blockers.set(plan.blockers.length);
    this.#planned.set(at.getTime() / 1_000);
  }

  /** @param pending none: everything is cleaned up */
  pendingCleanup(pending: readonly PendingSource[]): void {
    this.#cleanup.reset();
    for (const { source, left } of pending) this.#cleanup.set({ source }, left.length);
  }

  sourceIs(source: string, condition: SourceCondition): void {
    for (const state of SOURCE_STATES) this.#condition.set({ source, state }, state === condition ? 1 : 0);
  }

  tablesAre(source: string, held: readonly HeldTable[]): void {
    const addresses = new Set(held.map(({ address }) => address));
    for (const address of this.#held.get(source) ?? []) {
      if (!addresses.has(address)) this.#tableRetry.remove(labelsOf(address));
    }
    this.#held.set(source, addresses);
    for (const { address, retryAt } of held) this.#tableRetry.set(labelsOf(address), retryAt.getTime() / 1_000);
  }

  /** Another config takes over: what is known of sources and slots may not hold for it. Counters go on. */
  forgetSources(): void {
    this.#asOfMs.clear();
    this.#held.clear();
    const gauges = [this.#retained, this.#lagBytes, this.#lagSeconds, this.#level, this.#walStatus, this.#growth];
    for (const gauge of [
      ...gauges,
      this.#blind,
      this.#condition,
      this.#sourceSuccess,
      this.#tableSuccess,
      this.#tableRetry,
    ])
      gauge.reset();
  }

  onEvent(event: EngineEvent): void {
    switch (event.kind) {
      case 'wal_lag': {
        const { source, slot, lag } = event;
        this.#retained.set({ source, slot }, lag.retainedBytes ?? 0);
        this.#lagBytes.set({ source }, lag.unconfirmedBytes ?? 0);
        this.#growth.set({ source, slot }, lag.growthBytesPerSecond ?? 0);
        for (const level of LAG_LEVELS) this.#level.set({ source, slot, level }, level === lag.level ? 1 : 0);
        const now = lag.exists ? lag.walStatus : 'missing';
        for (const status of WAL_STATUSES) this.#walStatus.set({ source, slot, status }, status === now ? 1 : 0);
        this.#blind.set({ source }, 0);
        return;
      }
      case 'wal_lag_unknown':
        this.#blind.set({ source: event.source }, event.failures);
        return;
      case 'guard_dropped':
        this.#drops.inc({ source: sourceOf(event.address) });
        return;
      case 'page_committed': {
        const { source } = event;
        const at = Date.parse(event.asOf);
        this.#asOfMs.set(source, at);
        this.#batchSeconds.observe({ source }, event.durationMs / 1_000);
        this.#transactions.inc({ source }, event.transactions);
        for (const counts of event.tables) this.#count(counts);
        return;
      }
      case 'source_ended':
        this.#ended(event.run, Date.parse(event.at) / 1_000);
        return;
      case 'maintenance_failed':
        this.#maintenanceFailures.inc({ address: event.address });
        return;
      case 'alert_failed':
        this.#alertFailures.inc({ hook: event.hook });
        return;
      default:
        // The others are steps on the way to these, or for people.
        return;
    }
  }

  #ended(run: SourceRun, at: number): void {
    const { source, error } = run;
    this.#syncs.inc({ source, result: error === null ? 'ok' : 'failed' });
    this.#syncSeconds.observe({ source }, run.durationMs / 1_000);
    if (error === null) this.#sourceSuccess.set({ source }, at);
    for (const table of run.tables) {
      const labels = labelsOf(table.address);
      if (table.status === 'failed') {
        this.#tableFailures.inc(labels);
        continue;
      }
      this.#tableSuccess.set(labels, at);
      // Pages have counted what was streamed.
      if (table.kind === 'stream') continue;
      this.#loadSeconds.observe({ source, kind: table.kind }, table.durationMs / 1_000);
      this.#count(table);
    }
  }

  #count(counts: Pick<TableRun, 'address' | 'inserted' | 'updated' | 'deleted' | 'rejected'>): void {
    const labels = labelsOf(counts.address);
    const { inserted, updated, deleted } = counts;
    this.#rows.inc({ ...labels, operation: 'insert' }, inserted);
    this.#rows.inc({ ...labels, operation: 'update' }, updated);
    this.#rows.inc({ ...labels, operation: 'delete' }, deleted);
    this.#rejected.inc(labels, counts.rejected);
  }

  #gauge(name: string, help: string, labelNames: readonly string[] = []): Gauge<string> {
    return new Gauge({ name: `sluice_${name}`, help, labelNames: [...labelNames], registers: [this.registry] });
  }

  #counter(name: string, help: string, labelNames: readonly string[] = []): Counter<string> {
    return new Counter({ name: `sluice_${name}`, help, labelNames: [...labelNames], registers: [this.registry] });
  }

  #histogram(name: string, help: string, labelNames: readonly string[]): Histogram<string> {
    return new Histogram({
      name: `sluice_${name}`,
      help,
      labelNames: [...labelNames],
      buckets: DURATION_BUCKETS,
      registers: [this.registry],
    });
  }
}

function sourceOf(address: string): string {
  return address.split(':', 1)[0] ?? address;
}

function labelsOf(address: string): { readonly source: string; readonly table: string } {
  const source = sourceOf(address);
  return { source, table: address.slice(source.length + 1) };
}
