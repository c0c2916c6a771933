import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect } from 'vitest';
import { EngineFixture, type FixtureOptions } from '../engine-fixture.js';
import type { PostgresMajor } from '../postgres/binaries.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';

/** One server for a group of tests, a database and a whole Sluice for each, and Postgres as the judge. */
export interface Situation {
  readonly major: PostgresMajor;
  /** Makes a database, runs the SQL in it, and applies a file with these tables. */
  start(sql: string, options: Pick<FixtureOptions, 'tables' | 'cdc' | 'clock'>): Promise<EngineFixture>;
  /** As {@link start}, without the apply. */
  prepare(sql: string, options: Pick<FixtureOptions, 'tables' | 'cdc' | 'clock'>): Promise<EngineFixture>;
  /** A connection of its own to the current database. */
  session(): Promise<pg.Client>;
}

export function situations(majors: readonly PostgresMajor[], define: (situation: Situation) => void): void {
  describe.each(majors)('on Postgres %i', (major) => {
    let postgres: TestPostgres;
    let fixture: EngineFixture | null = null;
    let databases = 0;
    const sessions: pg.Client[] = [];

    beforeAll(async () => {
      postgres = await startPostgres({ major });
    });
    afterEach(async () => {
      // First, as an open transaction would hold up whatever waits for it.
      for (const session of sessions.splice(0)) await session.end();
      await fixture?.remove();
      fixture = null;
    });
    afterAll(() => postgres?.stop());

    const prepare: Situation['prepare'] = async (sql, options) => {
      databases += 1;
      const database = `situation_${databases}`;
      await postgres.createDatabase(database);
      await postgres.query(sql, [], database);
      const cdc = { slot: database, ...options.cdc };
      fixture = await EngineFixture.create({ postgres, database, ...options, cdc });
      return fixture;
    };
    define({
      major,
      prepare,
      async start(sql, options) {
        const prepared = await prepare(sql, options);
        await prepared.apply();
        return prepared;
      },
      async session() {
        const client = await postgres.client(`situation_${databases}`);
        sessions.push(client);
        return client;
      },
    });
  });
}

/** Live rows of `public.<table>` on both sides, as text of these columns. */
export async function expectSame(fixture: EngineFixture, table: string, columns: readonly string[]): Promise<void> {
  const source = await fixture.source<{ row: string[] }>(
    `select array[${columns.map((column) => `md5(${column}::text)`).join(', ')}] as row from ${table} order by 1`,
  );
  const copy = await fixture.read((duckdb) =>
    duckdb.rows(
      `SELECT ${columns.map((column) => `md5("${column}"::VARCHAR)`).join(', ')} FROM public."${table}" WHERE NOT _ph_deleted`,
    ),
  );
  const sorted = (rows: readonly (readonly (string | null)[])[]) => rows.map((row) => JSON.stringify(row)).sort();
  expect(sorted(copy)).toEqual(sorted(source.map(({ row }) => row)));
}

/** The versions of a key follow on one another without gap or overlap, and no two share a place. */
export async function expectVersions(fixture: EngineFixture, table: string, key: readonly string[]): Promise<void> {
  const bad = await fixture.read((duckdb) =>
    duckdb.rows(
      `WITH v AS (SELECT *, lead(valid_from) OVER k AS next_from, lead(_ph_cdc_lsn) OVER k AS next_lsn, lead(_ph_cdc_seq) OVER k AS next_seq
         FROM public."${table}_cdc" WINDOW k AS (PARTITION BY ${key.join(', ')} ORDER BY _ph_cdc_lsn, _ph_cdc_seq, valid_from))
       SELECT * FROM v WHERE (next_lsn, next_seq) <= (_ph_cdc_lsn, _ph_cdc_seq) OR valid_to < valid_from
         OR next_from < valid_to OR (next_from IS NOT NULL AND valid_to IS NULL)`,
    ),
  );
  expect(bad).toEqual([]);
}
