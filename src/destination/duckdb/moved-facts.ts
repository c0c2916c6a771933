import { movePartitionFacts } from './partition-store.js';
import type { DuckDbSession } from './session.js';
import { forgetProgressOfOthers } from './snapshot-progress.js';
import { identifier, literal, qualified } from './sql-text.js';
import { tableExists } from './target-ddl.js';

/**
 * What `_sluice` records of a source or a table, under another name. A lake writes the ledgers of two sources one after the
 * other: where a move was broken off in between, both names have it, and what the old one has is moved again.
 */

/** Its place in the stream, and its runs. */
export async function moveSourceFacts(session: DuckDbSession, from: string, to: string): Promise<void> {
  const [was, is] = [literal(from), literal(to)];
  const moved = (table: string, column: string): string =>
    `DELETE FROM _sluice.${table} WHERE source = ${is}
       AND ${column} IN (SELECT ${column} FROM _sluice.${table} WHERE source = ${was})`;
  await session.run(moved('streams', 'slot'));
  await session.run(moved('runs', 'run_id'));
  for (const table of ['streams', 'runs']) {
    await session.run(`UPDATE _sluice.${table} SET source = ${is} WHERE source = ${was}`);
  }
  await forgetProgressOfOthers(session, from, []);
}

/** Everything that bears the table's address, and the changes that are held for it. */
export async function moveTableFacts(
  session: DuckDbSession,
  from: string,
  to: { readonly address: string; readonly schema: string; readonly name: string },
): Promise<void> {
  const [was, is] = [literal(from), literal(to.address)];
  await session.run(
    `DELETE FROM _sluice.tables WHERE address = ${is} AND EXISTS (FROM _sluice.tables WHERE address = ${was})`,
  );
  await session.run(
    `UPDATE _sluice.tables SET address = ${is}, target_schema = ${literal(to.schema)}, target_name = ${literal(to.name)} WHERE address = ${was}`,
  );
  for (const table of ['rejected_values', 'schema_changes']) {
    await session.run(
      `DELETE FROM _sluice.${table} WHERE address = ${is}
         AND recorded_at IN (SELECT recorded_at FROM _sluice.${table} WHERE address = ${was})`,
    );
  }
  for (const table of ['runs', 'rejected_values', 'schema_changes', 'held_gaps']) {
    await session.run(`UPDATE _sluice.${table} SET address = ${is} WHERE address = ${was}`);
  }
  await movePartitionFacts(session, from, to.address);
  const held = { schema: '_sluice', name: `held ${from}` };
  if (!(await tableExists(session, held))) return;
  await session.run(`ALTER TABLE ${qualified(held)} RENAME TO ${identifier(`held ${to.address}`)}`);
}
