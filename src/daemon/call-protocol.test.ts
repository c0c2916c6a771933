import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fakeChange, fakePlan } from '../../test/fake/engine.js';
import type { ChangeResult, EngineEvent } from '../executor/engine.js';
import {
  type Call,
  type CallLine,
  callDocument,
  callLine,
  changeEvent,
  changeResults,
  lineOf,
  outcomeOf,
  readCall,
  readCallLine,
} from './call-protocol.js';
import { aSyncReport } from './engine-shapes.js';
import { linesOf } from './line-stream.js';

const PLAN = fakePlan([fakeChange(), fakeChange({ address: 'crm:slot' })]);
const ERROR = { code: 'SLOT_LOST', message: 'gone', hint: 'resync', cause: 'why', address: 'shop:slot' } as const;

const CALLS: readonly Call[] = [
  { call: 'sync', request: { address: 'shop', untilCaughtUp: true, force: false } },
  { call: 'sync', request: { address: null, untilCaughtUp: false, force: true } },
  { call: 'apply', plan: PLAN },
  { call: 'resync', addresses: ['shop:public.users'], reason: 'asked for' },
  { call: 'pause', addresses: ['shop', 'crm'] },
  { call: 'resume', addresses: ['shop'] },
];

test.each(CALLS)('$call is read as it was asked', (call) => {
  const document: unknown = JSON.parse(callDocument({ configHash: 'c0ffee', call }));
  expect(readCall(document)).toEqual({ configHash: 'c0ffee', call });
});

const LAG = {
  at: '2026-03-02T12:00:00.000Z',
  exists: true,
  retainedBytes: 1,
  unconfirmedBytes: null,
  walStatus: 'reserved',
  safeWalSizeBytes: null,
  keepSizeBytes: null,
  level: 'ok',
  since: '2026-03-02T12:00:00.000Z',
  warningBytes: 1,
  criticalBytes: 2,
  growthBytesPerSecond: -1.5,
  secondsUntilCritical: null,
  secondsUntilLost: null,
  window: [{ at: '2026-03-02T12:00:00.000Z', retainedBytes: 1 }],
} as const;
const address = 'shop:public.users';

/** One of each that a command hears of. */
const EVENTS: readonly EngineEvent[] = [
  { kind: 'load_started', address, method: 'cdc', estimatedRows: 3 },
  { kind: 'load_progress', address, rows: 1, bytes: 2, estimatedRows: null },
  { kind: 'load_ended', address, rows: 1, bytes: 2, durationMs: 3.5 },
  { kind: 'stream_progress', source: 'shop', changes: 1, transactions: 1, confirmedLsn: '0/1', remainingBytes: null },
  {
    kind: 'page_committed',
    source: 'shop',
    durationMs: 1,
    transactions: 2,
    asOf: '2026-03-02T12:00:00.000Z',
    tables: [{ address, inserted: 1, updated: 2, deleted: 3, rejected: 0 }],
  },
  { kind: 'waiting', address: 'warehouse', what: 'a reader' },
  { kind: 'table_failed', address, error: ERROR },
  { kind: 'notice', address, message: 'altered' },
  { kind: 'wal_lag', source: 'shop', slot: 's', lag: LAG, changed: false },
  { kind: 'wal_lag_unknown', source: 'shop', error: ERROR, failures: 3 },
  { kind: 'guard_dropped', address, message: 'dropped' },
  { kind: 'guard_failed', address, error: ERROR },
  { kind: 'alert_failed', hook: 'webhook', alert: 'lag_warning', error: ERROR },
];

const SYNC: Call = { call: 'sync', request: { address: null, untilCaughtUp: false, force: false } };

test.each(EVENTS)('$kind comes over as it was, its fields in their order', (event) => {
  const line = lineOf(event, SYNC);
  if (line === null) throw new Error('it is not told');
  expect(JSON.stringify(readCallLine(JSON.parse(callLine(line))))).toBe(JSON.stringify({ kind: 'event', event }));
});

test('changes of a plan go by their place, and come back with the change of the plan that was sent', () => {
  const call: Call = { call: 'apply', plan: PLAN };
  const [first, second] = PLAN.changes;
  if (first === undefined || second === undefined) throw new Error('no changes');
  const results: readonly ChangeResult[] = [
    { change: first, status: 'failed', error: ERROR },
    { change: second, status: 'not_attempted', because: 'the first failed' },
  ];
  for (const event of [
    { kind: 'change_started', change: second },
    ...results.map((result) => ({ kind: 'change_ended', result }) as const),
    { kind: 'change_ended', result: { change: first, status: 'applied', durationMs: 2 } },
  ] satisfies readonly EngineEvent[]) {
    const line = lineOf(event, call);
    const read = line === null ? null : readCallLine(JSON.parse(callLine(line)));
    if (read?.kind !== 'change') throw new Error('no change');
    expect(changeEvent(PLAN, read)).toEqual(event);
  }
  expect(changeResults(PLAN)(JSON.parse(JSON.stringify(results.map(outcomeOf))))).toEqual(results);
  expect(() => changeResults(PLAN)([])).toThrow(expect.objectContaining({ code: 'DAEMON_UNREACHABLE' }));
  expect(lineOf({ kind: 'change_started', change: fakeChange() }, call)).toBeNull();
});

test('the end of a source is not told: the result has it', () => {
  expect(lineOf({ kind: 'guard_dropped', address, message: 'm' }, SYNC)).not.toBeNull();
  expect(readCallLine({ kind: 'event', event: { kind: 'of_tomorrow' } })).toBeNull();
  expect(readCallLine({ kind: 'of_tomorrow' })).toBeNull();
});

describe('what is something else', () => {
  test.each<{ name: string; document: unknown }>([
    { name: 'another version', document: { format_version: 99, config_hash: 'x', call: 'pause', addresses: [] } },
    { name: 'no version', document: { config_hash: 'x', call: 'pause', addresses: [] } },
    { name: 'another call', document: { format_version: 1, config_hash: 'x', call: 'drop_all' } },
    { name: 'a wrong field', document: { format_version: 1, config_hash: 'x', call: 'pause', addresses: [7] } },
    { name: 'no hash', document: { format_version: 1, call: 'pause', addresses: [] } },
  ])('is refused as a call: $name', ({ document }) => {
    expect(() => readCall(document)).toThrow(expect.objectContaining({ code: 'DAEMON_UNREACHABLE' }));
  });

  test('is refused as a plan with what it lacks', () => {
    const document = { format_version: 1, config_hash: 'x', call: 'apply', plan: { format_version: 1, id: 'p' } };
    expect(() => readCall(document)).toThrow(expect.objectContaining({ code: 'PLAN_UNREADABLE' }));
  });

  test('is refused as a line that begins, where the version is another', () => {
    expect(() => readCallLine({ kind: 'begun', id: 1, format_version: 2 })).toThrow(
      expect.objectContaining({ code: 'DAEMON_UNREACHABLE' }),
    );
  });

  test('is read, or refused with a code, whatever it is', () => {
    const kinds = fc.constantFrom('begun', 'event', 'change', 'result', 'error', 'load_progress', 'sync', 'apply');
    const document = fc.oneof(
      fc.jsonValue(),
      fc.record({ kind: kinds, event: fc.jsonValue(), outcome: fc.jsonValue(), error: fc.jsonValue() }),
      fc.record({ format_version: fc.constant(1), config_hash: fc.string(), call: kinds, request: fc.jsonValue() }),
    );
    const codes = new Set<unknown>();
    fc.assert(
      fc.property(document, (value) => {
        for (const read of [readCall, readCallLine, aSyncReport]) {
          try {
            read(value);
          } catch (error) {
            codes.add(typeof error === 'object' && error !== null && 'code' in error ? error.code : error);
          }
        }
      }),
    );
    expect([...codes].filter((code) => code !== 'DAEMON_UNREACHABLE' && code !== 'PLAN_UNREADABLE')).toEqual([]);
  });
});

test('lines are the same however the bytes are cut', async () => {
  const lines = fc.array(fc.record({ text: fc.string({ unit: 'binary' }) }).map((value) => JSON.stringify(value)));
  await fc.assert(
    fc.asyncProperty(lines, fc.array(fc.nat()), async (expected, cuts) => {
      const bytes = Buffer.from(`${expected.map((line) => `${line}\n`).join('')}{"cut": "o`);
      const ends = [...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
      const chunks = ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
      const read: string[] = [];
      for await (const line of linesOf(streamOf(chunks))) read.push(line);
      expect(read).toEqual(expected);
    }),
  );
});

async function* streamOf(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

test('a report comes over as it was', () => {
  const line: CallLine = { kind: 'result', result: { sources: [], ok: true } };
  const read = readCallLine(JSON.parse(callLine(line)));
  expect(read?.kind === 'result' ? aSyncReport(read.result) : null).toEqual({ sources: [], ok: true });
});
