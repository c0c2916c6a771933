import { SluiceError } from '../error/sluice-error.js';
import type { SourceState, StateDocument } from './state.js';
import { checkState, STATE_FORMAT_VERSION } from './state-check.js';
import { toFormat2 } from './upgrade.js';

/** The form that documents are stored in, and how those of older formats become ones of this. */
export interface StateFormat {
  /** By the format that it reads; each gives a document of the next one, `format_version` included. */
  readonly upgrades: ReadonlyMap<number, (document: Readonly<Record<string, unknown>>) => unknown>;
}

export const CURRENT_FORMAT: StateFormat = { upgrades: new Map([[1, toFormat2]]) };

export interface StoredState {
  readonly state: StateDocument;
  /** The older format that the text has; null where it has the present one. */
  readonly upgradedFrom: number | null;
}

/** The document as it is shown and exported: sources and tables in name order, so that two versions compare well. */
export function stateText(state: StateDocument): string {
  return `${JSON.stringify(ordered(state), null, 2)}\n`;
}

/** The document as it is stored: with the id of its write, by which a writer knows its own again. */
export function storedText(state: StateDocument, writeId: string): string {
  const { format_version, ...rest } = ordered(state);
  return `${JSON.stringify({ format_version, write_id: writeId, ...rest }, null, 2)}\n`;
}

/** What stands in the place of a state that was taken elsewhere. */
export interface MovedNote {
  /** As a config would say it. */
  readonly movedTo: string;
  /** ISO. */
  readonly at: string;
  /** The state as it was there; null in notes that an older Sluice wrote. */
  readonly document: StateDocument | null;
}

export function movedText(note: MovedNote, writeId: string): string {
  const { movedTo, at, document } = note;
  const stored = {
    moved_to: movedTo,
    moved_at: at,
    write_id: writeId,
    document: document === null ? null : ordered(document),
  };
  return `${JSON.stringify(stored, null, 2)}\n`;
}

/** Reads a note. @returns null for what is none. @throws SluiceError STATE_UNREADABLE, STATE_NEWER for the document in it */
export function parseMoved(
  text: string,
  from: { readonly place: string; readonly mend: string },
  format: StateFormat = CURRENT_FORMAT,
): MovedNote | null {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    return null;
  }
  const note = isRecord(raw) ? noteOf(raw) : null;
  if (note === null) return null;
  const { movedTo, at, document } = note;
  return {
    movedTo,
    at,
    document: document === null ? null : parseStored(JSON.stringify(document), from, format).state,
  };
}

/** Every use of a state ends with it that was taken elsewhere. */
export function movedError({ movedTo, at }: Pick<MovedNote, 'movedTo' | 'at'>, place: string): SluiceError {
  return new SluiceError({
    code: 'STATE_MOVED',
    message: `the state ${place} was moved to ${movedTo}${at === '' ? '' : ` at ${at}`}`,
    hint: 'use the config whose state: block names that place; where the move was cut short, sluice state migrate with that config finishes it. To bring the state back here: sluice state migrate --from with that place',
  });
}

/**
 * Reads a stored or exported document.
 * @param from where it stands and how its backup is brought back, for messages
 * @throws SluiceError STATE_UNREADABLE, STATE_NEWER, STATE_MOVED
 */
export function parseStored(
  text: string,
  from: { readonly place: string; readonly mend: string },
  format: StateFormat = CURRENT_FORMAT,
): StoredState {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch (cause) {
    throw unreadable(from, 'it is not JSON', cause);
  }
  if (!isRecord(raw)) throw unreadable(from, 'the document is not an object');
  const { write_id: _, ...document } = raw;
  const note = noteOf(document);
  if (note !== null) throw movedError(note, from.place);
  const upgradedFrom = olderFormat(document, format);
  const check = checkState(inPresentFormat(document, format));
  if (check.ok) return { state: check.state, upgradedFrom };
  if ('newerVersion' in check) {
    throw new SluiceError({
      code: 'STATE_NEWER',
      message: `the state ${from.place} has format ${check.newerVersion}; this version of Sluice knows up to ${STATE_FORMAT_VERSION}`,
      hint: 'install the Sluice that wrote it, or a newer one; it was left as it is',
    });
  }
  const [first, ...more] = check.problems;
  throw unreadable(from, `${first}${more.length === 0 ? '' : ` (and ${more.length} more)`}`);
}

export function unreadable(
  from: { readonly place: string; readonly mend: string },
  why: string,
  cause?: unknown,
): SluiceError {
  return new SluiceError({
    code: 'STATE_UNREADABLE',
    message: `the state ${from.place} cannot be used: ${why}`,
    cause,
    hint: `it was left as it is; ${from.mend}`,
  });
}

function noteOf(raw: Readonly<Record<string, unknown>>): { movedTo: string; at: string; document: unknown } | null {
  const { moved_to: movedTo, moved_at: at, document } = raw;
  if (typeof movedTo !== 'string') return null;
  return { movedTo, at: typeof at === 'string' ? at : '', document: document ?? null };
}

function olderFormat(document: Readonly<Record<string, unknown>>, format: StateFormat): number | null {
  const { format_version: version } = document;
  return typeof version === 'number' && format.upgrades.has(version) ? version : null;
}

/** A document of an older format as one of the present; anything else as it is. */
export function inPresentFormat(raw: unknown, format: StateFormat = CURRENT_FORMAT): unknown {
  const from = isRecord(raw) ? olderFormat(raw, format) : null;
  let current: unknown = raw;
  if (from === null) return raw;
  for (let version = from; version < STATE_FORMAT_VERSION; version += 1) {
    const upgrade = format.upgrades.get(version);
    if (upgrade === undefined || !isRecord(current)) return current;
    current = upgrade(current);
  }
  return current;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function ordered(state: StateDocument): StateDocument {
  const sources = sortedByKey(state.sources, (source: SourceState) => ({
    ...source,
    tables: sortedByKey(source.tables, (table) => table),
  }));
  return { ...state, sources };
}

function sortedByKey<Value, Result>(
  record: Readonly<Record<string, Value>>,
  map: (value: Value) => Result,
): Record<string, Result> {
  return Object.fromEntries(
    Object.entries(record)
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([key, value]) => [key, map(value)]),
  );
}
