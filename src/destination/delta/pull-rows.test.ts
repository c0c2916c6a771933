import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DuckDbSession } from '../duckdb/session.js';
import { literal } from '../duckdb/sql-text.js';
import { columnTypes } from '../duckdb/target-ddl.js';
import { nearFiles, type PullFiles, pullRows, viewRows } from './pull-rows.js';

let folder: string;
let session: DuckDbSession;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sluice-pull-'));
  const settings = { path: path.join(folder, 'w.duckdb'), memoryLimitMb: 64, threads: 1, busyWaitMs: 0 };
  session = await DuckDbSession.open(settings, () => undefined);
});
afterAll(async () => {
  session.close();
  await rm(folder, { recursive: true });
});

const COLUMNS = [
  { name: 'id', type: 'INTEGER' },
  { name: 'seen', type: 'TIMESTAMPTZ' },
  { name: 'later', type: 'DECIMAL(4,1)' },
];

async function fileOf(name: string, query: string): Promise<string> {
  const file = path.join(folder, name);
  await session.run(`COPY (${query}) TO ${literal(file)} (FORMAT parquet)`);
  return file;
}

test('files that another engine wrote anew, and older ones without a column, give the types of the table', async () => {
  const ours = await fileOf('ours', "SELECT 1 AS id, TIMESTAMPTZ '2026-03-02 12:00:00.000001+00' AS seen");
  // A time without a zone, as DuckDB reads the INT96 of Spark.
  const theirs = await fileOf('theirs', "SELECT 2 AS id, TIMESTAMP '2026-03-02 12:00:00.000002' AS seen");
  for (const paths of [[theirs], [ours, theirs]]) {
    const files = paths.map((file, index) => ({ index, path: file }));
    const request = { columns: COLUMNS, into: 'pulled', choose: { kind: 'all' } } as const;
    expect(await pullRows(session, request, nearFiles(files), null)).toBe(paths.length);
    const pulled = await columnTypes(session, { schema: 'main', name: 'pulled' });
    for (const { name, type } of COLUMNS) expect(pulled.get(name)).toBe(type);

    await session.run('DROP VIEW IF EXISTS main.t');
    await viewRows(session, { columns: COLUMNS, place: { schema: 'main', name: 't' } }, files, null);
    expect(await columnTypes(session, { schema: 'main', name: 't' })).toEqual(
      new Map(COLUMNS.map(({ name, type }) => [name, type])),
    );
    expect(await session.rows('SELECT seen::VARCHAR AS seen, later FROM main.t WHERE id = 2')).toEqual([
      { seen: '2026-03-02 12:00:00.000002+00', later: null },
    ]);
  }
});

test('rows are told by key and place, without those that are deleted', async () => {
  const file = await fileOf('many', 'SELECT i::INTEGER AS id, now() AS seen FROM range(100) r(i)');
  await session.run('CREATE OR REPLACE TEMP TABLE dead AS SELECT 0::INTEGER AS __file, 7::BIGINT AS __row');
  const keys = { kind: 'keys', keys: 'SELECT unnest([5, 7, 200]) AS id', key: ['id'], where: null } as const;
  const choose = { ...keys, whole: 'none', always: [] } as const;
  await pullRows(session, { columns: COLUMNS, into: 'found', choose }, nearFiles([{ index: 0, path: file }]), 'dead');
  expect(await session.rows('SELECT __file, __row::INTEGER AS __row, id, seen FROM found')).toEqual([
    { __file: 0, __row: 5, id: 5, seen: null },
  ]);
});

describe('of files that are far away', () => {
  const KEYS = { kind: 'keys', keys: 'SELECT unnest([5, 7, 105, 200]) AS id', key: ['id'] } as const;
  const SEEN = "timezone('UTC', seen)::VARCHAR AS seen";

  /** Two files of which the second has no row that is looked for, as {@link PullFiles} that tell what was asked of them. */
  async function farFiles(): Promise<{ files: PullFiles; asked: string[] }> {
    const at = "TIMESTAMPTZ '2026-03-02 00:00:00+00' + INTERVAL (i) SECOND AS seen";
    const paths = [
      await fileOf('far-1', `SELECT i::INTEGER AS id, ${at}, (i % 5)::DECIMAL(4,1) AS later FROM range(150) r(i)`),
      await fileOf('far-2', `SELECT i::INTEGER AS id, ${at}, 1::DECIMAL(4,1) AS later FROM range(300, 400) r(i)`),
    ];
    const parts: string[] = [];
    for (const [i, whole] of paths.entries()) {
      parts.push(await fileOf(`part-${i}`, `SELECT id, later FROM read_parquet(${literal(whole)})`));
    }
    const asked: string[] = [];
    const files: PullFiles = {
      areNear: false,
      columns: async (names) => {
        asked.push(`columns ${names.join(', ')}`);
        return parts.map((file, index) => ({ index, path: file }));
      },
      whole: async (indexes) => {
        asked.push(`whole ${indexes}`);
        return paths.flatMap((file, index) =>
          indexes === 'all' || indexes.includes(index) ? [{ index, path: file }] : [],
        );
      },
    };
    return { files, asked };
  }

  test.each([
    { name: 'all', whole: 'all', asked: ['columns id, later', 'whole 0'], seen: ['00:00:05', '00:01:45'] },
    { name: 'none', whole: 'none', asked: ['columns id, later'], seen: [null, null] },
    {
      name: 'some',
      whole: { keys: 'SELECT 105 AS id' },
      asked: ['columns id, later', 'whole 0'],
      seen: [null, '00:01:45'],
    },
  ] as const)('only what is needed is asked for: $name', async ({ whole, asked, seen }) => {
    const far = await farFiles();
    await session.run('CREATE OR REPLACE TEMP TABLE dead AS SELECT 0::INTEGER AS __file, 7::BIGINT AS __row');
    const choose = { ...KEYS, where: 'later < 1', whole, always: ['later'] };
    expect(await pullRows(session, { columns: COLUMNS, into: 'far', choose }, far.files, 'dead')).toBe(2);
    expect(far.asked).toEqual(asked);
    const rows = await session.rows(`SELECT __file, __row::INTEGER AS __row, id, ${SEEN}, later FROM far ORDER BY id`);
    expect(rows).toEqual(
      [5, 105].map((id, i) => ({
        ...{ __file: 0, __row: id, id, later: '0.0' },
        seen: seen[i] === null ? null : `2026-03-02 ${seen[i]}`,
      })),
    );
  });

  test('no file is asked for where no key is found', async () => {
    const far = await farFiles();
    const choose = { ...KEYS, keys: 'SELECT 1000 AS id', where: null, whole: 'all', always: [] } as const;
    expect(await pullRows(session, { columns: COLUMNS, into: 'far', choose }, far.files, null)).toBe(0);
    expect(far.asked).toEqual(['columns id']);
    expect(await columnTypes(session, { schema: 'main', name: 'far' })).toEqual(
      new Map([['__file', 'INTEGER'], ['__row', 'BIGINT'], ...COLUMNS.map(({ name, type }) => [name, type] as const)]),
    );
  });
});
