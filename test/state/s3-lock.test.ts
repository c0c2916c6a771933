import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Clock } from '../../src/executor/engine.js';
import { StateAccess } from '../../src/executor/state-access.js';
import type { LockDeps } from '../../src/state/lock.js';
import { LEASE_MS } from '../../src/state/s3-lock.js';
import { sampleState } from '../../src/state/sample-state.js';
import { systemStoreDeps } from '../lake/store-deps.js';
import { makePlace, type Place } from './backends.js';
import { Gate } from './gate.js';

/** The lease of the lock in a bucket, with a clock of the bucket and one of the holder that the tests move. */

const KEY = 'team/state.json.lock';
const never = new AbortController().signal;
/** A machine can tell the death of its own processes only. */
const processes = { exists: () => true, startedAt: () => 'boot/1' };

/** The holder's: it stands still but for {@link pass}. */
class HeldClock implements Clock {
  #ms = 0;
  readonly #sleepers = new Set<{ readonly dueMs: number; readonly wake: () => void }>();

  now = () => new Date(this.#ms);
  monotonicMs = () => this.#ms;

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const sleeper = { dueMs: this.#ms + ms, wake: resolve };
      this.#sleepers.add(sleeper);
      const abort = () => {
        this.#sleepers.delete(sleeper);
        reject(signal.reason);
      };
      signal.addEventListener('abort', abort, { once: true });
    });
  }

  /** In small steps, between which what was woken gets on. */
  async pass(ms: number): Promise<void> {
    for (const end = this.#ms + ms; this.#ms < end; ) {
      this.#ms += 1_000;
      for (const sleeper of this.#sleepers) {
        if (sleeper.dueMs > this.#ms) continue;
        this.#sleepers.delete(sleeper);
        sleeper.wake();
      }
      await pause(1);
    }
  }
}

let place: Place;
let ahead: number;
let clock: HeldClock;

beforeEach(async () => {
  ahead = 0;
  clock = new HeldClock();
  const now = () => new Date(Date.now() + ahead);
  place = await makePlace('s3', noPostgres, { bucket: { now } });
});
afterEach(() => place.remove());

/** PUTs of the lock, save the first, which took it. */
const renewals = () => lockPuts().length - 1;
const lockPuts = () => place.s3?.requests.filter(({ key, method }) => key === KEY && method === 'PUT') ?? [];

const process = (host: string, fields: Partial<LockDeps> = {}) =>
  place.open({ host, pid: 1, command: `sluice on ${host}`, processes, ...fields });

test('a lease ends by the clock of the bucket: not before, whatever the clocks of the machines say', async () => {
  const held = await process('a', { clock }).lock.acquire(0, never);
  const late = { now: () => new Date('2099-01-01'), monotonicMs: () => 0, sleep: systemStoreDeps.clock.sleep };
  const b = process('b', { clock: late }).lock;
  expect(await b.status()).toMatchObject({ dead: false });
  ahead = LEASE_MS - 5_000;
  await expect(b.acquire(0, never)).rejects.toMatchObject({ code: 'STATE_LOCKED' });
  ahead = LEASE_MS + 5_000;
  expect(await b.status()).toMatchObject({ dead: true, holder: { host: 'a' } });
  const theirs = await b.acquire(0, never);
  expect(await b.status()).toMatchObject({ dead: false, holder: { host: 'b' } });
  await clock.pass(30_000);
  await expect.poll(() => held.lost.aborted).toBe(true);
  expect(held.lost.reason).toMatchObject({
    code: 'STATE_LOCKED',
    message: expect.stringMatching(/was lost: it was taken over; it is held by "sluice on b" \(pid 1 on b\) now/),
  });
  await held.release();
  expect(await b.status(), 'who lost it does not give it back').toMatchObject({ holder: { host: 'b' } });
  await theirs.release();
  expect(await b.status()).toBeNull();
});

test('a renewal begins the lease anew', async () => {
  const held = await process('a', { clock }).lock.acquire(0, never);
  ahead = LEASE_MS - 10_000;
  await clock.pass(30_000);
  await expect.poll(renewals).toBe(1);
  ahead += LEASE_MS - 10_000;
  expect(await process('b').lock.status()).toMatchObject({ dead: false, holder: { host: 'a' } });
  await held.release();
  expect(held.lost.aborted).toBe(false);
});

test('a renewal whose answer is lost is one all the same', async () => {
  const held = await process('a', { clock }).lock.acquire(0, never);
  const lost = place.s3?.fault({ on: ({ key, method }) => key === KEY && method === 'PUT', does: 'lose_answer' });
  await clock.pass(60_000);
  await expect.poll(renewals).toBeGreaterThan(1);
  expect(lost?.struck).toBe(1);
  await clock.pass(40_000);
  await expect.poll(renewals).toBeGreaterThan(2);
  expect(held.lost.aborted).toBe(false);
  await held.release();
  expect(await process('b').lock.status()).toBeNull();
});

test('taking it is known as done though the answer was lost', async () => {
  const a = process('a');
  await a.store.write({ ...sampleState(), serial: 0 }, null);
  const lost = place.s3?.fault({ on: ({ key, method }) => key === KEY && method === 'PUT', does: 'lose_answer' });
  const held = await a.lock.acquire(0, never);
  expect(lost?.struck).toBe(1);
  expect(await process('b').lock.status()).toMatchObject({ holder: { host: 'a' } });
  await held.release();
});

test('who cannot renew gives up before others may take over', async () => {
  const held = await process('a', { clock }).lock.acquire(0, never);
  const down = place.s3?.fault({ on: () => true, does: 'drop', times: Number.POSITIVE_INFINITY });
  await clock.pass(LEASE_MS * 0.7);
  expect(held.lost.aborted).toBe(false);
  await clock.pass(LEASE_MS * 0.2);
  expect(held.lost.aborted).toBe(true);
  expect(held.lost.reason).toMatchObject({ message: expect.stringContaining('could not be renewed for 240 s') });
  down?.clear();
  await held.release();
});

test('so does one whose request hangs', async () => {
  const held = await process('a', { clock }).lock.acquire(0, never);
  const gate = new Gate();
  place.s3?.fault({ on: () => true, does: { until: gate.opened }, times: Number.POSITIVE_INFINITY });
  await clock.pass(LEASE_MS * 0.9);
  expect(held.lost.aborted).toBe(true);
  gate.open();
  await held.release();
});

test('of two that take an expired lock at once one wins', async () => {
  await process('a', { clock }).lock.acquire(0, never);
  ahead = LEASE_MS + 5_000;
  const [b, c] = [process('b').lock, process('c').lock];
  const results = await Promise.allSettled([b.acquire(0, never), c.acquire(0, never)]);
  expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  const [winner] = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const [refusal] = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
  expect(refusal).toMatchObject({
    code: 'STATE_LOCKED',
    message: expect.stringContaining(`on ${winner?.holder.host}`),
  });
  expect(await b.status()).toMatchObject({ holder: { token: winner?.holder.token }, dead: false });
  await winner?.release();
});

describe('work under a lock that was taken over', () => {
  test('ends before it writes', async () => {
    const { store, lock } = process('a', { clock });
    const first = await store.write({ ...sampleState(), serial: 0 }, null);
    const access = new StateAccess(lock, clock);
    const begun = new Gate();
    const work = access.change(never, async (signal) => {
      begun.open();
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      signal.throwIfAborted();
      return await store.write(first, first);
    });
    work.catch(() => undefined);
    await begun.opened;
    ahead = LEASE_MS + 5_000;
    const theirs = await process('b').lock.acquire(0, never);
    await clock.pass(30_000);
    await expect(work).rejects.toMatchObject({
      code: 'STATE_LOCKED',
      message: expect.stringContaining('taken over'),
    });
    expect((await store.read())?.serial).toBe(1);
    await theirs.release();
  });
});

function noPostgres(): never {
  throw new Error('a bucket needs no server of Postgres');
}
