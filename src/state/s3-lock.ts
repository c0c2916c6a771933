import {
  type HeldLock,
  holderOf,
  type LockDeps,
  type LockStatus,
  lockedError,
  lostError,
  type StateLock,
  UNKNOWN_HOLDER,
} from './lock.js';
import { isDead, type LockHolder, parseHolder } from './lock-file.js';
import type { S3StatePlace, StateObjects } from './s3-state.js';

/** How long a holder may be silent before another one takes the lock over: ten renewals, so that one outage is not the end. */
export const LEASE_MS = 300_000;
const RENEW_MS = 30_000;
/** A holder gives up well before others may take over, whatever its clock does. */
const GIVE_UP_MS = LEASE_MS * 0.8;
/** A look is one GET, which is paid for. */
const POLL_MS = 1_000;
/** A follower asks all the time whether somebody waits; the bucket is asked this often. */
const WANTED_EVERY_MS = 2_000;
/** No waiter waits longer than this without leaving its note anew. */
const WANTED_STALE_MS = 60_000;

/**
 * The lock of a state in a bucket: `<key>.lock`, made and renewed under conditions. The age of a lease is told by the
 * store's own clock, so that those of the machines may differ.
 */
export function openS3Lock(place: S3StatePlace, deps: LockDeps): StateLock {
  const key = `${place.name}.lock`;
  const path = `${place.url}.lock`;
  let lastAsked: { readonly atMs: number; readonly wanted: boolean } | null = null;

  async function look(objects: StateObjects, signal?: AbortSignal): Promise<Found | null> {
    const found = await objects.get(key, signal);
    if (found === null) return null;
    const holder = parseHolder(Buffer.from(found.body).toString('utf8'));
    const now = (await objects.serverTime(signal)) ?? deps.clock.now();
    const silentMs = now.getTime() - found.modifiedAt.getTime();
    if (holder === null) {
      const expired = silentMs > LEASE_MS;
      return { etag: found.etag, status: { holder: UNKNOWN_HOLDER, ageMs: Math.max(0, silentMs), dead: expired } };
    }
    const since = Date.parse(holder.acquired_at);
    const ageMs = Number.isNaN(since) ? 0 : Math.max(0, deps.clock.now().getTime() - since);
    const dead = isDead(holder, deps.host, deps.processes) || silentMs > LEASE_MS;
    return { etag: found.etag, status: { holder, ageMs, dead } };
  }

  /** @returns the etag where it is ours now, else what is in the way */
  async function tryTake(objects: StateObjects, me: LockHolder): Promise<{ etag: string } | LockStatus | null> {
    const found = await look(objects);
    if (found !== null && !found.status.dead) return found.status;
    const condition = found === null ? { kind: 'absent' as const } : { kind: 'etag' as const, etag: found.etag };
    const answer = await objects.put(key, bodyOf(me), condition);
    if (answer.kind === 'written') return { etag: answer.etag };
    const now = await look(objects);
    // The refusal may be that of a repetition whose first answer was lost.
    return now?.status.holder.token === me.token ? { etag: now.etag } : (now?.status ?? null);
  }

  async function sayWanted(objects: StateObjects, me: LockHolder): Promise<void> {
    await objects.put(`${key}.wanted`, bodyOf(me), null);
  }

  async function isWanted(objects: StateObjects): Promise<boolean> {
    const note = await objects.get(`${key}.wanted`);
    if (note === null) return false;
    const holder = parseHolder(Buffer.from(note.body).toString('utf8'));
    const now = (await objects.serverTime()) ?? deps.clock.now();
    const stale = now.getTime() - note.modifiedAt.getTime() > WANTED_STALE_MS;
    return !stale && (holder === null || !isDead(holder, deps.host, deps.processes));
  }

  return {
    path,
    pollMs: POLL_MS,

    status: async () => (await look(await place.objects('read')))?.status ?? null,

    async wanted() {
      const nowMs = deps.clock.monotonicMs();
      if (lastAsked === null || nowMs - lastAsked.atMs >= WANTED_EVERY_MS) {
        lastAsked = { atMs: nowMs, wanted: await isWanted(await place.objects('read')) };
      }
      return lastAsked.wanted;
    },

    async acquire(waitMs, signal) {
      const objects = await place.objects('write');
      const deadline = deps.clock.monotonicMs() + waitMs;
      let waiting = false;
      try {
        for (;;) {
          signal.throwIfAborted();
          const me = holderOf(deps);
          const askedMs = deps.clock.monotonicMs();
          const taken = await tryTake(objects, me);
          if (taken !== null && 'etag' in taken) return hold(objects, me, { etag: taken.etag, goodMs: askedMs });
          const remaining = deadline - deps.clock.monotonicMs();
          if (remaining <= 0) throw lockedError(path, taken);
          if (!waiting) await sayWanted(objects, me);
          waiting = true;
          await deps.clock.sleep(Math.min(POLL_MS, remaining), signal);
        }
      } finally {
        // Another waiter's note may go with it, who then waits until the holder ends by itself.
        if (waiting) await objects.delete([`${key}.wanted`]).catch(() => undefined);
      }
    },

    async unlock(force) {
      const objects = await place.objects('write');
      const found = await look(objects);
      if (found === null) return null;
      if (!force && !found.status.dead) throw lockedError(path, found.status);
      // Taken over first, under a condition, so that nobody's lock but the one that was looked at is removed.
      const me = holderOf(deps);
      const answer = await objects.put(key, bodyOf(me), { kind: 'etag', etag: found.etag });
      if (answer.kind === 'refused') {
        const now = await look(objects);
        if (now !== null && now.status.holder.token !== me.token) throw lockedError(path, now.status);
      }
      await objects.delete([key]);
      return found.status.holder;
    },
  };

  function hold(objects: StateObjects, me: LockHolder, lease: Lease): HeldLock {
    const lost = new AbortController();
    const ending = new AbortController();

    const lose = (why: string, status: LockStatus | null): void => {
      const by =
        status === null
          ? ''
          : `; it is held by "${status.holder.command}" (pid ${status.holder.pid} on ${status.holder.host}) now`;
      lost.abort(lostError(`the lock ${path}`, `${why}${by}`));
    };

    const over = AbortSignal.any([ending.signal, lost.signal]);

    const renewOnce = async (): Promise<void> => {
      // The lease begins somewhere between the request and its answer.
      const askedMs = deps.clock.monotonicMs();
      const answer = await objects.put(key, bodyOf(me), { kind: 'etag', etag: lease.etag }, over);
      if (answer.kind === 'written') {
        lease.etag = answer.etag;
      } else {
        const now = await look(objects, over);
        if (now?.status.holder.token !== me.token) {
          lose(now === null ? 'it was removed' : 'it was taken over', now?.status ?? null);
          return;
        }
        lease.etag = now.etag;
      }
      lease.goodMs = askedMs;
    };

    let failure = '';
    const renewing = (async (): Promise<void> => {
      while (!over.aborted) {
        await deps.clock.sleep(RENEW_MS, over);
        try {
          await renewOnce();
        } catch (error) {
          failure = error instanceof Error ? ` (${error.message})` : '';
        }
      }
    })().catch(() => undefined);

    // By itself, as a renewal that hangs must not put off the end.
    const watching = (async (): Promise<void> => {
      while (!over.aborted) {
        const leftMs = lease.goodMs + GIVE_UP_MS - deps.clock.monotonicMs();
        if (leftMs <= 0) lose(`it could not be renewed for ${GIVE_UP_MS / 1000} s${failure}`, null);
        else await deps.clock.sleep(leftMs, over);
      }
    })().catch(() => undefined);

    return {
      holder: me,
      lost: lost.signal,
      async release() {
        if (ending.signal.aborted) return;
        ending.abort();
        await Promise.all([renewing, watching]);
        // Within the lease nobody else takes it, so that looking and removing need no condition.
        const found = await look(objects);
        if (found?.status.holder.token === me.token) await objects.delete([key]);
      },
    };
  }
}

interface Lease {
  etag: string;
  /** Since then at the latest it counts, by our own clock. */
  goodMs: number;
}

interface Found {
  readonly etag: string;
  readonly status: LockStatus;
}

function bodyOf(holder: LockHolder): Uint8Array {
  return Buffer.from(JSON.stringify(holder));
}
