import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { EngineFixture, everydayDestination, type FixtureOptions, SOURCE } from '../engine-fixture.js';
import { runCli } from '../kill/killed-cli.js';
import { forgetWork } from '../kill/lake-deaths.js';
import { majorsUnderTest } from '../postgres/binaries.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { damage, findings, leftovers, verify, verifyTable } from './verify-world.js';

/** verify on real servers: what was planted in the destination is found, and nothing else is. */

const MAJORS = majorsUnderTest([17], [13, 17]);
const inLake = everydayDestination('').type !== 'duckdb';

/** One difference: cells of a row, or any statement. */
interface Planted {
  readonly name: string;
  readonly id?: number;
  readonly put?: string;
  readonly run?: string;
  readonly found: string | null;
}

/** DuckDB's UPDATE leaves a value as it is that equals the new one, as 0 does -0: rows are replaced. */
function statementsOf({ id, put, run }: Planted): string[] {
  if (run !== undefined) return [run];
  return [
    `CREATE OR REPLACE TEMP TABLE changed AS SELECT * REPLACE (${put}) FROM public.t WHERE id = ${id}`,
    `DELETE FROM public.t WHERE id = ${id}`,
    'INSERT INTO public.t FROM changed',
  ];
}

describe.each(MAJORS)('on Postgres %i', (major) => {
  let postgres: TestPostgres;
  let fixture: EngineFixture | null = null;
  let databases = 0;
  const sessions: pg.Client[] = [];

  beforeAll(async () => {
    postgres = await startPostgres({ major });
  });
  afterEach(async () => {
    for (const session of sessions.splice(0)) await session.end();
    await fixture?.remove();
    fixture = null;
  });
  afterAll(() => postgres?.stop());

  async function open(sql: string, tables: FixtureOptions['tables']): Promise<EngineFixture> {
    databases += 1;
    const database = `verify_${databases}`;
    await postgres.createDatabase(database);
    await postgres.query(sql, [], database);
    const opened = await EngineFixture.create({ postgres, database, cdc: { slot: database }, tables });
    await opened.apply();
    await opened.sync();
    return opened;
  }

  /** Ends with the test. */
  async function start(sql: string, tables: FixtureOptions['tables']): Promise<EngineFixture> {
    fixture = await open(sql, tables);
    return fixture;
  }

  async function session(): Promise<pg.Client> {
    const client = await postgres.client(`verify_${databases}`);
    sessions.push(client);
    return client;
  }

  const TYPES = `create table t (id int primary key, i int, s text, f8 float8, f4 float4, iv interval, n numeric(12,2), ts timestamptz, tz timetz,
      j json, l float8[], li interval[], u uuid, b bytea, d date, plain numeric);
    insert into t select i, i, 's' || i, i, i, make_interval(days => i), i + 0.5, '2024-01-01'::timestamptz + make_interval(secs => i), '10:00:00+00',
      '{"a": 1}', array[i, 0], array[make_interval(days => 30)], md5(i::text)::uuid, decode(md5(i::text), 'hex'), '2024-01-01'::date + i, i from generate_series(1, 50) as i;
    update t set f8 = 0, f4 = 0 where id in (3, 4); update t set f8 = 'NaN', f4 = '-0', s = null where id in (5, 6, 12)`;

  const PLANTED: readonly Planted[] = [
    { name: 'an integer', id: 1, put: '-1 AS i', found: 'different id=1 i: 1 -> -1' },
    { name: 'a blank', id: 2, put: "'s2 ' AS s", found: 'different id=2 s: s2 -> s2 ' },
    { name: '-0 for 0', id: 3, put: "'-0'::DOUBLE AS f8", found: 'different id=3 f8: 0.0 -> -0.0' },
    { name: '-0 for 0, 4 bytes', id: 4, put: "'-0'::FLOAT AS f4", found: 'different id=4 f4: 0.0 -> -0.0' },
    { name: '0 for -0', id: 5, put: '0 AS f4', found: 'different id=5 f4: -0.0 -> 0.0' },
    { name: 'inf for NaN', id: 6, put: "'inf'::DOUBLE AS f8", found: 'different id=6 f8: nan -> inf' },
    {
      name: '24 hours for a day',
      id: 7,
      put: 'INTERVAL 168 HOURS AS iv',
      found: 'different id=7 iv: 7 days -> 168:00:00',
    },
    {
      name: 'a month for 30 days',
      id: 30,
      put: 'INTERVAL 1 MONTH AS iv',
      found: 'different id=30 iv: 30 days -> 1 month',
    },
    {
      name: 'both in lists',
      id: 9,
      put: "[INTERVAL 1 MONTH] AS li, [9, '-0'::DOUBLE] AS l",
      found: 'different id=9 l: [9.0, 0.0] -> [9.0, -0.0] li: [30 days] -> [1 month]',
    },
    { name: 'NULL for a value', id: 11, put: 'NULL AS n', found: 'different id=11 n: 11.50 -> NULL' },
    { name: 'a value for NULL', id: 12, put: "'' AS s", found: 'different id=12 s: NULL -> ' },
    {
      name: 'another offset',
      id: 13,
      put: "'12:00:00+02' AS tz",
      found: 'different id=13 tz: 10:00:00+00 -> 12:00:00+02',
    },
    {
      name: 'a microsecond',
      id: 14,
      put: 'ts + INTERVAL 1 MICROSECOND AS ts',
      found: 'different id=14 ts: 2024-01-01 00:00:14+00 -> 2024-01-01 00:00:14.000001+00',
    },
    {
      name: 'other spaces in JSON',
      id: 15,
      put: `'{"a":1}' AS j`,
      found: 'different id=15 j: {"a": 1} -> {"a":1}',
    },
    {
      name: 'the scale of a plain numeric',
      id: 16,
      put: "'16.0' AS plain",
      found: 'different id=16 plain: 16 -> 16.0',
    },
    {
      name: 'several cells',
      id: 17,
      put: "0 AS i, DATE '2020-01-01' AS d",
      found: 'different id=17 i: 17 -> 0 d: 2024-01-18 -> 2020-01-01',
    },
    { name: 'a row marked as deleted', id: 18, put: 'true AS _ph_deleted', found: 'missing id=18' },
    { name: 'a missing row', run: 'DELETE FROM public.t WHERE id = 19', found: 'missing id=19' },
    {
      name: 'an extra row',
      run: 'INSERT INTO public.t SELECT * REPLACE (-1 AS id) FROM public.t WHERE id = 20',
      found: 'extra id=-1',
    },
    {
      name: 'an extra row marked as deleted',
      run: 'INSERT INTO public.t SELECT * REPLACE (-2 AS id, true AS _ph_deleted) FROM public.t WHERE id = 20',
      found: null,
    },
    { name: 'a row twice', run: 'INSERT INTO public.t FROM public.t WHERE id = 20', found: 'duplicate id=20' },
  ];

  test('every planted difference is found, whether exactly or by a sample', async () => {
    const f = await start(TYPES, { 'public.t': {} });
    expect(await verifyTable(f, 'public.t')).toMatchObject({
      status: 'equal',
      comparisons: [{ sourceRows: 50, counts: {} }],
    });
    await damage(f, ...PLANTED.flatMap(statementsOf));
    const expected = PLANTED.flatMap(({ found }) => (found === null ? [] : [`t ${found}`])).sort();
    for (const samplePercent of [null, 100]) {
      const verdict = await verifyTable(f, 'public.t', { samplePercent, limit: 100 });
      expect(findings(verdict).sort()).toEqual(expected);
      expect(verdict.comparisons[0]?.counts).toEqual({ missing: 2, extra: 1, different: 16, duplicate: 1 });
      expect(verdict.status).toBe('different');
    }
    // A sample of a part finds a part of the same, and the parts of what it leaves out nowhere else.
    const sampled = await verifyTable(f, 'public.t', { samplePercent: 40, seed: 'a', limit: 100 });
    expect(sampled.sample).toEqual({ percent: 40, seed: 'a' });
    expect(sampled.comparisons[0]?.sourceRows).toBeLessThan(50);
    expect(findings(sampled).length).toBeGreaterThan(0);
    expect(findings(sampled).filter((finding) => !expected.includes(finding))).toEqual([]);
    expect(findings(await verifyTable(f, 'public.t', { samplePercent: 40, seed: 'a', limit: 100 }))).toEqual(
      findings(sampled),
    );
  });

  test('counts of everything, and no more examples than asked for', async () => {
    const f = await start(
      'create table t (id int primary key, a int, b text); insert into t select i, i, repeat($$x$$, 300) || i from generate_series(1, 100) as i',
      {
        'public.t': {},
      },
    );
    await damage(
      f,
      'UPDATE public.t SET a = -a WHERE id <= 10',
      "UPDATE public.t SET b = concat(b, '.') WHERE id BETWEEN 9 AND 12",
      'DELETE FROM public.t WHERE id > 95',
    );
    const verdict = await verifyTable(f, 'public.t', { limit: 6 });
    expect(verdict).toMatchObject({
      method: 'cdc',
      status: 'different',
      sample: null,
      rejectedValues: 0,
      notes: [],
      error: null,
      comparisons: [
        {
          relation: 'public.t',
          sourceRows: 100,
          destinationRows: 95,
          counts: { missing: 5, different: 12 },
          columns: [
            { column: 'a', rows: 10 },
            { column: 'b', rows: 4 },
          ],
        },
      ],
    });
    expect(findings(verdict)).toEqual([
      ...[96, 97, 98, 99, 100].map((id) => `t missing id=${id}`),
      't different id=1 a: 1 -> -1',
    ]);
    const [comparison] = (await verifyTable(f, 'public.t')).comparisons;
    const cell = comparison?.examples.find((example) => example.row[0]?.value === '12')?.cells[0];
    // Cut before the difference, but not the same.
    expect(cell?.source).toMatch(/^x{200}\.\.\. \(302 characters, md5 [0-9a-f]{32}\)$/);
    expect(cell?.destination).toMatch(/^x{200}\.\.\. \(303 characters, md5 [0-9a-f]{32}\)$/);
  });

  /** Updates, key changes, inserts and deletes in transactions of several tables, until it is stopped. */
  async function keepWriting(): Promise<{ stop: () => Promise<number> }> {
    const client = await session();
    let writing = true;
    let transactions = 0;
    const done = (async () => {
      for (let n = 1; writing; n += 1) {
        await client.query(`begin; update t set a = a + 1, big = case when id % 7 = 0 then repeat(md5(random()::text), 300) else big end where id = ${1 + ((n * 37) % 3000)};
          update t set id = ${-n} where id = ${3001 + n}; delete from t where id = ${-n + 5}; insert into t values (${100_000 + n}, 0, 'new', 1);
          insert into other values (${n}, 'x'); commit; select pg_sleep(0.01)`);
        transactions += 1;
      }
    })();
    return {
      stop: async () => {
        writing = false;
        await done;
        return transactions;
      },
    };
  }

  const BUSY = `create table t (id int primary key, a int, big text, f float8); alter table t alter column big set storage external;
    insert into t select i, 0, repeat(md5(i::text), 100), i from generate_series(1, 8000) as i;
    create table other (id int primary key, v text)`;

  test('is equal at its snapshot while others write, and the neighbours stream on', async () => {
    const f = await start(BUSY, { 'public.t': { output: 'both' }, 'public.other': { deletes: 'hard' } });
    const writers = [await keepWriting()];
    const before = await f.positions();
    for (let round = 0; round < 4; round += 1) {
      const verdict = await verifyTable(f, 'public.t', round === 3 ? { samplePercent: 10 } : {});
      expect({ findings: findings(verdict), status: verdict.status }).toEqual({ findings: [], status: 'equal' });
      expect(verdict.comparisons.map((c) => [c.relation, c.destinationRows === c.sourceRows])).toEqual([
        ['public.t', true],
        ['public.t_cdc', true],
      ]);
    }
    for (const writer of writers) expect(await writer.stop()).toBeGreaterThan(20);
    const after = await f.positions();
    expect(after.slot).toBe(after.destination);
    expect(after.slot).not.toBe(before.slot);
    // The other table came along with the pages of the verify alone.
    const [streamed] = await f.read((duckdb) => duckdb.rows('SELECT count(*) > 20 FROM public.other'));
    expect(streamed).toEqual(['true']);
    expect((await verify(f)).tables.map((table) => [table.address, table.status])).toEqual([
      [`${SOURCE}:public.other`, 'equal'],
      [`${SOURCE}:public.t`, 'equal'],
    ]);
    expect(await leftovers(f)).toEqual([]);
    await f.sync();
    expect((await verify(f)).ok).toBe(true);
  });

  test('finds what is planted while others write', async () => {
    const f = await start(BUSY, { 'public.t': {}, 'public.other': {} });
    await damage(
      f,
      'UPDATE public.t SET f = -1 WHERE id = 7000',
      'DELETE FROM public.t WHERE id = 7001',
      'INSERT INTO public.t SELECT * REPLACE (999999 AS id) FROM public.t WHERE id = 7002',
    );
    const writer = await keepWriting();
    const verdict = await verifyTable(f, 'public.t');
    await writer.stop();
    expect(findings(verdict)).toEqual([
      't missing id=7001',
      't extra id=999999',
      't different id=7000 f: 7000.0 -> -1.0',
    ]);
  });

  test('a sample finds enough of what is planted in both directions, and only that', async () => {
    const f = await start(
      'create table t (id bigint, day date, name varchar(9), v int, primary key (id, day, name)); insert into t select i, $$2024-01-01$$::date + i % 9, $$ü$$ || i, i from generate_series(1, 2000) as i',
      {
        'public.t': {},
      },
    );
    await damage(
      f,
      'DELETE FROM public.t WHERE id % 10 = 1',
      'INSERT INTO public.t SELECT * REPLACE (-id AS id) FROM public.t WHERE id % 10 = 2',
      'UPDATE public.t SET v = -1 WHERE id % 10 = 3',
    );
    const { comparisons, sample } = await verifyTable(f, 'public.t', { samplePercent: 20, seed: 'one' });
    const [found] = comparisons;
    expect(sample).toEqual({ percent: 20, seed: 'one' });
    expect(found?.sourceRows).toBeGreaterThan(300);
    expect(found?.sourceRows).toBeLessThan(500);
    for (const kind of ['missing', 'extra', 'different'] as const) {
      expect(found?.counts[kind]).toBeGreaterThan(15);
      expect(found?.counts[kind]).toBeLessThan(70);
    }
    const all = await verifyTable(f, 'public.t', { samplePercent: 100 });
    expect(all.comparisons[0]?.counts).toEqual({ missing: 200, extra: 200, different: 200 });
  });

  test('a TRUNCATE just before the snapshot is told as such, one after it does not disturb', async () => {
    const f = await start(
      'create table t (id int primary key, v text); insert into t select i, $$v$$ from generate_series(1, 1000) as i',
      {
        'public.t': { output: 'both' },
      },
    );
    await f.source('truncate t; insert into t values (1, $$again$$)');
    const verdict = await verifyTable(f, 'public.t');
    expect(verdict).toMatchObject({
      status: 'not_compared',
      error: { code: 'VERIFY_NOT_READY', message: expect.stringContaining('waits for a load (TRUNCATE)') },
    });
    await f.sync();
    expect((await verifyTable(f, 'public.t')).status).toBe('equal');
    // Somebody truncates again and again; whatever comes first, the answer is never a false alarm.
    const client = await session();
    let truncating = true;
    const truncates = (async () => {
      while (truncating)
        await client.query(
          'begin; truncate t; insert into t select i, md5(random()::text) from generate_series(1, 100) as i; commit; select pg_sleep(0.02)',
        );
    })();
    const answers = new Set<string>();
    for (let round = 0; round < 3; round += 1) {
      const { status, error } = await verifyTable(f, 'public.t');
      answers.add(error?.code ?? status);
      await f.trySync();
    }
    truncating = false;
    await truncates;
    expect([...answers].filter((answer) => answer !== 'equal' && answer !== 'VERIFY_NOT_READY')).toEqual([]);
    await f.sync();
    await f.sync();
    expect(findings(await verifyTable(f, 'public.t'))).toEqual([]);
  });

  test('TOAST, soft deletes and reused keys', async () => {
    const f = await start(
      `create table t (id int primary key, a int, big text); alter table t alter column big set storage external;
      insert into t select i, i, repeat(md5(i::text), 400) from generate_series(1, 40) as i`,
      { 'public.t': { output: 'both', deletes: 'soft' } },
    );
    await f.source(
      'update t set a = a + 1 where id <= 20; delete from t where id in (1, 2, 3); update t set id = 100 where id = 4',
    );
    await f.sync();
    await f.source('insert into t values (2, 0, $$back$$); update t set a = 0 where id = 100');
    // By a machine that has nothing of the lake.
    if (inLake) await forgetWork(f);
    const verdict = await verifyTable(f, 'public.t');
    expect({
      status: verdict.status,
      counts: verdict.comparisons.map((c) => [c.sourceRows, c.destinationRows, c.counts]),
    }).toEqual({
      status: 'equal',
      counts: [
        [38, 38, {}],
        [38, 38, {}],
      ],
    });
    await damage(
      f,
      "UPDATE public.t SET big = concat(big, '.') WHERE id = 100",
      'UPDATE public.t SET _ph_deleted = false WHERE id = 1',
    );
    expect((await verifyTable(f, 'public.t')).comparisons.map((c) => c.counts)).toEqual([
      { extra: 1, different: 1 },
      {},
    ]);
  });

  test('the history: its current versions and its laws', async () => {
    const f = await start(
      'create table t (id int primary key, kind text); insert into t select i, $$a$$ from generate_series(1, 9) as i',
      {
        'public.t': { output: 'history' },
      },
    );
    for (const kind of ['b', 'c']) {
      await f.source(`update t set kind = '${kind}' where id < 9`);
      await f.sync();
    }
    await f.source('delete from t where id = 8');
    expect(await verifyTable(f, 'public.t')).toMatchObject({
      status: 'equal',
      comparisons: [{ relation: 'public.t_cdc', counts: {} }],
    });
    await damage(
      f,
      "UPDATE public.t_cdc SET kind = 'x' WHERE id = 1 AND valid_to IS NULL",
      "UPDATE public.t_cdc SET valid_to = valid_to + INTERVAL 1 HOUR WHERE id = 2 AND kind = 'a'",
      "UPDATE public.t_cdc SET valid_to = valid_to - INTERVAL 1 MICROSECOND WHERE id = 3 AND kind = 'b'",
      "UPDATE public.t_cdc SET _ph_cdc_lsn = (SELECT max(_ph_cdc_lsn) FROM public.t_cdc WHERE id = 4), _ph_cdc_seq = (SELECT max(_ph_cdc_seq) FROM public.t_cdc WHERE id = 4 AND valid_to IS NULL) WHERE id = 4 AND kind = 'b'",
      "UPDATE public.t_cdc SET valid_to = NULL WHERE id = 5 AND kind = 'a'",
      'DELETE FROM public.t_cdc WHERE id = 6 AND valid_to IS NULL',
      "UPDATE public.t_cdc SET valid_to = valid_from - INTERVAL 1 SECOND WHERE id = 7 AND kind = 'b'",
    );
    expect(findings(await verifyTable(f, 'public.t')).sort()).toEqual(
      [
        't_cdc different id=1 kind: c -> x',
        't_cdc duplicate id=5',
        't_cdc different id=5 kind: c -> a',
        't_cdc history_gap id=3',
        't_cdc history_order id=4',
        't_cdc history_overlap id=2',
        't_cdc history_overlap id=5',
        't_cdc history_overlap id=7',
        't_cdc missing id=6',
      ].sort(),
    );
  });

  test('what does not fit its type is NULL on both sides, and said', async () => {
    const f = await start(
      "create table t (id int primary key, n numeric(5,2), l int[]); insert into t values (1, 'NaN', '{{1,2},{3,4}}'), (2, 1, '{1}')",
      {
        'public.t': {},
      },
    );
    expect(await verifyTable(f, 'public.t')).toMatchObject({
      status: 'equal',
      rejectedValues: 2,
      notes: ['values that do not fit their destination type, NULL on both sides: 2'],
    });
  });

  test('a table that is larger than the memory that DuckDB may use', async () => {
    databases += 1;
    const database = `verify_${databases}`;
    await postgres.createDatabase(database);
    await postgres.query(
      'create table t (id int primary key, big text); insert into t select i, repeat(md5(i::text), 300) from generate_series(1, 16000) as i',
      [],
      database,
    );
    const tables = { 'public.t': { output: 'both' } };
    const f = await EngineFixture.create({
      postgres,
      database,
      cdc: { slot: database },
      tables,
      // Files of a lake are written 2,048 rows at a time.
      destination: { memory_limit_mb: inLake ? 256 : 64 },
    });
    fixture = f;
    await f.apply();
    await f.sync();
    await damage(f, "UPDATE public.t SET big = concat('x', big) WHERE id > 15990");
    const verdict = await verifyTable(f, 'public.t');
    expect(verdict.error).toBeNull();
    expect(verdict.comparisons.map((c) => [c.sourceRows, c.counts])).toEqual([
      [16_000, { different: 10 }],
      [16_000, {}],
    ]);
  });

  test('incremental: what the next sync brings is no fault, what it never brings is', async () => {
    const f = await start(
      "create table t (id int primary key, at timestamptz not null, v text); insert into t select i, '2024-01-01'::timestamptz + make_interval(secs => i), 'v' from generate_series(1, 20) as i",
      { 'public.t': { method: 'incremental', cursor: 'at' } },
    );
    expect(await verifyTable(f, 'public.t')).toMatchObject({
      status: 'equal',
      comparisons: [{ sourceRows: 20, counts: {} }],
    });
    await f.source(
      "update t set v = 'later', at = '2024-02-01' where id = 3; insert into t values (21, '2024-02-02', 'new'), (22, '2024-01-01 00:00:20', 'same time'); delete from t where id = 5",
    );
    const lagging = await verifyTable(f, 'public.t');
    expect([lagging.status, ...findings(lagging)]).toEqual([
      'equal',
      't pending id=3 at: 2024-02-01 00:00:00+00 -> 2024-01-01 00:00:03+00 v: later -> v',
      't pending id=21',
      't pending id=22',
      't unfollowed id=5',
    ]);
    await f.source("update t set v = 'unseen' where id = 7");
    await damage(f, 'DELETE FROM public.t WHERE id = 8');
    const wrong = await verifyTable(f, 'public.t', { limit: 2 });
    expect([wrong.status, ...findings(wrong)]).toEqual([
      'different',
      't missing id=8',
      't different id=7 v: unseen -> v',
    ]);
    expect(wrong.comparisons[0]?.counts).toEqual({ missing: 1, different: 1, pending: 3, unfollowed: 1 });
    await f.sync();
    expect((await verifyTable(f, 'public.t')).comparisons[0]?.counts).toEqual({
      missing: 1,
      different: 1,
      unfollowed: 1,
    });
  });

  test('append and full_table are compared as bags of rows', async () => {
    const f = await start(
      'create table a (n int, v float8); insert into a select i % 5, i % 5 from generate_series(1, 20) as i; create table w (v text); insert into w values ($$x$$), ($$x$$), (null)',
      { 'public.a': { method: 'append', cursor: 'n' }, 'public.w': { method: 'full_table' } },
    );
    expect(
      (await verify(f, { samplePercent: 5 })).tables.map((t) => [t.address, t.status, t.sample, t.notes[0]]),
    ).toEqual([
      [`${SOURCE}:public.a`, 'equal', null, 'compared in full and not by a sample: the table has no key'],
      [`${SOURCE}:public.w`, 'equal', null, 'compared in full and not by a sample: the table has no key'],
    ]);
    await f.source("insert into a values (9, 1), (1, 2); insert into w values ('y'), (null)");
    await damage(f, "INSERT INTO public.a VALUES (0, '-0'::DOUBLE)", 'DELETE FROM public.w WHERE v IS NULL');
    const appended = await verifyTable(f, 'public.a');
    expect([appended.status, ...findings(appended)]).toEqual([
      'different',
      'a missing n=1 v=2.0',
      'a pending n=9 v=1.0',
      'a unfollowed n=0 v=-0.0',
    ]);
    const full = await verifyTable(f, 'public.w');
    expect([full.status, ...findings(full)]).toEqual(['different', 'w missing v=y', 'w missing v=NULL']);
    expect(full.comparisons[0]).toMatchObject({ sourceRows: 5, destinationRows: 2, counts: { missing: 3 } });
    expect(full.notes).toEqual([
      expect.stringMatching(/^rows that changed at the source since the load of 20.*Z differ$/),
    ]);
    await f.sync();
    expect((await verifyTable(f, 'public.w')).status).toBe('equal');
  });

  test('a process that dies before the comparison leaves nothing that disturbs', async () => {
    const f = await start(BUSY, { 'public.t': { output: 'both' }, 'public.other': {} });
    const writer = await keepWriting();
    const end = await runCli(f, ['verify', `${SOURCE}:public.t`], { failpoint: 'before_compare' });
    await writer.stop();
    expect({ signal: end.signal, output: end.output }).toEqual({ signal: 'SIGKILL', output: end.output });
    expect((await leftovers(f)).flat()).toEqual(['_sluice', `held ${SOURCE}:public.t`]);
    const next = await runCli(f, ['verify', '--format', 'json']);
    expect({ code: next.code, ok: next.output.includes('"ok": true') }).toEqual({ code: 0, ok: true });
    expect(await leftovers(f)).toEqual([]);
  });

  test('cancelling ends it soon and leaves nothing that disturbs', async () => {
    const f = await start(
      'create table t (id int primary key, v text); insert into t select i, md5(i::text) from generate_series(1, 300000) as i',
      {
        'public.t': {},
      },
    );
    const copied = new AbortController();
    const engine = await f.engine();
    const looking = setInterval(() => {
      if (f.events.some((event) => event.kind === 'load_progress' && event.address === `${SOURCE}:public.t`))
        copied.abort(new Error('enough'));
    }, 5);
    f.events.length = 0;
    await expect(
      engine.verify({ address: SOURCE, samplePercent: null, seed: null, limit: 1 }, copied.signal),
    ).rejects.toThrow('enough');
    clearInterval(looking);
    await f.close();
    expect(await leftovers(f)).toEqual([]);
    expect((await verifyTable(f, 'public.t')).status).toBe('equal');
  });

  test('what cannot be compared says why', async () => {
    const f = await start(
      'create table t (id int primary key, v text); create table u (id int primary key); insert into t values (1, $$a$$)',
      {
        'public.t': {},
        'public.u': { method: 'full_table' },
      },
    );
    await damage(f, 'ALTER TABLE public.t ALTER v TYPE BLOB', 'DROP TABLE public.u');
    expect((await verify(f)).tables.map((table) => [table.status, table.error?.code, table.error?.message])).toEqual([
      ['not_compared', 'SCHEMA_CHANGED', 'public.t.v is BLOB and not VARCHAR'],
      ['not_compared', 'SCHEMA_CHANGED', 'the destination has no table public.u'],
    ]);
    await f.resync('public.t', 'public.u');
    expect((await verify(f)).tables.map((table) => table.error?.code)).toEqual([
      'VERIFY_NOT_READY',
      'VERIFY_NOT_READY',
    ]);
    await f.sync();
    expect((await verify(f)).ok).toBe(true);
    await expect(verify(f, { address: `${SOURCE}:public.none` })).rejects.toMatchObject({ code: 'ADDRESS_UNKNOWN' });
    await f.source('drop table u');
    expect((await verify(f)).tables.map((table) => [table.status, table.error?.code])).toEqual([
      ['equal', undefined],
      ['not_compared', 'TABLE_MISSING'],
    ]);
  });

  /** A lake keeps the years 1 to 9999; a key of another one would not be representable. */
  const isKept = (value: string): boolean => !inLake || !/infinity| BC$|^[0-9]{5}-/.test(value);
  /** Strings in a lake, as Postgres writes them. */
  const LAKE_STRINGS = [
    { type: 'interval', values: ['1 day', '-1 mon +3 days', '3 years 2 mons 04:05:06.789', '-00:00:00.000001', '0'] },
    { type: 'time', values: ['00:00:00', '12:34:56.789', '24:00:00'] },
    { type: 'timetz', values: ['12:00:00+02', '12:00:00.5-05:30'] },
  ];
  const KEY_TYPES: readonly { readonly type: string; readonly values: readonly string[] }[] = [
    { type: 'int8', values: ['-9223372036854775808', '0', '9223372036854775807'] },
    { type: 'oid', values: ['0', '4294967295'] },
    { type: 'numeric(8,3)', values: ['-0.5', '0', '12.340', '99999.999'] },
    { type: 'numeric', values: ['-1e30', '1.500', 'NaN'] },
    { type: 'text', values: ['', ' ', 'ü', '日本', 'a b', "it's"] },
    { type: 'char(5)', values: ['', 'a', 'abcde'] },
    { type: 'uuid', values: ['00000000-0000-0000-0000-000000000000', 'FFFFFFFF-ffff-4fff-8fff-ffffffffffff'] },
    { type: 'date', values: ['-infinity', '0044-03-15 BC', '0001-01-01', '2024-02-29', '12345-01-01', 'infinity'] },
    {
      type: 'timestamp',
      values: [
        '-infinity',
        '0044-03-15 01:02:03.4 BC',
        '2024-02-29 00:00:00',
        '2024-02-29 23:59:59.999999',
        '12345-01-01 00:00:00.5',
      ],
    },
    {
      type: 'timestamptz',
      values: ['infinity', '0044-03-15 01:02:03+00 BC', '2024-02-29 12:00:00.120000+05:30', '0001-01-01 00:00:00+00'],
    },
    { type: 'inet', values: ['10.0.0.1', '10.0.0.0/8', '::1'] },
    ...(inLake ? LAKE_STRINGS : []),
  ].map(({ type, values }) => ({ type, values: values.filter(isKept) }));

  test('source and destination choose the same sample, whatever the type of the key', async () => {
    const tables = KEY_TYPES.map(({ type, values }, i) => {
      const rows = values.flatMap((value) => [1, 2, 3, 4].map((n) => `('${value.replaceAll("'", "''")}', ${n})`));
      return `create table k${i} (k ${type}, n int, primary key (k, n)); insert into k${i} values ${rows.join(', ')};`;
    });
    const f = await start(
      `${tables.join('\n')} create table no (k interval primary key); insert into no values ('1 day')`,
      {
        'public.*': {},
      },
    );
    for (const seed of ['a', 'b', 'c']) {
      const report = await verify(f, { samplePercent: 50, seed, address: SOURCE });
      const [full, ...sampled] = [...report.tables].reverse();
      expect(full).toMatchObject({
        address: `${SOURCE}:public.no`,
        status: 'equal',
        ...(inLake ? { notes: [] } : { sample: null, notes: [expect.stringContaining('"k"')] }),
      });
      expect(sampled.map((t) => [t.address, t.status, t.sample?.percent])).toEqual(
        sampled.map((t) => [t.address, 'equal', 50]),
      );
      expect(sampled).toHaveLength(KEY_TYPES.length);
      const chosen = sampled.reduce((sum, t) => sum + (t.comparisons[0]?.destinationRows ?? 0), 0);
      const all = KEY_TYPES.reduce((sum, { values }) => sum + 4 * values.length, 0);
      expect(chosen).toBeGreaterThan(all * 0.3);
      expect(chosen).toBeLessThan(all * 0.7);
    }
  });

  test('a commit that was streamed before it became visible is no false alarm', async () => {
    const f = await start(
      'create table t (id int primary key, v text); insert into t values (1, $$old$$), (2, $$old$$)',
      {
        'public.t': {},
      },
    );
    const until = async (what: string, done: () => Promise<boolean> | boolean): Promise<void> => {
      const deadline = performance.now() + 60_000;
      while (!(await done())) {
        if (performance.now() > deadline) throw new Error(`in vain: ${what}`);
        await sleep(50);
      }
    };
    const waiting = async (): Promise<boolean> =>
      (await f.source("select 1 from pg_stat_activity where wait_event = 'SyncRep' and query like 'update t%'"))
        .length === 1;
    const reload = async (standbys: string): Promise<void> => {
      await f.source(`alter system set synchronous_standby_names = '${standbys}'`);
      await f.source('select pg_reload_conf()');
    };
    const client = await session();
    await reload('nobody');
    try {
      // The setting reaches a session between two statements: one of these commits hangs.
      for (let n = 0, hangs = false; !hangs; n += 1) {
        let ended = false;
        const update = client.query(`update t set v = 'new ${n}' where id = 1`);
        const end = update.then(() => {
          ended = true;
        });
        await until('the commit', async () => ended || (await waiting()));
        hangs = !ended;
        if (ended) await end;
      }
      await f.sync();
      const [[streamed] = []] = await f.read((duckdb) => duckdb.rows('SELECT v FROM public.t WHERE id = 1'));
      expect(streamed).toMatch(/^new/);
      expect(await f.source('select v from t where id = 1 and v = $1', [streamed])).toEqual([]);
      f.events.length = 0;
      const verifying = verifyTable(f, 'public.t');
      await until('a second look', () => f.events.some((event) => event.kind === 'waiting'));
      await reload('');
      const verdict = await verifying;
      expect([verdict.status, ...findings(verdict)]).toEqual(['equal']);
      expect(f.events.filter((event) => event.kind === 'load_started')).toHaveLength(2);
    } finally {
      await reload('');
    }
  });
});
