import { describe, expect, test } from 'vitest';
import { formatBytes, formatCount, formatDuration, formatShortCount, perSecond } from './quantity.js';

describe('formatBytes', () => {
  test.each<{ name: string; bytes: number | null; text: string }>([
    { name: 'unknown', bytes: null, text: '?' },
    { name: 'nothing', bytes: 0, text: '0 B' },
    { name: 'bytes stay whole', bytes: 1023, text: '1023 B' },
    { name: 'one KiB', bytes: 1024, text: '1 KiB' },
    { name: 'one decimal', bytes: 1536, text: '1.5 KiB' },
    { name: 'rounding up goes to the next unit', bytes: 1024 * 1024 - 1, text: '1 MiB' },
    { name: 'no decimal from 100 up', bytes: 351 * 1024 * 1024 + 200_000, text: '351 MiB' },
    { name: 'terabytes', bytes: 2.5 * 1024 ** 4, text: '2.5 TiB' },
    { name: 'negative', bytes: -2048, text: '-2 KiB' },
  ])('$name', (c) => expect(formatBytes(c.bytes)).toBe(c.text));
});

describe('formatCount', () => {
  test.each<{ name: string; count: number | null; text: string }>([
    { name: 'unknown', count: null, text: '?' },
    { name: 'small', count: 7, text: '7' },
    { name: 'thousands', count: 1234567, text: '1,234,567' },
    { name: 'exact thousand', count: 1000, text: '1,000' },
    { name: 'fractions are rounded', count: 999.6, text: '1,000' },
    { name: 'negative', count: -12345, text: '-12,345' },
    { name: 'no negative zero', count: -0.2, text: '0' },
  ])('$name', (c) => expect(formatCount(c.count)).toBe(c.text));
});

describe('formatShortCount', () => {
  test.each<{ name: string; count: number | null; text: string }>([
    { name: 'unknown', count: null, text: '?' },
    { name: 'below a thousand', count: 950, text: '950' },
    { name: 'thousands', count: 12_345, text: '12.3k' },
    { name: 'a round million', count: 3_000_000, text: '3M' },
    { name: 'rounding reaches the next letter', count: 999_600, text: '1M' },
    { name: 'billions', count: 1_240_000_000, text: '1.2B' },
    { name: 'three digits', count: 123_456, text: '123k' },
  ])('$name', (c) => expect(formatShortCount(c.count)).toBe(c.text));
});

describe('formatDuration', () => {
  test.each<{ name: string; ms: number | null; text: string }>([
    { name: 'unknown', ms: null, text: '?' },
    { name: 'nothing', ms: 0, text: '0 ms' },
    { name: 'milliseconds', ms: 350.4, text: '350 ms' },
    { name: 'almost a second', ms: 999.7, text: '1 s' },
    { name: 'seconds with a decimal', ms: 4_200, text: '4.2 s' },
    { name: 'whole seconds from ten up', ms: 41_300, text: '41 s' },
    { name: 'almost a minute', ms: 59_960, text: '1m 00s' },
    { name: 'minutes', ms: 185_000, text: '3m 05s' },
    { name: 'almost an hour', ms: 3_599_700, text: '1h 00m' },
    { name: 'hours', ms: 7_800_000, text: '2h 10m' },
    { name: 'days', ms: 4 * 86_400_000 + 3 * 3_600_000, text: '4d 3h' },
    { name: 'negative', ms: -4_200, text: '-4.2 s' },
  ])('$name', (c) => expect(formatDuration(c.ms)).toBe(c.text));
});

describe('perSecond', () => {
  test.each<{ name: string; amount: number; ms: number; rate: number | null }>([
    { name: 'a rate', amount: 500, ms: 250, rate: 2_000 },
    { name: 'no time, no rate', amount: 500, ms: 0, rate: null },
  ])('$name', (c) => expect(perSecond(c.amount, c.ms)).toBe(c.rate));
});
