import { DuckDBInstance } from '@duckdb/node-api';
import type { TableVerdict, VerifyReport, VerifyRequest } from '../../src/executor/engine.js';
import { type EngineFixture, SOURCE } from '../engine-fixture.js';

/** What the tests of verify do with a fixture: ask it, and damage its DuckDB file behind Sluice's back. */

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

/** Statements on the file as somebody else could run them between two syncs. */
export async function damage(fixture: EngineFixture, ...statements: string[]): Promise<void> {
  const instance = await DuckDBInstance.create(fixture.duckdbFile);
  const connection = await instance.connect();
  try {
    await connection.run("SET TimeZone = 'UTC'");
    for (const statement of statements) await connection.run(statement);
  } finally {
    connection.closeSync();
    instance.closeSync();
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
  return fixture.read((duckdb) =>
    duckdb.rows(
      "SELECT schema_name, table_name FROM duckdb_tables() WHERE table_name LIKE 'held %' OR table_name LIKE 'verify%' OR table_name LIKE '_sluice_load%'",
    ),
  );
}
