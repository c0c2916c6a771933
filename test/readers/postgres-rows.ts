import type { TestPostgres } from '../postgres/server.js';
import { type Cell, cellOfPostgres } from './canonical.js';
import type { LakeTable } from './readers.js';

/** What Postgres holds, in canonical form. */

/** Columns that Sluice adds to those of the source. */
const ADDED = /^(_ph_.*|valid_from|valid_to)$/;

/** Lets every later connection print values as canonical.ts reads them. */
export async function printAsCanonical(postgres: TestPostgres, database: string): Promise<void> {
  for (const setting of ["timezone = 'UTC'", "datestyle = 'ISO, YMD'", 'extra_float_digits = 3']) {
    await postgres.query(`alter database ${database} set ${setting}`);
  }
}

export function sourceColumns(table: Pick<LakeTable, 'columns'>): LakeTable['columns'] {
  return table.columns.filter((column) => !ADDED.test(column.name));
}

/** The rows of a table, or of those for which a condition holds. */
export async function postgresRows(
  postgres: TestPostgres,
  database: string,
  from: string,
  columns: LakeTable['columns'],
): Promise<Cell[][]> {
  const values = columns.map(({ name, type }) => {
    const quoted = `"${name.replaceAll('"', '""')}"`;
    // The shortest text of a float4 gives another one where it is read as a float8 first.
    if (type === 'float') return `${quoted}::float8`;
    return type === 'array<float>' ? `${quoted}::float8[]` : quoted;
  });
  // format() keeps the padding of char(n), which a cast to text drops.
  const cells = values.map((value) => `case when num_nulls(${value}) = 0 then format('%s', ${value}) end`);
  const client = await postgres.client(database);
  try {
    // As Sluice reads: names of tables and types in values are spelled with their schema.
    await client.query('set search_path = pg_catalog');
    const { rows } = await client.query<{ cells: (string | null)[] }>(
      `select array[${cells.join(', ')}]::text[] as cells from ${from}`,
    );
    return rows.map((row) => row.cells.map((text, i) => cellOfPostgres(columns[i]?.type ?? '', text)));
  } finally {
    await client.end();
  }
}
