import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { MemoryStore } from '../../../test/fake/memory-store.js';
import { DuckDbSession } from '../duckdb/session.js';
import { literal } from '../duckdb/sql-text.js';
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
  expect((await readdir(folder)).filter((name) => name !== 'boot')).toHaveLength(2);
  const before = store.traffic.gets;
  await cache.files(['a', 'c']);
  expect(store.traffic.gets).toBe(before);
  await cache.files(['b']);
  expect(store.traffic.gets).toBe(before + 1);
});

test('files that are used within one millisecond go in the order of their use', async () => {
  vi.useFakeTimers({ toFake: ['Date'] });
  try {
    const store = await storeOf('a', 'b');
    const cache = new FileCache(store, path.join(root, 'tie'), 150);
    await cache.files(['a']);
    await cache.files(['b']);
    await cache.files(['a']);
    await cache.trim();
    await cache.files(['a']);
    expect(store.traffic.gets).toBe(2);
  } finally {
    vi.useRealTimers();
  }
});

test('an object that is gone is said, and leaves nothing', async () => {
  const store = await storeOf();
  const folder = path.join(root, 'gone');
  const cache = new FileCache(store, folder, 1e6);
  await expect(cache.files(['t/none.parquet'])).rejects.toMatchObject({ code: 'STORE_OBJECT_MISSING' });
  expect(await readdir(folder)).toEqual(['boot']);
});

test('a copy that somebody else has trimmed is fetched again', async () => {
  const store = await storeOf('t/a.parquet');
  const cache = new FileCache(store, path.join(root, 'shared'), 1e6);
  const [file] = await cache.files(['t/a.parquet']);
  await rm(file ?? '');
  expect(await cache.files(['t/a.parquet'])).toEqual([file]);
  expect(await readFile(file ?? '', 'utf8')).toBe(Buffer.alloc(100, 't/a.parquet').toString());
});

test('no copy outlives a start of the machine, as nobody knows what of it was on the disk', async () => {
  const store = await storeOf('t/a.parquet');
  const folder = path.join(root, 'boots');
  const [file] = await new FileCache(store, folder, 1e6).files(['t/a.parquet']);
  await writeFile(file ?? '', Buffer.alloc(100));
  await writeFile(path.join(folder, 'boot'), 'the one before');
  const [again] = await new FileCache(store, folder, 1e6).files(['t/a.parquet']);
  expect(await readFile(again ?? '', 'utf8')).toBe(Buffer.alloc(100, 't/a.parquet').toString());
});

describe('columns of a large file', () => {
  let session: DuckDbSession;
  const store = new MemoryStore();
  const large = { key: 't/large.parquet', sizeBytes: 0 };
  beforeAll(async () => {
    const settings = { path: path.join(root, 'w.duckdb'), memoryLimitMb: 256, threads: 1, busyWaitMs: 0 };
    session = await DuckDbSession.open(settings, () => undefined);
    const file = path.join(root, 'large');
    await session.run(
      `COPY (SELECT i AS id, i % 3 AS n, md5(i::VARCHAR) AS v FROM range(120000) r(i)) TO ${literal(file)} (FORMAT parquet)`,
    );
    large.sizeBytes = store.set(large.key, await readFile(file)).sizeBytes;
    store.set('t/small.parquet', 'small');
  });
  afterAll(() => session.close());

  const small = { key: 't/small.parquet', sizeBytes: 5 };
  const asked = async <T>(work: () => Promise<T>) => {
    const before = store.traffic;
    const result = await work();
    return {
      result,
      gets: store.traffic.gets - before.gets,
      bytes: store.traffic.bytesReceived - before.bytesReceived,
    };
  };

  test('are fetched alone, once for each choice of them, and make way for the whole file', async () => {
    const folder = path.join(root, 'columns');
    const cache = new FileCache(store, folder, 1e9);
    expect(await cache.areNear([small, large])).toBe(false);
    expect(await cache.areNear([small])).toBe(true);
    const first = await asked(() => cache.columns(session, [large, small], ['id', 'n']));
    expect(first.bytes).toBeLessThan(large.sizeBytes / 4);
    const [part, whole] = first.result;
    expect(await readFile(whole ?? '', 'utf8')).toBe('small');
    const read = await session.rows(
      `SELECT sum(id)::BIGINT AS s, max(n) AS n FROM read_parquet(${literal(part ?? '')})`,
    );
    expect(read).toEqual([{ s: String(60_000 * 119_999), n: '2' }]);

    // By a later process, and in another order.
    const later = new FileCache(store, folder, 1e9);
    const second = await asked(() => later.columns(session, [small, large], ['n', 'id']));
    expect(second).toMatchObject({ gets: 0, result: [whole, part] });
    expect((await asked(() => later.columns(session, [large], ['n']))).result).not.toEqual([part]);

    const fetched = await asked(() => later.files([large.key]));
    expect(fetched.bytes).toBe(large.sizeBytes);
    const third = await asked(() => later.columns(session, [large], ['id', 'n']));
    expect(third).toMatchObject({ gets: 0, result: fetched.result });
    expect(await later.areNear([large])).toBe(true);
  });

  test('count with the room that they take', async () => {
    const folder = path.join(root, 'room');
    const cache = new FileCache(store, folder, large.sizeBytes / 2);
    const [part] = await cache.columns(session, [large], ['n']);
    await cache.trim();
    expect((await stat(part ?? '')).size).toBe(large.sizeBytes);
    await cache.files([large.key]);
    await cache.trim();
    expect(await readdir(folder)).toEqual(['boot']);
  });

  test('leave nothing behind when they cannot be fetched', async () => {
    const folder = path.join(root, 'broken');
    const cache = new FileCache(store, folder, 1e9);
    const gone = { key: 't/gone.parquet', sizeBytes: large.sizeBytes };
    await expect(cache.columns(session, [large, gone], ['id'])).rejects.toMatchObject({ code: 'STORE_OBJECT_MISSING' });
    expect(await readdir(folder)).toEqual(['boot']);
  });
});
