import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config, DestinationConfig } from '../config/config.js';
import { type PlainError, SluiceError, toPlain } from '../error/sluice-error.js';
import type { Change } from '../planner/change.js';
import { isShared } from '../planner/place.js';
import { judgePlace, placeOf, placeText } from '../state/destination-place.js';
import { destinationFingerprint } from '../state/fingerprint.js';
import { recordPlace } from '../state/halt.js';
import type { DestinationPlace, SourceState, StateDocument } from '../state/state.js';
import type { StateStore } from '../state/state-store.js';
import type { OpenDestination } from './destinations.js';
import { sourceOf } from './failed-steps.js';

/**
 * Why nothing of a source may be written or read on with here: its destination is another one than it was applied with, or
 * is not on this machine. To be asked before a slot is read, as a file that is not there would be made.
 * @returns null where it may, and where the config has no such destination, which opening it tells
 */
export async function placeTrouble(
  config: Pick<Config, 'state' | 'destinations'>,
  state: StateDocument,
  source: string,
): Promise<SluiceError | null> {
  const known = state.sources[source];
  const destination = known === undefined ? undefined : config.destinations[known.destination];
  if (known === undefined || destination === undefined) return null;
  const verdict = judgePlace(known, destination);
  if (verdict === 'edited') return edited(source, known, destination);
  if (verdict === 'other_folder') return otherFolder(config, source, known.destination_place, destination);
  // Sources that share a file share its place, too: one of which nothing was loaded yet follows the others.
  const filled = Object.entries(state.sources).filter(
    ([, each]) => each.destination === known.destination && each.destination_place?.filled === true,
  );
  const elsewhere = filled.find(([, each]) => judgePlace(each, destination) === 'other_folder');
  if (elsewhere !== undefined) return otherFolder(config, source, elsewhere[1].destination_place, destination);
  const here = filled.filter(([, each]) => judgePlace(each, destination) === 'same').map(([name]) => name);
  return here.length === 0 || (await isThere(destination)) ? null : absent(source, here, known, destination);
}

/**
 * The refusals of a plan's changes that do something to tables which are not here.
 * @returns null for a change that may be tried
 */
export async function placeRefusals(
  config: Pick<Config, 'state' | 'destinations'>,
  state: StateDocument | null,
  changes: readonly Change[],
): Promise<(change: Change) => PlainError | null> {
  const troubles = new Map<string, PlainError>();
  for (const change of changes.filter(touchesDestination)) {
    const source = ownerOf(change);
    if (state === null || troubles.has(source) || changes.some((each) => movesDestination(each, source, state)))
      continue;
    const trouble = await placeTrouble(config, state, source);
    if (trouble !== null) troubles.set(source, toPlain(trouble));
  }
  return (change) => (touchesDestination(change) ? (troubles.get(ownerOf(change)) ?? null) : null);
}

/**
 * Records where a source's destination lies before anything is confirmed that is only there: from now on it is expected to
 * be there. It is made first, so that it is there wherever this is broken off.
 */
export async function settlePlace(
  source: string,
  settings: DestinationConfig | undefined,
  destination: OpenDestination,
  stateFile: StateStore,
): Promise<void> {
  const place = settings === undefined ? null : placeOf(settings, true);
  if (settings === undefined || place === null) return;
  const known = (await stateFile.read())?.sources[source];
  const fingerprint = destinationFingerprint(settings);
  if (known?.destination_place?.filled === true && known.destination_fingerprint === fingerprint) return;
  if (!(await isThere(settings))) await destination.writer.makePlace();
  await recordPlace(stateFile, source, place, fingerprint);
}

/** Of a lake: what Sluice keeps in it, as an empty folder is what a disk leaves behind that is not mounted. */
async function isThere(destination: DestinationConfig): Promise<boolean> {
  if (destination.type === 's3') return true;
  const mark = destination.type === 'duckdb' ? destination.path : join(destination.path, '_sluice');
  return stat(mark).then(
    () => true,
    () => false,
  );
}

function touchesDestination(change: Change): boolean {
  switch (change.action) {
    case 'retire_table':
    case 'drop_table':
    case 'remove_source':
    case 'move':
    case 'add_columns':
    case 'rename_columns':
      return true;
    case 'update_settings':
      return change.details.table_fields?.columns !== undefined;
    default:
      return false;
  }
}

/** The source as the state knows it before the plan. */
function ownerOf(change: Change): string {
  return sourceOf(change.action === 'move' ? change.details.from : change.address);
}

/** What comes after such a change is done to the new destination, of which the plan knows. */
function movesDestination(change: Change, source: string, state: StateDocument): boolean {
  if (change.action !== 'update_settings' || change.address !== source) return false;
  const { source: identity } = change.details;
  const before = state.sources[source]?.destination_fingerprint;
  return identity !== null && before !== undefined && identity.destination_fingerprint !== before;
}

function edited(source: string, known: SourceState, destination: DestinationConfig): SluiceError {
  const before = known.destination_place === null ? 'another place' : known.destination_place.path;
  return new SluiceError({
    code: 'DESTINATION_CHANGED',
    address: source,
    message: `source "${source}": destination "${destination.name}" is ${placeText(destination)} now, and its tables were applied for ${before}; nothing was read`,
    hint: 'if the move is meant, run: sluice plan, then sluice apply (loads every table into the new place); else take the change back, or run it where the destination is',
  });
}

function otherFolder(
  config: Pick<Config, 'state'>,
  source: string,
  place: DestinationPlace | null,
  destination: DestinationConfig,
): SluiceError {
  return new SluiceError({
    code: 'DESTINATION_CHANGED',
    address: source,
    message: `source "${source}": its tables are in ${place?.path ?? ''}; seen from this config the destination would be ${placeText(destination)}, and nothing was read into it`,
    hint: isShared(config)
      ? 'run it with the checkout that has the destination beside it, or write an absolute path; to move the destination, change its path in the config, then: sluice plan and sluice apply'
      : 'if the folder was moved, run: sluice plan, then sluice apply (loads nothing where the destination came along)',
  });
}

function absent(
  source: string,
  filled: readonly string[],
  known: SourceState,
  destination: DestinationConfig,
): SluiceError {
  const tables = Object.keys(known.tables).length;
  return new SluiceError({
    code: 'DESTINATION_ABSENT',
    address: source,
    message: `source "${source}": the state says that its tables (${tables}) are in ${placeText(destination)}, which does not exist on this machine; nothing was read, and it was not made anew`,
    hint: `run it on the machine that has it, or bring it back (is its disk mounted?); where it is lost, load everything into a new one: sluice resync ${filled.join(' ')}, then sluice sync`,
  });
}
