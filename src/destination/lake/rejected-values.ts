import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import type { DuckDbSession } from '../duckdb/session.js';
import { literal } from '../duckdb/sql-text.js';
import { ownedBy } from './fact-exchange.js';
import { type Ledger, sourceName } from './ledger.js';
import type { ObjectStore } from './object-store.js';

/** `_sluice.rejected_values` of a source: a Parquet file that its ledger names, written anew when some come or go. */

export const REJECTED_PREFIX = '_sluice/rejected/';

/** @returns what the ledger says of them from now on */
export async function keepRejected(
  session: DuckDbSession,
  store: ObjectStore,
  source: string,
  before: Ledger['rejected'],
  folder: string,
): Promise<Ledger['rejected']> {
  const own = `SELECT * FROM _sluice.rejected_values WHERE ${ownedBy(source, 'address')}`;
  const [row] = await session.rows<{ n: string; sum: string | null }>(
    `SELECT count(*) AS n, bit_xor(hash(r))::VARCHAR AS sum FROM (${own}) r`,
  );
  if (row === undefined || row.n === '0') return null;
  const fingerprint = `${row.n} ${row.sum}`;
  if (before?.fingerprint === fingerprint) return before;
  const name = `${sourceName(source)}-${randomUUID()}.parquet`;
  const file = path.join(folder, name);
  try {
    await session.run(
      `COPY (${own} ORDER BY address, recorded_at) TO ${literal(file)} (FORMAT parquet, COMPRESSION zstd)`,
    );
    await store.upload(file, `${REJECTED_PREFIX}${name}`);
  } finally {
    await rm(file, { force: true });
  }
  return { key: `${REJECTED_PREFIX}${name}`, fingerprint };
}

export async function importRejected(
  session: DuckDbSession,
  store: ObjectStore,
  ledger: Ledger,
  folder: string,
): Promise<void> {
  if (ledger.rejected === null) return;
  const file = path.join(folder, `rejected-${randomUUID()}.parquet`);
  try {
    await store.download(ledger.rejected.key, file);
    await session.run(`INSERT INTO _sluice.rejected_values BY NAME SELECT * FROM read_parquet(${literal(file)})`);
  } finally {
    await rm(file, { force: true });
  }
}
