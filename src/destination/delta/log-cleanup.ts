import type { ObjectStore } from '../lake/object-store.js';
import { completeCheckpoints, type ListedFile, listLog } from './log-listing.js';
import type { DeltaSnapshot } from './snapshot.js';
import { booleanProperty, logRetentionMs } from './table-property.js';

const DAY_MS = 86_400_000;

/** As many keys as one request of S3 deletes. */
const KEYS_A_REQUEST = 1_000;

/**
 * Deletes what the log's retention has run out for and a later checkpoint covers (PROTOCOL.md, "Metadata Cleanup"). Sidecars
 * of foreign V2 checkpoints are left to those who wrote them.
 * @returns the keys that were deleted
 * @throws SluiceError STORE_UNREACHABLE; DELTA_FEATURE_UNSUPPORTED for a retention that cannot be read
 */
export async function cleanLog(
  store: ObjectStore,
  table: string,
  snapshot: DeltaSnapshot,
  now: Date,
  signal?: AbortSignal,
): Promise<readonly string[]> {
  const { configuration } = snapshot.metadata;
  if (!booleanProperty(configuration, 'delta.enableExpiredLogCleanup', true)) return [];
  const keys = expiredLogKeys(await listLog(store, table, null, signal), now, logRetentionMs(configuration));
  for (let i = 0; i < keys.length; i += KEYS_A_REQUEST) await store.delete(keys.slice(i, i + KEYS_A_REQUEST), signal);
  return keys;
}

/**
 * The keys of a listing that nothing needs any more, oldest first. The newest checkpoint at or before the last version that
 * the retention has run out for stays, with that version's commit, and so does everything behind it.
 */
export function expiredLogKeys(listed: readonly ListedFile[], now: Date, retentionMs: number): readonly string[] {
  // Midnight, so that two processes with clocks a little apart delete the same.
  const cutoff = Math.floor((now.getTime() - retentionMs) / DAY_MS) * DAY_MS;
  let expired = -1;
  for (const { file, info } of listed) {
    if (file.kind !== 'commit') continue;
    // The first commit that is too young ends it: a later one may bear an earlier time, where the log was copied.
    if (info.modifiedAt.getTime() > cutoff) break;
    expired = file.version;
  }
  const kept = completeCheckpoints(listed).findLast((checkpoint) => checkpoint.version <= expired);
  if (kept === undefined) return [];
  return listed.filter(({ file }) => isCovered(file, kept.version)).map(({ info }) => info.key);
}

function isCovered(file: ListedFile['file'], checkpoint: number): boolean {
  switch (file.kind) {
    case 'commit':
    case 'crc':
    case 'classic_checkpoint':
    case 'checkpoint_part':
    case 'v2_checkpoint':
      return file.version < checkpoint;
    case 'compacted':
      return file.version <= checkpoint;
    case 'sidecar':
    case 'last_checkpoint':
    case 'unknown':
      return false;
  }
}
