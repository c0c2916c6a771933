import { SluiceError } from '../error/sluice-error.js';
import type { Plan } from '../planner/change.js';

/**
 * What keeps a plan from being applied, as the error of the command: the first blocker speaks for all. An unreachable
 * server so gives the same exit code wherever it is met. Null: nothing blocks.
 */
export function blockerError(plan: Plan): SluiceError | null {
  const [first, ...more] = plan.blockers;
  if (first === undefined) return null;
  const others = more.length === 0 ? '' : ` (and ${more.length} more, listed in the plan)`;
  return new SluiceError({
    code: first.code,
    message: `${first.message}${others}`,
    hint: first.hint ?? undefined,
    address: first.address,
  });
}
