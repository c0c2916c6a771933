import { describe, expect, test } from 'vitest';
import { quoteIdentifier, quoteLiteral, quoteQualified } from './sql-identifier.js';

test.each([
  { name: 'plain', input: 'users', quoted: '"users"' },
  { name: 'upper case is kept', input: 'Users', quoted: '"Users"' },
  { name: 'double quotes are doubled', input: 'a"b""c', quoted: '"a""b""""c"' },
  { name: 'an attempt to break out', input: 'x"; drop table t; --', quoted: '"x""; drop table t; --"' },
  { name: 'spaces, dots and accents', input: 'é. ü', quoted: '"é. ü"' },
])('identifier: $name', ({ input, quoted }) => expect(quoteIdentifier(input)).toBe(quoted));

test('a dot in a name does not part it', () => {
  expect(quoteQualified({ schema: 'a.b', name: 'c' })).toBe('"a.b"."c"');
});

test.each([
  { name: 'plain', input: 'x', quoted: "'x'" },
  { name: 'empty', input: '', quoted: "''" },
  { name: 'quotes are doubled', input: "it's", quoted: "'it''s'" },
  { name: 'backslashes do not depend on a setting', input: "a\\'b", quoted: "E'a\\\\''b'" },
])('literal: $name', ({ input, quoted }) => expect(quoteLiteral(input)).toBe(quoted));

describe('refused', () => {
  test.each([
    { name: 'an empty name', call: () => quoteIdentifier('') },
    { name: 'a zero byte in a name', call: () => quoteIdentifier('a\0b') },
    { name: 'a name that Postgres would cut off', call: () => quoteIdentifier('é'.repeat(32)) },
    { name: 'a zero byte in a literal', call: () => quoteLiteral('\0') },
  ])('$name', ({ call }) => expect(call).toThrow(expect.objectContaining({ code: 'INTERNAL' })));
});
