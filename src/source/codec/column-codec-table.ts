import { EMPTY_PARTITION_VALUE, type LogicalType } from '../../batch/logical-type.js';
import { assertNever, SluiceError } from '../../error/sluice-error.js';
import type { ObservedType } from '../catalog-model.js';
import { OID } from '../type-oid.js';
import { isNumberType, wireForm } from '../value-type.js';
import { BlobCodec } from './blob.js';
import { BooleanCodec } from './boolean.js';
import type { ColumnCodec } from './column-codec.js';
import { DateCodec, TimeCodec, TimestampCodec, TimeTzCodec } from './date-time.js';
import { decimalCodec } from './decimal.js';
import { Float32Codec, Float64Codec } from './float.js';
import { Int16Codec, Int32Codec, Int64Codec, UInt32Codec, WideOidCodec } from './integer.js';
import { IntervalCodec } from './interval.js';
import { ListCodec } from './list.js';
import { DecimalOverrideCodec, DoubleOverrideCodec } from './override.js';
import { JsonbCodec, TextCodec } from './text.js';
import { UuidCodec } from './uuid.js';

/** A column to decode, as plain data that can be sent to a worker thread. */
export interface DecodedColumn {
  readonly name: string;
  readonly logical: LogicalType;
  readonly source: ObservedType;
}

/**
 * The codec of a column: the one table that COPY and the stream share.
 * @param rowLimit rows of a full batch; memory grows towards it in steps
 * @throws SluiceError INTERNAL for a logical type that logicalTypeOf never makes of that source type
 */
export function columnCodec(column: DecodedColumn, rowLimit: number): ColumnCodec {
  const { logical, source } = column;
  const form = wireForm(source, logical);
  if (logical.kind === 'list') {
    const element =
      form === 'binary' && source.element !== null
        ? binaryCodec(logical.element, source.element.oid, rowLimit)
        : textCodec(logical.element, false, column.name, rowLimit);
    return new ListCodec(element, rowLimit);
  }
  return form === 'binary'
    ? binaryCodec(logical, source.baseOid, rowLimit)
    : textCodec(logical, isNumberType(source.baseOid), column.name, rowLimit);
}

const FOUR_DIGITS_REASON = 'infinite, or not of the years 1 to 9999 that every reader of a lake can hold';

/** Why a value of that type could not be kept, for `_sluice.rejected_values`. */
export function rejectionReason(logical: LogicalType): string {
  switch (logical.kind) {
    case 'decimal':
      return `does not fit DECIMAL(${logical.precision},${logical.scale}) exactly`;
    case 'date':
      return FOUR_DIGITS_REASON;
    case 'timestamp':
    case 'timestamptz':
      if (logical.years !== undefined) return FOUR_DIGITS_REASON;
      return 'later than 294247-01-10 04:00:54.775806, the last timestamp of DuckDB';
    case 'interval':
      return 'an infinite interval';
    case 'float64':
      return 'not a number that fits a double';
    case 'varchar':
      return EMPTY_PARTITION_VALUE;
    case 'list':
      return 'not a one-dimensional array that begins at 1, or with an element that does not fit';
    default:
      return 'does not fit its column';
  }
}

/** How a key can be kept of which a value was rejected. */
export function keyHint(name: string, { kind }: LogicalType): string {
  if (kind === 'varchar')
    return `leave "${name}" out of partition_by of the table, or its empty values out of the source`;
  return `give the column another type: types: { ${name}: varchar }`;
}

function binaryCodec(logical: LogicalType, oid: number, rowLimit: number): ColumnCodec {
  switch (logical.kind) {
    case 'boolean':
      return new BooleanCodec(rowLimit);
    case 'int16':
      return new Int16Codec(rowLimit);
    case 'int32':
      return new Int32Codec(rowLimit);
    case 'int64':
      return oid === OID.oid ? new WideOidCodec(rowLimit) : new Int64Codec(rowLimit);
    case 'uint32':
      return new UInt32Codec(rowLimit);
    case 'float32':
      return new Float32Codec(rowLimit);
    case 'float64':
      return new Float64Codec(rowLimit);
    case 'decimal':
      return decimalCodec(logical.precision, logical.scale, rowLimit);
    case 'varchar':
    case 'json':
      return oid === OID.jsonb ? new JsonbCodec(logical, rowLimit) : new TextCodec(logical, rowLimit);
    case 'blob':
      return new BlobCodec(rowLimit);
    case 'uuid':
      return new UuidCodec(rowLimit);
    case 'date':
      return new DateCodec(logical.years, rowLimit);
    case 'time':
      return new TimeCodec(rowLimit);
    case 'timetz':
      return new TimeTzCodec(rowLimit);
    case 'timestamp':
    case 'timestamptz':
      return new TimestampCodec(logical.kind, logical.years, rowLimit);
    case 'interval':
      return new IntervalCodec(rowLimit);
    case 'list':
      throw new SluiceError({ code: 'INTERNAL', message: 'a list cannot be the element of a list' });
    default:
      return assertNever(logical);
  }
}

/** For values that come as text in both halves. */
function textCodec(logical: LogicalType, fromNumber: boolean, name: string, rowLimit: number): ColumnCodec {
  switch (logical.kind) {
    case 'varchar':
    case 'json':
      return new TextCodec(logical, rowLimit);
    case 'float64':
      return new DoubleOverrideCodec(fromNumber, rowLimit);
    case 'decimal':
      return new DecimalOverrideCodec(logical.precision, logical.scale, fromNumber, rowLimit);
    default:
      throw new SluiceError({ code: 'INTERNAL', message: `column "${name}" cannot be read as ${logical.kind}` });
  }
}
