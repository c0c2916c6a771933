import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { DuckDBConnection } from '@duckdb/node-api';
import { causeText, SluiceError } from '../../error/sluice-error.js';
import { identifier, literal } from '../duckdb/sql-text.js';
import type { ObjectInfo, ObjectStore } from '../lake/object-store.js';
import type { Action } from './action.js';
import type { CheckpointFiles } from './log-listing.js';
import { logPrefix, sidecarName } from './log-path.js';
import { parseAction, parseLine, readAction, readSidecar } from './parse-action.js';

/** What reads and writes Parquet here, and where files may lie meanwhile. */
export interface CheckpointTools {
  /** Any connection of DuckDB's; nothing is left behind in its database. */
  readonly connection: DuckDBConnection;
  /** A folder of the local disk that exists. */
  readonly tempFolder: string;
}

/** The fields of each action that are read, so that wide ones (stats_parsed) stay in the file. */
const FIELDS: Readonly<Record<string, readonly string[]>> = {
  protocol: ['minReaderVersion', 'minWriterVersion', 'readerFeatures', 'writerFeatures'],
  metaData: ['id', 'name', 'description', 'format', 'schemaString', 'partitionColumns', 'configuration', 'createdTime'],
  txn: ['appId', 'version', 'lastUpdated'],
  domainMetadata: ['domain', 'configuration', 'removed'],
  sidecar: ['path'],
  add: [
    'path',
    'partitionValues',
    'size',
    'modificationTime',
    'dataChange',
    'stats',
    'tags',
    'deletionVector',
    'clusteringProvider',
  ],
  remove: [
    'path',
    'deletionTimestamp',
    'dataChange',
    'extendedFileMetadata',
    'partitionValues',
    'size',
    'deletionVector',
  ],
};

/**
 * Reads a checkpoint of any form, sidecars too, a chunk of rows at a time.
 * @param take called with each action, in no order
 * @throws SluiceError DELTA_LOG_CORRUPT, STORE_OBJECT_MISSING where somebody cleans up the log meanwhile
 */
export async function readCheckpoint(
  store: ObjectStore,
  table: string,
  checkpoint: CheckpointFiles,
  tools: CheckpointTools,
  take: (action: Action) => void,
  signal?: AbortSignal,
): Promise<void> {
  const sidecars: string[] = [];
  for (const info of checkpoint.files) {
    if (checkpoint.format === 'json') await readJson(store, info, take, sidecars, signal);
    else await readParquet(store, info.key, tools, take, sidecars, signal);
  }
  for (const file of sidecars) {
    await readParquet(store, logPrefix(table) + sidecarName(file), tools, take, [], signal);
  }
}

async function readJson(
  store: ObjectStore,
  info: ObjectInfo,
  take: (action: Action) => void,
  sidecars: string[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const stored = await store.get(info.key, signal);
  if (stored === null) {
    throw new SluiceError({ code: 'STORE_OBJECT_MISSING', message: `${store.place}/${info.key} is not there` });
  }
  const lines = Buffer.from(stored.body).toString('utf8').split('\n');
  lines.forEach((line, i) => {
    if (line.trim() === '') return;
    const place = `${info.key}, line ${i + 1}`;
    const sidecar = readSidecar(parseLine(line, place), place);
    if (sidecar !== null) sidecars.push(sidecar);
    const action = sidecar === null ? parseAction(line, place) : null;
    if (action !== null) take(action);
  });
}

async function readParquet(
  store: ObjectStore,
  key: string,
  tools: CheckpointTools,
  take: (action: Action) => void,
  sidecars: string[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const fetched = store.folder === null ? join(tools.tempFolder, `checkpoint-${randomUUID()}.parquet`) : null;
  const path = fetched ?? join(store.folder ?? '', key);
  try {
    if (fetched !== null) await store.download(key, fetched, signal);
    const { connection } = tools;
    for (const [kind, select] of await selections(connection, path, key)) {
      signal?.throwIfAborted();
      const result = await asCorrupt(key, () => connection.stream(select));
      for (;;) {
        const chunk = await asCorrupt(key, () => result.fetchChunk());
        if (chunk === null || chunk.rowCount === 0) break;
        for (const text of chunk.getColumnValues(0)) {
          if (typeof text !== 'string') continue;
          const json = { [kind]: parseLine(text, key) };
          const sidecar = readSidecar(json, key);
          if (sidecar !== null) sidecars.push(sidecar);
          const action = sidecar === null ? readAction(json, key) : null;
          if (action !== null) take(action);
        }
      }
    }
  } finally {
    if (fetched !== null) await rm(fetched, { force: true });
  }
}

/** A SELECT of JSON texts for each kind of action that the file has a column for. */
async function selections(
  connection: DuckDBConnection,
  path: string,
  key: string,
): Promise<ReadonlyArray<readonly [kind: string, sql: string]>> {
  const file = `read_parquet(${literal(path)})`;
  const kinds = await columns(connection, `SELECT * FROM ${file}`, key);
  const selects: [string, string][] = [];
  for (const [kind, wanted] of Object.entries(FIELDS)) {
    if (!kinds.includes(kind)) continue;
    const column = identifier(kind);
    const present = await columns(connection, `SELECT unnest(${column}) FROM ${file}`, key);
    const fields = wanted
      .filter((field) => present.includes(field))
      .map((field) => `${identifier(field)}: ${column}.${identifier(field)}`);
    if (kind === 'add' && present.includes('stats_parsed')) withParsedStats(fields, present);
    selects.push([kind, `SELECT to_json({${fields.join(', ')}})::VARCHAR FROM ${file} WHERE ${column} IS NOT NULL`]);
  }
  return selects;
}

/**
 * A table may keep its statistics as columns alone. How many rows a file has must not be lost with them, since a deletion
 * vector needs it; bounds are made anew when the file is.
 */
function withParsedStats(fields: string[], present: readonly string[]): void {
  const parsed = `CASE WHEN "add"."stats_parsed" IS NULL THEN NULL
    ELSE '{"numRecords":' || "add"."stats_parsed"."numRecords"::BIGINT || '}' END`;
  if (!present.includes('stats')) fields.push(`stats: ${parsed}`);
  else {
    const i = fields.findIndex((field) => field.startsWith('"stats":'));
    fields[i] = `stats: coalesce("add"."stats", ${parsed})`;
  }
}

async function columns(connection: DuckDBConnection, select: string, key: string): Promise<readonly string[]> {
  const reader = await asCorrupt(key, () => connection.runAndReadAll(`DESCRIBE ${select}`));
  return reader.getRows().flatMap(([name]) => (typeof name === 'string' ? [name] : []));
}

async function asCorrupt<T>(key: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    throw new SluiceError({
      code: 'DELTA_LOG_CORRUPT',
      message: `the checkpoint ${key} cannot be read: ${causeText(cause)}`,
      hint: 'delete the file and `_last_checkpoint` beside it if the commits before it are still there',
      cause,
    });
  }
}
