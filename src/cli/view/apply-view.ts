import type { ChangeResult } from '../../executor/engine.js';
import type { Plan } from '../../planner/change.js';
import type { Page } from '../command.js';
import type { ApplyOutcome } from '../commands/apply.js';
import { type EventBody, resultFields } from './event-json.js';
import { describeChange, planJson } from './plan-view.js';
import { syncEvents, syncJson, syncText } from './sync-view.js';

/** The question before an apply. What it would destroy is named once more, as that cannot be taken back. */
export function applyQuestion(plan: Plan): string {
  const count = plan.changes.length;
  const destructive = plan.changes.filter((change) => change.destructive);
  const lines =
    destructive.length === 0
      ? []
      : [
          'Destructive:',
          ...destructive.map((change) => `  ${change.address}  ${describeChange(change)}  (${change.reason})`),
        ];
  return [...lines, `Apply ${count === 1 ? 'this change' : `these ${count} changes`}?`].join('\n');
}

/** The end of an apply. The plan and each outcome were shown while it ran; where there was nothing to do, the plan said so. */
export function applyText(outcome: ApplyOutcome, page: Page): string {
  if (outcome.results.length === 0) return outcome.sync === null ? '' : syncText(outcome.sync, page);
  const count = (status: ChangeResult['status']) => outcome.results.filter((result) => result.status === status).length;
  const failed = count('failed');
  const skipped = count('not_attempted');
  const summary = [
    `Applied ${count('applied')} of ${outcome.results.length} changes`,
    ...(failed === 0 ? [] : [`${failed} failed`]),
    ...(skipped === 0 ? [] : [`${skipped} not attempted`]),
  ].join(', ');
  const loads = new Set(outcome.results.filter(queuesLoad).map((result) => result.change.address)).size;
  const next =
    loads === 0 || outcome.sync !== null
      ? ''
      : `${loads === 1 ? 'A load is' : `${loads} loads are`} queued. To run: sluice sync\n`;
  return `${page.paint(failed + skipped === 0 ? 'green' : 'red', `${summary}.`)}\n${next}${outcome.sync === null ? '' : `\n${syncText(outcome.sync, page)}`}`;
}

export function applyJson(outcome: ApplyOutcome): Record<string, unknown> {
  return {
    plan: planJson(outcome.plan),
    results: outcome.results.map(resultFields),
    sync: outcome.sync === null ? null : syncJson(outcome.sync),
  };
}

/** The changes were told one by one; these events say what became of all of them. */
export function applyEvents(outcome: ApplyOutcome): readonly EventBody[] {
  const count = (status: ChangeResult['status']) => outcome.results.filter((result) => result.status === status).length;
  const counts = { applied: count('applied'), failed: count('failed'), not_attempted: count('not_attempted') };
  const ended: EventBody = { event: 'apply_ended', ...counts, results: outcome.results.map(resultFields) };
  return [ended, ...(outcome.sync === null ? [] : syncEvents(outcome.sync))];
}

function queuesLoad(result: ChangeResult): boolean {
  const { action } = result.change;
  const queues =
    action === 'snapshot_table' || action === 'resync_table' || action === 'change_method' || action === 'enable_table';
  return queues && result.status === 'applied';
}
