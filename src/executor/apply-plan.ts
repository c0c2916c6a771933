import type { Config } from '../config/config.js';
import { SluiceError } from '../error/sluice-error.js';
import type { Plan } from '../planner/change.js';
import { refuseUnobserved } from '../planner/unobserved.js';
import type { StateDocument } from '../state/state.js';
import type { ChangeResult } from './engine.js';
import { type MakeChangesDeps, makeChanges } from './make-changes.js';
import { placeRefusals } from './place-check.js';

/**
 * Makes the changes of a plan.
 * @throws SluiceError PLAN_UNOBSERVED, PLAN_STALE, the first blocker; failures of single changes are in the results
 */
export async function applyPlan(plan: Plan, deps: MakeChangesDeps, signal: AbortSignal): Promise<ChangeResult[]> {
  refuseUnobserved(plan);
  const current = await deps.stateFile.read();
  refuseStale(plan, current, deps.config);
  const refused = await placeRefusals(deps.config, current, plan.changes);
  return makeChanges(plan.changes, current, deps, signal, refused);
}

function refuseStale(plan: Plan, state: StateDocument | null, config: Config): void {
  if (plan.config_hash !== config.hash) {
    throw new SluiceError({
      code: 'PLAN_STALE',
      message: `the plan was made for another version of ${config.file}`,
      hint: 'make a new plan: sluice plan',
    });
  }
  const lineage = state?.lineage ?? '';
  const serial = state?.serial ?? 0;
  if (plan.state.serial !== serial || plan.state.lineage !== lineage) {
    throw new SluiceError({
      code: 'PLAN_STALE',
      message: `the plan was made for state serial ${plan.state.serial}, the state is at ${serial}`,
      hint: 'something was applied since (a plan is used once); make a new plan: sluice plan',
    });
  }
  const [blocker] = plan.blockers;
  if (blocker !== undefined) {
    throw new SluiceError({
      code: blocker.code,
      address: blocker.address,
      message: `the plan cannot be applied: ${blocker.message}`,
      hint: blocker.hint ?? 'mend it and make a new plan',
    });
  }
}
