import path from 'node:path';
import { listLog } from '../../src/destination/delta/log-listing.js';
import { openTable } from '../../src/destination/delta/log-reader.js';
import { vacuumTable } from '../../src/destination/delta/maintenance/vacuum.js';
import { type DeltaType, deltaType } from '../../src/destination/delta/schema.js';
import type { DuckDbSession } from '../../src/destination/duckdb/session.js';
import { identifier, qualified } from '../../src/destination/duckdb/sql-text.js';
import { readLake } from '../../src/destination/lake/lake-reader.js';
import type { LakeThreadSettings } from '../../src/destination/lake/lake-writer.js';
import { readLedgers } from '../../src/destination/lake/ledger-store.js';
import { type OpenLake, openLake } from '../../src/destination/lake/open-lake.js';
import { systemDeps } from '../../src/destination/lake/store/system-deps.js';
import type { Vacuumed } from '../../src/destination/maintenance.js';
import { type Cell, cellOfDuckDb } from './canonical.js';
import type { LakeTable } from './readers.js';

/** The tables of a lake that Sluice wrote, as its readers are told of them, with the rows that Sluice itself reads. */

export interface WrittenTable extends LakeTable {
  /** The table's name in Postgres. */
  readonly source: string;
  readonly isHistory: boolean;
  /** In the order of the columns. */
  readonly rows: readonly (readonly Cell[])[];
}

export async function writtenTables(settings: LakeThreadSettings): Promise<WrittenTable[]> {
  return withLake(settings, async (lake, session) => {
    const tables: WrittenTable[] = [];
    for (const { ledger } of (await readLedgers(lake.store, new Map())).values()) {
      for (const { schema, name, folder, columns } of ledger.relations) {
        const told = columns.map((column) => ({ name: column.name, type: typeText(deltaType(column.type)) }));
        const answer = await session.connection.runAndReadAll(
          `SELECT ${told.map((column) => identifier(column.name)).join(', ')} FROM ${qualified({ schema, name })}`,
        );
        tables.push({
          name,
          location: locationOf(settings, folder),
          columns: told,
          source: name.replace(/_cdc$/, ''),
          isHistory: name.endsWith('_cdc'),
          rows: answer.getRows().map((row) => row.map((cell, i) => cellOfDuckDb(told[i]?.type ?? '', cell))),
        });
      }
    }
    return tables;
  });
}

/** What lies in a table's log. */
export interface TableLog {
  readonly name: string;
  /** Of the last commit. */
  readonly version: number;
  /** Of the oldest commit that is there. */
  readonly oldest: number;
  /** Versions of the checkpoints that Sluice wrote, which others write too. */
  readonly ownCheckpoints: readonly number[];
}

export async function tableLogs(settings: LakeThreadSettings): Promise<TableLog[]> {
  return withLake(settings, async ({ store }) => {
    const logs: TableLog[] = [];
    for (const { ledger } of (await readLedgers(store, new Map())).values()) {
      for (const { folder, name } of ledger.relations) {
        const listed = await listLog(store, folder, null);
        const commits = listed.flatMap(({ file }) => (file.kind === 'commit' ? [file.version] : []));
        const ownCheckpoints: number[] = [];
        for (const { file, info } of listed) {
          if (file.kind !== 'classic_checkpoint') continue;
          const parquet = await store.get(info.key);
          // Its footer names its writer.
          if (parquet !== null && Buffer.from(parquet.body).includes('DuckDB version'))
            ownCheckpoints.push(file.version);
        }
        logs.push({ name, version: Math.max(...commits), oldest: Math.min(...commits), ownCheckpoints });
      }
    }
    return logs;
  });
}

/** Beyond every retention: a log is kept for 30 days. */
const LONG_AFTER_MS = 60 * 86_400_000;

/**
 * Vacuums every table as if all that it has were old. The command would not: it goes by the clock of an S3 server too.
 * Nothing may write to the lake meanwhile.
 */
export async function vacuumOldTables(settings: LakeThreadSettings): Promise<Vacuumed[]> {
  return withLake(settings, async ({ store }, session) => {
    const tools = { connection: session.connection, tempFolder: `${settings.workFolder}-reader` };
    const now = new Date(Date.now() + LONG_AFTER_MS);
    const done: Vacuumed[] = [];
    for (const { ledger } of (await readLedgers(store, new Map())).values()) {
      for (const { folder } of ledger.relations) {
        const snapshot = await openTable(store, folder, tools);
        if (snapshot === null) throw new Error(`there is no table in ${folder}`);
        done.push(await vacuumTable(store, { folder, snapshot, pending: [], retentionMs: 0, dryRun: false, now }));
      }
    }
    return done;
  });
}

async function withLake<T>(
  settings: LakeThreadSettings,
  work: (lake: OpenLake, session: DuckDbSession) => Promise<T>,
): Promise<T> {
  const workFolder = `${settings.workFolder}-reader`;
  const lake = await openLake({ ...settings, workFolder }, systemDeps('sluice test'));
  const { memoryLimitMb, threads } = settings.session;
  const session = await readLake({ memoryLimitMb, threads, workFolder }, lake, null);
  try {
    return await work(lake, session);
  } finally {
    session.close();
    await lake.store.close();
  }
}

function locationOf({ store }: LakeThreadSettings, folder: string): string {
  if (store.type === 'local') return path.join(store.path, folder);
  return `s3://${[store.s3.bucket, store.s3.prefix, folder].filter((part) => part !== '').join('/')}`;
}

/** As Delta's schemas and canonical.ts write it. */
function typeText(type: DeltaType): string {
  switch (type.kind) {
    case 'plain':
      return type.name;
    case 'decimal':
      return `decimal(${type.precision},${type.scale})`;
    case 'array':
      return `array<${typeText(type.element)}>`;
    case 'opaque':
      throw new Error(`Sluice wrote a column of type ${JSON.stringify(type.json)}`);
  }
}
