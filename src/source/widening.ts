import type { LogicalType } from '../batch/logical-type.js';
import type { ObservedType } from './catalog-model.js';
import { OID } from './type-oid.js';
import { numericModifier } from './value-type.js';

/**
 * Changes of a column's type that leave every value what it was: the destination's column is altered in place and no row
 * is read again. Float4 to float8 is none (0.1 becomes 0.10000000149011612), nor is char(n), whose padding changes. An
 * ALTER TYPE with a USING that computes other values cannot be told from a plain one; docs/schema-changes.md says so.
 */

/** What a type can hold; null for types that nothing is known of here. */
type Range =
  | { readonly kind: 'integer'; readonly bits: 16 | 32 | 64 }
  /** Digits before and after the decimal point. */
  | { readonly kind: 'decimal'; readonly whole: number; readonly scale: number }
  /** Characters; infinite for text and varchar without a length. */
  | { readonly kind: 'text'; readonly length: number };

const INTEGER_BITS: Readonly<Record<string, 16 | 32 | 64>> = { smallint: 16, integer: 32, bigint: 64 };

/**
 * Whether every value of one type is a value of the other, the same one and with the same text in the destination.
 * @param from as format_type prints it, e.g. `numeric(10,2)`
 * @param to the same
 */
export function widens(from: string, to: string): boolean {
  return covers(rangeOfName(to), rangeOfName(from));
}

/** The destination type that a type of {@link widens} has without an override; `otherwise` for all others. */
export function naturalType(type: string, otherwise: LogicalType): LogicalType {
  const range = rangeOfName(type);
  switch (range?.kind) {
    case 'integer':
      return { kind: `int${range.bits}` };
    case 'decimal':
      return { kind: 'decimal', precision: range.whole + range.scale, scale: range.scale };
    case 'text':
      return { kind: 'varchar' };
    case undefined:
      return otherwise;
  }
}

/** numeric[], see pg_type.dat. */
const NUMERIC_ARRAY = 1231;

/**
 * Whether a value that the stream describes with this type and modifier can be read as one of the column: the type is
 * the column's own, or the column has been widened since.
 */
export function readsAs(typeOid: number, typmod: number, column: ObservedType): boolean {
  if (typeOid === column.oid) {
    // A domain's modifier is its own and is not sent; only numeric's changes how a value is stored here.
    if (column.kind === 'd' || !modifierMatters(column) || typmod === column.typmod) return true;
  }
  return covers(rangeOfOid(column.oid, column.typmod), rangeOfOid(typeOid, typmod));
}

/** Of an array of a domain over numeric no modifier is sent either. */
function modifierMatters({ oid }: ObservedType): boolean {
  return oid === OID.numeric || oid === NUMERIC_ARRAY;
}

function covers(wide: Range | null, narrow: Range | null): boolean {
  if (wide === null || narrow === null) return false;
  switch (wide.kind) {
    case 'integer':
      return narrow.kind === 'integer' && narrow.bits <= wide.bits;
    case 'decimal':
      return narrow.kind === 'decimal' && narrow.whole <= wide.whole && narrow.scale <= wide.scale;
    case 'text':
      return narrow.kind === 'text' && narrow.length <= wide.length;
  }
}

function rangeOfName(type: string): Range | null {
  const bits = Object.hasOwn(INTEGER_BITS, type) ? INTEGER_BITS[type] : undefined;
  if (bits !== undefined) return { kind: 'integer', bits };
  if (type === 'text' || type === 'character varying') return { kind: 'text', length: Number.POSITIVE_INFINITY };
  const varchar = /^character varying\((\d+)\)$/.exec(type);
  if (varchar !== null) return { kind: 'text', length: Number(varchar[1]) };
  const numeric = /^numeric\((\d+),(-?\d+)\)$/.exec(type);
  return numeric === null ? null : decimalRange(Number(numeric[1]), Number(numeric[2]));
}

function rangeOfOid(oid: number, typmod: number): Range | null {
  switch (oid) {
    case OID.int2:
      return { kind: 'integer', bits: 16 };
    case OID.int4:
      return { kind: 'integer', bits: 32 };
    case OID.int8:
      return { kind: 'integer', bits: 64 };
    case OID.text:
      return { kind: 'text', length: Number.POSITIVE_INFINITY };
    case OID.varchar:
      // The header of four bytes is part of the modifier.
      return { kind: 'text', length: typmod < 4 ? Number.POSITIVE_INFINITY : typmod - 4 };
    case OID.numeric: {
      const modifier = numericModifier(typmod);
      return modifier === null ? null : decimalRange(modifier.precision, modifier.scale);
    }
    default:
      return null;
  }
}

/** Null beyond what DECIMAL holds: such a column is text in the destination. A negative scale rounds to the left of the point. */
function decimalRange(precision: number, scale: number): Range | null {
  const whole = Math.max(precision - scale, 0);
  const fraction = Math.max(scale, 0);
  return whole + fraction > 38 ? null : { kind: 'decimal', whole, scale: fraction };
}
