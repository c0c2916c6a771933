import type { ObjectStore } from './object-store.js';

const MARK_KEY = '_sluice/lake.json';

/**
 * Puts a mark into a folder before its first ledger, which may be written much later: a folder without one may be what is
 * left where a disk is not mounted. A bucket is there or not, and needs none.
 */
export async function markLake(store: ObjectStore, now: Date): Promise<void> {
  if (store.folder === null) return;
  const body = new TextEncoder().encode(`${JSON.stringify({ format_version: 1, made_at: now.toISOString() })}\n`);
  await store.put(MARK_KEY, body, { kind: 'absent' });
}
