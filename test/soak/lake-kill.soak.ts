import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KillWorld } from '../kill/kill-world.js';
import { runToEnd } from '../kill/killed-cli.js';
import { dieAt, forgetWork, KILLED_LAKES, killedLake, LAKE_DEATHS, lakeProblems } from '../kill/lake-deaths.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { type MemoryS3, startMemoryS3 } from '../s3/memory-s3.js';
import { FIRST_SEED, SEEDS } from './seeds.js';

/** Processes that one lake sees die: in the six lakes of six seeds more than a hundred. */
const DEATHS = 17;
/** Tries for them; some come too late to meet anything. */
const TRIES = 30;
const LOADED = ['public.accounts', 'public.docs'];
const RUN_MS = 1_200_000;

describe(`lakes that see ${DEATHS} processes die each, where the seed says`, () => {
  let postgres: TestPostgres;
  let s3: MemoryS3;
  beforeAll(async () => {
    postgres = await startPostgres({ major: 17 });
    s3 = await startMemoryS3({ bucket: 'lake', accessKeyId: postgres.password, secretAccessKey: postgres.password });
  });
  afterAll(async () => {
    await s3?.stop();
    await postgres?.stop();
  });

  let died = 0;
  const runs = SEEDS.map((seed) => ({ seed, ...chosen(KILLED_LAKES, seed) }));
  test.each(runs)(
    'SLUICE_SEED=$seed: $format in a $place',
    async ({ seed, format, place }) => {
      const database = `lake_${seed}`;
      const world = await KillWorld.create(postgres, database, seed, {
        destination: killedLake({ format, place }, { endpoint: s3.endpoint, prefix: database }),
        rows: 0.05,
      });
      try {
        await runToEnd(world.fixture, ['apply', '--yes']);
        world.startWriting(true);
        let deaths = 0;
        for (let round = 0; round < TRIES && deaths < DEATHS; round += 1) {
          const death = chosen(LAKE_DEATHS, seed * 7 + round * (1 + (seed % 5)));
          const end = await dieAt(world.fixture, death, LOADED);
          if (end.signal === 'SIGKILL') deaths += 1;
          expect(await world.positionProblem()).toBeNull();
          if ((seed + round) % 6 === 0) await forgetWork(world.fixture);
        }
        await world.stopWriting();
        await runToEnd(world.fixture, ['sync', '--until-caught-up', '--force']);
        expect(await lakeProblems(world)).toEqual([]);
        expect(deaths).toBe(DEATHS);
        died += deaths;
      } finally {
        await world.remove();
      }
    },
    RUN_MS,
  );

  test('of all processes that died none took a row with it', async ({ annotate }) => {
    await annotate(`${died} processes died in ${runs.length} lakes, SLUICE_SEED=${FIRST_SEED} onwards`);
    expect(died).toBe(runs.length * DEATHS);
  });
});

function chosen<T>(all: readonly T[], number: number): T {
  const one = all[number % all.length];
  if (one === undefined) throw new Error('there is nothing to choose from');
  return one;
}
