import { type LogicalType, parseDuckdbTypeName } from '../batch/logical-type.js';
import type { ObservedType } from '../source/catalog-model.js';
import { OID } from '../source/type-oid.js';

/** The type of a column that only the file names, as a state would hold it. */
export const UNKNOWN_TYPE = 'unknown';

/** By what format_type prints without its modifier. */
const BUILT_IN: Readonly<Record<string, number>> = {
  boolean: OID.bool,
  smallint: OID.int2,
  integer: OID.int4,
  bigint: OID.int8,
  oid: OID.oid,
  real: OID.float4,
  'double precision': OID.float8,
  numeric: OID.numeric,
  text: OID.text,
  name: OID.name,
  character: OID.bpchar,
  'character varying': OID.varchar,
  bytea: OID.bytea,
  uuid: OID.uuid,
  json: OID.json,
  jsonb: OID.jsonb,
  date: OID.date,
  'time without time zone': OID.time,
  'time with time zone': OID.timetz,
  'timestamp without time zone': OID.timestamp,
  'timestamp with time zone': OID.timestamptz,
  interval: OID.interval,
};

/** numeric's typmod is offset by the varlena header size (VARHDRSZ in numeric.c). */
const TYPMOD_OFFSET = 4;

/**
 * A column's type as the catalog would give it, from what the state holds of it. Of types that are not built in (enums,
 * domains, extensions) only the destination's type is known, so another of the same destination type stands in for them.
 */
export function assumedType(formatted: string, targetType: string): ObservedType {
  const match = /^([a-z ]+?)(?:\((\d+)(?:,(-?\d+))?\))?( with(?:out)? time zone)?$/.exec(formatted);
  const oid = BUILT_IN[`${match?.[1] ?? ''}${match?.[4] ?? ''}`];
  // None that an override could name, so that adding or removing one always shows.
  if (formatted === UNKNOWN_TYPE) return scalar(OID.bool, -1);
  if (oid !== undefined) return scalar(oid, oid === OID.numeric ? numericTypmod(match?.[2], match?.[3]) : -1);
  return standIn(parseDuckdbTypeName(targetType) ?? { kind: 'varchar' });
}

function numericTypmod(precision: string | undefined, scale: string | undefined): number {
  return precision === undefined ? -1 : ((Number(precision) << 16) | (Number(scale ?? 0) & 0x7ff)) + TYPMOD_OFFSET;
}

function standIn(type: LogicalType): ObservedType {
  if (type.kind !== 'list') return scalar(oidOf(type), type.kind === 'decimal' ? typmodOf(type) : -1);
  const element = standIn(type.element);
  return {
    ...scalar(0, element.typmod),
    name: `${element.name}[]`,
    element: { oid: element.oid, name: element.name, kind: 'b' },
  };
}

function typmodOf({ precision, scale }: { readonly precision: number; readonly scale: number }): number {
  return numericTypmod(String(precision), String(scale));
}

function oidOf(type: Exclude<LogicalType, { kind: 'list' }>): number {
  switch (type.kind) {
    case 'boolean':
      return OID.bool;
    case 'int16':
      return OID.int2;
    case 'int32':
      return OID.int4;
    case 'int64':
      return OID.int8;
    case 'uint32':
      return OID.oid;
    case 'float32':
      return OID.float4;
    case 'float64':
      return OID.float8;
    case 'decimal':
      return OID.numeric;
    case 'varchar':
      return OID.text;
    case 'json':
      return OID.json;
    case 'blob':
      return OID.bytea;
    case 'uuid':
      return OID.uuid;
    case 'date':
      return OID.date;
    case 'time':
      return OID.time;
    case 'timetz':
      return OID.timetz;
    case 'timestamp':
      return OID.timestamp;
    case 'timestamptz':
      return OID.timestamptz;
    case 'interval':
      return OID.interval;
  }
}

function scalar(oid: number, typmod: number): ObservedType {
  const name = Object.entries(BUILT_IN).find(([, each]) => each === oid)?.[0] ?? '';
  return { oid, name, kind: 'b', baseOid: oid, baseName: name, baseKind: 'b', typmod, element: null };
}
