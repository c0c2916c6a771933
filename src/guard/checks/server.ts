import type { Finding } from '../finding.js';
import { settingMending } from '../platform.js';
import { cdcTables, type Subject } from '../subject.js';

/** The oldest major that can publish a partitioned table under its own name. */
const OLDEST_VERSION_NUM = 130_000;

export function checkServerVersion({ source, catalog }: Subject): Finding[] {
  const { versionNum, version } = catalog.server;
  if (versionNum >= OLDEST_VERSION_NUM) return [];
  return [
    {
      level: 'error',
      code: 'SERVER_VERSION',
      address: source.name,
      message: `the server is Postgres ${version}; 13 or later is needed`,
      why: 'publish_via_partition_root and wal_status came with 13; older majors are not tested',
      fixSql: null,
      needsRestart: false,
    },
  ];
}

/** A standby's snapshot does not list running transactions, so a load could not be told from the stream. */
export function checkRecovery(subject: Subject): Finding[] {
  const { source, catalog } = subject;
  if (!catalog.server.inRecovery) return [];
  const streams = cdcTables(subject).length > 0;
  return [
    {
      level: streams ? 'error' : 'info',
      code: 'IN_RECOVERY',
      address: source.name,
      message: streams ? 'the server is a standby; cdc reads from the primary' : 'the server is a standby',
      why: streams
        ? 'a standby does not know which transactions are running, which a load needs to fit the stream'
        : 'incremental, append and full_table read from it well; long reads may be cancelled by replay (max_standby_streaming_delay)',
      fixSql: null,
      needsRestart: false,
    },
  ];
}

export function checkWalLevel(subject: Subject): Finding[] {
  const { source, catalog } = subject;
  if (cdcTables(subject).length === 0 || catalog.server.walLevel === 'logical') return [];
  return [
    {
      level: 'error',
      code: 'WAL_LEVEL',
      address: source.name,
      message: `wal_level is ${catalog.server.walLevel}, cdc needs logical`,
      why: 'below logical the write-ahead log does not hold what rows changed; managed services set it by rds.logical_replication or cloudsql.logical_decoding',
      ...settingMending(subject, 'wal_level', 'logical', true),
    },
  ];
}

/** SQL_ASCII stores whatever bytes came; anything else is converted to UTF-8 by the server. */
export function checkEncoding({ source, catalog }: Subject): Finding[] {
  if (catalog.server.serverEncoding !== 'SQL_ASCII') return [];
  return [
    {
      level: 'warning',
      code: 'SERVER_ENCODING',
      address: source.name,
      message: 'the database is encoded as SQL_ASCII: Postgres does not know what its bytes mean',
      why: 'text that is not valid UTF-8 cannot be written to the destination and is recorded as rejected',
      fixSql: null,
      needsRestart: false,
    },
  ];
}
