import { randomUUID } from 'node:crypto';
import { assertNever, SluiceError } from '../../error/sluice-error.js';
import type { Plan } from '../../planner/change.js';
import { writePlan } from '../../planner/plan-file.js';
import { readStateText } from '../../state/read-state.js';
import { blockerError } from '../blockers.js';
import { type Context, command, type Format, type Input } from '../command.js';
import { LEAST_MARKDOWN_BYTES, planMarkdown } from '../view/plan-markdown.js';
import { planJson, planText } from '../view/plan-view.js';

export interface PlanArgs {
  readonly out: string | null;
  readonly detailedExitcode: boolean;
  readonly targets: readonly string[];
  /** Of the Markdown form. */
  readonly maxBytes: number | null;
  readonly basis: RequestedBasis;
}

/** What the plan is to be made from. */
export type RequestedBasis =
  | { readonly kind: 'observed' }
  | { readonly kind: 'refresh_only' }
  | { readonly kind: 'state' }
  | { readonly kind: 'state_file'; readonly file: string }
  | { readonly kind: 'base'; readonly ref: string };

interface PlanResult {
  readonly plan: Plan;
  readonly savedTo: string | null;
  readonly detailedExitcode: boolean;
  readonly maxBytes: number | null;
}

export const MAX_BYTES_OPTION = {
  kind: 'value',
  name: 'max-bytes',
  placeholder: 'N',
  description: `with --format markdown: cut to so many bytes (at least ${LEAST_MARKDOWN_BYTES})`,
} as const;

export const plan = command<PlanArgs, PlanResult>({
  name: 'plan',
  summary: 'Show what apply would change',
  description:
    'Compares the config with the state, the databases and the destinations. Nothing is changed. Beside each change stand its reason, its cost and whether it is destructive.\n\nWhere the databases cannot be reached, --no-refresh asks the state alone, --state a copy of it, and --base compares the file with the one at a git ref. Such a plan says what it could not know and cannot be applied.',
  arguments: [],
  options: [
    { kind: 'value', name: 'out', placeholder: 'FILE', description: 'write the plan to a file, for show and apply' },
    { kind: 'flag', name: 'detailed-exitcode', description: 'exit 2 when there are changes' },
    { kind: 'list', name: 'target', placeholder: 'ADDRESS', description: 'only changes at or below this address' },
    {
      kind: 'flag',
      name: 'refresh-only',
      description:
        'tell only what changed in Postgres since the last apply (exit 2 of --detailed-exitcode: there is some)',
    },
    { kind: 'flag', name: 'no-refresh', description: 'ask the state alone, no database and no destination' },
    { kind: 'value', name: 'state', placeholder: 'FILE', description: 'as --no-refresh, with an exported state' },
    { kind: 'value', name: 'base', placeholder: 'REF', description: 'compare with the file at this git ref alone' },
    MAX_BYTES_OPTION,
  ],
  examples: [
    { command: 'plan', text: 'everything' },
    { command: 'plan --out next.plan', text: 'to be reviewed, then: sluice apply next.plan' },
    { command: 'plan --target shop:public.users', text: 'one table' },
    { command: 'plan --detailed-exitcode', text: 'for scripts: 0 no changes, 2 changes' },
    { command: 'plan --refresh-only --detailed-exitcode', text: 'exit 2 when something changed in Postgres' },
    { command: 'plan --base origin/main', text: 'what a branch changes, without state and databases' },
    { command: 'plan --format markdown --max-bytes 65000', text: 'for a comment on a pull request' },
  ],
  parse: (input) => ({
    out: input.value('out'),
    detailedExitcode: input.flag('detailed-exitcode'),
    targets: input.list('target'),
    maxBytes: maxBytesOf(input),
    basis: basisOf(input),
  }),
  async run(args, context) {
    refuseMaxBytes(args.maxBytes, context.format);
    const made = await makePlan(args, context);
    if (args.out !== null) {
      try {
        await context.files.writeText(args.out, writePlan(made));
      } catch (cause) {
        throw new SluiceError({ code: 'PLAN_UNWRITABLE', message: `cannot write the plan to ${args.out}`, cause });
      }
    }
    return { plan: made, savedTo: args.out, detailedExitcode: args.detailedExitcode, maxBytes: args.maxBytes };
  },
  views: {
    human: (result, page) => {
      const saved =
        result.savedTo === null
          ? ''
          : result.plan.basis.kind === 'observed'
            ? `\nSaved to ${result.savedTo}. To apply exactly this: sluice apply ${result.savedTo}\n`
            : `\nSaved to ${result.savedTo}. To read it: sluice show ${result.savedTo}\n`;
      return planText(result.plan, page) + saved;
    },
    json: (result) => planJson(result.plan),
    markdown: (result) => planMarkdown(result.plan, result.maxBytes),
    ndjson: (result) => [{ event: 'plan_made', plan: result.plan }],
  },
  verdict: (result) => blockerError(result.plan) ?? (result.detailedExitcode && hasNews(result.plan) ? 2 : 0),
});

/** Drift alone is news only where nothing else was asked for: a plan without changes has nothing to apply. */
function hasNews(plan: Plan): boolean {
  return plan.changes.length > 0 || (plan.basis.kind === 'refresh_only' && plan.drift.length > 0);
}

async function makePlan({ basis, targets }: PlanArgs, context: Context): Promise<Plan> {
  const now = context.clock.now().toISOString();
  switch (basis.kind) {
    case 'observed':
      return context.withEngine((engine) => engine.plan({ targets }, context.signal));
    case 'refresh_only':
      return context.withEngine((engine) => engine.plan({ targets, driftOnly: true }, context.signal));
    case 'state':
      return context.withEngine((engine) => engine.plan({ targets, refresh: false }, context.signal));
    case 'state_file': {
      const config = await context.loadConfig();
      const state = readStateText(await textOf(basis.file, context), basis.file);
      const { planFromState } = await import('../../planner/plan-unobserved.js');
      return planFromState({ config, state, name: basis.file, now, id: randomUUID(), targets });
    }
    case 'base': {
      const config = await context.loadConfig();
      const base = await context.loadBaseConfig(basis.ref);
      const { planAgainstConfig } = await import('../../planner/plan-unobserved.js');
      return planAgainstConfig({ config, base, ref: basis.ref, now, id: randomUUID(), targets });
    }
    default:
      return assertNever(basis);
  }
}

async function textOf(file: string, context: Context): Promise<string> {
  try {
    return await context.files.readText(file);
  } catch (cause) {
    throw new SluiceError({
      code: 'STATE_UNREADABLE',
      message: `cannot read the state ${file}`,
      cause,
      hint: 'it is the state document as Sluice stores it',
    });
  }
}

/** @throws SluiceError USAGE where more than one is asked for */
function basisOf(input: Input): RequestedBasis {
  const file = input.value('state');
  const ref = input.value('base');
  const asked: RequestedBasis[] = [
    ...(input.flag('refresh-only') ? [{ kind: 'refresh_only' as const }] : []),
    ...(input.flag('no-refresh') ? [{ kind: 'state' as const }] : []),
    ...(file === null ? [] : [{ kind: 'state_file' as const, file }]),
    ...(ref === null ? [] : [{ kind: 'base' as const, ref }]),
  ];
  if (asked.length > 1) {
    throw new SluiceError({
      code: 'USAGE',
      message: '--refresh-only, --no-refresh, --state and --base exclude one another',
      hint: 'see sluice plan --help',
    });
  }
  return asked[0] ?? { kind: 'observed' };
}

/** @throws SluiceError USAGE where the form asked for is never cut */
export function refuseMaxBytes(maxBytes: number | null, format: Format): void {
  if (maxBytes === null || format === 'markdown') return;
  throw new SluiceError({
    code: 'USAGE',
    message: `--max-bytes cuts the Markdown form, and this is the ${format} form`,
    hint: 'add --format markdown, or leave --max-bytes out',
  });
}

/** @throws SluiceError USAGE where it is no number, or too small to say anything */
export function maxBytesOf(input: Input): number | null {
  const text = input.value('max-bytes');
  if (text === null) return null;
  const bytes = /^[0-9]+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(bytes) && bytes >= LEAST_MARKDOWN_BYTES) return bytes;
  throw new SluiceError({
    code: 'USAGE',
    message: `--max-bytes needs a whole number of at least ${LEAST_MARKDOWN_BYTES}, not "${text}"`,
    hint: 'a comment on GitHub may have 65536 characters: --max-bytes 65000',
  });
}
