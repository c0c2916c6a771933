import type pg from 'pg';

/** A column of a Postgres table, and how its value is written as text on either side so that equal values give equal texts. */
export interface CanonicalColumn {
  readonly name: string;
  /** Position in the primary key, from 1; null outside of it. */
  readonly keyPosition: number | null;
  /** SQL expressions; NULL stays NULL. */
  readonly postgres: string;
  readonly duckdb: string;
  /** Brings the two texts to one form, where SQL cannot. */
  readonly settle: (text: string) => string;
}

interface CatalogRow {
  readonly name: string;
  readonly type: string;
  readonly is_array: boolean;
  readonly is_enum: boolean;
  readonly key_position: number | null;
}

/** Columns as the catalog of Postgres has them; Sluice is not asked. `table` is in the schema public. */
export async function canonicalColumns(client: pg.Client, table: string): Promise<readonly CanonicalColumn[]> {
  const { rows } = await client.query<CatalogRow>(
    `select a.attname as name, t.typname as type, t.typcategory = 'A' as is_array, t.typtype = 'e' as is_enum,
       array_position(i.indkey::int2[], a.attnum) + 1 as key_position
     from pg_attribute a join pg_type t on t.oid = a.atttypid
       left join pg_index i on i.indrelid = a.attrelid and i.indisprimary
     where a.attrelid = $1::regclass and a.attnum > 0 and not a.attisdropped order by a.attnum`,
    [`public.${table}`],
  );
  return rows.map((row) => ({ name: row.name, keyPosition: row.key_position, ...texts(row) }));
}

const asItIs = (text: string) => text;

function texts(column: CatalogRow): Pick<CanonicalColumn, 'postgres' | 'duckdb' | 'settle'> {
  const name = `"${column.name.replaceAll('"', '""')}"`;
  if (column.is_array) {
    return {
      postgres: `to_json(${name}::text[])::text`,
      duckdb: `to_json(${name}::VARCHAR[])::VARCHAR`,
      settle: asItIs,
    };
  }
  const plain = { postgres: `${name}::text`, duckdb: `${name}::VARCHAR`, settle: asItIs };
  if (column.is_enum) return plain;
  switch (column.type) {
    case 'int2':
    case 'int4':
    case 'int8':
    case 'numeric':
    case 'text':
    case 'bool':
    case 'uuid':
    case 'date':
    case 'json':
    case 'jsonb':
      return plain;
    // Both print the shortest digits that lead back to the number, each in its own notation.
    case 'float8':
      return { ...plain, settle: (text) => String(Number(text)) };
    case 'timestamp':
    case 'timestamptz':
      return {
        postgres: `to_char(${name}${column.type === 'timestamptz' ? ` at time zone 'UTC'` : ''}, 'YYYY-MM-DD HH24:MI:SS.US')`,
        duckdb: `strftime(make_timestamp(epoch_us(${name})), '%Y-%m-%d %H:%M:%S.%f')`,
        settle: asItIs,
      };
    case 'bytea':
      return { postgres: `encode(${name}, 'hex')`, duckdb: `lower(hex(${name}))`, settle: asItIs };
    // The cast to text adds the /32 that the type's own output leaves out.
    case 'inet':
      return { postgres: `nullif(concat(${name}), '')`, duckdb: `${name}::VARCHAR`, settle: asItIs };
    default:
      throw new Error(`no canonical text for columns of type ${column.type} (${column.name})`);
  }
}
