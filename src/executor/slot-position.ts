import { SluiceError } from '../error/sluice-error.js';
import { type Lsn, laterLsn, parseLsn } from '../pgoutput/lsn.js';
import { findBreak, isTrusted, type StreamBreak, type StreamView } from '../planner/stream-break.js';

export interface SlotPosition {
  /** Where streaming goes on: everything before it is in the destination, or will be in a load to come. */
  readonly start: Lsn;
  readonly slotConfirmed: Lsn;
  /** What the destination recorded of the stream belongs to a slot or a server that is gone, and has to be forgotten first. */
  readonly restart: boolean;
}

/**
 * Where the stream of a source goes on, or why it must not. Compares what the state says was made, what the destination
 * holds and what the server has; a gap between them is never stepped over in silence.
 * @throws SluiceError SYSTEM_CHANGED, SERVER_UNSUITABLE, SLOT_MISSING, SLOT_OCCUPIED, SLOT_LOST, SLOT_AHEAD,
 *   SERVER_BEHIND, TIMELINE_CHANGED
 */
export function slotPosition(source: string, view: StreamView): SlotPosition {
  const found = findBreak(view);
  if (found !== null) throw breakError(source, found);
  const { stream, slot } = view;
  const seen = view.slots.find((each) => each.name === slot.name);
  const slotConfirmed = parseLsn(seen?.confirmedFlushLsn ?? slot.created_lsn);
  if (view.continues) {
    return { start: parseLsn(stream?.confirmedLsn ?? slot.created_lsn), slotConfirmed, restart: false };
  }
  // Nothing in the destination has to be continued: every table is about to be loaded, so any position of this slot will
  // do that is not behind what was confirmed before.
  const held = stream !== null && isTrusted(view) ? parseLsn(stream.confirmedLsn) : null;
  const start = held === null ? slotConfirmed : laterLsn(held, slotConfirmed);
  return { start, slotConfirmed, restart: stream !== null && held === null };
}

export function breakError(source: string, found: StreamBreak): SluiceError {
  return new SluiceError({ code: found.code, address: `${source}:slot`, message: found.cause, hint: found.hint });
}
