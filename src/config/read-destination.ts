import type { DestinationConfig } from './config.js';
import { plainPath } from './path.js';
import type { ConfigPath } from './problem.js';
import { checkFolderName, readLake } from './read-lake.js';
import { readS3Access } from './read-s3.js';
import type { Reading } from './reading.js';
import type { Pruned } from './schema.js';
import type { Destination } from './schema-types.js';

/** Half of the 500 MB that a whole sync may take; the reader and its buffers need the rest (DESIGN 1, law 6). */
const MEMORY_LIMIT_MB = 256;

/**
 * An entry of `destinations:`. Null where its type is not known, which was reported before.
 * @param statePath the state's file: what a lake works with lies beside it
 */
export function readDestination(
  name: string,
  raw: Pruned<Destination>,
  statePath: string,
  reading: Reading,
): DestinationConfig | null {
  const path: ConfigPath = ['destinations', name];
  switch (raw.type) {
    case 'duckdb':
      return {
        type: 'duckdb',
        name,
        path: reading.absolutePath(raw.path ?? ''),
        writtenPath: plainPath(raw.path ?? ''),
        publish: readPublish(raw, path, reading),
        memoryLimitMb: raw.memory_limit_mb ?? MEMORY_LIMIT_MB,
        threads: raw.threads ?? null,
        parallelLoads: raw.parallel_loads ?? null,
      };
    case 's3': {
      const prefix = (raw.prefix ?? '').replace(/^\/+|\/+$/g, '');
      checkFolderName(prefix, [...path, 'prefix'], reading);
      const access = readS3Access(raw, path, reading);
      const lake = readLake(name, raw, path, statePath, reading);
      return { ...lake, type: 's3', name, bucket: raw.bucket ?? '', prefix, access };
    }
    case 'local': {
      const folder = reading.absolutePath(raw.path ?? '');
      checkFolderName(folder, [...path, 'path'], reading);
      const writtenPath = plainPath(raw.path ?? '');
      return { ...readLake(name, raw, path, statePath, reading), type: 'local', name, path: folder, writtenPath };
    }
    default:
      return null;
  }
}

/** Two entries for one file or folder: it has one owner, and the other would wait for ever or write over it. */
export function checkSharedFiles(destinations: readonly DestinationConfig[], reading: Reading): void {
  const owners = new Map<string, string>();
  for (const destination of destinations) {
    for (const { place, key } of placesOf(destination)) {
      const path = ['destinations', destination.name, ...key];
      const owner = owners.get(place);
      if (owner === undefined) owners.set(place, destination.name);
      else if (owner === destination.name && destination.type === 'duckdb')
        reading.problem(path, 'the copy cannot be the file itself; give another path');
      else if (owner === destination.name)
        reading.problem(path, 'the working folder cannot be that of the tables; give another path');
      else
        reading.problem(
          path,
          key[0] === 'work_path'
            ? `the same folder as of destination "${owner}"; give each its own`
            : `the same ${destination.type === 'duckdb' ? 'file' : 'place'} as destination "${owner}"; let the sources share one entry`,
        );
    }
  }
}

/** What only one destination may write to, with the key that says so. */
function placesOf(destination: DestinationConfig): { readonly place: string; readonly key: readonly string[] }[] {
  switch (destination.type) {
    case 'duckdb': {
      const file = { place: destination.path, key: ['path'] };
      const { publish } = destination;
      return publish === null ? [file] : [file, { place: publish.path, key: ['publish', 'path'] }];
    }
    case 's3':
      return [
        { place: `s3://${destination.bucket}/${destination.prefix}`, key: ['bucket'] },
        { place: destination.workPath, key: ['work_path'] },
      ];
    case 'local':
      return [
        { place: destination.path, key: ['path'] },
        { place: destination.workPath, key: ['work_path'] },
      ];
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
