import { expect, test } from 'vitest';
import { emptyRun } from '../executor/empty-run.js';
import type { EngineEvent } from '../executor/engine.js';
import { RunningLoads } from './running-loads.js';

const NOW = new Date('2026-03-02T12:00:00Z');
const error = { code: 'SOURCE_UNREACHABLE', message: 'nothing answers' } as const;
const started = (address: string): EngineEvent => ({
  kind: 'load_started',
  address,
  method: 'cdc',
  estimatedRows: 2_000,
});

test('a load is told from its start to its end', () => {
  const loads = new RunningLoads();
  loads.onEvent(started('shop:public.t'), NOW);
  loads.onEvent({ kind: 'load_progress', address: 'shop:public.t', rows: 5, bytes: 60, estimatedRows: null }, NOW);
  expect(loads.list()).toEqual([
    {
      address: 'shop:public.t',
      method: 'cdc',
      started_at: '2026-03-02T12:00:00.000Z',
      rows: 5,
      bytes: 60,
      estimated_rows: 2_000,
    },
  ]);
  loads.onEvent({ kind: 'load_ended', address: 'shop:public.t', rows: 9, bytes: 90, durationMs: 1 }, NOW);
  expect(loads.list()).toEqual([]);
});

test.each<{ name: string; event: EngineEvent; left: readonly string[] }>([
  {
    name: 'the failure of its table',
    event: { kind: 'table_failed', address: 'shop:public.a', error },
    left: ['shop:public.b', 'crm:public.a'],
  },
  {
    name: 'trouble of its source',
    event: { kind: 'source_ended', run: emptyRun('shop', error), at: '' },
    left: ['crm:public.a'],
  },
  {
    name: 'not with another piece of work of its source',
    event: { kind: 'source_ended', run: emptyRun('shop', null), at: '' },
    left: ['shop:public.a', 'shop:public.b', 'crm:public.a'],
  },
])('ends with $name', ({ event, left }) => {
  const loads = new RunningLoads();
  for (const address of ['shop:public.a', 'shop:public.b', 'crm:public.a']) loads.onEvent(started(address), NOW);
  loads.onEvent(event, NOW);
  expect(loads.list().map(({ address }) => address)).toEqual(left);
});
