import {
  DuckDBBlobValue,
  DuckDBDateValue,
  DuckDBDecimalValue,
  DuckDBListValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  type DuckDBValue,
} from '@duckdb/node-api';
import { describe, expect, test } from 'vitest';
import { type Cell, canonicalRow, cellOfDuckDb, cellOfPostgres, digestOf } from './canonical.js';

describe('a cell from Postgres', () => {
  test.each<{ name: string; type: string; text: string | null; cell: Cell }>([
    { name: 'NULL', type: 'long', text: null, cell: null },
    { name: 'true', type: 'boolean', text: 't', cell: 'true' },
    { name: 'a float4 as the double that it is', type: 'float', text: '0.1', cell: '1.0000000149011612e-1' },
    { name: 'a float8', type: 'double', text: '1e+16', cell: '1e+16' },
    { name: 'the smallest float8', type: 'double', text: '5e-324', cell: '5e-324' },
    { name: 'minus zero', type: 'double', text: '-0', cell: '-0e+0' },
    { name: 'NaN', type: 'double', text: 'NaN', cell: 'NaN' },
    { name: 'minus infinity', type: 'float', text: '-Infinity', cell: '-Infinity' },
    { name: 'a decimal', type: 'decimal(9,2)', text: '-0.05', cell: '-0.05' },
    { name: 'a decimal without a point', type: 'decimal(38,0)', text: '-7', cell: '-7' },
    { name: 'NaN in a decimal', type: 'decimal(9,2)', text: 'NaN', cell: null },
    { name: 'bytes', type: 'binary', text: '\\x00ff', cell: '00ff' },
    { name: 'the epoch', type: 'date', text: '1970-01-01', cell: '0' },
    { name: 'a leap day', type: 'date', text: '2000-02-29', cell: '11016' },
    { name: 'year 1', type: 'date', text: '0001-01-01', cell: '-719162' },
    { name: 'the last day BC', type: 'date', text: '0001-12-31 BC', cell: '-719163' },
    { name: 'the first date of Postgres', type: 'date', text: '4713-01-01 BC', cell: '-2440550' },
    { name: 'the last date of Postgres', type: 'date', text: '5874897-12-31', cell: '2145042905' },
    { name: 'an infinite date', type: 'date', text: 'infinity', cell: null },
    { name: 'a timestamptz', type: 'timestamp', text: '2024-05-06 07:08:09.5+00', cell: '1714979289500000' },
    { name: 'a moment before the epoch', type: 'timestamp_ntz', text: '1969-12-31 23:59:59.999999', cell: '-1' },
    { name: 'text', type: 'string', text: 'a,"b"', cell: 'a,"b"' },
    { name: 'an array', type: 'array<long>', text: '{1,NULL,3}', cell: ['1', null, '3'] },
    { name: 'an empty array', type: 'array<long>', text: '{}', cell: [] },
    {
      name: 'an array of texts',
      type: 'array<string>',
      text: '{"",NULL,"NULL","x\\"\\\\y",z}',
      cell: ['', null, 'NULL', 'x"\\y', 'z'],
    },
    { name: 'an array with bounds', type: 'array<long>', text: '[0:1]={1,2}', cell: ['1', '2'] },
    { name: 'an array of two dimensions', type: 'array<long>', text: '{{1,2},{3,4}}', cell: null },
  ])('$name', ({ type, text, cell }) => expect(cellOfPostgres(type, text)).toEqual(cell));

  test.each([
    { name: 'a decimal of more digits', type: 'decimal(9,2)', text: '1.234' },
    { name: 'a timestamp of another zone', type: 'timestamp', text: '2024-05-06 07:08:09+02' },
    { name: 'a type without a form', type: 'variant', text: '1' },
    { name: 'a broken array', type: 'array<long>', text: '{1,"' },
  ])('refuses $name', ({ type, text }) => expect(() => cellOfPostgres(type, text)).toThrow(TypeError));
});

describe('a cell from DuckDB', () => {
  test.each<{ name: string; type: string; value: DuckDBValue; cell: Cell }>([
    { name: 'NULL', type: 'long', value: null, cell: null },
    { name: 'a bigint', type: 'long', value: -5n, cell: '-5' },
    { name: 'a float', type: 'float', value: Math.fround(0.1), cell: '1.0000000149011612e-1' },
    { name: 'a decimal', type: 'decimal(9,2)', value: new DuckDBDecimalValue(-5n, 9, 2), cell: '-0.05' },
    { name: 'bytes', type: 'binary', value: new DuckDBBlobValue(Uint8Array.of(0, 255)), cell: '00ff' },
    { name: 'a date', type: 'date', value: new DuckDBDateValue(-719_162), cell: '-719162' },
    { name: 'a timestamptz', type: 'timestamp', value: new DuckDBTimestampTZValue(-1n), cell: '-1' },
    { name: 'a timestamp', type: 'timestamp_ntz', value: new DuckDBTimestampValue(7n), cell: '7' },
    { name: 'a list', type: 'array<long>', value: new DuckDBListValue([1n, null]), cell: ['1', null] },
  ])('$name', ({ type, value, cell }) => expect(cellOfDuckDb(type, value)).toEqual(cell));

  test.each<{ name: string; type: string; value: DuckDBValue }>([
    { name: 'a timestamp without a zone for one with', type: 'timestamp', value: new DuckDBTimestampValue(7n) },
    { name: 'a decimal of another scale', type: 'decimal(9,3)', value: new DuckDBDecimalValue(-5n, 9, 2) },
    { name: 'text for a number', type: 'long', value: '5' },
  ])('refuses $name', ({ type, value }) => expect(() => cellOfDuckDb(type, value)).toThrow(TypeError));
});

test('the digest does not depend on the order, but on how often a row is there', () => {
  const a = canonicalRow(['1', null]);
  const b = canonicalRow(['2', ['x']]);
  expect(digestOf([a, b])).toEqual(digestOf([b, a]));
  expect(digestOf([a, a, b])).not.toEqual(digestOf([a, b, b]));
  expect(digestOf([])).toEqual({ rows: 0, sha256: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855' });
});
