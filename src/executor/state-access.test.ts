import { beforeEach, describe, expect, test } from 'vitest';
import { FakeClock } from '../../test/fake/clock.js';
import { SluiceError } from '../error/sluice-error.js';
import type { StateLock } from '../state/lock.js';
import { StateAccess } from './state-access.js';

const never = new AbortController().signal;

/** The lock as one process sees it; another one may hold or want it. */
class FakeLock implements StateLock {
  readonly path = '/srv/state.json.lock';
  ours = false;
  elsewhere = false;
  wantedElsewhere = false;
  taken = 0;

  constructor(readonly clock: FakeClock) {}

  async acquire(waitMs: number, signal: AbortSignal) {
    const deadline = this.clock.monotonicMs() + waitMs;
    while (this.ours || this.elsewhere) {
      if (this.clock.monotonicMs() >= deadline) throw new SluiceError({ code: 'STATE_LOCKED', message: 'locked' });
      await this.clock.sleep(100, signal);
    }
    this.ours = true;
    this.taken += 1;
    return {
      holder: { host: 'here', pid: 7, started: null, command: 'test', acquired_at: '', token: 't' },
      release: async () => {
        this.ours = false;
      },
    };
  }

  async wanted(): Promise<boolean> {
    return this.wantedElsewhere;
  }

  async status(): Promise<null> {
    return null;
  }

  async unlock(): Promise<null> {
    return null;
  }
}

let clock: FakeClock;
let lock: FakeLock;
let access: StateAccess;

beforeEach(() => {
  clock = new FakeClock();
  lock = new FakeLock(clock);
  access = new StateAccess(lock, clock);
});

/** Work that goes on until it is told to end. */
function work(): { readonly run: () => Promise<void>; readonly end: () => void; readonly begun: Promise<void> } {
  let end = (): void => undefined;
  let begin = (): void => undefined;
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  return {
    run: () => {
      begin();
      return ended;
    },
    end,
    begun,
  };
}

describe('followers', () => {
  test('share the lock with each other and with a sync', async () => {
    const [a, b] = [work(), work()];
    const following = [access.follow(never, a.run), access.follow(never, b.run)];
    await Promise.all([a.begun, b.begun]);
    await access.sync(never, async () => expect(lock.taken).toBe(1));
    expect(lock.ours).toBe(true);
    a.end();
    b.end();
    await Promise.all(following);
    expect(lock.ours).toBe(false);
  });

  test('are asked to end by what changes the state, which then has it alone', async () => {
    const follower = work();
    const following = access.follow(never, follower.run);
    await follower.begun;
    expect(await access.isWanted()).toBe(false);
    let changed = false;
    const changing = access.change(never, async () => {
      changed = true;
    });
    await expect.poll(() => access.isWanted()).toBe(true);
    expect(changed).toBe(false);
    follower.end();
    await Promise.all([following, changing]);
    expect(changed).toBe(true);
    expect(await access.isWanted()).toBe(false);
  });

  test('that do not end make a change give up', async () => {
    const follower = work();
    const following = access.follow(never, follower.run);
    await follower.begun;
    await expect(access.change(never, async () => undefined)).rejects.toMatchObject({ code: 'STATE_LOCKED' });
    follower.end();
    await following;
  });

  test('end for another process, and wait while it waits or works', async () => {
    const follower = work();
    const following = access.follow(never, follower.run);
    await follower.begun;
    lock.wantedElsewhere = true;
    expect(await access.isWanted()).toBe(true);
    follower.end();
    await following;
    const next = work();
    const again = access.follow(never, next.run);
    await clock.sleep(1, never);
    expect(lock.ours, 'it lets the other one have it').toBe(false);
    lock.elsewhere = true;
    lock.wantedElsewhere = false;
    await clock.sleep(1, never);
    lock.elsewhere = false;
    await next.begun;
    next.end();
    await again;
  });

  test('do not end for another process while a sync here would keep the lock anyway', async () => {
    const sync = work();
    const syncing = access.sync(never, sync.run);
    await sync.begun;
    lock.wantedElsewhere = true;
    expect(await access.isWanted()).toBe(false);
    sync.end();
    await syncing;
  });

  test('that wait can be cancelled', async () => {
    lock.elsewhere = true;
    const stop = new AbortController();
    const waiting = access.follow(stop.signal, async () => undefined);
    stop.abort(new Error('stopped'));
    await expect(waiting).rejects.toThrow('stopped');
  });
});

test('syncs and changes come one after the other, and not after too long', async () => {
  const first = work();
  const running = access.sync(never, first.run);
  await first.begun;
  await expect(access.sync(never, async () => undefined)).rejects.toMatchObject({ code: 'STATE_LOCKED' });
  await expect(access.change(never, async () => undefined)).rejects.toMatchObject({ code: 'STATE_LOCKED' });
  first.end();
  await running;
  expect(await access.sync(never, async () => 'done')).toBe('done');
});
