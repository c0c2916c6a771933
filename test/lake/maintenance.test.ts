import { readdir, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { realClock } from '../../src/cli/real-clock.js';
import type { Clock, Engine } from '../../src/executor/engine.js';
import { type Cells, EngineFixture } from '../engine-fixture.js';
import { runCli, runToEnd } from '../kill/killed-cli.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';

/** A lake that many small syncs have left many small files in, put in order: the rows stay what they are. */

const DAY_MS = 86_400_000;
const ROUNDS = 12;
const never = new AbortController().signal;

class ShiftedClock implements Clock {
  shiftMs = 0;
  now(): Date {
    return new Date(Date.now() + this.shiftMs);
  }
  monotonicMs(): number {
    return realClock.monotonicMs();
  }
  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return realClock.sleep(ms, signal);
  }
}

class LakeWorld {
  private constructor(
    readonly fixture: EngineFixture,
    readonly clock: ShiftedClock,
  ) {}

  static async create(
    postgres: TestPostgres,
    database: string,
    destination: Readonly<Record<string, unknown>> = {},
  ): Promise<LakeWorld> {
    await postgres.createDatabase(database);
    await postgres.query(
      `create table items (id int primary key, name text, price numeric(10,2), tags text[], at timestamptz default now());
       insert into items select i, 'item ' || i, i / 7.0, array['a', 'b' || i] from generate_series(1, 2000) i`,
      [],
      database,
    );
    const clock = new ShiftedClock();
    const fixture = await EngineFixture.create({
      ...{ postgres, database, clock },
      tables: { 'public.items': { output: 'both', deletes: 'hard' } },
      cdc: { slot: database, publication: database },
      destination: { type: 'local', path: 'lake', format: 'delta', ...destination },
    });
    await fixture.apply();
    await fixture.sync();
    return new LakeWorld(fixture, clock);
  }

  /** Small syncs, each a commit of its own. */
  async work(rounds: number): Promise<void> {
    for (let round = 0; round < rounds; round += 1) {
      await this.fixture.source(
        `insert into items (id, name) select 10000 + n, 'new' from generate_series(${round * 10}, ${round * 10 + 9}) n
           on conflict (id) do update set name = 'again';
         update items set name = name || '!' where id % 40 = ${round};
         delete from items where id % 60 = ${round} and id < 2000`,
      );
      await this.fixture.sync();
    }
  }

  rows(): Promise<{ items: Cells[]; history: Cells[] }> {
    return this.fixture.read(async (duckdb) => ({
      items: await duckdb.rows('SELECT * FROM public.items ORDER BY id'),
      history: await duckdb.rows('SELECT * FROM public.items_cdc ORDER BY id, _ph_cdc_lsn, _ph_cdc_seq'),
    }));
  }

  async sourceIds(): Promise<string[]> {
    const rows = await this.fixture.source<{ id: number }>('select id from items order by id');
    return rows.map(({ id }) => String(id));
  }

  folder(table = 'items'): string {
    return path.join(this.fixture.folder, 'lake', 'public', table);
  }

  async files(table = 'items'): Promise<string[]> {
    return (await readdir(this.folder(table))).filter((name) => name.endsWith('.parquet') || name.endsWith('.bin'));
  }

  async log(): Promise<string[]> {
    return await readdir(path.join(this.folder(), '_delta_log'));
  }

  engine(): Promise<Engine> {
    return this.fixture.engine();
  }
}

describe('the upkeep of a lake', () => {
  let postgres: TestPostgres;

  beforeAll(async () => {
    postgres = await startPostgres({ major: 17 });
  });
  afterAll(() => postgres?.stop());

  test.each([
    { name: 'deletion vectors', database: 'keep_dv', settings: { deletes: 'dv' } },
    { name: 'rewritten files', database: 'keep_cow', settings: { deletes: 'cow', cluster_by_key: true } },
  ])('$name: optimized, vacuumed, and synced on', async ({ database, settings }) => {
    const world = await LakeWorld.create(postgres, database, settings);
    const { fixture, clock } = world;
    try {
      await world.work(ROUNDS);
      const before = await world.rows();
      const log = await world.log();
      expect(log).toContain('_last_checkpoint');
      expect(log.filter((name) => name.endsWith('.checkpoint.parquet')).length).toBeGreaterThan(0);

      const engine = await world.engine();
      const optimized = await engine.optimize({ address: 'shop:public.items' }, never);
      expect(optimized).toMatchObject({ ok: true, notes: [] });
      expect(optimized.tables.map(({ address }) => address)).toEqual(['shop:public.items', 'shop:public.items_cdc']);
      for (const table of optimized.tables) {
        expect(table).toMatchObject({ status: 'optimized', error: null, health: { files: 1, deletedRows: 0 } });
        expect(table.removedFiles).toBeGreaterThan(settings.deletes === 'dv' ? ROUNDS : 1);
      }
      expect(await world.rows()).toEqual(before);
      const again = await engine.optimize({ address: null }, never);
      expect(again.tables.map(({ status }) => status)).toEqual(['nothing', 'nothing']);
      expect((await engine.status(never)).sources[0]?.maintenance).toMatchObject({ tables: 2, health: { files: 2 } });

      // Sluice goes on from it as from a commit of its own.
      await world.work(2);
      expect((await world.rows()).items.map(([id]) => id)).toEqual(await world.sourceIds());

      const young = await engine.vacuum({ address: null, dryRun: true }, never);
      expect(young.tables.reduce((sum, { files }) => sum + files, 0)).toBe(0);
      await fixture.close();

      clock.shiftMs = 40 * DAY_MS;
      const late = await world.engine();
      const orphan = path.join(world.folder(), 'part-6b1f7a0e-2f2c-4a5f-9c55-5c21a3c2a0aa.parquet');
      const running = path.join(world.folder(), 'part-6b1f7a0e-2f2c-4a5f-9c55-5c21a3c2a0bb.parquet');
      for (const file of [orphan, running, path.join(world.folder(), 'notes.txt')]) await writeFile(file, 'x');
      await utimes(running, clock.now(), new Date(clock.now().getTime() - 60_000));
      const all = [await world.files(), await world.files('items_cdc')];
      const rows = await world.rows();
      const dry = await late.vacuum({ address: null, dryRun: true }, never);
      expect(dry).toMatchObject({ ok: true, dryRun: true });
      expect([await world.files(), await world.files('items_cdc')]).toEqual(all);

      const swept = await late.vacuum({ address: null, dryRun: false }, never);
      expect(swept.tables.map(({ files, bytes }) => [files, bytes])).toEqual(
        dry.tables.map(({ files, bytes }) => [files, bytes]),
      );
      expect(swept.tables.every(({ error }) => error === null)).toBe(true);
      expect(swept.tables[0]?.files).toBeGreaterThan(5);
      expect(swept.tables[0]?.logFiles).toBeGreaterThan(9);
      const left = await readdir(world.folder());
      expect(left).not.toContain(path.basename(orphan));
      expect(left).toEqual(expect.arrayContaining([path.basename(running), 'notes.txt']));
      expect(await world.log()).not.toContain('00000000000000000000.json');
      expect(await world.rows()).toEqual(rows);

      await world.work(1);
      expect((await world.rows()).items.map(([id]) => id)).toEqual(await world.sourceIds());
      expect((await late.status(never)).sources[0]?.maintenance?.vacuumedAt).not.toBeNull();
    } finally {
      await fixture.remove();
    }
  });

  test('the daemon does what pays when it is due, and not before', async () => {
    const world = await LakeWorld.create(postgres, 'keep_due', { maintenance: { every: '1h' } });
    const { fixture, clock } = world;
    try {
      await world.work(4);
      const before = await world.rows();
      const engine = await world.engine();
      const soon = new Date(Date.now() + DAY_MS);
      const next = await engine.maintain({ until: () => soon }, never);
      expect((next?.getTime() ?? 0) - Date.now()).toBeGreaterThan(3_500_000);
      const events = (kind: string): number => fixture.events.filter((event) => event.kind === kind).length;
      expect(events('optimized')).toBeGreaterThan(0);
      expect(events('maintenance_failed')).toBe(0);
      const done = events('optimized');
      await world.work(4);
      await engine.maintain({ until: () => soon }, never);
      expect(events('optimized')).toBe(done);
      clock.shiftMs = 3_700_000;
      // Without any time left it does one piece of work and is to be asked again at once.
      const out = await engine.maintain({ until: () => new Date(0) }, never);
      expect(out?.getTime()).toBeLessThanOrEqual(clock.now().getTime());
      expect(events('optimized')).toBe(done + 1);
      await engine.maintain({ until: () => new Date(0) }, never);
      expect(events('optimized')).toBe(done + 2);
      expect((await world.rows()).history.length).toBeGreaterThan(before.history.length);
      expect((await world.rows()).items.map(([id]) => id)).toEqual(await world.sourceIds());
    } finally {
      await fixture.remove();
    }
  });

  test.each(['after_compaction_upload', 'after_compaction', 'after_compaction@2'])(
    'a process that dies %s has changed no row',
    async (failpoint) => {
      const world = await LakeWorld.create(postgres, `keep_${failpoint.replace('@', '_')}`);
      const { fixture } = world;
      try {
        await world.work(3);
        const before = await world.rows();
        await fixture.close();
        const end = await runCli(fixture, ['optimize'], { failpoint });
        expect({ signal: end.signal, output: end.output }).toEqual({ signal: 'SIGKILL', output: end.output });
        expect(await world.rows()).toEqual(before);
        await fixture.close();
        await runToEnd(fixture, ['optimize']);
        const status = await runToEnd(fixture, ['status']);
        expect(status.output).toMatch(/lake: 2 files, .* maintained /);
        expect(await world.rows()).toEqual(before);
        await world.work(1);
        expect((await world.rows()).items.map(([id]) => id)).toEqual(await world.sourceIds());
      } finally {
        await fixture.remove();
      }
    },
  );

  test('a DuckDB file needs none of it', async () => {
    const world = await LakeWorld.create(postgres, 'keep_file', {
      ...{ type: 'duckdb', path: 'warehouse.duckdb', format: undefined },
    });
    try {
      const engine = await world.engine();
      expect(await engine.maintain({ until: () => new Date() }, never)).toBeNull();
      const note = 'shop: nothing to do, as its destination "warehouse" is a DuckDB file, which keeps itself in order';
      expect(await engine.optimize({ address: null }, never)).toEqual({ tables: [], notes: [note], ok: true });
      expect(await engine.vacuum({ address: null, dryRun: false }, never)).toMatchObject({ tables: [], notes: [note] });
    } finally {
      await world.fixture.remove();
    }
  });
});
