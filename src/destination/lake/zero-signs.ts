import { rm } from 'node:fs/promises';
import type { Json } from '@duckdb/node-api';
import type { DuckDbSession } from '../duckdb/session.js';
import { identifier, literal } from '../duckdb/sql-text.js';
import type { LakeColumn } from './ledger.js';

/** With it DuckDB makes no dictionaries, and larger files. */
const KEEP_ZERO_SIGNS = ', DICTIONARY_SIZE_LIMIT 0';

/**
 * Writes rows as Parquet in a way that keeps the signs of their zeros.
 * @param target where the files go; nothing is there yet
 * @param rows the query that is written, and what it gives
 * @param copy does so with these options added to those of COPY, and gives its answer (RETURN_STATS)
 */
export async function copyWithZeroSigns<Row extends Readonly<Record<string, Json>>>(
  session: DuckDbSession,
  target: string,
  rows: { readonly query: string; readonly columns: readonly LakeColumn[] },
  copy: (options: string) => Promise<Row[]>,
): Promise<Row[]> {
  const written = await copy('');
  const files = written.map((row) => String(row['filename']));
  if (!(await losesZeroSigns(session, files, rows.query, rows.columns))) return written;
  await rm(target, { recursive: true, force: true });
  return copy(KEEP_ZERO_SIGNS);
}

/**
 * Whether files that DuckDB has written lack the sign of a zero: it takes 0 and -0 for one entry of a dictionary. Where no
 * column of floats has a dictionary, as with most measured values, only the files' footers are read.
 * @param files local paths
 * @param query the rows that were written
 */
async function losesZeroSigns(
  session: DuckDbSession,
  files: readonly string[],
  query: string,
  columns: readonly LakeColumn[],
): Promise<boolean> {
  const floats = columns.filter(({ type }) => /^(FLOAT|DOUBLE)(\[\])?$/.test(type));
  if (floats.length === 0 || files.length === 0) return false;
  const encoded = await session.rows<{ column: string }>(
    `SELECT DISTINCT path_in_schema AS column FROM parquet_metadata([${files.map(literal).join(', ')}])
     WHERE dictionary_page_offset IS NOT NULL`,
  );
  // The path of a list is that of its elements, in parts.
  const inDictionaries = ({ name }: LakeColumn): boolean =>
    encoded.some(({ column }) => column === name || column.startsWith(`${name}, `));
  const signed = floats.filter(inDictionaries).map(({ name, type }) => {
    const column = identifier(name);
    if (!type.endsWith('[]')) return `(${column} = 0 AND signbit(${column}))`;
    return `len(list_filter(${column}, x -> x = 0 AND signbit(x))) > 0`;
  });
  if (signed.length === 0) return false;
  const [row] = await session.rows<{ some: boolean }>(
    `SELECT EXISTS (SELECT 1 FROM (${query}) WHERE ${signed.join(' OR ')}) AS some`,
  );
  return row?.some === true;
}
