import { SluiceError } from '../error/sluice-error.js';
import type { StateDocument } from './state.js';
import {
  CURRENT_FORMAT,
  type MovedNote,
  movedText,
  parseMoved,
  parseStored,
  type StateFormat,
  type StoredState,
  stateText,
  storedText,
} from './stored-state.js';

export type StateVersion = Pick<StateDocument, 'lineage' | 'serial'>;

/** Where the state is kept, whatever it is kept in. Callers hold the state lock for as long as they act on what they read. */
export interface StateStore {
  /** For messages: a path, `s3://bucket/key`, or the table. */
  readonly place: string;
  /**
   * @returns null when there is none yet
   * @throws SluiceError STATE_UNREADABLE, STATE_NEWER, STATE_MOVED; what the place itself refuses (STORE_*, SOURCE_*)
   */
  read(): Promise<StateDocument | null>;
  /**
   * Compare and swap: replaces the document if it still is the expected one, durably; it holds by itself also against a
   * writer without the lock. The version before is kept as a backup. What cannot be read is never overwritten.
   * @param expected lineage and serial as read; null when there was none
   * @returns the document as written, its serial one above the expected (1 for the first)
   * @throws SluiceError STATE_CONFLICT when another writer came first; as read. Where an answer was lost and the place does
   *   not answer any more, whether it was written is unknown, and the error says so.
   */
  write(next: StateDocument, expected: StateVersion | null): Promise<StateDocument>;
  /**
   * Puts a document there as it is, serial and lineage included.
   * @param over nothing: only where there is no state; note: also over the note of one that was taken elsewhere; anything:
   *   also over what cannot be read. What was there is kept as a backup.
   * @throws SluiceError STATE_CONFLICT where something is in the way, or came in between
   */
  put(document: StateDocument, over: 'nothing' | 'note' | 'anything'): Promise<void>;
  /**
   * Leaves a note in the place of the state that it is kept elsewhere now, at which every later use ends; the state itself
   * stays in it, and as the backup.
   * @throws SluiceError STATE_CONFLICT when it is not the expected one any more
   */
  leave(expected: StateVersion, movedTo: string, at: Date): Promise<void>;
  /**
   * The note of a state that was taken elsewhere; null where there is none.
   * @throws SluiceError STATE_UNREADABLE, STATE_NEWER for the state in it; what the place itself refuses
   */
  note(): Promise<MovedNote | null>;
}

/** A copy that is kept of what a write replaces. */
export interface Kept {
  /** `backup`, or `format-N.backup` for the last document of an older format, which is written once and stays. */
  readonly name: string;
  readonly text: string;
  readonly once: boolean;
}

export interface StoredText {
  readonly text: string;
  /** Tells versions apart: a swap names the one that it means to replace. */
  readonly version: string;
}

/** The texts below a {@link StateStore}: what S3, Postgres and a folder must be able to do, and no more. */
export interface StateMedium {
  readonly place: string;
  /** How a person goes back to the backup, for messages. */
  readonly mend: string;
  /** An answer may be lost on the way. Then each text carries the id of its write, else it is the plain document. */
  readonly remote: boolean;
  load(): Promise<StoredText | null>;
  /**
   * Replaces the text if it still is `version` (null: if there is none), after `kept` are safe.
   * @returns whether it did. Only `refused` and a clean return are certain: an error may come after the write.
   */
  swap(text: string, version: string | null, kept: readonly Kept[]): Promise<'written' | 'refused'>;
}

/** @param newToken a fresh random id for each write, by which a writer recognises its own after a lost answer */
export function openStateStore(
  medium: StateMedium,
  newToken: () => string,
  format: StateFormat = CURRENT_FORMAT,
): StateStore {
  const { place } = medium;

  const textOf = (state: StateDocument, writeId: string): string =>
    medium.remote ? storedText(state, writeId) : stateText(state);

  async function load(): Promise<{ stored: StoredState; raw: StoredText } | null> {
    const raw = await medium.load();
    return raw === null ? null : { raw, stored: parseStored(raw.text, medium, format) };
  }

  /** Swaps, and looks whose write it was where the answer leaves that open. */
  async function swap(text: string, writeId: string, over: StoredText | null, kept: readonly Kept[]): Promise<boolean> {
    let answer: 'written' | 'refused';
    try {
      answer = await medium.swap(text, over?.version ?? null, kept);
    } catch (error) {
      if (!medium.remote || !mayHaveLanded(error)) throw error;
      if (await isOurs(writeId, error)) return true;
      throw error;
    }
    // A refusal may answer the repetition of a write whose first answer was lost.
    return answer === 'written' || (medium.remote && (await isOurs(writeId, null)));
  }

  async function isOurs(writeId: string, error: unknown): Promise<boolean> {
    let found: StoredText | null;
    try {
      found = await medium.load();
    } catch (cause) {
      if (error === null) throw cause;
      throw new SluiceError({
        code: error instanceof SluiceError ? error.code : 'INTERNAL',
        message: `the answer to a write of the state ${place} was lost, and whether it was written cannot be seen now`,
        hint: 'once it can be reached again, sluice plan shows what is left to do',
        cause: error,
      });
    }
    return found !== null && writeIdOf(found.text) === writeId;
  }

  return {
    place,

    read: async () => (await load())?.stored.state ?? null,

    async write(next, expected) {
      const current = await load();
      const found = current?.stored.state ?? null;
      const same =
        expected === null ? found === null : sameVersion(found, expected) && next.lineage === expected.lineage;
      if (!same) throw conflict(place, expected, found);
      const written = { ...next, serial: (expected?.serial ?? 0) + 1 };
      const writeId = newToken();
      const kept = current === null ? [] : keptOf(current.stored, current.raw);
      if (await swap(textOf(written, writeId), writeId, current?.raw ?? null, kept)) return written;
      throw conflict(place, expected, (await load())?.stored.state ?? null);
    },

    async put(document, over) {
      const raw = await medium.load();
      const yields =
        over === 'anything' || (over === 'note' && raw !== null && parseMoved(raw.text, medium, format) !== null);
      if (raw !== null && !yields) {
        throw conflict(place, null, parseStored(raw.text, medium, format).state);
      }
      const writeId = newToken();
      const kept = raw === null ? [] : [{ name: 'backup', text: raw.text, once: false }];
      if (await swap(textOf(document, writeId), writeId, raw, kept)) return;
      throw conflict(place, null, (await load())?.stored.state ?? null);
    },

    async leave(expected, movedTo, at) {
      const current = await load();
      if (current === null || !sameVersion(current.stored.state, expected)) {
        throw conflict(place, expected, current?.stored.state ?? null);
      }
      const writeId = newToken();
      const kept = keptOf(current.stored, current.raw);
      const note = { movedTo, at: at.toISOString(), document: current.stored.state };
      if (await swap(movedText(note, writeId), writeId, current.raw, kept)) return;
      throw conflict(place, expected, (await load())?.stored.state ?? null);
    },

    async note() {
      const raw = await medium.load();
      return raw === null ? null : parseMoved(raw.text, medium, format);
    },
  };
}

function keptOf(stored: StoredState, raw: StoredText): readonly Kept[] {
  const backup = { name: 'backup', text: raw.text, once: false };
  if (stored.upgradedFrom === null) return [backup];
  return [backup, { name: `format-${stored.upgradedFrom}.backup`, text: raw.text, once: true }];
}

/** Errors that come from the way to the place, and so may hide a write that took effect. */
function mayHaveLanded(error: unknown): boolean {
  return error instanceof SluiceError && /^(?:STORE|SOURCE)_/.test(error.code);
}

function writeIdOf(text: string): string | null {
  try {
    const raw: unknown = JSON.parse(text);
    const id: unknown = typeof raw === 'object' && raw !== null ? Reflect.get(raw, 'write_id') : null;
    return typeof id === 'string' ? id : null;
  } catch {
    return null;
  }
}

function sameVersion(left: StateVersion | null, right: StateVersion): boolean {
  return left !== null && left.lineage === right.lineage && left.serial === right.serial;
}

function conflict(place: string, expected: StateVersion | null, found: StateVersion | null): SluiceError {
  return new SluiceError({
    code: 'STATE_CONFLICT',
    message: `the state ${place} changed since it was read: expected ${versionText(expected)}, found ${versionText(found)}`,
    hint: 'what is there now was not overwritten; plan again on the newer state',
  });
}

function versionText(version: StateVersion | null): string {
  return version === null ? 'no state' : `serial ${version.serial} of lineage ${version.lineage}`;
}
