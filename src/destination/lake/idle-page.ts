import { parseLsn } from '../../pgoutput/lsn.js';
import { readFacts } from '../duckdb/facts-store.js';
import { hasHeld } from '../duckdb/held-changes.js';
import { stageName } from '../duckdb/pages.js';
import type { DuckDbSession } from '../duckdb/session.js';
import { literal } from '../duckdb/sql-text.js';
import type { DestinationFacts } from '../facts.js';
import type { CommitPage } from '../writer.js';
import { hasTemporary } from './window.js';

/**
 * Pages that say no more than that nothing happened. Each would be a PUT of the ledger; so the ledger, and with it the
 * slot, are left where they are until it is worth one. What was looked at meanwhile is kept in the working file: for the
 * schedule, and for whoever asks how fresh the tables are.
 */

/** A position without changes is written at least so often. */
export const IDLE_MS = 10 * 60_000;
/** And when it would pin more WAL than this: a segment of the usual size. */
const IDLE_BYTES = 16n * 1024n * 1024n;

/** Sluice's own table in the working file. */
export const LOOKS_DDL =
  'CREATE TABLE IF NOT EXISTS _sluice.lake_looks (source VARCHAR, looked_at TIMESTAMPTZ, as_of TIMESTAMPTZ)';

/** Whether a page need not be written, as nothing is in it or waits for it, and the ledger's position is not old. */
export async function canWait(session: DuckDbSession, page: CommitPage, now: Date): Promise<boolean> {
  if (!page.isIdle) return false;
  for (const { index, table } of page.tables) {
    // Held changes of a table are merged with its next page.
    if (await hasTemporary(session, stageName(index))) return false;
    if (await hasHeld(session, table.address)) return false;
  }
  const known = (await readFacts(session)).streams.find(({ source }) => source === page.source);
  return (
    known !== undefined &&
    known.slot === page.slot &&
    known.slotCreatedLsn === page.slotCreatedLsn &&
    known.systemIdentifier === page.systemIdentifier &&
    known.timelineId === page.timelineId &&
    parseLsn(page.confirmedLsn) - parseLsn(known.confirmedLsn) < IDLE_BYTES &&
    now.getTime() - Date.parse(known.updatedAt) < IDLE_MS
  );
}

/** Remembers that a source was looked at, outside of any transaction. */
export async function rememberLook(session: DuckDbSession, page: CommitPage, now: Date): Promise<void> {
  await session.run(`DELETE FROM _sluice.lake_looks WHERE source = ${literal(page.source)}`);
  await session.run(
    `INSERT INTO _sluice.lake_looks VALUES (${[page.source, now.toISOString(), page.confirmedAt].map(literal).join(', ')})`,
  );
}

/** The facts with the times of later looks; positions are the ledger's, which the slots are compared with. */
export async function withLooks(session: DuckDbSession, facts: DestinationFacts): Promise<DestinationFacts> {
  const iso = (column: string): string => `strftime(${column}, '%Y-%m-%dT%H:%M:%S.%fZ') AS ${column}`;
  const rows = await session.rows<{ source: string; looked_at: string; as_of: string }>(
    `SELECT source, ${iso('looked_at')}, ${iso('as_of')} FROM _sluice.lake_looks`,
  );
  const looks = new Map(rows.map((row) => [row.source, row]));
  const streams = facts.streams.map((stream) => {
    const look = looks.get(stream.source);
    if (look === undefined || look.looked_at <= stream.updatedAt) return stream;
    return { ...stream, updatedAt: look.looked_at, confirmedAt: look.as_of };
  });
  return { ...facts, streams };
}
