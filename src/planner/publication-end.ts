import { formatTableKey } from '../config/table-key.js';
import type { ObservedPublication, ObservedSource } from '../source/catalog-model.js';
import type { SourceState } from '../state/state.js';
import type { Change } from './change.js';
import { NO_COST } from './cost.js';

/** The publication of a source that left the file; only what Sluice made. */
export function planPublicationEnd(source: string, state: SourceState, catalog: ObservedSource): readonly Change[] {
  if (!isOurs(state) || state.publication === null) return [];
  return [
    dropPublicationChange(`${source}:publication`, state.publication, 'the source left the file', catalog, state),
  ];
}

/** Whether Sluice made the publication of the state, or took it over: only then it is ours to drop. */
export function isOurs(state: SourceState | null): boolean {
  return state?.management === 'managed' && state.publication !== null && state.publication_tables.length > 0;
}

/** Dropping is destructive: nobody who reads from it can go on, Sluice or not. */
export function dropPublicationChange(
  address: string,
  publication: string,
  reason: string,
  catalog: ObservedSource,
  state: SourceState | null,
): Change {
  const ours = new Set(state?.publication_tables);
  const foreign = catalog.publications
    .find((found) => found.name === publication)
    ?.tables.map((table) => tableKeyOf(table, catalog))
    .filter((key) => !ours.has(key));
  const others = foreign === undefined || foreign.length === 0 ? '' : `; it also holds ${foreign.join(', ')}`;
  return {
    action: 'drop_publication',
    address,
    destructive: true,
    reason: `${reason}${others}`,
    cost: NO_COST,
    details: { publication },
  };
}

/** A member as the state names it: a leaf that stands for its root counts as the root. */
function tableKeyOf(member: ObservedPublication['tables'][number], catalog: ObservedSource): string {
  const leaf = catalog.tables.find((table) => table.oid === member.oid);
  const root = catalog.tables.find((table) => table.oid === leaf?.partitionRootOid);
  return formatTableKey((root ?? member).schema, (root ?? member).name);
}
