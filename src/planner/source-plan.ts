import type { Config, SourceConfig } from '../config/config.js';
import { formatTableKey } from '../config/table-key.js';
import type { DestinationFacts, StreamFacts, TableFacts } from '../destination/facts.js';
import { historyName } from '../destination/target-table.js';
import type { ObservedSource, ObservedTable } from '../source/catalog-model.js';
import { dialectOf } from '../source/dialect.js';
import { destinationFingerprint } from '../state/fingerprint.js';
import type { SourceState, TableState } from '../state/state.js';
import type { Blocker, Change } from './change.js';
import { NO_COST } from './cost.js';
import type { DesiredTable } from './desired-table.js';
import { createTable, diffTable, reloadHeldTable, type TableContext } from './diff.js';
import { compareIdentity, sourceIdentity } from './identity.js';
import { type Gap, loadsOf, nextGeneration } from './load-order.js';
import type { Observed } from './observed.js';
import { comparePlace, placeNotices, unseenFacts } from './place.js';
import type { PlanningNotice } from './planning-notice.js';
import { planPublication } from './publication.js';
import { disableTable, forgetTable, removeTable } from './removal.js';
import { type Resolution, resolveTables } from './resolve.js';
import { planSlot } from './slot.js';
import type { SourceScope } from './target.js';

export interface SourcePlan {
  readonly changes: readonly Change[];
  readonly blockers: readonly Blocker[];
  readonly notices: readonly PlanningNotice[];
  /** Where each table that will be there is written, to find clashes between sources. */
  readonly targets: readonly { readonly address: string; readonly destination: string; readonly name: string }[];
}

export const EMPTY_PLAN: SourcePlan = { changes: [], blockers: [], notices: [], targets: [] };

export interface SourceInput {
  readonly config: Config;
  readonly source: SourceConfig;
  readonly state: SourceState | null;
  readonly observed: Observed;
  readonly scope: SourceScope;
  /** What the destination says of its stream, under the name that it knew the source by. */
  readonly stream: StreamFacts | null;
  /** What the destination says of a table, under the address that it knew it by. */
  readonly factsOf: (key: string) => TableFacts | null;
}

/**
 * Plans one source of the file. The order is fixed: what must go first (slot and publication that cannot go on), the
 * source's own settings, publication, slot, tables in name order; then removals: tables, publication tables, slot,
 * publication.
 */
export function planSource(input: SourceInput): SourcePlan {
  const { config, source, state, scope } = input;
  const seen = input.observed.sources[source.name];
  if (seen === undefined || !seen.ok)
    return { ...EMPTY_PLAN, blockers: [unreachable(source.name, seen?.error ?? null)] };
  const catalog = seen.source;
  const now = sourceIdentity(config, source, catalog.server);
  const destination = config.destinations[source.destination];
  if (now === null || destination === undefined) return { ...EMPTY_PLAN, blockers: [danglingName(source)] };
  const facts = input.observed.destinations[source.destination];
  const place = state === null ? null : comparePlace(config, source.name, state, destination, facts);
  const identity = state === null || place === null ? null : compareIdentity(source.name, state, now, place);
  if (identity?.blocker != null) return { ...EMPTY_PLAN, blockers: [identity.blocker] };

  // What the new destination may hold under our addresses is from another time, or from another's hand.
  const elsewhere = identity?.elsewhere === true;
  const unseen = state !== null && identity?.unseen != null;
  const factsOf = unseen ? (key: string) => unseenFacts(source.name, key, state) : input.factsOf;
  const known = new Map(Object.entries(state?.tables ?? {}));
  const resolution = resolveTables(source, catalog, new Set(known.keys()), scope, dialectOf(destination));
  const generation = (key: string) => nextGeneration(known.get(key) ?? null, factsOf(key));
  const streamed = streamedTables(resolution, known, catalog);
  const continuing = new Set([...streamed.keys()].filter((key) => isStreaming(known.get(key))));
  const streamInScope = scope.stream || [...streamed.keys(), ...streamingKeys(known)].some((key) => scope.covers(key));
  const copied = (key: string) =>
    (resolution.tables.get(key)?.intent ?? known.get(key))?.columns.map((column) => column.name) ?? [];
  const publication = planPublication({ source, state, catalog, streamed, continuing, generation, copied });
  const slot = planSlot({
    source,
    state,
    catalog,
    needed: streamed.size > 0,
    fresh: publication.fresh,
    continuing,
    generation,
    held: {
      stream: input.stream,
      history: seen.timelineHistory ?? null,
      // Where a place cannot be looked at its position is not known, and its own syncs are the judges of it.
      continues: !elsewhere && !unseen && [...continuing].some((key) => isLive(known.get(key), factsOf(key))),
    },
  });
  const gapsOf = (key: string): readonly Gap[] => {
    const gaps: Gap[] = [];
    if (identity?.reload != null) gaps.push({ cause: identity.reload, consented: false });
    if (streamInScope && continuing.has(key)) {
      if (slot.gap !== null) gaps.push(slot.gap);
      const missed = publication.gaps.get(key);
      if (missed !== undefined && slot.gap === null) gaps.push(missed);
    }
    return gaps;
  };
  const contextOf = (key: string): TableContext => ({
    address: `${source.name}:${key}`,
    facts: factsOf(key),
    slotKept: slot.kept,
    gaps: gapsOf(key),
  });

  const tables = planTables(known, resolution, catalog, contextOf, elsewhere ? (state?.destination ?? null) : null);
  const staying = [...known].filter(
    ([key, table]) => table.enabled && (resolution.tables.has(key) || resolution.held.has(key)),
  );
  const settings =
    identity === null ||
    Object.keys(identity.settings).length === 0 ||
    (!scope.whole && identity.reload === null && state?.cleanup === null)
      ? []
      : [
          identityChange(
            source.name,
            identity,
            loadsOf(identity.reload === null ? [] : staying.map(([key]) => key), generation),
          ),
        ];
  const stream = streamInScope ? { publication, slot } : null;
  const changes: readonly Change[] = [
    ...(stream?.slot.drop ?? []),
    ...(stream?.publication.drop ?? []),
    ...settings,
    ...(stream?.publication.make ?? []),
    ...(stream?.slot.make ?? []),
    ...tables.changes,
    ...tables.removals,
    ...(stream?.publication.remove ?? []),
    ...(stream?.slot.end ?? []),
    ...(stream?.publication.end ?? []),
  ];
  return {
    changes,
    blockers: [
      ...resolution.blockers,
      ...(stream?.publication.blockers ?? []),
      ...(stream?.slot.blockers ?? []),
      ...occupiedTargets(
        source,
        resolution,
        elsewhere ? new Map() : known,
        input.observed.destinations[source.destination],
      ),
    ],
    notices: [
      ...(state === null || place === null ? [] : placeNotices(config, source.name, state, destination, place)),
      ...resolution.notices,
      ...(stream?.publication.notices ?? []),
      ...(changes.length === 0 ? [] : (stream?.slot.notices ?? [])),
      ...tables.notices,
    ],
    targets: targetsOf(source, config, resolution, known),
  };
}

function planTables(
  known: ReadonlyMap<string, TableState>,
  resolution: Resolution,
  catalog: ObservedSource,
  contextOf: (key: string) => TableContext,
  /** The destination that is left as it is; null where it stays. */
  leftAlone: string | null,
): {
  readonly changes: readonly Change[];
  readonly removals: readonly Change[];
  readonly notices: readonly PlanningNotice[];
} {
  const changes: Change[] = [];
  const removals: Change[] = [];
  const notices: PlanningNotice[] = [];
  for (const key of [...new Set([...known.keys(), ...resolution.tables.keys()])].sort()) {
    const state = known.get(key) ?? null;
    const desired = resolution.tables.get(key) ?? null;
    const context = contextOf(key);
    if (desired !== null) {
      const planned =
        state === null || leftAlone !== null
          ? createTable(desired, state, context, leftAlone !== null)
          : diffTable(state, desired, context);
      changes.push(...planned.changes);
      notices.push(...planned.notices);
    } else if (state === null || (resolution.disabled.has(key) && !state.enabled)) {
      // Nothing there and nothing wanted, or frozen and to stay so.
    } else if (resolution.held.has(key)) {
      if (state.enabled && context.gaps.length > 0)
        changes.push(...reloadHeldTable(state, observedTable(catalog, key), context));
    } else if (resolution.disabled.has(key)) {
      changes.push(disableTable(context.address));
    } else {
      const gone = observedTable(catalog, key) === null;
      const why = gone ? 'the table is gone from the database' : 'the entry left the file';
      removals.push(
        leftAlone === null
          ? removeTable(context.address, state, why)
          : forgetTable(context.address, state, `${why}; it stays in destination "${leftAlone}" as it is`),
      );
    }
  }
  return { changes, removals, notices };
}

/** Tables that the stream must carry after the plan; a blocked or untargeted one goes on as it was. */
function streamedTables(
  resolution: Resolution,
  known: ReadonlyMap<string, TableState>,
  catalog: ObservedSource,
): ReadonlyMap<string, ObservedTable | null> {
  const streamed = new Map<string, ObservedTable | null>();
  for (const [key, table] of resolution.tables) if (table.intent.method === 'cdc') streamed.set(key, table.observed);
  for (const key of resolution.held) if (isStreaming(known.get(key))) streamed.set(key, observedTable(catalog, key));
  return new Map([...streamed].sort(([left], [right]) => (left < right ? -1 : 1)));
}

function streamingKeys(known: ReadonlyMap<string, TableState>): readonly string[] {
  return [...known].filter(([, table]) => isStreaming(table)).map(([key]) => key);
}

function isStreaming(table: TableState | undefined): boolean {
  return table?.enabled === true && table.method === 'cdc';
}

/** Loaded, and not waiting for another load: the stream has to go on where the destination stands. */
function isLive(table: TableState | undefined, facts: TableFacts | null): boolean {
  if (table === undefined || facts === null || facts.loadedGeneration === 0) return false;
  return facts.loadedGeneration >= table.generation && facts.resnapshotReason === null;
}

function observedTable(catalog: ObservedSource, key: string): ObservedTable | null {
  return catalog.tables.find((table) => formatTableKey(table.schema, table.name) === key) ?? null;
}

function identityChange(
  source: string,
  change: NonNullable<ReturnType<typeof compareIdentity>>,
  loads: Readonly<Record<string, number>>,
): Change {
  return {
    action: 'update_settings',
    address: source,
    destructive: change.reload !== null,
    reason: change.reload ?? settingsReason(Object.keys(change.settings)),
    cost: NO_COST,
    details: { settings: change.settings, sql: null, loads, source: change.identity, table_fields: null },
  };
}

function settingsReason(settings: readonly string[]): string {
  const edited = settings.filter((name) => name !== 'removal');
  return edited.length === 0
    ? 'the source is in the file again; what is left of it is kept'
    : `${edited.join(', ')} changed; the data stays`;
}

function unreachable(
  source: string,
  error: { readonly code: Blocker['code']; readonly message: string; readonly hint?: string } | null,
): Blocker {
  if (error === null) {
    return { address: source, code: 'SOURCE_UNREACHABLE', message: `source "${source}" was not looked at`, hint: null };
  }
  return { address: source, code: error.code, message: error.message, hint: error.hint ?? null };
}

function danglingName(source: SourceConfig): Blocker {
  return {
    address: source.name,
    code: 'CONFIG_INVALID',
    message: `source "${source.name}" names a connection or a destination that the file does not have`,
    hint: 'run: sluice validate',
  };
}

/** A table of that name that is not Sluice's is never overwritten. */
function occupiedTargets(
  source: SourceConfig,
  resolution: Resolution,
  known: ReadonlyMap<string, TableState>,
  facts: DestinationFacts | undefined,
): Blocker[] {
  const foreign = new Set((facts?.foreignTables ?? []).map((name) => name.toLowerCase()));
  return [...resolution.tables].flatMap(([key, desired]) => {
    const before = known.get(key);
    const isNew = (name: string) => before === undefined || !namesOf(before).includes(name);
    return namesOf(desired.intent)
      .filter((name) => foreign.has(name.toLowerCase()) && isNew(name))
      .map((name) => ({
        address: `${source.name}:${key}`,
        code: 'DESTINATION_OCCUPIED' as const,
        message: `destination "${source.destination}" has a table ${name} that Sluice did not make`,
        hint: 'rename or drop it, or set another target_schema for the source',
      }));
  });
}

function targetsOf(
  source: SourceConfig,
  config: Config,
  resolution: Resolution,
  known: ReadonlyMap<string, TableState>,
): SourcePlan['targets'] {
  const destination = config.destinations[source.destination];
  const place = destination === undefined ? source.destination : destinationFingerprint(destination);
  const staying = [...known].filter(([key]) => resolution.held.has(key) || resolution.disabled.has(key));
  const wanted = [...resolution.tables].map(
    ([key, desired]): readonly [string, DesiredTable['intent'] | TableState] => [key, desired.intent],
  );
  return [...staying, ...wanted].flatMap(([key, table]) =>
    namesOf(table).map((name) => ({ address: `${source.name}:${key}`, destination: place, name })),
  );
}

/** The destination tables of one source table, as `schema.name`. */
function namesOf(table: Pick<TableState, 'target' | 'output'>): readonly string[] {
  const { schema, name } = table.target;
  const plain = table.output === 'history' ? [] : [`${schema}.${name}`];
  return table.output === 'consolidated' ? plain : [...plain, `${schema}.${historyName({ name })}`];
}
