import { historyName, type TableName } from '../target-table.js';
import type { RetireTable } from '../writer.js';
import { copyComments } from './comments.js';
import { RETIRED_SCHEMA } from './internal-schema.js';
import { moveTableFacts } from './moved-facts.js';
import { movePartitionFacts } from './partition-store.js';
import { loadTable } from './running-load.js';
import type { DuckDbSession } from './session.js';
import { forgetProgress } from './snapshot-progress.js';
import { identifier, literal, qualified } from './sql-text.js';
import { ensureSchema, tableExists } from './target-ddl.js';

/** What happens to a table that leaves the config (DESIGN 6): retired, dropped or moved. Each is one transaction. */

function parts(table: RetireTable): { schema: string; name: string }[] {
  return [
    ...(table.consolidated ? [{ schema: table.schema, name: table.name }] : []),
    ...(table.history ? [{ schema: table.schema, name: historyName(table) }] : []),
  ];
}

async function forget(session: DuckDbSession, { address, schema, name }: RetireTable): Promise<void> {
  await dropUnfinished(session, { address, schema, name });
  await session.run(`DELETE FROM _sluice.tables WHERE address = ${literal(address)}`);
  await movePartitionFacts(session, address, null);
  for (const name of [`held ${address}`, `rejected ${address}`]) {
    await session.run(`DROP TABLE IF EXISTS ${qualified({ schema: '_sluice', name })}`);
  }
}

/** What a load left that was broken off: nobody goes on with it under another name. */
async function dropUnfinished(
  session: DuckDbSession,
  table: Pick<RetireTable, 'address' | 'schema' | 'name'>,
): Promise<void> {
  await forgetProgress(session, table.address);
  await session.run(`DROP TABLE IF EXISTS ${loadTable(table)}`);
}

/**
 * Moves a table to the schema `_sluice_retired` under `<schema>.<name>@<time>`. DuckDB cannot move a table between
 * schemas, so its rows are copied once.
 */
export async function retireTable(session: DuckDbSession, table: RetireTable, now: () => Date): Promise<void> {
  await session.transaction(async () => {
    await ensureSchema(session, RETIRED_SCHEMA);
    const stamp = now().toISOString();
    for (const part of parts(table)) {
      if (!(await tableExists(session, part))) continue;
      const retired = { schema: RETIRED_SCHEMA, name: `${part.schema}.${part.name}@${stamp}` };
      await copyTable(session, part, retired);
      await session.run(`DROP TABLE ${qualified(part)}`);
    }
    await forget(session, table);
  });
}

async function copyTable(session: DuckDbSession, from: TableName, to: TableName): Promise<void> {
  await session.run(`CREATE TABLE ${qualified(to)} AS SELECT * FROM ${qualified(from)}`);
  await copyComments(session, from, to);
}

export async function dropTable(session: DuckDbSession, table: RetireTable): Promise<void> {
  await session.transaction(async () => {
    for (const part of parts(table)) await session.run(`DROP TABLE IF EXISTS ${qualified(part)}`);
    await session.run(`DELETE FROM _sluice.rejected_values WHERE address = ${literal(table.address)}`);
    await forget(session, table);
  });
}

/** Renames a table and everything that is recorded under its address; rows move by copy only between schemas. */
export async function moveTable(session: DuckDbSession, from: RetireTable, to: RetireTable): Promise<void> {
  await session.transaction(async () => {
    await dropUnfinished(session, from);
    const targets = parts(to);
    for (const [index, part] of parts(from).entries()) {
      const target = targets[index];
      if (target === undefined || (part.schema === target.schema && part.name === target.name)) continue;
      if (!(await tableExists(session, part))) continue;
      if (part.schema === target.schema) {
        await session.run(`ALTER TABLE ${qualified(part)} RENAME TO ${identifier(target.name)}`);
      } else {
        await ensureSchema(session, target.schema);
        await copyTable(session, part, target);
        await session.run(`DROP TABLE ${qualified(part)}`);
      }
    }
    await moveTableFacts(session, from.address, to);
  });
}
