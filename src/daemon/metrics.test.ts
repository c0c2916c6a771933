import { readFileSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { FakeClock } from '../../test/fake/clock.js';
import { fakeChange, fakePlan } from '../../test/fake/engine.js';
import { emptyRun, emptyTableRun } from '../executor/empty-run.js';
import type { SourceRun, TableRun } from '../executor/engine.js';
import { judgeLag, type LagSample } from '../guard/wal-lag.js';
import { DaemonMetrics } from './metrics.js';

const GIB = 1024 ** 3;
let clock: FakeClock;
let metrics: DaemonMetrics;

beforeEach(() => {
  clock = new FakeClock('2026-03-02T12:00:00Z');
  metrics = new DaemonMetrics({ version: '1.2.3', now: () => clock.now() });
});

/** The lines of a scrape that begin so. */
async function lines(start: string): Promise<string[]> {
  const text = await metrics.registry.metrics();
  return text.split('\n').filter((line) => line.startsWith(start));
}

function walLag(patch: Partial<LagSample>): void {
  const sample: LagSample = {
    at: clock.now().toISOString(),
    exists: true,
    retainedBytes: 0,
    unconfirmedBytes: 0,
    walStatus: 'reserved',
    safeWalSizeBytes: null,
    keepSizeBytes: null,
    ...patch,
  };
  const lag = judgeLag(sample, null, { warningBytes: GIB, criticalBytes: 10 * GIB, onCritical: 'alert' });
  metrics.onEvent({ kind: 'wal_lag', source: 'shop', slot: 'sluice_shop', lag, changed: false });
}

const tableRun = (patch: Partial<TableRun>): TableRun => ({
  ...emptyTableRun('shop:public.users', 'snapshot', null),
  ...patch,
});

function ended(patch: Partial<SourceRun>): void {
  const run = { ...emptyRun('shop', null, 1_500), ...patch };
  metrics.onEvent({ kind: 'source_ended', run, at: clock.now().toISOString() });
}

test('names the build', async () => {
  expect(await lines('sluice_build_info')).toEqual([
    `sluice_build_info{version="1.2.3",node="${process.versions.node}"} 1`,
  ]);
});

test('what the guard saw of a slot', async () => {
  walLag({ retainedBytes: 2 * GIB, unconfirmedBytes: 1_000, walStatus: 'extended' });
  expect(await lines('sluice_slot_retained')).toEqual([
    `sluice_slot_retained_wal_bytes{source="shop",slot="sluice_shop"} ${2 * GIB}`,
  ]);
  expect(await lines('sluice_source_lag_bytes')).toEqual(['sluice_source_lag_bytes{source="shop"} 1000']);
  expect((await lines('sluice_slot_lag_level')).filter((line) => line.endsWith(' 1'))).toEqual([
    'sluice_slot_lag_level{source="shop",slot="sluice_shop",level="warning"} 1',
  ]);
  walLag({ exists: false, retainedBytes: null, unconfirmedBytes: null, walStatus: null });
  expect((await lines('sluice_slot_wal_status')).filter((line) => line.endsWith(' 1'))).toEqual([
    'sluice_slot_wal_status{source="shop",slot="sluice_shop",status="missing"} 1',
  ]);
});

test('looks that failed are counted until one goes well', async () => {
  const error = { code: 'SOURCE_UNREACHABLE', message: 'nothing answers' } as const;
  metrics.onEvent({ kind: 'wal_lag_unknown', source: 'shop', error, failures: 4 });
  expect(await lines('sluice_guard_failed_looks')).toEqual(['sluice_guard_failed_looks{source="shop"} 4']);
  walLag({});
  expect(await lines('sluice_guard_failed_looks')).toEqual(['sluice_guard_failed_looks{source="shop"} 0']);
});

test('the copy ages between two pages, by the time of the scrape', async () => {
  const page = { kind: 'page_committed', source: 'shop', durationMs: 200, transactions: 3, tables: [] } as const;
  metrics.onEvent({ ...page, asOf: '2026-03-02T11:59:50Z' });
  expect(await lines('sluice_source_lag_seconds')).toEqual(['sluice_source_lag_seconds{source="shop"} 10']);
  clock.advance(5_000);
  expect(await lines('sluice_source_lag_seconds')).toEqual(['sluice_source_lag_seconds{source="shop"} 15']);
  expect(await lines('sluice_transactions_total')).toEqual(['sluice_transactions_total{source="shop"} 3']);
  expect(await lines('sluice_batch_duration_seconds_sum')).toEqual([
    'sluice_batch_duration_seconds_sum{source="shop"} 0.2',
  ]);
});

test('rows of pages and of loads are counted once', async () => {
  const counts = { inserted: 5, updated: 2, deleted: 1, rejected: 1 };
  metrics.onEvent({
    kind: 'page_committed',
    source: 'shop',
    durationMs: 1,
    transactions: 1,
    asOf: clock.now().toISOString(),
    tables: [{ address: 'shop:public.users', ...counts }],
  });
  // The stream's own line of the report, and a load.
  ended({ tables: [tableRun({ kind: 'stream', ...counts }), tableRun({ inserted: 100 })] });
  expect(await lines('sluice_rows_total')).toEqual([
    'sluice_rows_total{source="shop",table="public.users",operation="insert"} 105',
    'sluice_rows_total{source="shop",table="public.users",operation="update"} 2',
    'sluice_rows_total{source="shop",table="public.users",operation="delete"} 1',
  ]);
  expect(await lines('sluice_rejected_values_total')).toEqual([
    'sluice_rejected_values_total{source="shop",table="public.users"} 1',
  ]);
});

test('success and failure of sources and tables', async () => {
  const error = { code: 'SOURCE_SQL_FAILED', message: 'no' } as const;
  ended({ error });
  expect(await lines('sluice_source_last_success')).toEqual([]);
  ended({ tables: [tableRun({ status: 'failed', error }), tableRun({ address: 'shop:public.orders' })] });
  const at = Date.parse('2026-03-02T12:00:00Z') / 1_000;
  expect(await lines('sluice_source_last_success')).toEqual([
    `sluice_source_last_success_timestamp_seconds{source="shop"} ${at}`,
  ]);
  expect(await lines('sluice_table_last_success')).toEqual([
    `sluice_table_last_success_timestamp_seconds{source="shop",table="public.orders"} ${at}`,
  ]);
  expect(await lines('sluice_table_failures')).toEqual([
    'sluice_table_failures_total{source="shop",table="public.users"} 1',
  ]);
  expect(await lines('sluice_syncs_total')).toEqual([
    'sluice_syncs_total{source="shop",result="failed"} 1',
    'sluice_syncs_total{source="shop",result="ok"} 1',
  ]);
});

test('what waits for a person', async () => {
  metrics.planned(fakePlan([fakeChange(), fakeChange({ destructive: true })]), true, clock.now());
  expect(await lines('sluice_plan_pending_changes')).toEqual([
    'sluice_plan_pending_changes{kind="destructive"} 1',
    'sluice_plan_pending_changes{kind="additive"} 1',
  ]);
  metrics.planned(fakePlan(), false, clock.now());
  expect((await lines('sluice_plan_pending_changes')).every((line) => line.endsWith(' 0'))).toBe(true);
});

test('a broken config is told, and forgotten sources leave no gauges', async () => {
  metrics.configLoaded(clock.now());
  metrics.configReloaded('refused', clock.now());
  expect(await lines('sluice_config_valid')).toEqual(['sluice_config_valid 0']);
  walLag({});
  ended({});
  metrics.sourceIs('shop', 'stopped');
  metrics.forgetSources();
  metrics.configReloaded('applied', clock.now());
  expect(await lines('sluice_config_valid')).toEqual(['sluice_config_valid 1']);
  for (const start of ['sluice_slot', 'sluice_source_state', 'sluice_source_lag'])
    expect(await lines(start)).toEqual([]);
  expect(await lines('sluice_syncs_total')).toHaveLength(1);
});

describe('examples/monitoring', () => {
  const example = (name: string): string =>
    readFileSync(new URL(`../../examples/monitoring/${name}`, import.meta.url), 'utf8');
  const used = (text: string): string[] => [...new Set(text.match(/\bsluice_[a-z_]+/g))];

  test.each(['alerts.yaml', 'grafana-dashboard.json'])('%s asks for metrics that exist', (file) => {
    const names = used(example(file));
    expect(names.length).toBeGreaterThan(10);
    const known = new Set(metrics.names());
    expect(names.filter((name) => !known.has(name) && !known.has(name.replace(/_(bucket|sum|count)$/, '')))).toEqual(
      [],
    );
  });

  test('the dashboard shows every metric or the rules use it', () => {
    const shown = new Set(
      used(example('alerts.yaml') + example('grafana-dashboard.json')).map((name) =>
        name.replace(/_(bucket|sum|count)$/, ''),
      ),
    );
    const own = metrics.names().filter((name) => name.startsWith('sluice_'));
    const unshown = own.filter((name) => !shown.has(name));
    // Of use in a query by hand only.
    expect(unshown).toEqual([
      'sluice_config_last_load_success_timestamp_seconds',
      'sluice_plan_last_success_timestamp_seconds',
    ]);
  });

  test('every rule has what a receiver needs', () => {
    const rules: unknown = parse(example('alerts.yaml')).groups[0].rules;
    expect(rules).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ alert: 'SluiceConfigInvalid', expr: 'sluice_config_valid == 0' }),
      ]),
    );
    for (const rule of Array.isArray(rules) ? rules : []) {
      expect(rule).toMatchObject({
        alert: expect.stringMatching(/^Sluice/),
        labels: { severity: expect.stringMatching(/^(info|warning|critical)$/) },
        annotations: { summary: expect.any(String) },
      });
    }
    JSON.parse(example('grafana-dashboard.json'));
  });
});
