import { SluiceError } from '../error/sluice-error.js';
import type { ObservedType } from './catalog-model.js';

/** A row of pg_type. */
export interface TypeRow {
  readonly oid: number;
  /** format_type without a modifier. */
  readonly name: string;
  readonly kind: ObservedType['kind'];
  /** Of domains: what they are made of, and the modifier they give it. */
  readonly domainOf: number | null;
  readonly domainTypmod: number;
  /** Of true arrays: the element's type. */
  readonly elementOf: number | null;
}

/**
 * The types asked for ($1: oids) with all that they rest on. A true array is a type that another one names as its array;
 * int2vector and the like also have elements, but are written in another way.
 */
export function typeSql(): string {
  return `
    with recursive array_type as (
      select e.typarray as oid, e.oid as element from pg_catalog.pg_type as e where e.typarray <> 0
    ), used as (
      select t.oid from pg_catalog.pg_type as t where t.oid = any ($1::oid[])
      union
      select case when s.n = 1 then t.typbasetype else a.element end
      from used as u
        join pg_catalog.pg_type as t on t.oid = u.oid
        left join array_type as a on a.oid = t.oid
        cross join (values (1), (2)) as s (n)
      where (s.n = 1 and t.typtype = 'd') or (s.n = 2 and a.element is not null)
    )
    select t.oid, pg_catalog.format_type(t.oid, null) as "name", t.typtype as "kind",
      case when t.typtype = 'd' then t.typbasetype end as "domainOf", t.typtypmod as "domainTypmod",
      a.element as "elementOf"
    from used as u join pg_catalog.pg_type as t on t.oid = u.oid left join array_type as a on a.oid = t.oid
    order by t.oid`;
}

export interface TypeCatalog {
  /** @throws SluiceError INTERNAL for a type that is not among the rows */
  typeOf(oid: number, typmod: number): ObservedType;
}

export function resolveTypes(rows: readonly TypeRow[]): TypeCatalog {
  const byOid = new Map(rows.map((row) => [row.oid, row]));
  const find = (oid: number): TypeRow => {
    const row = byOid.get(oid);
    if (row === undefined)
      throw new SluiceError({ code: 'INTERNAL', message: `type ${oid} was not read from the catalog` });
    return row;
  };
  /** Only the innermost domain can carry a modifier: a domain accepts none itself. */
  const baseOf = (oid: number, typmod: number): { row: TypeRow; typmod: number } => {
    let row = find(oid);
    let modifier = typmod;
    while (row.domainOf !== null) {
      modifier = row.domainTypmod;
      row = find(row.domainOf);
    }
    return { row, typmod: modifier };
  };
  return {
    typeOf: (oid, typmod) => {
      const own = find(oid);
      const base = baseOf(oid, typmod);
      // The modifier of an array's column is that of its elements, unless these are of a domain, which has its own.
      const innermost = base.row.elementOf === null ? null : baseOf(base.row.elementOf, base.typmod);
      return {
        oid,
        name: own.name,
        kind: own.kind,
        baseOid: base.row.oid,
        baseName: base.row.name,
        baseKind: base.row.kind,
        typmod: innermost?.typmod ?? base.typmod,
        element:
          innermost === null ? null : { oid: innermost.row.oid, name: innermost.row.name, kind: innermost.row.kind },
      };
    },
  };
}
