import { spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { RowsDigest } from './canonical.js';
import { Engines } from './engines.js';
import type { ReaderEnvironment } from './environment.js';

/**
 * Asks engines that know nothing of Sluice what rows Delta tables have (engine.py). What an engine cannot represent:
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

/** How tables in a bucket are reached. */
export interface S3Access {
  readonly endpoint: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export interface ReadJob {
  readonly tables: readonly LakeTable[];
  readonly s3?: S3Access;
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

/** Starts one engine, has it read all tables of the job and ends it. {@link Engines} asks the same one again and again. */
export async function readWith(
  environment: ReaderEnvironment,
  reader: ReaderName,
  job: ReadJob,
): Promise<ReaderReport> {
  const engines = new Engines(environment, job.s3 ?? null);
  try {
    return await engines.read(reader, job);
  } finally {
    await engines.close();
  }
}

/** Runs a script of this folder. @returns the lines of its standard output */
export async function runScript(environment: ReaderEnvironment, script: string, input: string): Promise<string[]> {
  const child = spawn(environment.python, [path.join(import.meta.dirname, script)], {
    stdio: 'pipe',
    // No compiled files beside the scripts.
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' },
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
