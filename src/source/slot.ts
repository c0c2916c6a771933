import { SluiceError } from '../error/sluice-error.js';
import { formatLsn, type Lsn, parseLsn } from '../pgoutput/lsn.js';
import type { ObservedSlot } from './catalog-model.js';
import type { SourceConnection } from './connect.js';
import { sqlState } from './errors.js';
import { quoteLiteral } from './sql-identifier.js';

// SQLSTATEs that decide what a slot function's refusal means.
const UNDEFINED_OBJECT = '42704';
const DUPLICATE_OBJECT = '42710';
const OBJECT_IN_USE = '55006';
/** Also said for a slot whose WAL is gone, for wal_level below logical and for a position behind the slot's own. */
const NOT_IN_PREREQUISITE_STATE = '55000';
const CONFIGURATION_LIMIT_EXCEEDED = '53400';
/** Said instead of 55000 by some majors while the server is in recovery. */
const FEATURE_NOT_SUPPORTED = '0A000';
/** A WAL file that the slot needs was removed. */
const UNDEFINED_FILE = '58P01';

/**
 * Makes a logical slot for pgoutput. Waits for transactions that are open at this moment; an abort ends the wait and
 * leaves no slot.
 * @param failover standbys may keep a copy of it (17+; offersFailover of catalog-model.ts)
 * @returns the position from which the slot decodes
 * @throws SluiceError SLOT_OCCUPIED, SERVER_UNSUITABLE, PRIVILEGE_MISSING
 */
export async function createSlot(
  connection: SourceConnection,
  name: string,
  signal: AbortSignal,
  failover = false,
): Promise<Lsn> {
  const sql = `select lsn::text from pg_catalog.pg_create_logical_replication_slot($1, $2${failover ? ', failover => true' : ''})`;
  const [row] = await connection.query<{ lsn: string }>(sql, [name, 'pgoutput'], signal).catch((error: unknown) => {
    switch (sqlState(error)) {
      case DUPLICATE_OBJECT:
        throw new SluiceError({
          code: 'SLOT_OCCUPIED',
          cause: error,
          message: `a replication slot "${name}" exists already, and it is not this source's own`,
          hint: `set another name under cdc.slot, or drop it if nobody needs it: select pg_drop_replication_slot(${quoteLiteral(name)});`,
        });
      case NOT_IN_PREREQUISITE_STATE:
      case FEATURE_NOT_SUPPORTED:
        throw new SluiceError({
          code: 'SERVER_UNSUITABLE',
          cause: error,
          message: `the server cannot make the logical slot "${name}": it wants wal_level = logical, on a primary`,
          hint: 'alter system set wal_level = logical; (needs a restart; hosts have a parameter of their own for it)',
        });
      case CONFIGURATION_LIMIT_EXCEEDED:
        throw new SluiceError({
          code: 'SERVER_UNSUITABLE',
          cause: error,
          message: `no replication slot is free for "${name}"`,
          hint: 'drop a slot that is no longer used, or: alter system set max_replication_slots = 20; (needs a restart)',
        });
      case '42501':
        throw new SluiceError({
          code: 'PRIVILEGE_MISSING',
          cause: error,
          message: `role "${connection.place.user}" may not make replication slots`,
          hint: '`sluice doctor` prints the SQL that mends it',
        });
      default:
        throw error;
    }
  });
  return parseLsn(required(row).lsn);
}

/**
 * Drops a slot, freeing the WAL it held, and looks whether it is gone.
 * @throws SluiceError SLOT_IN_USE with the backend that reads from it
 */
export async function dropSlot(
  connection: SourceConnection,
  name: string,
  signal: AbortSignal,
): Promise<'dropped' | 'absent'> {
  try {
    await connection.query('select pg_catalog.pg_drop_replication_slot($1)', [name], signal);
  } catch (error) {
    if (sqlState(error) === UNDEFINED_OBJECT) return 'absent';
    if (sqlState(error) === OBJECT_IN_USE) throw await slotInUse(connection, name, error, signal);
    throw error;
  }
  if ((await readSlot(connection, name, signal)) === null) return 'dropped';
  throw new SluiceError({ code: 'SLOT_IN_USE', message: `slot "${name}" is still there after it was dropped` });
}

/**
 * Tells Postgres that everything up to `lsn` is durable elsewhere (law 1: call it after the commit only).
 * @returns the slot's confirmed position: `lsn`, or a little less when the server has not flushed that far
 * @throws SluiceError SLOT_AHEAD when it stands beyond `lsn` already; SLOT_MISSING, SLOT_IN_USE, SLOT_LOST
 */
export async function advanceSlot(
  connection: SourceConnection,
  name: string,
  lsn: Lsn,
  signal: AbortSignal,
): Promise<Lsn> {
  const sql = 'select end_lsn::text as lsn from pg_catalog.pg_replication_slot_advance($1, $2::pg_catalog.pg_lsn)';
  try {
    const [row] = await connection.query<{ lsn: string }>(sql, [name, formatLsn(lsn)], signal);
    return parseLsn(required(row).lsn);
  } catch (error) {
    throw await explainSlotError(connection, name, error, signal, lsn);
  }
}

/**
 * Finds out what stands behind an error of a statement that reads or moves the slot; for peeking too.
 * @param wanted the position that the slot should have stood at or before
 */
export async function explainSlotError(
  connection: SourceConnection,
  name: string,
  error: unknown,
  signal: AbortSignal,
  wanted: Lsn | null = null,
): Promise<unknown> {
  const state = sqlState(error);
  if (state === OBJECT_IN_USE) return await slotInUse(connection, name, error, signal);
  if (state === UNDEFINED_OBJECT) return slotMissing(name, error);
  if (state !== NOT_IN_PREREQUISITE_STATE && state !== UNDEFINED_FILE) return error;
  const slot = await readSlot(connection, name, signal);
  if (slot === null) return slotMissing(name, error);
  if (slot.walStatus === 'lost' || slot.invalidationReason !== null || state === UNDEFINED_FILE) {
    return new SluiceError({
      code: 'SLOT_LOST',
      cause: error,
      message: `slot "${name}" has lost WAL it needs (${slot.invalidationReason ?? 'removed by the server'})`,
      hint: 'run `sluice plan` and `sluice apply`: the slot is made anew and its tables are loaded again',
    });
  }
  if (wanted !== null && slot.confirmedFlushLsn !== null && parseLsn(slot.confirmedFlushLsn) > wanted) {
    return new SluiceError({
      code: 'SLOT_AHEAD',
      cause: error,
      message: `slot "${name}" stands at ${slot.confirmedFlushLsn}, beyond ${formatLsn(wanted)}, up to which the destination holds the changes`,
      hint: 'somebody else moved the slot; the tables need a resync, as the changes in between are gone',
    });
  }
  return error;
}

function slotMissing(name: string, cause: unknown): SluiceError {
  return new SluiceError({
    code: 'SLOT_MISSING',
    cause,
    message: `replication slot "${name}" does not exist`,
    hint: 'run `sluice plan` and `sluice apply`: the slot is made anew and its tables are loaded again',
  });
}

async function slotInUse(
  connection: SourceConnection,
  name: string,
  cause: unknown,
  signal: AbortSignal,
): Promise<SluiceError> {
  const slot = await readSlot(connection, name, signal);
  const holder = slot?.activePid ?? null;
  return new SluiceError({
    code: 'SLOT_IN_USE',
    cause,
    message: `slot "${name}" is held by ${holder === null ? 'another session' : `backend ${holder}`}`,
    hint: holder === null ? 'try again' : `stop the other reader, or run: select pg_terminate_backend(${holder});`,
  });
}

/** @returns null when there is none of that name */
export async function readSlot(
  connection: SourceConnection,
  name: string,
  signal: AbortSignal,
): Promise<ObservedSlot | null> {
  const slots = await readSlots(connection, signal);
  return slots.find((slot) => slot.name === name) ?? null;
}

/** All slots of the server, those of other databases and of physical standbys too. */
export async function readSlots(connection: SourceConnection, signal: AbortSignal): Promise<readonly ObservedSlot[]> {
  return await connection.query<ObservedSlot>(slotSql(connection.versionNum), [], signal);
}

function slotSql(versionNum: number): string {
  return `
    select s.slot_name::text as "name", s.plugin::text as "plugin", s.database::text as "database",
      s.active as "active", s.active_pid as "activePid", s.temporary as "temporary",
      ${versionNum >= 140_000 ? 's.two_phase' : 'false'} as "twoPhase", ${versionNum >= 170_000 ? 's.failover' : 'null::boolean'} as "failover",
      s.restart_lsn::text as "restartLsn", s.confirmed_flush_lsn::text as "confirmedFlushLsn",
      s.wal_status as "walStatus", s.safe_wal_size::float8 as "safeWalSizeBytes",
      pg_catalog.pg_wal_lsn_diff(w.lsn, s.restart_lsn)::float8 as "retainedWalBytes",
      pg_catalog.pg_wal_lsn_diff(w.lsn, s.confirmed_flush_lsn)::float8 as "unconfirmedWalBytes",
      ${invalidationSql(versionNum)} as "invalidationReason"
    from pg_catalog.pg_replication_slots as s cross join (select ${currentLsnSql('insert')} as lsn) as w
    order by s.slot_name`;
}

/** 17 names the reason, 16 knows one kind, earlier majors only tell by wal_status that it is lost. */
function invalidationSql(versionNum: number): string {
  if (versionNum >= 170_000) return 's.invalidation_reason';
  if (versionNum >= 160_000) return "case when s.conflicting then 'conflicting' end";
  return 'null::text';
}

/** The end of the WAL: as written, as flushed, or on a standby as replayed. */
export function currentLsnSql(which: 'insert' | 'flush'): string {
  const own = which === 'flush' ? 'pg_catalog.pg_current_wal_flush_lsn()' : 'pg_catalog.pg_current_wal_lsn()';
  return `case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn() else ${own} end`;
}

/**
 * How far logical decoding can read at this moment. Everything committed before the call lies below it, save what was
 * committed with synchronous_commit = off and is written some hundred milliseconds later.
 */
export async function currentWalFlushLsn(connection: SourceConnection, signal: AbortSignal): Promise<Lsn> {
  const [row] = await connection.query<{ lsn: string }>(`select (${currentLsnSql('flush')})::text as lsn`, [], signal);
  return parseLsn(required(row).lsn);
}

/** The same together with `pg_current_snapshot()`. */
export async function currentWalAndSnapshot(
  connection: SourceConnection,
  signal: AbortSignal,
): Promise<{ readonly flushed: Lsn; readonly snapshot: string }> {
  const [row] = await connection.query<{ lsn: string; snapshot: string }>(
    `select (${currentLsnSql('flush')})::text as lsn, pg_catalog.pg_current_snapshot()::text as snapshot`,
    [],
    signal,
  );
  return { flushed: parseLsn(required(row).lsn), snapshot: required(row).snapshot };
}

/** `pg_current_snapshot()`: what a transaction that began now would see. */
export async function currentSnapshot(connection: SourceConnection, signal: AbortSignal): Promise<string> {
  const [row] = await connection.query<{ snapshot: string }>(
    'select pg_catalog.pg_current_snapshot()::text as snapshot',
    [],
    signal,
  );
  return required(row).snapshot;
}

/** The id that the next transaction gets: every one that has written anything by now has a lower one. 32 bits, modulo. */
export async function nextTransactionId(connection: SourceConnection, signal: AbortSignal): Promise<number> {
  // An id's age is its distance to the next one; 3 is the first that is no constant. Asking takes no id.
  const [row] = await connection.query<{ age: number }>(
    `select pg_catalog.age('3'::pg_catalog.xid) as age`,
    [],
    signal,
  );
  return (Number(required(row).age) + 3) >>> 0;
}

function required<Row>(row: Row | undefined): Row {
  if (row !== undefined) return row;
  throw new SluiceError({
    code: 'PROTOCOL_VIOLATION',
    message: 'Postgres answered without a row where there is always one',
  });
}
