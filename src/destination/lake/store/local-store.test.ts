import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeClock } from '../../../../test/fake/clock.js';
import { conditionalSwaps, storeContract } from '../../../../test/lake/store-contract.js';
import { systemStoreDeps } from '../../../../test/lake/store-deps.js';
import type { PutCondition } from '../object-store.js';
import { LocalStore } from './local-store.js';

const RACER = resolve(import.meta.dirname, '../../../../test/lake/store-racer.ts');
let folder: string;
let store: LocalStore;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-store-'));
  store = new LocalStore(join(folder, 'lake'), systemStoreDeps);
});
afterEach(() => rm(folder, { recursive: true }));

storeContract(() => Promise.resolve({ store, folder }));
conditionalSwaps(() => Promise.resolve({ store, folder }));

const text0 = (body: string) => Buffer.from(body);
async function keys(prefix = '', startAfter?: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of store.list(prefix, startAfter === undefined ? {} : { startAfter })) found.push(key);
  return found;
}
async function leftInTemporary(): Promise<string[]> {
  return await readdir(join(folder, 'lake/.sluice-tmp'));
}

describe('files', () => {
  test('are those that engines read in place', async () => {
    await store.put('a/b/c.json', text0('x'), { kind: 'absent' });
    expect(await readFile(join(folder, 'lake/a/b/c.json'), 'utf8')).toBe('x');
    expect(await leftInTemporary()).toEqual([]);
  });

  test('an upload that is repeated ends as the first did', async () => {
    const file = join(folder, 'data.parquet');
    await writeFile(file, 'rows');
    expect(await store.upload(file, 't/data.parquet')).toBe(4);
    expect(await store.upload(file, 't/data.parquet')).toBe(4);
    await rm(file);
    expect(await readFile(join(folder, 'lake/t/data.parquet'), 'utf8')).toBe('rows');
    expect(await leftInTemporary()).toEqual([]);
  });

  test('empty folders go with their last object, and come back', async () => {
    await store.put('a/b/c', text0('x'), null);
    await store.put('a/d', text0('x'), null);
    await store.delete(['a/b/c']);
    expect(existsSync(join(folder, 'lake/a/b'))).toBe(false);
    expect(existsSync(join(folder, 'lake/a'))).toBe(true);
    await store.put('a/b/c', text0('x'), null);
    expect(await keys()).toEqual(['a/b/c', 'a/d']);
  });

  test('a linked folder is listed as it is read', async () => {
    await mkdir(join(folder, 'elsewhere'));
    await writeFile(join(folder, 'elsewhere/x'), 'x');
    await store.put('a', text0('a'), null);
    await symlink(join(folder, 'elsewhere'), join(folder, 'lake/t'));
    expect(await keys()).toEqual(['a', 't/x']);
  });
});

test('lists what others put there in the order of UTF-8', async () => {
  const names = fc.uniqueArray(
    fc.string({
      unit: fc.constantFrom('a', 'b', '-', '.', '0', '\u{ffee}', '\u{1f600}', '/'),
      minLength: 1,
      maxLength: 6,
    }),
  );
  const usable = (name: string) => name.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
  await fc.assert(
    fc.asyncProperty(
      names,
      fc.string({ unit: fc.constantFrom('a', 'b', '-', '/'), maxLength: 3 }),
      async (all, prefix) => {
        const root = await mkdtemp(join(folder, 'list-'));
        const sorted = all.filter(usable).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
        // A name cannot be a file and a folder.
        const files = sorted.filter((name) => !sorted.some((other) => other.startsWith(`${name}/`)));
        for (const name of files) {
          await mkdir(join(root, name, '..'), { recursive: true });
          await writeFile(join(root, name), name);
        }
        store = new LocalStore(root, systemStoreDeps);
        const below = files.filter((name) => name.startsWith(prefix));
        expect(await keys(prefix)).toEqual(below);
        for (const start of files) {
          const behind = below.filter((name) => Buffer.compare(Buffer.from(name), Buffer.from(start)) > 0);
          expect(await keys(prefix, start)).toEqual(behind);
        }
      },
    ),
    { numRuns: 60 },
  );
});

describe('locks', () => {
  const swap: PutCondition = { kind: 'etag', etag: '2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881' };
  const lockPath = async () => {
    await store.put('ledger', text0('x'), null);
    // The name is the store's own affair; it is learnt from the message below.
    return join(folder, 'lake/.sluice-tmp');
  };
  const holder = (fields: object) =>
    JSON.stringify({
      host: 'here',
      pid: 1,
      started: null,
      command: 'sluice daemon',
      acquired_at: '2026-03-02T12:00:00Z',
      token: 'other',
      ...fields,
    });

  test('of another host is waited for, then named; taken over where its process died here', async () => {
    const temporary = await lockPath();
    const clock = new FakeClock();
    const patient = new LocalStore(join(folder, 'lake'), { ...systemStoreDeps, clock });
    const name = `lock-${(await import('node:crypto')).createHash('sha256').update('ledger').digest('hex').slice(0, 32)}`;
    await writeFile(join(temporary, name), holder({ host: 'there' }));
    await expect(patient.put('ledger', text0('y'), swap)).rejects.toMatchObject({
      code: 'STORE_CONFLICT',
      message: expect.stringContaining('"sluice daemon" (pid 1 on there)'),
      hint: expect.stringContaining(name),
    });
    expect(clock.sleeps.reduce((sum, ms) => sum + ms, 0)).toBeGreaterThanOrEqual(30_000);
    await writeFile(join(temporary, name), holder({ pid: 2 ** 22 + 1 }));
    expect(await store.put('ledger', text0('y'), swap)).toMatchObject({ kind: 'written' });
    expect(await leftInTemporary()).toEqual([]);
  });
});

test('only old temporary files are left-overs', async () => {
  await store.put('a', text0('a'), null);
  const temporary = join(folder, 'lake/.sluice-tmp');
  for (const name of ['old.tmp', 'new.tmp', 'lock-1', 'lock-2.x.tmp']) await writeFile(join(temporary, name), '');
  for (const name of ['old.tmp', 'lock-1', 'lock-2.x.tmp']) await utimes(join(temporary, name), 1, 1);
  expect(await store.abortLeftovers('', new Date(Date.now() - 60_000))).toBe(2);
  expect((await leftInTemporary()).sort()).toEqual(['lock-1', 'new.tmp']);
  expect(await keys()).toEqual(['a']);
});

test.skipIf(process.getuid?.() === 0)('a folder without permission is told as such', async () => {
  await mkdir(join(folder, 'lake'));
  await chmod(join(folder, 'lake'), 0o500);
  await expect(store.put('a', text0('a'), null)).rejects.toMatchObject({ code: 'STORE_FORBIDDEN' });
});

test('a file where a folder must be is told as such', async () => {
  await store.put('a', text0('a'), null);
  await expect(store.put('a/b', text0('b'), { kind: 'absent' })).rejects.toMatchObject({ code: 'STORE_FAILED' });
});

describe('several processes', () => {
  /** @returns wins of each, and how it ended */
  async function race(task: string, count: number, rounds: number) {
    return await Promise.all(
      Array.from({ length: count }, async () => {
        const args = ['--import', 'tsx', RACER, task, join(folder, 'lake'), String(rounds)];
        const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
        const [wins, [, signal]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
        return { wins: wins.length, signal };
      }),
    );
  }
  const counter = async () => Number(Buffer.from((await store.get('counter'))?.body ?? []).toString());
  const sum = (results: readonly { readonly wins: number }[]) => results.reduce((all, { wins }) => all + wins, 0);

  test('eight race for 50 objects: each has one winner', async () => {
    const results = await race('create', 8, 50);
    expect(sum(results)).toBe(50);
    expect((await keys('race/')).length).toBe(50);
    expect(await leftInTemporary()).toEqual([]);
  }, 60_000);

  test('four count by swaps and lose nothing', async () => {
    await store.put('counter', text0('0'), null);
    expect((await race('count', 4, 25)).map(({ wins }) => wins)).toEqual([25, 25, 25, 25]);
    expect(await counter()).toBe(100);
  }, 60_000);

  test('killed anywhere, they block nobody and lose nothing that they were told of', async () => {
    await store.put('counter', text0('0'), null);
    const killed = await race('die', 6, 1_500);
    expect(killed.map(({ signal }) => signal)).toEqual(Array.from({ length: 6 }, () => 'SIGKILL'));
    const [living] = await race('count', 1, 10);
    expect(living).toEqual({ wins: 10, signal: null });
    const told = sum(killed) + 10;
    expect(await counter()).toBeGreaterThanOrEqual(told);
    expect(await counter()).toBeLessThanOrEqual(told + killed.length);
  }, 60_000);
});
