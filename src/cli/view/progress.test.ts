import { describe, expect, test } from 'vitest';
import { etaOf, type LoadProgress, loadLine, RateWindow, streamLine } from './progress.js';

const LOAD: LoadProgress = {
  address: 'shop:public.users',
  rows: 750_000,
  bytes: 88 * 1024 * 1024,
  estimatedRows: 3_000_000,
  rowsPerSecond: 353_000,
};

describe('loadLine', () => {
  test.each<{ name: string; load: LoadProgress; line: string }>([
    {
      name: 'a quarter',
      load: LOAD,
      line: 'shop:public.users  [#####...............]  25%  750,000 rows  88 MiB  353k rows/s  ETA 6.4 s',
    },
    {
      name: 'more rows than Postgres guessed',
      load: { ...LOAD, rows: 3_100_000 },
      line: 'shop:public.users  [####################]  99%  3,100,000 rows  88 MiB  353k rows/s',
    },
    {
      name: 'no estimate',
      load: { ...LOAD, estimatedRows: null },
      line: 'shop:public.users  750,000 rows  88 MiB  353k rows/s',
    },
    {
      name: 'nothing yet',
      load: { ...LOAD, rows: 0, bytes: 0, rowsPerSecond: null },
      line: 'shop:public.users  [....................]  0%  0 rows',
    },
  ])('$name', (c) => expect(loadLine(c.load)).toBe(c.line));

  test.each<{ columns: number; line: string }>([
    {
      columns: 95,
      line: 'shop:public.users  [#####...............]  25%  750,000 rows  88 MiB  353k rows/s  ETA 6.4 s',
    },
    { columns: 85, line: 'shop:public.users  [###.......]  25%  750,000 rows  88 MiB  353k rows/s  ETA 6.4 s' },
    { columns: 75, line: 'shop:public.users  [###.......]  25%  750,000 rows  353k rows/s  ETA 6.4 s' },
    { columns: 60, line: 'shop:public.users  25%  750,000 rows  353k rows/s  ETA 6.4 s' },
    { columns: 20, line: 'shop:public.users  25%  750,000 rows  353k rows/s  ETA 6.4 s' },
  ])('in $columns columns', (c) => expect(loadLine(LOAD, c.columns)).toBe(c.line));
});

describe('etaOf', () => {
  test.each<{ name: string; load: LoadProgress; etaMs: number | null }>([
    { name: 'what is left at this rate', load: { ...LOAD, rows: 2_000_000, rowsPerSecond: 500_000 }, etaMs: 2_000 },
    { name: 'stalled', load: { ...LOAD, rowsPerSecond: 0 }, etaMs: null },
    { name: 'past the estimate', load: { ...LOAD, rows: 4_000_000 }, etaMs: null },
  ])('$name', (c) => expect(etaOf(c.load)).toBe(c.etaMs));
});

test('streamLine', () => {
  const stream = { source: 'shop', changes: 12_345, transactions: 40, confirmedLsn: '0/16B3748' };
  expect(streamLine({ ...stream, changesPerSecond: 8_100, remainingBytes: 12 * 1024 * 1024 })).toBe(
    'shop  stream  12,345 changes in 40 transactions  8.1k changes/s  12 MiB remaining  at 0/16B3748',
  );
  expect(streamLine({ ...stream, changesPerSecond: 8_100, remainingBytes: 0 }, 60)).toBe(
    'shop  stream  12,345 changes  8.1k changes/s  0 B remaining',
  );
  expect(streamLine({ ...stream, changesPerSecond: null, remainingBytes: null })).toBe(
    'shop  stream  12,345 changes in 40 transactions  at 0/16B3748',
  );
});

describe('RateWindow', () => {
  test.each<{ name: string; samples: [number, number][]; rate: number | null }>([
    { name: 'nothing', samples: [], rate: null },
    { name: 'one sample', samples: [[0, 0]], rate: null },
    {
      name: 'two at one moment',
      samples: [
        [5, 0],
        [5, 10],
      ],
      rate: null,
    },
    {
      name: 'the whole time while it is short',
      samples: [
        [0, 0],
        [1_000, 100],
        [2_000, 400],
      ],
      rate: 200,
    },
    {
      name: 'only the last ten seconds',
      samples: [
        [0, 0],
        [10_000, 10_000],
        [20_000, 10_100],
      ],
      rate: 10,
    },
    {
      name: 'a gap longer than the window',
      samples: [
        [0, 0],
        [60_000, 600],
      ],
      rate: 10,
    },
  ])('$name', (c) => {
    const window = new RateWindow();
    for (const [atMs, amount] of c.samples) window.add(atMs, amount);
    expect(window.perSecond()).toBe(c.rate);
  });
});
