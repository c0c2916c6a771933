import { isDeepStrictEqual } from 'node:util';
import { SluiceError } from '../error/sluice-error.js';
import type { StateDocument } from '../state/state.js';
import type { StateStore } from '../state/state-store.js';
import { type MovedNote, movedError } from '../state/stored-state.js';

/** A state's place with what a note says of it. */
export interface StatePlace {
  readonly store: StateStore;
  /** As a config would say it. */
  readonly place: string;
}

/**
 * Moves a state. A note takes its place first, with the document in it, and only then is it written to its new place: at
 * no moment can two places be worked with, and a move that was cut is finished by the next, or taken back by one in the
 * other direction.
 * @param signal aborts when one of the two locks is lost
 * @returns the document as it is in its new place
 * @throws SluiceError STATE_IN_THE_WAY, STATE_MOVED where it was moved before, or to elsewhere
 */
export async function moveState(
  from: StatePlace,
  to: StatePlace,
  at: () => Date,
  signal: AbortSignal,
): Promise<StateDocument> {
  const [left, arrived] = [await from.store.note(), await to.store.note()];
  if (left !== null) return finish(left, arrived, from, to, signal);
  const old = await from.store.read();
  if (old === null) return takeBack(arrived, from, to, signal);
  refuseStranger(old, arrived?.document ?? null, to.place);
  const state = { ...old, serial: old.serial + 1 };
  const here = arrived === null ? await to.store.read() : null;
  // An older Sluice wrote here first and was cut short: then only the note is left to be made.
  if (here !== null && !isDeepStrictEqual(here, state)) throw inTheWay(here, to.place);
  signal.throwIfAborted();
  await from.store.leave(old, to.place, at());
  signal.throwIfAborted();
  if (here === null) await to.store.put(state, 'note');
  return state;
}

/** The old place has a note: of a move that was cut before the document was here, or of one that is through. */
async function finish(
  left: MovedNote,
  arrived: MovedNote | null,
  from: StatePlace,
  to: StatePlace,
  signal: AbortSignal,
): Promise<StateDocument> {
  if (left.movedTo !== to.place || left.document === null) throw movedError(left, from.place);
  const here = arrived === null ? await to.store.read() : null;
  refuseStranger(left.document, here, to.place);
  if (here !== null) throw movedError(left, from.place);
  // Notes that point at each other: a move there and one back, of which the second was cut. The newer document counts.
  const back = arrived?.movedTo === from.place ? arrived.document : null;
  refuseStranger(left.document, arrived?.document ?? null, to.place);
  const newest = back !== null && back.serial > left.document.serial ? back : left.document;
  return arrive(newest, to, signal);
}

/** Nothing is in the place that the state is to come from: a move to there was cut, and this one takes it back. */
async function takeBack(
  arrived: MovedNote | null,
  from: StatePlace,
  to: StatePlace,
  signal: AbortSignal,
): Promise<StateDocument> {
  if (arrived?.movedTo === from.place && arrived.document !== null) return arrive(arrived.document, to, signal);
  throw new SluiceError({
    code: 'STATE_IN_THE_WAY',
    message: `there is no state in ${from.place} to be moved`,
    hint: 'name with --from where the state is now',
  });
}

async function arrive(document: StateDocument, to: StatePlace, signal: AbortSignal): Promise<StateDocument> {
  const state = { ...document, serial: document.serial + 1 };
  signal.throwIfAborted();
  await to.store.put(state, 'note');
  return state;
}

/** The note of another state is as much in the way as that state itself. */
function refuseStranger(moving: StateDocument, there: StateDocument | null, place: string): void {
  if (there !== null && there.lineage !== moving.lineage) throw inTheWay(there, place);
}

function inTheWay(here: StateDocument, place: string): SluiceError {
  return new SluiceError({
    code: 'STATE_IN_THE_WAY',
    message: `there is a state in ${place} already: serial ${here.serial} of lineage ${here.lineage}`,
    hint: 'name another place under state:, or export that state and take it away first',
  });
}
