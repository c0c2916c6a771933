import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { clearSpill, type SpillLog, SpillStore, spillFolder } from './spill-store.js';

let root: string;
let folder: string;

beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'sluice-spill-'));
  folder = spillFolder(path.join(root, 'state.json'), 'shop');
});
afterEach(() => rm(root, { recursive: true, force: true }));

const record = (length: number, fill: number): Buffer => Buffer.alloc(length, fill);

async function records(log: SpillLog): Promise<{ tag: number; bytes: Buffer }[]> {
  const found: { tag: number; bytes: Buffer }[] = [];
  await log.read(
    (tag, bytes, start, end) => found.push({ tag, bytes: Buffer.from(bytes.subarray(start, end)) }),
    async () => undefined,
  );
  return found;
}

describe('a log', () => {
  test('keeps little in memory, and touches no disk for it', async () => {
    const store = new SpillStore(folder);
    const log = store.open('1');
    log.append(7, Buffer.from('xabcx'), 1, 4);
    log.append(4_294_967_295, Buffer.alloc(0), 0, 0);
    expect(await records(log)).toEqual([
      { tag: 7, bytes: Buffer.from('abc') },
      { tag: 4_294_967_295, bytes: Buffer.alloc(0) },
    ]);
    expect(await readdir(root)).toEqual([]);
  });

  test('gives back what lies in the file and what came after it, in order', async () => {
    const store = new SpillStore(folder, 50_000);
    const log = store.open('1');
    const sizes = [10, 40_000, 20_000, 0, 700_000, 1, 300_000, 3];
    for (const [tag, size] of sizes.entries()) log.append(tag, record(size, tag), 0, size);
    expect(log.inMemory).toBeLessThanOrEqual(50_000);
    expect(await readdir(folder)).toEqual(['1.spill']);
    expect((await records(log)).map(({ tag, bytes }) => [tag, bytes.equals(record(sizes[tag] ?? 0, tag))])).toEqual(
      sizes.map((_, tag) => [tag, true]),
    );
    log.remove();
    expect(await readdir(folder)).toEqual([]);
  });

  test('that is the largest goes to disk, others stay', async () => {
    const store = new SpillStore(folder, 100_000);
    const [small, large] = [store.open('small'), store.open('large')];
    for (let i = 0; i < 50; i += 1) {
      small.append(i, record(100, i), 0, 100);
      large.append(i, record(4_000, i), 0, 4_000);
    }
    expect(await readdir(folder)).toEqual(['large.spill']);
    expect(await records(small)).toHaveLength(50);
    expect(await records(large)).toHaveLength(50);
    await store.close();
    expect(await readdir(root)).toEqual([]);
  });

  test('that was removed gives its memory back', async () => {
    const store = new SpillStore(folder, 10_000);
    for (let i = 0; i < 20; i += 1) {
      const log = store.open(`${i}`);
      log.append(i, record(4_000, i), 0, 4_000);
      log.remove();
    }
    expect(await readdir(root)).toEqual([]);
  });
});

test('a file that was cut is noticed', async () => {
  const store = new SpillStore(folder, 1_000);
  const log = store.open('1');
  log.append(1, record(5_000, 1), 0, 5_000);
  await writeFile(path.join(folder, '1.spill'), record(100, 0));
  await expect(records(log)).rejects.toMatchObject({ code: 'SPILL_FAILED' });
});

test('a disk that cannot be written is an error that names the file', async () => {
  await writeFile(path.join(root, 'spill'), 'in the way');
  const log = new SpillStore(folder, 10).open('1');
  expect(() => log.append(1, record(100, 1), 0, 100)).toThrow(
    expect.objectContaining({ code: 'SPILL_FAILED', message: expect.stringContaining('1.spill') }),
  );
});

test('leftovers of a crash are removed, those of another source are not', async () => {
  for (const source of ['shop', 'other']) {
    const log = new SpillStore(spillFolder(path.join(root, 'state.json'), source), 10).open('1');
    log.append(1, record(100, 1), 0, 100);
  }
  await clearSpill(folder);
  expect(await readdir(path.join(root, 'spill'))).toEqual(['other']);
});
