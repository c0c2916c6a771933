import { beforeEach, describe, expect, test } from 'vitest';
import { SimulatedClock } from '../../test/fake/simulated-clock.js';
import { SluiceError } from '../error/sluice-error.js';
import type { StateLock } from '../state/lock.js';
import { StateAccess } from './state-access.js';

const never = new AbortController().signal;

/** The lock as one process sees it; another one may hold or want it. */
class FakeLock implements StateLock {
  readonly path = '/srv/state.json.lock';
  readonly pollMs = 100;
  ours = false;
  elsewhere = false;
  wantedElsewhere = false;
  taken = 0;

  constructor(readonly clock: SimulatedClock) {}

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
      lost: never,
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

let clock: SimulatedClock;
let lock: FakeLock;
let access: StateAccess;

beforeEach(() => {
  clock = new SimulatedClock();
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
    const following = [access.follow('shop', never, a.run), access.follow('crm', never, b.run)];
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
    const following = access.follow('shop', never, follower.run);
    await follower.begun;
    expect(await access.isWanted('shop')).toBe(false);
    let changed = false;
    const changing = access.change(never, async () => {
      changed = true;
    });
    await clock.sleep(1, never);
    expect(await access.isWanted('shop')).toBe(true);
    expect(changed).toBe(false);
    follower.end();
    await Promise.all([following, changing]);
    expect(changed).toBe(true);
    expect(await access.isWanted('shop')).toBe(false);
  });

  test('that do not end make a change give up', async () => {
    const follower = work();
    const following = access.follow('shop', never, follower.run);
    await follower.begun;
    await expect(access.change(never, async () => undefined)).rejects.toMatchObject({ code: 'STATE_LOCKED' });
    follower.end();
    await following;
  });

  test('end for another process, and wait while it waits or works', async () => {
    const follower = work();
    const following = access.follow('shop', never, follower.run);
    await follower.begun;
    lock.wantedElsewhere = true;
    expect(await access.isWanted('shop')).toBe(true);
    follower.end();
    await following;
    const next = work();
    const again = access.follow('shop', never, next.run);
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
    expect(await access.isWanted('shop')).toBe(false);
    sync.end();
    await syncing;
  });

  test('that wait can be cancelled', async () => {
    lock.elsewhere = true;
    const stop = new AbortController();
    const waiting = access.follow('shop', stop.signal, async () => undefined);
    stop.abort(new Error('stopped'));
    await expect(waiting).rejects.toThrow('stopped');
  });
});

describe('syncs', () => {
  test('of different sources go on side by side, those of one after each other', async () => {
    const [load, next] = [work(), work()];
    const loading = access.sync(never, (signal) => access.inTurn('shop', signal, load.run));
    await load.begun;
    await access.sync(never, (signal) => access.inTurn('crm', signal, async () => expect(lock.taken).toBe(1)));
    const order: string[] = [];
    const waiting = access.sync(never, (signal) =>
      access.inTurn('shop', signal, async () => {
        order.push('asked for');
        await next.run();
      }),
    );
    await clock.sleep(3 * 3_600_000, never);
    order.push('three hours later');
    load.end();
    await loading;
    await next.begun;
    expect(order).toEqual(['three hours later', 'asked for']);
    next.end();
    await waiting;
    expect(lock.ours).toBe(false);
  });

  test('that wait for their turn can be cancelled, and those behind them have theirs', async () => {
    const load = work();
    const loading = access.sync(never, (signal) => access.inTurn('shop', signal, load.run));
    await load.begun;
    const stop = new AbortController();
    const waiting = access.sync(stop.signal, (signal) => access.inTurn('shop', signal, async () => undefined));
    const behind = access.sync(never, (signal) => access.inTurn('shop', signal, async () => 'done'));
    await clock.sleep(1, never);
    stop.abort(new Error('stopped'));
    await expect(waiting).rejects.toThrow('stopped');
    load.end();
    expect(await behind).toBe('done');
    await loading;
  });

  test('of several sources wait together for a lock that another process has', async () => {
    lock.elsewhere = true;
    const startedMs = clock.monotonicMs();
    const ends = await Promise.allSettled([1, 2, 3].map(() => access.sync(never, async () => undefined)));
    expect(ends.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    expect(clock.monotonicMs() - startedMs).toBeLessThan(11_000);
  });

  test('let another process that waits have the lock, and do not wait for it long', async () => {
    const load = work();
    const loading = access.sync(never, (signal) => access.inTurn('shop', signal, load.run));
    await load.begun;
    lock.wantedElsewhere = true;
    const startedMs = clock.monotonicMs();
    await access.sync(never, async () => undefined);
    expect(clock.monotonicMs() - startedMs).toBe(10_000);
    load.end();
    await loading;
  });

  test('stand back for a process that waited while the one before had the lock', async () => {
    await access.sync(never, async () => undefined);
    lock.wantedElsewhere = true;
    let synced = false;
    const syncing = access.sync(never, async () => {
      synced = true;
    });
    await clock.sleep(500, never);
    expect([synced, lock.taken]).toEqual([false, 1]);
    lock.elsewhere = true;
    lock.wantedElsewhere = false;
    await clock.sleep(500, never);
    lock.elsewhere = false;
    await syncing;
    expect([synced, lock.taken]).toEqual([true, 2]);
  });
});

describe('a change', () => {
  test('of some sources leaves what goes on with others alone', async () => {
    const [load, follower] = [work(), work()];
    const loading = access.sync(never, (signal) => access.inTurn('shop', signal, load.run));
    const following = access.follow('lake', never, follower.run);
    await Promise.all([load.begun, follower.begun]);
    await access.changeSources(['crm'], never, async () => {
      expect(await access.isWanted('lake')).toBe(false);
      expect(access.isTaken('crm')).toBe(true);
    });
    expect(access.isTaken('crm')).toBe(false);
    load.end();
    follower.end();
    await Promise.all([loading, following]);
  });

  test('of a source waits for its run, has its follower end, and keeps both away', async () => {
    const [run, follower] = [work(), work()];
    const running = access.sync(never, (signal) => access.inTurn('shop', signal, run.run));
    const following = access.follow('shop', never, follower.run);
    await Promise.all([run.begun, follower.begun]);
    const order: string[] = [];
    const changing = access.changeSources(['crm', 'shop'], never, async () => {
      order.push('changed');
    });
    await clock.sleep(1, never);
    expect(await access.isWanted('shop')).toBe(true);
    const behind = access.sync(never, (signal) =>
      access.inTurn('shop', signal, async () => {
        order.push('synced');
      }),
    );
    run.end();
    await running;
    expect(order).toEqual([]);
    follower.end();
    await Promise.all([following, changing, behind]);
    expect(order).toEqual(['changed', 'synced']);
  });

  test('does not wait long for a load, which goes on', async () => {
    const load = work();
    const loading = access.sync(never, (signal) => access.inTurn('shop', signal, load.run));
    await load.begun;
    const changing = access.changeSources(['shop', 'crm'], never, async () => undefined);
    await expect(changing).rejects.toMatchObject({
      code: 'STATE_LOCKED',
      message: 'the change has to wait: test (pid 7, this process) is at work with shop',
    });
    await expect(access.change(never, async () => undefined)).rejects.toMatchObject({ code: 'STATE_LOCKED' });
    // Nothing of the two stays behind.
    expect(await access.sync(never, (signal) => access.inTurn('crm', signal, async () => 'done'))).toBe('done');
    expect(await access.isWanted('shop')).toBe(false);
    load.end();
    await loading;
  });

  test('of everything has it all for itself', async () => {
    const change = work();
    const changing = access.change(never, change.run);
    await change.begun;
    let synced = false;
    const syncing = access.sync(never, async () => {
      synced = true;
    });
    await clock.sleep(3_600_000, never);
    await expect(access.changeSources(['shop'], never, async () => undefined)).rejects.toMatchObject({
      code: 'STATE_LOCKED',
    });
    expect(synced).toBe(false);
    change.end();
    await Promise.all([changing, syncing]);
    expect(synced).toBe(true);
  });
});
