import { formatTableKey } from '../config/table-key.js';
import { SluiceError } from '../error/sluice-error.js';
import type { Clock } from '../executor/engine.js';
import type { SourceConnection } from '../source/connect.js';
import { sqlState } from '../source/errors.js';
import { dropPublication } from '../source/publication.js';
import { readServer } from '../source/server.js';
import { currentLsnSql, readSlot } from '../source/slot.js';
import type { SourceState } from '../state/state.js';

/**
 * Drops what a source has on the server while others may work with it: a sync that hangs, an apply that makes the slot
 * anew, a stranger who reads from it. So each statement looks again at what it drops.
 */

const OBJECT_IN_USE = '55006';
/** How long a reader of ours, once told to end, may take until the slot is free. */
const RELEASE_MS = 10_000;
const RELEASE_POLL_MS = 50;

/**
 * The slot goes only if it is a pgoutput slot of this database that still holds back as much: one that has caught up,
 * or that an apply has made anew in the meantime, stays.
 */
const DROP_SQL = `
  select pg_catalog.pg_drop_replication_slot(s.slot_name)
  from pg_catalog.pg_replication_slots as s
  where s.slot_name = $1 and s.plugin = 'pgoutput' and s.database = pg_catalog.current_database()
    and pg_catalog.pg_wal_lsn_diff(${currentLsnSql('insert')}, s.restart_lsn) >= $2::pg_catalog.float8::pg_catalog.numeric`;

/** Ends the slot's reader if it is one of Sluice's sessions of the same role. Other roles' names are not ours to see. */
const END_READER_SQL = `
  select a.pid, pg_catalog.pg_terminate_backend(a.pid) as "told"
  from pg_catalog.pg_replication_slots as s join pg_catalog.pg_stat_activity as a on a.pid = s.active_pid
  where s.slot_name = $1 and a.usename = current_user
    and (a.application_name = 'sluice' or a.application_name like 'sluice %')`;

/**
 * Drops a slot that holds back too much WAL and looks whether it is gone. A reader of ours is ended first.
 * @param atLeastBytes what it has to hold back still
 * @returns kept: it was not, as it holds back less by now (a new one of that name, too) or is gone already
 * @throws SluiceError SLOT_IN_USE when somebody else reads from it, SLOT_OCCUPIED, SYSTEM_CHANGED, PRIVILEGE_MISSING
 */
export async function dropOverdueSlot(
  connection: SourceConnection,
  slot: string,
  known: { readonly systemIdentifier: string | null; readonly atLeastBytes: number },
  clock: Clock,
  signal: AbortSignal,
): Promise<'dropped' | 'kept'> {
  const server = await readServer(connection, signal);
  if (
    known.systemIdentifier !== null &&
    server.systemIdentifier !== null &&
    server.systemIdentifier !== known.systemIdentifier
  ) {
    throw new SluiceError({
      code: 'SYSTEM_CHANGED',
      message: `the connection reaches another database cluster than the one that was applied, so slot "${slot}" there is not ours to drop`,
      hint: 'check the connection; if the move is meant, run: sluice plan',
    });
  }
  const deadlineMs = clock.monotonicMs() + RELEASE_MS;
  for (;;) {
    try {
      const dropped = await connection.query(DROP_SQL, [slot, known.atLeastBytes], signal);
      if (dropped.length > 0) break;
      await refuseForeign(connection, slot, server.database, signal);
      return 'kept';
    } catch (error) {
      if (sqlState(error) !== OBJECT_IN_USE) throw error;
      const ended = await connection.query<{ pid: number; told: boolean }>(END_READER_SQL, [slot], signal);
      // Gone in between, or about to go: the next attempt tells.
      const holder = (await readSlot(connection, slot, signal))?.activePid ?? null;
      const ours = holder === null || ended.some(({ pid, told }) => pid === holder && told);
      if (!ours || clock.monotonicMs() >= deadlineMs) throw inUse(slot, holder, error);
      await clock.sleep(RELEASE_POLL_MS, signal);
    }
  }
  if ((await readSlot(connection, slot, signal)) === null) return 'dropped';
  throw new SluiceError({ code: 'SLOT_IN_USE', message: `slot "${slot}" is still there after it was dropped` });
}

/** @throws SluiceError SLOT_OCCUPIED when the slot of that name is none that Sluice makes */
async function refuseForeign(
  connection: SourceConnection,
  slot: string,
  database: string,
  signal: AbortSignal,
): Promise<void> {
  const found = await readSlot(connection, slot, signal);
  if (found === null || (found.plugin === 'pgoutput' && found.database === database)) return;
  throw new SluiceError({
    code: 'SLOT_OCCUPIED',
    message: `slot "${slot}" is not the one that was made (plugin ${found.plugin}, database ${found.database}), so it is not ours to drop`,
    hint: 'if nobody needs it, drop it by hand; else set another name under cdc.slot',
  });
}

function inUse(slot: string, holder: number | null, cause: unknown): SluiceError {
  const who = holder === null ? 'another session' : `backend ${holder}`;
  return new SluiceError({
    code: 'SLOT_IN_USE',
    cause,
    message: `slot "${slot}" could not be dropped: ${who} reads from it`,
    hint:
      holder === null
        ? 'it is tried again'
        : `it is tried again; to end the other reader: select pg_terminate_backend(${holder});`,
  });
}

/**
 * Drops the publication of a source if Sluice made it, and looks whether it is gone.
 * @returns shared: it stays, as it also holds what is not the source's
 * @throws SluiceError PRIVILEGE_MISSING when it belongs to somebody else
 */
export async function dropOwnPublication(
  connection: SourceConnection,
  source: SourceState,
  signal: AbortSignal,
): Promise<'dropped' | 'absent' | 'shared'> {
  const { publication } = source;
  if (publication === null || source.management !== 'managed' || source.publication_tables.length === 0)
    return 'absent';
  const [found] = await connection.query<PublicationContent>(contentSql(connection.versionNum), [publication], signal);
  if (found === undefined) return 'absent';
  const ours = new Set(source.publication_tables);
  // A table that was renamed since is ours all the same.
  const oids = new Set(Object.values(source.tables).map(({ oid }) => oid));
  const foreign = found.members.some(
    ([schema, name, oid]) => !oids.has(oid) && !ours.has(formatTableKey(schema, name)),
  );
  if (found.wide || foreign) return 'shared';
  return await dropPublication(connection, publication, signal);
}

interface PublicationContent {
  /** All tables, or whole schemas, which Sluice does not publish. */
  readonly wide: boolean;
  readonly members: readonly (readonly [string, string, number])[];
}

/** Only the catalog's own rows: what is published in effect takes long to tell where there are many tables. */
function contentSql(versionNum: number): string {
  const schemas =
    versionNum >= 150_000
      ? 'exists (select from pg_catalog.pg_publication_namespace as n where n.pnpubid = p.oid)'
      : 'false';
  return `
    select p.puballtables or ${schemas} as "wide", coalesce((
      select pg_catalog.json_agg(pg_catalog.json_build_array(n.nspname, c.relname, c.oid::int8))
      from pg_catalog.pg_publication_rel as r join pg_catalog.pg_class as c on c.oid = r.prrelid
        join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
      where r.prpubid = p.oid), '[]') as "members"
    from pg_catalog.pg_publication as p where p.pubname = $1`;
}
