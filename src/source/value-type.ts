import type { LogicalType } from '../batch/logical-type.js';
import type { TypeOverride } from '../config/config.js';
import type { ObservedColumn, ObservedType } from './catalog-model.js';
import { type Dialect, inDialect } from './dialect.js';
import { quoteIdentifier } from './sql-identifier.js';
import { OID } from './type-oid.js';

/**
 * The type table of DESIGN 7: what a Postgres column is in the destination, how COPY is asked for it so that both
 * halves of its codec see the same value, and which values the destination cannot hold. What a lake has instead is said in
 * dialect.ts.
 */

/** The largest precision of DuckDB's DECIMAL. */
const MAX_DECIMAL_PRECISION = 38;
/** numeric's typmod is offset by the varlena header size (VARHDRSZ in numeric.c). */
const TYPMOD_OFFSET = 4;
/** The first microsecond that DuckDB's TIMESTAMP cannot hold: the int64 maximum stands for infinity. */
const LAST_TIMESTAMP = '294247-01-10 04:00:54.775806';
/** Infinite intervals as interval_send gives them; before 17 the same bits were an ordinary value that nobody can use. */
const INFINITE_INTERVALS = ['7fffffffffffffff7fffffff7fffffff', '80000000000000008000000080000000'];
/** From here on a decimal rounds to an infinite double: the largest double and half a step. */
const DOUBLE_OVERFLOW = (2n ** 1024n - 2n ** 970n).toString();

/** A number as an override reads it from text; the exponent is bounded so that Postgres can cast what matches. */
export const NUMBER_PATTERN = '^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]{1,3})?$';
/** Longest text that an override of a column that is no number reads as one; longer ones are rejected. */
export const NUMBER_TEXT_LIMIT = 1000;

/**
 * How a column's value stands in a field of binary COPY: `binary` as the type's own send function writes it, `text` as
 * its output function's text, `text-array` as an array of such texts.
 */
export type WireForm = 'binary' | 'text' | 'text-array';

/**
 * What a column is in the destination.
 * @param override from the table's `types:`, else undefined
 * @param dialect of the destination
 * @returns the type, and whether it is text only because the destination has no type for it (worth a notice)
 */
export function logicalTypeOf(
  column: ObservedColumn,
  override: TypeOverride | undefined,
  dialect: Dialect,
): { readonly type: LogicalType; readonly fallback: boolean } {
  if (override !== undefined) return { type: inDialect(overriddenType(override), dialect), fallback: false };
  const { type, fallback } = duckdbType(column);
  const here = inDialect(type, dialect);
  return { type: here, fallback: fallback || losesTime(type, here) };
}

/** Times and intervals are text where a destination has none; a uuid or JSON is text to begin with. */
function losesTime(type: LogicalType, here: LogicalType): boolean {
  if (type.kind === 'list' && here.kind === 'list') return losesTime(type.element, here.element);
  return here.kind === 'varchar' && (type.kind === 'time' || type.kind === 'timetz' || type.kind === 'interval');
}

function duckdbType({ type }: ObservedColumn): { readonly type: LogicalType; readonly fallback: boolean } {
  if (isList(type)) {
    const element = elementType(type);
    if (element !== null) return { type: { kind: 'list', element }, fallback: false };
    return { type: { kind: 'varchar' }, fallback: true };
  }
  const scalar = scalarType(type.baseOid, type.baseName, type.baseKind, type.typmod);
  return scalar === null ? { type: { kind: 'varchar' }, fallback: true } : { type: scalar, fallback: false };
}

/**
 * How the field of a column stands in binary COPY of {@link selectExpression}. The codec is chosen by it.
 * @param type the column's type
 * @param logical what {@link logicalTypeOf} made of it
 */
export function wireForm(type: ObservedType, logical: LogicalType): WireForm {
  if (logical.kind === 'list') {
    const { element } = type;
    return element !== null && scalarIsBinary(element.oid, element.name, element.kind, logical.element)
      ? 'binary'
      : 'text-array';
  }
  return scalarIsBinary(type.baseOid, type.baseName, type.baseKind, logical) ? 'binary' : 'text';
}

/**
 * The SQL expression to COPY for a column. It never yields NULL for a value that is not null, not even for a composite
 * whose fields are all NULL. The session needs the settings of DESIGN 7.
 */
export function selectExpression(column: ObservedColumn, logical: LogicalType): string {
  const name = quoteIdentifier(column.name);
  switch (wireForm(column.type, logical)) {
    case 'binary':
      return name;
    case 'text-array':
      return `${name}::pg_catalog.text[]`;
    case 'text':
      return `CASE WHEN (${name} IS DISTINCT FROM NULL) THEN ${outputText(name)} END`;
  }
}

/**
 * SQL that is true exactly for the values that the column's codec rejects, false for all others and for NULL; null where
 * it rejects none. With {@link originalText} it finds what goes to `_sluice.rejected_values`, in the snapshot's transaction.
 */
export function unrepresentablePredicate(column: ObservedColumn, logical: LogicalType): string | null {
  const name = quoteIdentifier(column.name);
  if (logical.kind !== 'list') {
    const { baseOid, typmod } = column.type;
    const test = scalarTest(name, baseOid, typmod, logical);
    return test === null ? null : `coalesce(${test}, false)`;
  }
  const tests = [`pg_catalog.array_ndims(${name}) > 1`, `pg_catalog.array_lower(${name}, 1) <> 1`];
  const element =
    column.type.element === null ? null : scalarTest('e', column.type.element.oid, column.type.typmod, logical.element);
  if (element !== null) tests.push(`EXISTS (SELECT FROM pg_catalog.unnest(${name}) AS u(e) WHERE ${element})`);
  return `coalesce(${tests.join(' OR ')}, false)`;
}

/** The SQL expression of a column's value as its output function writes it: the text that is recorded for a rejected value. */
export function originalText(column: ObservedColumn): string {
  return outputText(quoteIdentifier(column.name));
}

/** True for types whose binary form is their text in the client's encoding. */
export function isTextLike(oid: number, name: string, kind: ObservedType['kind']): boolean {
  switch (oid) {
    case OID.text:
    case OID.varchar:
    case OID.bpchar:
    case OID.name:
      return true;
    default:
      // An extension's type has another oid in each database; its name does not change.
      return kind === 'e' || (kind === 'b' && /(^|\.)citext$/.test(name));
  }
}

/** numeric's declared precision and scale; null without a modifier. Scales below 0 exist since 15. */
export function numericModifier(typmod: number): { readonly precision: number; readonly scale: number } | null {
  if (typmod < TYPMOD_OFFSET) return null;
  const packed = typmod - TYPMOD_OFFSET;
  return { precision: (packed >> 16) & 0xffff, scale: ((packed & 0x7ff) ^ 0x400) - 0x400 };
}

function overriddenType(override: TypeOverride): LogicalType {
  switch (override.kind) {
    case 'varchar':
    case 'json':
      return { kind: override.kind };
    case 'double':
      return { kind: 'float64' };
    case 'decimal':
      return { kind: 'decimal', precision: override.precision, scale: override.scale };
  }
}

/** int2vector and oidvector call themselves arrays, but count from 0 and print without braces. */
function isList(type: ObservedType): boolean {
  return type.element !== null && type.baseOid !== OID.int2vector && type.baseOid !== OID.oidvector;
}

function elementType(type: ObservedType): LogicalType | null {
  const { element } = type;
  return element === null ? null : scalarType(element.oid, element.name, element.kind, type.typmod);
}

/** The type of one value; null where the destination has none. */
function scalarType(oid: number, name: string, kind: ObservedType['kind'], typmod: number): LogicalType | null {
  switch (oid) {
    case OID.bool:
      return { kind: 'boolean' };
    case OID.int2:
      return { kind: 'int16' };
    case OID.int4:
      return { kind: 'int32' };
    case OID.int8:
      return { kind: 'int64' };
    case OID.oid:
      return { kind: 'uint32' };
    case OID.float4:
      return { kind: 'float32' };
    case OID.float8:
      return { kind: 'float64' };
    case OID.numeric:
      return numericType(typmod);
    case OID.bytea:
      return { kind: 'blob' };
    case OID.uuid:
      return { kind: 'uuid' };
    case OID.json:
    case OID.jsonb:
      return { kind: 'json' };
    case OID.date:
      return { kind: 'date' };
    case OID.time:
      return { kind: 'time' };
    case OID.timetz:
      return { kind: 'timetz' };
    case OID.timestamp:
      return { kind: 'timestamp' };
    case OID.timestamptz:
      return { kind: 'timestamptz' };
    case OID.interval:
      return { kind: 'interval' };
    default:
      return isTextLike(oid, name, kind) ? { kind: 'varchar' } : null;
  }
}

/** Plain numeric is text by choice (it has no bound); a declared precision beyond DuckDB's is text for want of a type. */
function numericType(typmod: number): LogicalType | null {
  const modifier = numericModifier(typmod);
  if (modifier === null) return { kind: 'varchar' };
  const { precision, scale } = modifier;
  if (scale < 0) return decimalOrNull(precision - scale, 0);
  return decimalOrNull(Math.max(precision, scale), scale);
}

function decimalOrNull(precision: number, scale: number): LogicalType | null {
  return precision > MAX_DECIMAL_PRECISION ? null : { kind: 'decimal', precision, scale };
}

function scalarIsBinary(oid: number, name: string, kind: ObservedType['kind'], logical: LogicalType): boolean {
  if (oid === OID.json || oid === OID.jsonb || isTextLike(oid, name, kind))
    return logical.kind === 'varchar' || logical.kind === 'json';
  if (oid === OID.oid) return logical.kind === 'uint32' || logical.kind === 'int64';
  // Any decimal reads numeric's digits, whatever its own modifier says.
  if (oid === OID.numeric) return logical.kind === 'decimal';
  return scalarType(oid, name, kind, -1)?.kind === logical.kind;
}

/** Calls the type's output function, which `::text` does not for bool, bpchar, inet and others. */
function outputText(expression: string): string {
  return `pg_catalog.concat(${expression})`;
}

function scalarTest(expression: string, oid: number, typmod: number, logical: LogicalType): string | null {
  switch (logical.kind) {
    case 'date':
      return logical.years === undefined ? null : beyondFourDigits(expression, 'date', '');
    case 'timestamp':
      if (logical.years !== undefined) return beyondFourDigits(expression, 'timestamp', '');
      return `pg_catalog.isfinite(${expression}) AND ${expression} > '${LAST_TIMESTAMP}'::pg_catalog.timestamp`;
    case 'timestamptz':
      if (logical.years !== undefined) return beyondFourDigits(expression, 'timestamptz', '+00');
      return `pg_catalog.isfinite(${expression}) AND ${expression} > '${LAST_TIMESTAMP}+00'::pg_catalog.timestamptz`;
    case 'interval': {
      // decode() instead of a bytea literal, which standard_conforming_strings = off would read as an escape.
      const bits = INFINITE_INTERVALS.map((hex) => `pg_catalog.decode('${hex}', 'hex')`).join(', ');
      return `pg_catalog.interval_send(${expression}) IN (${bits})`;
    }
    case 'decimal': {
      const natural = oid === OID.numeric ? numericType(typmod) : null;
      if (natural?.kind === 'decimal' && natural.precision === logical.precision && natural.scale === logical.scale) {
        return `${expression} = 'NaN'::pg_catalog.numeric`;
      }
      return decimalOverrideTest(expression, oid, logical.precision, logical.scale);
    }
    case 'float64':
      return oid === OID.float8 ? null : doubleOverrideTest(expression, oid);
    case 'varchar':
      return logical.empty === undefined
        ? null
        : `${outputText(expression)} = '' AND ${expression} IS DISTINCT FROM NULL`;
    default:
      return null;
  }
}

/** The infinities compare as the first and the last. */
function beyondFourDigits(expression: string, type: string, zone: string): string {
  const at = (year: string): string => `'${year}-01-01 00:00:00${zone}'::pg_catalog.${type}`;
  return `(${expression} < ${at('0001')} OR ${expression} >= ${at('10000')})`;
}

function decimalOverrideTest(expression: string, oid: number, precision: number, scale: number): string {
  const text = outputText(expression);
  const value = `${text}::pg_catalog.numeric`;
  const limit = `1${'0'.repeat(precision - scale)}`;
  const unfit = `pg_catalog.abs(${value}) >= ${limit} OR ${value} <> pg_catalog.round(${value}, ${scale})`;
  return `CASE WHEN (${expression}) IS NULL THEN false WHEN ${isNumber(text, oid)} THEN ${unfit} ELSE true END`;
}

function doubleOverrideTest(expression: string, oid: number): string {
  const text = outputText(expression);
  const overflow = `pg_catalog.abs(${text}::pg_catalog.numeric) >= ${DOUBLE_OVERFLOW}`;
  return (
    `CASE WHEN (${expression}) IS NULL OR ${text} IN ('NaN', 'Infinity', '-Infinity') THEN false ` +
    `WHEN ${isNumber(text, oid)} THEN ${overflow} ELSE true END`
  );
}

function isNumber(text: string, oid: number): string {
  const matches = `${text} ~ '${NUMBER_PATTERN}'`;
  return isNumberType(oid) ? matches : `(pg_catalog.octet_length(${text}) <= ${NUMBER_TEXT_LIMIT} AND ${matches})`;
}

/** Types whose output is always a number (or NaN, or an infinity), of whatever length. */
export function isNumberType(oid: number): boolean {
  switch (oid) {
    case OID.int2:
    case OID.int4:
    case OID.int8:
    case OID.oid:
    case OID.float4:
    case OID.float8:
    case OID.numeric:
      return true;
    default:
      return false;
  }
}
