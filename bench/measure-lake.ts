import { spawnSync } from 'node:child_process';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { loadavg } from 'node:os';
import path from 'node:path';
import { openStore } from '../src/destination/lake/store/open-store.js';
import { systemDeps } from '../src/destination/lake/store/system-deps.js';
import type { TestPostgres } from '../test/postgres/server.js';
import { type BucketAccess, LakeProject, type Place, type SyncCost } from './lake-project.js';
import { answersOf } from './project.js';
import { columns } from './report.js';
import { type Check, seed, workloadOf } from './workload.js';

/** Loads and merges of lake tables, on a real S3 server and in a folder. */

export interface LakeWorld {
  readonly root: string;
  readonly postgres: TestPostgres;
  readonly access: BucketAccess;
  readonly runs: number;
  /** Of the rows of a workload. */
  readonly share: number;
  readonly note: (text: string) => void;
  readonly signal: AbortSignal;
}

const MB = 1_000_000;
const LOAD_RATIO = 1.5;
const PEAK_RSS_MB = 700;
const CHANGED_KEYS = [1_000, 10_000, 100_000] as const;
const HEAD = ['', 'wall s', 'CPU s', 'peak RSS MB', 'PUT', 'GET', 'sent MB', 'received MB', 'load average'];

/** DuckDB, the bucket and the folder by turns; then the bytes of the bucket's table alone. */
export async function measureLoads(world: LakeWorld): Promise<string> {
  const { postgres, note, runs } = world;
  const workload = workloadOf('snapshot');
  note('load: filling the source');
  await seed(workload, postgres, world.share);
  const expected = await answersOf(workload.checks, postgres);
  const rows: string[][] = [HEAD];
  const ratios = { bucket: [] as number[], folder: [] as number[] };
  for (let run = 1; run <= runs; run += 1) {
    note(`load: run ${run} of ${runs}`);
    const duckdb = await load(world, { kind: 'duckdb' }, `load_duckdb_${run}`, workload, expected);
    const prefix = `load_${run}`;
    const s3: Place = { kind: 's3', deletes: 'dv', access: world.access, prefix };
    const bucket = await load(world, s3, `load_s3_${run}`, workload, expected);
    const folder = await load(world, { kind: 'folder', deletes: 'dv' }, `load_folder_${run}`, workload, expected);
    const upload = await rawUpload(world, prefix);
    rows.push(row('DuckDB', duckdb), row('Delta, S3', bucket), row('Delta, folder', folder));
    rows.push(['raw upload', upload.seconds.toFixed(2), '', '', '', '', (upload.bytes / MB).toFixed(0), '', load1()]);
    ratios.bucket.push(bucket.cost.wallSeconds / (duckdb.cost.wallSeconds + upload.seconds));
    ratios.folder.push(folder.cost.wallSeconds / duckdb.cost.wallSeconds);
  }
  return `\nload: ${workload.title}\n${columns(rows)}${aim('S3 / (DuckDB + raw upload)', median(ratios.bucket), LOAD_RATIO)}${aim(
    'folder / DuckDB',
    median(ratios.folder),
    LOAD_RATIO,
  )}`;
}

/** Random keys of a table that was loaded before, in one transaction each. */
export async function measureMerges(world: LakeWorld): Promise<string> {
  const { postgres, note, share, signal, root } = world;
  const workload = workloadOf('narrow');
  note('merge: filling the source');
  await seed(workload, postgres, share);
  const rows: string[][] = [HEAD];
  let peak = 0;
  for (const deletes of ['dv', 'cow'] as const) {
    const place: Place = { kind: 's3', deletes, access: world.access, prefix: `merge_${deletes}` };
    const project = await LakeProject.create(
      { name: `merge_${deletes}`, root, table: workload.table, place },
      postgres,
      signal,
    );
    note(`merge: first load (${deletes})`);
    rows.push(row(`${deletes}: first load`, await project.sync()));
    const merge = async (keys: number, how: string): Promise<void> => {
      note(`merge: ${keys} keys${how} (${deletes})`);
      const some = `select distinct (1 + floor(random() * ${Math.floor(workload.units * share)}))::bigint as id
        from generate_series(1, ${keys})`;
      await postgres.query(`update ${workload.table} t set a = t.a # 1 from (${some}) s where s.id = t.id`);
      spawnSync('sync');
      const cost = await project.sync();
      peak = Math.max(peak, cost.cost.peakRssBytes / MB);
      rows.push(row(`${deletes}: ${keys} keys${how}`, cost));
    };
    for (const keys of CHANGED_KEYS) await merge(keys, '');
    // As on another machine, or where the files are more than the cache may hold.
    await project.forgetCopies();
    await merge(CHANGED_KEYS[0], ', nothing here');
    await compare(project, workload.checks, await answersOf(workload.checks, postgres));
    await project.drop();
    await rm(project.folder, { recursive: true, force: true });
  }
  return `\nmerge: random keys into ${workload.units * share} rows x 4 columns\n${columns(rows)}${aim(
    'peak RSS MB of a merge',
    peak,
    PEAK_RSS_MB,
  )}`;
}

async function load(
  world: LakeWorld,
  place: Place,
  name: string,
  workload: { readonly table: string; readonly checks: readonly Check[] },
  expected: readonly string[],
): Promise<SyncCost> {
  const { postgres, root, signal } = world;
  const project = await LakeProject.create({ name, root, table: workload.table, place }, postgres, signal);
  // What the run before left to be written is not this run's work.
  spawnSync('sync');
  const cost = await project.sync();
  await compare(project, workload.checks, expected);
  await project.drop();
  await rm(project.folder, { recursive: true, force: true });
  return cost;
}

async function compare(project: LakeProject, checks: readonly Check[], expected: readonly string[]): Promise<void> {
  const answers = await project.answers(checks);
  for (const [i, { name }] of checks.entries()) {
    if (answers[i] !== expected[i]) throw new Error(`${name}: Postgres has ${expected[i]}, the copy ${answers[i]}`);
  }
}

/** Sends the data files of a prefix again, as Sluice sends them: one after the other, large ones in parts. */
async function rawUpload(world: LakeWorld, prefix: string): Promise<{ seconds: number; bytes: number }> {
  const { endpoint, bucket, accessKeyId, secretAccessKey } = world.access;
  const s3 = {
    ...{ bucket, prefix, region: null, endpoint, forcePathStyle: true },
    credentials: { kind: 'static', accessKeyId, secretAccessKey },
    ...{ assumeRole: null, caFile: null, encryption: null, connectTimeoutMs: 5_000, requestTimeoutMs: 30_000 },
    ...{ maxAttempts: 5, concurrency: 16, partSizeMb: 16 },
  } as const;
  const store = await openStore({ type: 's3', s3 }, systemDeps('sluice bench'));
  const folder = path.join(world.root, 'raw');
  await mkdir(folder);
  try {
    let index = 0;
    for await (const { key } of store.list('')) {
      if (!key.endsWith('.parquet') || key.includes('_delta_log')) continue;
      await store.download(key, path.join(folder, String(index)));
      index += 1;
    }
    spawnSync('sync');
    const startedAt = performance.now();
    let bytes = 0;
    for (const file of await readdir(folder)) bytes += await store.upload(path.join(folder, file), `raw/${file}`);
    return { seconds: (performance.now() - startedAt) / 1000, bytes };
  } finally {
    await store.close();
    await rm(folder, { recursive: true, force: true });
  }
}

function row(name: string, { cost, traffic }: SyncCost): string[] {
  const { wallSeconds, cpuSeconds, peakRssBytes } = cost;
  const asked =
    traffic === null
      ? ['', '', '', '']
      : [
          String(traffic.puts),
          String(traffic.gets),
          (traffic.bytesSent / MB).toFixed(1),
          (traffic.bytesReceived / MB).toFixed(1),
        ];
  return [name, wallSeconds.toFixed(2), cpuSeconds.toFixed(2), (peakRssBytes / MB).toFixed(0), ...asked, load1()];
}

/** Above the number of cores the wall times are worth little; the ratios of one run still say something. */
function load1(): string {
  return (loadavg()[0] ?? 0).toFixed(1);
}

function aim(name: string, value: number, limit: number): string {
  return `  ${value <= limit ? 'met   ' : 'missed'}  ${name}: ${value.toFixed(2)} (aim ${limit})\n`;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return ((sorted[Math.floor((sorted.length - 1) / 2)] ?? 0) + (sorted[Math.floor(sorted.length / 2)] ?? 0)) / 2;
}
