import type { ObjectStore } from '../object-store.js';
import { notConditional } from './s3-failure.js';

/**
 * Proves that the store honours conditions on a write: a second "only where there is none" and a swap of a version that is
 * gone must be refused, a swap of the present one must go through. Costs four PUTs, below `_sluice/`, removed afterwards.
 * @param token makes the probe's object unlike that of any other process
 * @throws SluiceError STORE_NOT_CONDITIONAL where a condition is ignored or not known; other STORE_* as they come
 */
export async function probeConditionalWrites(store: ObjectStore, token: string, signal?: AbortSignal): Promise<void> {
  const key = `_sluice/probe-${token}`;
  const write = (text: string, condition: Parameters<ObjectStore['put']>[2]) =>
    store.put(key, Buffer.from(text), condition, signal);
  try {
    const first = await write('first', { kind: 'absent' });
    // An answer that was lost on the way makes its repetition a refusal; the object is ours all the same.
    const firstEtag = first.kind === 'written' ? first.etag : (await store.get(key, signal))?.etag;
    if (firstEtag === undefined) throw notConditional(`${store.place} refused a write of an object that was not there`);
    if ((await write('second', { kind: 'absent' })).kind === 'written') {
      throw notConditional(`${store.place} ignores If-None-Match: a second write of one object was accepted`);
    }
    const swapped = await write('third', { kind: 'etag', etag: firstEtag });
    if (swapped.kind === 'refused' && (await store.get(key, signal))?.etag === firstEtag) {
      throw notConditional(`${store.place} refused to replace an object by its own ETag (If-Match)`);
    }
    if ((await write('fourth', { kind: 'etag', etag: firstEtag })).kind === 'written') {
      throw notConditional(`${store.place} ignores If-Match: a version that was gone was replaced`);
    }
  } finally {
    // A probe that cannot be removed is harmless, and what went wrong before matters more; checkStore reports deleting.
    await store.delete([key]).catch(() => undefined);
  }
}

/** Writers that meet in {@link raceConditionalWrites}. */
const RACERS = 8;

/**
 * Some servers look first and write then. Here several writers meet on one object, and exactly one may win.
 * @returns how many were told that they won
 */
export async function raceConditionalWrites(store: ObjectStore, token: string, signal?: AbortSignal): Promise<number> {
  const key = `_sluice/race-${token}`;
  try {
    const results = await Promise.all(
      Array.from({ length: RACERS }, (_, racer) =>
        store.put(key, Buffer.from(`racer ${racer}`), { kind: 'absent' }, signal),
      ),
    );
    return results.filter(({ kind }) => kind === 'written').length;
  } finally {
    await store.delete([key]).catch(() => undefined);
  }
}
