import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type DeltaField, deltaField } from './schema.js';
import { boundJson, comparable, compare } from './stat-value.js';
import { mayContain, rowCount, wideStats, writtenFile } from './stats.js';

let instance: DuckDBInstance;
let connection: DuckDBConnection;
let folder: string;

beforeAll(async () => {
  instance = await DuckDBInstance.create(':memory:');
  connection = await instance.connect();
  await connection.run("SET TimeZone = 'UTC'");
  folder = await mkdtemp(join(tmpdir(), 'delta-stats-'));
});
afterAll(async () => {
  connection.closeSync();
  instance.closeSync();
  await rm(folder, { recursive: true });
});

function column(duckdbType: string, name = 'c'): DeltaField {
  return deltaField({ name, duckdbType, nullable: true });
}

/** The statistics that DuckDB gives for a file of these values, as Delta's. */
async function statsOf(type: string, values: readonly string[], name = 'c'): Promise<string> {
  const rows = values.map((value) => `(${value}::${type})`).join(', ');
  const quoted = `"${name.replaceAll('"', '""')}"`;
  const reader = await connection.runAndReadAll(
    `COPY (SELECT * FROM (VALUES ${rows}) t(${quoted})) TO '${folder}/a.parquet' (FORMAT parquet, RETURN_STATS)`,
  );
  const [row] = reader.getRowObjectsJson();
  if (row === undefined) throw new Error('no row');
  return writtenFile(row, [column(type, name)]).stats;
}

const stats = (min: string | null, max: string | null, rows: number, nulls: number): string =>
  `{"numRecords":${rows},"minValues":{${min === null ? '' : `"c":${min}`}},"maxValues":{${max === null ? '' : `"c":${max}`}},"nullCount":{"c":${nulls}}}`;

describe('the statistics of a file', () => {
  const long = 'x'.repeat(32);
  test.each<{ name: string; type: string; values: string[]; min: string | null; max: string | null; nulls?: number }>([
    { name: 'bytes', type: 'TINYINT', values: ["'-128'", '127'], min: '-128', max: '127' },
    {
      name: 'longs beyond what JSON numbers usually hold',
      type: 'BIGINT',
      values: ['9223372036854775807', '-9007199254740993'],
      min: '-9007199254740993',
      max: '9223372036854775807',
    },
    {
      name: 'decimals with all of their digits',
      type: 'DECIMAL(38,9)',
      values: ["'12345678901234567890123456789.123456789'", "'-0.5'"],
      min: '-0.500000000',
      max: '12345678901234567890123456789.123456789',
    },
    {
      name: 'decimals without a whole part',
      type: 'DECIMAL(2,2)',
      values: ['-0.05', '0.5'],
      min: '-0.05',
      max: '0.50',
    },
    { name: 'doubles', type: 'DOUBLE', values: ['1e300', '1e-7'], min: '1e-07', max: '1e+300' },
    { name: 'a double that is NaN', type: 'DOUBLE', values: ["'NaN'", '1'], min: null, max: null },
    { name: 'an infinite double', type: 'DOUBLE', values: ["'-inf'", '1'], min: null, max: '1.0' },
    { name: 'both zeros', type: 'DOUBLE', values: ['0.0', '-0.0'], min: '-0.0', max: '0.0' },
    { name: 'texts', type: 'VARCHAR', values: ["'b'", "'a\"ü'", 'NULL'], min: '"a\\"ü"', max: '"b"', nulls: 1 },
    {
      name: 'a long text',
      type: 'VARCHAR',
      values: [`'${long}yz'`],
      min: `"${long}"`,
      max: JSON.stringify(`${long}\u007f`),
    },
    {
      name: 'a text of more than DuckDB keeps whole',
      type: 'VARCHAR',
      values: [`repeat('z', 20000)`],
      min: `"${'z'.repeat(32)}"`,
      max: JSON.stringify(`${'z'.repeat(32)}\u007f`),
    },
    { name: 'dates', type: 'DATE', values: ["'2026-01-02'", "'0001-01-01'"], min: '"0001-01-01"', max: '"2026-01-02"' },
    {
      name: 'dates before our era',
      type: 'DATE',
      values: ["'0044-03-15 (BC)'", "'2026-01-02'"],
      min: null,
      max: '"2026-01-02"',
    },
    {
      name: 'dates of five digits',
      type: 'DATE',
      values: ["'12026-01-01'", "'2026-01-02'"],
      min: '"2026-01-02"',
      max: null,
    },
    { name: 'infinite dates', type: 'DATE', values: ["'-infinity'", "'2026-01-02'"], min: null, max: '"2026-01-02"' },
    {
      name: 'timestamps: cut down and rounded up',
      type: 'TIMESTAMP',
      values: ["'2026-01-02 03:04:05.123456'", "'2026-01-02 03:04:05.123999'"],
      min: '"2026-01-02T03:04:05.123"',
      max: '"2026-01-02T03:04:05.124"',
    },
    {
      name: 'timestamps before 1970',
      type: 'TIMESTAMP',
      values: ["'1969-12-31 23:59:59.999999'", "'1969-12-31 23:59:59.9'"],
      min: '"1969-12-31T23:59:59.900"',
      max: '"1970-01-01T00:00:00.000"',
    },
    {
      name: 'timestamps with zone',
      type: 'TIMESTAMPTZ',
      values: ["'2026-11-23 14:13:37.807978+00'", "'2026-01-02 00:00:00+02'"],
      min: '"2026-01-01T22:00:00.000Z"',
      max: '"2026-11-23T14:13:37.808Z"',
    },
    {
      name: 'the last timestamp of four digits',
      type: 'TIMESTAMP',
      values: ["'9999-12-31 23:59:59.999999'"],
      min: '"9999-12-31T23:59:59.999"',
      max: null,
    },
    { name: 'booleans', type: 'BOOLEAN', values: ['true', 'NULL'], min: null, max: null, nulls: 1 },
    { name: 'bytes of text', type: 'BLOB', values: ["'ab'"], min: null, max: null },
    { name: 'nothing but NULL', type: 'BIGINT', values: ['NULL', 'NULL'], min: null, max: null, nulls: 2 },
  ])('of $name', async ({ type, values, min, max, nulls = 0 }) => {
    const made = await statsOf(type, values);
    expect(made).toBe(stats(min, max, values.length, nulls));
    expect(() => JSON.parse(made)).not.toThrow();
  });

  test('of lists are left out, and any column name is found', async () => {
    expect(await statsOf('INTEGER[]', ['[1, 2]'])).toBe(
      '{"numRecords":1,"minValues":{},"maxValues":{},"nullCount":{}}',
    );
    const name = 'a"b.c","d';
    expect(JSON.parse(await statsOf('INTEGER', ['1'], name))).toMatchObject({ minValues: { [name]: 1 } });
  });

  test('of a file with deleted rows keep their digits and say that they are wide', () => {
    const exact = '{"numRecords":3,"minValues":{"c":12345678901234567890.10},"nested":{"a":[1,"x",null,true]}}';
    expect(wideStats(exact, 'f')).toBe(`${exact.slice(0, -1)},"tightBounds":false}`);
    expect(wideStats('{"numRecords":3,"tightBounds":true}', 'f')).toBe('{"numRecords":3,"tightBounds":false}');
    expect(rowCount(exact)).toBe(3);
  });

  test.each([null, '', '{', '{}', '{"numRecords":"3"}', '{"numRecords":3} x'])(
    '%s do not say how many rows',
    (text) => {
      expect(rowCount(text)).toBeNull();
      expect(() => wideStats(text, 'f')).toThrow(/do not say how many rows/);
    },
  );
});

describe('whether a file may contain', () => {
  test.each<{ name: string; type: string; stats: string | null; min: string | null; max: string | null; may: boolean }>(
    [
      { name: 'a key inside', type: 'BIGINT', stats: stats('1', '9', 5, 0), min: '5', max: '5', may: true },
      { name: 'a key at the end', type: 'BIGINT', stats: stats('1', '9', 5, 0), min: '9', max: '12', may: true },
      { name: 'a key below', type: 'BIGINT', stats: stats('1', '9', 5, 0), min: null, max: '0', may: false },
      { name: 'a key above', type: 'BIGINT', stats: stats('1', '9', 5, 0), min: '10', max: null, may: false },
      {
        name: 'a long next to the bound',
        type: 'BIGINT',
        stats: stats('1', '9007199254740992', 5, 0),
        min: '9007199254740993',
        max: '9007199254740993',
        may: false,
      },
      { name: 'anything: no statistics', type: 'BIGINT', stats: null, min: '1', max: '1', may: true },
      { name: 'anything: broken ones', type: 'BIGINT', stats: '{"min', min: '1', max: '1', may: true },
      { name: 'anything: no bounds', type: 'BIGINT', stats: stats(null, null, 5, 0), min: '1', max: '1', may: true },
      { name: 'nothing but NULL', type: 'BIGINT', stats: stats(null, null, 5, 5), min: '1', max: '1', may: false },
      {
        name: 'anything: a bound of another type',
        type: 'BIGINT',
        stats: stats('"x"', '"y"', 5, 0),
        min: '1',
        max: '1',
        may: true,
      },
      {
        name: 'a decimal of another scale',
        type: 'DECIMAL(9,2)',
        stats: stats('1.5', '2', 5, 0),
        min: '2.01',
        max: '3.00',
        may: false,
      },
      {
        name: 'a decimal with an exponent',
        type: 'DECIMAL(9,2)',
        stats: stats('1e1', '2E1', 5, 0),
        min: '90',
        max: '90',
        may: true,
      },
      { name: 'a NaN', type: 'DOUBLE', stats: stats('1', '2', 5, 0), min: 'nan', max: 'nan', may: true },
      {
        name: 'a date before our era',
        type: 'DATE',
        stats: stats('"2026-01-01"', '"2026-01-02"', 5, 0),
        min: '0044-03-15 (BC)',
        max: '0044-03-15 (BC)',
        may: true,
      },
      {
        name: 'a date outside',
        type: 'DATE',
        stats: stats('"2026-01-01"', '"2026-01-02"', 5, 0),
        min: '2026-01-03',
        max: '2026-01-03',
        may: false,
      },
      {
        name: 'a timestamp in the millisecond that Spark cut off',
        type: 'TIMESTAMPTZ',
        stats: stats('"2026-01-01T00:00:00.000-08:00"', '"2026-01-01T00:00:00.123-08:00"', 5, 0),
        min: '2026-01-01 08:00:00.123456+00',
        max: '2026-01-01 08:00:00.123456+00',
        may: true,
      },
      {
        name: 'a timestamp behind it',
        type: 'TIMESTAMPTZ',
        stats: stats('"2026-01-01T00:00:00.000-08:00"', '"2026-01-01T00:00:00.123-08:00"', 5, 0),
        min: '2026-01-01 08:00:00.124+00',
        max: '2026-01-01 08:00:00.124+00',
        may: false,
      },
      { name: 'a boolean', type: 'BOOLEAN', stats: stats(null, null, 5, 0), min: 'true', max: 'true', may: true },
      { name: 'a list', type: 'INTEGER[]', stats: stats('1', '2', 5, 0), min: '[9]', max: '[9]', may: true },
    ],
  )('$name: $may', ({ type, stats: text, min, max, may }) => {
    expect(mayContain(text, column(type), min, max)).toBe(may);
  });

  const letters = fc.constantFrom('a', '\u007e', '\u007f', 'ä', '\ud7ff', '\ue000', '\uffff', '🦆', '\u{10ffff}');
  const anyText = fc.string({ unit: letters, maxLength: 70 });

  test('every text between the bounds of any text', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const { type } = column('VARCHAR');
        const [min, max] = (['min', 'max'] as const).map((side) => boundJson(type, text, side));
        const bytes = Buffer.from(text);
        for (const [bound, sign] of [
          [min, -1],
          [max, 1],
        ] as const) {
          if (bound === null || bound === undefined) continue;
          const cut: unknown = JSON.parse(bound);
          if (typeof cut !== 'string') throw new Error('no text');
          expect(Buffer.from(cut).toString()).toBe(cut);
          expect([0, sign]).toContain(Buffer.compare(Buffer.from(cut), bytes));
          expect([...cut].length).toBeLessThanOrEqual(65);
        }
        expect(
          mayContain(`{"minValues":{"c":${min}},"maxValues":{"c":${max ?? 'null'}}}`, column('VARCHAR'), text, text),
        ).toBe(true);
      }),
    );
  });

  test('texts in the order of their bytes', () => {
    fc.assert(
      fc.property(anyText, anyText, (a, b) => {
        expect(Math.sign(compare(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
      }),
    );
  });

  const digits = fc.bigInt({ min: -(10n ** 27n), max: 10n ** 27n });
  const milliseconds = fc.date({ min: new Date('-001000-01-01'), max: new Date('+011000-01-01'), noInvalidDate: true });
  test.each<{ type: string; value: fc.Arbitrary<string> }>([
    { type: 'BIGINT', value: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((n) => `'${n}'`) },
    { type: 'DOUBLE', value: fc.double().map((n) => `'${n}'`) },
    { type: 'FLOAT', value: fc.float().map((n) => `'${n}'`) },
    { type: 'DECIMAL(38,10)', value: fc.tuple(digits, fc.nat(9999)).map(([whole, part]) => `'${whole}.${part}'`) },
    {
      type: 'TIMESTAMP',
      value: fc
        .tuple(milliseconds, fc.nat(999))
        .map(([at, micros]) => `make_timestamp(${at.getTime()}000 + ${micros})`),
    },
    { type: 'DATE', value: fc.integer({ min: -800_000, max: 3_500_000 }).map((day) => `(DATE '1970-01-01' + ${day})`) },
    { type: 'VARCHAR', value: fc.string({ maxLength: 60 }).map((text) => `'${text.replaceAll("'", "''")}'`) },
  ])(
    'every value that DuckDB wrote: $type',
    async ({ type, value }) => {
      await fc.assert(
        fc.asyncProperty(fc.array(value, { minLength: 1, maxLength: 4 }), async (written) => {
          const made = await statsOf(type, written);
          const reader = await connection.runAndReadAll(`SELECT c::VARCHAR FROM '${folder}/a.parquet'`);
          for (const [text] of reader.getRows()) {
            if (typeof text !== 'string') throw new Error('no text');
            expect(mayContain(made, column(type), text, text), `${text} in ${made}`).toBe(true);
          }
        }),
        { numRuns: 30 },
      );
    },
    60_000,
  );
});

test.each([
  { type: 'BIGINT', text: '1.5' },
  { type: 'DOUBLE', text: 'inf' },
  { type: 'DOUBLE', text: '' },
  { type: 'DECIMAL(9,2)', text: '1.234' },
  { type: 'DECIMAL(9,2)', text: '' },
  { type: 'TIMESTAMP', text: 'infinity' },
  { type: 'TIMESTAMP', text: '2026-01-02' },
  { type: 'DATE', text: 'infinity' },
  { type: 'BLOB', text: '00' },
])('$type "$text" cannot be compared', ({ type, text }) => expect(comparable(column(type).type, text)).toBeNull());
