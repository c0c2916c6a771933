import type { SourceConnection } from './connect.js';
import type { Pooling } from './readiness-model.js';

/**
 * Tells whether a connection pooler (PgBouncer, Supavisor, pgcat, Odyssey, RDS Proxy, ...) stands in between.
 *
 * Every pooler gives its clients a cancel key of its own (BackendKeyData), as a client has no fixed backend; so the
 * process id in it is not what pg_backend_pid() says. Straight to Postgres, also through SSH or a TCP proxy, they agree.
 *
 * Whether a backend is kept for the session is seen by a second client: in transaction mode it gets the backend that the
 * first one used a moment ago and is done with, or the first one has another by now.
 * @param openAnother only called where there is a pooler
 */
export async function readPooling(
  connection: SourceConnection,
  openAnother: (signal: AbortSignal) => Promise<SourceConnection>,
  signal: AbortSignal,
): Promise<Pooling> {
  const first = await backendOf(connection, signal);
  const again = await backendOf(connection, signal);
  if (first !== again) return 'transaction';
  if (first === connection.backendPid) return 'none';
  let other: SourceConnection;
  try {
    other = await openAnother(signal);
  } catch {
    signal.throwIfAborted();
    return 'unclear'; // its pool may be full
  }
  try {
    await other.query('begin read only', [], signal);
    const others = await backendOf(other, signal);
    // The first session is not asked again then: in a pool of one it would wait for the backend that the other holds.
    if (others === first) return 'transaction';
    return (await backendOf(connection, signal)) === first ? 'session' : 'transaction';
  } finally {
    // A client that leaves in the middle of a transaction costs the pool its backend.
    await other.query('rollback', [], signal).catch(() => other.destroy());
    await other.end();
  }
}

async function backendOf(connection: SourceConnection, signal: AbortSignal): Promise<number> {
  const [row] = await connection.query<{ pid: number }>('select pg_catalog.pg_backend_pid() as pid', [], signal);
  return row?.pid ?? 0;
}
