import { readFile, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { type Cells, type EngineFixture, readDuckDb, SOURCE } from '../engine-fixture.js';
import { freshFixtures } from '../fresh-fixtures.js';
import { runCli, runToEnd } from '../kill/killed-cli.js';

/** Sources that go from a DuckDB file to a lake, back, and by another name within one. */

const LONG_MS = 900_000;
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

const fresh = freshFixtures('lake_moved');

const start = (destination: Readonly<Record<string, unknown>>): Promise<EngineFixture> =>
  fresh({ sql: TABLES, tables: SETTINGS, destination });

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
  const readLog = () => readFile(`${f.place}/public/kept/${c.file}`, 'utf8');
  const [before, log] = [await versionsOf(f), await readLog()];
  await f.close();
  const text = await readFile(f.configFile, 'utf8');
  await writeFile(f.configFile, `${text.replace(/^ {2}shop:/m, '  store:')}moved: [{ from: shop, to: store }]\n`);

  const plan = await f.apply();
  expect(plan.changes.map(({ action, address }) => [action, address])).toEqual([['move', 'store']]);
  expect(await versionsOf(f)).toEqual(before);
  expect(await readLog()).toBe(log);
  await change(f, 'b');
  await f.sync();
  await expectEqual(f);
  expect((await f.plan()).changes).toEqual([]);
});

describe('a source whose rename dies', () => {
  test(
    'after each of its ledgers keeps its tables, its history and its place in the stream',
    async () => {
      const f = await start(LAKE);
      let name = SOURCE;
      let round = 0;
      const died: string[] = [];
      // Ledgers are written in the order of the names where nothing is handed over: both orders have to do.
      for (const [to, deaths] of [
        ['store', [1, 2]],
        ['alpha', [1, 2]],
        ['beta', [3, 5]],
        ['able', [3, 5]],
        ['zulu', [4, 6]],
        ['abel', [4, 6]],
      ] as const) {
        round += 1;
        const said = `${name} to ${to}`;
        await change(f, `before ${round}`);
        await f.sync();
        const versions = await versionsOf(f);
        await change(f, `between ${round}`);
        await f.close();
        const text = (await readFile(f.configFile, 'utf8')).replace(/^moved:.*\n/m, '');
        const renamed = text.replace(new RegExp(`^ {2}${name}:`, 'm'), `  ${to}:`);
        await writeFile(f.configFile, `${renamed}moved: [{ from: ${name}, to: ${to} }]\n`);
        for (const at of deaths) {
          const end = await runCli(f, ['apply', '--yes'], { failpoint: `after_ledger@${at}` });
          expect(end.signal === 'SIGKILL' || end.code === 0, end.output).toBe(true);
          if (end.signal === 'SIGKILL') died.push(`${said} at ${at}`);
        }
        await runToEnd(f, ['apply', '--yes']);
        expect({ said, versions: await versionsOf(f) }).toEqual({ said, versions });
        expect({ said, facts: await factsOf(f) }).toEqual({
          said,
          facts: [
            ['stream', to, null],
            ['table', `${to}:public.kept`, null],
            ['table', `${to}:public.polled`, null],
          ],
        });
        const report = await f.sync();
        const tables = report.sources.flatMap((source) => source.tables);
        expect({ said, loads: tables.filter(({ kind }) => kind === 'snapshot') }).toEqual({ said, loads: [] });
        await expectEqual(f);
        expect((await f.plan()).changes).toEqual([]);
        name = to;
      }
      expect(died).toContain('shop to store at 1');
      expect(died).toContain('store to alpha at 1');
      expect(died.length).toBeGreaterThan(5);
    },
    LONG_MS,
  );
});

/** How many versions there are of rows, and how many of them are closed. */
function versionsOf(f: EngineFixture): Promise<Cells[]> {
  return f.read((duckdb) => duckdb.rows('SELECT count(*), count(valid_to) FROM public.kept_cdc'));
}

/** Under which names the lake knows of streams and tables, and why those have to be loaded anew. */
function factsOf(f: EngineFixture): Promise<Cells[]> {
  return f.read((duckdb) =>
    duckdb.rows(
      `SELECT 'stream', source, NULL FROM _sluice.streams
       UNION ALL SELECT 'table', address, resnapshot_reason FROM _sluice.tables ORDER BY ALL`,
    ),
  );
}

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
  const before = await readFile(f.place);
  const old = f.place;
  await f.moveTo('other', LAKE);
  await f.apply();
  await change(f, 'a');
  await f.sync();
  await f.close();
  expect(Buffer.compare(await readFile(old), before)).toBe(0);
  expect(await readDuckDb(old, (duckdb) => duckdb.rows('SELECT count(*) FROM public.kept'))).toEqual([['30']]);
});
