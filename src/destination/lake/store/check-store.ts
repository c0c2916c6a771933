import type { ErrorCode } from '../../../error/codes.js';
import { asSluiceError, SluiceError } from '../../../error/sluice-error.js';
import type { Clock } from '../../../executor/engine.js';
import type { ObjectStore } from '../object-store.js';
import { probeConditionalWrites, raceConditionalWrites } from './probe.js';
import { notConditional } from './s3-failure.js';

export type StoreCheckName = 'list' | 'put' | 'get' | 'delete' | 'conditional_writes' | 'clock';

/** One thing that was tried. `skipped`: it could not be, as what it builds on had failed. */
export interface StoreCheck {
  readonly check: StoreCheckName;
  readonly level: 'ok' | 'warning' | 'error' | 'skipped';
  /** Of the error; null where there is none. */
  readonly code: ErrorCode | null;
  readonly message: string;
  readonly hint: string | null;
}

/** Ages of files are judged by both clocks. Beyond it retention is off by more than anybody expects. */
const SKEW_WARNING_MS = 60_000;
/** Amazon refuses requests that are signed further off. */
const SKEW_ERROR_MS = 900_000;

/**
 * Tries everything that a lake needs of its store, with small objects below `_sluice/` that are removed again. The first
 * check (list) tells whether the store can be reached at all; where it cannot, the rest is skipped.
 * @returns one result for each check, always in the same order; never throws but for the signal
 */
export async function checkStore(
  store: ObjectStore,
  deps: { readonly clock: Clock; readonly newToken: () => string },
  signal?: AbortSignal,
): Promise<readonly StoreCheck[]> {
  const token = deps.newToken();
  const key = `_sluice/check-${token}`;
  const body = Buffer.from('sluice');
  const results: StoreCheck[] = [];
  const attempt = async (check: StoreCheckName, needs: readonly StoreCheckName[], work: () => Promise<string>) => {
    const failed = results.find((result) => needs.includes(result.check) && result.level !== 'ok');
    results.push(failed === undefined ? await tried(check, work, signal) : skipped(check, failed.check));
  };

  await attempt('list', [], async () => {
    for await (const _ of store.list('_sluice/', {}, signal)) break;
    return `${store.place} can be reached and listed`;
  });
  // Listing may be forbidden where the rest is not; a store out of reach stays so.
  const [list] = results;
  const outOfReach = list?.level === 'error' && list.code !== 'STORE_FORBIDDEN';
  const reach: readonly StoreCheckName[] = outOfReach ? ['list'] : [];
  await attempt('put', reach, async () => {
    await store.put(key, body, null, signal);
    return 'objects can be written';
  });
  await attempt('get', [...reach, 'put'], async () => {
    const found = await store.get(key, signal);
    if (found !== null && Buffer.compare(found.body, body) === 0) return 'objects can be read';
    throw new SluiceError({
      code: 'STORE_FAILED',
      message: `${store.place}/${key} was written and ${found === null ? 'is not there' : 'holds something else'}`,
    });
  });
  await attempt('delete', [...reach, 'put'], async () => {
    await store.delete([key], signal);
    return 'objects can be removed';
  });
  await attempt('conditional_writes', [...reach, 'put'], async () => {
    await probeConditionalWrites(store, token, signal);
    const winners = await raceConditionalWrites(store, token, signal);
    if (winners > 1) throw notConditional(`${store.place} let ${winners} writers win that wrote one object at once`);
    return 'conditional writes are honoured';
  });
  const skew = outOfReach ? skipped('clock', 'list') : await checkClock(store, deps.clock, signal);
  return [...results, skew];
}

async function checkClock(store: ObjectStore, clock: Clock, signal?: AbortSignal): Promise<StoreCheck> {
  let aheadMs: number;
  try {
    const began = clock.now().getTime();
    const theirs = await store.serverTime(signal);
    if (theirs === null) return ok('clock', "the store has this machine's clock");
    // The answer names the second that it was made in, somewhere between question and answer.
    aheadMs = (began + clock.now().getTime()) / 2 - (theirs.getTime() + 500);
  } catch (error) {
    signal?.throwIfAborted();
    return failed('clock', error);
  }
  const seconds = Math.round(Math.abs(aheadMs) / 1000);
  const message = `this machine's clock is ${seconds} s ${aheadMs > 0 ? 'ahead of' : 'behind'} the store's`;
  if (Math.abs(aheadMs) < SKEW_WARNING_MS) return ok('clock', message);
  return {
    check: 'clock',
    level: Math.abs(aheadMs) < SKEW_ERROR_MS ? 'warning' : 'error',
    code: 'STORE_CLOCK_SKEW',
    message,
    hint: 'let NTP set the clock: timedatectl set-ntp true',
  };
}

async function tried(check: StoreCheckName, work: () => Promise<string>, signal?: AbortSignal): Promise<StoreCheck> {
  try {
    return ok(check, await work());
  } catch (error) {
    signal?.throwIfAborted();
    return failed(check, error);
  }
}

function ok(check: StoreCheckName, message: string): StoreCheck {
  return { check, level: 'ok', code: null, message, hint: null };
}

function failed(check: StoreCheckName, error: unknown): StoreCheck {
  const { code, message, hint } = asSluiceError(error);
  return { check, level: 'error', code, message, hint: hint ?? null };
}

function skipped(check: StoreCheckName, after: StoreCheckName): StoreCheck {
  return { check, level: 'skipped', code: null, message: `not tried, as "${after}" failed`, hint: null };
}
