import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Failpoint } from '../../src/thread/failpoint.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { KillWorld } from './kill-world.js';
import { runCli, runToEnd } from './killed-cli.js';

/** The process dies at each place that src/thread/failpoint.ts names; the next run mends what it left. */

const SEED = Number(process.env['SLUICE_SEED'] ?? 1);
const TIMEOUT_MS = 300_000;

describe('a process that dies', () => {
  let postgres: TestPostgres;

  beforeAll(async () => {
    postgres = await startPostgres({ major: 17 });
  });
  afterAll(() => postgres?.stop());

  test(
    'in the middle of an apply leaves what the next one finishes',
    async () => {
      const world = await KillWorld.create(postgres, 'died_in_apply', SEED);
      try {
        const places: readonly Failpoint[] = ['before_state_write', 'in_state_write', 'after_state_write'];
        let deaths = 0;
        for (;;) {
          // A little later each time, so that the applies get somewhere.
          const failpoint = `${places[deaths % places.length]}@${1 + Math.floor(deaths / places.length)}`;
          const end = await runCli(world.fixture, ['apply', '--yes'], { failpoint });
          if (end.signal !== 'SIGKILL') {
            expect({ code: end.code, output: end.output }).toEqual({ code: 0, output: end.output });
            break;
          }
          deaths += 1;
          expect(deaths).toBeLessThan(100);
        }
        expect(deaths).toBeGreaterThan(3);
        const plan = await runCli(world.fixture, ['plan', '--detailed-exitcode']);
        expect({ code: plan.code, output: plan.output }).toEqual({ code: 0, output: plan.output });
        const slots = await world.fixture.source('select slot_name from pg_replication_slots');
        expect(slots).toEqual([{ slot_name: 'died_in_apply' }]);
        await runToEnd(world.fixture, ['sync', '--until-caught-up']);
        expect(await world.differences(true)).toEqual([]);
      } finally {
        await world.remove();
      }
    },
    TIMEOUT_MS,
  );

  describe('in a sync', () => {
    let world: KillWorld;

    beforeAll(async () => {
      world = await KillWorld.create(postgres, 'died_in_sync', SEED);
      await runToEnd(world.fixture, ['apply', '--yes']);
    });
    afterAll(() => world?.remove());

    const loads: readonly { readonly failpoint: string }[] = [
      { failpoint: 'before_load_finish' },
      { failpoint: 'in_swap' },
      { failpoint: 'in_swap@3' },
      { failpoint: 'after_load_finish' },
      { failpoint: 'before_load_finish@2' },
      { failpoint: 'after_load_finish@2' },
      { failpoint: 'after_load_finish@4' },
    ];

    test.each(loads)(
      '$failpoint: the load is made again or kept whole',
      async ({ failpoint }) => {
        world.startWriting(true);
        await world.fixture.resync('public.accounts', 'public.docs', 'public.parts', 'public.codes', 'public.people');
        const end = await runCli(world.fixture, ['sync', '--force'], { failpoint });
        expect({ signal: end.signal, output: end.output }).toEqual({ signal: 'SIGKILL', output: end.output });
        expect(await world.positionProblem()).toBeNull();
        await world.stopWriting();
        await runToEnd(world.fixture, ['sync', '--until-caught-up']);
        expect(await world.differences(true)).toEqual([]);
        expect(await world.leftovers()).toEqual([]);
      },
      TIMEOUT_MS,
    );

    const pages: readonly { readonly failpoint: Failpoint }[] = [
      { failpoint: 'before_data_commit' },
      { failpoint: 'after_data_commit' },
      { failpoint: 'after_confirm' },
      { failpoint: 'in_lock_write' },
    ];

    test.each(pages)(
      '$failpoint: every change is there exactly once',
      async ({ failpoint }) => {
        world.startWriting(false);
        for (let deaths = 0; deaths < 2; deaths += 1) {
          const end = await runCli(world.fixture, ['sync', '--force'], { failpoint });
          expect({ signal: end.signal, output: end.output }).toEqual({ signal: 'SIGKILL', output: end.output });
          expect(await world.positionProblem()).toBeNull();
        }
        await world.stopWriting();
        await runToEnd(world.fixture, ['sync', '--until-caught-up']);
        expect(await world.differences(false)).toEqual([]);
        expect(await world.leftovers()).toEqual([]);
      },
      TIMEOUT_MS,
    );
  });
});
