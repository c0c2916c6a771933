import { SluiceError } from '../../error/sluice-error.js';
import type { ObjectStore } from '../lake/object-store.js';
import { decodeManifest, encodeManifest, type Manifest, manifestKey } from './manifest.js';

export interface StoredManifest {
  readonly manifest: Manifest;
  readonly etag: string;
}

/**
 * The table as it is now; null where there is none.
 * @param known what was read before: where it still holds, only that is asked
 * @throws SluiceError PARQUET_MANIFEST_CORRUPT
 */
export async function readManifest(
  store: ObjectStore,
  folder: string,
  known: StoredManifest | null,
): Promise<StoredManifest | null> {
  const key = manifestKey(folder);
  const object = known === null ? await store.get(key) : await store.getIfChanged(key, known.etag);
  if (object === null) return null;
  if (object === 'unchanged') return known;
  return { manifest: decodeManifest(object.body, `${store.place}/${key}`), etag: object.etag };
}

/**
 * Puts a manifest in the place of the one that it follows.
 * @param before null: it is the table's first
 * @returns null when another one is there by now; what is there has to be looked at again
 * @throws SluiceError STORE_UNREACHABLE when nobody can tell whether it was written
 */
export async function swapManifest(
  store: ObjectStore,
  folder: string,
  manifest: Manifest,
  before: StoredManifest | null,
): Promise<StoredManifest | null> {
  const key = manifestKey(folder);
  const body = encodeManifest(manifest);
  const condition = before === null ? ({ kind: 'absent' } as const) : ({ kind: 'etag', etag: before.etag } as const);
  let doubt: unknown = null;
  try {
    const result = await store.put(key, body, condition);
    if (result.kind === 'written') return { manifest, etag: result.etag };
  } catch (error) {
    if (!(error instanceof SluiceError) || error.code !== 'STORE_UNREACHABLE') throw error;
    doubt = error;
  }
  // An answer that was lost, or a retry of a write that had taken effect: what is there now tells.
  const object = await store.get(key);
  if (object !== null && Buffer.from(object.body).equals(body)) return { manifest, etag: object.etag };
  if (doubt !== null && object?.etag === before?.etag) throw doubt;
  return null;
}
