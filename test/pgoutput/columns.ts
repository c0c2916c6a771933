import type { LogicalType } from '../../src/batch/logical-type.js';
import type { RelationTarget } from '../../src/pgoutput/relation-cache.js';
import type { ObservedColumn, ObservedType } from '../../src/source/catalog-model.js';
import type { DecodedColumn } from '../../src/source/copy-decoder.js';
import { OID } from '../../src/source/type-oid.js';

export type BuiltIn = keyof typeof OID;

/** A column's type as the catalog reader gives it; `element` makes it an array of that. */
export function observedType(
  base: BuiltIn | number,
  changes: { readonly typmod?: number; readonly element?: BuiltIn } & Partial<Omit<ObservedType, 'element'>> = {},
): ObservedType {
  const { element, ...rest } = changes;
  const oid = typeof base === 'number' ? base : OID[base];
  const name = typeof base === 'number' ? `type${base}` : base;
  return {
    oid,
    name,
    kind: 'b',
    baseOid: oid,
    baseName: name,
    baseKind: 'b',
    typmod: -1,
    ...rest,
    element: element === undefined ? null : { oid: OID[element], name: element, kind: 'b' },
  };
}

export function observedColumn(name: string, type: ObservedType): ObservedColumn {
  return {
    name,
    attnum: 1,
    type,
    formattedType: type.name,
    notNull: false,
    generated: '',
    identity: '',
    storage: 'x',
    hasDefault: false,
    comment: null,
  };
}

export function decodedColumn(name: string, source: ObservedType, logical: LogicalType): DecodedColumn {
  return { name, logical, source };
}

/** numeric(p,s)'s modifier as pg_attribute holds it. */
export function numericTypmod(precision: number, scale: number): number {
  return ((precision << 16) | (scale & 0x7ff)) + 4;
}

/** The oid of an array type that tests use where only the element matters. */
export const ARRAY_OID = 1007;

/** Of a table that has always had these columns under these names. */
export function unchangedShape(
  columns: readonly { readonly name: string }[],
): Pick<RelationTarget, 'attnums' | 'known'> {
  return {
    attnums: columns.map((_, index) => index + 1),
    known: columns.map(({ name }, index) => ({ attnum: index + 1, names: [name] })),
  };
}
