import type { Config, DestinationConfig } from '../config/config.js';
import type { DestinationFacts, TableFacts } from '../destination/facts.js';
import { judgePlace, placeOf } from '../state/destination-place.js';
import type { SourceIdentity } from '../state/edit.js';
import { destinationFingerprint } from '../state/fingerprint.js';
import type { SourceState } from '../state/state.js';
import { assumedTableFacts } from './assumed-world.js';
import type { PlanningNotice } from './planning-notice.js';

export interface PlaceComparison {
  /** The destination is another one, which has to be filled from nothing. */
  readonly elsewhere: boolean;
  /** Where it lies, which cannot be looked at from here; null where it can. */
  readonly unseen: string | null;
  /** What the state has of it afterwards. */
  readonly recorded: Pick<SourceIdentity, 'destination_fingerprint' | 'destination_place'>;
}

/** Whether other machines may have the state: what lies on a disk is then not where the config lies. */
export function isShared({ state }: Pick<Config, 'state'>): boolean {
  return state.type !== 'file';
}

/**
 * Tells a destination that was moved in the file from one that lies on another machine, or in another checkout. A state in
 * a file goes where its folder goes: what lies beside it and holds the source came along.
 * @param facts of the place that the config names
 */
export function comparePlace(
  config: Pick<Config, 'state'>,
  source: string,
  state: SourceState,
  destination: DestinationConfig,
  facts: DestinationFacts | undefined,
): PlaceComparison {
  const known = state.destination_place;
  const as = (place: SourceState['destination_place']): PlaceComparison['recorded'] => ({
    destination_fingerprint: destinationFingerprint(destination),
    destination_place: place,
  });
  const unchanged = { destination_fingerprint: state.destination_fingerprint, destination_place: known };
  const moved = { elsewhere: true, unseen: null, recorded: as(placeOf(destination, false)) };
  const verdict = judgePlace(state, destination);
  switch (verdict) {
    case 'same': {
      const absent = known?.filled === true && facts?.exists === false;
      const recorded = as(known === null ? null : placeOf(destination, known.filled));
      return { elsewhere: false, unseen: absent ? known.path : null, recorded };
    }
    case 'open':
      return { elsewhere: false, unseen: null, recorded: unchanged };
    case 'other_folder': {
      if (isShared(config)) return { elsewhere: false, unseen: known?.path ?? '', recorded: unchanged };
      if (!holds(source, facts)) return moved;
      return { elsewhere: false, unseen: null, recorded: as(placeOf(destination, true)) };
    }
    case 'edited':
      return moved;
  }
}

/** What is taken for the facts of a place that cannot be looked at: every load that was asked for has been made. */
export function unseenFacts(source: string, key: string, state: SourceState): TableFacts | null {
  const table = state.tables[key];
  return table === undefined ? null : assumedTableFacts(`${source}:${key}`, table);
}

/** What a plan has to say of a place. */
export function placeNotices(
  config: Pick<Config, 'state'>,
  source: string,
  state: SourceState,
  destination: DestinationConfig,
  { elsewhere, unseen }: PlaceComparison,
): readonly PlanningNotice[] {
  if (unseen !== null) return [{ address: source, message: unseenText(unseen, destination) }];
  const tooOld = elsewhere && state.destination_place === null && destination.type !== 's3' && isShared(config);
  if (!tooOld || state.destination !== destination.name) return [];
  return [
    {
      address: source,
      message:
        'where its destination lies was not recorded yet: if only this checkout lies in another folder, do not apply; sync once on the machine that has the destination, then plan again',
    },
  ];
}

function unseenText(unseen: string, destination: DestinationConfig): string {
  const other =
    destination.type === 's3' || destination.path === unseen ? '' : ` (here it would be ${destination.path})`;
  return `this machine does not have ${unseen}${other}: what is in it could not be known, and is taken to be as it was applied; sync, and what apply does to its tables, must run where it is`;
}

function holds(source: string, facts: DestinationFacts | undefined): boolean {
  if (facts === undefined) return false;
  return (
    facts.streams.some((stream) => stream.source === source) ||
    facts.tables.some(({ address }) => address.startsWith(`${source}:`))
  );
}
