import { failpoint } from '../../thread/failpoint.js';
import { historyName, type TargetTable } from '../target-table.js';
import type { BackfillOutcome, FinishBackfill } from '../writer.js';
import { applyChanges } from './apply-changes.js';
import { writeRun, writeTableFacts } from './facts-store.js';
import { hasHeld, heldTable, visibleIn } from './held-changes.js';
import { alignHeld } from './held-layout.js';
import { moveRejected } from './loads.js';
import { deletedColumn } from './merge-sql.js';
import { loadTable } from './running-load.js';
import type { DuckDbSession } from './session.js';
import { columnList, identifier, keyEquality, qualified } from './sql-text.js';
import { copyDefinition, liveRows, tableExists } from './target-ddl.js';

/**
 * The last transaction of a backfill: new columns of rows that are there already. Their values were read under a snapshot
 * into a table beside the target, and the changes of the table were held since before it. So the changes that the
 * snapshot saw come first, then its values, then the changes that it did not see: no value takes the place of a newer one,
 * and a change that came without an unchanged large value finds it.
 * @throws SluiceError UNCHANGED_VALUE_LOST
 */
export async function finishBackfill(
  session: DuckDbSession,
  finish: FinishBackfill,
  now: () => Date,
): Promise<BackfillOutcome> {
  const { table, columns, mark } = finish;
  const load = loadTable(table);
  return session.transaction(async () => {
    const held = await hasHeld(session, table.address);
    let heldChanges = 0;
    if (held) {
      await alignHeld(session, table);
      const seen = visibleIn(mark.snapshot, '__xid');
      await session.run(
        `CREATE TEMP TABLE backfill_later AS SELECT * FROM ${heldTable(table.address)} WHERE NOT ${seen}`,
      );
      await session.run(
        `CREATE TEMP TABLE backfill_earlier AS SELECT * FROM ${heldTable(table.address)} WHERE ${seen}`,
      );
      await session.run(`DROP TABLE ${heldTable(table.address)}`);
      heldChanges += await apply(session, table, 'backfill_earlier');
    }
    if (table.output !== 'history') {
      await fillColumns(session, table, { schema: table.schema, name: table.name }, columns, load, null);
    }
    if (table.output !== 'consolidated') {
      const history = { schema: table.schema, name: historyName(table) };
      await fillColumns(session, table, history, columns, load, 't.valid_to IS NULL');
    }
    if (held) heldChanges += await apply(session, table, 'backfill_later');
    const [counted] = await session.rows<{ n: string }>(`SELECT count(*) AS n FROM ${load}`);
    await session.run(`DROP TABLE ${load}`);
    const rejected = await moveRejected(session, table, mark.snapshotLsn, null, now, 'add');
    const endedAt = now().toISOString();
    const rows = Number(counted?.n ?? 0);
    await writeTableFacts(session, table, {
      backfilled: finish.id,
      rows: await liveRows(session, table),
      last_run_at: endedAt,
      error_code: null,
      error_message: null,
      error_at: null,
    });
    await writeRun(session, {
      ...finish.run,
      address: table.address,
      kind: 'backfill',
      status: 'ok',
      endedAt,
      rows,
      inserted: 0,
      updated: rows,
      deleted: 0,
      rejected,
      fromLsn: null,
      toLsn: mark.snapshotLsn,
      errorCode: null,
      errorMessage: null,
    });
    return { rows, rejected, heldChanges };
  });
}

async function apply(session: DuckDbSession, table: TargetTable, changes: string): Promise<number> {
  const [row] = await session.rows<{ n: string }>(`SELECT count(*) AS n FROM ${changes}`);
  if (Number(row?.n ?? 0) === 0) {
    await session.run(`DROP TABLE ${changes}`);
    return 0;
  }
  const { inserted, updated, deleted } = await applyChanges(session, table, changes);
  return inserted + updated + deleted;
}

/**
 * Nearly every row changes, so the table is written anew beside the old one: an UPDATE of all rows takes longer and leaves
 * the file twice as large. Rows that were deleted keep what they have, as do versions that are closed.
 */
async function fillColumns(
  session: DuckDbSession,
  table: TargetTable,
  place: { readonly schema: string; readonly name: string },
  columns: readonly string[],
  load: string,
  condition: string | null,
): Promise<void> {
  if (!(await tableExists(session, place))) return;
  const fresh = { schema: place.schema, name: `_sluice_backfill_${place.name}` };
  await session.run(`DROP TABLE IF EXISTS ${qualified(fresh)}`);
  const names = await copyDefinition(session, place, fresh);
  const live = [`NOT t.${deletedColumn(table)}`, ...(condition === null ? [] : [condition])].join(' AND ');
  const values = names.map((name) => {
    const column = identifier(name);
    return columns.includes(name)
      ? `CASE WHEN ${live} AND l.__found THEN l.${column} ELSE t.${column} END`
      : `t.${column}`;
  });
  await session.run(
    `INSERT INTO ${qualified(fresh)} (${columnList(names)}) SELECT ${values.join(', ')}
     FROM ${qualified(place)} t LEFT JOIN (SELECT *, true AS __found FROM ${load}) l ON ${keyEquality(table.key, 't', 'l')}`,
  );
  await session.run(`DROP TABLE ${qualified(place)}`);
  await failpoint('in_swap');
  await session.run(`ALTER TABLE ${qualified(fresh)} RENAME TO ${identifier(place.name)}`);
}
