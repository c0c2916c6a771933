import { spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { RowsDigest } from './canonical.js';
import type { ReaderEnvironment } from './environment.js';

/**
 * Asks engines that know nothing of Sluice what rows Delta tables have (read_tables.py). What an engine cannot represent:
 *
 * | engine | what | as |
 * | --- | --- | --- |
 * | chdb | a null array | an empty array |
 * | chdb | text and bytes, timestamps with and without a zone | one type each; read_tables.py takes them by the job's types |
 * | chdb | an S3 server of another region than us-east-1 that is not AWS's | refused by the server: start it with that region |
 * | deltalake | to_pyarrow_table() with deletion vectors | refused; QueryBuilder, used here, reads them |
 */

export const READERS = ['deltalake', 'duckdb', 'polars', 'spark', 'chdb'] as const;
export type ReaderName = (typeof READERS)[number];

export interface LakeTable {
  /** Also the name of its files in `dump`. */
  readonly name: string;
  /** A folder, or s3://bucket/prefix. */
  readonly location: string;
  /** All columns of the table, in its order. @see canonical.ts for the types */
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  /** A condition in SQL that all engines understand: only the rows for which it holds. */
  readonly where?: string;
}

export interface ReadJob {
  readonly tables: readonly LakeTable[];
  readonly s3?: {
    readonly endpoint: string;
    readonly region: string;
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
  };
  /** A folder for each table's canonical rows as `<table>.<reader>.ndjson`, sorted. */
  readonly dump?: string;
}

/** What one engine says of one table. */
export type ReaderAnswer =
  | (RowsDigest & { readonly reader: string; readonly table: string; readonly seconds: number })
  | { readonly reader: string; readonly table: string; readonly error: string };

export interface ReaderReport {
  readonly startSeconds: number;
  /** In the order of the job's tables. */
  readonly answers: readonly ReaderAnswer[];
}

/** Starts one engine in a process of its own and has it read all tables of the job. */
export async function readWith(
  environment: ReaderEnvironment,
  reader: ReaderName,
  job: ReadJob,
  signal?: AbortSignal,
): Promise<ReaderReport> {
  let startSeconds = Number.NaN;
  const answers: ReaderAnswer[] = [];
  for (const line of await runScript(environment, 'read_tables.py', jobText(environment, reader, job), signal)) {
    const told = parseLine(line);
    if (typeof told === 'number') startSeconds = told;
    else answers.push(told);
  }
  return { startSeconds, answers };
}

/** Has an engine compact tables, as somebody might who shares the lake (compact_tables.py). */
export async function compactWith(
  environment: ReaderEnvironment,
  engine: 'deltalake' | 'spark',
  job: Pick<ReadJob, 'tables' | 's3'>,
): Promise<void> {
  await runScript(environment, 'compact_tables.py', jobText(environment, engine, job));
}

/** Runs a script of this folder. @returns the lines of its standard output */
export async function runScript(
  environment: ReaderEnvironment,
  script: string,
  input: string,
  signal?: AbortSignal,
): Promise<string[]> {
  const child = spawn(environment.python, [path.join(import.meta.dirname, script)], {
    stdio: 'pipe',
    // No compiled files beside the scripts.
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' },
    ...(signal === undefined ? {} : { signal }),
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  let complaint = '';
  child.stderr.on('data', (text: Buffer) => {
    complaint = (complaint + text.toString()).slice(-4_000);
  });
  child.stdin.end(input);
  const lines: string[] = [];
  const [code] = await Promise.all([
    ended,
    (async () => {
      for await (const line of createInterface({ input: child.stdout })) lines.push(line);
    })(),
  ]);
  if (code !== 0) throw new Error(`${script} ended with ${code}: ${complaint}`);
  return lines;
}

function jobText(environment: ReaderEnvironment, reader: ReaderName, job: ReadJob): string {
  const s3 =
    job.s3 === undefined
      ? null
      : {
          endpoint: job.s3.endpoint,
          region: job.s3.region,
          access_key_id: job.s3.accessKeyId,
          secret_access_key: job.s3.secretAccessKey,
        };
  return JSON.stringify({ readers: [reader], tables: job.tables, s3, jars: environment.jars, dump: job.dump ?? null });
}

/** A line of read_tables.py: the seconds of the start, or an answer. */
function parseLine(line: string): number | ReaderAnswer {
  const told: unknown = JSON.parse(line);
  if (typeof told === 'object' && told !== null && 'reader' in told && typeof told.reader === 'string') {
    const { reader } = told;
    if ('start_seconds' in told && typeof told.start_seconds === 'number') return told.start_seconds;
    if ('table' in told && typeof told.table === 'string') {
      const { table } = told;
      if ('error' in told && typeof told.error === 'string') return { reader, table, error: told.error };
      const { rows, sha256, seconds } = { rows: null, sha256: null, seconds: null, ...told };
      if (typeof rows === 'number' && typeof sha256 === 'string' && typeof seconds === 'number') {
        return { reader, table, rows, sha256, seconds };
      }
    }
  }
  throw new Error(`not an answer of read_tables.py: ${line}`);
}
