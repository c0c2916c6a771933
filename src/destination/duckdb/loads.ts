import type { LogicalType } from '../../batch/logical-type.js';
import type { BatchMessage } from '../../batch/transfer.js';
import { SluiceError } from '../../error/sluice-error.js';
import type { BatchReceiver } from '../../thread/batch-channel.js';
import { failpoint } from '../../thread/failpoint.js';
import { historyName, metadataColumns, metadataNames, type TargetTable } from '../target-table.js';
import type { FinishLoad, LoadOutcome } from '../writer.js';
import { alignHistory, keepDroppedColumns, widensColumn } from './align-columns.js';
import { applyChanges } from './apply-changes.js';
import { receivedBatches } from './batch-scan.js';
import { copyComments, describeTables } from './comments.js';
import { ensureTableRow, readStream, writeRun, writeStream, writeTableFacts } from './facts-store.js';
import { heldTable, takeHeld, takeHeldGaps } from './held-changes.js';
import { lsnNumber, lsnNumberSql } from './lsn-number.js';
import { isClaimed, refuseOccupied } from './occupied.js';
import { writePartitionFacts } from './partition-store.js';
import { loadName, loadTable } from './running-load.js';
import type { DuckDbSession } from './session.js';
import { forgetProgress } from './snapshot-progress.js';
import { columnList, identifier, keyEquality, literal, qualified } from './sql-text.js';
import { columnTypes, createHistory, liveRows, tableExists } from './target-ddl.js';

/** The end of a load (running-load.ts): one transaction puts its table in the target's place together with the checkpoint. */

const REJECTED_COLUMNS: readonly { readonly name: string; readonly type: LogicalType }[] = [
  { name: 'key', type: { kind: 'varchar' } },
  { name: 'column', type: { kind: 'varchar' } },
  { name: 'source_text', type: { kind: 'varchar' } },
  { name: 'reason', type: { kind: 'varchar' } },
];

function rejectedTable(address: string): string {
  return qualified({ schema: '_sluice', name: `rejected ${address}` });
}

/** Takes (key, column, source_text, reason) batches of a load's rejected values. */
export async function takeRejected(
  session: DuckDbSession,
  address: string,
  receiver: BatchReceiver<BatchMessage>,
): Promise<number> {
  const source = session.scan.add(receivedBatches(REJECTED_COLUMNS, receiver));
  await session.run(
    `CREATE TABLE IF NOT EXISTS ${rejectedTable(address)} (key VARCHAR, "column" VARCHAR, source_text VARCHAR, reason VARCHAR)`,
  );
  return session.run(`INSERT INTO ${rejectedTable(address)} SELECT * FROM ${source}`);
}

/** The last transaction of a load. */
export async function finishLoad(session: DuckDbSession, finish: FinishLoad, now: () => Date): Promise<LoadOutcome> {
  const { table, mark } = finish;
  const load = loadTable(table);
  return session.transaction(async () => {
    await refuseOccupied(session, table);
    const [loaded] = await session.rows<{ n: string }>(`SELECT count(*) AS n FROM ${load}`);
    const rows = Number(loaded?.n ?? 0);
    const history = { schema: table.schema, name: historyName(table) };
    const hadHistory = await tableExists(session, history);
    let heldChanges = 0;
    if (mark !== null) {
      if (table.output !== 'consolidated') {
        if (hadHistory) {
          await alignHistory(session, table, now);
          await reconcileHistory(session, table, mark.takenAt, mark.seedLsn);
        } else {
          await createHistory(session, table);
          await session.run(
            `INSERT INTO ${qualified(history)} BY NAME SELECT *, ${identifier(metadataColumns(table.metadataPrefix).timestamp)} AS valid_from, NULL::TIMESTAMPTZ AS valid_to FROM ${load}`,
          );
        }
      }
    }
    if (mark === null || table.output !== 'history') {
      await keepDroppedColumns(session, table, loadName(table), now);
      // Of columns that only the destination still has, nobody else knows them.
      await copyComments(session, table, loadName(table));
      if (mark !== null && table.deletes === 'soft') await carryDeletedRows(session, table, mark.takenAt, mark.seedLsn);
    }
    if (table.output === 'history' && mark !== null) {
      await session.run(`DROP TABLE ${load}`);
      if (await isOldConsolidated(session, table, hadHistory)) await session.run(`DROP TABLE ${qualified(table)}`);
    } else {
      await session.run(`DROP TABLE IF EXISTS ${qualified(table)}`);
      await failpoint('in_swap');
      await session.run(`ALTER TABLE ${load} RENAME TO ${identifier(table.name)}`);
    }
    if (mark !== null) {
      const held = await takeHeld(session, table, mark);
      if (held.raced) {
        throw new SluiceError({
          code: 'SNAPSHOT_RACED',
          address: table.address,
          message: 'a transaction that the stream had already delivered was not yet visible in the snapshot',
          hint: 'nothing was changed; the load is made again',
        });
      }
      if (held.changes !== null) {
        const applied = await applyChanges(session, table, held.changes);
        heldChanges = applied.inserted + applied.updated + applied.deleted;
      }
      await session.run(`DROP TABLE IF EXISTS ${heldTable(table.address)}`);
    }
    await describeTables(session, [table]);
    const gap = mark === null ? null : await takeHeldGaps(session, table.address, mark.snapshot);
    const rejected = await moveRejected(session, table, mark?.snapshotLsn ?? null, mark?.seedLsn ?? null, now);
    await forgetProgress(session, table.address);
    const endedAt = now().toISOString();
    await writeTableFacts(session, table, {
      loaded_generation: table.generation,
      backfilled: table.backfill ?? 0,
      phase: 'live',
      resnapshot_reason: gap,
      snapshot: mark?.snapshot ?? null,
      snapshot_lsn: mark?.snapshotLsn ?? null,
      rows: await liveRows(session, table),
      as_of_lsn: mark?.snapshotLsn ?? null,
      as_of: finish.asOf,
      cursor: finish.cursor,
      last_run_at: endedAt,
      load_rows_per_second: finish.rowsPerSecond,
      error_code: null,
      error_message: null,
      error_at: null,
    });
    if (finish.partitions !== null) await writePartitionFacts(session, table.address, finish.partitions);
    if (finish.stream !== null && (await readStream(session, finish.stream.source)) === null) {
      await writeStream(session, { ...finish.stream, confirmedAt: endedAt, updatedAt: endedAt, unseen: [] });
    }
    await writeRun(session, {
      ...finish.run,
      address: table.address,
      kind: mark === null ? table.method : 'snapshot',
      status: 'ok',
      endedAt,
      rows,
      inserted: rows,
      updated: 0,
      deleted: 0,
      rejected,
      fromLsn: null,
      toLsn: mark?.snapshotLsn ?? null,
      errorCode: null,
      errorMessage: null,
    });
    return { rows, rejected, heldChanges, needsLoad: gap !== null };
  });
}

/**
 * Whether the table of a history-only output's plain name is left from an output or method with a consolidated one. It
 * is somebody's own when no load of ours was at that place, or when ours there kept a history and it has none of our columns.
 */
async function isOldConsolidated(session: DuckDbSession, table: TargetTable, hadHistory: boolean): Promise<boolean> {
  const columns = await columnTypes(session, table);
  if (columns.size === 0 || !(await isClaimed(session, table))) return false;
  return !hadHistory || columns.has(metadataColumns(table.metadataPrefix).op);
}

/** Takes a load's rejected values over. A reload replaces what was said of the rows before; history keeps its own. */
export async function moveRejected(
  session: DuckDbSession,
  table: TargetTable,
  lsn: string | null,
  seedLsn: string | null,
  now: () => Date,
  mode: 'replace' | 'add' = table.output === 'consolidated' ? 'replace' : 'add',
): Promise<number> {
  const staging = rejectedTable(table.address);
  const address = literal(table.address);
  if (mode === 'replace') {
    // Changes held while the table loaded may be applied on top of it: what was said of them stays.
    const later = seedLsn === null ? '' : ` AND (lsn IS NULL OR ${lsnNumberSql('lsn')} < ${lsnNumber(seedLsn)})`;
    await session.run(`DELETE FROM _sluice.rejected_values WHERE address = ${address}${later}`);
  }
  let rejected = 0;
  if (await tableExists(session, { schema: '_sluice', name: `rejected ${table.address}` })) {
    rejected = await session.run(
      `INSERT INTO _sluice.rejected_values SELECT ${address}, key, "column", source_text, reason, ${literal(lsn)}, TIMESTAMPTZ ${literal(now().toISOString())} FROM ${staging}`,
    );
    await session.run(`DROP TABLE ${staging}`);
  }
  await ensureTableRow(session, table.address);
  await session.run(
    `UPDATE _sluice.tables SET rejected_values = (SELECT count(*) FROM _sluice.rejected_values WHERE address = ${address}) WHERE address = ${address}`,
  );
  return rejected;
}

/**
 * Soft deletes: a row that the source no longer has stays, marked as deleted, also when the deletion was never streamed
 * (TRUNCATE, a lost slot). Columns that changed their type are left empty in such rows.
 */
async function carryDeletedRows(session: DuckDbSession, table: TargetTable, at: string, lsn: string): Promise<void> {
  if (!(await tableExists(session, table))) return;
  const meta = metadataColumns(table.metadataPrefix);
  const old = await columnTypes(session, table);
  const fresh = await columnTypes(session, loadName(table));
  const metadata = metadataNames(table.metadataPrefix);
  const fits = (name: string): boolean => {
    const [was, is] = [old.get(name), fresh.get(name)];
    return was !== undefined && is !== undefined && (was === is || widensColumn(was, is));
  };
  if (![...table.key, ...metadata].every(fits)) return;
  const shared = [...fresh.keys()].filter((name) => !metadata.includes(name) && fits(name));
  const was = `o.${identifier(meta.deleted)}`;
  await session.run(
    `INSERT INTO ${loadTable(table)} (${columnList([...shared, meta.op, meta.timestamp, meta.deleted, meta.deletedAt, meta.lsn, meta.seq])})
     SELECT ${columnList(shared, 'o')}, 'D', CASE WHEN ${was} THEN o.${identifier(meta.timestamp)} ELSE TIMESTAMPTZ ${literal(at)} END, true,
       CASE WHEN ${was} THEN o.${identifier(meta.deletedAt)} ELSE TIMESTAMPTZ ${literal(at)} END,
       CASE WHEN ${was} THEN o.${identifier(meta.lsn)} ELSE ${lsnNumber(lsn)}::BIGINT END,
       CASE WHEN ${was} THEN o.${identifier(meta.seq)} ELSE 0 END
     FROM ${qualified(table)} o ANTI JOIN ${loadTable(table)} l ON ${keyEquality(table.key, 'o', 'l')}`,
  );
}

/** A new snapshot against open versions: equal rows go on, others get a version at the snapshot's time. */
async function reconcileHistory(session: DuckDbSession, table: TargetTable, at: string, lsn: string): Promise<void> {
  const history = { schema: table.schema, name: historyName(table) };
  const meta = metadataColumns(table.metadataPrefix);
  const names = table.columns.map((c) => c.name);
  const same = names.map((name) => `l.${identifier(name)} IS NOT DISTINCT FROM o.${identifier(name)}`).join(' AND ');
  const openLive = `(SELECT * FROM ${qualified(history)} WHERE valid_to IS NULL)`;
  const number = lsnNumber(lsn);
  await session.run(`CREATE TEMP TABLE reconciled AS
    SELECT ${columnList(names, 'l')}, CASE WHEN o.valid_from IS NULL OR o.${identifier(meta.deleted)} THEN 'I' ELSE 'U' END AS __op,
      greatest(TIMESTAMPTZ ${literal(at)}, coalesce(o.valid_from, TIMESTAMPTZ ${literal(at)})) AS __valid_from
    FROM ${loadTable(table)} l LEFT JOIN ${openLive} o ON ${keyEquality(table.key, 'l', 'o')}
    WHERE o.valid_from IS NULL OR o.${identifier(meta.deleted)} OR NOT (${same})
    UNION ALL BY NAME
    SELECT ${columnList(names, 'o')}, 'D' AS __op, greatest(TIMESTAMPTZ ${literal(at)}, o.valid_from) AS __valid_from
    FROM ${openLive} o ANTI JOIN ${loadTable(table)} l ON ${keyEquality(table.key, 'o', 'l')} WHERE NOT o.${identifier(meta.deleted)}`);
  await session.run(
    `CREATE TEMP TABLE reconciled_open AS SELECT o.* REPLACE (r.__valid_from AS valid_to) FROM ${openLive} o JOIN reconciled r ON ${keyEquality(table.key, 'o', 'r')}`,
  );
  await session.run(
    `DELETE FROM ${qualified(history)} h USING reconciled r WHERE ${keyEquality(table.key, 'h', 'r')} AND h.valid_to IS NULL`,
  );
  await session.run(`INSERT INTO ${qualified(history)} BY NAME SELECT * FROM reconciled_open`);
  await session.run(
    `INSERT INTO ${qualified(history)} (${columnList([...names, ...metadataNames(table.metadataPrefix)])}, valid_from, valid_to)
     SELECT ${columnList(names, 'r')}, r.__op, TIMESTAMPTZ ${literal(at)}, r.__op = 'D', CASE WHEN r.__op = 'D' THEN TIMESTAMPTZ ${literal(at)} END, ${number}::BIGINT, 0::BIGINT, r.__valid_from, NULL
     FROM reconciled r`,
  );
  await session.run('DROP TABLE reconciled');
  await session.run('DROP TABLE reconciled_open');
}
