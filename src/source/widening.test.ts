import { describe, expect, test } from 'vitest';
import type { ObservedType } from './catalog-model.js';
import { OID } from './type-oid.js';
import { readsAs, widens } from './widening.js';

describe('widens', () => {
  test.each([
    ['smallint', 'integer', true],
    ['smallint', 'bigint', true],
    ['integer', 'bigint', true],
    ['bigint', 'integer', false],
    ['integer', 'numeric(20,0)', false],
    ['numeric(10,2)', 'numeric(12,2)', true],
    ['numeric(10,2)', 'numeric(12,4)', true],
    ['numeric(10,2)', 'numeric(11,4)', false],
    ['numeric(12,2)', 'numeric(10,2)', false],
    ['numeric(10,2)', 'numeric', false],
    ['numeric(38,2)', 'numeric(39,2)', false],
    ['numeric(5,-2)', 'numeric(7,0)', true],
    ['character varying(10)', 'character varying(20)', true],
    ['character varying(10)', 'text', true],
    ['character varying', 'text', true],
    ['text', 'character varying(10)', false],
    ['character varying(20)', 'character varying(10)', false],
    ['character(3)', 'character(5)', false],
    ['real', 'double precision', false],
    ['date', 'timestamp without time zone', false],
    ['constructor', 'bigint', false],
  ])('%s -> %s: %s', (from, to, expected) => {
    expect(widens(from, to)).toBe(expected);
  });
});

describe('readsAs', () => {
  const numeric = (precision: number, scale: number): number => ((precision << 16) | (scale & 0x7ff)) + 4;
  const type = (oid: number, typmod = -1, fields: Partial<ObservedType> = {}): ObservedType => ({
    oid,
    name: 'x',
    kind: 'b',
    baseOid: oid,
    baseName: 'x',
    baseKind: 'b',
    typmod,
    element: null,
    ...fields,
  });
  const NUMERIC = { oid: OID.numeric, name: 'numeric', kind: 'b' } as const;
  test.each([
    ['the same type', OID.int4, -1, type(OID.int4), true],
    ['int4 for a bigint', OID.int4, -1, type(OID.int8), true],
    ['int8 for an integer', OID.int8, -1, type(OID.int4), false],
    ['a narrower decimal', OID.numeric, numeric(10, 2), type(OID.numeric, numeric(12, 4)), true],
    ['a wider decimal', OID.numeric, numeric(12, 4), type(OID.numeric, numeric(10, 2)), false],
    ['a decimal for plain numeric', OID.numeric, numeric(10, 2), type(OID.numeric), false],
    ['plain numeric for a decimal', OID.numeric, -1, type(OID.numeric, numeric(10, 2)), false],
    ['varchar(5) for text', OID.varchar, 9, type(OID.text), true],
    ['a longer varchar of the same type', OID.varchar, 99, type(OID.varchar, 9), true],
    ['float4 for float8', OID.float4, -1, type(OID.float8), false],
    ['a domain, whatever its modifier', 70_000, -1, type(70_000, numeric(10, 2), { kind: 'd' }), true],
    ['an array of a domain', 70_003, -1, type(70_003, numeric(10, 2), { element: NUMERIC }), true],
    [
      'numeric(12,4)[] for numeric(10,2)[]',
      1231,
      numeric(12, 4),
      type(1231, numeric(10, 2), { element: NUMERIC }),
      false,
    ],
    ['an enum', 70_001, -1, type(70_001, -1, { kind: 'e' }), true],
    ['another enum', 70_002, -1, type(70_001, -1, { kind: 'e' }), false],
  ])('%s', (_, oid, typmod, column, expected) => {
    expect(readsAs(oid, typmod, column)).toBe(expected);
  });
});
