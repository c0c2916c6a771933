import { readdir, rm } from 'node:fs/promises';
import { expect } from 'vitest';
import type { EngineFixture } from '../engine-fixture.js';
import type { KillWorld } from './kill-world.js';
import { type CliEnd, runCli } from './killed-cli.js';

/** What a process that writes a lake can die of, and what it may leave. */

export interface Death {
  /** As SLUICE_FAILPOINT takes it. */
  readonly at: string;
  /** In what a process comes there: the changes of a sync, a load, a load that another one has begun, or `optimize`. */
  readonly in: 'stream' | 'load' | 'resumed_load' | 'compaction';
}

/** Each step of a commit, some of them also between the commits of several tables. */
export const LAKE_DEATHS: readonly Death[] = [
  { at: 'before_data_commit', in: 'stream' },
  { at: 'after_lake_upload', in: 'stream' },
  { at: 'after_lake_upload@2', in: 'stream' },
  { at: 'after_ledger', in: 'stream' },
  { at: 'after_ledger@2', in: 'stream' },
  { at: 'after_table_commit', in: 'stream' },
  { at: 'after_table_commit@2', in: 'stream' },
  { at: 'after_table_commit@4', in: 'stream' },
  { at: 'after_data_commit', in: 'stream' },
  { at: 'after_confirm', in: 'stream' },
  { at: 'after_compaction_upload', in: 'compaction' },
  { at: 'after_compaction', in: 'compaction' },
  { at: 'after_load_part', in: 'load' },
  { at: 'after_load_rebase', in: 'resumed_load' },
  { at: 'before_load_finish', in: 'load' },
  { at: 'in_swap', in: 'load' },
  { at: 'after_load_finish', in: 'load' },
];

/**
 * Has a command die there, or end where it does not come there.
 * @param loaded of which tables loads are asked for, where only a load comes there
 */
export async function dieAt(fixture: EngineFixture, death: Death, loaded: readonly string[]): Promise<CliEnd> {
  if (death.in === 'load') await fixture.resync(...loaded);
  await fixture.close();
  const args = death.in === 'compaction' ? ['optimize'] : ['sync', '--force', '--until-caught-up'];
  const end = await runCli(fixture, args, { failpoint: death.at });
  expect(end.signal === 'SIGKILL' || end.code === 0, end.output).toBe(true);
  return end;
}

export type LakeFormat = 'dv' | 'cow' | 'parquet';

export interface KilledLake {
  readonly format: LakeFormat;
  readonly place: 'folder' | 'bucket';
}

/** Every format in both places. */
export const KILLED_LAKES: readonly KilledLake[] = (['folder', 'bucket'] as const).flatMap((place) =>
  (['dv', 'cow', 'parquet'] as const).map((format) => ({ format, place })),
);

/** Settings of a lake as a destination. @param bucket where its bucket is served, with `postgres`'s password as both keys */
export function killedLake(
  { format, place }: KilledLake,
  bucket: { readonly endpoint: string; readonly prefix: string } | null,
): Record<string, unknown> {
  const written = format === 'parquet' ? { format } : { format: 'delta', deletes: format };
  if (place === 'folder') return { type: 'local', path: 'lake', ...written };
  const key = { env: 'FIXTURE_PASSWORD' };
  const reached = { bucket: 'lake', ...bucket, force_path_style: true, access_key_id: key, secret_access_key: key };
  return { type: 's3', ...reached, ...written };
}

export async function forgetWork(fixture: EngineFixture): Promise<void> {
  await fixture.close();
  await rm(fixture.workFolder, { recursive: true, force: true });
}

/** What is wrong after a whole run that followed on deaths. */
export async function lakeProblems(world: KillWorld): Promise<string[]> {
  return [...(await world.differences(true)), ...(await world.leftovers())];
}

/** Beside the working file and the cache nothing may be left in the working folder, and in the file no load. */
export async function workLeft(fixture: EngineFixture): Promise<string[]> {
  const files = await readdir(fixture.workFolder);
  const rows = await fixture.readWork((duckdb) =>
    duckdb.rows(
      `SELECT schema_name || '.' || table_name FROM duckdb_tables()
       WHERE table_name LIKE '%\\_load\\_%' ESCAPE '\\' OR table_name LIKE 'held %' OR table_name LIKE 'rejected %'
         OR (schema_name <> '_sluice' AND estimated_size > 0)`,
    ),
  );
  const odd = files.filter((file) => !['work.duckdb', 'cache'].includes(file));
  return [...odd, ...rows.flat().map(String)].map((name) => `${name} was left in the working folder`);
}
