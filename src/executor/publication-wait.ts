import { SluiceError } from '../error/sluice-error.js';
import type { ObservedTable } from '../source/catalog-model.js';
import type { SourceConnection } from '../source/connect.js';
import type { Clock } from './engine.js';

/**
 * A table that joins a publication on a live slot: what a transaction wrote to it before the ALTER PUBLICATION is never
 * published, even if it commits later. So every transaction that holds a writer's lock on the table has to end before
 * the snapshot is taken (DESIGN 3, first trap). Transactions that begin to write later are published in full.
 */

const POLL_MS = 200;
const TELL_EVERY_MS = 5_000;
/** A forgotten session must not hold the other tables up; the load is tried again at the next sync. */
export const SNAPSHOT_WAIT_MS = 10 * 60_000;

interface Writer extends Record<string, unknown> {
  readonly transaction: string;
  readonly who: string;
}

/** `$1`: oids of the table and its partitions. Prepared transactions hold their locks without a process. */
const WRITERS_SQL = `
  SELECT l.virtualtransaction || ':' || coalesce(l.pid::text, '') AS transaction,
    coalesce('pid ' || l.pid || ' (' || coalesce(a.usename, '?') || ', ' || coalesce(nullif(a.application_name, ''), 'no name') || ', ' || coalesce(a.state, '?') || ')', 'a prepared transaction') AS who
  FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
  WHERE l.locktype = 'relation' AND l.granted AND l.relation::text = ANY ($1)
    AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
    AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')`;

/** Whether some transaction that wrote to the table is still open. */
export async function hasOpenWriters(
  connection: SourceConnection,
  table: ObservedTable,
  signal: AbortSignal,
): Promise<boolean> {
  return (await findWriters(connection, table, signal)).length > 0;
}

function findWriters(connection: SourceConnection, table: ObservedTable, signal: AbortSignal): Promise<Writer[]> {
  return connection.query<Writer>(WRITERS_SQL, [[table.oid, ...table.partitionOids].map(String)], signal);
}

export async function waitForEarlierWriters(
  connection: SourceConnection,
  table: ObservedTable,
  address: string,
  deps: { readonly clock: Clock; readonly onWait: (what: string) => void; readonly deadlineMs: number },
  signal: AbortSignal,
): Promise<void> {
  const find = (): Promise<Writer[]> => findWriters(connection, table, signal);
  let earlier = await find();
  const startedMs = deps.clock.monotonicMs();
  let toldMs = Number.NEGATIVE_INFINITY;
  while (earlier.length > 0) {
    const waitedMs = deps.clock.monotonicMs() - startedMs;
    const names = [...new Set(earlier.map((writer) => writer.who))].join(', ');
    if (waitedMs > deps.deadlineMs) {
      throw new SluiceError({
        code: 'SNAPSHOT_WAIT_TIMEOUT',
        address,
        message: `transactions that were writing to the table are still open: ${names}`,
        hint: 'end them, or run the sync again later',
      });
    }
    if (waitedMs - toldMs >= TELL_EVERY_MS) {
      deps.onWait(`waiting for open transactions that write to it: ${names}`);
      toldMs = waitedMs;
    }
    await deps.clock.sleep(POLL_MS, signal);
    const now = new Set((await find()).map((writer) => writer.transaction));
    earlier = earlier.filter((writer) => now.has(writer.transaction));
  }
}
