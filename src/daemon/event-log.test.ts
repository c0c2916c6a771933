import { expect, test } from 'vitest';
import { fakeChange } from '../../test/fake/engine.js';
import type { EngineEvent } from '../executor/engine.js';
import { logEvent } from './event-log.js';

const address = 'shop:public.users';
const change = fakeChange();

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
