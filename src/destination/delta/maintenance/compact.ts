import { randomUUID } from 'node:crypto';
import { SluiceError } from '../../../error/sluice-error.js';
import { failpoint } from '../../../thread/failpoint.js';
import type { DuckDbSession } from '../../duckdb/session.js';
import { columnList } from '../../duckdb/sql-text.js';
import type { LakeColumn } from '../../lake/ledger.js';
import type { Action, AddAction } from '../action.js';
import { removeOf } from '../change-actions.js';
import { type CommitResult, commitActions, maintenanceOver, type PreparedCommit } from '../commit.js';
import { dataFileKey, type VectorReader } from '../data-file.js';
import { type DataFileTools, readableFiles, writeDataFiles } from '../data-files.js';
import type { DeletionVector } from '../deletion-vector/deletion-vector.js';
import { partitionNames } from '../partition-values.js';
import { deletedRowsTable } from '../positions.js';
import { liveRows } from '../pull-rows.js';
import type { DeltaSnapshot } from '../snapshot.js';
import { rowCount } from '../stats.js';

export interface Rewrite {
  readonly folder: string;
  readonly snapshot: DeltaSnapshot;
  /** All of one partition. */
  readonly files: readonly AddAction[];
  readonly columns: readonly LakeColumn[];
  /** By which the new files are sorted; [] for no order. */
  readonly order: readonly string[];
  readonly engineInfo: string;
  readonly now: Date;
}

const GONE = 'compact_gone';

/**
 * Writes the live rows of files anew, as files of the target's size, and commits that as maintenance: no reader sees a
 * change. Where others touched the same files meanwhile it stops, and the new files are removed again.
 * @returns null after such a stop, with why
 */
export async function rewriteFiles(
  session: DuckDbSession,
  rewrite: Rewrite,
  vectors: VectorReader,
  tools: DataFileTools,
): Promise<{ readonly result: CommitResult; readonly adds: readonly AddAction[] } | { readonly stopped: string }> {
  const { folder, snapshot, files, now } = rewrite;
  const adds = await writeLiveRows(session, rewrite, vectors, tools);
  await failpoint('after_compaction_upload');
  const actions: Action[] = [
    ...files.map((add): Action => ({ remove: removeOf(add, now.getTime(), false) })),
    ...adds.map((add): Action => ({ add })),
  ];
  const commit: PreparedCommit = {
    actions,
    appId: '',
    txnVersion: null,
    commitId: randomUUID(),
    operation: 'OPTIMIZE',
    timestamp: now.getTime(),
    engineInfo: rewrite.engineInfo,
  };
  try {
    const result = await commitActions(tools.store, folder, { snapshot, commit, decide: maintenanceOver });
    await failpoint('after_compaction');
    return { result, adds };
  } catch (error) {
    if (!(error instanceof SluiceError) || !STOPS.includes(error.code)) throw error;
    await tools.store.delete(adds.map((add) => dataFileKey(folder, add)));
    return { stopped: error.message };
  }
}

/** After these the commit has certainly not taken effect. */
const STOPS: readonly string[] = ['DELTA_FOREIGN_WRITE', 'DELTA_CONTENDED'];

async function writeLiveRows(
  session: DuckDbSession,
  { folder, files, columns, order }: Rewrite,
  vectors: VectorReader,
  tools: DataFileTools,
): Promise<AddAction[]> {
  const gone = new Map<number, DeletionVector>();
  let expected: number | null = 0;
  for (const [index, add] of files.entries()) {
    const vector = await vectors.read(folder, add);
    if (vector.cardinality > 0) gone.set(index, vector);
    const rows = rowCount(add.stats);
    expected = expected === null || rows === null ? null : expected + rows - vector.cardinality;
  }
  const readable = await readableFiles(tools.cache, folder, files);
  if (gone.size > 0) await deletedRowsTable(session, GONE, gone);
  try {
    const partition = partitionNames(files);
    const rows = await liveRows(session, columns, readable, gone.size > 0 ? GONE : null);
    const by = order.filter((name) => !partition.includes(name));
    const query = by.length === 0 ? rows : `SELECT * FROM (${rows}) ORDER BY ${columnList(by)}`;
    const values = files[0]?.partitionValues ?? {};
    const adds = await writeDataFiles(session, query, { folder, columns }, false, tools, values);
    const written = adds.reduce((sum, add) => sum + (rowCount(add.stats) ?? 0), 0);
    if (expected === null || written === expected) return adds;
    await tools.store.delete(adds.map((add) => dataFileKey(folder, add)));
    throw new SluiceError({
      code: 'INTERNAL',
      message: `${files.length} files of ${folder} hold ${expected} rows, but ${written} were read of them; nothing was changed`,
    });
  } finally {
    if (gone.size > 0) await session.run(`DROP TABLE IF EXISTS ${GONE}`);
  }
}
