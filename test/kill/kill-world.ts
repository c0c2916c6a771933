import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { EngineFixture, lsnValue } from '../engine-fixture.js';
import { readDestination, readSource, takeLog } from '../oracle/observation.js';
import { FIRST_TABLES, logSql } from '../oracle/oracle-table.js';
import { TableModel } from '../oracle/table-model.js';
import { changeStatements, STEP, type Step, WorkSession } from '../oracle/workload.js';
import type { TestPostgres } from '../postgres/server.js';
import { workLeft } from './lake-deaths.js';

/** Enough rows that a snapshot takes a while and fills more than one batch of DuckDB's. */
const BULK = { accounts: 60_000, lines: 40_000, docs: 400, parts: 20_000 } as const;
/** Between two steps of the writer, where nothing else is said. */
const PAUSE_MS = 4;

/** A database with the oracle's tables, a writer that works without rest, and the checks of what a kill may not break. */
export class KillWorld {
  readonly fixture: EngineFixture;
  readonly #models = new Map(FIRST_TABLES.map((table) => [table.name, new TableModel(table)]));
  readonly #sessions: readonly WorkSession[];
  readonly #steps: Iterator<Step>;
  readonly #pauseMs: number;
  #writing: { readonly stop: AbortController; readonly done: Promise<void> } | null = null;

  private constructor(fixture: EngineFixture, sessions: readonly WorkSession[], seed: number, pauseMs: number) {
    this.fixture = fixture;
    this.#sessions = sessions;
    this.#pauseMs = pauseMs;
    this.#steps = fc.sample(STEP, { seed, numRuns: 50_000 })[Symbol.iterator]();
  }

  /**
   * @param settings of the source: its `cdc:`, over its names, and its `snapshot:`; `destination` of the destination,
   *   `rows` the part of the rows that the large tables begin with, `pauseMs` the time between two steps of the writer
   */
  static async create(
    postgres: TestPostgres,
    database: string,
    seed: number,
    settings: {
      readonly cdc?: Readonly<Record<string, unknown>>;
      readonly snapshot?: Readonly<Record<string, unknown>>;
      readonly destination?: Readonly<Record<string, unknown>>;
      readonly rows?: number;
      readonly pauseMs?: number;
    } = {},
  ): Promise<KillWorld> {
    const part = settings.rows ?? 1;
    const [accounts, lines, docs, parts] = [BULK.accounts, BULK.lines, BULK.docs, BULK.parts].map((n) => n * part);
    await postgres.createDatabase(database);
    await postgres.query(
      [
        'create extension citext',
        'create schema oracle',
        'create table oracle.log (id bigserial primary key, tab text, op text, cells text[])',
        ...FIRST_TABLES.map((table) => table.ddl),
        `insert into accounts select 1000 + i, 'name ' || i, i, true, now() from generate_series(1, ${accounts}) as i`,
        `insert into lines (region, no, note, qty) select 'bulk', i, 'note ' || i, i from generate_series(1, ${lines}) as i`,
        `insert into docs (id, n, body, data) select gen_random_uuid(), i, (select string_agg(md5(i::text || j), '') from generate_series(1, 300) as j), '{}' from generate_series(1, ${docs}) as i`,
        `insert into parts (region, id, v) select 'bulk', i, 'v' || i from generate_series(1, ${parts}) as i`,
        ...FIRST_TABLES.map(logSql),
      ].join(';\n'),
      [],
      database,
    );
    const fixture = await EngineFixture.create({
      postgres,
      database,
      tables: Object.fromEntries(FIRST_TABLES.map((table) => [table.key, table.settings])),
      cdc: { slot: database, publication: database, ...settings.cdc },
      snapshot: settings.snapshot ?? {},
      destination: settings.destination ?? {},
    });
    const sessions = await Promise.all([0, 1].map(() => WorkSession.open(postgres, database)));
    return new KillWorld(fixture, sessions, seed, settings.pauseMs ?? PAUSE_MS);
  }

  /** @param truncates whether the writer empties tables too, which makes a sync load them anew */
  startWriting(truncates: boolean): void {
    const stop = new AbortController();
    this.#writing = { stop, done: this.#write(truncates, stop.signal) };
  }

  async stopWriting(): Promise<void> {
    const writing = this.#writing;
    this.#writing = null;
    writing?.stop.abort();
    await writing?.done;
  }

  async #write(truncates: boolean, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const step = this.#steps.next().value as Step | undefined;
      if (step === undefined) break;
      await this.#step(step, truncates);
      await sleep(this.#pauseMs);
    }
    for (const session of this.#sessions) await session.transaction('commit');
  }

  async #step(step: Step, truncates: boolean): Promise<void> {
    if (step.kind !== 'change' && step.kind !== 'transaction' && step.kind !== 'truncate') return;
    const session = this.#sessions[step.session % this.#sessions.length];
    if (session === undefined) return;
    if (step.kind === 'transaction') return session.transaction(step.verb);
    const table = FIRST_TABLES[step.table % FIRST_TABLES.length];
    if (table === undefined) return;
    if (step.kind === 'change') {
      // All rows of a large table at once would be another test.
      if (step.op !== 'update_all') await session.run(table.name, changeStatements(table, step));
    } else if (truncates && table.truncates && step.session === 0) {
      await session.run(table.name, [`truncate ${table.name}`]);
      if (session.isOpen) await session.transaction('commit');
    }
  }

  /** Law 1, to be looked at after every kill. @returns what is wrong, or null */
  async positionProblem(): Promise<string | null> {
    const state = await this.fixture.positions().catch((error: unknown) => {
      // Killed before the file was made.
      if (String(error).includes('does not exist')) return null;
      throw error;
    });
    if (state === null || state.slot === null || state.destination === null) return null;
    if (lsnValue(state.slot) <= lsnValue(state.destination)) return null;
    return `the slot is at ${state.slot}, the destination holds changes up to ${state.destination}`;
  }

  /** Compares every table with Postgres; the writer must rest and a sync must have caught up. */
  async differences(loaded: boolean): Promise<string[]> {
    const log = await takeLog(this.fixture, FIRST_TABLES);
    const { destination } = await this.fixture.positions();
    const [clock] = await this.fixture.source<{ time: string }>(
      'select (extract(epoch from clock_timestamp()) * 1000000)::bigint::text as time',
    );
    const problems: string[] = [];
    await this.fixture.read(async (duckdb) => {
      for (const table of FIRST_TABLES) {
        const situation = {
          lsn: lsnValue(destination ?? '0/0'),
          time: BigInt(clock?.time ?? 0),
          source: await readSource(this.fixture, table),
          log: log.get(table.name) ?? [],
          loaded,
          destination: await readDestination(duckdb, table),
        };
        problems.push(...(this.#models.get(table.name)?.check(situation) ?? []));
      }
    });
    return problems;
  }

  /**
   * What unfinished runs may leave must be gone after a whole one: tables beside the targets, files, locks. In a lake only
   * the vacuum removes files that no log mentions.
   */
  async leftovers(): Promise<string[]> {
    const { folder, isLake, place, workFolder } = this.fixture;
    const tables = isLake
      ? await workLeft(this.fixture)
      : await this.fixture.read((duckdb) =>
          duckdb.rows(
            `SELECT schema_name || '.' || table_name FROM duckdb_tables()
             WHERE table_name LIKE '%load%' OR table_name LIKE 'held %' OR table_name LIKE 'rejected %'`,
          ),
        );
    const state = path.join('.sluice', 'state.json');
    const expected = [
      '.sluice',
      state,
      `${state}.backup`,
      `${state}.lag`,
      'sources.yaml',
      path.relative(folder, place),
    ];
    const lakes = isLake ? [place, path.dirname(workFolder)] : [];
    const files = (await readdir(folder, { recursive: true })).filter(
      (file) => !lakes.some((lake) => !path.relative(lake, path.join(folder, file)).startsWith('..')),
    );
    return [...tables.flat().map(String), ...files.filter((file) => !expected.includes(file))];
  }

  async remove(): Promise<void> {
    await this.stopWriting();
    for (const session of this.#sessions) await session.close();
    await this.fixture.remove();
  }
}
