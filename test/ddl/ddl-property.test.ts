import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hasPostgres, type PostgresMajor } from '../postgres/binaries.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { AlteredTable, diceOf, type Step } from './altered-table.js';
import { AlteredSource } from './ddl-fixture.js';

/**
 * After any sequence of ALTER TABLEs, changes, syncs and applies the table equals a fresh load of it.
 *
 *   SLUICE_SEED=12345 npx vitest run --project postgres test/ddl/ddl-property.test.ts      the same sequence again
 *   SLUICE_DDL_SECONDS=3600 ...                                                            a longer run, for each major
 */

const MAJORS: readonly PostgresMajor[] = [13, 17];
const SECONDS = Number(process.env['SLUICE_DDL_SECONDS'] ?? 25);
const FIRST_SEED = Number(process.env['SLUICE_SEED'] ?? Math.floor(Math.random() * 2 ** 30));
const PATIENCE_MS = 240_000;
const STEPS = 30;
const OUTPUTS = ['consolidated', 'both'] as const;
const ON_ADD = ['resync', 'backfill'] as const;

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
        await play(postgres, `altered_${runs}`, seed);
      }
    },
    SECONDS * 1000 + PATIENCE_MS,
  );
});

async function play(postgres: TestPostgres, database: string, seed: number): Promise<void> {
  const dice = diceOf(seed);
  const settings = {
    output: OUTPUTS[dice.below(OUTPUTS.length)],
    on_add_columns: ON_ADD[dice.below(ON_ADD.length)],
  };
  const steps = new AlteredTable(dice).steps(STEPS);
  const story = [JSON.stringify(settings), ...steps.map(described)].join('\n');
  const source = await AlteredSource.create(postgres, database, AlteredTable.setup, {
    tables: { 'public.t': settings },
  });
  try {
    for (const step of steps) await carryOut(source, step);
    // A table that failed is read anew by the sync that follows its apply.
    await source.fixture.apply();
    await source.fixture.sync();
    expect(await source.differences('public.t'), `SLUICE_SEED=${seed}\n${story}`).toEqual([]);
    expect((await source.fixture.plan()).changes, `SLUICE_SEED=${seed}\n${story}`).toEqual([]);
  } catch (error) {
    throw new Error(`SLUICE_SEED=${seed}\n${story}\n${String(error)}`, { cause: error });
  } finally {
    await source.remove();
  }
}

async function carryOut(source: AlteredSource, step: Step): Promise<void> {
  switch (step.kind) {
    case 'sql':
      await source.sql(step.sql);
      return;
    case 'sync':
      // What an ALTER made unreadable fails here, and is mended by the apply at the end.
      await source.fixture.trySync();
      return;
    case 'apply':
      await source.fixture.apply();
      return;
  }
}

function described(step: Step): string {
  return step.kind === 'sql' ? `${step.sql};` : `-- ${step.kind}`;
}
