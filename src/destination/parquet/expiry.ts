import type { ObjectInfo, ObjectStore } from '../lake/object-store.js';
import { type Manifest, parseDataPath } from './manifest.js';

export interface Expired {
  readonly keys: readonly string[];
  readonly bytes: number;
}

export interface Expiry {
  /** No less than the longest query and the longest commit. */
  readonly retentionMs: number;
  readonly now: Date;
  /** Tells what would go. */
  readonly dryRun: boolean;
}

/** As many keys as one request of S3 deletes. */
const KEYS_A_REQUEST = 1_000;

/**
 * Deletes the data files of a table that the retention has run out for.
 * @returns what was deleted, and the manifest without what it said of them; null where it said nothing
 */
export async function expireFiles(
  store: ObjectStore,
  folder: string,
  manifest: Manifest,
  { now, retentionMs, dryRun }: Expiry,
): Promise<{ readonly expired: Expired; readonly manifest: Manifest | null }> {
  const cutoff = new Date(now.getTime() - retentionMs);
  const found: ObjectInfo[] = [];
  for (const part of ['changes', 'snapshots']) {
    for await (const info of store.list(`${folder}/${part}/`)) {
      const path = info.key.slice(folder.length + 1);
      if (isExpired(path, info.modifiedAt, manifest, cutoff)) found.push(info);
    }
  }
  const keys = found.map(({ key }) => key);
  const bytes = found.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  if (dryRun) return { expired: { keys, bytes }, manifest: null };
  for (let i = 0; i < keys.length; i += KEYS_A_REQUEST) await store.delete(keys.slice(i, i + KEYS_A_REQUEST));
  const retired = manifest.retired.filter(({ since }) => new Date(since) > cutoff);
  return {
    expired: { keys, bytes },
    manifest: retired.length === manifest.retired.length ? null : { ...manifest, retired },
  };
}

/**
 * Whether nobody needs a file any more. It was replaced by the first retirement of its number or a later one; where there is
 * none, it was never part of the table: work that ended before its time, whose number other work may bear by now.
 */
export function isExpired(
  path: string,
  modifiedAt: Date,
  manifest: Pick<Manifest, 'files' | 'commit' | 'snapshot' | 'retired'>,
  cutoff: Date,
): boolean {
  const data = parseDataPath(path);
  if (data === null || modifiedAt > cutoff || manifest.files.includes(path)) return false;
  const isSnapshot = data.kind === 'snapshot';
  const number = isSnapshot ? data.generation : data.commit;
  // Later work may be on its way into the manifest.
  if (number > (isSnapshot ? manifest.snapshot.generation : manifest.commit)) return false;
  const replaced = manifest.retired.find((entry) => (isSnapshot ? entry.generation : entry.commit) >= number);
  return replaced === undefined || new Date(replaced.since) <= cutoff;
}
