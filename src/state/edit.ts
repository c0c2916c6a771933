import type { DestinationPlace, Halt, PendingCleanup, SourceState, StateDocument, TableState } from './state.js';

/**
 * Whole intents on the state document. Each returns a new document and leaves the old one alone; none touches `serial`,
 * which rises when the document is written.
 */

/** A document without sources. `lineage` is a fresh random id; serial 0 means: never written. */
export function emptyState(lineage: string): StateDocument {
  return { format_version: 2, lineage, serial: 0, sources: {} };
}

/** The part of a source's state that says what it is connected to. */
export type SourceIdentity = Pick<
  SourceState,
  | 'connection_fingerprint'
  | 'system_identifier'
  | 'database'
  | 'destination'
  | 'destination_fingerprint'
  | 'destination_place'
  | 'management'
>;

/** A source of which nothing has been made yet. */
export function newSource(identity: SourceIdentity): SourceState {
  return {
    ...identity,
    publication: null,
    publication_tables: [],
    slot: null,
    pending_slot: null,
    halted: null,
    paused: null,
    cleanup: null,
    tables: {},
  };
}

export function withSource(state: StateDocument, name: string, source: SourceState): StateDocument {
  return { ...state, sources: { ...state.sources, [name]: source } };
}

export function withoutSource(state: StateDocument, name: string): StateDocument {
  return { ...state, sources: omit(state.sources, name) };
}

/**
 * Replaces what the source is connected to; tables, slot and publication stay, and a clean-up of them has ended. Does
 * nothing for an unknown source.
 */
export function withIdentity(state: StateDocument, source: string, identity: SourceIdentity): StateDocument {
  return editSource(state, source, (current) => ({ ...current, ...identity, cleanup: null }));
}

/** @param table `schema.table` of the source */
export function withTable(state: StateDocument, source: string, table: string, value: TableState): StateDocument {
  return editSource(state, source, (current) => ({ ...current, tables: { ...current.tables, [table]: value } }));
}

export function withoutTable(state: StateDocument, source: string, table: string): StateDocument {
  const left = editSource(state, source, (current) => ({ ...current, tables: omit(current.tables, table) }));
  // Without any table nothing is missed where the file is gone.
  return Object.keys(left.sources[source]?.tables ?? {}).length === 0 ? withUnfilledPlace(left, source) : left;
}

/** Changes some fields of a table; does nothing where the table is not in the state. */
export function editTable(
  state: StateDocument,
  source: string,
  table: string,
  fields: Partial<TableState>,
): StateDocument {
  const current = tableOf(state, source, table);
  return current === null ? state : withTable(state, source, table, { ...current, ...fields });
}

/**
 * Asks for another load: the generation becomes `generation` (default: one more than now) unless it is already there or
 * beyond, so that doing it twice asks for one load.
 */
export function raiseGeneration(
  state: StateDocument,
  source: string,
  table: string,
  reason: string,
  generation?: number,
): StateDocument {
  const current = tableOf(state, source, table);
  if (current === null) return state;
  const next = generation ?? current.generation + 1;
  if (next <= current.generation) return state;
  return withTable(state, source, table, { ...current, generation: next, generation_reason: reason });
}

/** Gives a table another `schema.table` within its source, in the publication's list too. */
export function moveTable(state: StateDocument, source: string, from: string, to: string): StateDocument {
  return editSource(state, source, (current) => {
    const table = current.tables[from];
    if (table === undefined) return current;
    return {
      ...current,
      tables: { ...omit(current.tables, from), [to]: table },
      publication_tables: current.publication_tables.map((name) => (name === from ? to : name)).sort(),
    };
  });
}

export function moveSource(state: StateDocument, from: string, to: string): StateDocument {
  const source = state.sources[from];
  return source === undefined ? state : withSource(withoutSource(state, from), to, source);
}

/** Records the slot that is there, or null; none is about to be made any more, and a halt of the one before has ended. */
export function withSlot(state: StateDocument, source: string, slot: SourceState['slot']): StateDocument {
  return editSource(state, source, (current) => ({ ...current, slot, pending_slot: null, halted: null }));
}

/** Records where the destination lies that the source writes to. */
export function withPlace(
  state: StateDocument,
  source: string,
  place: DestinationPlace,
  fingerprint: string,
): StateDocument {
  return editSource(state, source, (current) => ({
    ...current,
    destination_fingerprint: fingerprint,
    destination_place: place,
  }));
}

/** What was in the destination is given up: it may be made anew, on any machine. */
export function withUnfilledPlace(state: StateDocument, source: string): StateDocument {
  return editSource(state, source, (current) => ({
    ...current,
    destination_place: current.destination_place === null ? null : { ...current.destination_place, filled: false },
  }));
}

/** Records that the guard dropped the slot. */
export function withHalt(state: StateDocument, source: string, halted: Halt): StateDocument {
  return editSource(state, source, (current) => ({ ...current, halted }));
}

/** Records that what is left of a source is to be cleaned up, and what kept it from being so. */
export function withCleanup(state: StateDocument, source: string, cleanup: PendingCleanup): StateDocument {
  return editSource(state, source, (current) => ({ ...current, cleanup }));
}

/** Records that a slot is about to be made; the one before it, if any, is gone. Null: it was not made after all. */
export function withPendingSlot(
  state: StateDocument,
  source: string,
  pending: SourceState['pending_slot'],
): StateDocument {
  return editSource(state, source, (current) => ({ ...current, slot: null, pending_slot: pending }));
}

/** Records the publication and which tables in it are ours; null and [] when it is gone. */
export function withPublication(
  state: StateDocument,
  source: string,
  publication: string | null,
  tables: readonly string[],
): StateDocument {
  const sorted = [...new Set(tables)].sort();
  return editSource(state, source, (current) => ({ ...current, publication, publication_tables: sorted }));
}

export function tableOf(state: StateDocument, source: string, table: string): TableState | null {
  return state.sources[source]?.tables[table] ?? null;
}

function editSource(state: StateDocument, name: string, edit: (source: SourceState) => SourceState): StateDocument {
  const source = state.sources[name];
  return source === undefined ? state : withSource(state, name, edit(source));
}

function omit<Value>(record: Readonly<Record<string, Value>>, key: string): Record<string, Value> {
  return Object.fromEntries(Object.entries(record).filter(([name]) => name !== key));
}
