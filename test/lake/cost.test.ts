import { afterAll, beforeAll, expect, test } from 'vitest';
import { EngineFixture } from '../engine-fixture.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import type { MemoryS3, RecordedRequest } from '../s3/memory-s3.js';
import { loadIntoBucket } from './memory-lake.js';

/** What syncs of a lake ask of its bucket, counted by the bucket. */

let postgres: TestPostgres;
let s3: MemoryS3;
let fixture: EngineFixture;

const ROWS = 20_000;

beforeAll(async () => {
  postgres = await startPostgres({ major: 17 });
  await postgres.createDatabase('cost');
  const sql = `create table items (id int primary key, v text, n int);
    insert into items select i, md5(i::text), i from generate_series(1, ${ROWS}) as i;
    create table elsewhere (v text)`;
  await postgres.query(sql, [], 'cost');
  fixture = await EngineFixture.create({
    ...{ postgres, database: 'cost', cdc: { slot: 'cost' } },
    tables: { 'public.items': { method: 'cdc', deletes: 'hard' } },
  });
  s3 = await loadIntoBucket(fixture, postgres);
});

afterAll(async () => {
  await fixture?.remove();
  await s3?.stop();
  await postgres?.stop();
});

async function requestsOf(work: () => Promise<unknown>): Promise<readonly RecordedRequest[]> {
  const before = s3.requests.length;
  await work();
  return s3.requests.slice(before);
}

const paid = (requests: readonly RecordedRequest[]) =>
  requests.filter(({ method }) => method === 'PUT' || method === 'POST').map(({ key }) => key);

test('a sync tells what it asked of the store', async () => {
  const before = s3.requests.length;
  const { traffic } = await fixture.sync();
  const requests = s3.requests.slice(before);
  expect(traffic).toMatchObject([
    {
      ...{ destination: 'lake', puts: 0, deletes: 0 },
      gets: requests.filter(({ operation }) => operation === 'GetObject').length,
      lists: requests.filter(({ operation }) => operation === 'ListObjectsV2').length,
    },
  ]);
});

test('a quiet sync writes nothing, lists once a look and gets nothing anew', async () => {
  for (let round = 1; round <= 3; round += 1) {
    const requests = await requestsOf(() => fixture.sync());
    expect(paid(requests)).toEqual([]);
    expect(requests.map(({ operation, status }) => `${operation} ${status}`).sort()).toEqual([
      'GetObject 304',
      'ListObjectsV2 200',
    ]);
    const { slot, destination } = await fixture.positions();
    expect(slot).toBe(destination);
  }
});

test('what others write is no reason for a write until it pins a segment of WAL', async () => {
  const before = await fixture.positions();
  const little = await requestsOf(async () => {
    await fixture.source("insert into elsewhere values ('little')");
    await fixture.sync();
  });
  expect(paid(little)).toEqual([]);
  expect(await fixture.positions()).toEqual(before);
  const much = await requestsOf(async () => {
    await fixture.source('insert into elsewhere select repeat(md5(i::text), 30) from generate_series(1, 20000) as i');
    await fixture.sync();
  });
  expect(paid(much)).toEqual(['_sluice/sources/shop.json']);
  const after = await fixture.positions();
  expect(after.slot).toBe(after.destination);
  expect(after.slot).not.toBe(before.slot);
});

test('a change after quiet syncs lands, and 1,000 changed keys cost four writes', async () => {
  const requests = await requestsOf(async () => {
    await fixture.source(`update items set v = 'changed' where id % ${ROWS / 1000} = 0`);
    await fixture.sync();
  });
  expect(paid(requests).length).toBeLessThanOrEqual(4);
  const rows = await fixture.read((lake) =>
    lake.rows("SELECT count(*), count(*) FILTER (WHERE v = 'changed') FROM public.items"),
  );
  expect(rows).toEqual([[String(ROWS), '1000']]);
  const [run] = await fixture.read((lake) =>
    lake.rows(`SELECT puts, lists, bytes_sent > 10_000 FROM _sluice.runs
      WHERE kind = 'stream' ORDER BY ended_at DESC LIMIT 1`),
  );
  expect(run).toEqual([String(paid(requests).length), '1', 'true']);
});
