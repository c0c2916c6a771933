import { afterAll, beforeAll, describe, test } from 'vitest';
import { hasPostgres, majorsUnderTest } from '../postgres/binaries.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { playAltered } from './play-altered.js';

/**
 * After any sequence of ALTER TABLEs, changes, syncs and applies the table equals a fresh load of it.
 *
 *   SLUICE_SEED=12345 npx vitest run --project postgres test/ddl/ddl-property.test.ts      the same sequence again
 *   SLUICE_DDL_SECONDS=3600 ...                                                            a longer run, for each major
 */

const MAJORS = majorsUnderTest([17], [13, 17, 18]);
const SECONDS = Number(process.env['SLUICE_DDL_SECONDS'] ?? 25);
const FIRST_SEED = Number(process.env['SLUICE_SEED'] ?? Math.floor(Math.random() * 2 ** 30));
const PATIENCE_MS = 240_000;

describe.each(MAJORS)('a table that is altered at random, on Postgres %i', (major) => {
  let postgres: TestPostgres;

  beforeAll(async () => {
    if (hasPostgres(major)) postgres = await startPostgres({ major });
  });
  afterAll(() => postgres?.stop());

  test.skipIf(!hasPostgres(major))(
    'equals a fresh load',
    async () => {
      const end = performance.now() + SECONDS * 1000;
      let runs = 0;
      for (let seed = FIRST_SEED; runs === 0 || performance.now() < end; seed += 1) {
        runs += 1;
        process.stdout.write(`ddl on Postgres ${major}: SLUICE_SEED=${seed}\n`);
        await playAltered(postgres, `altered_${runs}`, seed);
      }
    },
    SECONDS * 1000 + PATIENCE_MS,
  );
});
