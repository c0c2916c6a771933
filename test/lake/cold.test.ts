import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { EngineFixture } from '../engine-fixture.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import type { MemoryS3 } from '../s3/memory-s3.js';
import { verify } from '../verify/verify-world.js';
import { loadIntoBucket } from './memory-lake.js';

/** What a sync fetches of a bucket whose files are not on this machine, as after a move or where the cache is full. */

let postgres: TestPostgres;
let s3: MemoryS3;
let fixture: EngineFixture;

const ROWS = 60_000;
const WIDE = `(id int primary key, n int not null, v text not null)`;

beforeAll(async () => {
  postgres = await startPostgres({ major: 17 });
  await postgres.createDatabase('cold');
  const fill = `select i, i % 10, md5(i::text) || md5('x' || i) || md5('y' || i) from generate_series(1, ${ROWS}) as i`;
  const tables = ['latest', 'versions'].map((name) => `create table ${name} ${WIDE}; insert into ${name} ${fill}`);
  await postgres.query(tables.join(';'), [], 'cold');
  fixture = await EngineFixture.create({
    ...{ postgres, database: 'cold', cdc: { slot: 'cold' } },
    tables: {
      'public.latest': { method: 'cdc', deletes: 'hard' },
      'public.versions': { method: 'cdc', output: 'history' },
    },
  });
  s3 = await loadIntoBucket(fixture, postgres);
});

afterAll(async () => {
  await fixture?.remove();
  await s3?.stop();
  await postgres?.stop();
});

/** The bytes of a table's data files, and those of them that a sync without any of them on this machine asked for. */
async function coldSync(table: string): Promise<{ readonly stored: number; readonly received: number }> {
  const { workFolder } = await fixture.lakeSettings();
  await fixture.close();
  await rm(workFolder, { recursive: true });
  const sizes = new Map(s3.objects().flatMap(({ key, sizeBytes }) => (isData(key, table) ? [[key, sizeBytes]] : [])));
  const before = s3.requests.length;
  await fixture.sync();
  let received = 0;
  for (const { method, key, headers } of s3.requests.slice(before)) {
    const size = method === 'GET' ? sizes.get(key) : undefined;
    if (size === undefined) continue;
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? [];
    received += from === undefined ? size : Math.min(Number(to) + 1, size) - Number(from);
  }
  return { stored: [...sizes.values()].reduce((sum, size) => sum + size, 0), received };
}

const isData = (key: string, table: string) => key.startsWith(`public/${table}/`) && /part-[^/]*$/.test(key);

test('rows that are replaced are found by their keys alone', async () => {
  await fixture.source('update latest set n = 77 where id % 10000 = 1; delete from latest where id = 2');
  const { stored, received } = await coldSync('latest');
  expect(received).toBeGreaterThan(0);
  expect(received).toBeLessThan(stored / 4);
  const rows = await fixture.read((lake) =>
    lake.rows('SELECT count(*), count(*) FILTER (WHERE n = 77), sum(length(v)) FROM public.latest'),
  );
  expect(rows).toEqual([[String(ROWS - 1), '6', String((ROWS - 1) * 96)]]);
});

test('values that were not sent and versions that are closed are read of the files that have them', async () => {
  await fixture.source(
    `insert into versions select ${ROWS} + i, i % 10, repeat(md5(i::text), 3) from generate_series(1, ${ROWS}) as i`,
  );
  await fixture.sync();
  await fixture.source(`update versions set n = 77 where id in (${ROWS + 1}, ${ROWS + 2})`);
  const { stored, received } = await coldSync('versions_cdc');
  expect(received).toBeGreaterThan(0);
  expect(received).toBeLessThan(stored);
  const rows = await fixture.read((lake) =>
    lake.rows(`SELECT count(*), count(*) FILTER (WHERE valid_to IS NOT NULL), count(*) FILTER (WHERE n = 77)
      FROM public.versions_cdc`),
  );
  expect(rows).toEqual([[String(2 * ROWS + 2), '2', '2']]);
});

test('verify fetches what it compares, and finds every row', async () => {
  const { workFolder } = await fixture.lakeSettings();
  await fixture.close();
  await rm(workFolder, { recursive: true });
  const { tables } = await verify(fixture);
  const compared = tables.flatMap(({ status, comparisons }) =>
    comparisons.map(({ relation, sourceRows, destinationRows, counts }) => ({
      ...{ status, relation, sourceRows, destinationRows, counts },
    })),
  );
  const [latest, versions] = [ROWS - 1, 2 * ROWS];
  expect(compared).toEqual([
    { status: 'equal', relation: 'public.latest', sourceRows: latest, destinationRows: latest, counts: {} },
    { status: 'equal', relation: 'public.versions_cdc', sourceRows: versions, destinationRows: versions, counts: {} },
  ]);
});
