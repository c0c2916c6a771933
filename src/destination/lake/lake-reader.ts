import { SluiceError } from '../../error/sluice-error.js';
import { DuckDbSession } from '../duckdb/session.js';
import { identifier, literal, qualified } from '../duckdb/sql-text.js';
import { asksForNames } from '../duckdb/statement.js';
import { importFacts } from './fact-exchange.js';
import { applicationId, type LakeColumn } from './ledger.js';
import { readLedgers } from './ledger-store.js';
import type { ObjectStore } from './object-store.js';
import { importRejected } from './rejected-values.js';
import { RUN_COST_DDL } from './run-cost.js';
import type { TableFormat } from './table-format.js';
import { makeWorkFolder } from './work-folder.js';

/**
 * Opens a lake for reading, as a database in memory: a view for each of its tables, and Sluice's own tables under `_sluice`
 * as a DuckDB destination has them. Of a bucket, the files of the tables that are asked for are fetched first.
 * @param sql what will be asked: views are made of the tables that it names, and of the others only their columns; null: of all
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
    const wanted = sql === null ? null : await tableNames(session, sql);
    for (const { ledger } of (await readLedgers(deps.store, new Map())).values()) {
      await importFacts(session, ledger.facts, settings.workFolder);
      await importRejected(session, deps.store, ledger, settings.workFolder);
      for (const { schema, name, folder, columns, version } of ledger.relations) {
        const place = { schema, name };
        const table = { folder, application: applicationId(ledger), version };
        if (wanted === null || wanted.has(name.toLowerCase())) {
          const isThere = await deps.format.view(session, { table, columns, place });
          if (isThere) continue;
          // Its first commit is in the ledger, but not in its log: nobody sees it yet.
          const comes = ledger.pending.some((commit) => commit.folder === folder && deps.format.isFirst(commit));
          if (!comes) throw missing(deps.store, folder);
        } else if (columns.length > 0) {
          await columnsAlone(session, place, columns);
        }
      }
    }
    return session;
  } catch (error) {
    session.close();
    throw error;
  }
}

function missing({ place }: ObjectStore, folder: string): SluiceError {
  return new SluiceError({
    code: 'STORE_OBJECT_MISSING',
    message: `there is no table in ${folder} of ${place}, where there was one`,
    hint: 'somebody has removed it; load it anew: sluice resync',
  });
}

/** A view that tells its columns. Whoever reads it hears that it has no rows to tell, in place of none. */
async function columnsAlone(
  session: DuckDbSession,
  place: { readonly schema: string; readonly name: string },
  columns: readonly LakeColumn[],
): Promise<void> {
  const message = `the rows of ${place.schema}.${place.name} are only fetched for a query that names it in its text`;
  const cells = columns.map(({ name, type }) => `NULL::${type} AS ${identifier(name)}`).join(', ');
  await session.run(`CREATE SCHEMA IF NOT EXISTS ${identifier(place.schema)}`);
  await session.run(`CREATE VIEW ${qualified(place)} AS SELECT ${cells} WHERE error(${literal(message)})::BOOLEAN`);
}

/** Last parts of the names of tables in a query, in lower case; null where DuckDB cannot tell, as in more than one statement. */
async function tableNames(session: DuckDbSession, sql: string): Promise<ReadonlySet<string> | null> {
  try {
    // Of several statements, as which DuckDB also takes a PIVOT, it tells names of one.
    if ((await session.connection.extractStatements(sql)).count !== 1) return null;
    if (asksForNames(sql)) return new Set();
    return new Set(session.connection.getTableNames(sql, false).map((name) => name.toLowerCase()));
  } catch {
    return null;
  }
}
