import { SluiceError } from '../../error/sluice-error.js';
import { decodeLedger, encodeLedger, LEDGER_PREFIX, type Ledger, ledgerKey } from './ledger.js';
import type { ObjectStore } from './object-store.js';

export interface StoredLedger {
  readonly ledger: Ledger;
  readonly etag: string;
}

/**
 * The ledgers of a lake as they are now; those that did not change since `known` was read cost nothing but the listing.
 * @throws SluiceError LEDGER_UNREADABLE
 */
export async function readLedgers(
  store: ObjectStore,
  known: ReadonlyMap<string, StoredLedger>,
): Promise<Map<string, StoredLedger>> {
  const byKey = new Map([...known.values()].map((stored) => [ledgerKey(stored.ledger.source), stored]));
  const found = new Map<string, StoredLedger>();
  for await (const { key } of store.list(LEDGER_PREFIX)) {
    const before = byKey.get(key) ?? null;
    const object = before === null ? await store.get(key) : await store.getIfChanged(key, before.etag);
    if (object === null) continue;
    const stored =
      object === 'unchanged'
        ? before
        : { ledger: decodeLedger(object.body, `${store.place}/${key}`), etag: object.etag };
    if (stored !== null) found.set(stored.ledger.source, stored);
  }
  return found;
}

/**
 * Puts a ledger in the place of the one it follows.
 * @param before null: it is the source's first
 * @returns its etag
 * @throws SluiceError LAKE_FENCED when another Sluice has written meanwhile; STORE_UNREACHABLE when nobody can tell
 *   whether it was written
 */
export async function writeLedger(store: ObjectStore, ledger: Ledger, before: StoredLedger | null): Promise<string> {
  const key = ledgerKey(ledger.source);
  const body = encodeLedger(ledger);
  const condition = before === null ? ({ kind: 'absent' } as const) : ({ kind: 'etag', etag: before.etag } as const);
  let doubt: unknown = null;
  try {
    const result = await store.put(key, body, condition);
    if (result.kind === 'written') return result.etag;
  } catch (error) {
    if (!(error instanceof SluiceError) || error.code !== 'STORE_UNREACHABLE') throw error;
    doubt = error;
  }
  // An answer that was lost, or a retry of a write that had taken effect: what is there now tells.
  const object = await store.get(key);
  if (object !== null && Buffer.from(object.body).equals(body)) return object.etag;
  if (doubt !== null && object?.etag === before?.etag) throw doubt;
  throw new SluiceError({
    code: 'LAKE_FENCED',
    message: `another Sluice has written ${store.place}/${key} since this one read it`,
    hint: 'let only one daemon write a source; nothing of this commit is visible, and the next sync goes on from what the other one wrote',
  });
}
