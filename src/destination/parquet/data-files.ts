import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import type { DuckDbSession } from '../duckdb/session.js';
import { columnList, literal } from '../duckdb/sql-text.js';
import type { FileCache } from '../lake/file-cache.js';
import type { LakeColumn } from '../lake/ledger.js';
import type { ObjectStore } from '../lake/object-store.js';
import { copyWithZeroSigns } from '../lake/zero-signs.js';
import type { ManifestFile } from './manifest.js';

export interface ParquetTools {
  readonly store: ObjectStore;
  readonly cache: FileCache;
  /** Where files are written before they are sent. */
  readonly folder: string;
  readonly targetFileMb: number;
  readonly now: () => Date;
}

/** Rows a row group: what readers skip or read as a whole, and what one of their threads works on. */
const ROW_GROUP_ROWS = 122_880;

export interface FilesToWrite {
  /** The table's folder. */
  readonly folder: string;
  readonly query: string;
  /** What the query gives, at least the table's own. */
  readonly columns: readonly LakeColumn[];
  /** By which rows lie together: readers find a key in few row groups. */
  readonly sortedBy: readonly string[];
  /** Below the folder; `-0.parquet`, `-1.parquet` and so on follow. */
  readonly path: string;
}

/** An id that is new, for names of files. */
export function freshId(): string {
  return randomUUID().slice(0, 8);
}

/** Writes what a query gives as Parquet and sends it: as many files as it takes, an empty one for no rows. */
export async function writeFiles(
  session: DuckDbSession,
  { folder, query, columns, sortedBy, path: target }: FilesToWrite,
  { store, cache, targetFileMb, folder: workFolder }: ParquetTools,
): Promise<ManifestFile[]> {
  const local = path.join(workFolder, `out-${randomUUID()}`);
  await mkdir(local, { recursive: true });
  try {
    const order = sortedBy.length === 0 ? '' : ` ORDER BY ${columnList(sortedBy)}`;
    const rowGroups = `ROW_GROUP_SIZE ${ROW_GROUP_ROWS}, ROW_GROUP_SIZE_BYTES ${session.rowGroupBytes}`;
    const format = `FORMAT parquet, COMPRESSION zstd, ${rowGroups}`;
    const parts = path.join(local, 'parts');
    let written = await copyWithZeroSigns(session, parts, { query, columns }, (options) =>
      session.rows<{ filename: string; count: string }>(
        `COPY (${query}${order}) TO ${literal(parts)} (${format}, FILE_SIZE_BYTES '${targetFileMb}MB',
           WRITE_EMPTY_FILE false, RETURN_STATS${options})`,
      ),
    );
    if (!written.some(({ count }) => Number(count) > 0)) {
      const file = path.join(local, 'empty.parquet');
      await session.run(`COPY (${query} LIMIT 0) TO ${literal(file)} (${format})`);
      written = [{ filename: file, count: '0' }];
    }
    const files: ManifestFile[] = [];
    for (const { filename, count } of written) {
      if (written.length > 1 && Number(count) === 0) continue;
      const name = `${target}-${files.length}.parquet`;
      const key = `${folder}/${name}`;
      const bytes = await store.upload(filename, key);
      await cache.adopt(filename, key);
      files.push({ path: name, rows: Number(count), bytes });
    }
    return files;
  } finally {
    await rm(local, { recursive: true, force: true });
  }
}
