import { fromPlain, SluiceError } from '../../error/sluice-error.js';
import type { ChangeResult, Engine, SyncReport } from '../../executor/engine.js';
import type { Plan } from '../../planner/change.js';
import { refuseUnobserved } from '../../planner/unobserved.js';
import { blockerError } from '../blockers.js';
import { type Context, command } from '../command.js';
import { applyEvents, applyJson, applyQuestion, applyText } from '../view/apply-view.js';
import { loadPlanFile } from './show.js';
import { syncVerdict } from './sync.js';

export interface ApplyArgs {
  readonly planFile: string | null;
  readonly yes: boolean;
  readonly sync: boolean;
  readonly targets: readonly string[];
}

/** `results` is empty where there was nothing to do or something stood in the way. */
export interface ApplyOutcome {
  readonly plan: Plan;
  readonly results: readonly ChangeResult[];
  /** Null unless --sync asked for it and the apply got that far. */
  readonly sync: SyncReport | null;
}

export const apply = command<ApplyArgs, ApplyOutcome>({
  name: 'apply',
  summary: 'Make the changes that plan shows',
  description:
    'Without PLAN a plan is made, shown and, on a terminal, asked about. With PLAN exactly the reviewed changes are made, without a question; a plan whose state or config has changed since is refused. The loads that it queues are run by sync or the daemon.',
  arguments: [{ name: 'PLAN', description: 'a file written by plan --out', required: false }],
  options: [
    { kind: 'flag', name: 'yes', description: 'do not ask' },
    { kind: 'flag', name: 'sync', description: 'then run the loads that are due' },
    { kind: 'list', name: 'target', placeholder: 'ADDRESS', description: 'only changes at or below this address' },
  ],
  examples: [
    { command: 'apply', text: 'plan, ask, apply' },
    { command: 'apply --yes --sync', text: 'without a question, then load what is due' },
    { command: 'apply next.plan', text: 'a plan that was reviewed' },
  ],
  parse(input) {
    const args = {
      planFile: input.argument('PLAN'),
      yes: input.flag('yes'),
      sync: input.flag('sync'),
      targets: input.list('target'),
    };
    if (args.planFile !== null && args.targets.length > 0) {
      throw new SluiceError({
        code: 'USAGE',
        message: '--target cannot be combined with a saved plan',
        hint: 'give --target to sluice plan --out',
      });
    }
    return args;
  },
  async run(args, context) {
    const saved = args.planFile === null ? null : await loadPlanFile(args.planFile, context);
    if (saved !== null) refuseUnobserved(saved);
    return context.withActingEngine(async (engine) => {
      const plan = saved ?? (await engine.plan({ targets: args.targets }, context.signal));
      const done = await applyPlan(engine, plan, { consented: args.yes, reviewed: saved !== null }, context);
      if (!args.sync || context.signal.aborted || blockerError(plan) !== null) return { ...done, sync: null };
      const sync = await engine.sync({ address: null, untilCaughtUp: false, force: false }, context.signal);
      return { ...done, sync };
    });
  },
  views: { human: applyText, json: applyJson, ndjson: applyEvents },
  verdict: (outcome) => applyVerdict(outcome) ?? (outcome.sync === null ? 0 : syncVerdict(outcome.sync)),
});

async function applyPlan(
  engine: Engine,
  plan: Plan,
  options: { readonly consented: boolean; readonly reviewed: boolean },
  context: Context,
): Promise<Omit<ApplyOutcome, 'sync'>> {
  const idle = blockerError(plan) !== null || plan.changes.length === 0;
  // A saved plan was looked at before; it is shown again only to say why nothing is done.
  if (idle || !options.reviewed || context.format === 'ndjson') context.live({ kind: 'plan_made', plan });
  if (idle) return { plan, results: [] };
  if (
    !options.reviewed &&
    !options.consented &&
    !(await context.confirm({ text: applyQuestion(plan), what: 'apply' }))
  ) {
    throw new SluiceError({ code: 'CANCELLED', message: 'not confirmed; nothing was changed' });
  }
  return { plan, results: await engine.apply(plan, context.signal) };
}

function applyVerdict(outcome: ApplyOutcome): SluiceError | null {
  const blocked = blockerError(outcome.plan);
  if (blocked !== null) return blocked;
  const failed = outcome.results.filter((result) => result.status === 'failed');
  const skipped = outcome.results.filter((result) => result.status === 'not_attempted').length;
  const [first] = failed;
  if (first === undefined && skipped === 0) return null;
  // Where one thing went wrong, its own code, cause and hint say more than a count.
  if (failed.length === 1 && first !== undefined && outcome.results.length === 1) return fromPlain(first.error);
  return new SluiceError({
    code: 'APPLY_INCOMPLETE',
    message: `${failed.length} of ${outcome.results.length} changes failed, ${skipped} were not attempted`,
    hint: first?.error.hint ?? 'what was applied stays; sluice plan shows what is left',
  });
}
