import { expect, test } from 'vitest';
import type { EngineFixture } from '../engine-fixture.js';
import { majorsUnderTest } from '../postgres/binaries.js';
import { expectSame, expectVersions, situations } from './situation.js';

/** Partitions that come, go, and lose their rows, with Postgres as the judge. */

const KEY = ['id', 'k'];
const COLUMNS = [...KEY, 'v'];
const ROOT = `create table t (id int, k int, v text, primary key (id, k)) partition by list (k);
  create table t1 partition of t for values in (1); create table t2 partition of t for values in (2);
  insert into t select i, 1 + i % 2, 'v' || i from generate_series(1, 20) as i`;
const TABLES = { 'public.t': { output: 'both' } };
const loose = (name: string) => `create table ${name} (like t including all)`;

/** Each statement is a transaction, unless they begin one. */
async function run(f: EngineFixture, sql: string): Promise<void> {
  for (const statement of sql.startsWith('begin') ? [sql] : sql.split(';')) await f.source(statement);
}

/** Snapshots of the table that have been taken so far. */
async function loads(f: EngineFixture): Promise<number> {
  const rows = await f.read((duckdb) =>
    duckdb.rows("SELECT count(*) FROM _sluice.runs WHERE kind = 'snapshot' AND status = 'ok'"),
  );
  return Number(rows[0]?.[0]);
}

/** What Postgres holds is in the copy, by way of exactly so many loads in all. */
async function expectWhole(f: EngineFixture, loadsInAll: number): Promise<void> {
  await f.sync();
  await expectSame(f, 't', COLUMNS);
  await expectVersions(f, 't', KEY);
  expect(await loads(f)).toBe(loadsInAll);
  // Once noticed it is over: nothing is loaded again for it.
  await f.sync();
  expect(await loads(f)).toBe(loadsInAll);
}

const HARMLESS = [
  { name: 'rows and nothing else', sql: "insert into t values (100, 1, 'new'); update t set v = 'u' where id = 2" },
  {
    name: 'a row that moves between partitions',
    sql: "update t set k = 2 where id = 2; update t set k = 1, v = 'moved' where id = 3; update t set k = 2 where id = 3",
  },
  {
    name: 'a new partition and rows in it',
    sql: "create table t3 partition of t for values in (3); insert into t values (30, 3, 'new'); insert into t3 values (31, 3, 'direct')",
  },
  {
    name: 'a new partition, filled in the transaction that makes it',
    sql: "begin; create table t3 partition of t for values in (3); insert into t values (30, 3, 'new'); commit",
  },
  {
    name: 'an empty table is attached, and filled',
    sql: `${loose('a')}; alter table t attach partition a for values in (3); insert into t values (30, 3, 'new')`,
  },
  {
    name: 'a table that was emptied before it is attached',
    sql: `${loose('a')}; insert into a values (30, 3, 'gone'); delete from a; alter table t attach partition a for values in (3)`,
  },
  {
    name: 'an empty table is attached and filled in one transaction',
    sql: `begin; ${loose('a')}; alter table t attach partition a for values in (3); insert into a values (30, 3, 'new'); commit`,
  },
  {
    name: 'new partitions of a partition',
    sql: `create table t3 partition of t for values in (3, 4) partition by list (k);
      create table t3a partition of t3 for values in (3); create table t3b partition of t3 default;
      insert into t values (30, 3, 'deep'), (40, 4, 'deeper'); update t set k = 4 where id = 30`,
  },
  { name: 'CLUSTER', sql: "update t set v = 'u' where id = 2; cluster t1 using t1_pkey" },
  { name: 'a partition is renamed', sql: "alter table t1 rename to renamed; update t set v = 'u' where id = 2" },
];

const NOTICED = [
  {
    name: 'a table with rows is attached',
    sql: `${loose('a')}; insert into a values (30, 3, 'unseen'), (31, 3, 'unseen'); alter table t attach partition a for values in (3);
      insert into t values (32, 3, 'seen')`,
  },
  {
    name: 'a table is made, filled and attached in one transaction',
    sql: `begin; ${loose('a')}; insert into a values (30, 3, 'unseen'); alter table t attach partition a for values in (3); commit`,
  },
  {
    name: 'a partitioned table with rows is attached',
    sql: `create table a (like t including all) partition by list (k); create table a3 partition of a for values in (3);
      insert into a values (30, 3, 'unseen'); alter table t attach partition a for values in (3)`,
  },
  { name: 'a partition is detached', sql: 'alter table t detach partition t1' },
  { name: 'a partition is dropped', sql: 'drop table t1' },
  {
    name: 'a partition is detached, changed and attached again',
    sql: `alter table t detach partition t1; update t1 set v = 'unseen'; delete from t1 where id = 2;
      alter table t attach partition t1 for values in (1)`,
  },
  { name: 'a partition is truncated', sql: 'truncate t1' },
  {
    name: 'a partition is truncated, filled, and looked at by ANALYZE',
    sql: "truncate t1; insert into t1 select i, 1, 'again' from generate_series(100, 200) as i; analyze t1",
  },
  {
    name: 'a partition is truncated and then rewritten',
    sql: "truncate t1; insert into t1 values (100, 1, 'again'); cluster t1 using t1_pkey",
  },
  {
    name: 'a new partition is filled and truncated',
    sql: "create table t3 partition of t for values in (3); insert into t values (30, 3, 'sent'); truncate t3",
  },
];

situations(majorsUnderTest([17], [13, 17, 18]), ({ start, session }) => {
  test.each(HARMLESS)('harmless: $name', async ({ sql }) => {
    const f = await start(ROOT, { tables: TABLES });
    await f.sync();
    await run(f, sql);
    await expectWhole(f, 1);
  });

  test.each(NOTICED)('noticed: $name', async ({ sql }) => {
    const f = await start(ROOT, { tables: TABLES });
    await f.sync();
    await run(f, sql);
    await expectWhole(f, 2);
    expect(f.events.filter(({ kind }) => kind === 'notice')).toHaveLength(1);
  });

  test('VACUUM FULL every day loads nothing', async () => {
    const f = await start(ROOT, { tables: TABLES });
    await f.sync();
    for (let day = 1; day <= 3; day += 1) {
      await f.source('vacuum full t1');
      await f.source(
        `insert into t values (${100 + day}, 1, 'day ${day}'); create table day_${day} partition of t for values in (${10 + day})`,
      );
      await f.source(`insert into t values (1, ${10 + day}, 'a')`);
      await f.sync();
      // The partition that came yesterday holds nothing from before the load.
      await f.source(`vacuum full day_${day}`);
      await f.sync();
    }
    await expectWhole(f, 1);
  });

  test('on_partition_change: warn keeps what was there and says so once', async () => {
    const f = await start(ROOT, { tables: { 'public.t': { deletes: 'hard', on_partition_change: 'warn' } } });
    await f.sync();
    await f.source('drop table t1');
    await f.sync();
    await f.sync();
    expect(await loads(f)).toBe(1);
    const [kept, said] = await f.read(async (duckdb) => [
      await duckdb.rows('SELECT count(*) FROM public.t'),
      await duckdb.rows("SELECT error_code, error_message FROM _sluice.runs WHERE kind = 'partitions'"),
    ]);
    expect(kept).toEqual([['20']]);
    expect(said).toEqual([['PARTITIONS_CHANGED', expect.stringContaining('"public"."t1" was detached or dropped')]]);
    expect(f.events.filter(({ kind }) => kind === 'notice')).toHaveLength(1);
    // Going back to the default looks forward: what was accepted stays accepted.
    await f.configure(TABLES);
    expect((await f.plan()).changes.length).toBeGreaterThan(0);
  });

  test('TRUNCATE of the whole table is one load, and ends every version', async () => {
    const f = await start(ROOT, { tables: TABLES });
    await f.sync();
    await f.source("insert into t values (100, 1, 'before'); truncate t; insert into t values (1, 2, 'after')");
    await expectWhole(f, 2);
    const open = await f.read((duckdb) =>
      duckdb.rows('SELECT id FROM public.t_cdc WHERE valid_to IS NULL AND NOT _ph_deleted'),
    );
    expect(open).toEqual([['1']]);
  });

  test('a partition that is locked is looked at later, and nothing else waits for it', async () => {
    const f = await start(`${ROOT}; create table u (id int primary key, v text)`, {
      tables: { ...TABLES, 'public.u': {} },
    });
    await f.sync();
    await f.source("truncate t1; insert into u values (1, 'v')");
    const holder = await session();
    await holder.query('begin; lock table t1 in access exclusive mode');
    await f.sync();
    await expectSame(f, 'u', ['id', 'v']);
    expect(await loads(f)).toBe(2);
    await holder.query('rollback');
    await expectWhole(f, 3);
  });

  test('a self-managed publication without publish_via_partition_root is refused with the SQL', async () => {
    const f = await start(`${ROOT}; create publication by_hand for table t with (publish_via_partition_root = true)`, {
      tables: TABLES,
      cdc: { publication: 'by_hand', management: 'self_managed' },
    });
    await f.sync();
    await f.source('alter publication by_hand set (publish_via_partition_root = false)');
    const plan = await f.plan();
    expect(plan.blockers.map(({ code }) => code)).toContain('PUBLICATION_INCOMPLETE');
    const hint = plan.blockers.find(({ code }) => code === 'PUBLICATION_INCOMPLETE')?.hint ?? '';
    await f.source("update t set v = 'under another name' where id = 1");
    expect(await f.trySync()).toMatchObject({ ok: false });
    await f.source(hint);
    await f.sync();
    await expectSame(f, 't', COLUMNS);
  });

  test('a rewrite of a partition whose rows are all new is loaded again, to be safe', async () => {
    const f = await start(ROOT, { tables: TABLES });
    await f.sync();
    await f.source(`update t set v = 'all of them' where k = 1`);
    await f.source('vacuum full t1');
    await expectWhole(f, 2);
  });
});
