import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  isOverdue,
  judgeLag,
  type LagLevel,
  type LagSample,
  type LagSettings,
  lagSettings,
  type WalLag,
} from './wal-lag.js';

const MIB = 1024 * 1024;
const SETTINGS: LagSettings = { warningBytes: 1_000, criticalBytes: 10_000, onCritical: 'drop_slot' };

function sample(seconds: number, retainedBytes: number | null, fields: Partial<LagSample> = {}): LagSample {
  return {
    at: new Date(Date.UTC(2026, 2, 2) + seconds * 1_000).toISOString(),
    exists: true,
    retainedBytes,
    unconfirmedBytes: retainedBytes,
    walStatus: 'reserved',
    safeWalSizeBytes: null,
    keepSizeBytes: null,
    ...fields,
  };
}

/** Judges a slot at 20 s intervals; a number is its retained bytes. */
function judged(looks: readonly (number | null | Partial<LagSample>)[], settings = SETTINGS): WalLag[] {
  const lags: WalLag[] = [];
  for (const [index, look] of looks.entries()) {
    const next =
      typeof look === 'object' && look !== null
        ? sample(index * 20, look.retainedBytes ?? null, look)
        : sample(index * 20, look);
    lags.push(judgeLag(next, lags.at(-1) ?? null, settings));
  }
  return lags;
}

describe('level', () => {
  test.each<{ name: string; looks: readonly (number | null | Partial<LagSample>)[]; levels: readonly LagLevel[] }>([
    { name: 'nothing held back', looks: [0, null], levels: ['ok', 'ok'] },
    { name: 'at each threshold', looks: [999, 1_000, 9_999, 10_000], levels: ['ok', 'warning', 'warning', 'critical'] },
    { name: 'straight to critical', looks: [50_000], levels: ['critical'] },
    {
      name: 'critical ends below 80 % of its threshold',
      looks: [10_000, 9_999, 8_000, 7_999],
      levels: ['critical', 'critical', 'critical', 'warning'],
    },
    {
      name: 'the warning ends below 80 % of its threshold',
      looks: [1_000, 800, 799, 900, 1_000],
      levels: ['warning', 'warning', 'ok', 'ok', 'warning'],
    },
    { name: 'from critical to ok at once', looks: [10_000, 0], levels: ['critical', 'ok'] },
    { name: 'from critical into the hold of the warning', looks: [10_000, 850], levels: ['critical', 'warning'] },
    {
      name: 'a lost slot holds nothing back',
      looks: [10_000, { retainedBytes: 20_000, walStatus: 'lost' }],
      levels: ['critical', 'ok'],
    },
    {
      name: 'a slot that is gone',
      looks: [10_000, { exists: false, retainedBytes: null, walStatus: null }],
      levels: ['critical', 'ok'],
    },
    {
      name: 'critical at 0.8 of what the server keeps, where that is lower',
      looks: [
        { retainedBytes: 1_599, keepSizeBytes: 2_000 },
        { retainedBytes: 1_600, keepSizeBytes: 2_000 },
      ],
      levels: ['warning', 'critical'],
    },
    {
      name: 'a warning still comes first where that is below the warning as configured',
      looks: [399, 400, 800].map((retainedBytes) => ({ retainedBytes, keepSizeBytes: 1_000 })),
      levels: ['ok', 'warning', 'critical'],
    },
    {
      name: 'what the server keeps does not raise the threshold',
      looks: [{ retainedBytes: 10_000, keepSizeBytes: 1_000_000 }],
      levels: ['critical'],
    },
  ])('$name', (c) => expect(judged(c.looks).map((lag) => lag.level)).toEqual(c.levels));

  test('tells since when', () => {
    const [first, second, third] = judged([1_000, 2_000, 10_000]);
    expect(second?.since).toBe(first?.at);
    expect(third?.since).toBe(third?.at);
  });

  test('is drawn by the retained WAL alone, and never falls within the hold', async () => {
    const order: readonly LagLevel[] = ['ok', 'warning', 'critical'];
    await fc.assert(
      fc.property(fc.array(fc.nat(20_000), { minLength: 1, maxLength: 20 }), (looks) => {
        for (const [index, lag] of judged(looks).entries()) {
          const fresh = judgeLag(sample(0, looks[index] ?? 0), null, SETTINGS).level;
          const held = judgeLag(sample(0, (looks[index] ?? 0) / 0.8), null, SETTINGS).level;
          expect(order.indexOf(lag.level)).toBeGreaterThanOrEqual(order.indexOf(fresh));
          expect(order.indexOf(lag.level)).toBeLessThanOrEqual(order.indexOf(held));
        }
      }),
    );
  });
});

describe('growth and time left', () => {
  test.each<{
    name: string;
    looks: readonly (number | null | Partial<LagSample>)[];
    growth: number | null;
    untilCritical: number | null;
    untilLost: number | null;
  }>([
    { name: 'nothing to tell from one look', looks: [500], growth: null, untilCritical: null, untilLost: null },
    { name: 'two looks', looks: [0, 2_000], growth: 100, untilCritical: 80, untilLost: null },
    { name: 'over all looks of the window', looks: [0, 2_000, 2_000], growth: 50, untilCritical: 160, untilLost: null },
    { name: 'standing still', looks: [500, 500], growth: 0, untilCritical: null, untilLost: null },
    { name: 'shrinking', looks: [4_000, 2_000], growth: -100, untilCritical: null, untilLost: null },
    { name: 'growing again', looks: [0, 4_000, 2_000, 3_000], growth: 50, untilCritical: 140, untilLost: null },
    { name: 'beyond the threshold', looks: [0, 20_000], growth: 1_000, untilCritical: 0, untilLost: null },
    { name: 'a slot that holds nothing', looks: [0, null], growth: null, untilCritical: null, untilLost: null },
    {
      name: 'what the server still keeps',
      looks: [0, { retainedBytes: 2_000, safeWalSizeBytes: 500 }],
      growth: 100,
      untilCritical: 80,
      untilLost: 5,
    },
    {
      name: 'nothing safe any more',
      looks: [0, { retainedBytes: 2_000, safeWalSizeBytes: -100, walStatus: 'unreserved' }],
      growth: 100,
      untilCritical: 80,
      untilLost: 0,
    },
  ])('$name', (c) => {
    const lag = judged(c.looks).at(-1);
    expect([lag?.growthBytesPerSecond, lag?.secondsUntilCritical, lag?.secondsUntilLost]).toEqual([
      c.growth,
      c.untilCritical,
      c.untilLost,
    ]);
  });

  test('a clock that stood still or went back tells nothing', () => {
    const first = judgeLag(sample(20, 0), null, SETTINGS);
    expect(judgeLag(sample(20, 500), first, SETTINGS).growthBytesPerSecond).toBeNull();
    expect(judgeLag(sample(0, 500), first, SETTINGS).growthBytesPerSecond).toBeNull();
  });

  test('the window is five minutes, however long it goes on', () => {
    const lags = judged(Array.from({ length: 100 }, (_, index) => (index < 80 ? 0 : (index - 79) * 20)));
    expect(lags.at(-1)?.window).toHaveLength(16);
    expect(lags.at(-1)?.growthBytesPerSecond).toBe(1);
  });
});

test.each<{ name: string; looks: readonly (number | Partial<LagSample>)[]; overdue: boolean }>([
  { name: 'below', looks: [9_999], overdue: false },
  { name: 'at the threshold', looks: [10_000], overdue: true },
  { name: 'critical still, but below the threshold', looks: [10_000, 9_000], overdue: false },
  { name: 'lost', looks: [{ retainedBytes: 20_000, walStatus: 'lost' }], overdue: false },
])('overdue: $name', (c) => {
  const lag = judged(c.looks).at(-1);
  expect(lag === undefined ? null : isOverdue(lag)).toBe(c.overdue);
});

test('a source that left the file is watched, and its slot never dropped', () => {
  expect(lagSettings(undefined)).toEqual({
    warningBytes: 1_024 * MIB,
    criticalBytes: 10_240 * MIB,
    onCritical: 'alert',
  });
});
