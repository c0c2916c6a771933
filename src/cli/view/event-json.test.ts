import { describe, expect, test } from 'vitest';
import { fakeChange, fakePlan } from '../../../test/fake/engine.js';
import { eventFlaws, inSchema, planFlaws } from '../../../test/schema/documents.js';
import { SluiceError } from '../../error/sluice-error.js';
import { judgeLag } from '../../guard/wal-lag.js';
import { ACTIONS } from '../../planner/plan-file.js';
import { planOf, sampleEntry, sampleTableOf, shop, world } from '../../planner/sample-world.js';
import type { LiveEvent } from '../command.js';
import { endedBody, eventBody, eventLine } from './event-json.js';
import { planJson } from './plan-view.js';

const error = { code: 'TABLE_MISSING', message: 'public.users does not exist', hint: 'make it' } as const;
const change = fakeChange({ destructive: true });
const address = 'shop:public.users';
const lag = judgeLag(
  {
    at: '2026-01-01T00:00:00.000Z',
    exists: true,
    retainedBytes: 5,
    unconfirmedBytes: 1,
    walStatus: 'reserved',
    safeWalSizeBytes: null,
    keepSizeBytes: null,
  },
  null,
  { warningBytes: 10, criticalBytes: 20, onCritical: 'alert' },
);

const OPTIMIZED = {
  address,
  status: 'optimized',
  removedFiles: 2,
  addedFiles: 1,
  removedBytes: 20,
  addedBytes: 10,
  health: null,
  note: null,
  error: null,
} as const;
const VACUUMED = { address, files: 1, bytes: 2, logFiles: 0, examples: [], error: null };

/** One of each, so that a new kind of event has to be written into the schema. */
const EVENTS: { readonly [Kind in LiveEvent['kind']]: readonly Extract<LiveEvent, { kind: Kind }>[] } = {
  plan_made: [{ kind: 'plan_made', plan: fakePlan([change]) }],
  status_seen: [{ kind: 'status_seen', document: { state: null, sources: [], lock: null, daemon: null } }],
  log_line: [{ kind: 'log_line', record: { level: 'info', msg: 'daemon started' }, text: () => '' }],
  change_started: [{ kind: 'change_started', change }],
  change_ended: [
    { kind: 'change_ended', result: { change, status: 'applied', durationMs: 1.4 } },
    { kind: 'change_ended', result: { change, status: 'failed', error } },
    { kind: 'change_ended', result: { change, status: 'not_attempted', because: 'another failed' } },
  ],
  load_started: [{ kind: 'load_started', address, method: 'cdc', estimatedRows: null }],
  load_progress: [{ kind: 'load_progress', address, rows: 1, bytes: 2, estimatedRows: 3 }],
  load_ended: [{ kind: 'load_ended', address, rows: 1, bytes: 2, durationMs: 3.3 }],
  stream_progress: [
    { kind: 'stream_progress', source: 'shop', changes: 1, transactions: 1, confirmedLsn: '0/1', remainingBytes: null },
  ],
  page_committed: [
    {
      kind: 'page_committed',
      source: 'shop',
      durationMs: 1.5,
      transactions: 2,
      asOf: '2026-03-02T12:00:00.000Z',
      tables: [{ address, inserted: 1, updated: 2, deleted: 3, rejected: 0 }],
    },
  ],
  source_ended: [],
  waiting: [{ kind: 'waiting', address, what: 'a lock' }],
  table_failed: [{ kind: 'table_failed', address, error }],
  notice: [{ kind: 'notice', address, message: 'look' }],
  optimized: [{ kind: 'optimized', table: OPTIMIZED }],
  vacuumed: [{ kind: 'vacuumed', table: VACUUMED }],
  maintenance_failed: [{ kind: 'maintenance_failed', address, error }],
  wal_lag: [{ kind: 'wal_lag', source: 'shop', slot: 's', lag, changed: true }],
  wal_lag_unknown: [{ kind: 'wal_lag_unknown', source: 'shop', error, failures: 2 }],
  guard_dropped: [{ kind: 'guard_dropped', address: 'shop:slot', message: 'dropped' }],
  guard_failed: [{ kind: 'guard_failed', address: 'shop:slot', error }],
  alert_failed: [{ kind: 'alert_failed', hook: 'pager', alert: 'source_errored', error }],
};

describe('every event is one line that the schema knows', () => {
  const all: readonly LiveEvent[] = Object.values(EVENTS).flat();
  test.each(all.map((event) => ({ name: event.kind, event })))('$name', ({ event }) => {
    const body = eventBody(event);
    if (body === null) expect.fail('the event is told by no line');
    const line = eventLine(body, new Date(0));
    expect(line.endsWith('}\n')).toBe(true);
    expect(line.slice(0, -1)).not.toContain('\n');
    const parsed: unknown = JSON.parse(line);
    expect(parsed).toMatchObject({ format_version: 1, at: '1970-01-01T00:00:00.000Z', event: event.kind });
    expect(eventFlaws(parsed)).toEqual([]);
  });

  test('the end, well or not', () => {
    for (const body of [endedBody(0, null), endedBody(1, new SluiceError(error))]) {
      expect(eventFlaws(JSON.parse(eventLine(body, new Date(0))))).toEqual([]);
    }
  });

  test('the schema refuses what is none', () => {
    const line: unknown = JSON.parse(eventLine({ event: 'change_started', action: 'explode' }, new Date(0)));
    expect(eventFlaws(line)).not.toEqual([]);
    expect(eventFlaws({ format_version: 1, at: 'now', event: 'notice', address, message: '' })).not.toEqual([]);
  });
});

test('the JSON form of a plan is what its schema says', () => {
  const plan = planOf(shop([sampleEntry('public.users')]), world([sampleTableOf('public.users')]));
  expect(planFlaws(planJson(plan))).toEqual([]);
  expect(planFlaws({ ...plan, changes: [{ ...plan.changes[0], origin: 'x' }] })).not.toEqual([]);
  expect(planFlaws({ ...plan, unknown: undefined })).not.toEqual([]);
  expect(inSchema('plan.schema.json', 'definitions', 'change', 'properties', 'action', 'enum')).toEqual(ACTIONS);
});
