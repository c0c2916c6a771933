import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Failpoint } from '../../src/thread/failpoint.js';
import { KillWorld } from '../kill/kill-world.js';
import { runCli, runToEnd } from '../kill/killed-cli.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { FollowedFixture } from './followed-fixture.js';

/** A daemon that follows and is killed: nothing is lost or repeated, and nothing is left lying about. */

const SEED = Number(process.env['SLUICE_SEED'] ?? Math.floor(Math.random() * 2 ** 30));
const TIMEOUT_MS = 600_000;

describe(`a following daemon, killed (SLUICE_SEED=${SEED})`, () => {
  let postgres: TestPostgres;

  beforeAll(async () => {
    postgres = await startPostgres({ major: 17, settings: { logical_decoding_work_mem: '64kB' } });
  });
  afterAll(() => postgres?.stop());

  test(
    'at its commits while a writer goes on',
    async () => {
      const world = await KillWorld.create(postgres, 'killed_following', SEED, {
        cdc: { transport: 'continuous', flush: { every: '1s' } },
      });
      try {
        await runToEnd(world.fixture, ['apply', '--yes', '--sync']);
        expect(await world.differences(true)).toEqual([]);
        world.startWriting(false);
        const places: readonly Failpoint[] = ['before_data_commit', 'after_data_commit', 'after_confirm'];
        // The first ones fall into the sync before it follows.
        for (const [index, at] of [1, 3, 4, 3, 4, 5].entries()) {
          const failpoint = `${places[index % places.length]}@${at}`;
          const end = await runCli(world.fixture, ['daemon'], { failpoint });
          expect({ signal: end.signal, output: end.output }).toEqual({ signal: 'SIGKILL', output: end.output });
          expect(end.output).toContain('following');
          expect(await world.positionProblem()).toBeNull();
        }
        await world.stopWriting();
        await runToEnd(world.fixture, ['sync', '--until-caught-up']);
        expect(await world.differences(false)).toEqual([]);
        expect(await world.leftovers()).toEqual([]);
      } finally {
        await world.remove();
      }
    },
    TIMEOUT_MS,
  );

  test(
    'in the middle of a transaction of 300,000 changes that lies on disk',
    async () => {
      const f = await FollowedFixture.create(
        postgres,
        'killed_in_spill',
        'create table t (id int primary key, v text); insert into t values (0, $$first$$)',
      );
      const writer = await postgres.client('killed_in_spill');
      const spill = path.join(path.dirname(f.fixture.stateFile), 'spill', 'shop');
      try {
        await runToEnd(f.fixture, ['sync', '--until-caught-up']);
        const daemon = runCli(f.fixture, ['daemon'], { failpoint: 'in_spill' });
        await f.untilStreaming();
        await writer.query('begin');
        for (let part = 0; part < 10; part += 1) {
          await writer.query(`savepoint s; insert into t select i, md5(i::text) || repeat('x', 50)
            from generate_series(${part * 30_000 + 1}, ${part * 30_000 + 30_000}) i`);
          if (part % 3 === 2) await writer.query('rollback to s');
        }
        const end = await daemon;
        expect({ signal: end.signal, output: end.output }).toEqual({ signal: 'SIGKILL', output: end.output });
        expect((await readdir(spill)).length).toBeGreaterThan(0);
        await writer.query("update t set v = 'last' where id = 0; commit");
        // What the dead one left is of no use to the next one.
        f.start();
        await f.untilConfirmed();
        await f.expectEqual();
        const run = await f.stop();
        expect(run.error).toBeNull();
        expect(await readdir(path.dirname(f.fixture.stateFile))).not.toContain('spill');
        const [source] = await f.fixture.source<{ n: string }>('select count(*)::text as n from t');
        expect(source?.n).toBe(String(7 * 30_000 + 1));
      } finally {
        await writer.end();
        await f.remove();
      }
    },
    TIMEOUT_MS,
  );
});
