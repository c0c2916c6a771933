import { randomUUID } from 'node:crypto';
import type { DuckDbSession } from '../duckdb/session.js';
import type { LakeColumn } from '../lake/ledger.js';
import type { Action, AddAction, RemoveAction } from './action.js';
import type { VectorReader } from './data-file.js';
import { type DataFileTools, readableFiles } from './data-files.js';
import type { DeletionVector } from './deletion-vector/deletion-vector.js';
import { writeVectorFile } from './deletion-vector/deletion-vector-file.js';
import { storedDescriptor, vectorFileName, vectorId } from './deletion-vector/descriptor.js';
import { partitionNames } from './partition-values.js';
import { writePartitions } from './partitioned-files.js';
import { deletedRowsTable } from './positions.js';
import { liveRows } from './pull-rows.js';
import { rowCount, wideStats } from './stats.js';

/** The actions that take rows out of files: by deletion vectors, or by writing the files anew without them. */

export interface TouchedFile {
  readonly add: AddAction;
  /** Rows that go, beside those that are gone. */
  readonly rows: DeletionVector;
}

export function removeOf(add: AddAction, timestampMs: number, dataChange: boolean): RemoveAction {
  return {
    path: add.path,
    deletionTimestamp: timestampMs,
    dataChange,
    extendedFileMetadata: true,
    partitionValues: add.partitionValues,
    size: add.size,
    ...(add.deletionVector === null || add.deletionVector === undefined ? {} : { deletionVector: add.deletionVector }),
  };
}

/** Puts the rows that go into the files' deletion vectors, all in one new file. A file that has no row left goes as a whole. */
export async function deleteByVectors(
  folder: string,
  touched: readonly TouchedFile[],
  vectors: VectorReader,
  tools: DataFileTools,
): Promise<Action[]> {
  const now = tools.now().getTime();
  const actions: Action[] = [];
  const rest: { add: AddAction; vector: DeletionVector }[] = [];
  for (const { add, rows } of touched) {
    const vector = (await vectors.read(folder, add)).union(rows);
    actions.push({ remove: removeOf(add, now, true) });
    if (vector.cardinality !== rowCount(add.stats)) rest.push({ add, vector });
  }
  if (rest.length === 0) return actions;
  const uuid = randomUUID();
  const { bytes, placements } = writeVectorFile(rest.map(({ vector }) => vector));
  await tools.store.put(`${folder}/${vectorFileName(uuid)}`, bytes, null);
  for (const [i, { add, vector }] of rest.entries()) {
    const placement = placements[i];
    if (placement === undefined) continue;
    const deletionVector = storedDescriptor(uuid, placement);
    vectors.remember(`${folder}\n${vectorId(deletionVector)}`, vector);
    actions.push({ add: { ...add, dataChange: true, stats: wideStats(add.stats, add.path), deletionVector } });
  }
  return actions;
}

/** Writes what stays of the files anew, each row in the partition where it is. */
export async function deleteByRewriting(
  session: DuckDbSession,
  request: {
    readonly folder: string;
    readonly columns: readonly LakeColumn[];
    readonly touched: readonly TouchedFile[];
  },
  vectors: VectorReader,
  tools: DataFileTools,
): Promise<Action[]> {
  const { folder, columns, touched } = request;
  const now = tools.now().getTime();
  const gone = new Map<number, DeletionVector>();
  for (const [index, { add, rows: more }] of touched.entries()) {
    gone.set(index, (await vectors.read(folder, add)).union(more));
  }
  const old = touched.map(({ add }) => add);
  const files = await readableFiles(tools.cache, folder, old);
  await deletedRowsTable(session, 'rewrite_gone', gone);
  const rows = await liveRows(session, columns, files, 'rewrite_gone');
  const adds = await writePartitions(session, rows, { folder, columns, partitionBy: partitionNames(old) }, true, tools);
  await session.run('DROP TABLE rewrite_gone');
  return [...old.map((add): Action => ({ remove: removeOf(add, now, true) })), ...adds.map((add): Action => ({ add }))];
}
