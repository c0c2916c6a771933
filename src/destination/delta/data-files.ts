import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Json } from '@duckdb/node-api';
import type { DuckDbSession } from '../duckdb/session.js';
import { literal } from '../duckdb/sql-text.js';
import type { FileCache } from '../lake/file-cache.js';
import type { LakeColumn } from '../lake/ledger.js';
import type { ObjectStore } from '../lake/object-store.js';
import { copyWithZeroSigns } from '../lake/zero-signs.js';
import type { AddAction } from './action.js';
import { dataFileKey } from './data-file.js';
import type { PartitionValues } from './partition-values.js';
import type { PullFiles, ReadableFile } from './pull-rows.js';
import { deltaField } from './schema.js';
import { writtenFile } from './stats.js';

/** Rows of the working file as data files of a table, and back. */

export interface DataFileTools {
  readonly store: ObjectStore;
  readonly cache: FileCache;
  /** Where files are written before they are sent. */
  readonly folder: string;
  readonly targetFileMb: number;
  readonly now: () => Date;
}

/** Of mixed rows, level 1 made files no larger than the usual 3 did, in two thirds of the CPU time. */
const ZSTD_LEVEL = 1;

/**
 * Writes what a query gives as Parquet and sends it: as many files as it takes, none for no rows.
 * @param partitionValues of all of the rows
 * @returns their add actions, without deletion vectors
 */
export async function writeDataFiles(
  session: DuckDbSession,
  query: string,
  table: { readonly folder: string; readonly columns: readonly LakeColumn[] },
  dataChange: boolean,
  tools: DataFileTools,
  partitionValues: PartitionValues = {},
): Promise<AddAction[]> {
  const local = path.join(tools.folder, `out-${randomUUID()}`);
  await mkdir(tools.folder, { recursive: true });
  try {
    const { folder, columns } = table;
    // The log says what the values of partition columns are: those have no statistics.
    const fields = columns
      .filter(({ name }) => !Object.hasOwn(partitionValues, name))
      .map(({ name, type }) => deltaField({ name, duckdbType: type, nullable: true }));
    const written = await copyWithZeroSigns(session, local, { query, columns }, (options) =>
      session.rows<Record<string, Json>>(
        `COPY (${query}) TO ${literal(local)} (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL ${ZSTD_LEVEL}, ROW_GROUP_SIZE_BYTES ${session.rowGroupBytes}, FILE_SIZE_BYTES '${tools.targetFileMb}MB',
           FILENAME_PATTERN 'part-{uuid}', WRITE_EMPTY_FILE false, RETURN_STATS${options})`,
      ),
    );
    const adds: AddAction[] = [];
    for (const row of written) {
      const file = writtenFile(row, fields);
      if (file.rows === 0) continue;
      const name = path.basename(file.path);
      const size = await tools.store.upload(file.path, `${folder}/${name}`);
      await tools.cache.adopt(file.path, `${folder}/${name}`);
      adds.push({
        path: name,
        partitionValues,
        size,
        modificationTime: tools.now().getTime(),
        dataChange,
        stats: file.stats,
      });
    }
    return adds;
  } finally {
    await rm(local, { recursive: true, force: true });
  }
}

/** Live files as DuckDB reads them, each by its place in the list; what is missing in the cache is fetched. */
export async function readableFiles(
  cache: FileCache,
  folder: string,
  adds: readonly AddAction[],
): Promise<ReadableFile[]> {
  return readable(adds, [...adds.keys()], await cache.files(adds.map((add) => dataFileKey(folder, add))));
}

/** The same, of which no more is fetched than rows are pulled from. */
export async function pullableFiles(
  session: DuckDbSession,
  cache: FileCache,
  folder: string,
  adds: readonly AddAction[],
): Promise<PullFiles> {
  const files = adds.map((add) => ({ key: dataFileKey(folder, add), sizeBytes: add.size }));
  const all = [...files.keys()];
  return {
    areNear: await cache.areNear(files),
    columns: async (names) => readable(adds, all, await cache.columns(session, files, names)),
    whole: async (indexes) => {
      const chosen = indexes === 'all' ? all : all.filter((index) => indexes.includes(index));
      return readable(adds, chosen, await cache.files(chosen.flatMap((index) => files[index]?.key ?? [])));
    },
  };
}

/** @param indexes of the files that lie at these paths, in turn */
function readable(adds: readonly AddAction[], indexes: readonly number[], paths: readonly string[]): ReadableFile[] {
  return paths.flatMap((path, i) => {
    const index = indexes[i];
    return index === undefined ? [] : [{ index, path, partitionValues: adds[index]?.partitionValues ?? {} }];
  });
}
