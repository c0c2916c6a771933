import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { DaemonWorld } from './daemon-world.js';
import { SoakWriter } from './daemon-writer.js';
import { type Held, ProcessWatch } from './process-watch.js';
import { FIRST_SEED } from './seeds.js';

/**
 * A daemon with 200 tables for `SLUICE_SOAK_MINUTES` (30): somebody writes without rest, the file is edited thirty times
 * and the daemon killed fifteen times in that time; then it lives on, watched, for half as long, edited but not killed.
 */
const MINUTES = Number(process.env['SLUICE_SOAK_MINUTES'] ?? 30);
const TOTAL_MS = MINUTES * 60_000;
const EDIT_EVERY_MS = TOTAL_MS / 30;
/** Of the time, the part in which it is killed. */
const KILLED_PART = 2 / 3;
/** Every so many edits it is killed; every so many kills it is asked to end. */
const EDITS_A_KILL = 2;
const KILLS_A_STOP = 4;
/** What DuckDB, V8 and the allocator take and give back from one look to the next. */
const MEMORY_SLACK_MB = 80;
/** Sessions and files of what happens to be under way. */
const DESCRIPTOR_SLACK = 24;

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startPostgres({ major: 17, settings: { max_connections: '60' } });
});
afterAll(() => postgres?.stop());

test(
  `a daemon with 200 tables, edited and killed for ${MINUTES} minutes (SLUICE_SEED=${FIRST_SEED})`,
  async ({ annotate }) => {
    const world = await DaemonWorld.create(postgres, 'soak');
    try {
      const endsAtMs = performance.now() + TOTAL_MS;
      const killsUntilMs = performance.now() + TOTAL_MS * KILLED_PART;
      await world.start();
      const writer = await SoakWriter.start(postgres, 'soak', FIRST_SEED);
      const kills = { SIGKILL: 0, SIGTERM: 0 };
      let slowestStopMs = 0;
      for (let edit = 1; performance.now() < killsUntilMs; edit += 1) {
        await sleep(EDIT_EVERY_MS);
        await world.edit();
        if (edit % EDITS_A_KILL !== 0) continue;
        const signal = (edit / EDITS_A_KILL) % KILLS_A_STOP === 0 ? 'SIGTERM' : 'SIGKILL';
        // Somewhere in what the edit has set going.
        await sleep((FIRST_SEED + edit * 379) % 3_000);
        const tookMs = await world.end(signal);
        if (signal === 'SIGTERM') slowestStopMs = Math.max(slowestStopMs, tookMs);
        kills[signal] += 1;
        await world.start();
      }

      const watch = new ProcessWatch(world.daemon.pid);
      while (performance.now() < endsAtMs) {
        await sleep(EDIT_EVERY_MS);
        await world.edit();
      }
      watch.stop();
      await writer.stop();
      slowestStopMs = Math.max(slowestStopMs, await world.end('SIGTERM'));
      expect(await world.leftovers()).toEqual([]);

      const thirds = (measure: (held: Held) => number): readonly number[] =>
        ([0, 1, 2] as const).map((part) => Math.round(watch.medianOfThird(part, measure)));
      const memory = thirds((held) => held.rssMb);
      const descriptors = thirds((held) => held.descriptors.length);
      await annotate(
        `${writer.written} transactions; edits: ${[...world.made].map(([kind, count]) => `${count} ${kind}`).join(', ')}; ` +
          `${kills.SIGKILL} kills, ${kills.SIGTERM + 1} stops, the slowest ${Math.round(slowestStopMs)} ms; ` +
          `memory ${memory.join(', ')} MiB, descriptors ${descriptors.join(', ')} (thirds of ${watch.count} s)`,
      );
      const [, middleMb = 0, lastMb = Number.NaN] = memory;
      expect(lastMb).toBeLessThan(middleMb + MEMORY_SLACK_MB);
      const [, middleOpen = 0, lastOpen = Number.NaN] = descriptors;
      expect(lastOpen).toBeLessThan(middleOpen + DESCRIPTOR_SLACK);

      const caughtUp = await world.workspace.run(['sync', '--until-caught-up', '--force'], { timeoutMs: 300_000 });
      expect(caughtUp.code, caughtUp.output).toBe(0);
      expect(await world.differences()).toEqual([]);
      expect(await world.leftovers()).toEqual([]);
      const { there, applied, sessions } = await world.onServer();
      expect(there).toEqual(applied);
      expect(sessions).toBe(0);
    } finally {
      await world.workspace.remove();
    }
  },
  TOTAL_MS * 2 + 600_000,
);
