import { formatTableKey } from '../config/table-key.js';
import type { ObservedPublication, ObservedSource } from '../source/catalog-model.js';
import type { SourceState } from '../state/state.js';
import type { Change } from './change.js';
import { NO_COST } from './cost.js';

/** Whether Sluice made the publication of the state, or took it over: only then it is ours to drop. */
export function isOurs(state: SourceState | null): boolean {
  return state?.management === 'managed' && state.publication !== null && state.publication_tables.length > 0;
}

/** Dropping is destructive: nobody who reads from it can go on, Sluice or not. */
export function dropPublicationChange(
  address: string,
  publication: string,
  reason: string,
  catalog: ObservedSource | null,
  state: SourceState | null,
): Change {
  const found = catalog?.publications.find(({ name }) => name === publication);
  const foreign = catalog === null || found === undefined ? [] : foreignMembers(found, catalog, state);
  const others = foreign.length === 0 ? '' : `; it also holds ${foreign.join(', ')}`;
  return {
    action: 'drop_publication',
    address,
    destructive: true,
    reason: `${reason}${others}`,
    cost: NO_COST,
    details: { publication },
  };
}

/** Members that the source did not put into the publication, as `schema.table`. */
export function foreignMembers(
  publication: ObservedPublication,
  catalog: ObservedSource,
  state: SourceState | null,
): readonly string[] {
  const ours = new Set(state?.publication_tables);
  // A table that was renamed since is ours all the same.
  const oids = new Set(Object.values(state?.tables ?? {}).map(({ oid }) => oid));
  return publication.tables
    .filter(({ oid }) => !oids.has(oid))
    .map((table) => tableKeyOf(table, catalog))
    .filter((key) => !ours.has(key));
}

/** A member as the state names it: a leaf that stands for its root counts as the root. */
function tableKeyOf(member: ObservedPublication['tables'][number], catalog: ObservedSource): string {
  const leaf = catalog.tables.find((table) => table.oid === member.oid);
  const root = catalog.tables.find((table) => table.oid === leaf?.partitionRootOid);
  return formatTableKey((root ?? member).schema, (root ?? member).name);
}
