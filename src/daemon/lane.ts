import type { SourceConfig } from '../config/config.js';
import { type PlainError, toPlain } from '../error/sluice-error.js';
import type { SourceRun } from '../executor/engine.js';
import { type Hold, holdAfter, isHeld } from '../executor/retry.js';
import { Alarm } from './alarm.js';
import type { LoopDeps } from './daemon-loop.js';
import { nextTickAt, type SourceTicks, tickAfter, ticksOf } from './schedule.js';

/** Keeps a schedule that is always due from taking a whole core. */
const MIN_WAIT_MS = 100;
/** Loads that another process queued (apply, resync) are noticed within this time, whatever the schedules say. */
const MAX_IDLE_MS = 60_000;
/** Up to here a failure is a hiccup and a warning; waits beyond it are errors. */
const WARN_DELAY_MS = 5_000;
/** How often a held follower looks whether it may go on. */
const FOLLOW_LOOK_MS = 1_000;
/** A source that was followed for so long was well in between: its next trouble is a new one. */
const WELL_MS = 60_000;
/** Followers of one server must not come back all at once. */
const JITTER = 0.25;

/**
 * The work with one source, apart from all others: its ticks, and with the continuous transport its follower beside them.
 * In trouble the source is held back by the rule of its error, a single table of it by the engine.
 */
export class Lane {
  readonly #source: SourceConfig;
  readonly #deps: LoopDeps;
  readonly #onDrift: (source: string, drift: readonly string[]) => void;
  readonly #alarm: Alarm;
  #ticks: SourceTicks;
  /** When the last sync began. */
  #syncedAtMs = 0;
  #hold: Hold | undefined;
  /** The state's serial when the source was stopped; another one tells that a person has acted. */
  #stoppedAtSerial: number | null = null;

  /** @param onDrift hears how tables differ from what was applied */
  constructor(source: SourceConfig, deps: LoopDeps, onDrift: (source: string, drift: readonly string[]) => void) {
    this.#source = source;
    this.#deps = deps;
    this.#onDrift = onDrift;
    this.#alarm = new Alarm(deps.clock);
    this.#ticks = ticksOf(source);
  }

  /** Looks at once what there is to do. */
  wake(): void {
    this.#alarm.ring();
  }

  /** Looks at once, also where the source is held back or stopped. */
  tryAgain(): void {
    if (this.#hold !== undefined) {
      this.#hold = undefined;
      this.#deps.observer.sourceIs(this.#source.name, 'running', null);
      this.#deps.log.info({ source: this.#source.name }, 'trying the source again');
    }
    this.wake();
  }

  /**
   * Runs until `either` of the signals aborts.
   * @param signal breaks off what is under way
   */
  async run(signal: AbortSignal, either: AbortSignal): Promise<void> {
    // It is about to look in any case.
    this.#alarm.clear();
    const follows = this.#source.cdc.transport === 'continuous';
    await Promise.all([this.#tick(signal, either), ...(follows ? [this.#follow(either)] : [])]);
  }

  /** When there is something to do next, or to look for; a moment in the past where it is due. */
  neededAt(): Date {
    const { clock, engine } = this.#deps;
    const now = clock.now();
    const moments = [now.getTime() + MAX_IDLE_MS];
    if (this.#hold === undefined) {
      const at = nextTickAt(this.#ticks, now);
      if (at !== null) moments.push(at.getTime());
      // One that was not tried though it could have been waits for something else.
      const retries = engine.heldTables(this.#source.name).map(({ retryAt }) => retryAt.getTime());
      moments.push(...retries.filter((atMs) => atMs > this.#syncedAtMs));
    } else if (this.#hold.kind === 'until') moments.push(this.#hold.at.getTime());
    return new Date(Math.min(...moments));
  }

  async #tick(signal: AbortSignal, either: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    while (!either.aborted) {
      await this.#releaseStopped(signal);
      if (!isHeld(this.#hold, clock.now())) await this.#sync(signal);
      await this.#alarm.sleep(Math.max(MIN_WAIT_MS, this.neededAt().getTime() - clock.now().getTime()), either);
    }
  }

  /** Whether anything of the source is due is for the engine to say. */
  async #sync(signal: AbortSignal): Promise<void> {
    const { clock, engine, observer } = this.#deps;
    const { name, cdc } = this.#source;
    const startedAt = clock.now();
    let trouble: PlainError | null = null;
    try {
      const report = await engine.sync({ address: name, untilCaughtUp: false, force: false }, signal);
      for (const run of report.sources) {
        this.#logRun(run);
        trouble ??= run.error;
        if (run.error === null) this.#onDrift(name, [...run.drift, ...run.newColumns]);
      }
    } catch (error) {
      signal.throwIfAborted();
      const plain = toPlain(error);
      // It has not been applied yet; why not is what the planning has to tell.
      if (plain.code !== 'ADDRESS_UNKNOWN') trouble = plain;
    }
    signal.throwIfAborted();
    this.#ticks = tickAfter(this.#ticks, startedAt);
    this.#syncedAtMs = startedAt.getTime();
    observer.tablesAre(name, engine.heldTables(name));
    if (trouble !== null) await this.#holdBack(trouble, signal);
    // Whether a followed source is well shows in its follower; here little more than its schedules was looked at.
    else if (cdc.transport !== 'continuous') this.#release();
  }

  /** Follows the source until the signal aborts. */
  async #follow(signal: AbortSignal): Promise<void> {
    const { clock, log, random } = this.#deps;
    const source = this.#source.name;
    while (!signal.aborted) {
      if (isHeld(this.#hold, clock.now())) {
        await clock.sleep(FOLLOW_LOOK_MS * (1 + JITTER * random()), signal);
        continue;
      }
      const startedMs = clock.monotonicMs();
      log.info({ source }, 'following');
      const error = await this.#followOnce(signal);
      signal.throwIfAborted();
      if (clock.monotonicMs() - startedMs >= WELL_MS) this.#release();
      if (error !== null) await this.#holdBack(error, signal);
    }
  }

  async #followOnce(signal: AbortSignal): Promise<PlainError | null> {
    try {
      const run = await this.#deps.engine.follow(this.#source.name, signal);
      this.#logRun(run);
      return run.error;
    } catch (error) {
      signal.throwIfAborted();
      return toPlain(error);
    }
  }

  async #holdBack(error: PlainError, signal: AbortSignal): Promise<void> {
    const { clock, engine, log, observer } = this.#deps;
    const source = this.#source.name;
    const before = this.#hold;
    const hold = holdAfter(before, error.code, clock.now());
    this.#hold = hold;
    if (hold.kind === 'stopped') {
      observer.sourceIs(source, 'stopped', { error, retryAt: null });
      this.#stoppedAtSerial = await this.#stateSerial(signal);
      // That is what somebody asked for.
      if (error.code === 'PAUSED') {
        log.info({ source }, 'source is paused until sluice resume');
        return;
      }
      // Of a slot that it dropped the guard itself has told.
      if (error.code !== 'WAL_LAG_CRITICAL' && before?.code !== error.code) engine.alertErrored(source, error);
      log.error(
        { source, error },
        'source stopped until somebody mends it (sluice apply, sluice resync) or the daemon restarts',
      );
      return;
    }
    observer.sourceIs(source, 'retrying', { error, retryAt: hold.at });
    const delayMs = hold.at.getTime() - clock.now().getTime();
    const fields = { source, error, attempt: hold.attempts, retry_ms: delayMs };
    if (delayMs <= WARN_DELAY_MS) log.warn(fields, 'source in trouble, trying again');
    else log.error(fields, 'source in trouble, trying again');
  }

  #release(): void {
    if (this.#hold === undefined) return;
    this.#hold = undefined;
    this.#deps.observer.sourceIs(this.#source.name, 'running', null);
    this.#deps.log.info({ source: this.#source.name }, 'source is well again');
  }

  async #releaseStopped(signal: AbortSignal): Promise<void> {
    if (this.#hold?.kind !== 'stopped') return;
    const serial = await this.#stateSerial(signal);
    if (serial === null || serial === this.#stoppedAtSerial) return;
    this.#hold = undefined;
    this.#deps.observer.sourceIs(this.#source.name, 'running', null);
    this.#deps.log.info({ source: this.#source.name }, 'the state has changed, trying the stopped source again');
  }

  /** Null where it cannot be told now; then nothing is concluded from it. */
  async #stateSerial(signal: AbortSignal): Promise<number | null> {
    try {
      return (await this.#deps.engine.status(signal)).state?.serial ?? null;
    } catch (error) {
      signal.throwIfAborted();
      this.#deps.log.debug({ error: toPlain(error) }, 'status failed');
      return null;
    }
  }

  #logRun(run: SourceRun): void {
    const { log } = this.#deps;
    for (const table of run.tables) {
      const { address, kind, rows, inserted, updated, deleted, rejected, durationMs, error } = table;
      const fields = { address, kind, rows, inserted, updated, deleted, rejected, duration_ms: Math.round(durationMs) };
      if (error === null) log.info(fields, 'table synced');
      else log.error({ ...fields, error }, 'table failed');
    }
    if (run.error !== null) return;
    const fields = {
      source: run.source,
      transactions: run.transactions,
      changes: run.changes,
      confirmed_lsn: run.confirmedLsn,
      duration_ms: Math.round(run.durationMs),
    };
    // Most ticks of a quiet source find nothing.
    if (run.changes > 0) log.info(fields, 'source streamed');
    else log.debug(fields, 'source looked at');
  }
}
