import { afterAll, beforeAll, describe, test } from 'vitest';
import { playAltered } from '../ddl/play-altered.js';
import { hasPostgres, type PostgresMajor } from '../postgres/binaries.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { RUN_MS, SEEDS } from './seeds.js';

const MAJORS: readonly PostgresMajor[] = ([13, 14, 16, 18] as const).filter(hasPostgres);

describe.each(MAJORS)('a table altered at random on Postgres %i', (major) => {
  let postgres: TestPostgres;
  beforeAll(async () => {
    postgres = await startPostgres({ major });
  });
  afterAll(() => postgres?.stop());

  const seeds = SEEDS.filter((_, run) => MAJORS[run % MAJORS.length] === major);
  test.each(seeds)('SLUICE_SEED=%i', (seed) => playAltered(postgres, `altered_${seed}`, seed), RUN_MS);
});
