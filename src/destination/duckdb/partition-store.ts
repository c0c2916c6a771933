import type { PartitionFacts } from '../facts.js';
import type { DuckDbSession } from './session.js';
import { literal } from './sql-text.js';
import { tableExists } from './target-ddl.js';

/**
 * `_sluice.partitions`: the leaf partitions that a table was last loaded or found whole with, one row a table. Made when
 * the first partitioned table is loaded.
 */
const TABLE = { schema: '_sluice', name: 'partitions' };

interface PartitionRow extends Record<string, string> {
  address: string;
  seen_xmin: string;
  leaves: string;
}

/** By address. */
export async function readPartitionFacts(session: DuckDbSession): Promise<ReadonlyMap<string, PartitionFacts>> {
  if (!(await tableExists(session, TABLE))) return new Map();
  const rows = await session.rows<PartitionRow>('SELECT address, seen_xmin, leaves FROM _sluice.partitions');
  return new Map(rows.map((row) => [row.address, { seenXmin: row.seen_xmin, leaves: readLeaves(row.leaves) }]));
}

/** Inside the caller's transaction. */
export async function writePartitionFacts(
  session: DuckDbSession,
  address: string,
  facts: PartitionFacts,
): Promise<void> {
  await session.run(
    'CREATE TABLE IF NOT EXISTS _sluice.partitions (address VARCHAR, seen_xmin VARCHAR, leaves VARCHAR)',
  );
  await session.run(`DELETE FROM _sluice.partitions WHERE address = ${literal(address)}`);
  const values = [address, facts.seenXmin, JSON.stringify(facts.leaves)];
  await session.run(`INSERT INTO _sluice.partitions VALUES (${values.map(literal).join(', ')})`);
}

/** @param to null: forgotten */
export async function movePartitionFacts(session: DuckDbSession, from: string, to: string | null): Promise<void> {
  if (!(await tableExists(session, TABLE))) return;
  const was = `address = ${literal(from)}`;
  if (to === null) {
    await session.run(`DELETE FROM _sluice.partitions WHERE ${was}`);
    return;
  }
  const is = `address = ${literal(to)}`;
  await session.run(`DELETE FROM _sluice.partitions WHERE ${is} AND EXISTS (FROM _sluice.partitions WHERE ${was})`);
  await session.run(`UPDATE _sluice.partitions SET ${is} WHERE ${was}`);
}

/** What is not as it was written counts as unknown: then the table's partitions are compared with nothing. */
function readLeaves(text: string): PartitionFacts['leaves'] {
  const parsed: unknown = JSON.parse(text);
  return Array.isArray(parsed) ? parsed.filter(isLeaf) : [];
}

function isLeaf(value: unknown): value is PartitionFacts['leaves'][number] {
  return (
    typeof value === 'object' &&
    value !== null &&
    'oid' in value &&
    typeof value.oid === 'number' &&
    'filenode' in value &&
    typeof value.filenode === 'number' &&
    'schema' in value &&
    typeof value.schema === 'string' &&
    'name' in value &&
    typeof value.name === 'string' &&
    'joined' in value &&
    Array.isArray(value.joined) &&
    value.joined.every((edge) => typeof edge === 'string')
  );
}
