import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EngineFixture } from '../engine-fixture.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';

/**
 * With synchronous_commit = off the server flushes whole pages, so the flushed end of the WAL often lies within a commit
 * record. A position taken from there without that transaction would make Postgres skip it for ever.
 */
describe('asynchronous commits', () => {
  const SYNCS = 8;
  let postgres: TestPostgres;

  beforeAll(async () => {
    postgres = await startPostgres({
      major: 17,
      // A second between two flushes, so that all statements of a page see the same end.
      settings: {
        synchronous_commit: 'off',
        wal_writer_delay: '1s',
        wal_writer_flush_after: '1GB',
        wal_buffers: '32MB',
      },
    });
  });
  afterAll(() => postgres?.stop());

  test('all arrive, wherever in the WAL their commit records lie', async () => {
    await postgres.createDatabase('async');
    await postgres.query(
      `create table ticks (id int primary key, v text);
       create table stop (n int);
       create procedure tick() language plpgsql as $$
       declare i int := 0;
       begin
         while not exists (select from stop) and i < 2000000 loop
           i := i + 1;
           insert into ticks values (i, repeat('x', i % 7));
           commit;
           perform pg_sleep(0.0002);
         end loop;
       end $$`,
      [],
      'async',
    );
    const fixture = await EngineFixture.create({ postgres, database: 'async', tables: { 'public.ticks': {} } });
    try {
      await fixture.apply();
      await fixture.sync();
      const writer = await postgres.client('async');
      const ticking = writer.query('call tick()');
      for (let i = 0; i < SYNCS; i += 1) await fixture.sync({ untilCaughtUp: false });
      await fixture.source('insert into stop values (1)');
      await ticking;
      await writer.end();
      await fixture.sync();
      const [source] = await fixture.source<{ n: string; sum: string }>(
        'select count(*)::text as n, sum(id)::text as sum from ticks',
      );
      const [destination] = await fixture.read((duckdb) => duckdb.rows('SELECT count(*), sum(id) FROM public.ticks'));
      expect(Number(source?.n)).toBeGreaterThan(1000);
      expect(destination).toEqual([source?.n, source?.sum]);
    } finally {
      await fixture.remove();
    }
  });
});
