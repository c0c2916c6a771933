import type { FirstPlan, ReloadOutcome } from '../../daemon/reload.js';
import { assertNever } from '../../error/sluice-error.js';
import type { Page } from '../command.js';
import { printable } from '../terminal.js';
import { errorSummary } from './live-view.js';

const GOES_ON = 'The last good config goes on.\n';

export function reloadText(outcome: ReloadOutcome, page: Page): string {
  switch (outcome.kind) {
    case 'unchanged':
      return `The daemon runs with this config already.\n${outcome.plan === null ? '' : planText(outcome.plan, page)}`;
    case 'applied':
      return `The daemon has taken the config over.\n${planText(outcome.plan, page)}`;
    case 'refused':
      return `${GOES_ON}${mistakeLines(outcome.error.message)}`;
    case 'failed':
      // The error itself follows on stderr.
      return outcome.error.code === 'CANCELLED' ? '' : GOES_ON;
    default:
      return assertNever(outcome);
  }
}

export function reloadJson(outcome: ReloadOutcome): Record<string, unknown> {
  switch (outcome.kind) {
    case 'failed':
      return { outcome: outcome.kind };
    case 'refused':
      return { outcome: outcome.kind, mistakes: mistakesOf(outcome.error.message).filter((line) => !/^\s/.test(line)) };
    case 'unchanged':
    case 'applied': {
      const { plan } = outcome;
      if (plan === null) return { outcome: outcome.kind };
      return {
        outcome: outcome.kind,
        plan: plan.kind,
        changes: plan.kind === 'applied' || plan.kind === 'waiting' ? plan.changes : [],
        ...(plan.kind === 'failed' ? { plan_error: plan.error } : {}),
      };
    }
    default:
      return assertNever(outcome);
  }
}

function planText(plan: FirstPlan, page: Page): string {
  switch (plan.kind) {
    case 'nothing_to_do':
      return 'Nothing had to be applied.\n';
    case 'applied':
      return `Applied:\n${changeLines(plan.changes)}`;
    case 'waiting':
      return `${page.paint('yellow', 'Waiting')} for sluice apply:\n${changeLines(plan.changes)}`;
    case 'failed':
      return `${page.paint('red', 'Not applied')}, the daemon tries again: ${errorSummary(plan.error)}\n${
        plan.error.hint === undefined ? '' : `  hint: ${printable(plan.error.hint)}\n`
      }`;
    default:
      return assertNever(plan);
  }
}

function changeLines(changes: readonly string[]): string {
  return changes.map((change) => `  ${printable(change)}\n`).join('');
}

/** A refusal has its mistakes with their places below its first line, each with an indented piece of the file. */
export function mistakesOf(message: string): readonly string[] {
  return message
    .split('\n')
    .slice(1)
    .filter((line) => line.trim() !== '');
}

export function mistakeLines(message: string): string {
  return mistakesOf(message)
    .map((line) => `${printable(line)}\n`)
    .join('');
}
