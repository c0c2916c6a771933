import type { DuckDBConnection } from '@duckdb/node-api';
import type pg from 'pg';
import { type CanonicalColumn, canonicalColumns } from './canonical.js';
import type { Destination } from './destination.js';

/**
 * The judge at the end: compares the destination with Postgres without any code of Sluice in between. Every row is
 * looked up by its key and compared in every column, as canonical text (canonical.ts).
 */

export interface Expected {
  /** In the schema public, on both sides. */
  readonly table: string;
  /** Columns that were left out and are not compared. */
  readonly excluded: readonly string[];
  /** Read through the slot: deleted rows may be there, marked as such. */
  readonly streamed: boolean;
  readonly history: boolean;
}

export interface Verdict {
  /** As in the destination; `_cdc` is the history. */
  readonly table: string;
  readonly postgresRows: number;
  readonly destinationRows: number;
  readonly comparedValues: number;
  /** In Postgres alone. */
  readonly missing: number;
  /** In the destination alone. */
  readonly extra: number;
  readonly differing: number;
  /** Of a history: all versions, and those that overlap, leave a gap or stand beside another current one. */
  readonly versions: { readonly all: number; readonly broken: number } | null;
  /** The first few differences, for people. */
  readonly examples: readonly string[];
}

/** Examples a table. */
const EXAMPLES = 3;
/** Longer values are cut in examples. */
const EXAMPLE_LENGTH = 60;

export function isEqual(verdict: Verdict): boolean {
  const { missing, extra, differing, versions } = verdict;
  return missing + extra + differing + (versions?.broken ?? 0) === 0;
}

/**
 * Compares each table, and of those with history the versions as well. Nobody must be writing meanwhile.
 * @param folder the demo's
 */
export async function compareAll(
  postgres: pg.Client,
  destination: Destination,
  folder: string,
  tables: readonly Expected[],
): Promise<readonly Verdict[]> {
  const names = tables.flatMap(({ table, history }) => (history ? [table, `${table}_cdc`] : [table]));
  const reader = await destination.open(folder, names);
  try {
    const verdicts: Verdict[] = [];
    for (const table of tables) {
      verdicts.push(...(await compareTable(postgres, reader.duckdb, table, destination.name)));
    }
    return verdicts;
  } finally {
    reader.close();
  }
}

async function compareTable(
  postgres: pg.Client,
  duckdb: DuckDBConnection,
  expected: Expected,
  place: string,
): Promise<Verdict[]> {
  const { table, history, streamed } = expected;
  const columns = (await canonicalColumns(postgres, table)).filter(
    (column) => !expected.excluded.includes(column.name),
  );
  const key = columns.filter((column) => column.keyPosition !== null);
  const live = await readPostgres(postgres, `public."${table}"`, columns);
  const current = await readDuckDb(duckdb, `public."${table}"${streamed ? ' where not _ph_deleted' : ''}`, columns);
  const verdicts: Verdict[] = [{ table, ...compareRows(live, current, columns, place), versions: null }];
  if (history) {
    const name = `public."${table}_cdc"`;
    const open = await readDuckDb(duckdb, `${name} where valid_to is null and not _ph_deleted`, columns);
    const versions = await countVersions(duckdb, name, key);
    verdicts.push({ table: `${table}_cdc`, ...compareRows(live, open, columns, place), versions });
  }
  return verdicts;
}

type Row = readonly (string | null)[];
/** By key; the list has more than one row where a key is there twice, which is wrong in itself. */
type Rows = ReadonlyMap<string, readonly Row[]>;

async function readPostgres(client: pg.Client, from: string, columns: readonly CanonicalColumn[]): Promise<Rows> {
  const list = columns.map((column) => column.postgres).join(', ');
  const { rows } = await client.query<(string | null)[]>({ text: `select ${list} from ${from}`, rowMode: 'array' });
  return byKey(rows, columns);
}

async function readDuckDb(duckdb: DuckDBConnection, from: string, columns: readonly CanonicalColumn[]): Promise<Rows> {
  const list = columns.map((column) => column.duckdb).join(', ');
  const result = await duckdb.runAndReadAll(`select ${list} from ${from}`);
  const rows = result.getRows().map((row) => row.map((cell) => (cell === null ? null : String(cell))));
  return byKey(rows, columns);
}

function byKey(rows: readonly Row[], columns: readonly CanonicalColumn[]): Rows {
  const found = new Map<string, Row[]>();
  for (const row of rows) {
    const settled = columns.map((column, index) => {
      const cell = row[index] ?? null;
      return cell === null ? null : column.settle(cell);
    });
    const key = JSON.stringify(settled.filter((_, index) => columns[index]?.keyPosition !== null));
    const same = found.get(key);
    if (same === undefined) found.set(key, [settled]);
    else same.push(settled);
  }
  return found;
}

function compareRows(
  postgres: Rows,
  duckdb: Rows,
  columns: readonly CanonicalColumn[],
  place: string,
): Omit<Verdict, 'table' | 'versions'> {
  const counts = { comparedValues: 0, missing: 0, extra: 0, differing: 0 };
  const examples: string[] = [];
  const example = (text: string) => {
    if (examples.length < EXAMPLES) examples.push(text);
  };
  for (const [key, [want]] of postgres) {
    const [have] = duckdb.get(key) ?? [];
    if (want === undefined || have === undefined) {
      counts.missing += 1;
      example(`${key} is missing in ${place}`);
      continue;
    }
    counts.comparedValues += columns.length;
    const wrong = columns.findIndex((_, index) => want[index] !== have[index]);
    if (wrong === -1) continue;
    counts.differing += 1;
    example(`${key} ${columns[wrong]?.name}: Postgres has ${shown(want[wrong])}, ${place} ${shown(have[wrong])}`);
  }
  for (const [key, rows] of duckdb) {
    const surplus = rows.length - (postgres.has(key) ? 1 : 0);
    if (surplus > 0)
      example(`${key} is in ${place} ${rows.length} times, in Postgres ${postgres.has(key) ? 'once' : 'not'}`);
    counts.extra += surplus;
  }
  return { postgresRows: rowCount(postgres), destinationRows: rowCount(duckdb), ...counts, examples };
}

function rowCount(rows: Rows): number {
  let count = 0;
  for (const same of rows.values()) count += same.length;
  return count;
}

function shown(value: string | null | undefined): string {
  if (value === null || value === undefined) return 'NULL';
  return JSON.stringify(value.length > EXAMPLE_LENGTH ? `${value.slice(0, EXAMPLE_LENGTH)}...` : value);
}

/**
 * Within a key each version ends where the next one begins, and the last one has no end: so they neither overlap nor
 * leave gaps, and there is one current version.
 */
async function countVersions(
  duckdb: DuckDBConnection,
  history: string,
  key: readonly CanonicalColumn[],
): Promise<{ all: number; broken: number }> {
  const names = key.map((column) => `"${column.name.replaceAll('"', '""')}"`).join(', ');
  const result = await duckdb.runAndReadAll(`
    select count(*), count(*) filter (valid_to is distinct from next_from or valid_to < valid_from) from (
      select valid_from, valid_to, lead(valid_from) over (partition by ${names} order by _ph_cdc_lsn, _ph_cdc_seq) as next_from
      from ${history})`);
  const [all, broken] = (result.getRows()[0] ?? []).map(Number);
  if (all === undefined || broken === undefined) throw new Error(`no versions were counted in ${history}`);
  return { all, broken };
}
