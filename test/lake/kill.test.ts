import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { KillWorld } from '../kill/kill-world.js';
import { runToEnd } from '../kill/killed-cli.js';
import { dieAt, forgetWork, KILLED_LAKES, killedLake, LAKE_DEATHS, lakeProblems } from '../kill/lake-deaths.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { type MemoryS3, startMemoryS3 } from '../s3/memory-s3.js';

/**
 * Processes that write a lake die at each step of its commits while a writer goes on. In the end every change is there
 * exactly once, in tables of every method and output. SLUICE_ALL_LAKES=1: in every format in both places, more than a
 * hundred deaths. test/soak/lake-kill.soak.ts goes on from there, by seeds.
 */

const EVERY_LAKE = process.env['SLUICE_ALL_LAKES'] === '1';
/** Each format and each place, as a lake takes a minute. */
const LAKES = KILLED_LAKES.filter(({ format, place }) => EVERY_LAKE || (format === 'cow') === (place === 'bucket'));

const SEED = Number(process.env['SLUICE_SEED'] ?? 1);
const LOADED = ['public.accounts', 'public.docs'];
/** The writer's, so that what the tables do is a part of the time and not all of it. */
const PAUSE_MS = 25;
const TIMEOUT_MS = 1_200_000;

describe.each(LAKES)('a lake ($format in a $place) whose writers die', (lake) => {
  let postgres: TestPostgres;
  let s3: MemoryS3;
  let world: KillWorld;

  beforeAll(async () => {
    postgres = await startPostgres({ major: 17 });
    s3 = await startMemoryS3({ bucket: 'lake', accessKeyId: postgres.password, secretAccessKey: postgres.password });
    const database = `lake_${lake.format}`;
    world = await KillWorld.create(postgres, database, SEED, {
      destination: killedLake(lake, { endpoint: s3.endpoint, prefix: database }),
      rows: 0.01,
      pauseMs: PAUSE_MS,
    });
    await runToEnd(world.fixture, ['apply', '--yes']);
  });
  afterEach(() => world?.stopWriting());
  afterAll(async () => {
    await world?.remove();
    await s3?.stop();
    await postgres?.stop();
  });

  test(
    `at each of ${LAKE_DEATHS.length} steps holds every change once`,
    async () => {
      world.startWriting(true);
      const died: string[] = [];
      for (const death of LAKE_DEATHS) {
        const end = await dieAt(world.fixture, death, LOADED);
        if (end.signal === 'SIGKILL') died.push(death.at);
        expect(await world.positionProblem()).toBeNull();
      }
      await world.stopWriting();
      await runToEnd(world.fixture, ['sync', '--until-caught-up', '--force']);
      expect(await lakeProblems(world)).toEqual([]);
      expect(died).toEqual(LAKE_DEATHS.map(({ at }) => at));
    },
    TIMEOUT_MS,
  );

  test.runIf(lake.place === 'folder')(
    'is gone on with by a machine that has nothing of their work',
    async () => {
      world.startWriting(false);
      // Changes are held for the tables that were being loaded, on the disk that is lost.
      for (const at of ['after_load_part@2', 'before_load_finish', 'after_ledger@2']) {
        const end = await dieAt(world.fixture, { at, in: 'load' }, ['public.accounts', 'public.parts']);
        expect({ at, signal: end.signal }).toEqual({ at, signal: 'SIGKILL' });
        await forgetWork(world.fixture);
      }
      await world.stopWriting();
      await runToEnd(world.fixture, ['sync', '--until-caught-up', '--force']);
      expect(await lakeProblems(world)).toEqual([]);
    },
    TIMEOUT_MS,
  );
});

test.runIf(EVERY_LAKE)('that is a hundred deaths', () => {
  expect(LAKES.length * LAKE_DEATHS.length).toBeGreaterThanOrEqual(100);
});
