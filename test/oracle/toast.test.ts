import { expect, test } from 'vitest';
import { realClock } from '../../src/cli/real-clock.js';
import type { EngineFixture } from '../engine-fixture.js';
import { majorsUnderTest } from '../postgres/binaries.js';
import { expectSame, expectVersions, situations } from './situation.js';

/**
 * Large values that an update leaves alone are not sent. Each must be found again: earlier in the batch, in the
 * destination, or in a load. `$` stands for the table; a trigger writes down what each version of a row held.
 */

const COLUMNS = ['id', 'n', 'body', 'extra'];
/** About 9.6 kB that no compression makes small enough to stay in the row. */
const big = (seed: string) => `(select string_agg(md5('${seed}' || i), '') from generate_series(1, 300) as i)`;

const KINDS = [
  { name: 'kept', settings: { output: 'both' }, identity: 'default' },
  { name: 'hard', settings: { deletes: 'hard' }, identity: 'default' },
  { name: 'only_history', settings: { output: 'history' }, identity: 'default' },
  { name: 'whole_rows', settings: { output: 'both' }, identity: 'full' },
  { name: 'by_index', settings: { output: 'both' }, identity: 'using index by_index_id_n' },
] as const;

const tableSql = (name: string, identity: string) => `
  create table ${name} (id int primary key, n int not null, body text, extra text);
  create unique index ${name}_id_n on ${name} (id, n);
  alter table ${name} replica identity ${identity};
  create table log_${name} (id int, n int, body text, extra text);
  create function log_${name}() returns trigger language plpgsql as $f$
    begin insert into log_${name} values (new.id, new.n, md5(new.body), md5(new.extra)); return null; end $f$;
  create trigger log after insert or update on ${name} for each row execute function log_${name}();
  insert into ${name} select i, i, ${big('old body')} || i, ${big('old extra')} || i from generate_series(1, 6) as i;`;

const SCENARIOS: readonly { readonly name: string; readonly sql: readonly string[] }[] = [
  {
    name: 'several updates of a key, some with the value and some without',
    sql: [
      'update $ set n = 11 where id = 1',
      `update $ set body = ${big('b')}, n = 12 where id = 1`,
      'update $ set n = 13 where id = 1',
      `update $ set extra = ${big('c')}, n = 14 where id = 1`,
      'update $ set n = 15 where id = 1',
      'begin; update $ set n = 16 where id = 1; update $ set n = 17 where id = 1; commit',
    ],
  },
  {
    name: 'an update after the insert, in its transaction and after it',
    sql: [
      `begin; insert into $ values (10, 1, ${big('d')}, ${big('e')}); update $ set n = 2 where id = 10; commit`,
      'update $ set n = 3 where id = 10',
      `update $ set body = ${big('f')} where id = 10`,
      'update $ set n = 4 where id = 10',
    ],
  },
  {
    name: 'the key changes and the value does not',
    sql: [
      'update $ set id = 101 where id = 1',
      'update $ set n = 21 where id = 101',
      'update $ set id = 1, n = 22 where id = 101',
      `insert into $ values (101, 1, ${big('g')}, null)`,
      'update $ set n = 23 where id = 101',
    ],
  },
  {
    name: 'keys go round in one transaction',
    sql: [
      'begin; update $ set id = 900 where id = 1; update $ set id = 1 where id = 2; update $ set id = 2 where id = 3; update $ set id = 3 where id = 900; commit',
      'update $ set n = n + 100 where id <= 3',
    ],
  },
  {
    name: 'a key is deleted and comes back with another value',
    sql: [
      'update $ set n = 31 where id = 4',
      'delete from $ where id = 4',
      `insert into $ values (4, 32, ${big('h')}, ${big('i')})`,
      'update $ set n = 33 where id = 4',
      `begin; delete from $ where id = 4; insert into $ values (4, 34, 'small', ${big('j')}); update $ set n = 35 where id = 4; commit`,
      'delete from $ where id = 4',
    ],
  },
  {
    name: 'NULL, small and large in turn',
    sql: [
      'update $ set body = null where id = 5',
      'update $ set n = 41 where id = 5',
      `update $ set body = ${big('k')} where id = 5`,
      'update $ set n = 42 where id = 5',
      "update $ set body = 'small' where id = 5",
      'update $ set n = 43 where id = 5',
      "update $ set body = '' where id = 5",
      'update $ set n = 44, extra = null where id = 5',
    ],
  },
  {
    name: 'what was rolled back leaves no trace',
    sql: [
      `begin; update $ set n = 51 where id = 6; savepoint s; update $ set body = ${big('l')}, n = 52 where id = 6; rollback to s; update $ set n = 53 where id = 6; commit`,
      `begin; update $ set body = ${big('m')} where id = 6; rollback`,
      'update $ set n = 54 where id = 6',
    ],
  },
];

async function snapshots(f: EngineFixture): Promise<number> {
  const rows = await f.read((duckdb) => duckdb.rows("SELECT count(*) FROM _sluice.runs WHERE kind = 'snapshot'"));
  return Number(rows[0]?.[0]);
}

async function expectCopy(f: EngineFixture, kind: (typeof KINDS)[number]): Promise<void> {
  if (kind.name !== 'only_history') await expectSame(f, kind.name, COLUMNS);
  if (kind.name === 'hard') return;
  await expectVersions(f, kind.name, ['id']);
  const logged = await f.source<{ row: string[] }>(
    `select array[id::text, n::text, body, extra] as row from log_${kind.name}`,
  );
  const versions = await f.read((duckdb) =>
    duckdb.rows(`SELECT id, n, md5(body), md5(extra) FROM public.${kind.name}_cdc WHERE NOT _ph_deleted`),
  );
  const sorted = (rows: readonly unknown[]) => rows.map((row) => JSON.stringify(row)).sort();
  expect(sorted(versions)).toEqual(sorted(logged.map(({ row }) => row)));
  const lost = await f.read((duckdb) =>
    duckdb.rows(`SELECT id FROM public.${kind.name}_cdc WHERE _ph_deleted AND body IS NULL AND id <> 5`),
  );
  expect(lost).toEqual([]);
}

situations(majorsUnderTest([17], [13, 17]), ({ start, prepare }) => {
  test.each(SCENARIOS)('$name', async ({ sql }) => {
    const f = await start(KINDS.map(({ name, identity }) => tableSql(name, identity)).join('\n'), {
      tables: Object.fromEntries(KINDS.map(({ name, settings }) => [`public.${name}`, settings])),
    });
    await f.sync();
    const run = async (statement: string) => {
      for (const { name } of KINDS) await f.source(statement.replaceAll('$', name));
    };
    // In one batch, and then the same once more with a batch for each.
    for (const statement of sql) await run(statement);
    await f.sync();
    for (const kind of KINDS) await expectCopy(f, kind);
    for (const { name } of KINDS) {
      await f.source(
        `delete from ${name}; insert into ${name} select i, i, ${big('old')} || i, ${big('new')} || i from generate_series(1, 6) as i`,
      );
    }
    for (const statement of sql) {
      await run(statement);
      await f.sync();
    }
    for (const kind of KINDS) await expectCopy(f, kind);
    // By the stream alone: no table was loaded again to mend it.
    expect(await snapshots(f)).toBe(KINDS.length);
  });

  test('values that only the load brings, for updates that came while it ran', async () => {
    // The stream is read all the time while a load runs, instead of every few seconds.
    const startedMs = realClock.monotonicMs();
    const clock = {
      ...realClock,
      monotonicMs: () => startedMs + (realClock.monotonicMs() - startedMs) * 1000,
      sleep: (ms: number, signal: AbortSignal) => realClock.sleep(Math.min(ms, 20), signal),
    };
    const f = await start(
      `${tableSql('kept', 'default')} insert into kept select i, i, md5(i::text) || md5((i + 1)::text), null from generate_series(10, 400000) as i`,
      { tables: { 'public.kept': { output: 'both' } }, clock },
    );
    const syncing = f.sync();
    await expect
      .poll(() => f.events.some((event) => event.kind === 'load_progress'), { interval: 5, timeout: 120_000 })
      .toBe(true);
    await f.source('update kept set n = 61 where id = 1');
    await f.source('update kept set id = 1002000 where id = 2');
    await f.source('update kept set n = 62 where id = 1002000');
    await f.source('begin; update kept set n = 63 where id = 3; delete from kept where id = 3; commit');
    await f.source(
      `insert into kept values (1003000, 1, ${big('n')}, null); update kept set n = 64 where id = 1003000`,
    );
    await syncing;
    await f.sync();
    const ended = f.events.findIndex((event) => event.kind === 'load_ended');
    const held = f.events.findIndex((event) => event.kind === 'stream_progress' && event.changes > 0);
    expect(held).toBeGreaterThan(-1);
    expect(held).toBeLessThan(ended);
    const source = await f.source<{ row: string[] }>(
      'select array[id::text, n::text, md5(body), md5(extra)] as row from kept where id < 10 or id > 1000000 order by kept.id',
    );
    const copy = await f.read((duckdb) =>
      duckdb.rows(
        'SELECT id, n, md5(body), md5(extra) FROM public.kept WHERE (id < 10 OR id > 1000000) AND NOT _ph_deleted ORDER BY kept.id',
      ),
    );
    expect(copy).toEqual(source.map(({ row }) => row));
    const deleted = await f.read((duckdb) =>
      duckdb.rows('SELECT id, length(body) > 9600 FROM public.kept WHERE _ph_deleted ORDER BY id'),
    );
    expect(deleted).toEqual([
      ['2', 'true'],
      ['3', 'true'],
    ]);
    await expectVersions(f, 'kept', ['id']);
  });

  test('REPLICA IDENTITY NOTHING is refused with the SQL that mends it', async () => {
    const f = await prepare(
      'create table t (id int primary key, v text); alter table t replica identity nothing; insert into t values (1, $$a$$)',
      { tables: { 'public.t': {} } },
    );
    const plan = await f.plan();
    expect(plan.blockers.map(({ code, address }) => `${code} ${address}`)).toEqual([
      'REPLICA_IDENTITY_UNSUITABLE shop:public.t',
    ]);
    await f.source(plan.blockers[0]?.hint ?? '');
    await f.apply();
    await f.sync();
    await f.source("update t set v = 'b'");
    await f.sync();
    await expectSame(f, 't', ['id', 'v']);
  });
});
