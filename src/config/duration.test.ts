import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatDuration, parseDuration } from './duration.js';

test.each([
  { text: '500ms', ms: 500 },
  { text: '0s', ms: 0 },
  { text: '30s', ms: 30_000 },
  { text: '5m', ms: 300_000 },
  { text: '1h30m', ms: 5_400_000 },
  { text: '1d', ms: 86_400_000 },
  { text: '1d2h3m4s5ms', ms: 93_784_005 },
  { text: '90m', ms: 5_400_000 },
])('$text is $ms ms', ({ text, ms }) => {
  expect(parseDuration(text)).toBe(ms);
});

test.each(['', '5', 's', '5 m', '-5m', '1.5h', '30m1h', '1h1h', '5min', '5M', ' 5m', '5m\n', '1234567890s'])(
  '%j is none',
  (text) => {
    expect(parseDuration(text)).toBeNull();
  },
);

test('what is written is read back', async () => {
  await fc.assert(
    fc.property(fc.integer({ min: 0, max: 10_000 * 86_400_000 }), (ms) => {
      expect(parseDuration(formatDuration(ms))).toBe(ms);
    }),
  );
});
