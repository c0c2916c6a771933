import { afterAll, beforeAll, describe, test } from 'vitest';
import { hasPostgres, type PostgresMajor } from '../postgres/binaries.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { OracleRun } from './oracle-run.js';

/**
 * Random work in Postgres, random syncs, and Postgres itself as the judge of what has arrived.
 *
 *   SLUICE_SEED=12345 npx vitest run --project postgres test/oracle/oracle.test.ts      the same workload again
 *   SLUICE_ORACLE_SECONDS=3600 ...                                                      a longer run, for each major
 */

const MAJORS: readonly PostgresMajor[] = [13, 17];
const SECONDS = Number(process.env['SLUICE_ORACLE_SECONDS'] ?? 30);
const FIRST_SEED = Number(process.env['SLUICE_SEED'] ?? Math.floor(Math.random() * 2 ** 30));
/** The last run may begin just before the time is over. */
const PATIENCE_MS = 180_000;

describe.each(MAJORS)('random work on Postgres %i', (major) => {
  let postgres: TestPostgres;

  beforeAll(async () => {
    if (hasPostgres(major)) postgres = await startPostgres({ major, settings: { deadlock_timeout: '20ms' } });
  });

  afterAll(() => postgres?.stop());

  test.skipIf(!hasPostgres(major))(
    'arrives as it was done',
    async () => {
      const end = performance.now() + SECONDS * 1000;
      let runs = 0;
      for (let seed = FIRST_SEED; runs === 0 || performance.now() < end; seed += 1) {
        runs += 1;
        process.stdout.write(`oracle on Postgres ${major}: SLUICE_SEED=${seed}\n`);
        await OracleRun.playSeed(postgres, `oracle_${runs}`, seed);
      }
    },
    SECONDS * 1000 + PATIENCE_MS,
  );
});
