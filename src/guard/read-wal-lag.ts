import { SluiceError } from '../error/sluice-error.js';
import type { SourceConnection } from '../source/connect.js';
import { currentLsnSql } from '../source/slot.js';
import type { LagSample } from './wal-lag.js';

const MIB = 1024 * 1024;

/** One row whether or not there is such a slot; cheap, and it waits for nobody. */
const LAG_SQL = `
  select s.slot_name is not null as "exists", s.wal_status as "walStatus",
    s.safe_wal_size::float8 as "safeWalSizeBytes",
    pg_catalog.pg_wal_lsn_diff(w.lsn, s.restart_lsn)::float8 as "retainedBytes",
    pg_catalog.pg_wal_lsn_diff(w.lsn, s.confirmed_flush_lsn)::float8 as "unconfirmedBytes",
    (select nullif(g.setting::float8, -1) from pg_catalog.pg_settings as g
      where g.name = 'max_slot_wal_keep_size') as "keepSizeMb"
  from (select ${currentLsnSql('insert')} as lsn) as w
    left join pg_catalog.pg_replication_slots as s on s.slot_name = $1`;

/** @param at the time of the look, ISO */
export async function readWalLag(
  connection: SourceConnection,
  slot: string,
  at: string,
  signal: AbortSignal,
): Promise<LagSample> {
  const [row] = await connection.query<
    Omit<LagSample, 'at' | 'keepSizeBytes'> & { readonly keepSizeMb: number | null }
  >(LAG_SQL, [slot], signal);
  if (row === undefined) {
    throw new SluiceError({ code: 'PROTOCOL_VIOLATION', message: 'Postgres did not say what the slot holds back' });
  }
  const { keepSizeMb, ...sample } = row;
  return { ...sample, at, keepSizeBytes: keepSizeMb === null ? null : keepSizeMb * MIB };
}
