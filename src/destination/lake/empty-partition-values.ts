import { EMPTY_PARTITION_VALUE } from '../../batch/logical-type.js';
import type { DuckDbSession } from '../duckdb/session.js';
import { identifier, literal, qualified } from '../duckdb/sql-text.js';
import type { LedgerRelation } from './ledger.js';

/**
 * A table is partitioned by a column from now on: of rows that it keeps, such as old versions, an empty text becomes NULL as
 * one that is read from the source does, and is recorded in the same way.
 */
export async function recordEmptyPartitionValues(
  session: DuckDbSession,
  relation: Pick<LedgerRelation, 'schema' | 'name' | 'columns' | 'key' | 'partitionBy'>,
  now: () => Date,
): Promise<void> {
  const { columns, key, partitionBy } = relation;
  const table = qualified(relation);
  const pairs = key.map((name) => `${literal(name)}, CAST(${identifier(name)} AS VARCHAR)`);
  for (const { name, type } of columns) {
    if (type !== 'VARCHAR' || !partitionBy.includes(name)) continue;
    const column = identifier(name);
    const address = `SELECT address FROM _sluice.tables
      WHERE target_schema = ${literal(relation.schema)} AND ${literal(relation.name)} IN (target_name, target_name || '_cdc')`;
    const recorded = await session.run(
      `INSERT INTO _sluice.rejected_values (address, key, "column", source_text, reason, recorded_at)
       SELECT a.address, json_object(${pairs.join(', ')})::VARCHAR, ${literal(name)}, '', ${literal(EMPTY_PARTITION_VALUE)}, TIMESTAMPTZ ${literal(now().toISOString())}
       FROM ${table} t, (${address}) a WHERE t.${column} = ''`,
    );
    if (recorded === 0) continue;
    await session.run(`UPDATE ${table} SET ${column} = NULL WHERE ${column} = ''`);
    await session.run(
      `UPDATE _sluice.tables SET rejected_values = coalesce(rejected_values, 0) + ${recorded} WHERE address IN (${address})`,
    );
  }
}
