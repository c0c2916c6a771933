import { cp, mkdir, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import type { TestPostgres } from '../test/postgres/server.js';
import { type MeasuredRun, projectPath, runMeasured } from './measured-process.js';
import type { Check, Workload } from './workload.js';

const SLOT = 'sluice_bench';
/** A slot that stays where {@link BenchProject.save} found the project's, so that each run can start from there. */
const ORIGIN_SLOT = 'bench_origin';
const PUBLICATION = 'sluice_pub_bench';
const FILE = 'bench.duckdb';

/** As in src/executor/reader/worker.ts, so that floor and product ask the server for the same work. */
const PEEK_WORK_MEM = '64MB';

/** A user's folder with a sources.yaml, a state and a DuckDB file; driven through the command line only. */
export class BenchProject {
  readonly #workload: Workload;
  readonly #postgres: TestPostgres;
  readonly #folder: string;
  readonly #saved: string;
  readonly #signal: AbortSignal;
  readonly #cli: string;

  private constructor(workload: Workload, postgres: TestPostgres, root: string, cli: string, signal: AbortSignal) {
    this.#workload = workload;
    this.#postgres = postgres;
    this.#folder = path.join(root, 'project');
    this.#saved = path.join(root, 'saved');
    this.#cli = cli;
    this.#signal = signal;
  }

  /** Writes the config and applies it. */
  static async create(
    workload: Workload,
    postgres: TestPostgres,
    root: string,
    signal: AbortSignal,
  ): Promise<BenchProject> {
    const project = new BenchProject(workload, postgres, root, projectPath('dist/cli/main.js'), signal);
    await mkdir(project.#folder, { recursive: true });
    await writeFile(path.join(project.#folder, 'sources.yaml'), configText(workload, postgres));
    await project.#sluice(['apply', '--yes']);
    return project;
  }

  /** Keeps what is there now (folder and slot position); {@link restore} goes back to it. */
  async save(): Promise<void> {
    await this.#copySlot(SLOT, ORIGIN_SLOT);
    await cp(this.#folder, this.#saved, { recursive: true });
  }

  async restore(): Promise<void> {
    await this.#postgres.query('select pg_drop_replication_slot($1)', [SLOT]);
    await this.#copySlot(ORIGIN_SLOT, SLOT);
    await rm(this.#folder, { recursive: true, force: true });
    await cp(this.#saved, this.#folder, { recursive: true });
  }

  /** `sluice sync --until-caught-up`, the whole process. @throws Error when it did other work than the workload's */
  async sync(nodeFlags: readonly string[] = []): Promise<MeasuredRun & { readonly fileBytes: number }> {
    const run = await this.#sluice(['sync', '--until-caught-up', '--format', 'json'], nodeFlags);
    return { ...run, fileBytes: (await stat(path.join(this.#folder, FILE))).size };
  }

  /** The same bytes from the same server, received and thrown away. */
  async floor(): Promise<MeasuredRun> {
    const { workload, setUp, copy } = { workload: this.#workload, ...(await this.#floorSql()) };
    const { port, database } = this.#postgres;
    const run = await runMeasured([projectPath('bench/floor.mjs'), String(port), database, setUp, copy], {
      cwd: this.#folder,
      signal: this.#signal,
    });
    const rows = numberIn(JSON.parse(run.stdout), 'rows');
    // A backlog has Begin, Commit and Relation messages beside its changes.
    const expected = workload.unit === 'rows' ? rows === workload.units : rows >= workload.units;
    if (!expected) throw new Error(`the floor of ${workload.name} read ${rows} rows`);
    return run;
  }

  async #floorSql(): Promise<{ setUp: string; copy: string }> {
    const { table, backlog } = this.#workload;
    if (backlog !== null) {
      const options = `'proto_version', '1', 'publication_names', '"${PUBLICATION}"'`;
      const peek = `pg_catalog.pg_logical_slot_peek_binary_changes('${ORIGIN_SLOT}', NULL, NULL, ${options})`;
      return {
        setUp: `SET work_mem = '${PEEK_WORK_MEM}'`,
        copy: `COPY (SELECT lsn, xid, data FROM ${peek}) TO STDOUT (FORMAT binary)`,
      };
    }
    const [row] = await this.#postgres.query<{ columns: string }>(
      `select string_agg(quote_ident(attname), ', ' order by attnum) as columns from pg_attribute
       where attrelid = $1::regclass and attnum > 0 and not attisdropped`,
      [table],
    );
    return { setUp: '', copy: `COPY (SELECT ${row?.columns ?? '*'} FROM ONLY ${table}) TO STDOUT (FORMAT binary)` };
  }

  /** Asks the DuckDB file; the answers are compared with those of {@link answersOf}. */
  async answers(checks: readonly Check[]): Promise<string[]> {
    const instance = await DuckDBInstance.create(path.join(this.#folder, FILE), { access_mode: 'READ_ONLY' });
    try {
      const connection = await instance.connect();
      const answers: string[] = [];
      for (const check of checks) {
        const reader = await connection.runAndReadAll(check.duckdb);
        answers.push(String(reader.getRowObjectsJson()[0]?.['answer'] ?? 'nothing'));
      }
      connection.closeSync();
      return answers;
    } finally {
      instance.closeSync();
    }
  }

  #sluice(args: readonly string[], nodeFlags: readonly string[] = []): Promise<MeasuredRun> {
    return runMeasured([this.#cli, ...args], { cwd: this.#folder, signal: this.#signal, nodeFlags });
  }

  async #copySlot(from: string, to: string): Promise<void> {
    await this.#postgres.query('select pg_copy_logical_replication_slot($1, $2)', [from, to]);
  }
}

/** What Postgres says; the source stands still while runs are measured, so it is asked once. */
export async function answersOf(checks: readonly Check[], postgres: TestPostgres): Promise<string[]> {
  const answers: string[] = [];
  for (const check of checks) {
    const [row] = await postgres.query<{ answer: string }>(check.postgres);
    answers.push(row?.answer ?? 'nothing');
  }
  return answers;
}

/** Rows or changes that a sync says it brought, from its JSON report. */
export function unitsOf(report: string, unit: Workload['unit']): number {
  const parsed: unknown = JSON.parse(report);
  const [source] = listIn(parsed, 'sources');
  if (unit === 'changes') return numberIn(source, 'changes');
  return listIn(source, 'tables').reduce<number>((sum, table) => sum + numberIn(table, 'rows'), 0);
}

function configText(workload: Workload, { host, port, user, database }: TestPostgres): string {
  return `version: 1
state: { type: file, path: .sluice/state.json }
connections:
  origin: { host: ${host}, port: ${port}, user: ${user}, database: ${database}, tls: { mode: disable } }
destinations:
  warehouse: { type: duckdb, path: ${FILE} }
sources:
  bench:
    connection: origin
    destination: warehouse
    cdc: { publication: ${PUBLICATION}, slot: ${SLOT} }
    tables:
      ${workload.table}: {}
`;
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null
    ? Object.entries(value).find(([key]) => key === name)?.[1]
    : undefined;
}

function numberIn(value: unknown, name: string): number {
  const field = fieldOf(value, name);
  if (typeof field !== 'number') throw new Error(`no number "${name}" in ${JSON.stringify(value)}`);
  return field;
}

function listIn(value: unknown, name: string): unknown[] {
  const field = fieldOf(value, name);
  if (!Array.isArray(field)) throw new Error(`no list "${name}" in ${JSON.stringify(value)}`);
  return field;
}
