import {
  Binary,
  type DataType,
  Field,
  FixedSizeBinary,
  Float32,
  Float64,
  Int16,
  Int32,
  Int64,
  List,
  Schema,
  Uint8,
  Uint32,
  Utf8,
} from 'apache-arrow';
import { assertNever, SluiceError } from '../error/sluice-error.js';
import type { LogicalType } from './logical-type.js';

/** Field metadata that holds the column's {@link LogicalType} as JSON. */
export const LOGICAL_TYPE_KEY = 'sluice.type';

export interface BatchColumn {
  readonly name: string;
  readonly type: LogicalType;
}

/** The Arrow type that carries a logical type, as the table in logical-type.ts says. */
export function arrowType(type: LogicalType): DataType {
  switch (type.kind) {
    case 'boolean':
      return new Uint8();
    case 'int16':
      return new Int16();
    case 'int32':
    case 'date':
      return new Int32();
    case 'int64':
    case 'time':
    case 'timestamp':
    case 'timestamptz':
      return new Int64();
    case 'uint32':
      return new Uint32();
    case 'float32':
      return new Float32();
    case 'float64':
      return new Float64();
    case 'decimal':
      return decimalType(type.precision);
    case 'varchar':
    case 'json':
      return new Utf8();
    case 'blob':
      return new Binary();
    case 'uuid':
    case 'interval':
      return new FixedSizeBinary(16);
    case 'timetz':
      return new FixedSizeBinary(8);
    case 'list':
      return new List(arrowField('item', type.element));
    default:
      return assertNever(type);
  }
}

/** Every field is nullable: a value that does not fit becomes NULL even in a NOT NULL column. */
export function arrowField(name: string, type: LogicalType): Field {
  return new Field(name, arrowType(type), true, new Map([[LOGICAL_TYPE_KEY, JSON.stringify(type)]]));
}

export function arrowSchema(columns: readonly BatchColumn[]): Schema {
  return new Schema(columns.map((column) => arrowField(column.name, column.type)));
}

/**
 * The logical type that {@link arrowField} wrote into a field.
 * @throws SluiceError INTERNAL for a field that another hand made
 */
export function logicalTypeOfField(field: Field): LogicalType {
  const json = field.metadata.get(LOGICAL_TYPE_KEY);
  const type = json === undefined ? null : logicalTypeFrom(JSON.parse(json));
  if (type === null) {
    throw new SluiceError({
      code: 'INTERNAL',
      message: `field "${field.name}" of a batch carries no ${LOGICAL_TYPE_KEY}`,
    });
  }
  return type;
}

function logicalTypeFrom(value: unknown): LogicalType | null {
  if (typeof value !== 'object' || value === null || !('kind' in value)) return null;
  const { kind } = value;
  switch (kind) {
    case 'boolean':
    case 'int16':
    case 'int32':
    case 'int64':
    case 'uint32':
    case 'float32':
    case 'float64':
    case 'varchar':
    case 'json':
    case 'blob':
    case 'uuid':
    case 'date':
    case 'time':
    case 'timetz':
    case 'timestamp':
    case 'timestamptz':
    case 'interval':
      return { kind };
    case 'decimal': {
      if (!('precision' in value) || !('scale' in value)) return null;
      const { precision, scale } = value;
      return typeof precision === 'number' && typeof scale === 'number' ? { kind, precision, scale } : null;
    }
    case 'list': {
      const element = 'element' in value ? logicalTypeFrom(value.element) : null;
      return element === null ? null : { kind, element };
    }
    default:
      return null;
  }
}

function decimalType(precision: number): DataType {
  if (precision <= 4) return new Int16();
  if (precision <= 9) return new Int32();
  if (precision <= 18) return new Int64();
  return new FixedSizeBinary(16);
}
