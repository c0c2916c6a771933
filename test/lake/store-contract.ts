import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { ObjectStore } from '../../src/destination/lake/object-store.js';
import { checkStore } from '../../src/destination/lake/store/check-store.js';
import { probeConditionalWrites, raceConditionalWrites } from '../../src/destination/lake/store/probe.js';
import { systemStoreDeps } from './store-deps.js';

/** An empty store, and an empty folder for the test's own files. */
interface StoreWorld {
  readonly store: ObjectStore;
  readonly folder: string;
}

const bytes = (text: string) => Buffer.from(text);
async function keysOf(store: ObjectStore, prefix: string, startAfter?: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of store.list(prefix, startAfter === undefined ? {} : { startAfter })) found.push(key);
  return found;
}

/** What every store does; held against a folder and against S3 servers. */
export function storeContract(world: () => Promise<StoreWorld>): void {
  describe('the contract of a store', () => {
    test('what is put is got, with its size, time and etag', async () => {
      const { store } = await world();
      expect(await store.get('a/b')).toBeNull();
      expect(await store.head('a/b')).toBeNull();
      const put = await store.put('a/b', bytes('hello'), null);
      const found = await store.get('a/b');
      expect(found).toMatchObject({ key: 'a/b', sizeBytes: 5 });
      expect(Buffer.from(found?.body ?? []).toString()).toBe('hello');
      expect(put).toEqual({ kind: 'written', etag: found?.etag });
      expect(await store.head('a/b')).toMatchObject({ key: 'a/b', sizeBytes: 5 });
      expect(Math.abs((found?.modifiedAt.getTime() ?? 0) - Date.now())).toBeLessThan(60_000);
    });

    test('what did not change is not sent again', async () => {
      const { store } = await world();
      await store.put('a', bytes('one'), null);
      const etag = (await store.get('a'))?.etag ?? '';
      expect(await store.getIfChanged('a', etag)).toBe('unchanged');
      await store.put('a', bytes('two'), null);
      const changed = await store.getIfChanged('a', etag);
      expect(changed !== 'unchanged' && Buffer.from(changed?.body ?? []).toString()).toBe('two');
      await store.delete(['a']);
      expect(await store.getIfChanged('a', etag)).toBeNull();
    });

    test.each([
      { name: 'from the start', from: 0, to: 3, expected: '012' },
      { name: 'in the middle', from: 4, to: 6, expected: '45' },
      { name: 'to the end', from: 7, to: 10, expected: '789' },
      { name: 'nothing', from: 4, to: 4, expected: '' },
    ])('a range: $name', async ({ from, to, expected }) => {
      const { store } = await world();
      await store.put('digits', bytes('0123456789'), null);
      expect(Buffer.from(await store.getRange('digits', from, to)).toString()).toBe(expected);
    });

    test('a range beyond the end, or of nothing, is an error', async () => {
      const { store } = await world();
      await store.put('digits', bytes('0123456789'), null);
      await expect(store.getRange('digits', 8, 12)).rejects.toMatchObject({ code: 'STORE_OBJECT_CHANGED' });
      await expect(store.getRange('digits', 50, 60)).rejects.toMatchObject({ code: 'STORE_OBJECT_CHANGED' });
      await expect(store.getRange('none', 0, 1)).rejects.toMatchObject({ code: 'STORE_OBJECT_MISSING' });
    });

    test.each([{ size: 0 }, { size: 1 }, { size: 300_000 }])(
      'a file of $size bytes goes there and back',
      async ({ size }) => {
        const { store, folder } = await world();
        const content = Buffer.from(Array.from({ length: size }, (_, index) => index % 251));
        await writeFile(join(folder, 'out'), content);
        expect(await store.upload(join(folder, 'out'), 't/part-1.parquet')).toBe(size);
        expect(await store.download('t/part-1.parquet', join(folder, 'in'))).toBe(size);
        expect(Buffer.compare(await readFile(join(folder, 'in')), content)).toBe(0);
      },
    );

    test('a download of nothing leaves no file', async () => {
      const { store, folder } = await world();
      await expect(store.download('none', join(folder, 'in'))).rejects.toMatchObject({ code: 'STORE_OBJECT_MISSING' });
      expect(existsSync(join(folder, 'in'))).toBe(false);
    });

    test('lists in the order of bytes, by prefix and from a start', async () => {
      const { store } = await world();
      const all = ['a', 'a-b', 'b.c', 'b/1', 'b/2/x', 'b/20', 'b0', 'c/_delta_log/0.json', 'c/_delta_log/1.json'];
      for (const key of all.toReversed()) await store.put(key, bytes(key), null);
      expect(await keysOf(store, '')).toEqual(all);
      expect(await keysOf(store, 'b')).toEqual(['b.c', 'b/1', 'b/2/x', 'b/20', 'b0']);
      expect(await keysOf(store, 'b/')).toEqual(['b/1', 'b/2/x', 'b/20']);
      expect(await keysOf(store, 'c/_delta_log/', 'c/_delta_log/0.json')).toEqual(['c/_delta_log/1.json']);
      expect(await keysOf(store, '', 'b/2')).toEqual([
        'b/2/x',
        'b/20',
        'b0',
        'c/_delta_log/0.json',
        'c/_delta_log/1.json',
      ]);
      expect(await keysOf(store, 'x')).toEqual([]);
    });

    test('deletes, also what is not there', async () => {
      const { store } = await world();
      for (const key of ['a', 'b/c', 'b/d']) await store.put(key, bytes(key), null);
      await store.delete(['a', 'b/c', 'never']);
      await store.delete([]);
      expect(await keysOf(store, '')).toEqual(['b/d']);
    });

    test.each([
      { key: '' },
      { key: '/a' },
      { key: 'a//b' },
      { key: '../a' },
      { key: 'a/./b' },
      { key: 'ä' },
      { key: 'a\\b' },
      { key: '.sluice-tmp/x' },
    ])('no key: "$key"', async ({ key }) => {
      const { store } = await world();
      await expect(store.put(key, bytes('x'), null)).rejects.toMatchObject({ code: 'INTERNAL' });
      await expect(store.get(key)).rejects.toMatchObject({ code: 'INTERNAL' });
    });

    test('a wait that is cancelled before it begins asks for nothing', async () => {
      const { store } = await world();
      const reason = new Error('enough');
      await expect(store.put('a', bytes('x'), null, AbortSignal.abort(reason))).rejects.toBe(reason);
      await expect(store.get('a', AbortSignal.abort(reason))).rejects.toBe(reason);
      expect(store.traffic).toEqual({ puts: 0, gets: 0, lists: 0, deletes: 0, bytesSent: 0, bytesReceived: 0 });
    });

    test('counts what it was asked for', async () => {
      const { store } = await world();
      await store.put('a', bytes('12345'), null);
      await store.get('a');
      await store.getRange('a', 1, 3);
      await keysOf(store, '');
      await store.delete(['a']);
      expect(store.traffic).toEqual({ puts: 1, gets: 2, lists: 1, deletes: 1, bytesSent: 5, bytesReceived: 7 });
    });
  });
}

/** Conditions on writes, and the proofs of them. */
export function conditionalSwaps(world: () => Promise<StoreWorld>): void {
  describe('conditional writes', () => {
    test('only where there is none', async () => {
      const { store } = await world();
      expect(await store.put('a', bytes('1'), { kind: 'absent' })).toMatchObject({ kind: 'written' });
      expect(await store.put('a', bytes('2'), { kind: 'absent' })).toEqual({ kind: 'refused' });
      expect(Buffer.from((await store.get('a'))?.body ?? []).toString()).toBe('1');
    });

    test('only over a known version', async () => {
      const { store } = await world();
      const etag = async () => (await store.get('a'))?.etag ?? '';
      await store.put('a', bytes('1'), null);
      const first = await etag();
      const swapped = await store.put('a', bytes('2'), { kind: 'etag', etag: first });
      expect(swapped).toEqual({ kind: 'written', etag: await etag() });
      expect(await store.put('a', bytes('3'), { kind: 'etag', etag: first })).toEqual({ kind: 'refused' });
      expect(await store.put('none', bytes('3'), { kind: 'etag', etag: first })).toEqual({ kind: 'refused' });
      expect(Buffer.from((await store.get('a'))?.body ?? []).toString()).toBe('2');
    });

    test('twenty swaps at once: one goes through', async () => {
      const { store } = await world();
      await store.put('a', bytes('0'), null);
      const etag = (await store.get('a'))?.etag ?? '';
      const results = await Promise.all(
        Array.from({ length: 20 }, (_, n) => store.put('a', bytes(`racer ${n}`), { kind: 'etag', etag })),
      );
      expect(results.filter(({ kind }) => kind === 'written').length).toBe(1);
    });

    test('the probe and the checks find them, and leave nothing behind', async () => {
      const { store } = await world();
      await probeConditionalWrites(store, 'p1');
      expect(await raceConditionalWrites(store, 'p2')).toBe(1);
      const results = await checkStore(store, systemStoreDeps);
      expect(results.map(({ check, level }) => `${check} ${level}`)).toEqual([
        'list ok',
        'put ok',
        'get ok',
        'delete ok',
        'conditional_writes ok',
        'clock ok',
      ]);
      expect(await keysOf(store, '')).toEqual([]);
    });
  });
}
