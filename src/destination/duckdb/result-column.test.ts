import {
  DuckDBArrayValue,
  DuckDBBlobValue,
  type DuckDBConnection,
  DuckDBDateValue,
  DuckDBDecimalValue,
  DuckDBInstance,
  DuckDBIntervalValue,
  DuckDBListValue,
  DuckDBMapValue,
  DuckDBStructValue,
  DuckDBTimeNSValue,
  DuckDBTimestampMillisecondsValue,
  DuckDBTimestampNanosecondsValue,
  DuckDBTimestampSecondsValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  DuckDBTimeValue,
  DuckDBUUIDValue,
  type DuckDBValue,
} from '@duckdb/node-api';
import { DataType, tableFromIPC, type Vector } from 'apache-arrow';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ArrowStream } from '../../cli/view/arrow-stream.js';
import { SluiceError } from '../../error/sluice-error.js';
import { openBatches } from '../../executor/query-answer.js';

/** What a query writes as Arrow, read back by apache-arrow, is what DuckDB holds. */

let instance: DuckDBInstance;
let connection: DuckDBConnection;
const never = new AbortController().signal;

beforeAll(async () => {
  instance = await DuckDBInstance.create(':memory:');
  connection = await instance.connect();
  await connection.run("SET TimeZone = 'UTC'");
});
afterAll(() => {
  connection.closeSync();
  instance.closeSync();
});

/** As `sluice query --format arrow` writes it. */
async function asArrow(sql: string) {
  const { schema, batches } = await openBatches({ connection, sql, afterFailure: async () => undefined }, never);
  const stream = new ArrowStream(schema);
  const parts: Uint8Array[] = [];
  for await (const batch of batches) parts.push(stream.batch(batch));
  return tableFromIPC(Buffer.concat([...parts, stream.end()]));
}

/** A cell in plain values, exact: what is a number of ticks is a bigint. */
function plainArrow(vector: Vector, index: number): unknown {
  const { data } = vector;
  const [only] = data;
  if (only === undefined || data.length !== 1) throw new Error('expected one batch');
  if (!only.getValid(index)) return null;
  const { type } = vector;
  if (DataType.isDecimal(type)) {
    const words: Uint32Array = vector.get(index);
    return BigInt.asIntN(
      128,
      words.reduce((sum, word, i) => sum | (BigInt(word) << BigInt(32 * i)), 0n),
    );
  }
  if (DataType.isTimestamp(type) || DataType.isTime(type)) return only.values[index];
  if (DataType.isDate(type)) return only.values[index];
  if (DataType.isInterval(type)) {
    const cell = new DataView(only.values.buffer, only.values.byteOffset + 16 * index, 16);
    return [cell.getInt32(0, true), cell.getInt32(4, true), cell.getBigInt64(8, true)];
  }
  if (DataType.isBinary(type) || DataType.isFixedSizeBinary(type))
    return Buffer.from(vector.get(index)).toString('hex');
  if (DataType.isList(type) || DataType.isFixedSizeList(type)) return plainItems(vector.get(index));
  if (DataType.isMap(type)) {
    const child = vector.getChildAt(0);
    const [from = 0, to = 0] = only.valueOffsets.subarray(index, index + 2);
    if (child === null) throw new Error('a map without entries');
    return Array.from({ length: to - from }, (_, i) => [0, 1].map((part) => plainChild(child, part, from + i)));
  }
  if (DataType.isStruct(type)) return type.children.map((_child, part) => plainChild(vector, part, index));
  return vector.get(index);
}

function plainItems(items: Vector): unknown[] {
  return Array.from({ length: items.length }, (_, i) => plainArrow(items, i));
}

function plainChild(vector: Vector, part: number, index: number): unknown {
  const child = vector.getChildAt(part);
  if (child === null) throw new Error(`no child ${part}`);
  return plainArrow(child, index);
}

/** The same of DuckDB's own client. */
function plainDuck(value: DuckDBValue): unknown {
  if (value instanceof DuckDBDecimalValue) return value.value;
  if (value instanceof DuckDBTimestampValue || value instanceof DuckDBTimestampTZValue) return value.micros;
  if (value instanceof DuckDBTimestampSecondsValue) return value.seconds;
  if (value instanceof DuckDBTimestampMillisecondsValue) return value.millis;
  if (value instanceof DuckDBTimestampNanosecondsValue || value instanceof DuckDBTimeNSValue) return value.nanos;
  if (value instanceof DuckDBTimeValue) return value.micros;
  if (value instanceof DuckDBDateValue) return value.days;
  if (value instanceof DuckDBIntervalValue) return [value.months, value.days, value.micros * 1_000n];
  if (value instanceof DuckDBBlobValue) return Buffer.from(value.bytes).toString('hex');
  if (value instanceof DuckDBUUIDValue) return String(value).replaceAll('-', '');
  if (value instanceof DuckDBListValue || value instanceof DuckDBArrayValue) return value.items.map(plainDuck);
  if (value instanceof DuckDBStructValue) return Object.values(value.entries).map(plainDuck);
  if (value instanceof DuckDBMapValue) return value.entries.map((each) => [plainDuck(each.key), plainDuck(each.value)]);
  return typeof value === 'object' && value !== null ? String(value) : value;
}

interface Kind {
  readonly type: string;
  /** SQL of a value. */
  readonly value: fc.Arbitrary<string>;
}

const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;
const oneOf = (type: string, ...values: readonly string[]): Kind => ({ type, value: fc.constantFrom(...values) });
const integers = (type: string, min: bigint, max: bigint): Kind => ({
  type,
  value: fc.oneof(fc.constantFrom(min, max, 0n), fc.bigInt({ min, max })).map((value) => `'${value}'`),
});
const decimals = (precision: number, scale: number): Kind => {
  const most = 10n ** BigInt(precision) - 1n;
  const value = fc.bigInt({ min: -most, max: most }).map((unscaled) => {
    const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0');
    const whole = digits.slice(0, digits.length - scale);
    return `'${unscaled < 0n ? '-' : ''}${whole}${scale === 0 ? '' : `.${digits.slice(-scale)}`}'`;
  });
  return { type: `DECIMAL(${precision},${scale})`, value };
};

const SCALARS: readonly Kind[] = [
  oneOf('BOOLEAN', 'true', 'false'),
  integers('TINYINT', -128n, 127n),
  integers('SMALLINT', -32_768n, 32_767n),
  integers('INTEGER', -(2n ** 31n), 2n ** 31n - 1n),
  integers('BIGINT', -(2n ** 63n), 2n ** 63n - 1n),
  integers('UTINYINT', 0n, 255n),
  integers('USMALLINT', 0n, 65_535n),
  integers('UINTEGER', 0n, 2n ** 32n - 1n),
  integers('UBIGINT', 0n, 2n ** 64n - 1n),
  integers('HUGEINT', -(10n ** 38n) + 1n, 10n ** 38n - 1n),
  integers('UHUGEINT', 0n, 10n ** 38n - 1n),
  decimals(4, 1),
  decimals(9, 0),
  decimals(18, 6),
  decimals(38, 10),
  decimals(38, 38),
  oneOf('FLOAT', "'0.1'", "'-0.0'", "'nan'", "'inf'", "'-inf'", "'3.4028235e38'"),
  oneOf('DOUBLE', "'0.1'", "'-0.0'", "'nan'", "'inf'", "'5e-324'", "'1.7976931348623157e308'"),
  { type: 'VARCHAR', value: fc.string({ unit: 'grapheme' }).map((text) => quoted(text.replaceAll('\0', ''))) },
  {
    type: 'BLOB',
    value: fc.uint8Array({ maxLength: 20 }).map((bytes) => `unhex('${Buffer.from(bytes).toString('hex')}')`),
  },
  { type: 'UUID', value: fc.uuid().map(quoted) },
  oneOf('JSON', `'{"a": [1, null]}'`, `'"x"'`),
  oneOf('DATE', "'2024-02-29'", "'0044-03-15 (BC)'", "'infinity'", "'-infinity'", "'1969-12-31'"),
  oneOf('TIME', "'00:00:00'", "'23:59:59.999999'", "'24:00:00'"),
  oneOf('TIMETZ', "'12:00:00+05:30'", "'00:00:00-15:59:59'"),
  oneOf(
    'TIMESTAMP',
    "'2024-02-29 12:34:56.789012'",
    "'infinity'",
    "'0044-03-15 (BC) 01:02:03'",
    "'1969-12-31 23:59:59.999999'",
  ),
  oneOf('TIMESTAMPTZ', "'2024-02-29 12:34:56.789012+02'", "'-infinity'", "'1969-12-31 23:59:59.999999+00'"),
  oneOf('TIMESTAMP_S', "'2024-02-29 12:34:56'", "'1900-01-01 00:00:00'"),
  oneOf('TIMESTAMP_MS', "'2024-02-29 12:34:56.789'", "'1900-01-01 00:00:00'"),
  oneOf('TIMESTAMP_NS', "'2024-02-29 12:34:56.789012345'", "'1900-01-01 00:00:00'"),
  oneOf('INTERVAL', "'1 year 2 days 03:04:05.678901'", "'-5 months -3 days -00:00:00.000001'", "'0 days'"),
  oneOf('BIT', "'0'", "'10110'"),
  oneOf("ENUM('good', 'bad')", "'good'", "'bad'"),
];

const orNull = ({ type, value }: Kind): fc.Arbitrary<string> =>
  fc.option(value, { nil: null }).map((sql) => `CAST(${sql ?? 'NULL'} AS ${type})`);

/** A type of types. */
const nested = fc.letrec<{ any: Kind; deep: Kind }>((tie) => ({
  any: fc.oneof({ depthSize: 'small', withCrossShrink: true }, fc.constantFrom(...SCALARS), tie('deep')),
  deep: fc.oneof(
    tie('any').map(
      (of): Kind => ({
        type: `${of.type}[]`,
        value: fc.array(orNull(of), { maxLength: 4 }).map((items) => `[${items.join(', ')}]`),
      }),
    ),
    tie('any').map(
      (of): Kind => ({
        type: `${of.type}[2]`,
        value: fc.tuple(orNull(of), orNull(of)).map((items) => `[${items.join(', ')}]`),
      }),
    ),
    fc.tuple(tie('any'), tie('any')).map(
      ([a, b]): Kind => ({
        type: `STRUCT("a b" ${a.type}, "ä" ${b.type})`,
        value: fc.tuple(orNull(a), orNull(b)).map(([left, right]) => `{'a b': ${left}, 'ä': ${right}}`),
      }),
    ),
    tie('any').map(
      (of): Kind => ({
        type: `MAP(VARCHAR, ${of.type})`,
        value: fc
          .uniqueArray(fc.tuple(fc.string({ maxLength: 3 }), orNull(of)), { maxLength: 3, selector: ([key]) => key })
          .map(
            (pairs) =>
              `MAP {${pairs.map(([key, value]) => `${quoted(key.replaceAll('\0', ''))}: ${value}`).join(', ')}}`,
          ),
      }),
    ),
  ),
})).any;

const column = nested.chain((kind) =>
  fc.array(orNull(kind), { minLength: 1, maxLength: 20 }).map((cells) => ({ type: kind.type, cells })),
);

test('any value of any type comes back as DuckDB holds it', async () => {
  await fc.assert(
    fc.asyncProperty(column, async ({ cells }) => {
      const sql = `SELECT * FROM (VALUES ${cells.map((cell) => `(${cell})`).join(', ')}) AS v(x)`;
      const held = (await connection.runAndReadAll(sql)).getRows().map(([value]) => plainDuck(value ?? null));
      const vector = (await asArrow(sql)).getChild('x');
      if (vector === null) throw new Error('no column');
      expect(plainItems(vector)).toEqual(held);
    }),
    { numRuns: 300 },
  );
}, 120_000);

test('types and names are told', async () => {
  const { schema } = await asArrow(
    "SELECT 1::HUGEINT AS x, 1.5::DECIMAL(9,2) AS x, now() AS \"a b\", uuid() AS u, NULL AS n, [1] AS l, {'a': 1} AS s, MAP {1: 'a'} AS m, '12:00:00+01'::TIMETZ AS t",
  );
  expect(schema.fields.map(({ name, type }) => `${name}: ${type}`)).toEqual([
    'x: Decimal[38e0]',
    'x:1: Decimal[9e+2]',
    'a b: Timestamp<MICROSECOND, UTC>',
    'u: FixedSizeBinary[16]',
    'n: Int32',
    'l: List<Int32>',
    's: Struct<{a:Int32}>',
    'm: Map<{key:Int32, value:Utf8}>',
    't: Utf8',
  ]);
  expect(schema.fields[3]?.metadata.get('ARROW:extension:name')).toBe('arrow.uuid');
});

test('an answer without rows is a stream with its schema', async () => {
  const table = await asArrow('SELECT 1 AS x WHERE false');
  expect([table.numRows, table.schema.fields.map(({ name }) => name)]).toEqual([0, ['x']]);
});

test('many batches follow one another', async () => {
  const table = await asArrow('SELECT i, i::VARCHAR AS t FROM range(100000) r(i)');
  expect(table.numRows).toBe(100_000);
  expect(table.batches.length).toBeGreaterThan(10);
  expect([table.getChild('i')?.get(99_999), table.getChild('t')?.get(99_999)]).toEqual([99_999n, '99999']);
});

describe('what Arrow cannot hold is refused, not bent', () => {
  test.each<{ name: string; sql: string; says: string }>([
    {
      name: 'a HUGEINT of 39 digits',
      sql: "SELECT '170141183460469231731687303715884105727'::HUGEINT AS big",
      says: '170141183460469231731687303715884105727, of more than 38 digits, in the column "big"',
    },
    {
      name: 'an interval of more nanoseconds than 64 bits hold',
      sql: "SELECT {'a': to_microseconds(9223372036854775807)} AS s",
      says: 'in the column "s.a"',
    },
    { name: 'a row without names', sql: 'SELECT row(1, 2) AS r', says: 'a row whose parts have no names' },
  ])('$name', async ({ sql, says }) => {
    const error: unknown = await asArrow(sql).catch((thrown: unknown) => thrown);
    if (!(error instanceof SluiceError)) throw new Error(`expected a refusal, got ${error}`);
    expect(error.code).toBe('QUERY_UNREPRESENTABLE');
    expect(error.message).toContain(says);
    expect(error.hint).toContain('AS VARCHAR');
  });
});
