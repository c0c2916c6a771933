import type { ObjectStore } from '../object-store.js';
import { LocalStore } from './local-store.js';
import type { S3Settings } from './s3-settings.js';
import type { StoreDeps } from './store-deps.js';

export type StoreSettings =
  /** `path` is absolute. */
  { readonly type: 'local'; readonly path: string } | { readonly type: 's3'; readonly s3: S3Settings };

/**
 * Opens the place that a lake is kept in. Nothing is asked of it yet. The AWS SDK is loaded only for a bucket.
 * @throws SluiceError STORE_TLS_UNVERIFIED where the bucket's file of certificates cannot be read
 */
export async function openStore(settings: StoreSettings, deps: StoreDeps): Promise<ObjectStore> {
  if (settings.type === 'local') return new LocalStore(settings.path, deps);
  const { openS3Store } = await import('./s3-store.js');
  return await openS3Store(settings.s3, deps);
}
