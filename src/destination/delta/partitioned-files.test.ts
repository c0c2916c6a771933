import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemStoreDeps } from '../../../test/lake/store-deps.js';
import { DuckDbSession } from '../duckdb/session.js';
import { FileCache } from '../lake/file-cache.js';
import { LocalStore } from '../lake/store/local-store.js';
import { type DataFileTools, readableFiles } from './data-files.js';
import { prunedFiles } from './file-pruning.js';
import { MAX_PARTITIONS, writePartitions } from './partitioned-files.js';
import { liveRows, nearFiles, pullRows } from './pull-rows.js';
import { rowCount } from './stats.js';

let folder: string;
let session: DuckDbSession;
let tools: DataFileTools;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sluice-partitioned-'));
  const settings = { path: path.join(folder, 'w.duckdb'), memoryLimitMb: 64, threads: 2, busyWaitMs: 0 };
  session = await DuckDbSession.open(settings, () => undefined);
  const store = new LocalStore(path.join(folder, 'lake'), systemStoreDeps);
  const cache = new FileCache(store, path.join(folder, 'cache'), 0);
  tools = { store, cache, folder: path.join(folder, 'out'), targetFileMb: 128, now: () => new Date(0) };
});
afterAll(async () => {
  session.close();
  await tools.store.close();
  await rm(folder, { recursive: true });
});

const COLUMNS = [
  { name: 'id', type: 'INTEGER' },
  { name: 'p', type: 'VARCHAR' },
  { name: 'q', type: 'DATE' },
  { name: 'v', type: 'VARCHAR' },
];

test('each partition has files of its own, in the order of the rows', async () => {
  await session.run(
    `CREATE OR REPLACE TABLE few AS SELECT i::INTEGER AS id, nullif('p' || i % 3, 'p2') AS p, DATE '2026-01-01' + (i % 2)::INTEGER AS q,
       'v' || i AS v FROM range(60, 0, -1) r(i)`,
  );
  const table = { folder: 'few', columns: COLUMNS, partitionBy: ['q', 'p'] };
  const adds = await writePartitions(session, 'SELECT * FROM few', table, true, tools);
  expect(adds.map(({ partitionValues }) => partitionValues)).toHaveLength(6);
  expect(adds.map(({ partitionValues }) => partitionValues)).toContainEqual({ q: '2026-01-01', p: null });
  for (const { path: name, stats } of adds) {
    expect(name).toMatch(/^part-[0-9a-f-]{36}\.parquet$/);
    expect(rowCount(stats)).toBe(10);
    const file = path.join(folder, 'lake', 'few', name);
    const rows = await session.rows<{ id: number; v: string }>(`SELECT * FROM read_parquet('${file}')`);
    // Readers that know partitions by folders alone find the columns here.
    expect(Object.keys(rows[0] ?? {})).toEqual(['id', 'p', 'q', 'v']);
    expect(stats).toContain('"nullCount":{"id":0,"v":0}');
    expect(rows.map(({ id }) => id)).toEqual(rows.map(({ id }) => id).toSorted((a, b) => b - a));
  }
  const files = await readableFiles(tools.cache, 'few', adds);
  const read = await session.rows(`SELECT * FROM (${await liveRows(session, COLUMNS, files, null)}) ORDER BY id DESC`);
  expect(read).toEqual(await session.rows('SELECT * FROM few'));

  // By the values of the partition and of the statistics, whichever the key has.
  const pruned = async (keys: string, key: string[]): Promise<number> => {
    const choose = { kind: 'keys', keys, key, where: null, whole: 'all', always: [] } as const;
    const left = await prunedFiles(session, adds, { columns: COLUMNS, choose });
    await pullRows(
      session,
      { columns: COLUMNS, into: 'pulled', choose },
      nearFiles(await readableFiles(tools.cache, 'few', left)),
      null,
    );
    const [row] = await session.rows<{ n: number }>('SELECT count(*)::INTEGER AS n FROM pulled WHERE q IS NOT NULL');
    expect(row?.n).toBe(1);
    return left.length;
  };
  expect(await pruned("SELECT 30 AS id, 'p0' AS p", ['id', 'p'])).toBe(2);
  expect(await pruned("SELECT 'p0' AS p, DATE '2026-01-01' AS q, 30 AS id", ['p', 'q', 'id'])).toBe(1);
  expect(await readdir(tools.folder)).toEqual([]);
});

test('a column that is NULL in rows of which the rest is not needed, and a condition on a partition', async () => {
  const table = { folder: 'narrow', columns: COLUMNS, partitionBy: ['p'] };
  const adds = await writePartitions(session, 'SELECT * FROM few', table, true, tools);
  const files = nearFiles(await readableFiles(tools.cache, 'narrow', adds));
  const keys = {
    kind: 'keys',
    keys: 'SELECT unnest([3, 4, 5]) AS id',
    key: ['id'],
    where: "p = 'p1'",
    always: ['p'],
  } as const;
  const choose = { ...keys, whole: { keys: 'SELECT 4 AS id' } } as const;
  await pullRows(session, { columns: COLUMNS, into: 'pulled', choose }, files, null);
  expect(await session.rows('SELECT id, p, q, v FROM pulled')).toEqual([{ id: 4, p: 'p1', q: '2026-01-01', v: 'v4' }]);
  await pullRows(session, { columns: COLUMNS, into: 'pulled', choose: { ...choose, whole: 'none' } }, files, null);
  expect(await session.rows('SELECT id, p, q, v FROM pulled')).toEqual([{ id: 4, p: 'p1', q: null, v: null }]);
});

test('hundreds of partitions of more than the memory limit', async () => {
  await session.run(
    "CREATE OR REPLACE TABLE many AS SELECT i::INTEGER AS id, 'p' || i % 300 AS p, NULL::DATE AS q, repeat(md5(i::VARCHAR), 20) AS v FROM range(200000) r(i)",
  );
  const table = { folder: 'many', columns: COLUMNS, partitionBy: ['p'] };
  const adds = await writePartitions(session, 'SELECT * FROM many', table, true, tools);
  expect(new Set(adds.map(({ partitionValues }) => partitionValues['p'])).size).toBe(300);
  expect(adds.reduce((sum, { stats }) => sum + (rowCount(stats) ?? 0), 0)).toBe(200_000);
}, 240_000);

test('more partitions than a commit can bear are refused, and nothing is left', async () => {
  const table = { folder: 'refused', columns: COLUMNS, partitionBy: ['p'] };
  const rows = `SELECT i::INTEGER AS id, i::VARCHAR AS p, NULL::DATE AS q, '' AS v FROM range(${MAX_PARTITIONS + 1}) r(i)`;
  await expect(writePartitions(session, rows, table, true, tools)).rejects.toMatchObject({
    code: 'DELTA_PARTITIONS_TOO_MANY',
  });
  expect(await session.rows("SELECT table_name FROM duckdb_tables() WHERE starts_with(table_name, 'write_')")).toEqual(
    [],
  );
});
