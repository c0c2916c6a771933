import { type HeapRange, joinRanges, type LoadProgress } from '../load-progress.js';
import type { DuckDbSession } from './session.js';
import { literal } from './sql-text.js';
import { tableExists } from './target-ddl.js';

/**
 * `_sluice.snapshots`: a row for each load that another process can go on with. It is written in the transactions that
 * write the load's rows, and it is gone as soon as a change of the table was not held: then the load has to begin anew.
 */

const TABLE = { schema: '_sluice', name: 'snapshots' };

interface ProgressRow extends Record<string, string> {
  identity: string;
  snapshot: string;
  snapshot_lsn: string;
  seed_lsn: string;
  taken_at: string;
  ranges: string;
  rejected_columns: string;
  rows: string;
}

/** Made when it is first needed: files of earlier versions do not have it. */
async function ensure(session: DuckDbSession): Promise<void> {
  await session.run(
    `CREATE TABLE IF NOT EXISTS _sluice.snapshots (
       address VARCHAR, identity VARCHAR, snapshot VARCHAR, snapshot_lsn VARCHAR, seed_lsn VARCHAR, taken_at VARCHAR,
       ranges VARCHAR, rejected_columns VARCHAR, rows BIGINT)`,
  );
}

export async function readProgress(session: DuckDbSession, address: string): Promise<LoadProgress | null> {
  if (!(await tableExists(session, TABLE))) return null;
  const [row] = await session.rows<ProgressRow>(`SELECT * FROM _sluice.snapshots WHERE address = ${literal(address)}`);
  if (row === undefined) return null;
  return {
    identity: row.identity,
    mark: { snapshot: row.snapshot, snapshotLsn: row.snapshot_lsn, seedLsn: row.seed_lsn, takenAt: row.taken_at },
    ranges: rangesOf(row.ranges),
    rows: Number(row.rows),
    rejectedColumns: numbersOf(JSON.parse(row.rejected_columns)),
  };
}

export async function beginProgress(
  session: DuckDbSession,
  address: string,
  begun: Pick<LoadProgress, 'identity' | 'mark'>,
): Promise<void> {
  await ensure(session);
  await forgetProgress(session, address);
  const { snapshot, snapshotLsn, seedLsn, takenAt } = begun.mark;
  const values = [address, begun.identity, snapshot, snapshotLsn, seedLsn, takenAt, '[]', '[]', 0];
  await session.run(`INSERT INTO _sluice.snapshots VALUES (${values.map(literal).join(', ')})`);
}

/** Adds what was read; a load whose row is gone meanwhile stays without one. */
export async function addProgress(
  session: DuckDbSession,
  address: string,
  read: Pick<LoadProgress, 'ranges' | 'rows' | 'rejectedColumns'>,
): Promise<void> {
  const known = await readProgress(session, address);
  if (known === null) return;
  const ranges = joinRanges([...known.ranges, ...read.ranges]);
  const rejected = [...new Set([...known.rejectedColumns, ...read.rejectedColumns])];
  await session.run(
    `UPDATE _sluice.snapshots SET ranges = ${literal(JSON.stringify(ranges))}, rejected_columns = ${literal(JSON.stringify(rejected))},
       rows = ${known.rows + read.rows} WHERE address = ${literal(address)}`,
  );
}

/** The load's rows are those of another snapshot now. */
export async function moveProgress(
  session: DuckDbSession,
  address: string,
  moved: Pick<LoadProgress, 'mark' | 'rows' | 'rejectedColumns'>,
): Promise<void> {
  const { snapshot, snapshotLsn, seedLsn, takenAt } = moved.mark;
  const set = {
    snapshot,
    snapshot_lsn: snapshotLsn,
    seed_lsn: seedLsn,
    taken_at: takenAt,
    rows: moved.rows,
    rejected_columns: JSON.stringify(moved.rejectedColumns),
  };
  const assignments = Object.entries(set).map(([column, value]) => `${column} = ${literal(value)}`);
  await session.run(`UPDATE _sluice.snapshots SET ${assignments.join(', ')} WHERE address = ${literal(address)}`);
}

export async function forgetProgress(session: DuckDbSession, address: string): Promise<void> {
  if (!(await tableExists(session, TABLE))) return;
  await session.run(`DELETE FROM _sluice.snapshots WHERE address = ${literal(address)}`);
}

/** Forgets the loads of a source but those of the given tables. */
export async function forgetProgressOfOthers(
  session: DuckDbSession,
  source: string,
  addresses: readonly string[],
): Promise<void> {
  if (!(await tableExists(session, TABLE))) return;
  const kept = addresses.length === 0 ? '' : ` AND address NOT IN (${addresses.map(literal).join(', ')})`;
  await session.run(`DELETE FROM _sluice.snapshots WHERE starts_with(address, ${literal(`${source}:`)})${kept}`);
}

function rangesOf(text: string): HeapRange[] {
  const parsed: unknown = JSON.parse(text);
  return Array.isArray(parsed) ? parsed.filter(isRange) : [];
}

function isRange(value: unknown): value is HeapRange {
  return typeof value === 'object' && value !== null && 'relation' in value && 'filenode' in value && 'first' in value;
}

function numbersOf(value: unknown): number[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'number') : [];
}
