import type { Config } from '../config/config.js';
import { entryOf, formatTableKey } from '../config/table-key.js';
import type { TableFacts } from '../destination/facts.js';
import type { StateDocument } from '../state/state.js';
import type { Blocker, Change, Notice, Plan } from './change.js';
import { planMoves } from './move.js';
import type { Observed } from './observed.js';
import { planSource, planSourceEnd, type SourcePlan } from './source-plan.js';
import { summarize } from './summary.js';
import { parseTargets, refuseUnknownTargets, scopeOf } from './target.js';

export interface PlanInput {
  readonly config: Config;
  /** Null before the first apply. */
  readonly state: StateDocument | null;
  readonly observed: Observed;
  /** ISO. */
  readonly now: string;
  readonly id: string;
  /** Addresses; only changes at or below them, and what these cannot do without. None: everything. */
  readonly targets: readonly string[];
}

/**
 * What apply would do: pure, the same input gives the same plan. Moves come first, then the sources of the file and those
 * that left it, in name order. Loads that were queued by an earlier apply and have not run yet are no changes.
 * @throws SluiceError ADDRESS_UNKNOWN for a target that names nothing
 */
export function planChanges(input: PlanInput): Plan {
  const { config, observed } = input;
  const targets = parseTargets(input.targets);
  const scope = (source: string) => scopeOf(source, targets);
  const moves = planMoves(config, input.state, scope);
  const state = moves.state;
  refuseUnknownTargets(targets, knownTables(input, state));

  const names = new Set([...Object.keys(config.sources), ...Object.keys(state?.sources ?? {})]);
  const plans = [...names].sort().flatMap((name): SourcePlan[] => {
    const own = scope(name);
    if (own === null) return [];
    const source = config.sources[name];
    const known = state?.sources[name] ?? null;
    if (source === undefined) return known === null ? [] : [planSourceEnd(config, name, known, observed, own)];
    const factsOf = (key: string) => findFacts(observed, source.destination, moves.oldAddress(`${name}:${key}`));
    const knownAs = moves.oldAddress(name);
    return [planSource({ config, source, state: known, observed, scope: own, knownAs, factsOf })];
  });

  const changes: readonly Change[] = [...moves.changes, ...plans.flatMap((plan) => plan.changes)];
  return {
    format_version: 1,
    id: input.id,
    created_at: input.now,
    config_hash: config.hash,
    state: { lineage: input.state?.lineage ?? '', serial: input.state?.serial ?? 0 },
    changes,
    summary: summarize(changes),
    blockers: [...moves.blockers, ...plans.flatMap((plan) => plan.blockers), ...targetClashes(plans)],
    notices: [...moves.notices, ...plans.flatMap((plan): readonly Notice[] => plan.notices)],
  };
}

function findFacts(observed: Observed, destination: string, address: string): TableFacts | null {
  return observed.destinations[destination]?.tables.find((table) => table.address === address) ?? null;
}

/** By source: the tables that may be named as a target; null where the database could not be asked. */
function knownTables(input: PlanInput, state: StateDocument | null): ReadonlyMap<string, ReadonlySet<string> | null> {
  const { config, observed } = input;
  const all = new Map<string, ReadonlySet<string> | null>();
  const names = [
    ...Object.keys(config.sources),
    ...Object.keys(state?.sources ?? {}),
    ...Object.keys(input.state?.sources ?? {}),
  ];
  for (const name of names) {
    const source = config.sources[name];
    const seen = observed.sources[name];
    const stored = [state, input.state].flatMap((document) => Object.keys(document?.sources[name]?.tables ?? {}));
    if (source === undefined) {
      all.set(name, new Set(stored));
    } else if (seen?.ok !== true) {
      all.set(name, null);
    } else {
      const exact = source.tables.flatMap((entry) =>
        entry.schema === null || entry.name === null ? [] : [formatTableKey(entry.schema, entry.name)],
      );
      const found = seen.source.tables
        .filter((table) => entryOf(source, table.schema, table.name) !== null)
        .map((table) => formatTableKey(table.schema, table.name));
      all.set(name, new Set([...stored, ...exact, ...found]));
    }
  }
  return all;
}

/** DuckDB takes names that differ only in case as one, so two such tables would overwrite each other. */
function targetClashes(plans: readonly SourcePlan[]): Blocker[] {
  const taken = new Map<string, string>();
  return plans
    .flatMap((plan) => plan.targets)
    .flatMap(({ address, destination, name }): Blocker[] => {
      const place = `${destination} ${name.toLowerCase()}`;
      const other = taken.get(place);
      if (other === undefined) taken.set(place, address);
      if (other === undefined || other === address) return [];
      return [
        {
          address,
          code: 'TARGET_CLASH',
          message: `${address} and ${other} would both be written to ${name}, as the destination does not tell case apart`,
          hint: 'give one of the sources another target_schema, such as "{source}_{schema}", or take one entry out',
        },
      ];
    });
}
