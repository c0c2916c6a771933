import { readdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { stringify } from 'yaml';
import { loadConfig } from '../../src/config/load.js';
import { lakeThreadSettings } from '../../src/executor/destinations.js';
import { at, items } from '../cli/reported-error.js';
import { type Running, type Settings, Workspace } from '../cli/workspace.js';
import { type DuckReader, readDuckDb, readLakeTables } from '../engine-fixture.js';
import type { TestPostgres } from '../postgres/server.js';
import { keyOf, makeTables, SOAK_TABLES, type SoakSource, type SoakTable } from './daemon-tables.js';

const PASSWORD = { env: 'SHOP_PASSWORD' };
/** One table of ten is not in the first file, for edits to add. */
const HELD_BACK = 10;
/** Somebody else may have the state at the moment. */
const APPLY_TRIES = 20;

/** The edits in turns. What stands below follows from one that stands above. */
const EDITS = ['add', 'break', 'remove', 'schedule', 'hide a column', 'return', 'show a column'] as const;

/** A daemon, the file that it watches, and what may be done to both. */
export class DaemonWorld {
  readonly workspace: Workspace;
  readonly #present = new Set(SOAK_TABLES.filter((_, index) => index % HELD_BACK !== 0));
  readonly #hidden = new Set<SoakTable>();
  readonly #removed: SoakTable[] = [];
  #everySeconds = 2;
  #edits = 0;
  #daemon: Running | null = null;
  /** How often each edit was made. */
  readonly made = new Map<(typeof EDITS)[number], number>();

  private constructor(workspace: Workspace) {
    this.workspace = workspace;
  }

  static async create(postgres: TestPostgres, database: string): Promise<DaemonWorld> {
    await postgres.createDatabase(database);
    const world = new DaemonWorld(await Workspace.create(postgres, database));
    await world.workspace.source(makeTables());
    await world.#write();
    return world;
  }

  get daemon(): Running {
    if (this.#daemon === null) throw new Error('no daemon was started');
    return this.#daemon;
  }

  async start(): Promise<void> {
    this.#daemon = this.workspace.start(['daemon']);
    await this.#daemon.until((output) => output.includes('daemon started'), 'its start', 60_000);
  }

  /** @returns milliseconds until it had ended */
  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<number> {
    const startedMs = performance.now();
    this.daemon.kill(signal);
    const end = await this.daemon.ended;
    if (signal === 'SIGTERM' && end.code !== 0)
      throw new Error(`it ended with ${end.code ?? end.signal}:\n${end.output}`);
    return performance.now() - startedMs;
  }

  /** One more edit of the file. */
  async edit(): Promise<void> {
    const kind = EDITS[this.#edits % EDITS.length] ?? 'add';
    const number = Math.floor(this.#edits / EDITS.length);
    this.#edits += 1;
    this.made.set(kind, (this.made.get(kind) ?? 0) + 1);
    switch (kind) {
      case 'add': {
        const next = SOAK_TABLES.find((table) => !this.#present.has(table) && !this.#removed.includes(table));
        if (next !== undefined) this.#present.add(next);
        break;
      }
      case 'break':
        await this.#replace(
          (await readFile(this.workspace.configFile, 'utf8')).replaceAll('destination: lake', 'destination: leak'),
        );
        await sleep(1_500);
        break;
      case 'remove':
        this.#removed.push(this.#choose(number));
        for (const table of this.#removed) this.#present.delete(table);
        await this.#write();
        return this.#consent();
      case 'schedule':
        this.#everySeconds = (this.#everySeconds % 4) + 1;
        break;
      case 'hide a column':
        this.#hidden.add(this.#choose(number + 50));
        await this.#write();
        return this.#consent();
      case 'return':
        for (const table of this.#removed.splice(0)) this.#present.add(table);
        break;
      case 'show a column':
        this.#hidden.clear();
        await this.#write();
        return this.#consent();
    }
    await this.#write();
  }

  #choose(number: number): SoakTable {
    const present = [...this.#present].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
    const table = present[(number * 61) % present.length];
    if (table === undefined) throw new Error('no table is left');
    return table;
  }

  /** Beside a daemon that may be about to do the same. */
  async #consent(): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      const run = await this.workspace.run(['apply', '--yes']);
      if (run.code === 0) return;
      if (attempt === APPLY_TRIES)
        throw new Error(`it could not be applied:\n${run.output}\n${this.daemon.output.slice(-5_000)}`);
      await sleep(500);
    }
  }

  /** As an editor does: another file over the old one. */
  async #replace(text: string): Promise<void> {
    await writeFile(`${this.workspace.configFile}~`, text);
    await rename(`${this.workspace.configFile}~`, this.workspace.configFile);
  }

  #write(): Promise<void> {
    const { host, port, user } = this.workspace.postgres;
    const { database } = this.workspace;
    const every = { every: `${this.#everySeconds}s` };
    const source = (name: SoakSource, more: Settings): Settings => ({
      connection: 'db',
      target_schema: name,
      defaults: { schedule: every },
      ...more,
      tables: Object.fromEntries(
        [...this.#present]
          .filter((table) => table.source === name)
          .map((table) => [
            keyOf(table),
            this.#hidden.has(table) ? { ...table.settings, columns: { exclude: ['n'] } } : table.settings,
          ]),
      ),
    });
    const names = (name: string): Settings => ({ slot: `${database}_${name}`, publication: `${database}_${name}` });
    return this.#replace(
      stringify({
        version: 1,
        connections: { db: { host, port, database, user, password: PASSWORD, tls: { mode: 'disable' } } },
        destinations: {
          warehouse: { type: 'duckdb', path: 'warehouse.duckdb' },
          lake: { type: 'local', format: 'delta', path: 'lake' },
        },
        sources: {
          shop: source('shop', { destination: 'warehouse', cdc: names('shop') }),
          live: source('live', {
            destination: 'warehouse',
            cdc: { ...names('live'), transport: 'continuous', flush: { every: '1s' } },
          }),
          files: source('files', { destination: 'lake' }),
        },
      }),
    );
  }

  /** Compares every table of the file with Postgres. Nobody may write or sync meanwhile. */
  async differences(): Promise<string[]> {
    const tables = [...this.#present];
    const problems: string[] = [];
    const compare = async (duckdb: DuckReader, of: readonly SoakTable[]): Promise<void> => {
      for (const table of of) {
        const columns = this.#hidden.has(table) ? "id || ' ' || v" : "id || ' ' || v || ' ' || n";
        const wanted = await this.workspace.source<{ row: string }>(`select ${columns} as row from ${keyOf(table)}`);
        const found = await duckdb.rows(`SELECT ${columns} FROM ${table.source}.${table.rows}`);
        const difference = differenceOf(
          wanted.map(({ row }) => row),
          found.map(([row]) => row ?? 'NULL'),
        );
        if (difference !== null) problems.push(`${keyOf(table)}: ${difference}`);
      }
    };
    const inLake = tables.filter((table) => table.source === 'files');
    await readDuckDb(this.workspace.duckdbFile, (duckdb) =>
      compare(
        duckdb,
        tables.filter((table) => !inLake.includes(table)),
      ),
    );
    await readLakeTables(await this.#lakeSettings(), (lake) => compare(lake, inLake));
    return problems;
  }

  async #lakeSettings(): Promise<Parameters<typeof readLakeTables>[0]> {
    const { folder, configFile } = this.workspace;
    const deps = { env: {}, homeDir: folder, readFile: (file: string) => readFile(file, 'utf8') };
    const loaded = await loadConfig(configFile, { ...deps, cwd: folder });
    const lake = loaded.ok ? loaded.config.destinations['lake'] : undefined;
    if (lake === undefined || lake.type === 'duckdb') throw new Error('the file has no lake');
    return lakeThreadSettings(lake, deps);
  }

  /** What the server has of Sluice, against what the state says of it. */
  async onServer(): Promise<{
    readonly there: readonly string[];
    readonly applied: readonly string[];
    readonly sessions: number;
  }> {
    const there = await this.workspace.source<{ name: string }>(`
      select 'slot ' || slot_name as name from pg_replication_slots where database = current_database()
      union all select 'publication ' || pubname from pg_publication
      union all select 'member ' || schemaname || '.' || tablename from pg_publication_tables`);
    const sources = Object.values({ ...Object(at(await this.workspace.readState(), 'sources')) });
    const applied = sources.flatMap((source) => [
      ...(at(at(source, 'slot'), 'name') === null ? [] : [`slot ${at(at(source, 'slot'), 'name')}`]),
      ...(at(source, 'publication') === null ? [] : [`publication ${at(source, 'publication')}`]),
      ...items(at(source, 'publication_tables')).map((table) => `member ${table}`),
    ]);
    const [sessions] = await this.workspace.source<{ count: string }>(
      "select count(*) from pg_stat_activity where application_name like 'sluice%'",
    );
    return { there: there.map(({ name }) => name).sort(), applied: applied.sort(), sessions: Number(sessions?.count) };
  }

  /** Files that a daemon at rest has no use for. */
  async leftovers(): Promise<string[]> {
    const { folder, stateFile } = this.workspace;
    const state = path.relative(folder, stateFile);
    const expected = ['sources.yaml', 'warehouse.duckdb', state, `${state}.backup`, `${state}.lag`];
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => !entry.isDirectory())
      .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)))
      .filter((file) => !expected.includes(file) && !/^(lake|\.sluice\/lake(-reader)?)\//.test(file));
  }
}

function differenceOf(wanted: readonly string[], found: readonly string[]): string | null {
  const missing = new Map<string, number>();
  for (const row of wanted) missing.set(row, (missing.get(row) ?? 0) + 1);
  for (const row of found) missing.set(row, (missing.get(row) ?? 0) - 1);
  const off = [...missing].filter(([, count]) => count !== 0);
  if (off.length === 0) return null;
  const told = off.slice(0, 5).map(([row, count]) => `${count > 0 ? 'missing' : 'extra'} "${row}"`);
  return `${off.length} of ${wanted.length} rows differ: ${told.join(', ')}`;
}
