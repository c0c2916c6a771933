import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MemoryStore } from '../../../test/fake/memory-store.js';
import { DuckDbSession } from '../duckdb/session.js';
import { columnList, identifier, literal } from '../duckdb/sql-text.js';
import { fetchColumns, rangesToFetch } from './column-fetch.js';

let folder: string;
let session: DuckDbSession;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sluice-columns-'));
  const settings = { path: path.join(folder, 'w.duckdb'), memoryLimitMb: 256, threads: 2, busyWaitMs: 0 };
  session = await DuckDbSession.open(settings, () => undefined);
});
afterAll(async () => {
  session.close();
  await rm(folder, { recursive: true });
});

/** Columns that lie in files in each way that DuckDB knows, and one that makes up most of a file. */
const COLUMNS = {
  id: 'i::BIGINT',
  few: "('value ' || i % 50)",
  'a, b': '(i % 7)::INTEGER',
  a: 'CASE WHEN i % 3 = 0 THEN NULL ELSE i / 4 END',
  'Größe "x"': 'md5((i % 9)::VARCHAR)',
  list: '[i, NULL, i % 5]',
  at: "TIMESTAMPTZ '2026-03-02' + INTERVAL (i % 90000) SECOND",
  nothing: 'NULL::DOUBLE',
  large: "md5(i::VARCHAR) || md5('x' || i) || md5('y' || i) || md5('z' || i) || md5('v' || i)",
} as const;
const NAMES = Object.keys(COLUMNS) as (keyof typeof COLUMNS)[];

async function storedFile(store: MemoryStore, key: string, options: string, rows = 60_000): Promise<string> {
  const file = path.join(folder, key);
  const cells = NAMES.map((name) => `${COLUMNS[name]} AS ${identifier(name)}`).join(', ');
  await session.run(`COPY (SELECT ${cells} FROM range(${rows}) r(i)) TO ${literal(file)} (FORMAT parquet, ${options})`);
  store.set(key, await readFile(file));
  return file;
}

test('what is read of a part is what the whole file has, however it is looked for', async () => {
  const store = new MemoryStore();
  const files = [
    await storedFile(store, 'zstd', 'COMPRESSION zstd, ROW_GROUP_SIZE 8192'),
    await storedFile(store, 'plain', 'COMPRESSION uncompressed, ROW_GROUP_SIZE 20480'),
    await storedFile(store, 'v2', "COMPRESSION snappy, PARQUET_VERSION 'v2'"),
  ];
  let parts = 0;
  await fc.assert(
    fc.asyncProperty(fc.subarray(NAMES.slice(0, -1), { minLength: 1 }), fc.nat(59_999), async (names, row) => {
      for (const whole of files) {
        const key = path.basename(whole);
        parts += 1;
        const target = path.join(folder, `part-${parts}`);
        const before = store.traffic.bytesReceived;
        const file = { key, sizeBytes: (await stat(whole)).size, target };
        expect(await fetchColumns(session, store, [file], names)).toEqual(['columns']);
        expect(store.traffic.bytesReceived - before).toBeLessThan(file.sizeBytes / 2);
        const list = columnList(names);
        const matches = names
          .map((name) => `${identifier(name)} IS NOT DISTINCT FROM (SELECT ${identifier(name)} FROM one)`)
          .join(' AND ');
        const [first] = names.map(identifier);
        const chosen = await session.rows<{ value: string | null }>(
          `SELECT ${first}::VARCHAR AS value FROM read_parquet(${literal(whole)}, file_row_number = true) WHERE file_row_number = ${row}`,
        );
        const value = chosen[0]?.value ?? null;
        // A comparison with a constant is where bloom filters are asked.
        const constant = value === null || first === '"list"' ? `${first} IS NULL` : `${first} = ${literal(value)}`;
        const answers = [];
        for (const from of [whole, target]) {
          const read = `read_parquet(${literal(from)}, file_row_number = true)`;
          const one = `SELECT ${list} FROM ${read} WHERE file_row_number = ${row}`;
          answers.push(
            await session.rows(`SELECT count(*) AS n, bit_xor(hash(file_row_number, ${list})) AS h FROM ${read}`),
            await session.rows(
              `WITH one AS (${one}) SELECT file_row_number AS r, ${list} FROM ${read} WHERE ${matches} ORDER BY ALL`,
            ),
            await session.rows(`SELECT file_row_number AS r FROM ${read} WHERE ${constant} ORDER BY ALL`),
          );
        }
        expect(answers.slice(3)).toEqual(answers.slice(0, 3));
        await rm(target);
      }
    }),
    { numRuns: 12 },
  );
});

test('a file is left to be fetched whole where that costs no more, or where its end tells nothing', async () => {
  const store = new MemoryStore();
  await storedFile(store, 'worth', 'COMPRESSION zstd');
  const [whole, strange, short] = ['worth', 'strange', 'short'];
  store.set('strange', Buffer.alloc(1_000_000, 'x'));
  store.set('short', 'PAR1');
  const target = (key: string) => path.join(folder, `${key}-part`);
  const files = [whole, strange, short].map((key) => ({
    ...{ key, sizeBytes: store.objects.get(key)?.sizeBytes ?? 0, target: target(key) },
  }));
  expect(await fetchColumns(session, store, files, ['large'])).toEqual(['whole', 'whole', 'whole']);
  for (const { target: file } of files) await expect(stat(file)).rejects.toMatchObject({ code: 'ENOENT' });
});

test('a column that a file lacks costs its footer alone, and names are told without regard to case', async () => {
  const store = new MemoryStore();
  const file = await storedFile(store, 'lacks', 'COMPRESSION zstd');
  const part = { key: 'lacks', sizeBytes: (await stat(file)).size, target: path.join(folder, 'lacks-part') };
  expect(await fetchColumns(session, store, [part], ['none'])).toEqual(['columns']);
  expect(store.traffic.gets).toBe(1);
  await fetchColumns(session, store, [part], ['ID']);
  expect(await session.rows(`SELECT sum(id)::BIGINT AS s FROM read_parquet(${literal(part.target)})`)).toEqual([
    { s: String((60_000 * 59_999) / 2) },
  ]);
});

const KIB = 1024;
const MIB = KIB * KIB;

describe('which ranges are asked for', () => {
  test.each<{ name: string; chunks: [number, number][]; tail: number; asked: [number, number][] }>([
    {
      name: 'near ones as one',
      chunks: [
        [4, 100],
        [KIB, 2 * KIB],
      ],
      tail: MIB,
      asked: [[4, 2 * KIB]],
    },
    {
      name: 'far ones apart, in order',
      chunks: [
        [9 * MIB, 10 * MIB],
        [4, KIB],
      ],
      tail: 20 * MIB,
      asked: [
        [4, KIB],
        [9 * MIB, 10 * MIB],
      ],
    },
    {
      name: 'none that is there',
      chunks: [
        [5 * MIB, 6 * MIB],
        [MIB, 2 * MIB],
      ],
      tail: 5 * MIB,
      asked: [[MIB, 2 * MIB]],
    },
    { name: 'one that is there in part', chunks: [[4 * MIB, 6 * MIB]], tail: 5 * MIB, asked: [[4 * MIB, 5 * MIB]] },
    {
      name: 'a large one in pieces',
      chunks: [[0, 20 * MIB]],
      tail: 30 * MIB,
      asked: [
        [0, 8 * MIB],
        [8 * MIB, 16 * MIB],
        [16 * MIB, 20 * MIB],
      ],
    },
    {
      name: 'one within another',
      chunks: [
        [0, 3 * MIB],
        [MIB, 2 * MIB],
      ],
      tail: 30 * MIB,
      asked: [[0, 3 * MIB]],
    },
    { name: 'nothing', chunks: [], tail: 10, asked: [] },
  ])('$name', ({ chunks, tail, asked }) => {
    const ranges = rangesToFetch(
      chunks.map(([from, to]) => ({ from, to })),
      tail,
    );
    expect(ranges).toEqual(asked.map(([from, to]) => ({ from, to })));
  });
});
