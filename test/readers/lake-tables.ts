import path from 'node:path';
import { writeCheckpoint } from '../../src/destination/delta/checkpoint.js';
import { openTable } from '../../src/destination/delta/log-reader.js';
import { type DeltaType, deltaType } from '../../src/destination/delta/schema.js';
import type { DuckDbSession } from '../../src/destination/duckdb/session.js';
import { identifier, qualified } from '../../src/destination/duckdb/sql-text.js';
import { readLake } from '../../src/destination/lake/lake-reader.js';
import type { LakeThreadSettings } from '../../src/destination/lake/lake-writer.js';
import { readLedgers } from '../../src/destination/lake/ledger-store.js';
import { type OpenLake, openLake } from '../../src/destination/lake/open-lake.js';
import { systemDeps } from '../../src/destination/lake/store/system-deps.js';
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

/**
 * Writes a checkpoint of each table that has come this far and has none.
 * @returns the folders of the tables that have one now
 */
export async function checkpointTables(settings: LakeThreadSettings, fromVersion: number): Promise<string[]> {
  return withLake(settings, async ({ store }, session) => {
    const tools = { connection: session.connection, tempFolder: `${settings.workFolder}-reader` };
    const done: string[] = [];
    for (const { ledger } of (await readLedgers(store, new Map())).values()) {
      for (const { folder } of ledger.relations) {
        const snapshot = await openTable(store, folder, tools);
        if (snapshot === null || snapshot.version < fromVersion) continue;
        if ((await store.get(`${folder}/_delta_log/_last_checkpoint`)) === null) {
          await writeCheckpoint(store, folder, snapshot, tools, new Date());
        }
        done.push(folder);
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
