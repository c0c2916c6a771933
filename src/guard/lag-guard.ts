import type { AlertKind, Config } from '../config/config.js';
import { asSluiceError, type PlainError, SluiceError, toPlain } from '../error/sluice-error.js';
import type { Clock } from '../executor/engine.js';
import type { SourceConnection } from '../source/connect.js';
import { recordHalt } from '../state/halt.js';
import { type StateLock, withLock } from '../state/lock.js';
import type { Halt, SourceState } from '../state/state.js';
import type { StateStore } from '../state/state-store.js';
import { type AlertContent, type AlertEvent, alertEvent } from './alert.js';
import { dropOverdueSlot, dropOwnPublication } from './drop-stream.js';
import { haltError, haltOf, lagHint, lagMessage } from './lag-error.js';
import type { LagMemory } from './lag-memory.js';
import { readWalLag } from './read-wal-lag.js';
import { isOverdue, judgeLag, type LagPast, lagSettings, type WalLag } from './wal-lag.js';

/** Connecting and looking; beyond it the look has failed, and the next one comes. */
const LOOK_MS = 10_000;
/** Ending a reader of ours takes its time. */
const DROP_MS = 20_000;
/** For each statement, by the server itself: a drop that waits for a lock must not wait for ever. */
export const STATEMENT_TIMEOUT_MS = 5_000;
/** After so many failed looks in a row somebody is told. */
const BLIND_AFTER = 3;

export type GuardEvent =
  | {
      readonly kind: 'wal_lag';
      readonly source: string;
      readonly slot: string;
      readonly lag: WalLag;
      /** The level is another one than at the look before. */
      readonly changed: boolean;
    }
  | {
      readonly kind: 'wal_lag_unknown';
      readonly source: string;
      readonly error: PlainError;
      /** Failed looks in a row. */
      readonly failures: number;
    }
  | { readonly kind: 'guard_dropped'; readonly address: string; readonly message: string }
  /** Slot, publication or the note in the state that they are gone; tried again at the next look. */
  | { readonly kind: 'guard_failed'; readonly address: string; readonly error: PlainError };

export interface LagGuardDeps {
  readonly config: Config;
  readonly clock: Clock;
  readonly host: string;
  readonly stateFile: StateStore;
  readonly stateLock: StateLock;
  readonly memory: LagMemory;
  /** The connection entry of a source, which may have left the file; null where there is none. */
  readonly connectionOf: (source: string, state: SourceState) => string | null;
  /** A session of the guard's own with {@link STATEMENT_TIMEOUT_MS}. */
  readonly connect: (connection: string, signal: AbortSignal) => Promise<SourceConnection>;
  readonly alert: (event: AlertEvent) => void;
  readonly onEvent: (event: GuardEvent) => void;
}

export interface LagReport {
  /** Null for a source without a slot. */
  readonly lag: WalLag | null;
  /** The slot was dropped, now or before: nothing is to be synced. */
  readonly halted: SluiceError | null;
}

type Slot = NonNullable<SourceState['slot']>;

/** What the guard knows of one source's slot from look to look. */
interface Watched {
  readonly slot: Slot;
  past: LagPast | null;
  dropError: PlainError | null;
  /** The slot is gone by our hand and the state could not be told yet. */
  unrecorded: Halt | null;
}

/**
 * Watches how much WAL the slots hold back, tells of it, and drops a slot that holds back too much where that is wanted.
 * It has connections and deadlines of its own and takes no lock, so that nothing that hangs elsewhere can silence it.
 */
export class LagGuard {
  readonly #deps: LagGuardDeps;
  readonly #watched = new Map<string, Watched>();
  readonly #failures = new Map<string, number>();
  readonly #running = new Map<string, Promise<LagReport>>();
  /** Kept open while watching: a server that has no connection left to give can still be helped. */
  readonly #sessions = new Map<string, SourceConnection>();
  #watching = false;

  constructor(deps: LagGuardDeps) {
    this.#deps = deps;
  }

  /**
   * Looks at every source that has a slot, at once and then every `everyMs`, until the signal aborts. A look that takes
   * longer delays no other source's.
   */
  async watch(everyMs: number, signal: AbortSignal): Promise<void> {
    const looks = new Set<Promise<unknown>>();
    this.#watching = true;
    try {
      while (!signal.aborted) {
        for (const source of await this.#sources()) {
          if (this.#running.has(source)) continue;
          // What went wrong was told; the next look comes.
          const look = this.check(source, signal).catch(() => undefined);
          looks.add(look);
          void look.finally(() => looks.delete(look));
        }
        await this.#deps.clock.sleep(everyMs, signal);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      this.#watching = false;
      await Promise.all(looks);
    }
  }

  /**
   * One look at a source's slot, and what has to follow from it. Two at once are one.
   * @param holdsLock the caller has the state lock
   * @throws SluiceError what kept it from looking, which was told by an event; CANCELLED
   */
  check(source: string, signal: AbortSignal, holdsLock = false): Promise<LagReport> {
    const running = this.#running.get(source);
    if (running !== undefined) return running;
    const look = this.#look(source, signal, holdsLock).finally(() => this.#running.delete(source));
    this.#running.set(source, look);
    return look;
  }

  /** Sources whose slot was dropped by this guard and not made anew, also where the state could not be told. */
  haltOf(source: string, state: SourceState | undefined): SluiceError | null {
    const halt = state?.halted ?? this.#watched.get(source)?.unrecorded ?? null;
    return halt === null ? null : haltError(source, halt);
  }

  tell(content: AlertContent): void {
    const { clock, host } = this.#deps;
    this.#deps.alert(alertEvent(content, { at: clock.now().toISOString(), host }));
  }

  async close(): Promise<void> {
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    await Promise.all(sessions.map((session) => session.end()));
  }

  async #sources(): Promise<readonly string[]> {
    const state = await this.#deps.stateFile.read().catch(() => null);
    // Where the state cannot be read, each look tells why.
    return Object.keys(state?.sources ?? this.#deps.config.sources);
  }

  async #look(source: string, signal: AbortSignal, holdsLock: boolean): Promise<LagReport> {
    try {
      const report = await this.#lookAndAct(source, signal, holdsLock);
      this.#seeing(source);
      return report;
    } catch (error) {
      this.#hangUp(source);
      signal.throwIfAborted();
      this.#missed(source, asSluiceError(error));
      throw error;
    }
  }

  async #lookAndAct(source: string, signal: AbortSignal, holdsLock: boolean): Promise<LagReport> {
    const { stateFile, clock, config } = this.#deps;
    const state = (await stateFile.read())?.sources[source];
    const slot = state?.slot ?? null;
    if (state === undefined || slot === null) {
      this.#watched.delete(source);
      return { lag: null, halted: this.haltOf(source, state) };
    }
    const watched = await this.#watchedOf(source, slot);
    const sample = await this.#within(LOOK_MS, signal, async (limited) => {
      const session = await this.#session(source, state, limited);
      return await readWalLag(session, slot.name, clock.now().toISOString(), limited);
    });
    const lag = judgeLag(sample, watched.past, lagSettings(config.sources[source]));
    this.#report(source, slot.name, lag, watched);
    const dropped =
      isOverdue(lag) && this.#mayDrop(source, state) && (await this.#dropSlot(source, state, lag, watched, signal));
    if (watched.unrecorded !== null) await this.#record(source, watched, watched.unrecorded);
    const now = (await stateFile.read().catch(() => null))?.sources[source] ?? state;
    const halted = this.haltOf(source, now);
    if (halted !== null && isSlot(now.slot, slot)) {
      await this.#dropPublication(source, now, watched, dropped || holdsLock, signal);
    } else if (lag.level !== 'critical') {
      watched.dropError = null;
    }
    await this.#remember(source, watched);
    if (!this.#watching) await this.#letGo(source);
    return { lag, halted };
  }

  async #watchedOf(source: string, slot: Slot): Promise<Watched> {
    const known = this.#watched.get(source);
    if (known !== undefined && isSlot(known.slot, slot)) return known;
    const remembered = (await this.#deps.memory.read())[source];
    const same = remembered !== undefined && isSlot(remembered.slot, slot) ? remembered : null;
    const watched: Watched = {
      slot,
      past: same?.past ?? null,
      dropError: same?.dropError ?? null,
      unrecorded: null,
    };
    this.#watched.set(source, watched);
    return watched;
  }

  /** Tells of a new level. A slot that is gone has none: that it is gone is for the sync to find, or was our doing. */
  #report(source: string, slot: string, lag: WalLag, watched: Watched): void {
    const before = watched.past?.level ?? 'ok';
    const changed = lag.exists && before !== lag.level;
    watched.past = lag.exists ? { level: lag.level, since: lag.since, window: lag.window } : null;
    this.#deps.onEvent({ kind: 'wal_lag', source, slot, lag, changed });
    if (!changed) return;
    this.tell({
      kind: ALERT_OF[lag.level],
      source,
      slot,
      message: lagMessage(slot, lag),
      hint: lag.level === 'ok' ? null : lagHint(lag),
      error: null,
      lag,
    });
  }

  /** What somebody else manages, and what the file no longer speaks of, is not ours to drop. */
  #mayDrop(source: string, state: SourceState): boolean {
    const cdc = this.#deps.config.sources[source]?.cdc;
    return cdc?.management === 'managed' && state.management === 'managed' && cdc.lag.onCritical === 'drop_slot';
  }

  /** @returns whether the slot is gone by our hand */
  async #dropSlot(
    source: string,
    state: SourceState,
    lag: WalLag,
    watched: Watched,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { clock } = this.#deps;
    const { name } = watched.slot;
    try {
      const outcome = await this.#within(DROP_MS, signal, async (limited) => {
        const session = await this.#session(source, state, limited);
        const known = { systemIdentifier: state.system_identifier, atLeastBytes: lag.criticalBytes };
        return await dropOverdueSlot(session, name, known, clock, limited);
      });
      if (outcome === 'kept') return false;
    } catch (error) {
      this.#hangUp(source);
      signal.throwIfAborted();
      this.#failed(source, `${source}:slot`, watched, error, lag);
      return false;
    }
    const halt = haltOf(name, lag, clock.now().toISOString());
    watched.unrecorded = halt;
    watched.dropError = null;
    this.#deps.onEvent({ kind: 'guard_dropped', address: `${source}:slot`, message: halt.message });
    const { hint } = haltError(source, halt);
    this.tell({
      kind: 'slot_dropped',
      source,
      slot: name,
      message: halt.message,
      hint: hint ?? null,
      error: null,
      lag,
    });
    return true;
  }

  /** The slot comes first, as only that holds WAL; what is done stays done where the state cannot be told. */
  async #record(source: string, watched: Watched, halt: Halt): Promise<void> {
    try {
      await recordHalt(this.#deps.stateFile, source, watched.slot, halt);
      watched.unrecorded = null;
    } catch (error) {
      this.#deps.onEvent({ kind: 'guard_failed', address: source, error: toPlain(asSluiceError(error)) });
    }
  }

  /**
   * @param atOnce right after the slot was dropped, or under the state lock. Later somebody may be making it anew, so
   *   that it goes only while nobody holds the lock
   */
  async #dropPublication(
    source: string,
    state: SourceState,
    watched: Watched,
    atOnce: boolean,
    signal: AbortSignal,
  ): Promise<void> {
    const drop = async (): Promise<void> => {
      const current = atOnce ? state : (await this.#deps.stateFile.read())?.sources[source];
      if (current === undefined || !isSlot(current.slot, watched.slot)) return;
      const outcome = await this.#within(DROP_MS, signal, async (limited) =>
        dropOwnPublication(await this.#session(source, current, limited), current, limited),
      );
      watched.dropError = null;
      if (outcome !== 'dropped') return;
      const message = `publication "${current.publication}" was dropped with its slot`;
      this.#deps.onEvent({ kind: 'guard_dropped', address: `${source}:publication`, message });
    };
    try {
      if (atOnce) await drop();
      else await withLock(this.#deps.stateLock, { waitMs: 0, signal }, drop);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof SluiceError && error.code === 'STATE_LOCKED') return;
      this.#hangUp(source);
      this.#failed(source, `${source}:publication`, watched, error, null);
    }
  }

  #failed(source: string, address: string, watched: Watched, cause: unknown, lag: WalLag | null): void {
    const error = toPlain(asSluiceError(cause));
    const told = watched.dropError?.code === error.code;
    watched.dropError = error;
    this.#deps.onEvent({ kind: 'guard_failed', address, error });
    if (told) return;
    this.tell({
      kind: 'slot_drop_failed',
      source,
      slot: watched.slot.name,
      message: `${address} could not be dropped, which is tried again: ${error.message}`,
      hint: error.hint ?? null,
      error,
      lag,
    });
  }

  #missed(source: string, cause: SluiceError): void {
    const error = toPlain(cause);
    const failures = (this.#failures.get(source) ?? 0) + 1;
    this.#failures.set(source, failures);
    this.#deps.onEvent({ kind: 'wal_lag_unknown', source, error, failures });
    if (failures !== BLIND_AFTER) return;
    this.tell({
      kind: 'guard_blind',
      source,
      slot: this.#watched.get(source)?.slot.name ?? null,
      message: `the guard could not look at the slot ${failures} times in a row, so nobody knows how much WAL it holds back: ${error.message}`,
      hint: error.hint ?? null,
      error,
      lag: null,
    });
  }

  #seeing(source: string): void {
    const failures = this.#failures.get(source) ?? 0;
    this.#failures.delete(source);
    if (failures < BLIND_AFTER) return;
    const slot = this.#watched.get(source)?.slot.name ?? null;
    const message = `the guard can look at the slot again, after ${failures} looks that failed`;
    this.tell({ kind: 'guard_recovered', source, slot, message, hint: null, error: null, lag: null });
  }

  async #session(source: string, state: SourceState, signal: AbortSignal): Promise<SourceConnection> {
    const open = this.#sessions.get(source);
    if (open !== undefined) return open;
    const connection = this.#deps.connectionOf(source, state);
    if (connection === null) {
      throw new SluiceError({
        code: 'ADDRESS_UNKNOWN',
        address: source,
        message: `no connection in ${this.#deps.config.file} reaches the database of source "${source}"`,
      });
    }
    const session = await this.#deps.connect(connection, signal);
    this.#sessions.set(source, session);
    return session;
  }

  async #letGo(source: string): Promise<void> {
    const session = this.#sessions.get(source);
    this.#sessions.delete(source);
    await session?.end();
  }

  #hangUp(source: string): void {
    this.#sessions.get(source)?.destroy();
    this.#sessions.delete(source);
  }

  async #remember(source: string, { slot, past, dropError }: Watched): Promise<void> {
    // A slot that is gone leaves nothing to tell growth from; an error of dropping it still stands.
    const lag = past ?? { level: 'ok' as const, since: this.#deps.clock.now().toISOString(), window: [] };
    // Kept for views and for the next process: a full disk must not stop the guard.
    await this.#deps.memory.write(source, { slot, past: lag, dropError }).catch(() => undefined);
  }

  /** Ends in time, also where the work does not hear the signal. */
  async #within<T>(ms: number, signal: AbortSignal, work: (limited: AbortSignal) => Promise<T>): Promise<T> {
    const deadline = new AbortController();
    const done = new AbortController();
    this.#deps.clock.sleep(ms, done.signal).then(
      () => deadline.abort(),
      () => {}, // ended in time
    );
    const limited = AbortSignal.any([signal, deadline.signal]);
    try {
      return await Promise.race([work(limited), rejectionOf(limited)]);
    } catch (error) {
      if (signal.aborted || !deadline.signal.aborted) throw error;
      throw new SluiceError({
        code: 'SOURCE_TIMEOUT',
        cause: error,
        message: `the server did not answer the guard within ${ms / 1_000} s`,
      });
    } finally {
      done.abort();
    }
  }
}

const ALERT_OF: Readonly<Record<WalLag['level'], AlertKind>> = {
  ok: 'lag_cleared',
  warning: 'lag_warning',
  critical: 'lag_critical',
};

function isSlot(left: Slot | null, right: Slot): boolean {
  return left?.name === right.name && left.created_lsn === right.created_lsn;
}

function rejectionOf(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const rejectNow = () => reject(signal.reason);
    if (signal.aborted) rejectNow();
    else signal.addEventListener('abort', rejectNow, { once: true });
  });
}
