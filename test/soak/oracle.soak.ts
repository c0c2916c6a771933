import { afterAll, beforeAll, describe, test } from 'vitest';
import { OracleRun } from '../oracle/oracle-run.js';
import { hasPostgres, type PostgresMajor } from '../postgres/binaries.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { RUN_MS, SEEDS } from './seeds.js';

const MAJORS: readonly PostgresMajor[] = ([13, 15, 17, 18] as const).filter(hasPostgres);

describe.each(MAJORS)('random work on Postgres %i', (major) => {
  let postgres: TestPostgres;
  beforeAll(async () => {
    postgres = await startPostgres({ major, settings: { deadlock_timeout: '20ms' } });
  });
  afterAll(() => postgres?.stop());

  const seeds = SEEDS.filter((_, run) => MAJORS[run % MAJORS.length] === major);
  test.each(seeds)('SLUICE_SEED=%i', (seed) => OracleRun.playSeed(postgres, `oracle_${seed}`, seed), RUN_MS);
});
