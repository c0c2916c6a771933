import type { TableFacts } from '../destination/facts.js';
import type { ObservedTable } from '../source/catalog-model.js';
import type { Change, Cost } from './change.js';

/**
 * Rows a second assumed for a table that was never loaded. Binary COPY of 3,000,000 rows of 13 columns into DuckDB takes
 * 7.7 s on two cores (390,000 rows/s); narrower links and wider rows are slower, and a guess should not promise too much.
 */
export const DEFAULT_ROWS_PER_SECOND = 250_000;

/** Control work: a statement or an edit of the state, no rows moved. */
export const NO_COST: Cost = { rows: 0, bytes: 0, seconds: 0, wal_bytes: 0, basis: 'none' };

/**
 * What reading a whole table costs, from the catalog's estimates and the rate of its last load.
 * @param table null when it could not be looked at
 */
export function loadCost(table: ObservedTable | null, facts: TableFacts | null): Cost {
  if (table === null) return { rows: null, bytes: null, seconds: null, wal_bytes: 0, basis: 'none' };
  const { estimatedRows: rows, estimatedBytes: bytes } = table;
  if (rows === null) return { rows, bytes, seconds: null, wal_bytes: 0, basis: 'none' };
  const measured = facts?.loadRowsPerSecond ?? null;
  const known = measured !== null && measured > 0;
  const rate = known ? measured : DEFAULT_ROWS_PER_SECOND;
  const seconds = Math.ceil((rows / rate) * 10) / 10;
  return { rows, bytes, seconds, wal_bytes: 0, basis: known ? 'measured' : 'default' };
}

/**
 * The change with the WAL that its load makes the server keep: the slot of a streamed table stands still until the load
 * has ended. Loads of other methods hold no WAL.
 * @param walBytesPerSecond how fast the server writes WAL; null: not known
 */
export function withWal(change: Change, walBytesPerSecond: number | null): Change {
  if (!loadsBehindSlot(change)) return change;
  const { seconds } = change.cost;
  const wal = seconds === null || walBytesPerSecond === null ? null : Math.round(seconds * walBytesPerSecond);
  return { ...change, cost: { ...change.cost, wal_bytes: wal } };
}

function loadsBehindSlot(change: Change): boolean {
  switch (change.action) {
    case 'snapshot_table':
      return change.details.method === 'cdc';
    case 'resync_table':
    case 'enable_table':
    case 'change_method':
      return change.details.table.method === 'cdc';
    case 'backfill_columns':
      return true;
    default:
      return false;
  }
}
