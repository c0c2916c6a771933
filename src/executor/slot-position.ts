import type { StreamFacts } from '../destination/facts.js';
import { SluiceError } from '../error/sluice-error.js';
import { type Lsn, parseLsn } from '../pgoutput/lsn.js';
import type { ObservedSource } from '../source/catalog-model.js';

export interface SlotPosition {
  /** Where streaming goes on: everything before it is in the destination, or will be in a load to come. */
  readonly start: Lsn;
  readonly slotConfirmed: Lsn;
}

/**
 * Where the stream of a source goes on, or why it must not. Compares what the state says was made, what the destination
 * holds and what the server has; a gap between them is never stepped over in silence.
 * @throws SluiceError SYSTEM_CHANGED, SLOT_MISSING, SLOT_LOST, SLOT_AHEAD
 */
export function slotPosition(input: {
  readonly source: string;
  readonly slot: { readonly name: string; readonly created_lsn: string };
  readonly systemIdentifier: string | null;
  readonly observed: ObservedSource;
  readonly stream: StreamFacts | null;
  /** Some table already holds rows that the stream has to continue. */
  readonly anyLive: boolean;
}): SlotPosition {
  const { source, slot, observed } = input;
  const address = `${source}:slot`;
  const server = observed.server.systemIdentifier;
  if (server !== null && input.systemIdentifier !== null && server !== input.systemIdentifier) {
    throw new SluiceError({
      code: 'SYSTEM_CHANGED',
      address: source,
      message: `the connection reaches another database cluster (system identifier ${server}) than the one that was applied (${input.systemIdentifier})`,
      hint: 'check the connection; if the move is meant, run: sluice plan',
    });
  }
  const seen = observed.slots.find((s) => s.name === slot.name);
  if (seen === undefined) {
    throw new SluiceError({
      code: 'SLOT_MISSING',
      address,
      message: `replication slot "${slot.name}" does not exist any more; changes since its end are gone`,
      hint: 'run: sluice plan, then sluice apply (makes a new slot and loads the tables anew)',
    });
  }
  if (seen.walStatus === 'lost' || seen.invalidationReason !== null || seen.confirmedFlushLsn === null) {
    throw new SluiceError({
      code: 'SLOT_LOST',
      address,
      message: `replication slot "${slot.name}" can no longer be read (${seen.invalidationReason ?? 'its WAL was removed'})`,
      hint: 'run: sluice plan, then sluice apply (makes a new slot and loads the tables anew)',
    });
  }
  const slotConfirmed = parseLsn(seen.confirmedFlushLsn);
  const created = parseLsn(slot.created_lsn);
  const held = input.stream === null ? null : parseLsn(input.stream.confirmedLsn);
  if (!input.anyLive) {
    // Nothing in the destination has to be continued: every table is about to be loaded, so any position will do that
    // is not behind what was confirmed before.
    const start = held !== null && held > slotConfirmed && held >= created ? held : slotConfirmed;
    return { start, slotConfirmed };
  }
  const start = held ?? created;
  if (slotConfirmed > start) {
    throw new SluiceError({
      code: 'SLOT_AHEAD',
      address,
      message: `slot "${slot.name}" stands at ${seen.confirmedFlushLsn}, the destination holds changes up to ${input.stream?.confirmedLsn ?? slot.created_lsn}: somebody else read from the slot`,
      hint: `load the tables anew: sluice resync ${source}`,
    });
  }
  return { start, slotConfirmed };
}
