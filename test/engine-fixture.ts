import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import path from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { stringify } from 'yaml';
import { realClock } from '../src/cli/real-clock.js';
import { loadConfig } from '../src/config/load.js';
import { formatProblems } from '../src/config/problem.js';
import { readLake } from '../src/destination/lake/lake-reader.js';
import type { LakeThreadSettings } from '../src/destination/lake/lake-writer.js';
import { openLake } from '../src/destination/lake/open-lake.js';
import { systemDeps } from '../src/destination/lake/store/system-deps.js';
import { createEngine } from '../src/executor/create-engine.js';
import { lakeThreadSettings } from '../src/executor/destinations.js';
import type { Clock, Engine, EngineEvent, SyncReport, SyncRequest } from '../src/executor/engine.js';
import type { Plan } from '../src/planner/change.js';
import type { TestPostgres } from './postgres/server.js';

/**
 * A whole Sluice in a folder of its own: one source database on a test server, one destination, one `sources.yaml`, and
 * an engine with the real clock. Tests describe tables, apply, sync and read the copy, by the same SQL wherever it lies.
 */

export type TableSettings = Readonly<Record<string, unknown>>;

export interface FixtureOptions {
  readonly postgres: TestPostgres;
  /** The source's database; it must exist. */
  readonly database: string;
  /** `schema.table` to its settings in sources.yaml. */
  readonly tables: Readonly<Record<string, TableSettings>>;
  /** Settings of the source's `cdc:`; publication and slot names have to differ between fixtures of one server. */
  readonly cdc?: Readonly<Record<string, unknown>>;
  /** Settings of the source's `snapshot:`. */
  readonly snapshot?: Readonly<Record<string, unknown>>;
  /** Beside those of the everyday destination; instead of them where they say a `type`. */
  readonly destination?: Readonly<Record<string, unknown>>;
  /** More sources beside `shop`, as they stand in the file; their connection is `db`. */
  readonly moreSources?: Readonly<Record<string, unknown>>;
  /** Other sections of the file, such as `alerts`. */
  readonly more?: Readonly<Record<string, unknown>>;
  /** Over the settings of the source's connection. */
  readonly connection?: Readonly<Record<string, unknown>>;
  /** Instead of the machine's. */
  readonly clock?: Clock;
}

/** A cell as text, null for NULL. */
export type Cells = readonly (string | null)[];

export const SOURCE = 'shop';

/**
 * Where suites write that do not say where: SLUICE_TEST_DESTINATION=delta-dv, delta-cow or parquet runs them on a lake in a
 * folder instead of a DuckDB file.
 */
const EVERYDAY = process.env['SLUICE_TEST_DESTINATION'] ?? 'duckdb';

/** Settings of an everyday destination in a place of that name. */
export function everydayDestination(
  name: string,
): { readonly type: string; readonly path: string } & Readonly<Record<string, unknown>> {
  switch (EVERYDAY) {
    case 'duckdb':
      return { type: 'duckdb', path: `${name}.duckdb` };
    case 'delta-dv':
    case 'delta-cow':
      return { type: 'local', path: name, format: 'delta', deletes: EVERYDAY.slice('delta-'.length) };
    case 'parquet':
      return { type: 'local', path: name, format: 'parquet' };
    default:
      throw new Error(`SLUICE_TEST_DESTINATION=${EVERYDAY}: duckdb, delta-dv, delta-cow or parquet`);
  }
}

const PASSWORD_VARIABLE = 'FIXTURE_PASSWORD';
const never = new AbortController().signal;

export class EngineFixture {
  readonly folder: string;
  readonly configFile: string;
  readonly stateFile: string;
  readonly events: EngineEvent[] = [];
  readonly #options: FixtureOptions;
  #tables: Readonly<Record<string, TableSettings>>;
  #engine: Engine | null = null;
  /** Destinations by name, and which of them the source has. */
  #destinations: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  #destination = 'warehouse';

  private constructor(folder: string, options: FixtureOptions) {
    this.folder = folder;
    this.configFile = path.join(folder, 'sources.yaml');
    this.stateFile = path.join(folder, '.sluice', 'state.json');
    this.#options = options;
    this.#tables = options.tables;
    const everyday = options.destination?.['type'] === undefined ? everydayDestination('warehouse') : {};
    this.#destinations = { warehouse: { ...everyday, ...options.destination } };
  }

  /** Where the destination lies that the source has now: a DuckDB file, or the folder of a lake. */
  get place(): string {
    return path.join(this.folder, String(this.#destinations[this.#destination]?.['path']));
  }

  get isLake(): boolean {
    return this.#destinations[this.#destination]?.['type'] !== 'duckdb';
  }

  /** Of a lake: it may go at any time, and another machine goes on without it. */
  get workFolder(): string {
    return path.join(this.folder, '.sluice', 'lake', this.#destination);
  }

  /** The DuckDB file that Sluice works on: the destination itself, or a lake's working file. */
  get workFile(): string {
    return this.isLake ? path.join(this.workFolder, 'work.duckdb') : this.place;
  }

  /** Writes the file anew with the source in another destination; all others stay in it. */
  async moveTo(destination: string, settings?: Readonly<Record<string, unknown>>): Promise<void> {
    if (settings !== undefined) this.#destinations = { ...this.#destinations, [destination]: settings };
    this.#destination = destination;
    await this.configure(this.#tables);
  }

  static async create(options: FixtureOptions): Promise<EngineFixture> {
    const fixture = new EngineFixture(await mkdtemp(path.join(tmpdir(), 'sluice-fixture-')), options);
    await fixture.configure(options.tables);
    return fixture;
  }

  get slot(): string {
    const named = this.#options.cdc?.['slot'];
    return typeof named === 'string' ? named : `sluice_${SOURCE}`;
  }

  /** For a CLI started as a child process. */
  get environment(): Record<string, string> {
    return { [PASSWORD_VARIABLE]: this.#options.postgres.password };
  }

  get tables(): Readonly<Record<string, TableSettings>> {
    return this.#tables;
  }

  /** Writes the file anew; the next use of the engine loads it. */
  async configure(tables: Readonly<Record<string, TableSettings>>): Promise<void> {
    const { postgres, database, cdc, connection, snapshot, more, moreSources } = this.#options;
    await this.close();
    this.#tables = tables;
    const config = {
      version: 1,
      connections: {
        db: {
          host: postgres.host,
          port: postgres.port,
          database,
          user: postgres.user,
          password: { env: PASSWORD_VARIABLE },
          tls: { mode: 'disable' },
          ...connection,
        },
      },
      destinations: this.#destinations,
      sources: {
        [SOURCE]: {
          connection: 'db',
          destination: this.#destination,
          ...(cdc === undefined ? {} : { cdc }),
          ...(snapshot === undefined ? {} : { snapshot }),
          tables,
        },
        ...moreSources,
      },
      ...more,
    };
    await writeFile(this.configFile, stringify(config));
  }

  /** The engine of the file as it stands. */
  async engine(): Promise<Engine> {
    this.#engine ??= await this.#open();
    return this.#engine;
  }

  async #open(): Promise<Engine> {
    const loaded = await loadConfig(this.configFile, {
      env: this.environment,
      cwd: this.folder,
      homeDir: this.folder,
      readFile: (file) => readFile(file, 'utf8'),
    });
    if (!loaded.ok) throw new Error(formatProblems(loaded.problems));
    return createEngine({
      config: loaded.config,
      clock: this.#options.clock ?? realClock,
      host: {
        name: hostname(),
        pid: process.pid,
        command: 'sluice test',
        env: this.environment,
        homeDir: this.folder,
      },
      onEvent: (event) => this.events.push(event),
    });
  }

  async plan(): Promise<Plan> {
    return (await this.engine()).plan({ targets: [] }, never);
  }

  /** Plans and applies; throws when anything stands in the way or fails. */
  async apply(): Promise<Plan> {
    const plan = await this.plan();
    if (plan.blockers.length > 0) throw new Error(`blocked: ${JSON.stringify(plan.blockers)}`);
    const results = await (await this.engine()).apply(plan, never);
    const bad = results.filter((result) => result.status !== 'applied');
    if (bad.length > 0) throw new Error(`not applied: ${JSON.stringify(bad, null, 1)}`);
    return plan;
  }

  /** Syncs until caught up, whatever is due; throws when anything failed. */
  async sync(request: Partial<SyncRequest> = {}): Promise<SyncReport> {
    const report = await this.trySync(request);
    if (!report.ok) throw new Error(`the sync failed: ${describeFailures(report)}`);
    return report;
  }

  async trySync(request: Partial<SyncRequest> = {}, signal: AbortSignal = never): Promise<SyncReport> {
    const engine = await this.engine();
    return engine.sync({ address: null, untilCaughtUp: true, force: true, ...request }, signal);
  }

  async resync(...keys: string[]): Promise<void> {
    const engine = await this.engine();
    await engine.resync(
      keys.map((key) => `${SOURCE}:${key}`),
      'asked for by the test',
      never,
    );
  }

  /** SQL against the source database as superuser. */
  source<Row extends Record<string, unknown>>(sql: string, params?: readonly unknown[]): Promise<Row[]> {
    return this.#options.postgres.query<Row>(sql, params ?? [], this.#options.database);
  }

  /** Opens the destination for reading: a DuckDB file, which must not overlap a sync of this process, or views of a lake. */
  async read<T>(work: (duckdb: DuckReader) => Promise<T>): Promise<T> {
    return this.isLake ? readLakeTables(await this.lakeSettings(), work) : readDuckDb(this.place, work);
  }

  /** Opens the file that Sluice works on, for what no lake keeps; must not overlap a sync of this process. */
  async readWork<T>(work: (duckdb: DuckReader) => Promise<T>): Promise<T> {
    return readDuckDb(this.workFile, work);
  }

  /** What a thread knows of the source's lake. */
  async lakeSettings(): Promise<LakeThreadSettings> {
    const destination = (await this.engine()).config.destinations[this.#destination];
    if (destination === undefined || destination.type === 'duckdb') throw new Error('the destination is no lake');
    return lakeThreadSettings(destination, {
      env: this.environment,
      homeDir: this.folder,
      readFile: (file) => readFile(file, 'utf8'),
    });
  }

  /** The slot's confirmed position and the one that the destination holds (null before the first load). */
  async positions(): Promise<{ slot: string | null; destination: string | null }> {
    const [slot] = await this.source<{ lsn: string | null }>(
      'select confirmed_flush_lsn::text as lsn from pg_replication_slots where slot_name = $1',
      [this.slot],
    );
    const [stream] = await this.read((duckdb) =>
      duckdb.rows(`SELECT confirmed_lsn FROM _sluice.streams WHERE source = '${SOURCE}'`),
    );
    return { slot: slot?.lsn ?? null, destination: stream?.[0] ?? null };
  }

  async close(): Promise<void> {
    const engine = this.#engine;
    this.#engine = null;
    await engine?.close();
  }

  /** Closes, drops the slot and removes the folder. */
  async remove(): Promise<void> {
    await this.close();
    await this.source('select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1', [
      this.slot,
    ]);
    await rm(this.folder, { recursive: true, force: true });
  }
}

export interface DuckReader {
  /** Every cell as text (as DuckDB casts it to VARCHAR). */
  rows(sql: string): Promise<Cells[]>;
}

/** Opens a DuckDB file read-only for the time of `work`. */
export async function readDuckDb<T>(file: string, work: (duckdb: DuckReader) => Promise<T>): Promise<T> {
  const duckdb = await openDuckDb(file);
  try {
    return await work(duckdb);
  } finally {
    duckdb.close();
  }
}

/** Opens a DuckDB file read-only until `close`; no sync may run meanwhile. */
export async function openDuckDb(file: string): Promise<DuckReader & { close(): void }> {
  const instance = await DuckDBInstance.create(file, { access_mode: 'READ_ONLY' });
  const connection = await instance.connect();
  await connection.run("SET TimeZone = 'UTC'");
  return {
    async rows(sql) {
      const reader = await connection.runAndReadAll(`SELECT COLUMNS(*)::VARCHAR FROM (${sql})`);
      return reader.getRowsJson().map((row) => row.map((cell) => (cell === null ? null : String(cell))));
    },
    close() {
      connection.closeSync();
      instance.closeSync();
    },
  };
}

export function describeFailures(report: SyncReport): string {
  return report.sources
    .flatMap((source) => [
      ...(source.error === null ? [] : [`${source.source}: ${JSON.stringify(source.error)}`]),
      ...source.tables
        .filter((table) => table.status === 'failed')
        .map((table) => `${table.address} (${table.kind}): ${JSON.stringify(table.error)}`),
    ])
    .join('\n');
}

/** Opens a lake for the time of `work`, as if its tables were those of a DuckDB file. */
export async function readLakeTables<T>(
  settings: LakeThreadSettings,
  work: (duckdb: DuckReader) => Promise<T>,
): Promise<T> {
  const lake = await openLake({ ...settings, workFolder: `${settings.workFolder}-reader` }, systemDeps('sluice test'));
  const { memoryLimitMb, threads } = settings.session;
  const session = await readLake({ memoryLimitMb, threads, workFolder: `${settings.workFolder}-reader` }, lake, null);
  try {
    return await work({
      async rows(sql) {
        const reader = await session.connection.runAndReadAll(`SELECT COLUMNS(*)::VARCHAR FROM (${sql})`);
        return reader.getRowsJson().map((row) => row.map((cell) => (cell === null ? null : String(cell))));
      },
    });
  } finally {
    session.close();
    await lake.store.close();
  }
}

/** An LSN as a number, as `_cdc_lsn` columns hold it. */
export function lsnValue(text: string): bigint {
  const [high = '0', low = '0'] = text.split('/');
  return (BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`);
}
