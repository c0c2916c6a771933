import { DuckDBInstance } from '@duckdb/node-api';
import { Lake } from '../../src/destination/lake/lake.js';
import { openLake } from '../../src/destination/lake/open-lake.js';
import { systemDeps } from '../../src/destination/lake/store/system-deps.js';
import { windowTables } from '../../src/destination/lake/window.js';
import type { TableVerdict, VerifyReport, VerifyRequest } from '../../src/executor/engine.js';
import { type EngineFixture, SOURCE } from '../engine-fixture.js';

/** What the tests of verify do with a fixture: ask it, and damage its copy behind Sluice's back. */

const never = new AbortController().signal;

export async function verify(
  fixture: EngineFixture,
  request: Partial<VerifyRequest> = {},
  signal: AbortSignal = never,
): Promise<VerifyReport> {
  const engine = await fixture.engine();
  return engine.verify({ address: null, samplePercent: null, seed: 'test', limit: 20, ...request }, signal);
}

/** The verdict on one table. */
export async function verifyTable(
  fixture: EngineFixture,
  key: string,
  request: Partial<VerifyRequest> = {},
): Promise<TableVerdict> {
  const report = await verify(fixture, { address: `${SOURCE}:${key}`, ...request });
  const [verdict] = report.tables;
  if (verdict === undefined || report.tables.length !== 1)
    throw new Error(`not one verdict: ${JSON.stringify(report)}`);
  return verdict;
}

/** Statements on the copy between two syncs, as if a fault of ours had done it. */
export async function damage(fixture: EngineFixture, ...statements: string[]): Promise<void> {
  if (fixture.isLake) return damageLake(fixture, statements);
  const instance = await DuckDBInstance.create(fixture.place);
  const connection = await instance.connect();
  try {
    await connection.run("SET TimeZone = 'UTC'");
    for (const statement of statements) await connection.run(statement);
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

/** In a lake it is Sluice's own commit: what somebody else writes is told before anything is compared. */
async function damageLake(fixture: EngineFixture, statements: readonly string[]): Promise<void> {
  const settings = await fixture.lakeSettings();
  await fixture.close();
  const deps = systemDeps('sluice test');
  const { store, format } = await openLake(settings, deps);
  const lake = new Lake(settings, { store, format, now: () => deps.clock.now(), onWait: () => {} });
  try {
    const session = await lake.opened();
    const tables = (await windowTables(session)).map(({ schema, name }) => ({ schema, name }));
    const whole = { mode: 'rows', choose: { kind: 'all' }, untouched: null, told: null, counted: null } as const;
    const work = () =>
      session.transaction(async () => {
        for (const statement of statements) await session.run(statement);
      });
    await lake.write(
      SOURCE,
      tables.map((table) => ({ ...table, ...whole })),
      work,
    );
  } finally {
    lake.release();
    await store.close();
  }
}

/** What a verdict found, in short: `different id=3 f: 0.0 -> -0.0`; source first. */
export function findings(verdict: TableVerdict): string[] {
  if (verdict.error !== null) return [`${verdict.error.code}: ${verdict.error.message}`];
  return verdict.comparisons.flatMap((comparison) =>
    comparison.examples.map((example) => {
      const row = example.row.map(({ column, value }) => `${column}=${value ?? 'NULL'}`).join(' ');
      const cells = example.cells.map((c) => ` ${c.column}: ${c.source ?? 'NULL'} -> ${c.destination ?? 'NULL'}`);
      return `${comparison.relation.replace(/^public\./, '')} ${example.kind} ${row}${cells.join('')}`;
    }),
  );
}

/** Tables that a verify could have left behind. */
export async function leftovers(fixture: EngineFixture): Promise<readonly (readonly (string | null)[])[]> {
  return fixture.readWork((duckdb) =>
    duckdb.rows(
      "SELECT schema_name, table_name FROM duckdb_tables() WHERE table_name LIKE 'held %' OR table_name LIKE 'verify%' OR table_name LIKE '_sluice_load%'",
    ),
  );
}
