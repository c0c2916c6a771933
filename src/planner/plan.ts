import type { Config, SourceConfig } from '../config/config.js';
import { entryOf, formatTableKey } from '../config/table-key.js';
import type { StreamFacts, TableFacts } from '../destination/facts.js';
import type { StateDocument } from '../state/state.js';
import { assumedWorld } from './assumed-world.js';
import type { Blocker, Change, Drift, Notice, Plan } from './change.js';
import { withWal } from './cost.js';
import { findDrift } from './drift.js';
import { type MovePlan, planMoves } from './move.js';
import type { Observed } from './observed.js';
import { toldNotices } from './planning-notice.js';
import { LIST_SETTING } from './published-columns.js';
import { planSourceEnd } from './source-end.js';
import { planSource, type SourcePlan } from './source-plan.js';
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
 * What changed in Postgres since the last apply stands under `drift`, and the changes that answer to it are marked.
 * @throws SluiceError ADDRESS_UNKNOWN for a target that names nothing
 */
export function planChanges(input: PlanInput): Plan {
  const plan = planAsSeen(input, true);
  const targets = parseTargets(input.targets);
  const state = planMoves(input.config, input.state, (source) => scopeOf(source, targets)).state;
  const drift = findDrift(input.config, state, input.observed).filter(({ address }) => isTargeted(address, targets));
  const unknown = unknownOf(plan, input.observed);
  if (drift.length === 0) return { ...plan, unknown };
  const observed = assumedWorld({ config: input.config, state, beside: null, fromFile: false });
  const asApplied = planAsSeen({ ...input, observed }, false);
  return { ...plan, drift, changes: markDrift(plan.changes, asApplied.changes, drift), unknown };
}

/** Only what changed in Postgres since the last apply; what keeps a source from being asked stays as a blocker. */
export function planDrift(input: PlanInput): Plan {
  const plan = planChanges(input);
  const unreached = plan.blockers.filter(({ address }) => input.observed.sources[address]?.ok === false);
  const nothing: Plan = { ...plan, changes: [], summary: summarize([]), blockers: unreached, notices: [] };
  return { ...nothing, basis: { kind: 'refresh_only' } };
}

function isTargeted(address: string, targets: ReturnType<typeof parseTargets>): boolean {
  const [source = '', part = ''] = address.split(/:(.*)/s);
  const scope = scopeOf(source, targets);
  return scope !== null && (scope.whole || (part === 'slot' || part === 'publication' ? true : scope.covers(part)));
}

/** What nobody could tell even though everything was looked at. */
function unknownOf(plan: Plan, observed: Observed): readonly Notice[] {
  const unseen = Object.entries(observed.sources).flatMap(([name, seen]): Notice[] =>
    seen.ok || !plan.blockers.some(({ address }) => address === name)
      ? []
      : [{ address: name, message: 'what would change: its database could not be asked' }],
  );
  const unmeasured = plan.changes
    .filter(({ cost }) => cost.rows === null)
    .map(({ address }): Notice => ({ address, message: 'how many rows its load reads: it was never analyzed' }));
  return [...unseen, ...unmeasured];
}

/**
 * The plan without a word on drift.
 * @param catalogSeen false: what was observed is an assumption
 * @throws SluiceError ADDRESS_UNKNOWN for a target that names nothing
 */
export function planAsSeen(input: PlanInput, catalogSeen: boolean): Plan {
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
    const factsOf = (key: string) => movedFacts(`${name}:${key}`, moves, (a) => findTable(observed, source, a));
    const stream = movedFacts(name, moves, (a) => findStream(observed, source, a));
    return [planSource({ config, source, state: known, observed, scope: own, stream, factsOf })];
  });

  const changes = [...moves.changes, ...plans.flatMap((plan) => plan.changes)].map((change) =>
    withWal(change, walRate(observed, change)),
  );
  return {
    format_version: 1,
    id: input.id,
    created_at: input.now,
    config_hash: config.hash,
    state: { lineage: input.state?.lineage ?? '', serial: input.state?.serial ?? 0 },
    changes,
    summary: summarize(changes),
    blockers: [...moves.blockers, ...plans.flatMap((plan) => plan.blockers), ...targetClashes(plans)],
    notices: toldNotices([...moves.notices, ...plans.flatMap((plan) => plan.notices)], catalogSeen),
    basis: { kind: 'observed' },
    drift: [],
    unknown: [],
  };
}

function walRate(observed: Observed, change: Change): number | null {
  const seen = observed.sources[change.address.split(':')[0] ?? ''];
  return seen?.ok === true ? (seen.source.server.walBytesPerSecond ?? null) : null;
}

/**
 * Marks the changes that would not be there if Postgres were as it was applied. A change of a slot or a publication
 * answers for all tables of its source, and theirs for it.
 */
function markDrift(
  changes: readonly Change[],
  asApplied: readonly Change[],
  drift: readonly Drift[],
): readonly Change[] {
  const asked = new Set(asApplied.map((change) => `${change.action} ${change.address}`));
  const touched = new Set(drift.map(({ address }) => address));
  const streams = new Set(
    drift.flatMap(({ address, kind }) => (STREAM_DRIFT.has(kind) ? [address.split(':')[0]] : [])),
  );
  return changes.map((change): Change => {
    const [source = ''] = change.address.split(':');
    const listed = listedTables(change);
    // A column list follows its own table, whatever else happened to the publication.
    const answers =
      listed.length > 0
        ? listed.some((key) => touched.has(`${source}:${key}`))
        : touched.has(change.address) || streams.has(source);
    return answers && !asked.has(`${change.action} ${change.address}`) ? { ...change, origin: 'drift' } : change;
  });
}

/** Tables whose column list in the publication a change sets. */
function listedTables(change: Change): readonly string[] {
  if (change.action !== 'update_settings') return [];
  return Object.keys(change.details.settings).flatMap((name) =>
    name.startsWith(LIST_SETTING) ? [name.slice(LIST_SETTING.length)] : [],
  );
}

const STREAM_DRIFT: ReadonlySet<Drift['kind']> = new Set([
  'system_changed',
  'publication_missing',
  'publication_settings',
  'publication_table_missing',
  'slot_missing',
  'slot_lost',
]);

/** The destination may be ahead of the state: there a move that was broken off has been made already. */
function movedFacts<T>(address: string, { oldAddress }: MovePlan, find: (address: string) => T | null): T | null {
  return find(oldAddress(address)) ?? find(address);
}

function findTable(observed: Observed, { destination }: SourceConfig, address: string): TableFacts | null {
  return observed.destinations[destination]?.tables.find((table) => table.address === address) ?? null;
}

function findStream(observed: Observed, { destination }: SourceConfig, name: string): StreamFacts | null {
  return observed.destinations[destination]?.streams.find((stream) => stream.source === name) ?? null;
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
