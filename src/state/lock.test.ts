import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type LockDeps, openStateLock, withLock } from './lock.js';
import type { LockHolder } from './lock-file.js';

let folder: string;
let now: number;
let slept: number[];
let tokens = 0;
const signal = new AbortController().signal;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-lock-'));
  now = 1_000_000;
  slept = [];
});
afterEach(() => rm(folder, { recursive: true }));

/** A process `pid` on `host`, in a world where exactly `alive` (pid to start time) runs. */
function deps(
  fields: Partial<LockDeps> = {},
  alive: Readonly<Record<number, string>> = { 7: 'boot/7', 8: 'boot/8' },
): LockDeps {
  return {
    host: 'here',
    pid: 7,
    command: 'sluice apply',
    clock: {
      now: () => new Date(now),
      monotonicMs: () => now,
      sleep: (ms) => {
        slept.push(ms);
        now += ms;
        return Promise.resolve();
      },
    },
    processes: { exists: (pid) => alive[pid] !== undefined, startedAt: (pid) => alive[pid] ?? null },
    newToken: () => `token-${++tokens}`,
    ...fields,
  };
}

const statePath = () => join(folder, 'state.json');
const holder = (fields: Partial<LockHolder> = {}): LockHolder => ({
  host: 'here',
  pid: 8,
  started: 'boot/8',
  command: 'sluice daemon',
  acquired_at: new Date(1_000_000 - 90_000).toISOString(),
  token: 'other',
  ...fields,
});
const putLock = (value: unknown) => writeFile(`${statePath()}.lock`, JSON.stringify(value));

test('taking and giving back leaves nothing behind', async () => {
  const lock = openStateLock(statePath(), deps());
  const held = await lock.acquire(0, signal);
  expect(await lock.status()).toEqual({ holder: held.holder, ageMs: 0, dead: false });
  expect(JSON.parse(await readFile(lock.path, 'utf8'))).toMatchObject({
    host: 'here',
    pid: 7,
    command: 'sluice apply',
  });
  await held.release();
  await held.release();
  expect(await lock.status()).toBeNull();
  expect(await readdir(folder)).toEqual([]);
});

describe('a lock that is there', () => {
  test.each<{ name: string; content: unknown; freed: boolean }>([
    { name: 'a living process keeps it', content: holder(), freed: false },
    { name: 'a pid that is gone frees it', content: holder({ pid: 99 }), freed: true },
    { name: 'a pid that was given to a later process frees it', content: holder({ started: 'boot/1' }), freed: true },
    { name: 'without a start time the pid decides', content: holder({ started: null }), freed: false },
    { name: 'another host cannot be judged', content: holder({ host: 'there', pid: 99 }), freed: false },
    { name: 'a file that is no lock is kept', content: { hello: 1 }, freed: false },
    {
      name: 'a token that could leave the folder is no lock',
      content: holder({ pid: 99, token: '../x' }),
      freed: false,
    },
  ])('$name', async (c) => {
    await putLock(c.content);
    const lock = openStateLock(statePath(), deps());
    if (c.freed) {
      const held = await lock.acquire(0, signal);
      expect((await lock.status())?.holder.token).toBe(held.holder.token);
      expect(await readdir(folder)).toEqual(['state.json.lock']);
    } else {
      await expect(lock.acquire(0, signal)).rejects.toMatchObject({ code: 'STATE_LOCKED' });
      expect(JSON.parse(await readFile(lock.path, 'utf8'))).toEqual(c.content);
    }
  });
});

test('the refusal names holder and age', async () => {
  await putLock(holder());
  await expect(openStateLock(statePath(), deps()).acquire(0, signal)).rejects.toThrow(
    'the state is locked by "sluice daemon" (pid 8 on here) for 90 s',
  );
});

test('waits as long as it was told, then refuses', async () => {
  await putLock(holder());
  await expect(openStateLock(statePath(), deps()).acquire(250, signal)).rejects.toMatchObject({ code: 'STATE_LOCKED' });
  expect(slept).toEqual([100, 100, 50]);
});

test('gets the lock when it is given back during the wait', async () => {
  const first = await openStateLock(statePath(), deps({ pid: 8 })).acquire(0, signal);
  const clock = deps().clock;
  const waiting = deps({
    clock: {
      ...clock,
      sleep: async (ms) => {
        now += ms;
        await first.release();
      },
    },
  });
  const held = await openStateLock(statePath(), waiting).acquire(1_000, signal);
  expect(held.holder.pid).toBe(7);
});

test('a stop ends the wait', async () => {
  await putLock(holder());
  const stop = new AbortController();
  const clock = deps().clock;
  const stopping = deps({
    clock: {
      ...clock,
      sleep: (_ms, waitSignal) => {
        stop.abort(new Error('stopped'));
        return Promise.reject(waitSignal.reason);
      },
    },
  });
  await expect(openStateLock(statePath(), stopping).acquire(60_000, stop.signal)).rejects.toThrow('stopped');
});

test('releasing does not take away the lock of somebody else', async () => {
  const lock = openStateLock(statePath(), deps());
  const held = await lock.acquire(0, signal);
  await lock.unlock(true);
  const other = await openStateLock(statePath(), deps({ pid: 8 })).acquire(0, signal);
  await held.release();
  expect((await lock.status())?.holder.token).toBe(other.holder.token);
});

test('a process that died while freeing a lock blocks nobody', async () => {
  await putLock(holder({ pid: 99, token: 'dead-one' }));
  await writeFile(`${statePath()}.lock.remove-dead-one`, JSON.stringify(holder({ pid: 98, token: 'dead-two' })));
  const held = await openStateLock(statePath(), deps()).acquire(0, signal);
  expect(held.holder.pid).toBe(7);
  expect(await readdir(folder)).toEqual(['state.json.lock']);
});

describe('unlock', () => {
  test.each<{ name: string; content: unknown; force: boolean; result: 'freed' | 'refused' }>([
    { name: 'a dead holder without force', content: holder({ pid: 99 }), force: false, result: 'freed' },
    { name: 'a living holder without force', content: holder(), force: false, result: 'refused' },
    { name: 'a living holder with force', content: holder(), force: true, result: 'freed' },
    { name: 'another host with force', content: holder({ host: 'there' }), force: true, result: 'freed' },
    { name: 'no lock of ours without force', content: 'x', force: false, result: 'refused' },
    { name: 'no lock of ours with force', content: 'x', force: true, result: 'freed' },
  ])('$name', async (c) => {
    await putLock(c.content);
    const lock = openStateLock(statePath(), deps());
    if (c.result === 'refused') {
      await expect(lock.unlock(c.force)).rejects.toMatchObject({ code: 'STATE_LOCKED' });
      expect(await readdir(folder)).toEqual(['state.json.lock']);
    } else {
      expect(await lock.unlock(c.force)).not.toBeNull();
      expect(await readdir(folder)).toEqual([]);
    }
  });

  test('nothing to free', async () => {
    expect(await openStateLock(statePath(), deps()).unlock(true)).toBeNull();
  });
});

describe('withLock', () => {
  test('gives the lock back after success and after failure', async () => {
    const lock = openStateLock(statePath(), deps());
    const wait = { waitMs: 0, signal };
    expect(await withLock(lock, wait, async (held) => held.holder.pid)).toBe(7);
    expect(await lock.status()).toBeNull();
    await expect(withLock(lock, wait, () => Promise.reject(new Error('failed inside')))).rejects.toThrow(
      'failed inside',
    );
    expect(await lock.status()).toBeNull();
  });
});

describe('who waits says so', () => {
  const wanted = () => join(folder, 'state.json.lock.wanted');

  test('while it waits, and the note goes with it', async () => {
    await putLock(holder());
    const seen: boolean[] = [];
    const base = deps();
    const holding = openStateLock(statePath(), deps({ pid: 8 }));
    const clock = {
      ...base.clock,
      sleep: async (ms: number) => {
        seen.push(await holding.wanted());
        now += ms;
      },
    };
    expect(await holding.wanted()).toBe(false);
    await expect(openStateLock(statePath(), { ...base, clock }).acquire(300, signal)).rejects.toMatchObject({
      code: 'STATE_LOCKED',
    });
    expect(seen).toEqual([true, true, true]);
    expect(await holding.wanted()).toBe(false);
    expect(await readdir(folder)).toEqual(['state.json.lock']);
  });

  test('but not when it does not wait', async () => {
    await putLock(holder());
    await expect(openStateLock(statePath(), deps()).acquire(0, signal)).rejects.toMatchObject({ code: 'STATE_LOCKED' });
    expect(await readdir(folder)).toEqual(['state.json.lock']);
  });

  test.each<{ name: string; note: Partial<LockHolder>; stale: boolean }>([
    {
      name: 'of a living process counts',
      note: { pid: 8, acquired_at: new Date(999_000).toISOString() },
      stale: false,
    },
    { name: 'of a dead process is removed', note: { pid: 99 }, stale: true },
    {
      name: 'of another host counts for a while',
      note: { host: 'there', acquired_at: new Date(999_000).toISOString() },
      stale: false,
    },
    { name: 'of another host is removed when it is old', note: { host: 'there' }, stale: true },
  ])('a note $name', async ({ note, stale }) => {
    await writeFile(wanted(), JSON.stringify(holder(note)));
    expect(await openStateLock(statePath(), deps()).wanted()).toBe(!stale);
    expect(await readdir(folder)).toEqual(stale ? [] : ['state.json.lock.wanted']);
  });

  test('a note that is just being written is no note yet', async () => {
    await writeFile(wanted(), '{"host":');
    expect(await openStateLock(statePath(), deps()).wanted()).toBe(false);
    expect(await readdir(folder)).toEqual(['state.json.lock.wanted']);
  });

  test('a note whose writer was killed in the middle does not stand in the way for ever', async () => {
    await writeFile(wanted(), '{"host":');
    await utimes(wanted(), new Date(0), new Date(now - 60_000));
    expect(await openStateLock(statePath(), deps()).wanted()).toBe(false);
    expect(await readdir(folder)).toEqual([]);
  });

  test('the note of a dead process goes when the lock is taken', async () => {
    await writeFile(wanted(), JSON.stringify(holder({ pid: 99 })));
    await openStateLock(statePath(), deps()).acquire(0, signal);
    expect(await readdir(folder)).toEqual(['state.json.lock']);
  });
});
