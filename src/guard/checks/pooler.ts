import { assertNever } from '../../error/sluice-error.js';
import type { Finding } from '../finding.js';
import { cdcTables, known, type Subject } from '../subject.js';

/** A pooler gives a session less than it promises, and none of them passes the replication protocol on. */
export function checkPooler(subject: Subject): Finding[] {
  const { source, connection } = subject;
  const pooling = known(subject.readiness?.pooling);
  if (pooling === null || pooling === 'none') return [];
  const streams = cdcTables(subject).length > 0;
  const continuous = streams && source.cdc.transport === 'continuous';
  const place = `${connection.host}:${connection.port}`;
  const direct = `set host and port of connections.${connection.name} to the server itself`;
  const finding = { code: 'POOLER', address: source.name, fixSql: null, needsRestart: false };
  switch (pooling) {
    case 'transaction':
      return [
        {
          ...finding,
          level: 'error',
          message: `a pooler at ${place} gives each transaction another backend (transaction mode)`,
          why: `settings that decide how values are written, and timeouts, would be another session's; ${direct}, or its pool to session mode`,
        },
      ];
    case 'session':
    case 'unclear':
      return [
        {
          ...finding,
          level: continuous ? 'error' : 'warning',
          message: `a pooler (PgBouncer or the like) answers at ${place}, ${pooling === 'session' ? 'in session mode' : 'in a mode that could not be told'}`,
          why: continuous
            ? `the continuous transport speaks the replication protocol, which poolers refuse; ${direct}`
            : `long loads hold a place in its pool, and its own timeouts may cut them off; ${direct}`,
        },
      ];
    default:
      return assertNever(pooling);
  }
}
