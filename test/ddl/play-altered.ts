import { expect } from 'vitest';
import type { TestPostgres } from '../postgres/server.js';
import { AlteredTable, diceOf, type Step } from './altered-table.js';
import { AlteredSource } from './ddl-fixture.js';

const STEPS = 30;
const OUTPUTS = ['consolidated', 'both'] as const;
const ON_ADD = ['resync', 'backfill'] as const;

/** One table, altered and synced at random by the numbers of a seed, compared with a fresh load in the end. */
export async function playAltered(postgres: TestPostgres, database: string, seed: number): Promise<void> {
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
