import { SluiceError } from '../error/sluice-error.js';
import type { Plan } from './change.js';

/** @throws SluiceError PLAN_UNOBSERVED for a plan that did not look at databases and destinations */
export function refuseUnobserved(plan: Plan): void {
  if (plan.basis.kind === 'observed') return;
  const what = {
    refresh_only: 'tells only drift',
    state: 'was made from the state alone',
    config: 'compares two files',
  };
  throw new SluiceError({
    code: 'PLAN_UNOBSERVED',
    message: `the plan ${what[plan.basis.kind]}, so it cannot be applied`,
    hint: 'make a plan where the databases can be reached: sluice plan --out FILE',
  });
}
