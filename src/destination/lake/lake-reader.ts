import { DuckDbSession } from '../duckdb/session.js';
import { importFacts } from './fact-exchange.js';
import { applicationId } from './ledger.js';
import { readLedgers } from './ledger-store.js';
import type { ObjectStore } from './object-store.js';
import { importRejected } from './rejected-values.js';
import { RUN_COST_DDL } from './run-cost.js';
import type { TableFormat } from './table-format.js';
import { makeWorkFolder } from './work-folder.js';

/**
 * Opens a lake for reading, as a database in memory: a view for each of its tables, and Sluice's own tables under `_sluice`
 * as a DuckDB destination has them. Of a bucket, the files of the tables that are asked for are fetched first.
 * @param sql what will be asked: views are made of the tables that it names; null: of all
 */
export async function readLake(
  settings: { readonly memoryLimitMb: number; readonly threads: number; readonly workFolder: string },
  deps: { readonly store: ObjectStore; readonly format: TableFormat },
  sql: string | null,
): Promise<DuckDbSession> {
  await makeWorkFolder(settings.workFolder);
  const { memoryLimitMb, threads } = settings;
  const session = await DuckDbSession.open(
    { path: ':memory:', memoryLimitMb, threads, busyWaitMs: 0 },
    () => undefined,
  );
  try {
    await session.prepareLayout();
    for (const ddl of RUN_COST_DDL) await session.run(ddl);
    const wanted = sql === null ? null : tableNames(session, sql);
    for (const { ledger } of (await readLedgers(deps.store, new Map())).values()) {
      await importFacts(session, ledger.facts, settings.workFolder);
      await importRejected(session, deps.store, ledger, settings.workFolder);
      for (const { schema, name, folder, columns, version } of ledger.relations) {
        if (wanted !== null && !wanted.has(name.toLowerCase())) continue;
        const table = { folder, application: applicationId(ledger), version };
        await deps.format.view(session, { table, columns, place: { schema, name } });
      }
    }
    return session;
  } catch (error) {
    session.close();
    throw error;
  }
}

/** Last parts of the names of tables in a query, in lower case; null where DuckDB cannot tell, as in more than one statement. */
function tableNames(session: DuckDbSession, sql: string): ReadonlySet<string> | null {
  try {
    return new Set(session.connection.getTableNames(sql, false).map((name) => name.toLowerCase()));
  } catch {
    return null;
  }
}
