import fc from 'fast-check';
import { expect, test } from 'vitest';
import { plainPaint } from '../terminal.js';
import { lineDiff } from './line-diff.js';

test('changed lines with what stands around them, places far apart on their own', () => {
  const before = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'].join('\n');
  const after = ['a', 'B', 'c', 'd', 'e', 'f', 'g', 'h', 'x', 'i'].join('\n');
  expect(lineDiff(before, after, plainPaint)).toBe(
    ['@@ line 1 @@', ' a', '-b', '+B', ' c', ' d', '@@ line 7 @@', ' g', ' h', '+x', ' i', ''].join('\n'),
  );
});

test('no difference, no text', () => expect(lineDiff('a\n', 'a\n', plainPaint)).toBe(''));

test('its minus lines are of the old text and its plus lines of the new, in order', () => {
  const text = fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(text, text, (before, after) => {
      const diff = lineDiff(before.join('\n'), after.join('\n'), plainPaint).split('\n');
      const of = (sign: string) => diff.filter((line) => line.startsWith(sign)).map((line) => line.slice(1));
      expect(of('-').length - of('+').length).toBe(before.length - after.length);
      expect(diff.length === 1).toBe(before.join() === after.join());
    }),
  );
});
