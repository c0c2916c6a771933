import { isDeepStrictEqual } from 'node:util';
import { SluiceError } from '../error/sluice-error.js';
import { withHalt, withPlace } from './edit.js';
import type { DestinationPlace, Halt, SourceState, StateDocument } from './state.js';
import type { StateStore } from './state-store.js';
import { stateText } from './stored-state.js';

/**
 * The guard writes while others hold the state lock: a hung sync must not keep it from recording what it did. So it
 * compares and swaps, and those who act under the lock take a halt that came in between along. A sync that records where
 * its destination lies shares the lock with changes of other sources, and does the same.
 */

/** Another writer may come first now and then; more often than this something else is wrong. */
const ATTEMPTS = 10;

type Version = Pick<StateDocument, 'lineage' | 'serial'>;

/**
 * Records that the slot of a source was dropped, without the state lock.
 * @param slot as the state had it when the guard looked; where it has another by now, an apply came first
 * @returns whether the state holds the halt now
 * @throws SluiceError STATE_CONFLICT, STATE_LOCKED, STATE_UNREADABLE
 */
export async function recordHalt(
  file: StateStore,
  source: string,
  slot: NonNullable<SourceState['slot']>,
  halt: Halt,
): Promise<boolean> {
  for (let attempt = 1; ; attempt += 1) {
    const state = await file.read();
    const known = state?.sources[source];
    if (state === null || known === undefined || !sameSlot(known.slot, slot)) return false;
    if (known.halted !== null) return true;
    try {
      await file.write(withHalt(state, source, halt), state);
      return true;
    } catch (error) {
      if (!isConflict(error) || attempt >= ATTEMPTS) throw error;
    }
  }
}

/**
 * Records where the destination of a source lies, beside what others write.
 * @throws SluiceError STATE_CONFLICT, STATE_LOCKED, STATE_UNREADABLE
 */
export async function recordPlace(
  file: StateStore,
  source: string,
  place: DestinationPlace,
  fingerprint: string,
): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const state = await file.read();
    const known = state?.sources[source];
    if (state === null || known === undefined) return;
    if (known.destination_fingerprint === fingerprint && isDeepStrictEqual(known.destination_place, place)) return;
    try {
      await file.write(withPlace(state, source, place, fingerprint), state);
      return;
    } catch (error) {
      if (!isConflict(error) || attempt >= ATTEMPTS) throw error;
    }
  }
}

/**
 * Writes as {@link StateStore.write} does, also where the guard has recorded halts, or a sync a place, since `expected` was read: they stay,
 * save those that `next` replaces.
 * @throws SluiceError STATE_CONFLICT when anything else changed
 */
export async function writeBesideGuard(
  file: StateStore,
  next: StateDocument,
  expected: StateDocument | null,
): Promise<StateDocument> {
  let document = next;
  let base: Version | null = expected;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await file.write(document, base);
    } catch (error) {
      if (expected === null || !isConflict(error) || attempt >= ATTEMPTS) throw error;
      const current = await file.read();
      if (current === null || !differInHaltsOnly(expected, current)) throw error;
      document = withHaltsOf(next, expected, current);
      base = current;
    }
  }
}

function differInHaltsOnly(left: StateDocument, right: StateDocument): boolean {
  return withoutAsides(left) === withoutAsides(right);
}

function withoutAsides(state: StateDocument): string {
  const without = (source: SourceState): SourceState => ({
    ...source,
    halted: null,
    destination_place: null,
    destination_fingerprint: '',
  });
  return stateText({ ...state, serial: 0, sources: mapSources(state, without) });
}

function withHaltsOf(next: StateDocument, before: StateDocument, current: StateDocument): StateDocument {
  const sources = mapSources(next, (changed, name) => {
    const [was, is] = [before.sources[name], current.sources[name]];
    const source = was !== undefined && is !== undefined && samePlace(changed, was) ? placedAs(changed, is) : changed;
    const kept = sameSlot(source.slot, was?.slot ?? null);
    return kept ? { ...source, halted: is?.halted ?? null } : source;
  });
  return { ...next, sources };
}

function mapSources(
  state: StateDocument,
  map: (source: SourceState, name: string) => SourceState,
): Record<string, SourceState> {
  return Object.fromEntries(Object.entries(state.sources).map(([name, source]) => [name, map(source, name)]));
}

function sameSlot(left: SourceState['slot'], right: SourceState['slot']): boolean {
  return left?.name === right?.name && left?.created_lsn === right?.created_lsn;
}

function samePlace(left: SourceState, right: SourceState): boolean {
  return (
    left.destination_fingerprint === right.destination_fingerprint &&
    isDeepStrictEqual(left.destination_place, right.destination_place)
  );
}

function placedAs(source: SourceState, other: SourceState): SourceState {
  const { destination_place, destination_fingerprint } = other;
  return { ...source, destination_place, destination_fingerprint };
}

function isConflict(error: unknown): boolean {
  return error instanceof SluiceError && error.code === 'STATE_CONFLICT';
}
