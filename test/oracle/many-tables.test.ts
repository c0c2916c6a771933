import { expect, test } from 'vitest';
import { freshFixtures } from '../fresh-fixtures.js';

/** A page that writes to many tables needs memory for each of them, however few rows it has. */

const TABLES = 80;

const fresh = freshFixtures('many');

test(`a transaction that changes ${TABLES} tables fits in the smallest memory limit`, async () => {
  const names = Array.from({ length: TABLES }, (_, index) => `t${index}`);
  const columns = Array.from({ length: 8 }, (_, index) => `c${index} text default 'value ${index}'`).join(', ');
  const fixture = await fresh({
    sql: names
      .map(
        (name) => `create table ${name} (id int primary key, n int default 0, ${columns});
          insert into ${name} (id) select generate_series(1, 20)`,
      )
      .join(';'),
    tables: Object.fromEntries(names.map((name) => [`public.${name}`, { output: 'both' }])),
    destination: { memory_limit_mb: 64, threads: 1 },
  });
  await fixture.source(
    `begin; ${names.map((name) => `update ${name} set n = n + 1 where id < 10`).join('; ')}; commit`,
  );
  await fixture.sync();
  await fixture.read(async (duckdb) => {
    for (const name of names) {
      expect(await duckdb.rows(`SELECT sum(n), count(*) FROM public.${name}`)).toEqual([['9', '20']]);
      expect(await duckdb.rows(`SELECT count(*) FROM public.${name}_cdc`)).toEqual([['29']]);
    }
  });
}, 240_000);
