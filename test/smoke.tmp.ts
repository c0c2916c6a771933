import { startPostgres } from './postgres/server.js';
import { EngineFixture } from './engine-fixture.js';
const pg = await startPostgres({ major: 17 });
await pg.createDatabase('a');
await pg.query('create table t (id int primary key, v text, d timestamptz default now()); insert into t select i, i::text from generate_series(1,1000) i', [], 'a');
const f = await EngineFixture.create({ postgres: pg, database: 'a', tables: { 'public.t': { output: 'both' } } });
try {
  console.time('apply'); console.log((await f.apply()).changes.map((c) => c.action)); console.timeEnd('apply');
  console.time('sync'); console.log(JSON.stringify(await f.sync(), null, 1)); console.timeEnd('sync');
  await pg.query("update t set v='x' where id<10; delete from t where id > 990; insert into t values (5000, 'n')", [], 'a');
  console.time('sync'); console.log(JSON.stringify(await f.sync(), null, 1)); console.timeEnd('sync');
  console.log(await f.read((d) => d.rows('select * from public.t where id < 12 or id >= 990 order by id')));
  console.log(await f.read((d) => d.rows('select * from public.t_cdc where id < 2 or id >= 990 order by id, _ph_cdc_lsn')));
  console.log(await f.positions());
} finally { await f.remove(); await pg.stop(); }
