import { type DuckReader, EngineFixture, type FixtureOptions, SOURCE } from '../engine-fixture.js';
import type { TestPostgres } from '../postgres/server.js';

/** A source whose tables are altered while they are synced, and a second Sluice beside it that loads them anew to compare. */
export class AlteredSource {
  readonly #postgres: TestPostgres;
  readonly #database: string;
  readonly fixture: EngineFixture;
  #freshCopies = 0;

  private constructor(postgres: TestPostgres, database: string, fixture: EngineFixture) {
    this.#postgres = postgres;
    this.#database = database;
    this.fixture = fixture;
  }

  /** Makes the database with `sql`, applies and loads. */
  static async create(
    postgres: TestPostgres,
    database: string,
    sql: string,
    options: Pick<FixtureOptions, 'tables'>,
  ): Promise<AlteredSource> {
    await postgres.createDatabase(database);
    await postgres.query(sql, [], database);
    const fixture = await EngineFixture.create({
      postgres,
      database,
      cdc: { slot: database, publication: database },
      ...options,
    });
    const source = new AlteredSource(postgres, database, fixture);
    await fixture.apply();
    await fixture.sync();
    return source;
  }

  sql(text: string): Promise<Record<string, unknown>[]> {
    return this.fixture.source(text);
  }

  /** Runs that read the table as a whole. */
  async loads(table: string): Promise<number> {
    const rows = await this.fixture.read((duckdb) =>
      duckdb.rows(
        `SELECT count(*) FROM _sluice.runs WHERE address = '${SOURCE}:${table}' AND kind = 'snapshot' AND status = 'ok'`,
      ),
    );
    return Number(rows[0]?.[0]);
  }

  async columnTypes(table: string): Promise<Record<string, string>> {
    const [schema, name] = table.split('.');
    const rows = await this.fixture.read((duckdb) =>
      duckdb.rows(
        `SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name = '${schema}' AND table_name = '${name}' AND column_name NOT LIKE '\\_ph\\_%' ESCAPE '\\' ORDER BY column_index`,
      ),
    );
    return Object.fromEntries(rows.map(([column, type]) => [column ?? '', type ?? '']));
  }

  /**
   * Rows, as JSON objects of text without Sluice's own columns, that the synced table and a fresh load of it do not
   * share; [] when they are equal. Columns that only the synced table has must be empty or belong to dropped columns,
   * so they are left out.
   */
  async differences(table: string, settings: Readonly<Record<string, unknown>> = {}): Promise<string[]> {
    this.#freshCopies += 1;
    const name = `${this.#database}_f${this.#freshCopies}`;
    const fresh = await EngineFixture.create({
      postgres: this.#postgres,
      database: this.#database,
      cdc: { slot: name, publication: name },
      tables: { [table]: { deletes: 'hard', ...settings } },
    });
    try {
      await fresh.apply();
      await fresh.sync();
      const [ours, theirs] = await Promise.all(
        [this.fixture, fresh].map((fixture) => fixture.read((duckdb) => rowsOf(duckdb, table))),
      );
      const columns = Object.keys((await fresh.read((duckdb) => typesOf(duckdb, table))) ?? {});
      const cut = (row: Record<string, unknown>): string =>
        JSON.stringify(Object.fromEntries(columns.map((column) => [column, row[column] ?? null])));
      const mine = new Set((ours ?? []).map(cut));
      const its = new Set((theirs ?? []).map(cut));
      const types = await this.fixture.read((duckdb) => typesOf(duckdb, table));
      const freshTypes = await fresh.read((duckdb) => typesOf(duckdb, table));
      return [
        ...[...mine].filter((row) => !its.has(row)).map((row) => `only synced: ${row}`),
        ...[...its].filter((row) => !mine.has(row)).map((row) => `only in Postgres: ${row}`),
        ...Object.entries(freshTypes)
          .filter(([column, type]) => types[column] !== type)
          .map(([column, type]) => `${column} is ${types[column] ?? 'missing'}, a fresh load makes it ${type}`),
      ];
    } finally {
      await fresh.remove();
      await this.#postgres.query(`drop publication if exists "${name}"`, [], this.#database);
    }
  }

  remove(): Promise<void> {
    return this.fixture.remove();
  }
}

const OWN = `column_name NOT LIKE '\\_ph\\_%' ESCAPE '\\'`;

async function typesOf(duckdb: DuckReader, table: string): Promise<Record<string, string>> {
  const [schema, name] = table.split('.');
  const rows = await duckdb.rows(
    `SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name = '${schema}' AND table_name = '${name}' AND ${OWN}`,
  );
  return Object.fromEntries(rows.map(([column, type]) => [column ?? '', type ?? '']));
}

async function rowsOf(duckdb: DuckReader, table: string): Promise<Record<string, unknown>[]> {
  const rows = await duckdb.rows(
    `SELECT to_json(t) FROM (SELECT COLUMNS(c -> c NOT LIKE '\\_ph\\_%' ESCAPE '\\')::VARCHAR FROM ${table} WHERE NOT _ph_deleted) t`,
  );
  return rows.map(([json]): Record<string, unknown> => JSON.parse(json ?? '{}'));
}
