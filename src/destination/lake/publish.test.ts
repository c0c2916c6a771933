import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MemoryStore } from '../../../test/fake/memory-store.js';
import { SluiceError } from '../../error/sluice-error.js';
import { DeltaFormat } from '../delta/delta-format.js';
import { ParquetFormat } from '../parquet/parquet-format.js';
import { FileCache } from './file-cache.js';
import { Lake } from './lake.js';
import { readLake } from './lake-reader.js';
import type { TableFormat } from './table-format.js';

/** The commits of one ledger to the logs of many tables: several at once, and each once. */

const NOW = new Date('2026-03-02T12:00:00Z');
const MEMORY = { memoryLimitMb: 128, threads: 1 } as const;
const TABLES = Array.from({ length: 20 }, (_, index) => `t${index}`);
/** A bucket's answer takes longer than what happens here beside it. */
const LATENCY_MS = 20;

let folder: string;
let store: MemoryStore;
let inFlight = 0;
let most = 0;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sluice-publish-'));
  store = new MemoryStore();
  [inFlight, most] = [0, 0];
});
afterEach(() => rm(folder, { recursive: true }));

const isCommit = (key: string): boolean => key.includes('/_delta_log/') || key.endsWith('/latest.json');

/** @param down which tables' logs cannot be reached */
function slow(down: (key: string) => boolean = () => false): void {
  store.beforePut = async (key) => {
    if (!isCommit(key)) return;
    inFlight += 1;
    most = Math.max(most, inFlight);
    await sleep(LATENCY_MS);
    inFlight -= 1;
    if (down(key)) throw new SluiceError({ code: 'STORE_UNREACHABLE', message: `no way to ${key}` });
  };
}

function formatOf(kind: 'delta' | 'parquet', workFolder: string): TableFormat {
  const cache = new FileCache(store, path.join(workFolder, 'cache'), 1e9);
  const tools = { store, cache, folder: workFolder, targetFileMb: 128, now: () => NOW };
  const maintenance = { smallFileMb: 32, deletedRatio: 0.2, retentionMs: 1_000, clusterByKey: true };
  if (kind === 'parquet') return new ParquetFormat(tools);
  return new DeltaFormat({ deletes: 'dv', engineInfo: 'test', maintenance }, tools);
}

function openLake(kind: 'delta' | 'parquet'): Lake {
  const session = { path: path.join(folder, 'work.duckdb'), ...MEMORY, busyWaitMs: 0 };
  const format = formatOf(kind, folder);
  return new Lake({ session, workFolder: folder }, { store, format, onWait: () => undefined, now: () => NOW });
}

/** One row more in each of the tables, in one transaction. */
async function addRows(lake: Lake, id: number): Promise<void> {
  const session = await lake.opened();
  await lake.write('shop', [], () =>
    session.transaction(async () => {
      await session.run('CREATE SCHEMA IF NOT EXISTS public');
      for (const name of TABLES) {
        await session.run(`CREATE TABLE IF NOT EXISTS public.${name} (id INTEGER)`);
        await session.run(`INSERT INTO public.${name} VALUES (${id})`);
      }
      await session.run('DELETE FROM _sluice.tables');
      await session.run(
        `INSERT INTO _sluice.tables (address, target_schema, target_name, loaded_generation)
         VALUES ${TABLES.map((name) => `('shop:public.${name}', 'public', '${name}', 1)`).join(', ')}`,
      );
    }),
  );
}

async function rows(kind: 'delta' | 'parquet'): Promise<string[]> {
  const workFolder = path.join(folder, 'reader');
  const session = await readLake({ ...MEMORY, workFolder }, { store, format: formatOf(kind, workFolder) }, null);
  try {
    const all = TABLES.map((name) => `SELECT '${name} ' || id AS row FROM public.${name}`).join(' UNION ALL ');
    return (await session.rows<{ row: string }>(`${all} ORDER BY row`)).map(({ row }) => row);
  } finally {
    session.close();
  }
}

const everyTable = (...ids: number[]): string[] => TABLES.flatMap((name) => ids.map((id) => `${name} ${id}`)).sort();

describe.each(['delta', 'parquet'] as const)('%s', (kind) => {
  test('some commits are on their way at once, and never more than a few', async () => {
    slow();
    const lake = openLake(kind);
    await addRows(lake, 1);
    most = 0;
    await addRows(lake, 2);
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(6);
    lake.release();
    expect(await rows(kind)).toEqual(everyTable(1, 2));
  });

  test('a trouble is told, those on their way are finished, and whoever comes next does the others', async () => {
    const lake = openLake(kind);
    await addRows(lake, 1);
    slow((key) => key.startsWith('public/t3/'));
    const before = store.traffic.puts;
    await expect(addRows(lake, 2)).rejects.toMatchObject({
      code: 'STORE_UNREACHABLE',
      message: expect.stringContaining('public/t3/'),
    });
    expect(inFlight).toBe(0);
    expect(store.traffic.puts).toBeGreaterThan(before);
    lake.release();
    store.beforePut = null;
    const next = openLake(kind);
    await next.opened();
    next.release();
    expect(await rows(kind)).toEqual(everyTable(1, 2));
  });
});
