import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeZ85, encodeZ85 } from './z85.js';

describe('Z85', () => {
  test.each([
    { name: 'the test case of RFC 32', hex: '864fd26fb559f75b', text: 'HelloWorld' },
    { name: 'nothing', hex: '', text: '' },
    { name: 'zeros', hex: '00000000', text: '00000' },
    { name: 'all ones', hex: 'ffffffff', text: '%nSc0' },
    {
      name: "the UUID of the protocol's example",
      hex: 'd2c639aa8816431aaaf6d3fe2512ff61',
      text: '^-aqEH.-t@S}K{vb[*k^',
    },
  ])('$name', ({ hex, text }) => {
    expect(encodeZ85(Buffer.from(hex, 'hex'))).toBe(text);
    expect(Buffer.from(decodeZ85(text) ?? 'null').toString('hex')).toBe(hex);
  });

  test.each([
    { name: 'a cut group', text: '0000' },
    { name: 'a space', text: '00 00' },
    { name: 'a quote', text: '00"00' },
    { name: 'a letter beyond ASCII', text: '00é00' },
    { name: 'a group over 2^32', text: '%nSc1' },
    { name: 'the largest group', text: '#####' },
  ])('refuses $name', ({ text }) => expect(decodeZ85(text)).toBeNull());

  test('bytes come back, with zeros up to a multiple of four', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const padded = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
        padded.set(bytes);
        expect(decodeZ85(encodeZ85(bytes))).toEqual(padded);
      }),
    );
  });
});
