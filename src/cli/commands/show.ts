import { SluiceError } from '../../error/sluice-error.js';
import type { Plan } from '../../planner/change.js';
import { readPlan } from '../../planner/plan-file.js';
import { type Context, command } from '../command.js';
import { planMarkdown } from '../view/plan-markdown.js';
import { planJson, planText } from '../view/plan-view.js';
import { MAX_BYTES_OPTION, maxBytesOf, refuseMaxBytes } from './plan.js';

export interface ShowArgs {
  readonly planFile: string;
  /** Of the Markdown form. */
  readonly maxBytes: number | null;
}

interface Shown {
  readonly plan: Plan;
  readonly maxBytes: number | null;
}

export const show = command<ShowArgs, Shown>({
  name: 'show',
  summary: 'Show a saved plan',
  description: 'Reads the plan file alone: neither config nor state nor any server is needed.',
  arguments: [{ name: 'PLANFILE', description: 'a file written by plan --out', required: true }],
  options: [MAX_BYTES_OPTION],
  examples: [
    { command: 'show next.plan', text: 'as plan printed it' },
    { command: 'show next.plan --format json', text: 'for a program to read' },
    { command: 'show next.plan --format markdown --max-bytes 65000', text: 'for a comment on a pull request' },
  ],
  parse: (input) => ({ planFile: input.argument('PLANFILE') ?? '', maxBytes: maxBytesOf(input) }),
  async run({ planFile, maxBytes }, context) {
    refuseMaxBytes(maxBytes, context.format);
    return { plan: await loadPlanFile(planFile, context), maxBytes };
  },
  views: {
    human: ({ plan }, page) => planText(plan, page),
    json: ({ plan }) => planJson(plan),
    markdown: ({ plan, maxBytes }) => planMarkdown(plan, maxBytes),
  },
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
