import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { EngineFixture, readDuckDb } from '../engine-fixture.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';

/** Sources that go from a DuckDB file to a lake, back, and by another name within one. */

const DUCKDB = { type: 'duckdb', path: 'place.duckdb' };
const LAKE = { type: 'local', format: 'delta', path: 'place' };
/** Types that a lake writes otherwise than a DuckDB file does. */
const TABLES = `
  create table kept (id int primary key, v text, uid uuid not null default '6ba7b810-9dad-11d1-80b4-00c04fd430c8',
    daytime time, span interval, doc jsonb, many uuid[]);
  insert into kept select i, 'first ' || i, '6ba7b810-9dad-11d1-80b4-00c04fd430c9', '12:34:56.789', '1 mon 2 days', '{"a": 1.50}', array[null::uuid]
    from generate_series(1, 30) as i;
  create table polled (id int primary key, v text, at timestamptz not null default clock_timestamp());
  insert into polled select i, 'first ' || i from generate_series(1, 30) as i`;
const SETTINGS = {
  'public.kept': { output: 'both' },
  'public.polled': { method: 'incremental', cursor: 'at' },
};

let postgres: TestPostgres;
let fixture: EngineFixture | null = null;
let databases = 0;

beforeAll(async () => {
  postgres = await startPostgres({ major: 17 });
});
afterEach(async () => {
  await fixture?.remove();
  fixture = null;
});
afterAll(() => postgres?.stop());

async function start(destination: Readonly<Record<string, unknown>>): Promise<EngineFixture> {
  databases += 1;
  const database = `lake_moved_${databases}`;
  await postgres.createDatabase(database);
  await postgres.query(TABLES, [], database);
  const cdc = { slot: database, publication: database };
  fixture = await EngineFixture.create({ postgres, database, tables: SETTINGS, cdc, destination });
  await fixture.apply();
  await fixture.sync();
  return fixture;
}

async function change(f: EngineFixture, round: string): Promise<void> {
  await f.source(`insert into kept (id, v) select max(id) + 1, '${round}' from kept;
    update kept set v = v || ' ${round}' where id % 3 = 0; delete from kept where id = (select min(id) from kept);
    update polled set v = '${round}', at = clock_timestamp() where id = 7`);
}

const COLUMNS = 'id::text, v, uid::text, daytime::text, doc::text, many[1] is null as nothing';

async function expectEqual(f: EngineFixture): Promise<void> {
  const [source] = await f.source<{ all: string }>(
    `select json_agg(r order by r.id::int) as all from (select ${COLUMNS} from kept) as r`,
  );
  const kept = await f.read((duckdb) =>
    duckdb.rows(`SELECT ${COLUMNS} FROM public.kept WHERE NOT _ph_deleted ORDER BY kept.id`),
  );
  const rows: unknown = source?.all;
  if (!Array.isArray(rows)) throw new Error('no rows');
  expect(kept).toEqual(
    rows.map((row: Record<string, unknown>) =>
      Object.values(row).map((cell) => (typeof cell === 'boolean' ? String(cell) : cell)),
    ),
  );
  const polled = await f.source<{ v: string }>('select v from polled order by id');
  expect(await f.read((duckdb) => duckdb.rows('SELECT v FROM public.polled ORDER BY id'))).toEqual(
    polled.map(({ v }) => [v]),
  );
}

describe.each([
  { name: 'DuckDB to Delta', from: DUCKDB, to: LAKE },
  { name: 'Delta to DuckDB', from: LAKE, to: DUCKDB },
])('from $name', ({ from, to }) => {
  test('a plan says that everything is loaded anew, and nothing is lost on the way', async () => {
    const f = await start(from);
    await change(f, 'a');
    await f.sync();
    await change(f, 'between');

    await f.moveTo('other', { ...to, path: `other-${to.path}` });
    const plan = await f.plan();
    expect(plan.blockers).toEqual([]);
    expect(plan.changes.map(({ action, address, destructive }) => [action, address, destructive])).toEqual([
      ['update_settings', 'shop', true],
      ['create_table', 'shop:public.kept', false],
      ['snapshot_table', 'shop:public.kept', false],
      ['create_table', 'shop:public.polled', false],
      ['snapshot_table', 'shop:public.polled', false],
    ]);
    const [move] = plan.changes;
    expect(move?.reason).toContain('every table is loaded into it anew');
    expect(move?.reason).toContain('what stands in the old one ("warehouse") is left there');

    await f.apply();
    await change(f, 'after the apply');
    await f.sync();
    await expectEqual(f);
    await change(f, 'streamed');
    await f.sync();
    await expectEqual(f);
    expect((await f.plan()).changes).toEqual([]);
    const versions = await f.read((duckdb) =>
      duckdb.rows('SELECT count(*) = count(DISTINCT (id, _ph_cdc_lsn, _ph_cdc_seq)) FROM public.kept_cdc'),
    );
    expect(versions).toEqual([['true']]);
  });
});

test.each([
  { format: 'delta', file: '_delta_log/00000000000000000001.json' },
  { format: 'parquet', file: 'latest.json' },
])('a source that gets another name keeps its $format tables where they are, with their history', async (c) => {
  const f = await start({ ...LAKE, format: c.format });
  await change(f, 'a');
  await f.sync();
  const versions = () => f.read((duckdb) => duckdb.rows('SELECT count(*), count(valid_to) FROM public.kept_cdc'));
  const readLog = () => readFile(`${f.duckdbFile}/public/kept/${c.file}`, 'utf8');
  const [before, log] = [await versions(), await readLog()];
  await f.close();
  const text = await readFile(f.configFile, 'utf8');
  await writeFile(f.configFile, `${text.replace(/^ {2}shop:/m, '  store:')}moved: [{ from: shop, to: store }]\n`);

  const plan = await f.apply();
  expect(plan.changes.map(({ action, address }) => [action, address])).toEqual([['move', 'store']]);
  expect(await versions()).toEqual(before);
  expect(await readLog()).toBe(log);
  await change(f, 'b');
  await f.sync();
  await expectEqual(f);
  expect((await f.plan()).changes).toEqual([]);
});

test('a TRUNCATE that comes without any other change', async () => {
  const f = await start(LAKE);
  await f.source('truncate kept');
  await f.sync();
  await expectNothingLive(f);
  await f.source("insert into kept (id, v) values (1, 'after')");
  await f.sync();
  await f.source('truncate kept');
  await f.sync();
  await expectNothingLive(f);
});

async function expectNothingLive(f: EngineFixture): Promise<void> {
  const live = await f.read((duckdb) =>
    duckdb.rows(
      `SELECT count(*) FILTER (NOT _ph_deleted), (SELECT count(*) FILTER (valid_to IS NULL AND NOT _ph_deleted)
       FROM public.kept_cdc) FROM public.kept`,
    ),
  );
  expect(live).toEqual([['0', '0']]);
}

test('a DuckDB file is left as it was by a source that went on to a lake', async () => {
  const f = await start(DUCKDB);
  await f.close();
  const before = await readFile(f.duckdbFile);
  const old = f.duckdbFile;
  await f.moveTo('other', LAKE);
  await f.apply();
  await change(f, 'a');
  await f.sync();
  await f.close();
  expect(Buffer.compare(await readFile(old), before)).toBe(0);
  expect(await readDuckDb(old, (duckdb) => duckdb.rows('SELECT count(*) FROM public.kept'))).toEqual([['30']]);
});
