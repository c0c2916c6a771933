import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { expect } from 'vitest';
import type { EngineFixture } from '../engine-fixture.js';
import { readDuckDb } from '../engine-fixture.js';
import type { KillWorld } from './kill-world.js';
import { type CliEnd, runCli } from './killed-cli.js';

/** What a process that writes a lake can die of, and what it may leave. */

export interface Death {
  /** As SLUICE_FAILPOINT takes it. */
  readonly at: string;
  /** Only loads come there. */
  readonly loads: boolean;
}

const stream = (at: string): Death => ({ at, loads: false });
const load = (at: string): Death => ({ at, loads: true });

/** Each step of a commit, some of them also between the commits of several tables. */
export const LAKE_DEATHS: readonly Death[] = [
  stream('before_data_commit'),
  stream('after_lake_upload'),
  stream('after_lake_upload@2'),
  stream('after_ledger'),
  stream('after_ledger@2'),
  stream('after_table_commit'),
  stream('after_table_commit@2'),
  stream('after_table_commit@4'),
  stream('after_data_commit'),
  stream('after_confirm'),
  load('after_load_part'),
  load('before_load_finish'),
  load('in_swap'),
  load('after_load_finish'),
];

/** Has `sluice sync` die there, or end where it does not come there. */
export async function dieAt(fixture: EngineFixture, failpoint: string): Promise<CliEnd> {
  const end = await runCli(fixture, ['sync', '--force', '--until-caught-up'], { failpoint });
  expect(end.signal === 'SIGKILL' || end.code === 0, end.output).toBe(true);
  return end;
}

/** The working folder of the destination, which may go at any time: another machine goes on without it. */
export function workFolder(fixture: EngineFixture): string {
  return path.join(fixture.folder, '.sluice', 'lake', 'warehouse');
}

export async function forgetWork(fixture: EngineFixture): Promise<void> {
  await fixture.close();
  await rm(workFolder(fixture), { recursive: true, force: true });
}

/** What is wrong after a whole run that followed on deaths. */
export async function lakeProblems(world: KillWorld): Promise<string[]> {
  return [...(await world.differences(true)), ...(await workLeft(world.fixture))];
}

/** Beside the working file and the cache nothing may be left in the working folder, and in the file no load. */
async function workLeft(fixture: EngineFixture): Promise<string[]> {
  const folder = workFolder(fixture);
  const files = await readdir(folder);
  const rows = await readDuckDb(path.join(folder, 'work.duckdb'), (duckdb) =>
    duckdb.rows(
      `SELECT schema_name || '.' || table_name FROM duckdb_tables()
       WHERE table_name LIKE '%\\_load\\_%' ESCAPE '\\' OR table_name LIKE 'held %' OR table_name LIKE 'rejected %'
         OR (schema_name <> '_sluice' AND estimated_size > 0)`,
    ),
  );
  const odd = files.filter((file) => !['work.duckdb', 'cache'].includes(file));
  return [...odd, ...rows.flat().map(String)].map((name) => `${name} was left in the working folder`);
}
