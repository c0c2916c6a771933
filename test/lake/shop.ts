import type { Cells, EngineFixture } from '../engine-fixture.js';
import type { TestPostgres } from '../postgres/server.js';

/** A small database of three tables that a lake keeps in its three ways, and what may not happen to it. */

export const SHOP_TABLES = {
  'public.users': { output: 'both', deletes: 'soft' },
  'public.orders': { output: 'consolidated', deletes: 'hard' },
  'public.clicks': { method: 'append', cursor: 'id' },
} as const;

const ROWS = 200;

export async function makeShop(postgres: TestPostgres, database: string): Promise<void> {
  await postgres.createDatabase(database);
  await postgres.query(
    `create table users (id int primary key, name text, n int default 0);
     create table orders (id int primary key, note text, n int default 0);
     create table clicks (id bigserial primary key, v text);
     create table done (id bigserial primary key, users bigint);
     create function count_user() returns trigger language plpgsql as $$
       begin insert into done (users) values (1); return null; end $$;
     create trigger counted after insert or update or delete on users for each row execute function count_user();
     insert into users select i, 'user ' || i from generate_series(1, ${ROWS}) i;
     insert into orders select i, 'order ' || i from generate_series(1, ${ROWS}) i;
     insert into clicks (v) select 'click ' || i from generate_series(1, ${ROWS}) i`,
    [],
    database,
  );
}

/** One transaction on all tables. @param round another one each time */
export async function work(fixture: EngineFixture, round: number): Promise<void> {
  const low = (round * 17) % ROWS;
  await fixture.source(
    ['users', 'orders']
      .map(
        (table) => `update ${table} set n = n + 1 where id between ${low} and ${low + 20};
          delete from ${table} where id in (${low + 3}, ${low + 4});
          insert into ${table} (id) values (${1_000 + round})`,
      )
      .concat(`insert into clicks (v) select 'round ${round}' from generate_series(1, 3)`)
      .join(';'),
  );
}

/** What differs from Postgres or is there twice; a sync must have caught up. */
export async function shopProblems(fixture: EngineFixture): Promise<string[]> {
  const problems: string[] = [];
  const [changes] = await fixture.source<{ n: string }>('select count(*)::text as n from done');
  const [users, orders, clicks] = await Promise.all([
    fixture.source<Wanted>("select id::text as id, coalesce(name, '-') || n as v from users"),
    fixture.source<Wanted>("select id::text as id, coalesce(note, '-') || n as v from orders"),
    fixture.source<Wanted>('select id::text as id, v from clicks'),
  ]);
  await fixture.read(async (lake) => {
    const live = "SELECT id, coalesce(name, '-') || n FROM public.users WHERE NOT _ph_deleted";
    problems.push(...differences('users', users, await lake.rows(live)));
    const open = `SELECT id, coalesce(name, '-') || n FROM public.users_cdc WHERE valid_to IS NULL AND NOT _ph_deleted`;
    problems.push(...differences('users_cdc', users, await lake.rows(open)));
    problems.push(
      ...differences('orders', orders, await lake.rows(`SELECT id, coalesce(note, '-') || n FROM public.orders`)),
    );
    problems.push(...differences('clicks', clicks, await lake.rows('SELECT id, v FROM public.clicks')));
    const twice = await lake.rows(
      `SELECT 'user ' || id || ' twice' FROM public.users GROUP BY id HAVING count(*) > 1
       UNION ALL SELECT 'version ' || id || '@' || _ph_cdc_lsn FROM public.users_cdc
         GROUP BY id, _ph_cdc_lsn, _ph_cdc_seq HAVING count(*) > 1`,
    );
    problems.push(...twice.map(String));
    const [versions] = await lake.rows('SELECT count(*) FROM public.users_cdc WHERE _ph_cdc_seq > 0');
    // A change that came while the table loaded is a part of the load.
    if (Number(versions?.[0]) > Number(changes?.n)) problems.push(`${versions?.[0]} versions of ${changes?.n} changes`);
  });
  return problems;
}

interface Wanted extends Record<string, unknown> {
  readonly id: string;
  readonly v: string;
}

function differences(name: string, wanted: readonly Wanted[], found: readonly Cells[]): string[] {
  const want = wanted.map(({ id, v }) => `${id} ${v}`).sort();
  const have = found.map((row) => row.join(' ')).sort();
  const problems: string[] = [];
  if (new Set(have).size !== have.length) problems.push(`${name}: rows are there twice`);
  const missing = want.filter((row) => !have.includes(row));
  const extra = have.filter((row) => !want.includes(row));
  if (missing.length > 0) problems.push(`${name}: missing ${missing.slice(0, 5)} (${missing.length})`);
  if (extra.length > 0) problems.push(`${name}: extra ${extra.slice(0, 5)} (${extra.length})`);
  return problems;
}
