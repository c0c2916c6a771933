import type { Vacuumed } from '../maintenance.js';
import type { ObjectInfo, ObjectStore } from './object-store.js';

/** Objects of a lake that nothing refers to any more. */

/**
 * A file that nothing tells of may belong to a commit that is under way in another process, whatever the retention says: no
 * commit takes longer than this from its first upload.
 */
const COMMIT_MS = 3_600_000;
/** As many keys as one request of S3 deletes. */
const KEYS_A_REQUEST = 1_000;
const EXAMPLES = 20;

export interface AgeLimits {
  /** What was taken out before this goes. */
  readonly taken: Date;
  /** What nothing has ever told of, and was written before this, goes. */
  readonly orphans: Date;
}

export function ageLimits(retentionMs: number, now: Date): AgeLimits {
  return {
    taken: new Date(now.getTime() - retentionMs),
    orphans: new Date(now.getTime() - Math.max(retentionMs, COMMIT_MS)),
  };
}

export function vacuumed(gone: readonly ObjectInfo[], logFiles: number): Vacuumed {
  return {
    files: gone.length,
    bytes: gone.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    logFiles,
    examples: gone.slice(0, EXAMPLES).map(({ key }) => key),
  };
}

export async function deleteAll(store: ObjectStore, objects: readonly ObjectInfo[]): Promise<void> {
  for (let i = 0; i < objects.length; i += KEYS_A_REQUEST) {
    await store.delete(objects.slice(i, i + KEYS_A_REQUEST).map(({ key }) => key));
  }
}
