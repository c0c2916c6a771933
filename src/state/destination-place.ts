import type { DestinationConfig } from '../config/config.js';
import { destinationFingerprint } from './fingerprint.js';
import type { DestinationPlace, SourceState } from './state.js';

/**
 * How the destination of a config stands to that which a source was applied with.
 * - same: it is that one
 * - open: it lies in another folder, and nothing was loaded yet: the first sync says where it is
 * - other_folder: written the same, but the config lies in another folder: another checkout, or one that was moved
 * - edited: the file names another one, or the state is too old to tell
 */
export type PlaceVerdict = 'same' | 'open' | 'other_folder' | 'edited';

type Recorded = Pick<SourceState, 'destination_fingerprint' | 'destination_place'>;

export function judgePlace(state: Recorded, destination: DestinationConfig): PlaceVerdict {
  if (destinationFingerprint(destination) === state.destination_fingerprint) return 'same';
  const place = state.destination_place;
  if (destination.type === 's3' || place === null || place.written !== destination.writtenPath) return 'edited';
  const there = destinationFingerprint({ ...destination, path: place.path });
  if (there !== state.destination_fingerprint) return 'edited';
  return place.filled ? 'other_folder' : 'open';
}

/** What a state records of a destination's place. @returns null for a bucket, which every machine has */
export function placeOf(destination: DestinationConfig, filled: boolean): DestinationPlace | null {
  if (destination.type === 's3') return null;
  return { written: destination.writtenPath, path: destination.path, filled };
}

/** For messages: where a destination writes. */
export function placeText(destination: DestinationConfig): string {
  return destination.type === 's3' ? `s3://${destination.bucket}/${destination.prefix}` : destination.path;
}
