import { expect, test } from 'vitest';
import { formatLsn, lsnFromBigInt, parseLsn } from './lsn.js';

test.each([
  { text: '0/0', value: 0n },
  { text: '16/B374D848', value: 0x16b374d848n },
  { text: 'FFFFFFFF/FFFFFFFF', value: 2n ** 64n - 1n },
])('$text', ({ text, value }) => {
  expect(parseLsn(text)).toBe(value);
  expect(formatLsn(lsnFromBigInt(value))).toBe(text);
});

test.each(['', '0', '0/', '/0', '123456789/0', '0/G', ' 0/0'])('"%s" is no LSN', (text) => {
  expect(() => parseLsn(text)).toThrowError(expect.objectContaining({ code: 'LSN_MALFORMED' }));
});

test.each([-1n, 2n ** 64n])('%s is no LSN', (value) => {
  expect(() => lsnFromBigInt(value)).toThrowError(expect.objectContaining({ code: 'LSN_MALFORMED' }));
});
