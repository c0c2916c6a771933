import type { DestinationConfig } from './config.js';
import type { ConfigPath } from './problem.js';
import { readS3Access } from './read-s3.js';
import type { Reading } from './reading.js';
import type { Pruned } from './schema.js';
import type { Destination } from './schema-types.js';

/** Half of the 500 MB that a whole sync may take; the reader and its buffers need the rest (DESIGN 1, law 6). */
const MEMORY_LIMIT_MB = 256;

/** An entry of `destinations:`. Null where its type is not known, which was reported before. */
export function readDestination(name: string, raw: Pruned<Destination>, reading: Reading): DestinationConfig | null {
  const path: ConfigPath = ['destinations', name];
  switch (raw.type) {
    case 'duckdb':
      return {
        type: 'duckdb',
        name,
        path: reading.absolutePath(raw.path ?? ''),
        publish: readPublish(raw, path, reading),
        memoryLimitMb: raw.memory_limit_mb ?? MEMORY_LIMIT_MB,
        threads: raw.threads ?? null,
      };
    case 's3':
      checkDeletes(raw, path, reading);
      return {
        type: 's3',
        name,
        format: raw.format ?? 'delta',
        bucket: raw.bucket ?? '',
        prefix: raw.prefix ?? '',
        access: readS3Access(raw, path, reading),
      };
    case 'local':
      checkDeletes(raw, path, reading);
      return { type: 'local', name, format: raw.format ?? 'delta', path: reading.absolutePath(raw.path ?? '') };
    default:
      return null;
  }
}

/** Two entries for one file: it has one owner, and the other would wait for ever. */
export function checkSharedFiles(destinations: readonly DestinationConfig[], reading: Reading): void {
  const owners = new Map<string, string>();
  for (const destination of destinations) {
    if (destination.type !== 'duckdb') continue;
    const files = [{ file: destination.path, path: ['destinations', destination.name, 'path'] }];
    if (destination.publish !== null) {
      files.push({ file: destination.publish.path, path: ['destinations', destination.name, 'publish', 'path'] });
    }
    for (const { file, path } of files) {
      const owner = owners.get(file);
      if (owner === undefined) owners.set(file, destination.name);
      else if (owner === destination.name)
        reading.problem(path, 'the copy cannot be the file itself; give another path');
      else reading.problem(path, `the same file as destination "${owner}"; let the sources share one entry`);
    }
  }
}

function readPublish(
  raw: Extract<Pruned<Destination>, { type?: 'duckdb' }>,
  path: ConfigPath,
  reading: Reading,
): { readonly path: string; readonly everyMs: number } | null {
  if (raw.publish === undefined) return null;
  return {
    path: reading.absolutePath(raw.publish.path ?? ''),
    everyMs: reading.duration([...path, 'publish', 'every'], raw.publish.every, '1m', 1_000),
  };
}

function checkDeletes(
  raw: { readonly format?: 'delta' | 'parquet'; readonly deletes?: 'dv' | 'cow' },
  path: ConfigPath,
  reading: Reading,
): void {
  if (raw.format === 'parquet' && raw.deletes !== undefined)
    reading.problem([...path, 'deletes'], 'only for format "delta"');
}
