import type { DuckDbSession } from '../duckdb/session.js';
import { columnList } from '../duckdb/sql-text.js';
import { freshId, type ParquetTools, writeFiles } from './data-files.js';
import { liveRows, type TableFiles } from './live-rows.js';
import { COMMIT_COLUMN, filesOf, type Manifest, REMOVED_COLUMN, retire, snapshotPath } from './manifest.js';

/** When a table gets a new snapshot: readers have to look through its changes with every query. */
export interface CompactionSettings {
  /** Rows of the changes, as a part of the snapshot's. */
  readonly changedRatio: number;
  /** Files of changes. */
  readonly changeFiles: number;
}

export const COMPACTION: CompactionSettings = { changedRatio: 0.5, changeFiles: 200 };

/** Changes of fewer rows than this are read in no time, whatever the snapshot has. */
const FEW_ROWS = 10_000;

export function isOutgrown(
  { snapshot, changes }: Pick<Manifest, 'snapshot' | 'changes'>,
  settings: CompactionSettings,
): boolean {
  if (changes.length === 0) return false;
  if (changes.length >= settings.changeFiles) return true;
  const changed = sumOf(changes);
  return changed > FEW_ROWS && changed > settings.changedRatio * sumOf(snapshot.files);
}

function sumOf(files: readonly { readonly rows: number }[]): number {
  return files.reduce((sum, { rows }) => sum + rows, 0);
}

/**
 * Writes the table as it is as a new snapshot. Rows keep the number of their commit, and the table keeps its own: a commit
 * that was prepared before still follows.
 * @returns the manifest that names it; null where the changes are few
 */
export async function compacted(
  session: DuckDbSession,
  table: {
    readonly folder: string;
    readonly manifest: Manifest;
    readonly files: TableFiles;
    readonly settings: CompactionSettings;
  },
  tools: ParquetTools,
): Promise<Manifest | null> {
  const { folder, manifest, files: before, settings } = table;
  if (!isOutgrown(manifest, settings)) return null;
  const { columns, key, commit } = manifest;
  const generation = manifest.snapshot.generation + 1;
  const path = snapshotPath(generation, freshId());
  const names = columnList([...columns.map(({ name }) => name), COMMIT_COLUMN]);
  const query = `SELECT ${names}, false AS ${REMOVED_COLUMN} FROM (${liveRows(before, columns, { kind: 'all' }, null)})`;
  const files = await writeFiles(session, { folder, query, columns, sortedBy: key, path: `${path}/part` }, tools);
  const snapshot = { path, generation, commit, files };
  const now = tools.now();
  return {
    ...manifest,
    ...{ written_at: now.toISOString(), retired: retire(manifest, generation, now) },
    ...{ files: filesOf({ snapshot, changes: [] }), snapshot, changes: [] },
  };
}
