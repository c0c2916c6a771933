import type { Config } from '../config/config.js';
import { formatTableKey, parseTableKey } from '../config/table-key.js';
import { emptyState } from '../state/edit.js';
import type { StateDocument } from '../state/state.js';
import { stateAfter } from './apply-edit.js';
import { assumedWorld, KEY_COLUMN, OTHER_COLUMNS } from './assumed-world.js';
import type { Change, Notice, Plan, PlanBasis } from './change.js';
import { sourceIdentity } from './identity.js';
import { planMoves } from './move.js';
import { planAsSeen } from './plan.js';
import { parseTargets, scopeOf } from './target.js';

interface Request {
  readonly config: Config;
  /** ISO. */
  readonly now: string;
  readonly id: string;
  readonly targets: readonly string[];
}

/**
 * What the file asks for beyond what the state holds, if everything in databases and destinations is as it was applied.
 * The plan may not be applied.
 * @param name where the state was read from; null: where the config says
 * @throws SluiceError ADDRESS_UNKNOWN for a target that names nothing
 */
export function planFromState(
  request: Request & { readonly state: StateDocument | null; readonly name: string | null },
): Plan {
  const { state, name, config } = request;
  const plan = planAssumed(request, state, { kind: 'state', name }, null);
  return { ...plan, unknown: statePlanUnknown(config, state, request.targets) };
}

/**
 * What another version of the file would change, with no word on what was applied: the plan that the file would have
 * if all of the other version had been. It may not be applied.
 * @param base null: there was no such file, and everything is new
 * @throws SluiceError ADDRESS_UNKNOWN for a target that names nothing
 */
export function planAgainstConfig(request: Request & { readonly base: Config | null; readonly ref: string }): Plan {
  const { base, ref, config } = request;
  const state = base === null ? null : appliedState(base, config, request);
  const plan = planAssumed(request, state, { kind: 'config', name: ref }, base);
  return {
    ...inPatternNames(plan, [config, ...(base === null ? [] : [base])]),
    state: { lineage: '', serial: 0 },
    unknown: configPlanUnknown(config, base, ref, request.targets),
  };
}

function planAssumed(request: Request, state: StateDocument | null, basis: PlanBasis, base: Config | null): Plan {
  const { config } = request;
  const moved = planMoves(config, state, (source) => scopeOf(source, [])).state;
  const observed = assumedWorld({ config, state: moved, beside: base, fromFile: basis.kind === 'config' });
  const plan = planAsSeen({ ...request, state, observed }, false);
  return {
    ...plan,
    changes: plan.changes.map(withoutGuesses),
    summary: { ...plan.summary, rows: 0, bytes: 0, seconds: 0 },
    basis,
  };
}

/** The state that a file leaves when all of it is applied to databases that have what it names. */
function appliedState(base: Config, beside: Config, request: Request): StateDocument | null {
  const observed = assumedWorld({ config: base, state: null, beside, fromFile: true });
  const wanted = { config: base, state: null, observed, now: request.now, id: request.id, targets: [] };
  const plan = planAsSeen(wanted, false);
  return plan.changes.reduce<StateDocument>((state, change) => {
    const name = change.address.split(':')[0] ?? '';
    const source = base.sources[name];
    const seen = observed.sources[name];
    const identity =
      source === undefined || seen?.ok !== true ? null : sourceIdentity(base, source, seen.source.server);
    return identity === null ? state : stateAfter(state, change, { identity, slotLsn: '0/0' });
  }, emptyState(''));
}

/** What a load costs and the exact SQL depend on what was not looked at. */
function withoutGuesses(change: Change): Change {
  const { rows, bytes } = change.cost;
  const free = rows === 0 && bytes === 0;
  const cost = free ? change.cost : { rows: null, bytes: null, seconds: null, wal_bytes: null, basis: 'none' as const };
  const told: Change = { ...change, cost };
  switch (told.action) {
    case 'create_publication':
      return { ...told, details: { ...told.details, sql: '' } };
    case 'add_publication_tables':
      return { ...told, details: { ...told.details, sql: '' } };
    case 'remove_publication_tables':
      return { ...told, details: { ...told.details, sql: '' } };
    case 'update_settings':
      return { ...told, details: { ...told.details, sql: null } };
    default:
      return told;
  }
}

/** Patterns stood for their tables under a name that had to be quoted. */
function inPatternNames(plan: Plan, configs: readonly Config[]): Plan {
  const keys = new Map<string, string>();
  for (const entry of configs.flatMap((config) => Object.values(config.sources)).flatMap((source) => source.tables)) {
    const parsed = parseTableKey(entry.key);
    if (entry.pattern === null || !parsed.ok) continue;
    keys.set(formatTableKey(parsed.key.schema.join('*'), parsed.key.name.join('*')), entry.key);
  }
  if (keys.size === 0) return plan;
  const named = (text: string): string => {
    let result = text;
    for (const [quoted, key] of keys) result = result.replaceAll(quoted, key);
    return result;
  };
  const changes = plan.changes.map((change) => ({
    ...change,
    address: named(change.address),
    reason: named(change.reason),
  }));
  return {
    ...plan,
    changes,
    blockers: plan.blockers.map((each) => ({ ...each, address: named(each.address), message: named(each.message) })),
    notices: plan.notices.map((each) => ({ address: named(each.address), message: named(each.message) })),
  };
}

function statePlanUnknown(config: Config, state: StateDocument | null, targets: readonly string[]): Notice[] {
  return targetedSources(config, state, targets).flatMap((name): Notice[] => {
    const source = config.sources[name];
    const known = state?.sources[name];
    const applied = new Set(Object.keys(known?.tables ?? {}));
    const added = (source?.tables ?? []).flatMap((entry) => {
      if (entry.schema === null || entry.name === null) return [];
      const key = formatTableKey(entry.schema, entry.name);
      return applied.has(key) ? [] : [`${name}:${key}`];
    });
    return [
      {
        address: name,
        message:
          known === undefined
            ? 'whether its tables exist and can be synced, and how much their loads read'
            : 'whether tables, columns, keys, privileges, publication and slot are still as they were applied, what the destination holds, and how much a load reads',
      },
      ...added.map((address) => ({ address, message: 'its columns and its key: it was never applied' })),
      ...patternsOf(config, name).map((key) => ({
        address: name,
        message: `which tables the pattern "${key}" finds beside those that were applied`,
      })),
    ];
  });
}

function configPlanUnknown(config: Config, base: Config | null, ref: string, targets: readonly string[]): Notice[] {
  const names = targetedSources(config, base, targets);
  return names.flatMap((name): Notice[] => [
    {
      address: name,
      message: `whether what stands at ${ref} was applied, what databases and destinations hold, and how much a load reads`,
    },
    {
      address: name,
      message: `columns and keys that the file does not name: they stand as "${OTHER_COLUMNS}" and "${KEY_COLUMN}"`,
    },
    ...[...new Set([...patternsOf(config, name), ...(base === null ? [] : patternsOf(base, name))])].map((key) => ({
      address: name,
      message: `which tables the pattern "${key}" finds: it is shown as one table`,
    })),
  ]);
}

function patternsOf(config: Config, source: string): readonly string[] {
  return (config.sources[source]?.tables ?? []).flatMap((entry) => (entry.pattern === null ? [] : [entry.key]));
}

function targetedSources(
  config: Config,
  other: Config | StateDocument | null,
  targets: readonly string[],
): readonly string[] {
  const wanted = parseTargets(targets);
  const names = new Set([...Object.keys(config.sources), ...Object.keys(other?.sources ?? {})]);
  return [...names].filter((name) => scopeOf(name, wanted) !== null).sort();
}
