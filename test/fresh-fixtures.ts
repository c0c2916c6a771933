import { afterAll, afterEach, beforeAll } from 'vitest';
import { EngineFixture, type TableSettings } from './engine-fixture.js';
import { startPostgres, type TestPostgres } from './postgres/server.js';

export interface FreshFixture {
  /** Run in a database of its own. */
  readonly sql: string;
  readonly tables: Readonly<Record<string, TableSettings>>;
  readonly destination: Readonly<Record<string, unknown>>;
}

/**
 * One server for a file of tests, and an engine for each test that asks for it; all is gone after it. To be called at the
 * top of the file.
 * @param name begins the names of databases and slots
 * @returns what makes a fixture: applied, and synced once
 */
export function freshFixtures(name: string): (what: FreshFixture) => Promise<EngineFixture> {
  let postgres: TestPostgres;
  let fixture: EngineFixture | null = null;
  let databases = 0;
  beforeAll(async () => {
    postgres = await startPostgres({ major: 17 });
  });
  afterEach(async () => {
    await fixture?.remove();
    fixture = null;
  });
  afterAll(() => postgres?.stop());
  return async ({ sql, tables, destination }) => {
    databases += 1;
    const database = `${name}_${databases}`;
    await postgres.createDatabase(database);
    await postgres.query(sql, [], database);
    const cdc = { slot: database, publication: database };
    fixture = await EngineFixture.create({ postgres, database, tables, cdc, destination });
    await fixture.apply();
    await fixture.sync();
    return fixture;
  };
}
