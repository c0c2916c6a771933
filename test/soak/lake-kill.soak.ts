import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KillWorld } from '../kill/kill-world.js';
import { runToEnd } from '../kill/killed-cli.js';
import { dieAt, forgetWork, LAKE_DEATHS, lakeProblems } from '../kill/lake-deaths.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { SEEDS } from './seeds.js';

/** Deaths that one lake lives through. */
const DEATHS = 10;
const RUN_MS = 900_000;

describe.each(['dv', 'cow'] as const)('syncs into a Delta lake (%s) that die where the seed says', (deletes) => {
  let postgres: TestPostgres;
  beforeAll(async () => {
    postgres = await startPostgres({ major: 17 });
  });
  afterAll(() => postgres?.stop());

  const seeds = SEEDS.filter((seed) => seed % 2 === (deletes === 'dv' ? 0 : 1));
  test.each(seeds)(
    'SLUICE_SEED=%i',
    async (seed) => {
      const world = await KillWorld.create(postgres, `lake_${deletes}_${seed}`, seed, {
        destination: { type: 'local', path: 'lake', format: 'delta', deletes },
        rows: 0.05,
      });
      try {
        await runToEnd(world.fixture, ['apply', '--yes']);
        world.startWriting(true);
        for (let death = 0; death < DEATHS; death += 1) {
          const chosen = LAKE_DEATHS[(seed * 7 + death * (1 + (seed % 5))) % LAKE_DEATHS.length];
          if (chosen?.loads === true) await world.fixture.resync('public.accounts', 'public.docs');
          await world.fixture.close();
          await dieAt(world.fixture, chosen?.at ?? 'after_ledger');
          expect(await world.positionProblem()).toBeNull();
          if ((seed + death) % 6 === 0) await forgetWork(world.fixture);
        }
        await world.stopWriting();
        await runToEnd(world.fixture, ['sync', '--until-caught-up', '--force']);
        expect(await lakeProblems(world)).toEqual([]);
      } finally {
        await world.remove();
      }
    },
    RUN_MS,
  );
});
