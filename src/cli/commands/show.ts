import { SluiceError } from '../../error/sluice-error.js';
import type { Plan } from '../../planner/change.js';
import { type Context, command } from '../command.js';
import { readPlan } from '../plan-file.js';
import { planJson, planText } from '../view/plan-view.js';

export interface ShowArgs {
  readonly planFile: string;
}

export const show = command<ShowArgs, Plan>({
  name: 'show',
  summary: 'Show a saved plan',
  description: 'Reads the plan file alone: neither config nor state nor any server is needed.',
  arguments: [{ name: 'PLANFILE', description: 'a file written by plan --out', required: true }],
  options: [],
  examples: [
    { command: 'show next.plan', text: 'as plan printed it' },
    { command: 'show next.plan --format json', text: 'for a program to read' },
  ],
  parse: (input) => ({ planFile: input.argument('PLANFILE') ?? '' }),
  run: (args, context) => loadPlanFile(args.planFile, context),
  views: { human: (plan, page) => planText(plan, page), json: (plan) => planJson(plan) },
});

/** @throws SluiceError PLAN_UNREADABLE */
export async function loadPlanFile(file: string, context: Pick<Context, 'files'>): Promise<Plan> {
  let text: string;
  try {
    text = await context.files.readText(file);
  } catch (cause) {
    throw new SluiceError({
      code: 'PLAN_UNREADABLE',
      message: `cannot read the plan file ${file}`,
      cause,
      hint: `make one: sluice plan --out ${file}`,
    });
  }
  return readPlan(text, file);
}
