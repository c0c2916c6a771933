import { SluiceError } from '../error/sluice-error.js';
import { withHalt } from './edit.js';
import type { Halt, SourceState, StateDocument } from './state.js';
import type { StateStore } from './state-store.js';
import { stateText } from './stored-state.js';

/**
 * The guard writes while others hold the state lock: a hung sync must not keep it from recording what it did. So it
 * compares and swaps, and those who act under the lock take a halt that came in between along.
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
 * Writes as {@link StateStore.write} does, also where the guard has recorded halts since `expected` was read: they stay,
 * save that of a slot which `next` replaces.
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
  return withoutHalts(left) === withoutHalts(right);
}

function withoutHalts(state: StateDocument): string {
  return stateText({ ...state, serial: 0, sources: mapSources(state, (source) => ({ ...source, halted: null })) });
}

function withHaltsOf(next: StateDocument, before: StateDocument, current: StateDocument): StateDocument {
  const sources = mapSources(next, (source, name) => {
    const kept = sameSlot(source.slot, before.sources[name]?.slot ?? null);
    return kept ? { ...source, halted: current.sources[name]?.halted ?? null } : source;
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

function isConflict(error: unknown): boolean {
  return error instanceof SluiceError && error.code === 'STATE_CONFLICT';
}
