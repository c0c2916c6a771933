import { randomUUID } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { DuckDbSession } from '../duckdb/session.js';
import { identifier, literal } from '../duckdb/sql-text.js';
import { columnTypes, tableExists } from '../duckdb/target-ddl.js';
import type { FactRow } from './ledger.js';

/** Rows of the working file's `_sluice` tables that belong to a source, out to its ledger and back. */

interface FactTable {
  readonly name: string;
  /** Which of its rows are a source's. */
  readonly owner: 'source' | 'address';
  /** Rows at most, the newest by this column; null: all. */
  readonly newest: { readonly column: string; readonly rows: number } | null;
}

/** The runs that a ledger keeps, as it is sent whole with every commit. */
const RUNS_KEPT = 300;

const FACT_TABLES: readonly FactTable[] = [
  { name: 'streams', owner: 'source', newest: null },
  { name: 'tables', owner: 'address', newest: null },
  { name: 'partitions', owner: 'address', newest: null },
  { name: 'schema_changes', owner: 'address', newest: { column: 'recorded_at', rows: RUNS_KEPT } },
  { name: 'runs', owner: 'source', newest: { column: 'ended_at', rows: RUNS_KEPT } },
];

/** SQL that is true for rows of a source. */
export function ownedBy(source: string, owner: FactTable['owner']): string {
  return owner === 'source' ? `source = ${literal(source)}` : `starts_with(address, ${literal(`${source}:`)})`;
}

/** What the working file records of a source. */
export async function exportFacts(session: DuckDbSession, source: string): Promise<Record<string, FactRow[]>> {
  const facts: Record<string, FactRow[]> = {};
  for (const { name, owner, newest } of FACT_TABLES) {
    const place = { schema: '_sluice', name };
    if (!(await tableExists(session, place))) continue;
    const limit =
      newest === null
        ? ''
        : ` QUALIFY row_number() OVER (ORDER BY ${newest.column} DESC, rowid DESC) <= ${newest.rows}`;
    facts[name] = await session.rows<Record<string, never>>(
      `SELECT * FROM _sluice.${name} WHERE ${ownedBy(source, owner)}${limit} ORDER BY rowid`,
    );
  }
  return facts;
}

/** Sources that the working file records something of. */
export async function knownSources(session: DuckDbSession): Promise<string[]> {
  const rows = await session.rows<{ source: string }>(
    `SELECT DISTINCT source FROM (SELECT source FROM _sluice.streams UNION ALL SELECT source FROM _sluice.runs
       UNION ALL SELECT split_part(address, ':', 1) FROM _sluice.tables) ORDER BY source`,
  );
  return rows.map((row) => row.source);
}

export async function forgetFacts(session: DuckDbSession, source: string): Promise<void> {
  for (const { name, owner } of FACT_TABLES) {
    if (!(await tableExists(session, { schema: '_sluice', name }))) continue;
    await session.run(`DELETE FROM _sluice.${name} WHERE ${ownedBy(source, owner)}`);
  }
}

/** Columns that this version does not know are left out; those that the rows lack become NULL. */
export async function importFacts(
  session: DuckDbSession,
  facts: Readonly<Record<string, readonly FactRow[]>>,
  folder: string,
): Promise<void> {
  for (const { name } of FACT_TABLES) {
    const rows = facts[name] ?? [];
    if (rows.length === 0) continue;
    const place = { schema: '_sluice', name };
    if (name === 'partitions') {
      await session.run(
        'CREATE TABLE IF NOT EXISTS _sluice.partitions (address VARCHAR, seen_xmin VARCHAR, leaves VARCHAR)',
      );
    }
    const types = await columnTypes(session, place);
    const file = path.join(folder, `facts-${randomUUID()}.ndjson`);
    await writeFile(file, rows.map((row) => JSON.stringify(row)).join('\n'));
    try {
      const columns = [...types].map(([column, type]) => `${literal(column)}: ${literal(type)}`).join(', ');
      await session.run(
        `INSERT INTO _sluice.${name} (${[...types.keys()].map(identifier).join(', ')})
         SELECT ${[...types.keys()].map(identifier).join(', ')}
         FROM read_json(${literal(file)}, format = 'newline_delimited', columns = {${columns}})`,
      );
    } finally {
      await rm(file, { force: true });
    }
  }
}
