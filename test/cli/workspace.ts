import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { type DuckReader, readDuckDb } from '../engine-fixture.js';
import type { TestPostgres } from '../postgres/server.js';

/**
 * A folder with a sources.yaml in which the real CLI is run as a child process, as a person would. Every output of every
 * run is searched for the password.
 */

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const PASSWORD_VARIABLE = 'SHOP_PASSWORD';
const POLL_MS = 50;

export type Settings = Readonly<Record<string, unknown>>;

/** The parts of the one source that tests change; everything else is the same in all of them. */
export interface ShopConfig {
  readonly tables: Readonly<Record<string, Settings>>;
  readonly connection?: Settings;
  readonly destination?: Settings;
  readonly cdc?: Settings;
  /** Other keys of the source. */
  readonly source?: Settings;
  /** Other keys of the file: moved, state, daemon. */
  readonly top?: Settings;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The child is killed then, and the run fails. */
  readonly timeoutMs?: number;
}

export interface Run {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Both, for messages and for searching. */
  readonly output: string;
}

export class Workspace {
  readonly folder: string;
  readonly configFile: string;
  readonly duckdbFile: string;
  readonly stateFile: string;
  readonly postgres: TestPostgres;
  readonly database: string;
  readonly #password: string;
  readonly #children = new Set<ChildProcess>();

  private constructor(folder: string, postgres: TestPostgres, database: string) {
    this.folder = folder;
    this.configFile = path.join(folder, 'sources.yaml');
    this.duckdbFile = path.join(folder, 'warehouse.duckdb');
    this.stateFile = path.join(folder, '.sluice', 'state.json');
    this.postgres = postgres;
    this.database = database;
    this.#password = postgres.password;
  }

  /** Slot and publication get the database's name, so that several workspaces can share a server. */
  static async create(postgres: TestPostgres, database: string): Promise<Workspace> {
    return new Workspace(await mkdtemp(path.join(tmpdir(), 'sluice-cli-')), postgres, database);
  }

  get slot(): string {
    return `slot_${this.database}`;
  }

  get publication(): string {
    return `pub_${this.database}`;
  }

  async configure(config: ShopConfig): Promise<void> {
    const { host, port, user } = this.postgres;
    await this.configureText(
      stringify({
        version: 1,
        connections: {
          db: {
            host,
            port,
            database: this.database,
            user,
            password: { env: PASSWORD_VARIABLE },
            tls: { mode: 'disable' },
            ...config.connection,
          },
        },
        destinations: { warehouse: { type: 'duckdb', path: 'warehouse.duckdb', ...config.destination } },
        sources: {
          shop: {
            connection: 'db',
            destination: 'warehouse',
            cdc: { slot: this.slot, publication: this.publication, ...config.cdc },
            ...config.source,
            tables: config.tables,
          },
        },
        ...config.top,
      }),
    );
  }

  configureText(text: string): Promise<void> {
    return writeFile(this.configFile, text);
  }

  file(name: string): string {
    return path.join(this.folder, name);
  }

  async readState(): Promise<unknown> {
    return JSON.parse(await readFile(this.stateFile, 'utf8'));
  }

  /** Starts the CLI; the caller awaits `ended`. Whatever still runs at the end is killed by remove(). */
  start(args: readonly string[], options: RunOptions = {}): Running {
    const child = spawn(process.execPath, [MAIN, ...args], {
      cwd: this.folder,
      env: { ...process.env, [PASSWORD_VARIABLE]: this.#password, SLUICE_FAILPOINT: undefined, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#children.add(child);
    const running = new Running(child, args);
    void running.ended.then(() => this.#children.delete(child));
    return running;
  }

  async run(args: readonly string[], options: RunOptions = {}): Promise<Run> {
    const running = this.start(args, options);
    const patience = setTimeout(() => running.kill('SIGKILL'), options.timeoutMs ?? 120_000);
    try {
      const run = await running.ended;
      const secret = options.env?.[PASSWORD_VARIABLE] ?? this.#password;
      if (run.output.includes(secret)) throw new Error(`sluice ${args.join(' ')} shows the password:\n${run.output}`);
      return run;
    } finally {
      clearTimeout(patience);
    }
  }

  /** Runs and insists on the exit code. */
  async expect(code: number, ...args: readonly string[]): Promise<Run> {
    const run = await this.run(args);
    if (run.code !== code) {
      throw new Error(`sluice ${args.join(' ')} ended with ${run.code ?? run.signal}, not ${code}:\n${run.output}`);
    }
    return run;
  }

  /** The document that a command prints in JSON format. */
  async json(...args: readonly string[]): Promise<unknown> {
    const run = await this.run([...args, '--format', 'json']);
    return JSON.parse(run.stdout);
  }

  source<Row extends Record<string, unknown>>(sql: string): Promise<Row[]> {
    return this.postgres.query<Row>(sql, [], this.database);
  }

  read<T>(work: (duckdb: DuckReader) => Promise<T>): Promise<T> {
    return readDuckDb(this.duckdbFile, work);
  }

  /** What is left of this workspace on the server. */
  async onServer(): Promise<{ slots: string[]; publications: string[]; members: string[] }> {
    const texts = async (sql: string): Promise<string[]> =>
      (await this.source<{ name: string }>(sql)).map((row) => row.name);
    return {
      slots: await texts(
        'select slot_name as name from pg_replication_slots where database = current_database() order by 1',
      ),
      publications: await texts('select pubname as name from pg_publication order by 1'),
      members: await texts(
        `select schemaname || '.' || tablename as name from pg_publication_tables where pubname = '${this.publication}' order by 1`,
      ),
    };
  }

  /** Kills what still runs, and removes the folder and the slots of the database. */
  async remove(): Promise<void> {
    for (const child of this.#children) {
      child.kill('SIGKILL');
      await once(child, 'close').catch(() => undefined);
    }
    await this.source(`select pg_terminate_backend(active_pid) from pg_replication_slots
      where database = current_database() and active_pid is not null`);
    await this.source(
      'select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()',
    );
    await rm(this.folder, { recursive: true, force: true });
  }
}

export class Running {
  readonly ended: Promise<Run>;
  readonly #child: ChildProcess;
  readonly #args: readonly string[];
  #stdout = '';
  #stderr = '';
  #over = false;

  constructor(child: ChildProcess, args: readonly string[]) {
    this.#child = child;
    this.#args = args;
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
    this.ended = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => {
        this.#over = true;
        resolve({ code, signal, stdout: this.#stdout, stderr: this.#stderr, output: this.output });
      });
    });
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error('the process did not start');
    return this.#child.pid;
  }

  get output(): string {
    return `${this.#stdout}${this.#stderr}`;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Waits until the output so far satisfies the test. Fails when the process ends before. */
  async until(test: (output: string) => boolean, what: string, timeoutMs = 60_000): Promise<void> {
    await eventually(
      () => {
        if (test(this.output)) return true;
        if (this.#over) throw new Error(`sluice ${this.#args.join(' ')} ended before ${what}:\n${this.output}`);
        return false;
      },
      `${what} of sluice ${this.#args.join(' ')}`,
      timeoutMs,
      () => this.output,
    );
  }
}

/** Polls until the condition holds. */
export async function eventually(
  condition: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs = 60_000,
  details: () => string = () => '',
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for ${what}\n${details()}`);
    await sleep(POLL_MS);
  }
}

export function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}
