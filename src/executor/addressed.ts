import { SluiceError } from '../error/sluice-error.js';
import type { Plan } from '../planner/change.js';
import { pauseOf } from '../state/pause.js';
import type { StateDocument } from '../state/state.js';

/** What an address that was asked for means in the state: `source` or `source:schema.table`; of a plan also `source:slot`. */

/** A source, or one table of it. */
export interface Chosen {
  readonly source: string;
  /** Key of a table; null: all of the source. */
  readonly only: string | null;
}

/** @param address null: every source. @throws SluiceError ADDRESS_UNKNOWN */
export function chosenSources(state: StateDocument, { address }: { readonly address: string | null }): Chosen[] {
  if (address === null) return Object.keys(state.sources).map((source) => ({ source, only: null }));
  const [source, key] = splitAddress(address);
  if (key !== null) knownTable(state, address);
  else if (state.sources[source] === undefined) throw unknownAddress(address, Object.keys(state.sources));
  return [{ source, only: key }];
}

/** All tables of a source, or the one. @throws SluiceError ADDRESS_UNKNOWN */
export function tablesAt(state: StateDocument, address: string): { source: string; key: string }[] {
  const [{ source, only } = { source: '', only: null }] = chosenSources(state, { address });
  if (only !== null) return [{ source, key: only }];
  return Object.keys(state.sources[source]?.tables ?? {}).map((key) => ({ source, key }));
}

/** What was named is to be synced: that nothing of it is would be a surprise. @throws SluiceError PAUSED */
export function refusePaused(state: StateDocument, chosen: readonly Chosen[], address: string | null): void {
  if (address === null) return;
  for (const { source, only } of chosen) {
    const known = state.sources[source];
    const paused = known === undefined ? null : pauseOf(source, known, only);
    if (paused !== null) throw paused;
  }
}

/** All that a plan changes something of. */
export function sourcesOfPlan({ changes }: Plan): readonly string[] {
  return changes.flatMap((change) => {
    const moved = change.action === 'move' ? [change.details.from, change.details.to] : [];
    return [change.address, ...moved].map(sourceOfAddress);
  });
}

export function sourceOfAddress(address: string): string {
  return splitAddress(address)[0];
}

/** @param known what there is instead */
export function unknownAddress(address: string, known: readonly string[]): SluiceError {
  return new SluiceError({
    code: 'ADDRESS_UNKNOWN',
    message: `no such address: "${address}"`,
    hint:
      known.length === 0 ? 'nothing has been applied yet: run sluice apply' : `known: ${known.slice(0, 20).join(', ')}`,
  });
}

function knownTable(state: StateDocument, address: string): void {
  const [source, key] = splitAddress(address);
  const known = state.sources[source];
  if (known === undefined) throw unknownAddress(address, Object.keys(state.sources));
  if (key === null || known.tables[key] !== undefined) return;
  throw unknownAddress(
    address,
    Object.keys(known.tables).map((table) => `${source}:${table}`),
  );
}

function splitAddress(address: string): [string, string | null] {
  const at = address.indexOf(':');
  return at === -1 ? [address, null] : [address.slice(0, at), address.slice(at + 1)];
}
