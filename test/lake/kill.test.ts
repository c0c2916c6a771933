import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { KillWorld } from '../kill/kill-world.js';
import { runToEnd } from '../kill/killed-cli.js';
import { dieAt, forgetWork, LAKE_DEATHS, lakeProblems } from '../kill/lake-deaths.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';

/**
 * `sluice sync` into a lake dies at each step of its commits while a writer goes on. In the end every change is there
 * exactly once, in tables of every method and output. test/soak/lake-kill.soak.ts does it a hundred times.
 */

const SEED = Number(process.env['SLUICE_SEED'] ?? 1);
const TIMEOUT_MS = 600_000;

describe.each(['dv', 'cow'] as const)('a sync into a Delta lake (%s) that dies', (deletes) => {
  let postgres: TestPostgres;
  let world: KillWorld;

  beforeAll(async () => {
    postgres = await startPostgres({ major: 17 });
    world = await KillWorld.create(postgres, `lake_${deletes}`, SEED, {
      destination: { type: 'local', path: 'lake', format: 'delta', deletes },
      rows: 0.02,
    });
    await runToEnd(world.fixture, ['apply', '--yes']);
  });
  afterEach(() => world?.stopWriting());
  afterAll(async () => {
    await world?.remove();
    await postgres?.stop();
  });

  test(
    'at each step leaves what the next one finishes',
    async () => {
      world.startWriting(true);
      const survived: string[] = [];
      for (const { at, loads } of LAKE_DEATHS) {
        if (loads) await world.fixture.resync('public.accounts', 'public.docs');
        await world.fixture.close();
        const end = await dieAt(world.fixture, at);
        if (end.signal !== 'SIGKILL') survived.push(at);
        expect(await world.positionProblem()).toBeNull();
      }
      await world.stopWriting();
      await runToEnd(world.fixture, ['sync', '--until-caught-up', '--force']);
      expect(await lakeProblems(world)).toEqual([]);
      expect(survived).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    'is gone on with by a machine that has nothing of its work',
    async () => {
      world.startWriting(false);
      // Changes are held for the tables that were being loaded, on the disk that is lost.
      for (const at of ['after_load_part@2', 'before_load_finish', 'after_ledger@2']) {
        await world.fixture.resync('public.accounts', 'public.parts');
        await world.fixture.close();
        await dieAt(world.fixture, at);
        await forgetWork(world.fixture);
      }
      await world.stopWriting();
      await runToEnd(world.fixture, ['sync', '--until-caught-up', '--force']);
      expect(await lakeProblems(world)).toEqual([]);
    },
    TIMEOUT_MS,
  );
});
