import { SluiceError } from '../../error/sluice-error.js';
import { historyName, type TargetTable } from '../target-table.js';
import type { DuckDbSession } from './session.js';
import { literal } from './sql-text.js';

/**
 * Tables in the file that Sluice did not make. The plan refuses them already; here the load does, for one that came into
 * the way after the plan.
 */

interface TableName {
  readonly schema: string;
  readonly name: string;
}

/** Whether a load of ours has put something at this place: facts are written in the transaction that makes the table. */
export async function isClaimed(session: DuckDbSession, place: TableName): Promise<boolean> {
  const rows = await session.rows<{ n: number }>(
    `SELECT count(*)::INTEGER AS n FROM _sluice.tables WHERE ${sameName('target_schema', place.schema)} AND ${sameName('target_name', place.name)}`,
  );
  return (rows[0]?.n ?? 0) > 0;
}

/** @throws SluiceError DESTINATION_OCCUPIED when a load would replace a table that is not Sluice's */
export async function refuseOccupied(session: DuckDbSession, table: TargetTable): Promise<void> {
  if (await isClaimed(session, table)) return;
  const history = table.method === 'cdc' && table.output !== 'consolidated' ? [historyName(table)] : [];
  const consolidated = table.method === 'cdc' && table.output === 'history' ? [] : [table.name];
  for (const name of [...consolidated, ...history]) {
    const rows = await session.rows<{ n: number }>(
      `SELECT count(*)::INTEGER AS n FROM (
         SELECT schema_name, table_name AS name FROM duckdb_tables() WHERE NOT temporary
         UNION ALL SELECT schema_name, view_name FROM duckdb_views() WHERE NOT temporary AND NOT internal)
       WHERE ${sameName('schema_name', table.schema)} AND ${sameName('name', name)}`,
    );
    if ((rows[0]?.n ?? 0) === 0) continue;
    throw new SluiceError({
      code: 'DESTINATION_OCCUPIED',
      address: table.address,
      message: `the destination has a table ${table.schema}.${name} that Sluice did not make`,
      hint: 'rename or drop it, or set another target_schema for the source',
    });
  }
}

/** DuckDB takes names that differ only in case as one. */
function sameName(column: string, name: string): string {
  return `lower(${column}) = lower(${literal(name)})`;
}
