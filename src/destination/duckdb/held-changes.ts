import { parseSnapshot } from '../../pgoutput/snapshot-visibility.js';
import type { SnapshotMark, TargetTable } from '../target-table.js';
import { alignHeld } from './held-layout.js';
import { lsnNumber } from './lsn-number.js';
import type { DuckDbSession } from './session.js';
import { readProgress } from './snapshot-progress.js';
import { literal, qualified } from './sql-text.js';
import { tableExists } from './target-ddl.js';

/**
 * Changes of a table that waits for a load. They are kept in the file, so the slot goes on advancing, and are applied on
 * top of the load as far as its snapshot did not see them.
 */

function heldName(address: string): { schema: string; name: string } {
  return { schema: '_sluice', name: `held ${address}` };
}

export function heldTable(address: string): string {
  return qualified(heldName(address));
}

export function hasHeld(session: DuckDbSession, address: string): Promise<boolean> {
  return tableExists(session, heldName(address));
}

export async function hold(session: DuckDbSession, table: TargetTable, changes: string): Promise<void> {
  const held = heldTable(table.address);
  await alignHeld(session, table);
  await session.run(`CREATE TABLE IF NOT EXISTS ${held} AS SELECT * FROM ${changes} LIMIT 0`);
  await session.run(`INSERT INTO ${held} BY NAME SELECT * FROM ${changes}`);
}

/** Remembers a place in the stream that held changes cannot bridge: a TRUNCATE, or a change of the table's columns. */
export async function holdGap(
  session: DuckDbSession,
  address: string,
  place: { readonly lsn: string; readonly xid: number },
  reason: string,
): Promise<void> {
  await session.run(
    `INSERT INTO _sluice.held_gaps VALUES (${[address, place.lsn, place.xid, reason].map(literal).join(', ')})`,
  );
}

/** Forgets the gaps held for a table. @returns the reason of one that the snapshot did not see; null where it saw them all */
export async function takeHeldGaps(session: DuckDbSession, address: string, snapshot: string): Promise<string | null> {
  const where = `address = ${literal(address)}`;
  const rows = await session.rows<{ reason: string }>(
    `SELECT reason FROM _sluice.held_gaps WHERE ${where} AND NOT ${visibleIn(snapshot, '__xid')} LIMIT 1`,
  );
  await session.run(`DELETE FROM _sluice.held_gaps WHERE ${where}`);
  return rows[0]?.reason ?? null;
}

/**
 * SQL that is true for transactions that a snapshot sees. Begin carries 32 bits of the id; the epoch is the snapshot's,
 * or its neighbour's where that is closer.
 */
export function visibleIn(snapshot: string, column: string): string {
  const { xmin, xmax, xip } = parseSnapshot(snapshot);
  const epoch = (xmax >> 32n) << 32n;
  const near = `(${epoch} + ${column}::BIGINT)`;
  const half = 1n << 31n;
  const full = `(CASE WHEN ${near} - ${xmax} > ${half} THEN ${near} - ${1n << 32n} WHEN ${xmax} - ${near} > ${half} THEN ${near} + ${1n << 32n} ELSE ${near} END)`;
  const running = xip.length === 0 ? '' : ` AND ${full} NOT IN (${xip.join(', ')})`;
  return `(${full} < ${xmin} OR (${full} < ${xmax}${running}))`;
}

/**
 * The held changes that a load's snapshot did not see, as a temporary table.
 * @returns changes: null where there are none; raced: one of them was delivered before the load began (it commits below
 *   the seed LSN), so seeded rows would wrongly count as newer
 */
export async function takeHeld(
  session: DuckDbSession,
  table: TargetTable,
  mark: SnapshotMark,
): Promise<{ changes: string | null; raced: boolean }> {
  if (!(await hasHeld(session, table.address))) return { changes: null, raced: false };
  await alignHeld(session, table);
  const changes = 'held_unseen';
  await session.run(`DROP TABLE IF EXISTS ${changes}`);
  await session.run(
    `CREATE TEMP TABLE ${changes} AS SELECT * FROM ${heldTable(table.address)} WHERE NOT ${visibleIn(mark.snapshot, '__xid')}`,
  );
  const rows = await session.rows<{ n: string; early: string }>(
    `SELECT count(*) AS n, count(*) FILTER (WHERE __lsn < ${lsnNumber(mark.seedLsn)}) AS early FROM ${changes}`,
  );
  return {
    changes: Number(rows[0]?.n ?? 0) === 0 ? null : changes,
    raced: Number(rows[0]?.early ?? 0) > 0,
  };
}

/**
 * Drops held changes of transactions below `xmin`: they have ended, so every later snapshot sees them. A load that can be
 * gone on with needs all that its snapshot did not see.
 */
export async function pruneHeld(session: DuckDbSession, addresses: readonly string[], xmin: string): Promise<void> {
  for (const address of addresses) {
    if (!(await hasHeld(session, address))) continue;
    const progress = await readProgress(session, address);
    const ended = progress === null ? `${xmin}:${xmin}:` : progress.mark.snapshot;
    await session.run(`DELETE FROM ${heldTable(address)} WHERE ${visibleIn(ended, '__xid')}`);
  }
}

/** Forgets all that was held for a table. */
export async function dropHeld(session: DuckDbSession, address: string): Promise<void> {
  await session.run(`DROP TABLE IF EXISTS ${heldTable(address)}`);
  await session.run(`DELETE FROM _sluice.held_gaps WHERE address = ${literal(address)}`);
}
