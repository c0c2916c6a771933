import { expect, test } from 'vitest';
import { fakeChange } from '../../test/fake/engine.js';
import type { PlainError } from '../error/sluice-error.js';
import type { EngineEvent } from '../executor/engine.js';
import { judgeLag, type WalLag } from '../guard/wal-lag.js';
import { logEvent } from './event-log.js';

const address = 'shop:public.users';
const change = fakeChange();
const lag = (level: WalLag['level'], changed: boolean): EngineEvent => ({
  kind: 'wal_lag',
  source: 'shop',
  slot: 'sluice_shop',
  changed,
  lag: judgeLag(
    {
      at: '2026-03-02T12:00:20Z',
      exists: true,
      retainedBytes: { ok: 1, warning: 100, critical: 1_000 }[level],
      unconfirmedBytes: 0,
      walStatus: 'reserved',
      safeWalSizeBytes: null,
      keepSizeBytes: null,
    },
    { level: 'ok', since: '', window: [{ at: '2026-03-02T12:00:00Z', retainedBytes: 0 }] },
    { warningBytes: 100, criticalBytes: 1_000, onCritical: 'alert' },
  ),
});
const lagFields = (level: string, retained: number, growth: number, untilCritical: number) => ({
  source: 'shop',
  slot: 'sluice_shop',
  level,
  retained_bytes: retained,
  unconfirmed_bytes: 0,
  wal_status: 'reserved',
  growth_bytes_per_second: growth,
  seconds_until_critical: untilCritical,
});
const trouble: PlainError = { code: 'SLOT_IN_USE', message: 'a stranger reads' };

test.each<{ name: string; event: EngineEvent; line: readonly [level: string, fields: object, message: string] }>([
  {
    name: 'the start of a load',
    event: { kind: 'load_started', address, method: 'snapshot', estimatedRows: 10 },
    line: ['info', { address, method: 'snapshot', estimated_rows: 10 }, 'load started'],
  },
  {
    name: 'progress is for debugging',
    event: { kind: 'load_progress', address, rows: 1, bytes: 2, estimatedRows: null },
    line: ['debug', { address, rows: 1, bytes: 2, estimated_rows: null }, 'loading'],
  },
  {
    name: 'the end of a load',
    event: { kind: 'load_ended', address, rows: 1, bytes: 2, durationMs: 3.2 },
    line: ['debug', { address, rows: 1, bytes: 2, duration_ms: 3 }, 'load ended'],
  },
  {
    name: 'a stream',
    event: {
      kind: 'stream_progress',
      source: 'shop',
      changes: 1,
      transactions: 2,
      confirmedLsn: '0/1',
      remainingBytes: null,
    },
    line: [
      'debug',
      { source: 'shop', changes: 1, transactions: 2, confirmed_lsn: '0/1', remaining_bytes: null },
      'streaming',
    ],
  },
  {
    name: 'a wait',
    event: { kind: 'waiting', address, what: 'transaction 7' },
    line: ['info', { address, what: 'transaction 7' }, 'waiting'],
  },
  {
    name: 'a table that failed',
    event: { kind: 'table_failed', address, error: { code: 'TABLE_MISSING', message: 'gone' } },
    line: ['error', { address, error: { code: 'TABLE_MISSING', message: 'gone' } }, 'table failed'],
  },
  {
    name: 'a notice',
    event: { kind: 'notice', address, message: 'odd' },
    line: ['warn', { address, notice: 'odd' }, 'notice'],
  },
  {
    name: 'every look at the WAL is for debugging',
    event: lag('ok', false),
    line: ['debug', lagFields('ok', 1, 0, 19_980), 'wal lag'],
  },
  {
    name: 'a lag that reached the warning',
    event: lag('warning', true),
    line: ['warn', lagFields('warning', 100, 5, 180), 'wal lag reached the warning'],
  },
  {
    name: 'a lag that is critical',
    event: lag('critical', true),
    line: ['error', lagFields('critical', 1_000, 50, 0), 'wal lag is critical'],
  },
  {
    name: 'a lag that is well again',
    event: lag('ok', true),
    line: ['info', lagFields('ok', 1, 0, 19_980), 'wal lag is well again'],
  },
  {
    name: 'a look that failed',
    event: { kind: 'wal_lag_unknown', source: 'shop', error: trouble, failures: 2 },
    line: ['warn', { source: 'shop', error: trouble, failures: 2 }, 'wal lag could not be read'],
  },
  {
    name: 'what the guard dropped',
    event: { kind: 'guard_dropped', address: 'shop:slot', message: 'too much' },
    line: ['error', { address: 'shop:slot', what: 'too much' }, 'guard dropped'],
  },
  {
    name: 'what the guard could not drop',
    event: { kind: 'guard_failed', address: 'shop:slot', error: trouble },
    line: ['error', { address: 'shop:slot', error: trouble }, 'guard failed, trying again'],
  },
  {
    name: 'an alert that reached nobody',
    event: { kind: 'alert_failed', hook: 'alerts[0] (webhook)', alert: 'guard_blind', error: trouble },
    line: ['error', { hook: 'alerts[0] (webhook)', alert: 'guard_blind', error: trouble }, 'alert failed'],
  },
  {
    name: 'the start of a change',
    event: { kind: 'change_started', change },
    line: ['debug', { action: 'create_slot', address: 'shop:slot' }, 'change started'],
  },
  {
    name: 'a change that was applied',
    event: { kind: 'change_ended', result: { change, status: 'applied', durationMs: 3 } },
    line: ['info', { action: 'create_slot', address: 'shop:slot', duration_ms: 3 }, 'change applied'],
  },
  {
    name: 'a change that failed',
    event: { kind: 'change_ended', result: { change, status: 'failed', error: { code: 'TIMEOUT', message: 'late' } } },
    line: [
      'error',
      { action: 'create_slot', address: 'shop:slot', error: { code: 'TIMEOUT', message: 'late' } },
      'change failed',
    ],
  },
  {
    name: 'a change that was not attempted',
    event: { kind: 'change_ended', result: { change, status: 'not_attempted', because: 'stopped' } },
    line: ['warn', { action: 'create_slot', address: 'shop:slot', because: 'stopped' }, 'change not attempted'],
  },
])('$name', (c) => {
  const lines: unknown[] = [];
  const at = (level: string) => (fields: object, message: string) => void lines.push([level, fields, message]);
  logEvent({ debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }, c.event);
  expect(lines).toEqual([c.line]);
});
