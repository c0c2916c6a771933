import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { TestPostgres } from '../test/postgres/server.js';
import { type Cost, projectPath, runMeasured } from './measured-process.js';
import type { Check } from './workload.js';

/** What a sync of a lake asked of the store. */
export interface Traffic {
  readonly puts: number;
  readonly gets: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
}

export interface SyncCost {
  readonly cost: Cost;
  /** Null for a DuckDB file. */
  readonly traffic: Traffic | null;
}

export interface BucketAccess {
  readonly endpoint: string;
  readonly bucket: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** Where a project's tables go. */
export type Place =
  | { readonly kind: 'duckdb' }
  | { readonly kind: 'folder'; readonly deletes: 'dv' | 'cow' }
  | { readonly kind: 's3'; readonly deletes: 'dv' | 'cow'; readonly access: BucketAccess; readonly prefix: string };

/** A user's folder for one table and one destination, with a slot of its own; driven through the command line only. */
export class LakeProject {
  readonly #postgres: TestPostgres;
  readonly #signal: AbortSignal;
  readonly #name: string;
  readonly folder: string;

  private constructor(name: string, folder: string, postgres: TestPostgres, signal: AbortSignal) {
    this.#name = name;
    this.folder = folder;
    this.#postgres = postgres;
    this.#signal = signal;
  }

  /** @param project its name: of the folder, the slot and the publication */
  static async create(
    project: { readonly name: string; readonly root: string; readonly table: string; readonly place: Place },
    postgres: TestPostgres,
    signal: AbortSignal,
  ): Promise<LakeProject> {
    const { name, root, table, place } = project;
    const made = new LakeProject(name, path.join(root, name), postgres, signal);
    await mkdir(made.folder, { recursive: true });
    if (place.kind === 's3') {
      await writeFile(path.join(made.folder, 'key-id'), place.access.accessKeyId);
      await writeFile(path.join(made.folder, 'key'), place.access.secretAccessKey);
    }
    await writeFile(path.join(made.folder, 'sources.yaml'), configText(name, table, place, postgres));
    await made.#sluice(['apply', '--yes']);
    return made;
  }

  /** `sluice sync --until-caught-up`, the whole process. */
  async sync(): Promise<SyncCost> {
    const run = await this.#sluice(['sync', '--until-caught-up', '--format', 'json']);
    return { cost: run.cost, traffic: trafficIn(JSON.parse(run.stdout)) };
  }

  async answers(checks: readonly Check[]): Promise<string[]> {
    const answers: string[] = [];
    for (const { duckdb } of checks) {
      const run = await this.#sluice(['query', duckdb, '--destination', 'place', '--format', 'json']);
      answers.push(/"rows":\s*\[\s*\[\s*"([^"]*)"/.exec(run.stdout)?.[1] ?? run.stdout);
    }
    return answers;
  }

  /** Removes what the project keeps of the lake on this machine. */
  async forgetCopies(): Promise<void> {
    await rm(path.join(this.folder, '.sluice/lake'), { recursive: true });
  }

  /** Gives the server back what the project holds of it. */
  async drop(): Promise<void> {
    await this.#postgres.query('select pg_drop_replication_slot($1)', [`bench_${this.#name}`]);
  }

  #sluice(args: readonly string[]): ReturnType<typeof runMeasured> {
    return runMeasured([projectPath('dist/cli/main.js'), ...args], { cwd: this.folder, signal: this.#signal });
  }
}

function configText(name: string, table: string, place: Place, { host, port, user, database }: TestPostgres): string {
  return `version: 1
state: { type: file, path: .sluice/state.json }
connections:
  origin: { host: ${host}, port: ${port}, user: ${user}, database: ${database}, tls: { mode: disable } }
destinations:
  place: ${placeText(place)}
sources:
  bench:
    connection: origin
    destination: place
    cdc: { publication: bench_${name}, slot: bench_${name} }
    tables:
      ${table}: {}
`;
}

function placeText(place: Place): string {
  switch (place.kind) {
    case 'duckdb':
      return '{ type: duckdb, path: bench.duckdb }';
    case 'folder':
      return `{ type: local, path: lake, deletes: ${place.deletes} }`;
    case 's3': {
      const { endpoint, bucket } = place.access;
      return `{ type: s3, bucket: ${bucket}, prefix: ${place.prefix}, endpoint: "${endpoint}", force_path_style: true,
    access_key_id: { file: key-id }, secret_access_key: { file: key }, deletes: ${place.deletes} }`;
    }
  }
}

function trafficIn(report: unknown): Traffic | null {
  if (typeof report !== 'object' || report === null || !('traffic' in report) || !Array.isArray(report.traffic)) {
    return null;
  }
  const [entry]: unknown[] = report.traffic;
  const of = (name: string): number => {
    const found = typeof entry === 'object' && entry !== null ? Object.entries(entry) : [];
    const value: unknown = found.find(([key]) => key === name)?.[1];
    return typeof value === 'number' ? value : Number.NaN;
  };
  return {
    puts: of('puts'),
    gets: of('gets'),
    bytesSent: of('bytes_sent'),
    bytesReceived: of('bytes_received'),
  };
}
