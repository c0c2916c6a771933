import {
  DuckDBArrayType,
  DuckDBArrayValue,
  DuckDBBlobValue,
  DuckDBDateValue,
  DuckDBDecimalType,
  DuckDBDecimalValue,
  DuckDBIntervalValue,
  DuckDBListType,
  DuckDBListValue,
  DuckDBMapType,
  DuckDBMapValue,
  DuckDBStructType,
  DuckDBStructValue,
  DuckDBTimeNSValue,
  DuckDBTimestampMillisecondsValue,
  DuckDBTimestampNanosecondsValue,
  DuckDBTimestampSecondsValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  DuckDBTimeValue,
  type DuckDBType,
  DuckDBTypeId,
  DuckDBUUIDValue,
  type DuckDBValue,
} from '@duckdb/node-api';
import {
  Binary,
  Bool,
  type Data,
  type DataType,
  DateDay,
  Decimal,
  Field,
  FixedSizeBinary,
  FixedSizeList,
  Float32,
  Float64,
  Int8,
  Int16,
  Int32,
  Int64,
  IntervalMonthDayNano,
  List,
  Map_,
  Null,
  Struct,
  TimeMicrosecond,
  TimeNanosecond,
  TimestampMicrosecond,
  TimestampMillisecond,
  TimestampNanosecond,
  TimestampSecond,
  Uint8,
  Uint16,
  Uint32,
  Uint64,
  Utf8,
} from 'apache-arrow';
import { columnData } from '../../batch/arrow-data.js';
import { SluiceError } from '../../error/sluice-error.js';

/** How values of one DuckDB type stand in an Arrow column. */
export interface ColumnForm {
  readonly type: DataType;
  /** Of the field: what the type alone does not say. */
  readonly metadata?: ReadonlyMap<string, string>;
  readonly data: (values: readonly DuckDBValue[]) => Data;
}

/** A canonical extension type. @see Arrow columnar format, "Canonical Extension Types" */
const UUID_METADATA = new Map([
  ['ARROW:extension:name', 'arrow.uuid'],
  ['ARROW:extension:metadata', ''],
]);
const HUGEINT_DIGITS = 38;
const HUGEINT_LIMIT = 10n ** BigInt(HUGEINT_DIGITS);
const NANOS_PER_MICRO = 1_000n;
const LARGEST_INT64 = 2n ** 63n - 1n;

/**
 * The Arrow form of a DuckDB type, without loss. HUGEINT is decimal(38, 0); types that Arrow has not (TIMETZ, BIT, BIGNUM,
 * ENUM's order, UNION, ...) are DuckDB's text.
 * @param where names the column in errors
 * @throws SluiceError QUERY_UNREPRESENTABLE for a struct without names; `data` for values that have no exact counterpart
 */
export function columnForm(type: DuckDBType, where: string): ColumnForm {
  switch (type.typeId) {
    case DuckDBTypeId.SQLNULL:
      return { type: new Null(), data: (values) => columnData(new Null(), values.length, values.length, {}) };
    case DuckDBTypeId.BOOLEAN:
      return { type: new Bool(), data: booleans };
    case DuckDBTypeId.TINYINT:
      return fixed(new Int8(), (n) => new Int8Array(n), numberOf);
    case DuckDBTypeId.SMALLINT:
      return fixed(new Int16(), (n) => new Int16Array(n), numberOf);
    case DuckDBTypeId.INTEGER:
      return fixed(new Int32(), (n) => new Int32Array(n), numberOf);
    case DuckDBTypeId.BIGINT:
      return fixed(new Int64(), (n) => new BigInt64Array(n), bigintOf);
    case DuckDBTypeId.UTINYINT:
      return fixed(new Uint8(), (n) => new Uint8Array(n), numberOf);
    case DuckDBTypeId.USMALLINT:
      return fixed(new Uint16(), (n) => new Uint16Array(n), numberOf);
    case DuckDBTypeId.UINTEGER:
      return fixed(new Uint32(), (n) => new Uint32Array(n), numberOf);
    case DuckDBTypeId.UBIGINT:
      return fixed(new Uint64(), (n) => new BigUint64Array(n), bigintOf);
    case DuckDBTypeId.FLOAT:
      return fixed(new Float32(), (n) => new Float32Array(n), numberOf);
    case DuckDBTypeId.DOUBLE:
      return fixed(new Float64(), (n) => new Float64Array(n), numberOf);
    case DuckDBTypeId.HUGEINT:
    case DuckDBTypeId.UHUGEINT:
      return decimals(HUGEINT_DIGITS, 0, (value) => withinHugeint(bigintOf(value), where));
    case DuckDBTypeId.DECIMAL:
      if (!(type instanceof DuckDBDecimalType)) throw fault(type);
      return decimals(type.width, type.scale, (value) => instanceOf(DuckDBDecimalValue, value).value);
    case DuckDBTypeId.DATE:
      return fixed(
        new DateDay(),
        (n) => new Int32Array(n),
        (value) => instanceOf(DuckDBDateValue, value).days,
      );
    case DuckDBTypeId.TIME:
      return longs(new TimeMicrosecond(), (value) => instanceOf(DuckDBTimeValue, value).micros);
    case DuckDBTypeId.TIME_NS:
      return longs(new TimeNanosecond(), (value) => instanceOf(DuckDBTimeNSValue, value).nanos);
    case DuckDBTypeId.TIMESTAMP:
      return longs(new TimestampMicrosecond(), (value) => instanceOf(DuckDBTimestampValue, value).micros);
    case DuckDBTypeId.TIMESTAMP_TZ:
      return longs(new TimestampMicrosecond('UTC'), (value) => instanceOf(DuckDBTimestampTZValue, value).micros);
    case DuckDBTypeId.TIMESTAMP_S:
      return longs(new TimestampSecond(), (value) => instanceOf(DuckDBTimestampSecondsValue, value).seconds);
    case DuckDBTypeId.TIMESTAMP_MS:
      return longs(new TimestampMillisecond(), (value) => instanceOf(DuckDBTimestampMillisecondsValue, value).millis);
    case DuckDBTypeId.TIMESTAMP_NS:
      return longs(new TimestampNanosecond(), (value) => instanceOf(DuckDBTimestampNanosecondsValue, value).nanos);
    case DuckDBTypeId.INTERVAL:
      return intervals(where);
    case DuckDBTypeId.UUID:
      return uuids();
    case DuckDBTypeId.BLOB:
      return bytes(new Binary(), (value) => instanceOf(DuckDBBlobValue, value).bytes);
    case DuckDBTypeId.LIST:
      if (!(type instanceof DuckDBListType)) throw fault(type);
      return lists(columnForm(type.valueType, where));
    case DuckDBTypeId.ARRAY:
      if (!(type instanceof DuckDBArrayType)) throw fault(type);
      return arrays(columnForm(type.valueType, where), type.length);
    case DuckDBTypeId.STRUCT:
      if (!(type instanceof DuckDBStructType)) throw fault(type);
      return structs(type, where);
    case DuckDBTypeId.MAP:
      if (!(type instanceof DuckDBMapType)) throw fault(type);
      return maps(columnForm(type.keyType, where), columnForm(type.valueType, where));
    default:
      return bytes(new Utf8(), (value) => Buffer.from(String(value)));
  }
}

/** A field that holds the form under a name. */
export function formField(name: string, { type, metadata }: ColumnForm, nullable = true): Field {
  return new Field(name, type, nullable, metadata === undefined ? undefined : new Map(metadata));
}

interface Cells<T> {
  [index: number]: T;
}

function fixed<T>(
  type: DataType,
  make: (length: number) => ArrayBufferView & Cells<T>,
  read: (value: DuckDBValue) => T,
): ColumnForm {
  return {
    type,
    data: (values) => {
      const cells = make(values.length);
      for (const [i, value] of values.entries()) if (value !== null) cells[i] = read(value);
      return columnData(type, values.length, ...validityOf(values, { values: cells }));
    },
  };
}

const longs = (type: DataType, read: (value: DuckDBValue) => bigint): ColumnForm =>
  fixed(type, (n) => new BigInt64Array(n), read);

function booleans(values: readonly DuckDBValue[]): Data {
  const cells = bitmap(values, (value) => value === true);
  return columnData(new Bool(), values.length, ...validityOf(values, { values: cells }));
}

/** 128 bits a cell, little-endian, two's complement. */
function decimals(precision: number, scale: number, read: (value: DuckDBValue) => bigint): ColumnForm {
  const type = new Decimal(scale, precision, 128);
  return {
    type,
    data: (values) => {
      const cells = new BigInt64Array(values.length * 2);
      for (const [i, value] of values.entries()) {
        if (value === null) continue;
        const unscaled = read(value);
        cells[2 * i] = BigInt.asIntN(64, unscaled);
        cells[2 * i + 1] = unscaled >> 64n;
      }
      const words = new Uint32Array(cells.buffer);
      return columnData(type, values.length, ...validityOf(values, { values: words }));
    },
  };
}

/** Months and days of 32 bits, nanoseconds of 64. */
function intervals(where: string): ColumnForm {
  const type = new IntervalMonthDayNano();
  return {
    type,
    data: (values) => {
      const cells = new Int32Array(values.length * 4);
      for (const [i, value] of values.entries()) {
        if (value === null) continue;
        const { months, days, micros } = instanceOf(DuckDBIntervalValue, value);
        const nanos = micros * NANOS_PER_MICRO;
        if (nanos > LARGEST_INT64 || nanos < -LARGEST_INT64) throw unrepresentable(`an interval of ${value}`, where);
        cells.set([months, days, Number(BigInt.asIntN(32, nanos)), Number(nanos >> 32n)], 4 * i);
      }
      return columnData(type, values.length, ...validityOf(values, { values: cells }));
    },
  };
}

function uuids(): ColumnForm {
  const type = new FixedSizeBinary(16);
  return {
    type,
    metadata: UUID_METADATA,
    data: (values) => {
      const cells = new DataView(new ArrayBuffer(values.length * 16));
      for (const [i, value] of values.entries()) {
        if (value === null) continue;
        if (!(value instanceof DuckDBUUIDValue)) throw fault(value);
        const bits = value.toUint128();
        cells.setBigUint64(16 * i, bits >> 64n);
        cells.setBigUint64(16 * i + 8, BigInt.asUintN(64, bits));
      }
      return columnData(type, values.length, ...validityOf(values, { values: new Uint8Array(cells.buffer) }));
    },
  };
}

function bytes(type: DataType, read: (value: DuckDBValue) => Uint8Array): ColumnForm {
  return {
    type,
    data: (values) => {
      const parts = values.map((value) => (value === null ? new Uint8Array(0) : read(value)));
      const offsets = offsetsOf(parts);
      return columnData(type, values.length, ...validityOf(values, { offsets, values: Buffer.concat(parts) }));
    },
  };
}

function lists(element: ColumnForm): ColumnForm {
  const type = new List(formField('item', element));
  return {
    type,
    data: (values) => {
      const items = values.map((value) => (value === null ? [] : instanceOf(DuckDBListValue, value).items));
      const parts = { offsets: offsetsOf(items), children: [element.data(items.flat())] };
      return columnData(type, values.length, ...validityOf(values, parts));
    },
  };
}

function arrays(element: ColumnForm, size: number): ColumnForm {
  const type = new FixedSizeList(size, formField('item', element));
  const absent: readonly DuckDBValue[] = Array.from({ length: size }, () => null);
  return {
    type,
    data: (values) => {
      const items = values.flatMap((value) => (value === null ? absent : instanceOf(DuckDBArrayValue, value).items));
      return columnData(type, values.length, ...validityOf(values, { children: [element.data(items)] }));
    },
  };
}

function structs(struct: DuckDBStructType, where: string): ColumnForm {
  const names = struct.entryNames;
  if (new Set(names).size < names.length) throw unrepresentable('a row whose parts have no names', where);
  const parts = names.map((name, i) => {
    const entry = struct.entryTypes[i];
    if (entry === undefined) throw fault(struct);
    return { name, form: columnForm(entry, `${where}.${name}`) };
  });
  const type = new Struct(parts.map(({ name, form }) => formField(name, form)));
  return {
    type,
    data: (values) => {
      const children = parts.map(({ name, form }) =>
        form.data(
          values.map((value) => (value === null ? null : (instanceOf(DuckDBStructValue, value).entries[name] ?? null))),
        ),
      );
      return columnData(type, values.length, ...validityOf(values, { children }));
    },
  };
}

function maps(key: ColumnForm, value: ColumnForm): ColumnForm {
  const entry = new Struct([formField('key', key, false), formField('value', value)]);
  const type = new Map_(new Field('entries', entry, false));
  return {
    type,
    data: (values) => {
      const entries = values.map((each) => (each === null ? [] : instanceOf(DuckDBMapValue, each).entries));
      const all = entries.flat();
      const pairs = columnData(entry, all.length, 0, {
        children: [key.data(all.map((each) => each.key)), value.data(all.map((each) => each.value))],
      });
      const parts = { offsets: offsetsOf(entries), children: [pairs] };
      return columnData(type, values.length, ...validityOf(values, parts));
    },
  };
}

type Parts = Parameters<typeof columnData>[3];

/** The last arguments of columnData: how many cells are NULL, and the buffers with their bitmap. */
function validityOf(values: readonly DuckDBValue[], parts: Parts): [number, Parts] {
  const nulls = values.reduce<number>((count, value) => count + (value === null ? 1 : 0), 0);
  return [nulls, nulls === 0 ? parts : { ...parts, validity: bitmap(values, (value) => value !== null) }];
}

function bitmap(values: readonly DuckDBValue[], test: (value: DuckDBValue) => boolean): Uint8Array {
  const bits = new Uint8Array(Math.ceil(values.length / 8));
  for (const [i, value] of values.entries()) if (test(value)) bits[i >> 3] = (bits[i >> 3] ?? 0) | (1 << (i & 7));
  return bits;
}

function offsetsOf(parts: readonly { readonly length: number }[]): Int32Array {
  const offsets = new Int32Array(parts.length + 1);
  for (const [i, { length }] of parts.entries()) offsets[i + 1] = (offsets[i] ?? 0) + length;
  return offsets;
}

function numberOf(value: DuckDBValue): number {
  if (typeof value !== 'number') throw fault(value);
  return value;
}

function bigintOf(value: DuckDBValue): bigint {
  if (typeof value !== 'bigint') throw fault(value);
  return value;
}

function withinHugeint(value: bigint, where: string): bigint {
  if (value < HUGEINT_LIMIT && value > -HUGEINT_LIMIT) return value;
  throw unrepresentable(`${value}, of more than ${HUGEINT_DIGITS} digits,`, where);
}

function instanceOf<T extends object>(of: abstract new (...args: never[]) => T, value: DuckDBValue): T {
  if (value instanceof of) return value;
  throw fault(value);
}

function unrepresentable(what: string, where: string): SluiceError {
  return new SluiceError({
    code: 'QUERY_UNREPRESENTABLE',
    message: `${what} in the column "${where}" has no exact counterpart in Arrow`,
    hint: 'make it text in the query: CAST(... AS VARCHAR)',
  });
}

function fault(value: unknown): SluiceError {
  return new SluiceError({ code: 'INTERNAL', message: `DuckDB gave something else than its type says: ${value}` });
}
