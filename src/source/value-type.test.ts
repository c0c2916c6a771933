import { describe, expect, test } from 'vitest';
import { ARRAY_OID, numericTypmod, observedColumn, observedType } from '../../test/pgoutput/columns.js';
import { duckdbTypeName } from '../batch/logical-type.js';
import type { TypeOverride } from '../config/config.js';
import type { ObservedType } from './catalog-model.js';
import { logicalTypeOf, selectExpression, unrepresentablePredicate, wireForm } from './value-type.js';

const INET = observedType(869);
const domain = (base: ObservedType): ObservedType => ({ ...base, oid: 20_000, name: 'x.d', kind: 'd' });

interface Row {
  readonly name: string;
  readonly type: ObservedType;
  readonly override?: TypeOverride;
  readonly duckdb: string;
  readonly fallback?: true;
  readonly form: 'binary' | 'text' | 'text-array';
}

const ROWS: readonly Row[] = [
  { name: 'bool', type: observedType('bool'), duckdb: 'BOOLEAN', form: 'binary' },
  { name: 'int2', type: observedType('int2'), duckdb: 'SMALLINT', form: 'binary' },
  { name: 'int4', type: observedType('int4'), duckdb: 'INTEGER', form: 'binary' },
  { name: 'int8', type: observedType('int8'), duckdb: 'BIGINT', form: 'binary' },
  { name: 'oid', type: observedType('oid'), duckdb: 'UINTEGER', form: 'binary' },
  { name: 'float4', type: observedType('float4'), duckdb: 'FLOAT', form: 'binary' },
  { name: 'float8', type: observedType('float8'), duckdb: 'DOUBLE', form: 'binary' },
  {
    name: 'numeric(12,2)',
    type: observedType('numeric', { typmod: numericTypmod(12, 2) }),
    duckdb: 'DECIMAL(12,2)',
    form: 'binary',
  },
  {
    name: 'numeric(38,38)',
    type: observedType('numeric', { typmod: numericTypmod(38, 38) }),
    duckdb: 'DECIMAL(38,38)',
    form: 'binary',
  },
  {
    name: 'numeric(39,0) is too wide',
    type: observedType('numeric', { typmod: numericTypmod(39, 0) }),
    duckdb: 'VARCHAR',
    fallback: true,
    form: 'text',
  },
  {
    name: 'numeric(3,-2) gets its zeros',
    type: observedType('numeric', { typmod: numericTypmod(3, -2) }),
    duckdb: 'DECIMAL(5,0)',
    form: 'binary',
  },
  {
    name: 'numeric(37,-2) is too wide with its zeros',
    type: observedType('numeric', { typmod: numericTypmod(37, -2) }),
    duckdb: 'VARCHAR',
    fallback: true,
    form: 'text',
  },
  {
    name: 'numeric(2,5)',
    type: observedType('numeric', { typmod: numericTypmod(2, 5) }),
    duckdb: 'DECIMAL(5,5)',
    form: 'binary',
  },
  {
    name: 'numeric(2,100)',
    type: observedType('numeric', { typmod: numericTypmod(2, 100) }),
    duckdb: 'VARCHAR',
    fallback: true,
    form: 'text',
  },
  { name: 'plain numeric', type: observedType('numeric'), duckdb: 'VARCHAR', form: 'text' },
  { name: 'text', type: observedType('text'), duckdb: 'VARCHAR', form: 'binary' },
  { name: 'char(n)', type: observedType('bpchar', { typmod: 9 }), duckdb: 'VARCHAR', form: 'binary' },
  { name: '"char" is no text', type: observedType(18), duckdb: 'VARCHAR', fallback: true, form: 'text' },
  {
    name: 'citext in any schema',
    type: observedType(16_500, { baseName: 'x.citext' }),
    duckdb: 'VARCHAR',
    form: 'binary',
  },
  { name: 'enum', type: observedType(16_501, { kind: 'e', baseKind: 'e' }), duckdb: 'VARCHAR', form: 'binary' },
  {
    name: 'composite',
    type: observedType(16_502, { kind: 'c', baseKind: 'c' }),
    duckdb: 'VARCHAR',
    fallback: true,
    form: 'text',
  },
  { name: 'bytea', type: observedType('bytea'), duckdb: 'BLOB', form: 'binary' },
  { name: 'uuid', type: observedType('uuid'), duckdb: 'UUID', form: 'binary' },
  { name: 'json', type: observedType('json'), duckdb: 'JSON', form: 'binary' },
  { name: 'jsonb', type: observedType('jsonb'), duckdb: 'JSON', form: 'binary' },
  { name: 'date', type: observedType('date'), duckdb: 'DATE', form: 'binary' },
  { name: 'time', type: observedType('time'), duckdb: 'TIME', form: 'binary' },
  { name: 'timetz', type: observedType('timetz'), duckdb: 'TIMETZ', form: 'binary' },
  { name: 'timestamp', type: observedType('timestamp'), duckdb: 'TIMESTAMP', form: 'binary' },
  { name: 'timestamptz', type: observedType('timestamptz'), duckdb: 'TIMESTAMPTZ', form: 'binary' },
  { name: 'interval', type: observedType('interval'), duckdb: 'INTERVAL', form: 'binary' },
  { name: 'inet', type: INET, duckdb: 'VARCHAR', fallback: true, form: 'text' },
  { name: 'int4[]', type: observedType(ARRAY_OID, { element: 'int4' }), duckdb: 'INTEGER[]', form: 'binary' },
  { name: 'text[]', type: observedType(ARRAY_OID, { element: 'text' }), duckdb: 'VARCHAR[]', form: 'binary' },
  {
    name: 'numeric(10,2)[]',
    type: observedType(ARRAY_OID, { element: 'numeric', typmod: numericTypmod(10, 2) }),
    duckdb: 'DECIMAL(10,2)[]',
    form: 'binary',
  },
  { name: 'numeric[]', type: observedType(ARRAY_OID, { element: 'numeric' }), duckdb: 'VARCHAR[]', form: 'text-array' },
  {
    name: 'inet[]',
    type: { ...observedType(1041), element: { oid: 869, name: 'inet', kind: 'b' } },
    duckdb: 'VARCHAR',
    fallback: true,
    form: 'text',
  },
  {
    name: 'int2vector is no list',
    type: observedType('int2vector', { element: 'int2' }),
    duckdb: 'VARCHAR',
    fallback: true,
    form: 'text',
  },
  {
    name: 'domain over numeric(10,2)',
    type: domain(observedType('numeric', { typmod: numericTypmod(10, 2) })),
    duckdb: 'DECIMAL(10,2)',
    form: 'binary',
  },
  {
    name: 'domain over int4[]',
    type: domain(observedType(ARRAY_OID, { element: 'int4' })),
    duckdb: 'INTEGER[]',
    form: 'binary',
  },
  {
    name: 'override varchar of a number',
    type: observedType('int4'),
    override: { kind: 'varchar' },
    duckdb: 'VARCHAR',
    form: 'text',
  },
  {
    name: 'override varchar of inet is no fallback',
    type: INET,
    override: { kind: 'varchar' },
    duckdb: 'VARCHAR',
    form: 'text',
  },
  {
    name: 'override json of text',
    type: observedType('text'),
    override: { kind: 'json' },
    duckdb: 'JSON',
    form: 'binary',
  },
  {
    name: 'override json of hstore',
    type: observedType(16_503),
    override: { kind: 'json' },
    duckdb: 'JSON',
    form: 'text',
  },
  {
    name: 'override double of numeric',
    type: observedType('numeric'),
    override: { kind: 'double' },
    duckdb: 'DOUBLE',
    form: 'text',
  },
  {
    name: 'override double of float8',
    type: observedType('float8'),
    override: { kind: 'double' },
    duckdb: 'DOUBLE',
    form: 'binary',
  },
  {
    name: 'override decimal of numeric',
    type: observedType('numeric'),
    override: { kind: 'decimal', precision: 20, scale: 4 },
    duckdb: 'DECIMAL(20,4)',
    form: 'binary',
  },
  {
    name: 'override decimal of int4',
    type: observedType('int4'),
    override: { kind: 'decimal', precision: 20, scale: 4 },
    duckdb: 'DECIMAL(20,4)',
    form: 'text',
  },
];

describe('logicalTypeOf and wireForm', () => {
  test.each(ROWS)('$name', ({ type, override, duckdb, fallback, form }) => {
    const result = logicalTypeOf(observedColumn('c', type), override, 'duckdb');
    expect(duckdbTypeName(result.type)).toBe(duckdb);
    expect(result.fallback).toBe(fallback === true);
    expect(wireForm(type, result.type)).toBe(form);
  });
});

describe('selectExpression', () => {
  test.each<{ name: string; type: ObservedType; sql: string }>([
    { name: 'binary form: the column', type: observedType('int4'), sql: '"a""b"' },
    {
      name: 'text form: the output function',
      type: INET,
      sql: 'CASE WHEN ("a""b" IS DISTINCT FROM NULL) THEN pg_catalog.concat("a""b") END',
    },
    { name: 'array of text', type: observedType(ARRAY_OID, { element: 'numeric' }), sql: '"a""b"::pg_catalog.text[]' },
  ])('$name', ({ type, sql }) => {
    const column = observedColumn('a"b', type);
    expect(selectExpression(column, logicalTypeOf(column, undefined, 'duckdb').type)).toBe(sql);
  });
});

describe('unrepresentablePredicate', () => {
  test.each<{ name: string; type: ObservedType; sql: string | null }>([
    { name: 'none for integers', type: observedType('int4'), sql: null },
    { name: 'none for text', type: observedType('numeric'), sql: null },
    {
      name: 'NaN for numeric(p,s)',
      type: observedType('numeric', { typmod: numericTypmod(4, 2) }),
      sql: `coalesce("c" = 'NaN'::pg_catalog.numeric, false)`,
    },
    {
      name: 'shape for arrays',
      type: observedType(ARRAY_OID, { element: 'int4' }),
      sql: 'coalesce(pg_catalog.array_ndims("c") > 1 OR pg_catalog.array_lower("c", 1) <> 1, false)',
    },
  ])('$name', ({ type, sql }) => {
    const column = observedColumn('c', type);
    expect(unrepresentablePredicate(column, logicalTypeOf(column, undefined, 'duckdb').type)).toBe(sql);
  });
});
