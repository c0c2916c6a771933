import { dirname, join } from 'node:path';
import type { LakeSettings } from './config.js';
import type { ConfigPath } from './problem.js';
import type { Reading } from './reading.js';
import type { Pruned } from './schema.js';
import type { LocalDestination, S3Destination } from './schema-types.js';

/** The working file needs as much as a DuckDB destination (read-destination.ts). */
const MEMORY_LIMIT_MB = 256;
const TARGET_FILE_MB = 128;
const CACHE_MB = 4096;
const SMALL_FILE_MB = 32;
const DELETED_RATIO = 0.2;
/** What every reader takes in a folder's name; below others polars and ClickHouse find no table (measured). */
const PLAIN_FOLDERS = /^[A-Za-z0-9._~/-]*$/;

type RawLake = Pruned<S3Destination> | Pruned<LocalDestination>;

/** The settings that tables in S3 and in a folder share. @param statePath beside it lies the default working folder */
export function readLake(
  name: string,
  raw: RawLake,
  path: ConfigPath,
  statePath: string,
  reading: Reading,
): LakeSettings {
  const format = raw.format ?? 'delta';
  // A format that could not be read would make every setting beside it look wrong.
  if (format !== 'delta' && !reading.isBroken([...path, 'format'])) checkDeltaOnly(raw, path, reading);
  const upkeep = raw.maintenance ?? {};
  const at = [...path, 'maintenance'];
  const targetFileMb = raw.target_file_mb ?? TARGET_FILE_MB;
  const smallFileMb = upkeep.small_file_mb ?? Math.min(SMALL_FILE_MB, targetFileMb);
  if (smallFileMb > targetFileMb) {
    reading.problem(
      [...at, 'small_file_mb'],
      `expected at most target_file_mb, which is ${targetFileMb}, found ${smallFileMb}`,
    );
  }
  return {
    format,
    deletes: format === 'delta' ? (raw.deletes ?? 'dv') : null,
    clusterByKey: raw.cluster_by_key ?? false,
    targetFileMb,
    maintenance: {
      everyMs: reading.duration([...at, 'every'], upkeep.every, '1h', 1_000),
      retentionMs: reading.duration([...at, 'retention'], upkeep.retention, '7d', 1_000),
      smallFileMb,
      deletedRatio: upkeep.deleted_ratio ?? DELETED_RATIO,
    },
    workPath:
      raw.work_path === undefined ? join(dirname(statePath), 'lake', name) : reading.absolutePath(raw.work_path),
    cacheMb: raw.cache_mb ?? CACHE_MB,
    memoryLimitMb: raw.memory_limit_mb ?? MEMORY_LIMIT_MB,
    threads: raw.threads ?? null,
    parallelLoads: raw.parallel_loads ?? null,
  };
}

/** Warns of a folder that not every reader can read tables below. @param key where the folder is given */
export function checkFolderName(folder: string, path: ConfigPath, reading: Reading): void {
  if (PLAIN_FOLDERS.test(folder)) return;
  reading.warning(
    path,
    'some readers (polars, ClickHouse) cannot read tables below a folder whose name has other characters than A-Z a-z 0-9 . _ ~ -',
  );
}

function checkDeltaOnly(raw: RawLake, path: ConfigPath, reading: Reading): void {
  const only = (value: unknown, ...keys: readonly string[]): void => {
    if (value !== undefined) reading.problem([...path, ...keys], 'only for format "delta"', 'key');
  };
  only(raw.deletes, 'deletes');
  only(raw.cluster_by_key, 'cluster_by_key');
  only(raw.maintenance?.small_file_mb, 'maintenance', 'small_file_mb');
  only(raw.maintenance?.deleted_ratio, 'maintenance', 'deleted_ratio');
}
