import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EngineEvent } from '../../src/executor/engine.js';
import { SOURCE } from '../engine-fixture.js';
import { majorsUnderTest } from '../postgres/binaries.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { runCli } from './killed-cli.js';
import { ResumeWorld, ROWS } from './resume-world.js';

/**
 * Snapshots that die in the middle, with changes before, between and after: what was read is not read again, and the
 * result is that of a snapshot that nobody disturbed (docs/snapshots.md).
 *
 *   SLUICE_SEED=7 SLUICE_RESUMES=40 npx vitest run --project postgres test/kill/resumed-snapshot.test.ts
 */

const MAJORS = majorsUnderTest([17], [14, 17]);
const SEED = Number(process.env['SLUICE_SEED'] ?? 1);
const RUNS = Number(process.env['SLUICE_RESUMES'] ?? 1);
const TIMEOUT_MS = 600_000;

/** Where the second run dies, if it dies. */
const SECOND_DEATHS = [
  'after_load_part@1',
  'after_load_part@2',
  'after_load_rebase',
  'after_changed_part',
  null,
] as const;

describe.each(MAJORS)('a snapshot on Postgres %i that dies', (major) => {
  let postgres: TestPostgres;
  let world: ResumeWorld | null = null;
  let databases = 0;

  beforeAll(async () => {
    postgres = await startPostgres({ major });
  });
  afterAll(() => postgres?.stop());

  async function inWorld(seed: number, parallel: number, work: (world: ResumeWorld) => Promise<void>): Promise<void> {
    databases += 1;
    world = await ResumeWorld.create(postgres, `resumed_${databases}`, seed, { parallel, save_every: '0s' });
    try {
      await world.fixture.apply();
      await world.fixture.close();
      await work(world);
    } finally {
      await world.remove();
      world = null;
    }
  }

  async function die(w: ResumeWorld, failpoint: string): Promise<void> {
    const end = await runCli(w.fixture, ['sync', '--force'], { failpoint });
    expect({ signal: end.signal, output: end.output }).toEqual({ signal: 'SIGKILL', output: end.output });
  }

  test.each(Array.from({ length: RUNS }, (_, run) => SEED + run))(
    'goes on where it was and is exact (SLUICE_SEED=%i)',
    async (seed) => {
      const parallel = 1 + (seed % 3);
      await inWorld(seed, parallel, async (w) => {
        const commit = await w.beginChange();
        // A table has one part at least, and about one a range where one session reads it.
        await die(w, `after_load_part@${1 + w.number(w.tables.length * (parallel === 1 ? 2 : 1))}`);
        await commit();
        await w.change();
        const [second] = SECOND_DEATHS.slice(w.number(SECOND_DEATHS.length));
        if (second !== null && second !== undefined) {
          const end = await runCli(w.fixture, ['sync', '--force'], { failpoint: second });
          expect(end.signal === 'SIGKILL' || end.code === 0, end.output).toBe(true);
          await w.change();
        }
        await w.fixture.sync();
        expect(await w.differences()).toEqual([]);
        await w.change();
        await w.fixture.sync();
        expect(await w.differences()).toEqual([]);
      });
    },
    TIMEOUT_MS,
  );

  test(
    'does not read again what it has read',
    async () => {
      await inWorld(SEED, 1, async (w) => {
        await die(w, 'after_load_part@2');
        const [[name, { rows }] = ['', { rows: 0 }]] = await w.unfinished();
        expect(rows).toBeGreaterThan(500);
        await w.fixture.source(`update ${name} set n = n + 1 where id in (1, 2, 3000)`);
        await w.fixture.sync();
        const address = `${SOURCE}:public.${name}`;
        expect(notices(w.fixture.events, address)).toEqual([
          expect.stringMatching(new RegExp(`^an unfinished snapshot goes on at [1-9][0-9]%: ${rows} rows are there$`)),
        ]);
        const resumed = bytesOf(w.fixture.events, address);
        w.fixture.events.length = 0;
        await w.fixture.resync(`public.${name}`);
        await w.fixture.sync();
        // What is left of the rows, and the few that were written since.
        expect(resumed / bytesOf(w.fixture.events, address)).toBeLessThan((ROWS - rows + 20) / ROWS);
        expect(notices(w.fixture.events, address)).toEqual([]);
        expect(await w.differences()).toEqual([]);
      });
    },
    TIMEOUT_MS,
  );

  const rewrites: readonly { readonly what: string; readonly sql: (name: string) => string; readonly why: RegExp }[] = [
    { what: 'TRUNCATE', sql: (t) => `truncate ${t}; insert into ${t} (id, n) values (1, 1)`, why: /rewritten/ },
    { what: 'VACUUM FULL', sql: (t) => `vacuum full ${t}`, why: /rewritten/ },
    {
      what: 'a rewriting ALTER TABLE',
      sql: (t) => `alter table ${t} alter n type int using n + 0`,
      why: /rewritten/,
    },
  ];

  test.each(rewrites)(
    'begins anew after $what',
    async ({ sql, why }) => {
      await inWorld(SEED, 2, async (w) => {
        await die(w, 'after_load_part@1');
        const [[name] = ['']] = await w.unfinished();
        await w.change();
        for (const statement of sql(name).split('; ')) await w.fixture.source(statement);
        await w.fixture.sync();
        const told = notices(w.fixture.events, `${SOURCE}:public.${name}`);
        // A TRUNCATE that the stream brought first leaves nothing to go on with.
        expect(told.every((message) => why.test(message))).toBe(true);
        expect(await w.differences()).toEqual([]);
      });
    },
    TIMEOUT_MS,
  );
});

function notices(events: readonly EngineEvent[], address: string): string[] {
  return events.flatMap((event) => (event.kind === 'notice' && event.address === address ? [event.message] : []));
}

function bytesOf(events: readonly EngineEvent[], address: string): number {
  return events.reduce((sum, e) => sum + (e.kind === 'load_ended' && e.address === address ? e.bytes : 0), 0);
}
