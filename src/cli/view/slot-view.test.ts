import { describe, expect, test } from 'vitest';
import type { SourceStatus } from '../../executor/engine.js';
import type { LagFacts } from '../../guard/wal-lag.js';
import { displayWidth, type Paint, plainPaint } from '../terminal.js';
import { slotLines, slotText } from './slot-view.js';

const MIB = 1024 * 1024;

const LAG: LagFacts = {
  at: '2026-03-02T12:00:00Z',
  exists: true,
  retainedBytes: 12 * MIB,
  unconfirmedBytes: 2048,
  walStatus: 'reserved',
  safeWalSizeBytes: null,
  keepSizeBytes: null,
  level: 'ok',
  since: '2026-03-02T11:00:00Z',
  warningBytes: 1024 * MIB,
  criticalBytes: 10_240 * MIB,
  growthBytesPerSecond: null,
  secondsUntilCritical: null,
  secondsUntilLost: null,
};

const WELL: NonNullable<SourceStatus['slot']> = {
  name: 'sluice_shop',
  exists: true,
  active: false,
  walStatus: 'reserved',
  failover: true,
  trouble: null,
  retainedWalBytes: 12 * MIB,
  unconfirmedWalBytes: 2048,
  confirmedLsn: '0/16B3748',
  lag: LAG,
};
const GROWING = { ...WELL, lag: { ...LAG, growthBytesPerSecond: 165, secondsUntilCritical: 64_926_000 } };
const WARNED = {
  ...WELL,
  lag: {
    ...LAG,
    level: 'warning' as const,
    growthBytesPerSecond: 1_258_291,
    secondsUntilCritical: 2_410,
    secondsUntilLost: 7_500,
  },
};
const LONG = { ...WARNED, name: 'sluice_the_longest_name_that_postgres_allows_for_a_slot_is_63_by' };

const lines = (slot: typeof WELL, columns: number | null): string => {
  const made = slotLines(slot, '  ', { paint: plainPaint, columns });
  for (const line of made) if (columns !== null) expect(displayWidth(line), line).toBeLessThanOrEqual(columns);
  return made.join('\n');
};

describe('a slot that is well', () => {
  test('in a pipe: one line', () =>
    expect(lines(WELL, null)).toBe(
      '  slot sluice_shop, idle, reserved, outlives a failover, keeps 12 MiB of WAL, 2 KiB behind, confirmed up to 0/16B3748',
    ));

  test.each([160, 117])('%i columns: one line', (columns) => expect(lines(WELL, columns)).toBe(lines(WELL, null)));

  test.each([116, 110, 80])('%i columns: what it is, then what it keeps', (columns) =>
    expect(lines(WELL, columns)).toBe(
      '  slot sluice_shop, idle, reserved, outlives a failover\n' +
        '    keeps 12 MiB of WAL, 2 KiB behind, confirmed up to 0/16B3748',
    ),
  );
});

describe('one that grows', () => {
  test('160 columns', () =>
    expect(lines(GROWING, 160)).toBe(
      '  slot sluice_shop, idle, reserved, outlives a failover, keeps 12 MiB of WAL (+165 B/s, 751d 11h to critical), 2 KiB behind, confirmed up to 0/16B3748',
    ));

  test('110 columns', () =>
    expect(lines(GROWING, 110)).toBe(
      '  slot sluice_shop, idle, reserved, outlives a failover\n' +
        '    keeps 12 MiB of WAL (+165 B/s, 751d 11h to critical), 2 KiB behind, confirmed up to 0/16B3748',
    ));

  test('80 columns', () =>
    expect(lines(GROWING, 80)).toBe(
      '  slot sluice_shop, idle, reserved, outlives a failover\n' +
        '    keeps 12 MiB of WAL, 2 KiB behind, confirmed up to 0/16B3748\n' +
        '    lag: +165 B/s, 751d 11h to critical',
    ));
});

test.each([160, 110, 80])('one that holds back much, %i columns', (columns) =>
  expect(lines(WARNED, columns)).toBe(
    columns === 160
      ? '  slot sluice_shop, idle, reserved, outlives a failover\n' +
          '    keeps 12 MiB of WAL (warning, +1.2 MiB/s, 40m 10s to critical, 2h 05m to lost), 2 KiB behind, confirmed up to 0/16B3748'
      : '  slot sluice_shop, idle, reserved, outlives a failover\n' +
          '    keeps 12 MiB of WAL, 2 KiB behind, confirmed up to 0/16B3748\n' +
          '    lag: warning, +1.2 MiB/s, 40m 10s to critical, 2h 05m to lost',
  ),
);

test('a line that is too long by itself goes on in the next', () =>
  expect(lines(LONG, 80)).toMatchInlineSnapshot(`
  "  slot sluice_the_longest_name_that_postgres_allows_for_a_slot_is_63_by, idle
      reserved, outlives a failover
      keeps 12 MiB of WAL, 2 KiB behind, confirmed up to 0/16B3748
      lag: warning, +1.2 MiB/s, 40m 10s to critical, 2h 05m to lost"
`));

test('colours take no room', () => {
  const red: Paint = (_, text) => `\u001b[31m${text}\u001b[39m`;
  const painted = slotLines({ ...WELL, walStatus: 'lost' }, '  ', { paint: red, columns: 115 });
  expect(painted).toHaveLength(1);
});

test('of a slot that the server was not asked for only the name is told', () => {
  const unknown = { ...WELL, exists: null, active: null, walStatus: null, failover: null, lag: null };
  const slot = { ...unknown, retainedWalBytes: null, unconfirmedWalBytes: null, confirmedLsn: null };
  expect(lines(slot, 80)).toBe('  slot sluice_shop');
});

test('in brief: only what is out of the ordinary', () => {
  expect(slotText(GROWING, plainPaint, true)).toBe('slot sluice_shop, keeps 12 MiB of WAL, 2 KiB behind');
});
