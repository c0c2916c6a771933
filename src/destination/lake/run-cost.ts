import type { DuckDbSession } from '../duckdb/session.js';
import { identifier, literal } from '../duckdb/sql-text.js';
import { historyName } from '../target-table.js';
import { ownedBy } from './fact-exchange.js';
import type { StoreTraffic } from './object-store.js';
import { addTraffic, NO_TRAFFIC, trafficSince } from './traffic.js';
import { relationName } from './window.js';

/** What runs asked of the store: columns of `_sluice.runs` that only a lake has. */

const COLUMNS = ['puts', 'gets', 'lists', 'bytes_sent', 'bytes_received'] as const;

export const RUN_COST_DDL: readonly string[] = COLUMNS.map(
  (column) => `ALTER TABLE _sluice.runs ADD COLUMN IF NOT EXISTS ${column} BIGINT`,
);

/**
 * Writes into the runs that are new in this transaction what they cost: each its own tables' part, the first also what
 * they share. The sum over the runs is what was asked for, as far as it can be known before the ledger is written:
 * what retries and checkpoints add is not in it.
 * @param own by relation name
 * @returns whether there is a new run
 */
export async function recordRunCosts(
  session: DuckDbSession,
  source: string,
  own: ReadonlyMap<string, StoreTraffic>,
  total: StoreTraffic,
): Promise<boolean> {
  const runs = await session.rows<{ run: string; schema: string | null; name: string | null }>(
    `SELECT r.rowid::VARCHAR AS run, t.target_schema AS schema, t.target_name AS name
     FROM _sluice.runs r LEFT JOIN _sluice.tables t USING (address)
     WHERE r.${ownedBy(source, 'source')} AND r.puts IS NULL ORDER BY r.rowid`,
  );
  const parts = runs.map(({ schema, name }) => {
    if (schema === null || name === null) return NO_TRAFFIC;
    return [name, historyName({ name })].reduce(
      (sum, each) => addTraffic(sum, own.get(relationName({ schema, name: each })) ?? NO_TRAFFIC),
      NO_TRAFFIC,
    );
  });
  const shared = trafficSince(parts.reduce(addTraffic, NO_TRAFFIC), total);
  for (const [i, { run }] of runs.entries()) {
    const part = i === 0 ? addTraffic(parts[0] ?? NO_TRAFFIC, shared) : (parts[i] ?? NO_TRAFFIC);
    const { puts, gets, lists, bytesSent, bytesReceived } = part;
    const values = [puts, gets, lists, bytesSent, bytesReceived];
    const cells = COLUMNS.map((column, at) => `${identifier(column)} = ${literal(values[at] ?? 0)}`);
    await session.run(`UPDATE _sluice.runs SET ${cells.join(', ')} WHERE rowid = ${run}`);
  }
  return runs.length > 0;
}
