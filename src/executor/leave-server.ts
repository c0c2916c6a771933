import type { StreamFacts } from '../destination/facts.js';
import { SluiceError } from '../error/sluice-error.js';
import { dropOwnPublication } from '../guard/drop-stream.js';
import { parseLsn } from '../pgoutput/lsn.js';
import { otherPlace } from '../planner/stream-break.js';
import type { ObservedSlot } from '../source/catalog-model.js';
import type { SourceConnection } from '../source/connect.js';
import { sqlState } from '../source/errors.js';
import { dropPublicationSql } from '../source/publication-sql.js';
import { readServer } from '../source/server.js';
import { explainSlotError, readSlot } from '../source/slot.js';
import { quoteLiteral } from '../source/sql-identifier.js';
import type { SourceState } from '../state/state.js';

/**
 * Drops what a source that left the file has on its server, and looks whether it is gone. The plan may be old, or was made
 * without a look at the server: so each step looks again whether what it finds is what this state made.
 */

const UNDEFINED_OBJECT = '42704';

/** @throws SluiceError SYSTEM_CHANGED where the connection reaches another cluster or database than the one that was applied */
export async function insistOnPlace(
  connection: SourceConnection,
  state: SourceState,
  signal: AbortSignal,
): Promise<void> {
  const elsewhere = otherPlace({ state, server: await readServer(connection, signal) });
  if (elsewhere === null) return;
  throw new SluiceError({
    code: elsewhere.code,
    message: `${elsewhere.cause}, so what is there is not ours to drop`,
    hint: 'check the connection; if the other one is gone for good: sluice state forget',
  });
}

/**
 * One statement, so that nothing comes between look and drop: a pgoutput slot of this database that stands where ours can
 * stand. One that somebody made anew under its name stands beyond all that this state's source has read.
 */
const DROP_SQL = `
  select pg_catalog.pg_drop_replication_slot(s.slot_name)
  from pg_catalog.pg_replication_slots as s
  where s.slot_name = $1 and s.plugin = 'pgoutput' and s.database = pg_catalog.current_database() and not s.temporary
    and (s.confirmed_flush_lsn is null or (s.confirmed_flush_lsn >= $2::pg_catalog.pg_lsn
      and ($3::pg_catalog.pg_lsn is null or s.confirmed_flush_lsn <= $3::pg_catalog.pg_lsn)))`;

/**
 * Drops the slot that the state names, made or about to be made.
 * @param stream what the destination holds of the stream; null: that is not known
 * @throws SluiceError SLOT_IN_USE, SLOT_OCCUPIED where the slot of that name is not ours, PRIVILEGE_MISSING
 */
export async function dropOwnSlot(
  connection: SourceConnection,
  state: SourceState,
  stream: StreamFacts | null,
  signal: AbortSignal,
): Promise<'dropped' | 'absent'> {
  const { slot, pending_slot: pending } = state;
  const name = slot?.name ?? pending?.name;
  const from = slot?.created_lsn ?? pending?.wal_lsn;
  if (name === undefined || from === undefined) return 'absent';
  const upTo = stream !== null && isOf(stream, slot) ? stream.confirmedLsn : null;
  let dropped: boolean;
  try {
    dropped = (await connection.query(DROP_SQL, [name, from, upTo], signal)).length > 0;
  } catch (error) {
    if (sqlState(error) === UNDEFINED_OBJECT) return 'absent';
    throw await explainSlotError(connection, name, error, signal);
  }
  const left = await readSlot(connection, name, signal);
  if (left === null) return dropped ? 'dropped' : 'absent';
  // Of one that was never recorded nobody can say that it was made at all.
  if (slot === null) return 'absent';
  throw occupied(left, { from, upTo });
}

function isOf(stream: StreamFacts, slot: SourceState['slot']): boolean {
  return stream.slot === slot?.name && (stream.slotCreatedLsn === null || stream.slotCreatedLsn === slot.created_lsn);
}

function occupied(found: ObservedSlot, ours: { readonly from: string; readonly upTo: string | null }): SluiceError {
  const { name, plugin, database, temporary, confirmedFlushLsn: at } = found;
  const stands = `it stands at ${at}`;
  const why =
    plugin !== 'pgoutput'
      ? `it is of another kind (${plugin ?? 'physical'})`
      : temporary
        ? 'it is a temporary slot of some session'
        : at !== null && parseLsn(at) < parseLsn(ours.from)
          ? `${stands}, and ours was made at ${ours.from}`
          : at !== null && ours.upTo !== null && parseLsn(at) > parseLsn(ours.upTo)
            ? `${stands}, and this source has read up to ${ours.upTo}`
            : `it belongs to database "${database}", or was made again right after it was dropped`;
  return new SluiceError({
    code: 'SLOT_OCCUPIED',
    message: `slot "${name}" is not the one that was made (${why}), so it is not ours to drop`,
    hint: `if nobody needs it: select pg_drop_replication_slot(${quoteLiteral(name)}); else give the clean-up up: sluice state forget`,
  });
}

/**
 * Drops the publication that the state names, where Sluice made it or took it over.
 * @throws SluiceError PUBLICATION_OCCUPIED where it also holds tables of others, PRIVILEGE_MISSING
 */
export async function dropLeftPublication(
  connection: SourceConnection,
  state: SourceState,
  signal: AbortSignal,
): Promise<void> {
  const name = state.publication ?? '';
  if ((await dropOwnPublication(connection, state, signal)) !== 'shared') return;
  throw new SluiceError({
    code: 'PUBLICATION_OCCUPIED',
    message: `publication "${name}" also holds tables that this source did not put into it, so it is not ours to drop`,
    hint: `sluice plan shows how only ours leave it; if nobody needs the others: ${dropPublicationSql(name)}`,
  });
}
