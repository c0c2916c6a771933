import { afterAll, beforeAll, expect, test } from 'vitest';
import { EngineFixture } from '../engine-fixture.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
let pg: TestPostgres;
beforeAll(async () => { pg = await startPostgres({ major: 17 }); });
afterAll(async () => { await pg.stop(); });
test('smoke', async () => {
  await pg.createDatabase?.('smoke');
  const f = await EngineFixture.create({ postgres: pg, database: 'smoke', destination: { type: 'local', path: 'lake', format: 'delta', deletes: process.env['DEL'] ?? 'dv' }, tables: { 'public.t': { output: 'both' }, 'public.c': { method: 'full_table' }, 'public.a': { method: 'append', cursor: 'id' }, 'public.i': { method: 'incremental', cursor: 'u', primary_key: ['id'] } } });
  console.log(f.folder);
  await f.source("create table t (id int primary key, v text, n numeric(12,2), ts timestamptz default now(), tn timestamp, u uuid default gen_random_uuid(), a int[]); insert into t select i, 'v'||i, i/3.0, now(), now(), gen_random_uuid(), array[i,i+1] from generate_series(1,1000) i; create table c (k text); insert into c values ('x'),('y'); create table a(id int primary key, v text); insert into a select i, 'a' from generate_series(1,10) i; create table i(id int primary key, u int, v text); insert into i select g, g, 'i' from generate_series(1,10) g");
  await f.apply?.();
  console.log(JSON.stringify(await f.sync()));
  await f.source("update t set v = 'changed' where id <= 10; delete from t where id in (20,21); insert into t(id,v) values (2000,'new'); insert into a values (11,'b'); update i set u = u+100, v='ii' where id < 4");
  console.log(JSON.stringify(await f.sync({ untilCaughtUp: true } as never)));
  await f.source("alter table t add column extra int; update t set extra = 5 where id = 3");
  console.log(JSON.stringify(await f.sync({ untilCaughtUp: true } as never)));
  expect(1).toBe(1);
}, 120000);
