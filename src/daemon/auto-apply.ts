import type { Config } from '../config/config.js';
import type { Change, Plan } from '../planner/change.js';

/** What the daemon may do with a plan by itself. */
export type AutoApply =
  | { readonly kind: 'nothing' }
  /** Something stands in the way; planned again later. */
  | { readonly kind: 'blocked' }
  | { readonly kind: 'apply' }
  /** A person has to apply it. */
  | { readonly kind: 'wait'; readonly because: string; readonly changes: readonly Change[] };

/**
 * A plan without what goes on with removals that were consented to: that has a loop of its own, and its failures are no
 * trouble of the config.
 */
export function withoutCleanup(plan: Plan): Plan {
  return { ...plan, changes: plan.changes.filter(({ origin }) => origin !== 'cleanup') };
}

/**
 * Law 5 for the daemon: destructive changes wait for a person unless the setting says `all`. A plan that holds some is
 * left whole, as its other changes may build on them.
 * @param halted sources whose slot the guard dropped: made anew by itself it would fill the disk again, so that takes a
 *   person whatever the setting
 */
export function autoApply(
  plan: Plan,
  setting: Config['daemon']['autoApply'],
  halted: ReadonlySet<string> = new Set(),
): AutoApply {
  if (plan.blockers.length > 0) return { kind: 'blocked' };
  if (plan.changes.length === 0) return { kind: 'nothing' };
  if (setting === 'none') return { kind: 'wait', because: 'auto_apply is none', changes: plan.changes };
  const dropped = plan.changes.filter(({ address }) => halted.has(address.split(':')[0] ?? ''));
  if (dropped.length > 0) return { kind: 'wait', because: 'the guard dropped a slot', changes: dropped };
  const destructive = plan.changes.filter((change) => change.destructive);
  if (setting === 'additive' && destructive.length > 0) {
    return { kind: 'wait', because: 'the plan holds destructive changes', changes: destructive };
  }
  return { kind: 'apply' };
}
