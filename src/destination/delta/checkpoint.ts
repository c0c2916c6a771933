import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { literal } from '../duckdb/sql-text.js';
import type { ObjectStore } from '../lake/object-store.js';
import type { Action } from './action.js';
import { actionLine } from './action-json.js';
import type { CheckpointTools } from './checkpoint-reader.js';
import { classicCheckpointName, LAST_CHECKPOINT_NAME, logPrefix } from './log-path.js';
import type { DeltaSnapshot } from './snapshot.js';
import { checkpointInterval, removedFileRetentionMs } from './table-property.js';

/**
 * Checkpoints of Sluice's own: classic ones, which every reader knows and every table may have, in the form of V1
 * (PROTOCOL.md, "Checkpoint Schema").
 */

/** Enough files' lines to make the writes large, and no more than that in memory. */
const LINES_A_CHUNK = 1_000;

/** DuckDB takes twice the size of the largest line for a buffer, for each of its threads, and no less than this. */
const LEAST_LINE_BYTES = 16_777_216;

const VECTOR =
  'STRUCT(storageType VARCHAR, pathOrInlineDv VARCHAR, "offset" INTEGER, sizeInBytes INTEGER, cardinality BIGINT)';
const TEXTS = 'MAP(VARCHAR, VARCHAR)';

/** The columns of the file. What an action leaves out is NULL in its row. */
const COLUMNS: ReadonlyArray<readonly [kind: string, type: string]> = [
  ['txn', 'STRUCT(appId VARCHAR, version BIGINT, lastUpdated BIGINT)'],
  [
    'add',
    `STRUCT(path VARCHAR, partitionValues ${TEXTS}, size BIGINT, modificationTime BIGINT, dataChange BOOLEAN,
      stats VARCHAR, tags ${TEXTS}, deletionVector ${VECTOR}, clusteringProvider VARCHAR)`,
  ],
  [
    'remove',
    `STRUCT(path VARCHAR, deletionTimestamp BIGINT, dataChange BOOLEAN, extendedFileMetadata BOOLEAN,
      partitionValues ${TEXTS}, size BIGINT, deletionVector ${VECTOR})`,
  ],
  [
    'metaData',
    `STRUCT(id VARCHAR, name VARCHAR, description VARCHAR, format STRUCT(provider VARCHAR, options ${TEXTS}),
      schemaString VARCHAR, partitionColumns VARCHAR[], configuration ${TEXTS}, createdTime BIGINT)`,
  ],
  [
    'protocol',
    'STRUCT(minReaderVersion INTEGER, minWriterVersion INTEGER, readerFeatures VARCHAR[], writerFeatures VARCHAR[])',
  ],
  ['domainMetadata', 'STRUCT(domain VARCHAR, configuration VARCHAR, removed BOOLEAN)'],
];

export interface WrittenCheckpoint {
  readonly version: number;
  readonly actions: number;
  readonly sizeBytes: number;
}

/** Whether a table that has just reached this version is due for a checkpoint: every 10 commits, or as the table says. */
export function checkpointDue(version: number, configuration: Readonly<Record<string, string>>): boolean {
  return version > 0 && version % checkpointInterval(configuration) === 0;
}

/**
 * Writes a checkpoint of the snapshot, then `_last_checkpoint`. Two PUTs. Somebody else's of the same version says the same.
 * @param now for the tombstones: those whose retention is over are left out
 * @throws SluiceError STORE_UNREACHABLE; DELTA_FEATURE_UNSUPPORTED for a retention that cannot be read
 */
export async function writeCheckpoint(
  store: ObjectStore,
  table: string,
  snapshot: DeltaSnapshot,
  tools: CheckpointTools,
  now: Date,
  signal?: AbortSignal,
): Promise<WrittenCheckpoint> {
  const lines = join(tools.tempFolder, `checkpoint-${randomUUID()}.json`);
  const parquet = `${lines}.parquet`;
  try {
    let actions = 0;
    let longest = 0;
    const counted = function* (): Generator<string> {
      let chunk: string[] = [];
      for (const action of checkpointActions(snapshot, now)) {
        const line = actionLine(action);
        actions += 1;
        longest = Math.max(longest, Buffer.byteLength(line));
        chunk.push(line);
        if (chunk.length === LINES_A_CHUNK) {
          yield `${chunk.join('\n')}\n`;
          chunk = [];
        }
      }
      yield `${chunk.join('\n')}\n`;
    };
    await pipeline(Readable.from(counted()), createWriteStream(lines), signal === undefined ? {} : { signal });
    await tools.connection.run(copySql(lines, parquet, longest));
    const { size: sizeBytes } = await stat(parquet);
    await store.upload(parquet, logPrefix(table) + classicCheckpointName(snapshot.version), signal);
    await writeHint(store, table, snapshot, { actions, sizeBytes }, signal);
    return { version: snapshot.version, actions, sizeBytes };
  } finally {
    await rm(lines, { force: true });
    await rm(parquet, { force: true });
  }
}

/** All that a reader needs to know of the table at that version. */
export function* checkpointActions(snapshot: DeltaSnapshot, now: Date): Generator<Action> {
  const { configuration } = snapshot.metadata;
  const oldest = now.getTime() - removedFileRetentionMs(configuration);
  yield { protocol: snapshot.protocol };
  yield { metaData: snapshot.metadata };
  for (const txn of snapshot.transactions.values()) yield { txn };
  for (const domainMetadata of snapshot.domains.values()) yield { domainMetadata };
  // A checkpoint is no change of data: a reader that streams the log must not take its files for new ones. The statistics
  // stay as JSON even where `delta.checkpoint.writeStatsAsJson` is off: a deletion vector needs its file's number of rows.
  for (const add of snapshot.files.values()) yield { add: { ...add, dataChange: false } };
  for (const remove of snapshot.tombstones.values()) {
    // Without a time it counts as removed long ago, as the protocol's own writer has it.
    if ((remove.deletionTimestamp ?? 0) > oldest) yield { remove: { ...remove, dataChange: false } };
  }
}

/** @param longest bytes of the longest line */
function copySql(lines: string, parquet: string, longest: number): string {
  const columns = COLUMNS.map(([kind, type]) => `${literal(kind)}: ${literal(type)}`).join(', ');
  return `COPY (
      SELECT * FROM read_json(${literal(lines)}, format = 'newline_delimited', columns = {${columns}},
        maximum_object_size = ${Math.max(longest + 1, LEAST_LINE_BYTES)})
    ) TO ${literal(parquet)} (FORMAT parquet, COMPRESSION snappy)`;
}

/** Where readers begin to look. It is a hint: an older one that wins a race is only slower. */
async function writeHint(
  store: ObjectStore,
  table: string,
  snapshot: DeltaSnapshot,
  written: { readonly actions: number; readonly sizeBytes: number },
  signal: AbortSignal | undefined,
): Promise<void> {
  const hint = {
    version: snapshot.version,
    size: written.actions,
    sizeInBytes: written.sizeBytes,
    numOfAddFiles: snapshot.files.size,
  };
  await store.put(logPrefix(table) + LAST_CHECKPOINT_NAME, Buffer.from(JSON.stringify(hint)), null, signal);
}
