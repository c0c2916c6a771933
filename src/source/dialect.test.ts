import { describe, expect, test } from 'vitest';
import { ARRAY_OID, type BuiltIn, numericTypmod, observedColumn, observedType } from '../../test/pgoutput/columns.js';
import { duckdbTypeName, type LogicalType, parseDuckdbTypeName } from '../batch/logical-type.js';
import type { TypeOverride } from '../config/config.js';
import type { ObservedType } from './catalog-model.js';
import { inDialect } from './dialect.js';
import { logicalTypeOf, selectExpression, unrepresentablePredicate, wireForm } from './value-type.js';

interface Row {
  readonly name: string;
  readonly type: ObservedType;
  readonly override?: TypeOverride;
  readonly lake: string;
  readonly fallback?: true;
  readonly form: 'binary' | 'text' | 'text-array';
}

const arrayOf = (element: BuiltIn): ObservedType => observedType(ARRAY_OID, { element });

const ROWS: readonly Row[] = [
  { name: 'bool', type: observedType('bool'), lake: 'BOOLEAN', form: 'binary' },
  { name: 'int2', type: observedType('int2'), lake: 'SMALLINT', form: 'binary' },
  { name: 'int8', type: observedType('int8'), lake: 'BIGINT', form: 'binary' },
  { name: 'oid', type: observedType('oid'), lake: 'BIGINT', form: 'binary' },
  { name: 'float4', type: observedType('float4'), lake: 'FLOAT', form: 'binary' },
  {
    name: 'numeric(38,10)',
    type: observedType('numeric', { typmod: numericTypmod(38, 10) }),
    lake: 'DECIMAL(38,10)',
    form: 'binary',
  },
  { name: 'bytea', type: observedType('bytea'), lake: 'BLOB', form: 'binary' },
  { name: 'uuid', type: observedType('uuid'), lake: 'VARCHAR', form: 'text' },
  { name: 'json', type: observedType('json'), lake: 'VARCHAR', form: 'binary' },
  { name: 'jsonb', type: observedType('jsonb'), lake: 'VARCHAR', form: 'binary' },
  { name: 'date', type: observedType('date'), lake: 'DATE', form: 'binary' },
  { name: 'timestamp', type: observedType('timestamp'), lake: 'TIMESTAMP', form: 'binary' },
  { name: 'timestamptz', type: observedType('timestamptz'), lake: 'TIMESTAMPTZ', form: 'binary' },
  { name: 'time', type: observedType('time'), lake: 'VARCHAR', fallback: true, form: 'text' },
  { name: 'timetz', type: observedType('timetz'), lake: 'VARCHAR', fallback: true, form: 'text' },
  { name: 'interval', type: observedType('interval'), lake: 'VARCHAR', fallback: true, form: 'text' },
  { name: 'oid[]', type: arrayOf('oid'), lake: 'BIGINT[]', form: 'binary' },
  { name: 'jsonb[]', type: arrayOf('jsonb'), lake: 'VARCHAR[]', form: 'binary' },
  { name: 'uuid[]', type: arrayOf('uuid'), lake: 'VARCHAR[]', form: 'text-array' },
  { name: 'interval[]', type: arrayOf('interval'), lake: 'VARCHAR[]', fallback: true, form: 'text-array' },
  { name: 'date[]', type: arrayOf('date'), lake: 'DATE[]', form: 'binary' },
  { name: 'override json', type: observedType('text'), override: { kind: 'json' }, lake: 'VARCHAR', form: 'binary' },
  {
    name: 'override varchar of a time is asked for',
    type: observedType('time'),
    override: { kind: 'varchar' },
    lake: 'VARCHAR',
    form: 'text',
  },
  { name: 'override double', type: observedType('text'), override: { kind: 'double' }, lake: 'DOUBLE', form: 'text' },
];

describe('types in a lake', () => {
  test.each(ROWS)('$name', ({ type, override, lake, fallback, form }) => {
    const result = logicalTypeOf(observedColumn('c', type), override, 'lake');
    expect(duckdbTypeName(result.type)).toBe(lake);
    expect(result.fallback).toBe(fallback === true);
    expect(wireForm(type, result.type)).toBe(form);
  });

  test.each(ROWS)('$name comes back from the name that the state keeps', ({ type, override }) => {
    const { type: logical } = logicalTypeOf(observedColumn('c', type), override, 'lake');
    const named: LogicalType = parseDuckdbTypeName(duckdbTypeName(logical)) ?? { kind: 'varchar' };
    expect(inDialect(named, 'lake')).toEqual(logical);
    expect(inDialect(named, 'duckdb')).toEqual(named);
  });
});

describe('what a lake cannot hold', () => {
  test.each<{ name: string; type: ObservedType; sql: string | null }>([
    { name: 'nothing of an interval, whose text is kept', type: observedType('interval'), sql: null },
    {
      name: 'dates',
      type: observedType('date'),
      sql: `coalesce(("c" < '0001-01-01 00:00:00'::pg_catalog.date OR "c" >= '10000-01-01 00:00:00'::pg_catalog.date), false)`,
    },
    {
      name: 'timestamps with a zone, in UTC',
      type: observedType('timestamptz'),
      sql: `coalesce(("c" < '0001-01-01 00:00:00+00'::pg_catalog.timestamptz OR "c" >= '10000-01-01 00:00:00+00'::pg_catalog.timestamptz), false)`,
    },
    {
      name: 'timestamps in an array',
      type: arrayOf('timestamp'),
      sql: `coalesce(pg_catalog.array_ndims("c") > 1 OR pg_catalog.array_lower("c", 1) <> 1 OR EXISTS (SELECT FROM pg_catalog.unnest("c") AS u(e) WHERE (e < '0001-01-01 00:00:00'::pg_catalog.timestamp OR e >= '10000-01-01 00:00:00'::pg_catalog.timestamp)), false)`,
    },
  ])('$name', ({ type, sql }) => {
    const column = observedColumn('c', type);
    expect(unrepresentablePredicate(column, logicalTypeOf(column, undefined, 'lake').type)).toBe(sql);
  });

  test('a time is asked for as Postgres writes it', () => {
    const column = observedColumn('c', observedType('time'));
    expect(selectExpression(column, logicalTypeOf(column, undefined, 'lake').type)).toBe(
      'CASE WHEN ("c" IS DISTINCT FROM NULL) THEN pg_catalog.concat("c") END',
    );
  });
});
