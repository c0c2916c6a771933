import { heldTable } from '../duckdb/held-changes.js';
import { loadTable } from '../duckdb/running-load.js';
import type { DuckDbSession } from '../duckdb/session.js';
import { forgetProgressOfOthers } from '../duckdb/snapshot-progress.js';
import { literal, qualified } from '../duckdb/sql-text.js';
import { historyName } from '../target-table.js';
import { forgetFacts, importFacts, ownedBy } from './fact-exchange.js';
import type { Ledger } from './ledger.js';
import type { ObjectStore } from './object-store.js';
import { importRejected } from './rejected-values.js';
import { createWindow, relationName } from './window.js';

/**
 * The working file: what the ledgers say, in the tables where a DuckDB destination has it, and beside that only what the
 * lake can do without: loads under way and the changes that are held for them.
 */

/** Sluice's own table: the ledgers that facts and held changes belong to. */
export const WORK_DDL =
  'CREATE TABLE IF NOT EXISTS _sluice.lake_ledgers (source VARCHAR, ledger VARCHAR, serial BIGINT)';

/** By source: id and serial of the ledger that the file was filled from, or wrote. */
export async function rememberedLedgers(session: DuckDbSession): Promise<Map<string, string>> {
  const rows = await session.rows<{ source: string; ledger: string; serial: string }>(
    'SELECT source, ledger, serial FROM _sluice.lake_ledgers',
  );
  return new Map(rows.map((row) => [row.source, `${row.ledger} ${row.serial}`]));
}

export function ledgerMark(ledger: Pick<Ledger, 'id' | 'serial'>): string {
  return `${ledger.id} ${ledger.serial}`;
}

export async function rememberLedger(session: DuckDbSession, ledger: Ledger): Promise<void> {
  await session.run(`DELETE FROM _sluice.lake_ledgers WHERE source = ${literal(ledger.source)}`);
  await session.run(
    `INSERT INTO _sluice.lake_ledgers VALUES (${[ledger.source, ledger.id, ledger.serial].map(literal).join(', ')})`,
  );
}

/** Forgets what the file says of a source. */
export async function wipeSource(session: DuckDbSession, source: string): Promise<void> {
  await forgetFacts(session, source);
  await session.run(`DELETE FROM _sluice.rejected_values WHERE ${ownedBy(source, 'address')}`);
  await session.run(`DELETE FROM _sluice.held_gaps WHERE ${ownedBy(source, 'address')}`);
  await forgetProgressOfOthers(session, source, []);
  for (const address of await heldAddresses(session, source)) {
    await session.run(`DROP TABLE IF EXISTS ${heldTable(address)}`);
  }
  await session.run(`DELETE FROM _sluice.lake_ledgers WHERE source = ${literal(source)}`);
}

/** Fills a file that knows nothing of the source. @param folder for files on their way */
export async function fillSource(
  session: DuckDbSession,
  store: ObjectStore,
  ledger: Ledger,
  folder: string,
): Promise<void> {
  await importFacts(session, ledger.facts, folder);
  await importRejected(session, store, ledger, folder);
  for (const relation of ledger.relations) await createWindow(session, relation);
  for (const address of ledger.held) {
    // They were on a disk that is not this one; the table's next load sees what they said.
    await session.run(
      `UPDATE _sluice.tables SET resnapshot_reason = 'HELD_CHANGES_LOST'
       WHERE address = ${literal(address)} AND loaded_generation > 0 AND resnapshot_reason IS NULL`,
    );
  }
  await rememberLedger(session, ledger);
}

/**
 * Removes what a load left that ended in the ledger, but not in this file, as its process died in between: nobody begins it
 * again. Only for a file that has just been opened, as a load that goes on in this process has its rows there, too.
 */
export async function dropEndedLoads(session: DuckDbSession, { source, relations }: Ledger): Promise<void> {
  for (const relation of relations) await session.run(`DROP TABLE IF EXISTS ${loadTable(relation)}`);
  for (const name of await tablesOf(session, 'rejected ', source)) {
    await session.run(`DROP TABLE ${qualified({ schema: '_sluice', name })}`);
  }
}

/** Addresses of which the file holds changes. */
export async function heldAddresses(session: DuckDbSession, source: string): Promise<string[]> {
  const prefix = 'held ';
  return (await tablesOf(session, prefix, source)).map((name) => name.slice(prefix.length));
}

/** Sluice's own tables that are named by a word and an address of the source. */
async function tablesOf(session: DuckDbSession, word: string, source: string): Promise<string[]> {
  const rows = await session.rows<{ name: string }>(
    `SELECT table_name AS name FROM duckdb_tables() WHERE schema_name = '_sluice'
       AND starts_with(table_name, ${literal(`${word}${source}:`)}) ORDER BY table_name`,
  );
  return rows.map((row) => row.name);
}

/** Whose a table of the file is; nothing is said of one that no ledger and no fact tells of. */
export async function relationOwners(
  session: DuckDbSession,
  ledgers: Iterable<Ledger>,
): Promise<ReadonlyMap<string, string>> {
  const owners = new Map<string, string>();
  for (const { source, relations } of ledgers) {
    for (const relation of relations) owners.set(relationName(relation), source);
  }
  const rows = await session.rows<{ schema: string; name: string; source: string }>(
    `SELECT target_schema AS schema, target_name AS name, split_part(address, ':', 1) AS source FROM _sluice.tables
     WHERE target_name IS NOT NULL`,
  );
  for (const { schema, name, source } of rows) {
    owners.set(relationName({ schema, name }), source);
    owners.set(relationName({ schema, name: historyName({ name }) }), source);
  }
  return owners;
}
