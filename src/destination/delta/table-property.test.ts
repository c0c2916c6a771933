import { expect, test } from 'vitest';
import { intervalMs, logRetentionMs, removedFileRetentionMs } from './table-property.js';

const DAY = 86_400_000;

test.each<{ text: string; ms: number | null }>([
  { text: 'interval 30 days', ms: 30 * DAY },
  { text: 'interval 1 week', ms: 7 * DAY },
  { text: 'INTERVAL 1 Day 12 Hours', ms: 1.5 * DAY },
  { text: '2 days', ms: 2 * DAY },
  { text: 'interval 0 seconds', ms: 0 },
  { text: 'interval 1500 microseconds', ms: 1.5 },
  { text: 'interval 1 month', ms: null },
  { text: 'interval -1 days', ms: null },
  { text: 'interval 1.5 days', ms: null },
  { text: 'interval', ms: null },
  { text: 'interval 3', ms: null },
  { text: '', ms: null },
])('"$text" is $ms ms', ({ text, ms }) => expect(intervalMs(text)).toBe(ms));

test('has a default, and is not guessed where it cannot be read', () => {
  expect([logRetentionMs({}), removedFileRetentionMs({})]).toEqual([30 * DAY, 7 * DAY]);
  expect(logRetentionMs({ 'delta.logRetentionDuration': 'interval 2 days' })).toBe(2 * DAY);
  expect(() => logRetentionMs({ 'delta.logRetentionDuration': 'forever' })).toThrow(
    /logRetentionDuration is "forever"/,
  );
});
