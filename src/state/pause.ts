import { parseAddress } from '../config/address.js';
import { formatTableKey } from '../config/table-key.js';
import { SluiceError } from '../error/sluice-error.js';
import { editTable, raiseGeneration, withSource } from './edit.js';
import type { SourceState, StateDocument, TableState } from './state.js';

/**
 * What is paused is not synced. A paused source's stream stands still, and so does that of which no table is left: the slot
 * holds the WAL, and nothing is lost. Where the stream goes on for others, a table's changes pass by unread: it has to be
 * loaded anew. Which of both it was shows in where the stream stood when the table was paused.
 */

/** What pausing an address means. */
export interface Pausing {
  /** `source` or `source:schema.table`. */
  readonly address: string;
  /** It is paused already. */
  readonly already: boolean;
  /** The slot that holds WAL from then on, as nobody reads it; null: none, or it is read on. */
  readonly heldSlot: string | null;
  /** Its changes pass by unread while the stream goes on for other tables. */
  readonly missesChanges: boolean;
}

/** What resuming an address means. */
export interface Resuming {
  readonly address: string;
  /** It was not paused. */
  readonly already: boolean;
  /** Why it is loaded anew; null: it goes on where it was. */
  readonly load: string | null;
  /** Of a source: tables that were paused by themselves and stay so. Of a table: its source where that is paused. */
  readonly stillPaused: readonly string[];
}

const MISSED = 'its changes passed by unread while it was paused';

/** @throws SluiceError ADDRESS_UNKNOWN */
export function pausings(state: StateDocument, addresses: readonly string[]): readonly Pausing[] {
  const found = addresses.map((address) => foundAt(state, address));
  return found.map(({ address, name, source, key }): Pausing => {
    const together = new Set(found.filter((each) => each.name === name).map((each) => each.key));
    const whole = together.has(null) || source.paused !== null;
    const streaming = Object.entries(source.tables).filter(([, table]) => table.method === 'cdc' && table.enabled);
    const goesOn = !whole && streaming.some(([other, table]) => !table.paused && !together.has(other));
    const table = key === null ? null : (source.tables[key] ?? null);
    const streams = table === null ? streaming.length > 0 : table.method === 'cdc' && table.enabled;
    return {
      address,
      already: table === null ? source.paused !== null : table.paused,
      heldSlot: streams && !goesOn ? (source.slot?.name ?? null) : null,
      missesChanges: table !== null && streams && goesOn,
    };
  });
}

/** @param positionOf where a source's stream stands in its destination; null: not known */
export function withPaused(
  state: StateDocument,
  pausing: Pausing,
  at: string,
  positionOf: (source: string) => string | null,
): StateDocument {
  const { name, source, key } = foundAt(state, pausing.address);
  if (pausing.already) return state;
  if (key === null) return withSource(state, name, { ...source, paused: { at } });
  return editTable(state, name, key, { paused: true, pause: { at, stream_position: positionOf(name) } });
}

/**
 * @param positionOf where a source's stream stands now
 * @throws SluiceError ADDRESS_UNKNOWN, PAUSED for a table that only its source keeps back
 */
export function resumed(
  state: StateDocument,
  address: string,
  positionOf: (source: string) => string | null,
): { readonly state: StateDocument; readonly resuming: Resuming } {
  const { name, source, key } = foundAt(state, address);
  const table = key === null ? null : (source.tables[key] ?? null);
  if (key === null || table === null) {
    const left = Object.entries(source.tables).filter(([, each]) => each.paused);
    const stillPaused = left.map(([each]) => `${name}:${each}`).sort();
    const resuming: Resuming = { address, already: source.paused === null, load: null, stillPaused };
    return { state: withSource(state, name, { ...source, paused: null }), resuming };
  }
  if (!table.paused && source.paused !== null) throw pausedError(name, source, null);
  const stillPaused = source.paused === null ? [] : [name];
  if (!table.paused) return { state, resuming: { address, already: true, load: null, stillPaused } };
  const stood = table.pause?.stream_position ?? null;
  const missed = table.method === 'cdc' && (stood === null || stood !== positionOf(name));
  const next = editTable(state, name, key, { paused: false, pause: null });
  return {
    state: missed ? raiseGeneration(next, name, key, MISSED) : next,
    resuming: { address, already: false, load: missed ? MISSED : null, stillPaused },
  };
}

/** Why an address that was asked for cannot be synced: it or its source is paused; null: it is not. */
export function pauseOf(name: string, source: SourceState, key: string | null): SluiceError | null {
  if (source.paused !== null) return pausedError(name, source, null);
  const table = key === null ? undefined : source.tables[key];
  return key !== null && table?.paused === true ? pausedError(name, source, { key, table }) : null;
}

function pausedError(
  name: string,
  source: SourceState,
  table: { readonly key: string; readonly table: TableState } | null,
): SluiceError {
  const address = table === null ? name : `${name}:${table.key}`;
  const at = table === null ? source.paused?.at : table.table.pause?.at;
  return new SluiceError({
    code: 'PAUSED',
    address,
    message: `${table === null ? `source ${name} as a whole` : address} is paused${at === undefined ? '' : ` since ${at}`}`,
    hint: `run: sluice resume ${address}`,
  });
}

function foundAt(
  state: StateDocument,
  text: string,
): { readonly address: string; readonly name: string; readonly source: SourceState; readonly key: string | null } {
  const parsed = parseAddress(text);
  const name = parsed?.source ?? '';
  const source = state.sources[name];
  const key = parsed?.kind === 'table' ? formatTableKey(parsed.schema, parsed.name) : null;
  const fits = parsed?.kind === 'source' || (key !== null && source?.tables[key] !== undefined);
  if (source !== undefined && fits) return { address: key === null ? name : `${name}:${key}`, name, source, key };
  const known =
    source === undefined ? Object.keys(state.sources) : Object.keys(source.tables).map((t) => `${name}:${t}`);
  throw new SluiceError({
    code: 'ADDRESS_UNKNOWN',
    message: `no such source or table: "${text}"`,
    hint:
      known.length === 0 ? 'nothing has been applied yet: run sluice apply' : `known: ${known.slice(0, 20).join(', ')}`,
  });
}
