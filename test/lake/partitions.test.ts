import { readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Cells, EngineFixture, type TableSettings } from '../engine-fixture.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';

/** Delta tables in partitions: their rows are those of Postgres whatever the values and whatever becomes of the files. */

const never = new AbortController().signal;
const LONG = 'x'.repeat(3_000);
const REGIONS = [
  'de',
  'a b',
  '100%',
  'é',
  'a/b',
  "o'k",
  '__HIVE_DEFAULT_PARTITION__',
  'null',
  ' ',
  'a=b',
  '"',
  '\\',
  LONG,
];

const TABLES: Readonly<Record<string, TableSettings>> = {
  'public.visits': { output: 'both', deletes: 'hard', partition_by: ['region', 'day'] },
  'public.typed': { deletes: 'soft', partition_by: ['moment', 'wall', 'ok', 'price', 'small', 'big', 'half'] },
  'public.log': { method: 'append', cursor: 'id', partition_by: ['region'] },
  'public.places': { method: 'full_table', partition_by: ['region'] },
};

const SETUP = `
  create table visits (id int primary key, region text, day date, note text);
  insert into visits select i, (array[${REGIONS.map((text) => `'${text.replaceAll("'", "''")}'`).join(', ')}, null])[1 + i % ${REGIONS.length + 1}],
    date '2026-01-01' + i % 3, 'note ' || i from generate_series(1, 300) i;
  insert into visits values (1001, '', '2026-01-01', 'empty'), (1002, 'de', null, null), (1003, 'de', '0001-01-01', null),
    (1004, 'de', '9999-12-31', null), (1005, 'de', '0044-03-15 BC', null), (1006, 'de', 'infinity', null);
  create table typed (id int primary key, moment timestamptz, wall timestamp, ok boolean, price numeric(6,2), small smallint,
    big bigint, half numeric(1,1), note text);
  insert into typed values
    (1, '2026-03-02 12:00:00.000001+02', '2026-03-02 12:00:00.000001', true, -0.50, -1, 9223372036854775807, -0.5, 'a'),
    (2, '1969-12-31 23:59:59.999999+00', '0001-01-01', false, 1234.56, 32767, -9223372036854775808, 0.5, 'b'),
    (3, null, null, null, null, null, null, null, 'c'), (4, '9999-12-31 23:59:59.999999+00', '9999-12-31 23:59:59', true, 0, 0, 0, 0, 'd');
  create table log (id bigserial primary key, region text, v text);
  insert into log (region, v) select 'r' || i % 3, 'v' || i from generate_series(1, 50) i;
  create table places (id int primary key, region text, name text);
  insert into places select i, 'r' || i % 4, 'p' || i from generate_series(1, 40) i`;

/** What a lake has instead of some values of Postgres. */
const VISITS = `select id::text, REGION as region,
  case when isfinite(day) and extract(year from day) between 1 and 9999 then to_char(day, 'YYYY-MM-DD') end as day, note from visits`;
const TYPED = `select id::text, to_char(moment at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') as moment, to_char(wall, 'YYYY-MM-DD HH24:MI:SS.US') as wall,
  ok::text, price::text, small::text, big::text, half::text, note from typed`;

class PartitionedLake {
  constructor(readonly fixture: EngineFixture) {}

  static async create(postgres: TestPostgres, database: string, deletes: string): Promise<PartitionedLake> {
    await postgres.createDatabase(database);
    await postgres.query(SETUP, [], database);
    const fixture = await EngineFixture.create({
      ...{ postgres, database, tables: TABLES },
      cdc: { slot: database, publication: database },
      destination: { type: 'local', path: 'lake', format: 'delta', deletes },
    });
    await fixture.apply();
    await fixture.sync();
    return new PartitionedLake(fixture);
  }

  /** Fails where a table is not what Postgres has. */
  async agrees(region = "nullif(region, '')"): Promise<void> {
    const { fixture } = this;
    const wanted = async (sql: string): Promise<Cells[]> => {
      const rows = await fixture.source<Record<string, string | null>>(`${sql} order by id::bigint`);
      return rows.map((row) => Object.values(row));
    };
    const visits = await wanted(VISITS.replace('REGION', region));
    const typed = await wanted(TYPED);
    await fixture.read(async (lake) => {
      const columns = 'id, region, day, note';
      expect(await lake.rows(`SELECT ${columns} FROM public.visits ORDER BY id`)).toEqual(visits);
      const open = `SELECT ${columns} FROM public.visits_cdc WHERE valid_to IS NULL AND NOT _ph_deleted ORDER BY id`;
      expect(await lake.rows(open)).toEqual(visits);
      const time = (name: string): string => `strftime(${name}, '%Y-%m-%d %H:%M:%S.%f')`;
      const half = `regexp_replace(half::VARCHAR, '^(-?)[.]', '\\10.')`;
      const live = `SELECT id, ${time('moment')}, ${time('wall')}, ok, price, small, big, ${half}, note FROM public.typed
        WHERE NOT _ph_deleted ORDER BY id`;
      expect(await lake.rows(live)).toEqual(typed);
      expect(await lake.rows('SELECT id, region, v FROM public.log ORDER BY id')).toEqual(
        await wanted('select id::text, region, v from log'),
      );
      expect(await lake.rows('SELECT id, region, name FROM public.places ORDER BY id')).toEqual(
        await wanted('select id::text, region, name from places'),
      );
    });
  }

  folder(table: string): string {
    return path.join(this.fixture.folder, 'lake', 'public', table);
  }

  /** The actions of a table's log, commit by commit. */
  async commits(table: string): Promise<Record<string, { [name: string]: unknown }>[][]> {
    const log = path.join(this.folder(table), '_delta_log');
    const names = (await readdir(log)).filter((name) => /^[0-9]{20}\.json$/.test(name)).sort();
    const texts = await Promise.all(names.map((name) => readFile(path.join(log, name), 'utf8')));
    return texts.map((text) =>
      text
        .trim()
        .split('\n')
        .map((line): Record<string, { [name: string]: unknown }> => JSON.parse(line)),
    );
  }

  /** Partition values of the files that a table has now, without what they are twice. */
  async partitions(table: string): Promise<string[]> {
    const live = new Map<string, string>();
    for (const commit of await this.commits(table)) {
      for (const { remove } of commit) if (remove !== undefined) live.delete(String(remove['path']));
      for (const { add } of commit) {
        if (add !== undefined) live.set(String(add['path']), JSON.stringify(add['partitionValues']));
      }
    }
    return [...new Set(live.values())].sort();
  }

  async rejected(): Promise<Cells[]> {
    return this.fixture.read((lake) =>
      lake.rows(
        `SELECT key, "column", source_text FROM _sluice.rejected_values WHERE address = 'shop:public.visits' ORDER BY ALL`,
      ),
    );
  }
}

const UNFIT: Cells[] = [
  ['{"id":"1001"}', 'region', ''],
  ['{"id":"1005"}', 'day', '0044-03-15 BC'],
  ['{"id":"1006"}', 'day', 'infinity'],
];

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startPostgres({ major: 17 });
});
afterAll(() => postgres?.stop());

describe.each(['dv', 'cow'])('deletes: %s', (deletes) => {
  const world: { lake: PartitionedLake | null } = { lake: null };
  const lakeOf = (): PartitionedLake => {
    if (world.lake === null) throw new Error('there is no lake');
    return world.lake;
  };

  beforeAll(async () => {
    world.lake = await PartitionedLake.create(postgres, `parts_${deletes}`, deletes);
  }, 120_000);
  afterAll(() => world.lake?.fixture.remove());

  test('a load: every file holds one partition, and its name says nothing of it', async () => {
    const lake = lakeOf();
    await lake.agrees();
    expect(await lake.rejected()).toEqual(UNFIT);
    const [first] = await lake.commits('visits');
    const metaData = first?.find((action) => action['metaData'] !== undefined)?.['metaData'];
    expect(metaData?.['partitionColumns']).toEqual(['region', 'day']);
    const partitions = await lake.partitions('visits');
    expect(partitions).toContain(JSON.stringify({ region: LONG, day: '2026-01-01' }));
    expect(partitions).toContain(JSON.stringify({ region: null, day: '2026-01-01' }));
    expect(partitions).toContain(JSON.stringify({ region: 'de', day: '0001-01-01' }));
    expect(partitions).toHaveLength((REGIONS.length + 1) * 3 + 3);
    expect(await lake.partitions('typed')).toContain(
      JSON.stringify({
        ...{ moment: '2026-03-02T10:00:00.000001Z', wall: '2026-03-02 12:00:00.000001', ok: 'true' },
        ...{ price: '-0.50', small: '-1', big: '9223372036854775807', half: '-0.5' },
      }),
    );
    const names = (await readdir(lake.folder('visits'))).filter((name) => name !== '_delta_log');
    for (const name of names)
      expect(name).toMatch(/^(part-[0-9a-f-]{36}\.parquet|deletion_vector_[0-9a-f-]{36}\.bin)$/);
  });

  test('rows move between partitions', async () => {
    const lake = lakeOf();
    await lake.fixture.source(
      `update visits set region = 'elsewhere' where id % 5 = 0 and id < 1000; update visits set region = '' where id = 7;
       update visits set region = null where id in (8, 9); update visits set day = day + 1 where id % 7 = 1 and isfinite(day);
       delete from visits where id % 11 = 0; update visits set id = id + 5000 where id = 12;
       insert into visits values (2001, 'new', '2026-05-05', 'x'), (2002, '', null, 'y');
       update visits set note = 'changed' where region = repeat('x', 3000);
       update typed set ok = not ok, price = price + 1, moment = moment - interval '1 day' where id in (1, 2); delete from typed where id = 3;
       insert into log (region, v) values ('r9', 'new'), (null, 'none'); delete from places where id < 5; update places set region = 'r9' where id = 9`,
    );
    await lake.fixture.sync();
    await lake.agrees();
    expect(await lake.rejected()).toEqual(
      [...UNFIT, ['{"id":"7"}', 'region', ''], ['{"id":"2002"}', 'region', '']].sort(),
    );
    const gone = await lake.fixture.read((duckdb) => duckdb.rows('SELECT note FROM public.typed WHERE _ph_deleted'));
    expect(gone).toEqual([['c']]);
  });

  test('many syncs with checkpoints, then put in order, partition by partition', async () => {
    const lake = lakeOf();
    for (let round = 0; round < 12; round += 1) {
      await lake.fixture.source(
        `update visits set note = note || '.' where region = 'de' and id % 12 = ${round};
         insert into visits values (${3000 + round}, 'é', '2026-01-02', 'round')`,
      );
      await lake.fixture.sync();
    }
    await lake.agrees();
    expect(await readdir(path.join(lake.folder('visits'), '_delta_log'))).toContain('_last_checkpoint');
    const before = await lake.partitions('visits');
    const engine = await lake.fixture.engine();
    await engine.optimize({ address: null }, never);
    await lake.agrees();
    expect(await lake.partitions('visits')).toEqual(before);
    const last = (await lake.commits('visits')).at(-1) ?? [];
    for (const { add, remove } of last) {
      if (add !== undefined) expect(before).toContain(JSON.stringify(add['partitionValues']));
      if (remove !== undefined) expect(before).toContain(JSON.stringify(remove['partitionValues']));
    }
  });

  test('another working folder goes on', async () => {
    const lake = lakeOf();
    const { workFolder } = await lake.fixture.lakeSettings();
    await lake.fixture.close();
    await rm(workFolder, { recursive: true });
    await lake.fixture.source(
      `update visits set region = 'a/b', note = 'cold' where id between 20 and 40; delete from visits where id = 41`,
    );
    await lake.fixture.sync();
    await lake.agrees();
    const verified = await (await lake.fixture.engine()).plan({ targets: [] }, never);
    expect(verified.changes).toEqual([]);
  });

  test('columns come, become wider and get other names', async () => {
    const lake = lakeOf();
    await lake.fixture.source(
      `alter table visits add column extra int; update visits set extra = id where id < 30;
       alter table typed alter column small type int; update typed set small = 100000 where id = 1`,
    );
    await lake.fixture.apply();
    await lake.fixture.sync();
    await lake.agrees();
    await lake.fixture.source(
      `alter table places rename column region to place; alter table places rename column place to region;
       alter table typed rename column ok to fine; update typed set fine = null where id = 4`,
    );
    const blocked = await lake.fixture.plan();
    expect(blocked.blockers.map(({ message }) => message)).toEqual([
      expect.stringContaining('public.typed has no column "ok" (named in partition_by)'),
    ]);
    const typed = {
      ...TABLES['public.typed'],
      partition_by: ['moment', 'wall', 'fine', 'price', 'small', 'big', 'half'],
    };
    await lake.fixture.configure({ ...TABLES, 'public.typed': typed });
    await lake.fixture.apply();
    await lake.fixture.sync();
    await lake.fixture.read(async (duckdb) => {
      const wanted = await lake.fixture.source<{ id: string; fine: string | null }>(
        'select id::text, fine::text from typed order by typed.id',
      );
      expect(await duckdb.rows('SELECT id, fine FROM public.typed WHERE NOT _ph_deleted ORDER BY id')).toEqual(
        wanted.map(({ id, fine }) => [id, fine]),
      );
    });
    for (const values of await lake.partitions('typed')) {
      expect(Object.keys(JSON.parse(values))).toEqual(typed.partition_by);
    }
    await lake.fixture.source('alter table typed rename column fine to ok');
    await lake.fixture.configure(TABLES);
    await lake.fixture.apply();
    await lake.fixture.sync();
    await lake.agrees();
  }, 120_000);

  test('another partition_by is one commit, of the history as well', async () => {
    const lake = lakeOf();
    await lake.fixture.source("update visits set note = '' where id = 50");
    await lake.fixture.sync();
    const history = (): Promise<Cells[]> =>
      lake.fixture.read((duckdb) =>
        duckdb.rows(
          `SELECT id, region, day, nullif(note, ''), valid_to FROM public.visits_cdc WHERE valid_to IS NOT NULL ORDER BY ALL`,
        ),
      );
    const versions = await history();
    await lake.fixture.source("update visits set note = 'no more' where id = 50");
    await lake.fixture.sync();
    const visits = { ...TABLES['public.visits'], partition_by: ['note'] };
    await lake.fixture.configure({ ...TABLES, 'public.visits': visits });
    const plan = await lake.fixture.apply();
    expect(plan.changes.find(({ action }) => action === 'resync_table')?.reason).toBe(
      'it is partitioned by note now, it was by region, day',
    );
    await lake.fixture.sync();
    // A plain column again, so that its empty texts are.
    await lake.agrees('region');
    for (const table of ['visits', 'visits_cdc']) {
      const commits = await lake.commits(table);
      const at = commits.findLastIndex((commit) => commit.some(({ metaData }) => metaData !== undefined));
      const commit = commits[at] ?? [];
      expect(commit.find(({ metaData }) => metaData !== undefined)?.['metaData']?.['partitionColumns']).toEqual([
        'note',
      ]);
      for (const later of commits.slice(at)) {
        for (const { add } of later)
          if (add !== undefined) expect(Object.keys(Object(add['partitionValues']))).toEqual(['note']);
      }
      for (const values of await lake.partitions(table)) expect(Object.keys(JSON.parse(values))).toEqual(['note']);
    }
    // The closed versions are there still; an empty text in one of them is told.
    expect((await history()).map(String)).toEqual(expect.arrayContaining(versions.map(String)));
    expect(await lake.rejected()).toContainEqual(['{"id":"50"}', 'note', '']);
    await lake.fixture.configure({ ...TABLES, 'public.visits': { output: 'both', deletes: 'hard' } });
    await lake.fixture.apply();
    await lake.fixture.sync();
    expect(await lake.partitions('visits')).toEqual(['{}']);
    expect(await lake.partitions('visits_cdc')).toEqual(['{}']);
    await lake.fixture.configure(TABLES);
    await lake.fixture.apply();
    await lake.fixture.sync();
    await lake.agrees();
  }, 120_000);

  test('the column that a table is partitioned by is dropped', async () => {
    const lake = lakeOf();
    await lake.fixture.source(
      `alter table visits drop column region; insert into visits (id, day) values (9001, '2026-01-01')`,
    );
    await lake.fixture.sync();
    const rows = await lake.fixture.source<{ id: string; note: string | null }>(
      `select id::text, note from visits order by visits.id`,
    );
    const agrees = (): Promise<void> =>
      lake.fixture.read(async (duckdb) => {
        expect(await duckdb.rows('SELECT id, note FROM public.visits ORDER BY id')).toEqual(
          rows.map(({ id, note }) => [id, note]),
        );
        expect(await duckdb.rows('SELECT region FROM public.visits WHERE id = 9001')).toEqual([[null]]);
      });
    await agrees();
    const blocked = await lake.fixture.plan();
    expect(blocked.blockers.map(({ message }) => message)).toEqual([
      expect.stringContaining('public.visits has no column "region" (named in partition_by)'),
    ]);
    await lake.fixture.configure({ ...TABLES, 'public.visits': { ...TABLES['public.visits'], partition_by: ['day'] } });
    await lake.fixture.apply();
    await lake.fixture.sync();
    await agrees();
    for (const values of await lake.partitions('visits')) expect(Object.keys(JSON.parse(values))).toEqual(['day']);
  }, 120_000);
});

test('a table that goes to another place keeps its partitions, and an empty key stops its table alone', async () => {
  const database = 'parts_moved';
  await postgres.createDatabase(database);
  await postgres.query(
    `create table old (id int primary key, region text); insert into old select i, 'r' || i % 3 from generate_series(1, 30) i;
     create table coded (code text, n int, v text, primary key (code, n)); insert into coded values ('a', 1, 'x'), ('b', 1, 'y')`,
    [],
    database,
  );
  const more: Record<string, unknown> = {};
  const coded = { 'public.coded': { partition_by: ['code'], deletes: 'hard' } };
  const settings = { output: 'both', deletes: 'hard', partition_by: ['region'] };
  const fixture = await EngineFixture.create({
    ...{ postgres, database, more, tables: { 'public.old': settings, ...coded } },
    cdc: { slot: database, publication: database },
    destination: { type: 'local', path: 'lake', format: 'delta' },
  });
  try {
    const lake = new PartitionedLake(fixture);
    await fixture.apply();
    await fixture.sync();
    await fixture.source('alter table old rename to new');
    more['moved'] = [{ from: 'shop:public.old', to: 'shop:public.new' }];
    await fixture.configure({ 'public.new': settings, ...coded });
    const plan = await fixture.apply();
    expect(plan.changes.map(({ action }) => action)).not.toContain('resync_table');
    await fixture.source("update new set region = 'r9' where id = 3");
    await fixture.sync();
    for (const table of ['new', 'new_cdc']) {
      expect(await lake.partitions(table)).toEqual(
        ['r0', 'r1', 'r2', 'r9'].map((region) => JSON.stringify({ region })),
      );
    }
    const rows = await fixture.source<{ id: string; region: string }>(
      'select id::text, region from new order by new.id',
    );
    const read = (): Promise<Cells[]> =>
      fixture.read((duckdb) => duckdb.rows('SELECT id, region FROM public.new ORDER BY id'));
    expect(await read()).toEqual(rows.map(({ id, region }) => [id, region]));

    await fixture.source("insert into coded values ('', 1, 'z'); insert into new values (99, 'r1')");
    const report = await fixture.trySync();
    const failed = report.sources.flatMap(({ tables }) => tables).filter(({ status }) => status === 'failed');
    expect(failed.map(({ address, error }) => [address, error?.code])).toEqual([
      ['shop:public.coded', 'KEY_NOT_REPRESENTABLE'],
    ]);
    expect(await read()).toContainEqual(['99', 'r1']);
  } finally {
    await fixture.remove();
  }
}, 120_000);
