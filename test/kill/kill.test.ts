import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { KillWorld } from './kill-world.js';
import { runCli, runToEnd } from './killed-cli.js';

/**
 * `sluice sync` killed again and again while a writer goes on: the slot never gets ahead of the destination, and in the
 * end every change is there exactly once.
 */

const SEED = Number(process.env['SLUICE_SEED'] ?? Math.floor(Math.random() * 2 ** 30));
/** While tables load anew now and then. */
const LOADING_KILLS = Number(process.env['SLUICE_KILLS'] ?? 26);
/** While there is nothing but the stream: each change must leave exactly one version. */
const STREAMING_KILLS = LOADING_KILLS;
const TIMEOUT_MS = 600_000;

describe(`sync, killed at random moments (SLUICE_SEED=${SEED})`, () => {
  let postgres: TestPostgres;
  let world: KillWorld;
  const random = numbers(SEED);

  beforeAll(async () => {
    postgres = await startPostgres({ major: 17 });
    world = await KillWorld.create(postgres, 'killed', SEED);
    await runToEnd(world.fixture, ['apply', '--yes']);
  });
  afterAll(async () => {
    await world?.remove();
    await postgres?.stop();
  });

  /** @returns how many of the runs ended before their kill came */
  async function killSyncs(count: number, longestMs: number, before: (run: number) => Promise<void>): Promise<number> {
    let ended = 0;
    for (let kills = 0; kills < count; ) {
      await before(kills);
      // Node itself takes a part of the time before anything happens.
      const killAfterMs = 200 + random() * longestMs;
      const args = ['sync', ...(random() < 0.7 ? ['--until-caught-up'] : ['--force'])];
      const end = await runCli(world.fixture, args, { killAfterMs });
      if (end.signal === 'SIGKILL') kills += 1;
      else {
        expect({ code: end.code, output: end.output }).toEqual({ code: 0, output: end.output });
        ended += 1;
      }
      expect(await world.positionProblem()).toBeNull();
    }
    return ended;
  }

  test(
    'loads and streams end equal to Postgres',
    async () => {
      world.startWriting(true);
      await killSyncs(LOADING_KILLS, 2_500, async (run) => {
        if (run % 6 === 5) await world.fixture.resync('public.accounts', 'public.docs');
      });
      await world.stopWriting();
      await runToEnd(world.fixture, ['sync', '--until-caught-up']);
      expect(await world.differences(true)).toEqual([]);
      expect(await world.leftovers()).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    'a stream leaves every change exactly once',
    async () => {
      world.startWriting(false);
      await killSyncs(STREAMING_KILLS, 1_000, async () => {});
      await world.stopWriting();
      await runToEnd(world.fixture, ['sync', '--until-caught-up']);
      expect(await world.differences(false)).toEqual([]);
      expect(await world.leftovers()).toEqual([]);
    },
    TIMEOUT_MS,
  );
});

/** Numbers in [0, 1) that a seed repeats (a linear congruential generator, Knuth's constants). */
function numbers(seed: number): () => number {
  let state = BigInt(seed);
  return () => {
    state = (state * 6364136223846793005n + 1442695040888963407n) & ((1n << 64n) - 1n);
    return Number(state >> 11n) / 2 ** 53;
  };
}
