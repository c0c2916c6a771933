import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MemoryStore } from '../../../test/fake/memory-store.js';
import { FileCache } from './file-cache.js';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'sluice-cache-'));
});
afterAll(async () => {
  await rm(root, { recursive: true });
});

async function storeOf(...keys: string[]): Promise<MemoryStore> {
  const store = new MemoryStore();
  for (const key of keys) await store.put(key, Buffer.alloc(100, key), null);
  return store;
}

test('a file is fetched once, also by a later process', async () => {
  const store = await storeOf('t/a.parquet');
  const folder = path.join(root, 'once');
  const [first] = await new FileCache(store, folder, 1e6).files(['t/a.parquet', 't/a.parquet']);
  const [second] = await new FileCache(store, folder, 1e6).files(['t/a.parquet']);
  expect(second).toBe(first);
  expect(store.traffic.gets).toBe(1);
  expect((await readFile(first ?? '')).equals(Buffer.alloc(100, 't/a.parquet'))).toBe(true);
});

test('what was sent from here is not fetched back', async () => {
  const store = await storeOf();
  const cache = new FileCache(store, path.join(root, 'adopted'), 1e6);
  const file = path.join(root, 'sent.parquet');
  await writeFile(file, 'rows');
  await store.upload(file, 't/b.parquet');
  await cache.adopt(file, 't/b.parquet');
  const [local] = await cache.files(['t/b.parquet']);
  expect(await readFile(local ?? '', 'utf8')).toBe('rows');
  expect(store.traffic.gets).toBe(0);
  await expect(stat(file)).rejects.toMatchObject({ code: 'ENOENT' });
});

test('the least recently used files go first, and what a broken download left', async () => {
  const store = await storeOf('a', 'b', 'c');
  const folder = path.join(root, 'full');
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, 'x.parquet.1.partial'), 'half');
  const cache = new FileCache(store, folder, 250);
  await cache.files(['a']);
  await cache.files(['b']);
  await cache.files(['c']);
  await cache.files(['a']);
  await cache.trim();
  expect((await readdir(folder)).length).toBe(2);
  const before = store.traffic.gets;
  await cache.files(['a', 'c']);
  expect(store.traffic.gets).toBe(before);
  await cache.files(['b']);
  expect(store.traffic.gets).toBe(before + 1);
});

test('an object that is gone is said, and leaves nothing', async () => {
  const store = await storeOf();
  const folder = path.join(root, 'gone');
  const cache = new FileCache(store, folder, 1e6);
  await expect(cache.files(['t/none.parquet'])).rejects.toMatchObject({ code: 'STORE_OBJECT_MISSING' });
  expect(await readdir(folder)).toEqual([]);
});
