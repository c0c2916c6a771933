import { describe, expect, test } from 'vitest';
import {
  columnComment,
  deltaField,
  deltaType,
  duckdbType,
  parseSchema,
  schemaString,
  storedType,
  withOtherMetadata,
} from './schema.js';

function field(duckdb: string) {
  return deltaField({ name: 'c', duckdbType: duckdb, nullable: true });
}

describe('a type', () => {
  test.each<{ duckdb: string; delta: string; stored: string }>([
    { duckdb: 'BOOLEAN', delta: '"boolean"', stored: 'BOOLEAN' },
    { duckdb: 'TINYINT', delta: '"byte"', stored: 'TINYINT' },
    { duckdb: 'SMALLINT', delta: '"short"', stored: 'SMALLINT' },
    { duckdb: 'INTEGER', delta: '"integer"', stored: 'INTEGER' },
    { duckdb: 'BIGINT', delta: '"long"', stored: 'BIGINT' },
    { duckdb: 'UTINYINT', delta: '"short"', stored: 'SMALLINT' },
    { duckdb: 'UINTEGER', delta: '"long"', stored: 'BIGINT' },
    { duckdb: 'FLOAT', delta: '"float"', stored: 'FLOAT' },
    { duckdb: 'DOUBLE', delta: '"double"', stored: 'DOUBLE' },
    { duckdb: 'DECIMAL(38,9)', delta: '"decimal(38,9)"', stored: 'DECIMAL(38,9)' },
    { duckdb: 'VARCHAR', delta: '"string"', stored: 'VARCHAR' },
    { duckdb: 'UUID', delta: '"string"', stored: 'VARCHAR' },
    { duckdb: 'JSON', delta: '"string"', stored: 'VARCHAR' },
    { duckdb: 'TIME', delta: '"string"', stored: 'VARCHAR' },
    { duckdb: 'TIME WITH TIME ZONE', delta: '"string"', stored: 'VARCHAR' },
    { duckdb: 'INTERVAL', delta: '"string"', stored: 'VARCHAR' },
    { duckdb: `ENUM('a', 'b[]')`, delta: '"string"', stored: 'VARCHAR' },
    { duckdb: 'BLOB', delta: '"binary"', stored: 'BLOB' },
    { duckdb: 'DATE', delta: '"date"', stored: 'DATE' },
    { duckdb: 'TIMESTAMP', delta: '"timestamp_ntz"', stored: 'TIMESTAMP' },
    { duckdb: 'TIMESTAMP WITH TIME ZONE', delta: '"timestamp"', stored: 'TIMESTAMP WITH TIME ZONE' },
    { duckdb: 'timestamptz', delta: '"timestamp"', stored: 'TIMESTAMP WITH TIME ZONE' },
    {
      duckdb: 'DECIMAL(4,2)[]',
      delta: '{"type":"array","elementType":"decimal(4,2)","containsNull":true}',
      stored: 'DECIMAL(4,2)[]',
    },
    {
      duckdb: 'UUID[][3]',
      delta:
        '{"type":"array","elementType":{"type":"array","elementType":"string","containsNull":true},"containsNull":true}',
      stored: 'VARCHAR[][]',
    },
  ])('$duckdb', ({ duckdb, delta, stored }) => {
    const text = schemaString({ fields: [field(duckdb)] });
    expect(text).toBe(`{"type":"struct","fields":[{"name":"c","type":${delta},"nullable":true,"metadata":{}}]}`);
    expect(parseSchema(text)).toEqual({ fields: [field(duckdb)] });
    expect(duckdbType(deltaType(duckdb))).toBe(stored);
  });

  test.each(['HUGEINT', 'TIMESTAMP_NS', 'STRUCT(a INTEGER)', 'MAP(VARCHAR, INTEGER)', 'nonsense'])(
    '%s of DuckDB has no place in Delta',
    (duckdb) => {
      expect(() => field(duckdb)).toThrow(expect.objectContaining({ code: 'DELTA_TYPE_UNSUPPORTED' }));
      expect(() => field(duckdb)).toThrow(/column "c"/);
    },
  );

  test.each<{ name: string; type: unknown }>([
    { name: 'map', type: { type: 'map', keyType: 'string', valueType: 'long', valueContainsNull: true } },
    { name: 'struct', type: { type: 'struct', fields: [] } },
    { name: 'array', type: { type: 'array', elementType: { type: 'struct', fields: [] }, containsNull: false } },
    { name: 'variant', type: 'variant' },
    { name: 'decimal(40,2)', type: 'decimal(40,2)' },
    { name: 'decimal(10,-2)', type: 'decimal(10,-2)' },
  ])('$name of a foreign writer is carried along and not written', ({ name, type }) => {
    const text = JSON.stringify({ type: 'struct', fields: [{ name: 'f', type, nullable: true, metadata: {} }] });
    const schema = parseSchema(text);
    expect(schemaString(schema)).toBe(text);
    const [first] = schema.fields;
    expect(() => first && storedType(first)).toThrow(`column "f": a column of type ${name}`);
  });
});

test('comments, nullability and what others keep with a column survive', () => {
  const own = deltaField({ name: 'a"ü', duckdbType: 'BIGINT', nullable: false, comment: 'it\'s "x"' });
  const foreign = { ...own, name: 'b', metadata: { 'delta.invariants': '{}', n: 1 } };
  const schema = { fields: [own, foreign] };
  expect(parseSchema(schemaString(schema))).toEqual(schema);
  expect([columnComment(own), columnComment(foreign)]).toEqual(['it\'s "x"', null]);
});

test.each([
  { name: 'the same column', before: 'BIGINT', comment: 'new', metadata: { comment: 'new', theirs: 1 } },
  { name: 'without a comment any more', before: 'BIGINT', comment: null, metadata: { theirs: 1 } },
  { name: 'with another type', before: 'INTEGER', comment: 'new', metadata: { comment: 'new' } },
])('what others keep with a column stays: $name', ({ before, comment, metadata }) => {
  const was = deltaField({ name: 'a', duckdbType: before, nullable: true });
  const schema = { fields: [{ ...was, metadata: { comment: 'old', theirs: 1 } }] };
  const field = deltaField({ name: 'a', duckdbType: 'BIGINT', nullable: true, comment });
  expect(withOtherMetadata(field, schema)).toEqual({ ...field, metadata });
  expect(withOtherMetadata({ ...field, name: 'b' }, schema)).toEqual({ ...field, name: 'b' });
});

test.each([
  { name: 'no JSON', text: '{' },
  { name: 'no struct', text: '{"type":"array"}' },
  { name: 'a field without a name', text: '{"type":"struct","fields":[{"type":"long"}]}' },
  { name: 'a field without a type', text: '{"type":"struct","fields":[{"name":"a"}]}' },
])('is refused: $name', ({ text }) => {
  expect(() => parseSchema(text)).toThrow(expect.objectContaining({ code: 'DELTA_LOG_CORRUPT' }));
});
