import fc from 'fast-check';
import { ALL_TABLES } from '../oracle/oracle-table.js';
import { STEP, type Step } from '../oracle/workload.js';
import type { Lake } from './lake-places.js';
import type { Upkeep } from './lake-upkeep.js';

/** The oracle's random workload in rounds of some syncs, each with a kind of upkeep at its end. */

const SYNCS_A_ROUND = 4;
const STEPS_A_SYNC = 12;
/** One of the sessions has no transaction open, so that every sync finds a change of every table. */
const FREE_SESSION = 3;
const KEYS = 12;

/**
 * With and without a shortened log, engines that are not Sluice compact before and after it does. By vacuum's round tables
 * have so many commits that there is a checkpoint to read on from.
 */
export function upkeepOfRounds({ place, deletes }: Lake): readonly Upkeep[] {
  const sparkFirst = (place === 'folder') === (deletes === 'dv');
  return sparkFirst
    ? ['none', 'spark', 'optimize', 'vacuum', 'deltalake']
    : ['none', 'deltalake', 'optimize', 'vacuum', 'spark'];
}

/** Each round ends with a checkpoint of the oracle. */
export function stepsOfRounds(seed: number, rounds: number): Step[] {
  const work = fc.oneof(
    { weight: 60, arbitrary: STEP.filter((step) => step.kind === 'change') },
    { weight: 15, arbitrary: STEP.filter((step) => step.kind === 'transaction') },
    { weight: 1, arbitrary: STEP.filter((step) => step.kind === 'truncate' || step.kind === 'add_table') },
  );
  const syncs = rounds * SYNCS_A_ROUND;
  const chosen = fc.sample(work, { seed, numRuns: syncs * STEPS_A_SYNC }).map(inBusySession);
  return Array.from({ length: syncs }, (_, sync) => {
    const part = chosen.slice(sync * STEPS_A_SYNC, (sync + 1) * STEPS_A_SYNC);
    const isLast = (sync + 1) % SYNCS_A_ROUND === 0;
    // The run itself ends with a checkpoint.
    const end = isLast && sync + 1 < syncs;
    return [
      ...part,
      ...touches(seed + sync),
      ...(isLast ? [] : [{ kind: 'sync' as const, only: null }]),
      ...(end ? [{ kind: 'checkpoint' as const, leaveOpen: false, commit: true }] : []),
    ];
  }).flat();
}

/** A change of every table that is committed at once, unless another session holds the row. */
function touches(seed: number): Step[] {
  return ALL_TABLES.map((_, table) => ({
    kind: 'change' as const,
    session: FREE_SESSION,
    table,
    op: 'upsert' as const,
    ...{ a: (seed * 5 + table) % KEYS, b: 0, seed: seed % 1_000_000_000 },
  }));
}

function inBusySession(step: Step): Step {
  return 'session' in step ? { ...step, session: step.session % FREE_SESSION } : step;
}
