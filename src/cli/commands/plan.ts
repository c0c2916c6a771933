import { SluiceError } from '../../error/sluice-error.js';
import type { Plan } from '../../planner/change.js';
import { blockerError } from '../blockers.js';
import { command } from '../command.js';
import { writePlan } from '../plan-file.js';
import { planJson, planText } from '../view/plan-view.js';

export interface PlanArgs {
  readonly out: string | null;
  readonly detailedExitcode: boolean;
  readonly targets: readonly string[];
}

interface PlanResult {
  readonly plan: Plan;
  readonly savedTo: string | null;
  readonly detailedExitcode: boolean;
}

export const plan = command<PlanArgs, PlanResult>({
  name: 'plan',
  summary: 'Show what apply would change',
  description:
    'Compares the config with the state, the databases and the destinations. Nothing is changed. Beside each change stand its reason, its cost and whether it is destructive.',
  arguments: [],
  options: [
    { kind: 'value', name: 'out', placeholder: 'FILE', description: 'write the plan to a file, for show and apply' },
    { kind: 'flag', name: 'detailed-exitcode', description: 'exit 2 when there are changes' },
    { kind: 'list', name: 'target', placeholder: 'ADDRESS', description: 'only changes at or below this address' },
  ],
  examples: [
    { command: 'plan', text: 'everything' },
    { command: 'plan --out next.plan', text: 'to be reviewed, then: sluice apply next.plan' },
    { command: 'plan --target shop:public.users', text: 'one table' },
    { command: 'plan --detailed-exitcode', text: 'for scripts: 0 no changes, 2 changes' },
  ],
  parse: (input) => ({
    out: input.value('out'),
    detailedExitcode: input.flag('detailed-exitcode'),
    targets: input.list('target'),
  }),
  async run(args, context) {
    const made = await context.withEngine((engine) => engine.plan({ targets: args.targets }, context.signal));
    if (args.out !== null) {
      try {
        await context.files.writeText(args.out, writePlan(made));
      } catch (cause) {
        throw new SluiceError({ code: 'PLAN_UNWRITABLE', message: `cannot write the plan to ${args.out}`, cause });
      }
    }
    return { plan: made, savedTo: args.out, detailedExitcode: args.detailedExitcode };
  },
  views: {
    human: (result, page) => {
      const saved =
        result.savedTo === null
          ? ''
          : `\nSaved to ${result.savedTo}. To apply exactly this: sluice apply ${result.savedTo}\n`;
      return planText(result.plan, page) + saved;
    },
    json: (result) => planJson(result.plan),
  },
  verdict: (result) => blockerError(result.plan) ?? (result.detailedExitcode && result.plan.changes.length > 0 ? 2 : 0),
});
