import type { ErrorCode } from '../error/codes.js';
import type { PlainError } from '../error/sluice-error.js';
import type { SourceState, TableState } from '../state/state.js';
import type { SourceRun, TableRun } from './engine.js';
import { type Hold, holdAfter } from './retry.js';

/**
 * A table that needs a person may have been mended in its source, of which nobody tells: it is tried again after this. A
 * source that needs one stays as it is, as its slot may be at stake.
 */
const STOPPED_AGAIN_MS = 3_600_000;

/** A table that failed and is left alone until its next try; its neighbours go on. */
export interface HeldTable {
  readonly address: string;
  readonly error: PlainError;
  /** Failures in a row. */
  readonly attempts: number;
  readonly retryAt: Date;
}

/**
 * What is to be done with a table that failed: nothing yet; nothing unless what the catalog said against it is gone; or to
 * try it again, whether or not its schedule says so.
 */
export type Verdict = 'leave' | 'leave_unless_mended' | 'try';

/** By `schema.table`. */
export type Verdicts = ReadonlyMap<string, Verdict>;

export const NO_VERDICTS: Verdicts = new Map();

/** Seen in the source's catalog, which a sync reads in any case: it costs nothing to see whether they are gone. */
const IN_CATALOG: ReadonlySet<ErrorCode> = new Set([
  'TABLE_MISSING',
  'COLUMN_MISSING',
  'SCHEMA_CHANGED',
  'PUBLICATION_INCOMPLETE',
]);

interface Held extends HeldTable {
  readonly hold: Hold;
  /** The table as it was tried; where that is changed by an apply or a resync, another try may go well. */
  readonly tried: string;
}

/**
 * Remembers which tables failed, for as long as the engine lives: each is tried again by the rule of its error's code with
 * growing waits, whatever its schedule says, and at once where somebody asks for it or its state has changed.
 */
export class TableHolds {
  readonly #bySource = new Map<string, Map<string, Held>>();

  /** What waits, also where the wait is over but nobody has tried yet. */
  of(source: string): readonly HeldTable[] {
    return [...(this.#bySource.get(source)?.values() ?? [])].map(({ address, error, attempts, retryAt }) => ({
      address,
      error,
      attempts,
      retryAt,
    }));
  }

  verdicts(source: string, state: SourceState, now: Date): Verdicts {
    const verdicts = new Map<string, Verdict>();
    for (const [key, { error, retryAt, tried }] of this.#bySource.get(source) ?? []) {
      const table = state.tables[key];
      if (table === undefined) continue;
      if (retryAt <= now || tried !== textOf(table)) verdicts.set(key, 'try');
      else verdicts.set(key, IN_CATALOG.has(error.code) ? 'leave_unless_mended' : 'leave');
    }
    return verdicts;
  }

  /** What a session with the source came to. @param state that it worked by */
  note(run: Pick<SourceRun, 'source' | 'tables'>, state: SourceState, now: Date): void {
    const held = this.#bySource.get(run.source) ?? new Map<string, Held>();
    this.#bySource.set(run.source, held);
    for (const key of held.keys()) {
      const table = state.tables[key];
      if (table === undefined || !table.enabled || table.paused) held.delete(key);
    }
    for (const [key, table] of Object.entries(state.tables)) {
      const address = `${run.source}:${key}`;
      const runs = run.tables.filter((each) => each.address === address);
      const failed = runs.find((each) => each.error !== null);
      if (failed !== undefined) held.set(key, heldAfter(held.get(key), table, failed, now));
      else if (runs.length > 0) held.delete(key);
    }
  }
}

function heldAfter(before: Held | undefined, table: TableState, { address, kind, error }: TableRun, now: Date): Held {
  const plain = error ?? { code: 'INTERNAL', message: 'failed without a word' };
  const hold = holdAfter(before?.hold, plain.code, now);
  const ruledAt = hold.kind === 'until' ? hold.at : new Date(now.getTime() + STOPPED_AGAIN_MS);
  // What mends a stream is a load, which has not been tried yet.
  const retryAt = kind === 'stream' && before === undefined ? now : ruledAt;
  return { address, error: plain, attempts: hold.attempts, retryAt, hold, tried: textOf(table) };
}

function textOf(table: TableState): string {
  return JSON.stringify(table);
}
