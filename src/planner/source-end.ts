import type { Config, DestinationConfig } from '../config/config.js';
import type { ObservedSource } from '../source/catalog-model.js';
import { judgePlace } from '../state/destination-place.js';
import type { SourceState } from '../state/state.js';
import type { Change, Notice } from './change.js';
import { NO_COST } from './cost.js';
import type { Observed } from './observed.js';
import { comparePlace, isShared, placeNotices } from './place.js';
import { removeMembers } from './publication.js';
import { dropPublicationChange, foreignMembers, isOurs } from './publication-end.js';
import { forgetTable, removeTable } from './removal.js';
import { dropSlotSql, planSlotEnd } from './slot.js';
import { EMPTY_PLAN, type SourcePlan } from './source-plan.js';
import { otherPlace } from './stream-break.js';
import type { SourceScope } from './target.js';

/**
 * Plans the end of a source that left the file: slot and publication first, as only they are a burden to the server,
 * then its tables by their own `on_remove`, then the source itself. What cannot be reached now is planned all the same:
 * what an apply cannot clean up stays in the state and is planned again, until it is gone or forgotten by name.
 */
export function planSourceEnd(
  config: Config,
  name: string,
  state: SourceState,
  observed: Observed,
  scope: SourceScope,
): SourcePlan {
  const why = 'the source left the file';
  const tables = leavingTables(config, name, state, scope, why);
  if (!scope.whole) return { ...EMPTY_PLAN, changes: tables.map((change) => goingOn(change, state)) };
  const seen = lookAtServer(state, observed.sources[name]);
  const changes: readonly Change[] = [
    ...planSlotEnd(name, state, seen.catalog, why),
    ...planPublicationEnd(name, state, seen.catalog, why),
    ...tables,
    {
      action: 'remove_source',
      address: name,
      destructive: true,
      reason: why,
      cost: NO_COST,
      details: { tables: Object.keys(state.tables).sort() },
    },
  ];
  const slot = state.slot ?? state.pending_slot;
  const destination = config.destinations[state.destination];
  const notices: readonly Notice[] = [
    ...(seen.trouble === null || slot === null
      ? []
      : [{ address: `${name}:slot`, message: stays(seen.trouble, slot.name) }]),
    ...(destination === undefined || !reachesDestination(config, state)
      ? []
      : unseenNotices(config, name, state, destination, observed)),
  ];
  return { ...EMPTY_PLAN, changes: changes.map((change) => goingOn(change, state)), notices };
}

/** Whether the tables of a source lie where the file says, on whatever machine; else nothing of them can be reached. */
export function reachesDestination(config: Config, state: SourceState): boolean {
  const destination = config.destinations[state.destination];
  if (destination === undefined) return false;
  const verdict = judgePlace(state, destination);
  return verdict === 'same' || verdict === 'open' || (verdict === 'other_folder' && isShared(config));
}

function unseenNotices(
  config: Config,
  name: string,
  state: SourceState,
  destination: DestinationConfig,
  observed: Observed,
): readonly Notice[] {
  const place = comparePlace(config, name, state, destination, observed.destinations[state.destination]);
  return placeNotices(config, name, state, destination, place);
}

/** Only what Sluice made, or took over. Where others publish by it as well only our tables leave it. */
function planPublicationEnd(
  source: string,
  state: SourceState,
  catalog: ObservedSource | null,
  reason: string,
): readonly Change[] {
  if (!isOurs(state) || state.publication === null) return [];
  const address = `${source}:publication`;
  const publication = catalog?.publications.find(({ name }) => name === state.publication);
  if (catalog !== null && publication !== undefined && foreignMembers(publication, catalog, state).length > 0) {
    const change = removeMembers(address, publication, state.publication_tables, catalog);
    return [{ ...change, reason: `${reason}; the publication stays, as it also holds other tables` }];
  }
  return [dropPublicationChange(address, state.publication, reason, catalog, state)];
}

function leavingTables(
  config: Config,
  name: string,
  state: SourceState,
  scope: SourceScope,
  why: string,
): readonly Change[] {
  const reachable = reachesDestination(config, state);
  const gone = `${why}, and destination "${state.destination}" is not in it (or is another one)`;
  return Object.entries(state.tables)
    .filter(([key]) => scope.covers(key))
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([key, table]) =>
      reachable ? removeTable(`${name}:${key}`, table, why) : forgetTable(`${name}:${key}`, table, gone),
    );
}

/** A change that an earlier apply was allowed to make and could not, with what stood in its way. */
function goingOn(change: Change, { cleanup }: SourceState): Change {
  if (cleanup === null) return change;
  const failure = cleanup.failures.find(({ address }) => address === change.address);
  const last = failure === undefined ? '' : `; the last attempt failed: ${failure.message}`;
  return { ...change, reason: `${change.reason}${last}`, origin: 'cleanup' };
}

type Seen =
  | { readonly catalog: ObservedSource; readonly trouble: null }
  | { readonly catalog: null; readonly trouble: string };

function lookAtServer(state: SourceState, seen: Observed['sources'][string] | undefined): Seen {
  if (seen === undefined) return { catalog: null, trouble: 'no connection in the file reaches its database' };
  if (!seen.ok) return { catalog: null, trouble: `its database cannot be asked now (${seen.error.message})` };
  const elsewhere = otherPlace({ state, server: seen.source.server });
  return elsewhere === null ? { catalog: seen.source, trouble: null } : { catalog: null, trouble: elsewhere.cause };
}

function stays(trouble: string, slot: string): string {
  return `${trouble}: slot ${slot} stays in the state as pending clean-up and goes on holding WAL until it is dropped, by a later apply, by the daemon, or by hand: ${dropSlotSql(slot)}`;
}
