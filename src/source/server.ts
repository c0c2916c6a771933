import { SluiceError } from '../error/sluice-error.js';
import type { ObservedServer } from './catalog-model.js';
import type { SourceConnection } from './connect.js';
import { currentLsnSql } from './slot.js';

/**
 * Roles that managed services take for the REPLICATION attribute (Amazon RDS and Aurora). Others have administrators
 * that may only give the attribute (cloudsqlsuperuser, azure_pg_admin, alloydbsuperuser), which is not enough to use it.
 */
const REPLICATION_ROLES = ['rds_replication', 'rds_superuser'];

/** pg_stat_wal came with 14. */
const WAL_STATISTICS_SINCE = 140_000;
/** @see Postgres docs, "pg_stat_wal". A minute's average is the least that says anything. */
const WAL_RATE_SQL = `
  select case when age > 60 then pg_catalog.round(wal / age)::float8 end as "rate"
  from (select wal_bytes as wal, extract(epoch from pg_catalog.now() - stats_reset)::numeric as age
    from pg_catalog.pg_stat_wal) as wal`;

const SERVER_SQL = `
  select pg_catalog.current_setting('server_version_num')::int4 as "versionNum",
    pg_catalog.current_setting('server_version') as "version",
    pg_catalog.current_database()::text as "database", current_user::text as "user",
    pg_catalog.current_setting('is_superuser') = 'on' as "isSuperuser",
    (select r.rolreplication from pg_catalog.pg_roles as r where r.rolname = current_user) as "hasReplication",
    array(select r.rolname::text from pg_catalog.pg_roles as r
      where r.rolname = any ($1::name[]) and pg_catalog.pg_has_role(r.oid, 'member') order by 1) as "replicationRoles",
    pg_catalog.has_database_privilege(pg_catalog.current_database(), 'create') as "canCreateInDatabase",
    pg_catalog.current_setting('wal_level') as "walLevel",
    pg_catalog.current_setting('max_replication_slots')::int4 as "maxReplicationSlots",
    (select count(*)::int4 from pg_catalog.pg_replication_slots) as "usedReplicationSlots",
    pg_catalog.current_setting('max_wal_senders')::int4 as "maxWalSenders",
    (select count(*)::int4 from pg_catalog.pg_stat_replication) as "usedWalSenders",
    (select nullif(s.setting::int4, -1) from pg_catalog.pg_settings as s
      where s.name = 'max_slot_wal_keep_size') as "maxSlotWalKeepSizeMb",
    pg_catalog.current_setting('server_encoding') as "serverEncoding",
    pg_catalog.pg_is_in_recovery() as "inRecovery",
    (${currentLsnSql('insert')})::text as "currentWalLsn",
    pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'execute') as "mayReadControlFile",
    case when not pg_catalog.pg_is_in_recovery()
      then pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8) end as "timelineHex"`;

interface ServerRow extends Omit<ObservedServer, 'systemIdentifier' | 'timelineId' | 'tls' | 'walBytesPerSecond'> {
  readonly mayReadControlFile: boolean;
  /** The first eight digits of a WAL file's name; null on a standby, where nobody writes any. */
  readonly timelineHex: string | null;
}

/** What the server and the role are like. Runs inside of the caller's transaction. */
export async function readServer(connection: SourceConnection, signal: AbortSignal): Promise<ObservedServer> {
  const [row] = await connection.query<ServerRow>(SERVER_SQL, [REPLICATION_ROLES], signal);
  if (row === undefined)
    throw new SluiceError({ code: 'PROTOCOL_VIOLATION', message: 'Postgres did not describe itself' });
  const { mayReadControlFile, timelineHex, ...server } = row;
  return {
    ...server,
    systemIdentifier: mayReadControlFile ? await readSystemIdentifier(connection, signal) : null,
    timelineId: timelineHex === null ? null : Number.parseInt(timelineHex, 16),
    tls: connection.tls,
    walBytesPerSecond: server.versionNum < WAL_STATISTICS_SINCE ? null : await readWalRate(connection, signal),
  };
}

async function readWalRate(connection: SourceConnection, signal: AbortSignal): Promise<number | null> {
  const [row] = await connection.query<{ rate: number | null }>(WAL_RATE_SQL, [], signal);
  return row?.rate ?? null;
}

/** Not in the statement above: Postgres checks the right to a function even where it would not be called. */
async function readSystemIdentifier(connection: SourceConnection, signal: AbortSignal): Promise<string | null> {
  const sql = 'select system_identifier::text as id from pg_catalog.pg_control_system()';
  const [row] = await connection.query<{ id: string }>(sql, [], signal);
  return row?.id ?? null;
}
