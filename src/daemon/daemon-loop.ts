import { ERROR_CODES } from '../error/codes.js';
import { type PlainError, toPlain } from '../error/sluice-error.js';
import type { Clock, Engine, SourceRun } from '../executor/engine.js';
import type { Plan } from '../planner/change.js';
import { autoApply } from './auto-apply.js';
import type { Log } from './log.js';
import { type Hold, holdAfter, isHeld, retryDelayMs } from './retry.js';
import { nextTickAt, type SourceTicks, tickAfter, ticksOf } from './schedule.js';

/** Keeps a schedule that is always due from taking a whole core. */
const MIN_WAIT_MS = 100;
/** Loads that another process queued (apply, resync) are noticed within this time, whatever the schedules say. */
const MAX_IDLE_MS = 60_000;
/** A plan that a person has to make possible is tried again this often; nothing tells the daemon that they did. */
const REPLAN_MS = 600_000;
/** Upkeep that could not even begin, as another process works, is tried again after this. */
const MAINTAIN_AGAIN_MS = 300_000;
/** Up to here a failure is a hiccup and a warning; waits beyond it are errors. */
const WARN_DELAY_MS = 5_000;

export interface LoopDeps {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly log: Log;
  /** In [0, 1). */
  readonly random: () => number;
}

/** How often a held follower looks whether it may go on. */
const FOLLOW_LOOK_MS = 1_000;
/** A source that was followed for so long was well in between: its next trouble is a new one. */
const WELL_MS = 60_000;
/** Followers of one server must not come back all at once. */
const JITTER = 0.25;

/**
 * The daemon's work: one thing at a time, and beside it a follower for each source with the continuous transport. Sources
 * that are in trouble are held back by the rule of their error.
 */
export class DaemonLoop {
  /** By source name: what keeps it from being synced. */
  private readonly holds = new Map<string, Hold>();
  /** How tables differ from what was applied, as far as a plan was made for it. */
  private readonly knownDrift = new Set<string>();
  private ticks: readonly SourceTicks[];
  private planning: { settled: boolean; notBefore: Date; attempts: number; lastTrouble: string | null };
  /** The config has been planned and, where allowed, applied once; before that there may be nothing to follow. */
  private planned = false;
  /** When lakes are to be looked after; null: there are none. */
  private maintainAt: Date | null;
  /** The state's serial when a source was stopped; another one tells that a person has acted. */
  private stoppedAtSerial: number | null = null;

  constructor(private readonly deps: LoopDeps) {
    this.ticks = ticksOf(deps.engine.config);
    this.planning = { settled: false, notBefore: deps.clock.now(), attempts: 0, lastTrouble: null };
    this.maintainAt = deps.clock.now();
  }

  /** Runs until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const sources = Object.values(this.deps.engine.config.sources);
    const followed = sources.filter((source) => source.cdc.transport === 'continuous').map((source) => source.name);
    await Promise.all([this.work(signal), ...followed.map((source) => this.follow(source, signal))]);
  }

  /** Follows one source until the signal aborts. */
  private async follow(source: string, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.deps;
    while (!signal.aborted) {
      try {
        if (!this.planned || isHeld(this.holds.get(source), clock.now())) {
          await clock.sleep(FOLLOW_LOOK_MS * (1 + JITTER * this.deps.random()), signal);
          continue;
        }
        const startedMs = clock.monotonicMs();
        log.info({ source }, 'following');
        const error = await this.followOnce(source, signal);
        signal.throwIfAborted();
        if (clock.monotonicMs() - startedMs >= WELL_MS) this.release(source);
        if (error !== null) await this.hold(source, error, signal);
      } catch (error) {
        if (!signal.aborted) throw error;
      }
    }
  }

  private async followOnce(source: string, signal: AbortSignal): Promise<PlainError | null> {
    try {
      const run = await this.deps.engine.follow(source, signal);
      this.logRun(run);
      return run.error;
    } catch (error) {
      signal.throwIfAborted();
      return toPlain(error);
    }
  }

  private async work(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.planOnce(signal);
        this.planned = true;
        await this.releaseStopped(signal);
        await this.syncAll(signal);
        await this.maintain(signal);
        const waitMs = Math.max(MIN_WAIT_MS, this.nextWakeAt().getTime() - this.deps.clock.now().getTime());
        await this.deps.clock.sleep(waitMs, signal);
      } catch (error) {
        // Everything that can go wrong on its own was handled below; what is left is the stop, or a fault.
        if (!signal.aborted) throw error;
      }
    }
  }

  /** Plans and applies what may be applied, until that has gone well once: the config does not change while we run. */
  private async planOnce(signal: AbortSignal): Promise<void> {
    const { clock, engine } = this.deps;
    if (this.planning.settled || this.planning.notBefore.getTime() > clock.now().getTime()) return;
    try {
      await this.applyAllowed(await engine.plan({ targets: [] }, signal), signal);
    } catch (error) {
      signal.throwIfAborted();
      this.planAgainLater(toPlain(error));
    }
  }

  private async applyAllowed(plan: Plan, signal: AbortSignal): Promise<void> {
    const { engine, log } = this.deps;
    const halted = new Set((await engine.halts()).keys());
    const decision = autoApply(plan, engine.config.daemon.autoApply, halted);
    switch (decision.kind) {
      case 'nothing':
        log.info({}, 'no changes to apply');
        this.planning.settled = true;
        return;
      case 'blocked': {
        const [first] = plan.blockers;
        const code = first?.code ?? 'INTERNAL';
        this.planAgainLater({
          code,
          message: plan.blockers.map((each) => `${each.address}: ${each.message}`).join('; '),
        });
        return;
      }
      case 'wait':
        log.warn(
          {
            because: decision.because,
            changes: decision.changes.map((change) => `${change.action} ${change.address}`),
          },
          'changes wait for sluice apply',
        );
        this.planning.settled = true;
        return;
      case 'apply': {
        const results = await engine.apply(plan, signal);
        const failed = results.find((result) => result.status === 'failed');
        const applied = results.every((result) => result.status === 'applied');
        this.knownDrift.clear();
        if (applied) this.planning.settled = true;
        else
          this.planAgainLater(
            failed?.error ?? { code: 'APPLY_INCOMPLETE', message: 'some changes were not attempted' },
          );
        return;
      }
    }
  }

  private planAgainLater(error: PlainError): void {
    const { clock, log } = this.deps;
    const attempts = this.planning.attempts + 1;
    const delayMs = retryDelayMs(ERROR_CODES[error.code].retry, attempts) ?? REPLAN_MS;
    const trouble = `${error.code} ${error.message}`;
    // The same trouble every minute would drown the rest of the log.
    if (trouble !== this.planning.lastTrouble)
      log.error({ error, retry_ms: delayMs }, 'the config could not be applied');
    this.planning = {
      settled: false,
      notBefore: new Date(clock.now().getTime() + delayMs),
      attempts,
      lastTrouble: trouble,
    };
  }

  /** Whether anything of a source is due is for the engine to say; here only the held ones are left out. */
  private async syncAll(signal: AbortSignal): Promise<void> {
    const now = this.deps.clock.now();
    const names = this.ticks.map((each) => each.source);
    const free = names.filter((name) => !isHeld(this.holds.get(name), now));
    if (free.length === names.length) {
      await this.sync(null, names, signal);
      return;
    }
    for (const name of free) await this.sync(name, [name], signal);
  }

  /** Between two syncs; it ends its piece of work when the next one is due. */
  private async maintain(signal: AbortSignal): Promise<void> {
    const { clock, engine, log } = this.deps;
    if (this.maintainAt === null || this.maintainAt > clock.now()) return;
    try {
      this.maintainAt = await engine.maintain({ until: this.nextSyncAt() }, signal);
    } catch (error) {
      signal.throwIfAborted();
      log.warn({ error: toPlain(error), retry_ms: MAINTAIN_AGAIN_MS }, 'lakes could not be looked after');
      this.maintainAt = new Date(clock.now().getTime() + MAINTAIN_AGAIN_MS);
    }
  }

  private async sync(address: string | null, sources: readonly string[], signal: AbortSignal): Promise<void> {
    const { clock, engine } = this.deps;
    const startedAt = clock.now();
    const troubles = new Map<string, PlainError>();
    try {
      const report = await engine.sync({ address, untilCaughtUp: false, force: false }, signal);
      for (const run of report.sources) {
        this.logRun(run);
        if (run.error !== null) troubles.set(run.source, run.error);
        else this.noteDrift(run);
      }
    } catch (error) {
      signal.throwIfAborted();
      const plain = toPlain(error);
      for (const source of sources) troubles.set(source, plain);
    }
    signal.throwIfAborted();
    const endedAt = clock.now();
    this.ticks = this.ticks.map((each) => (sources.includes(each.source) ? tickAfter(each, startedAt, endedAt) : each));
    for (const source of sources) {
      const trouble = troubles.get(source);
      if (trouble !== undefined) await this.hold(source, trouble, signal);
      // Whether a followed source is well shows in its follower; here little more than its schedules was looked at.
      else if (engine.config.sources[source]?.cdc.transport !== 'continuous') this.release(source);
    }
  }

  /** A table that was altered in the source is planned for, once for each change that is seen. */
  private noteDrift(run: SourceRun): void {
    const { clock, log } = this.deps;
    const news = [...run.drift, ...run.newColumns].filter((line) => !this.knownDrift.has(line));
    if (news.length === 0) return;
    for (const line of news) this.knownDrift.add(line);
    log.info({ source: run.source, drift: news }, 'tables were altered in the source, planning anew');
    this.planning = { settled: false, notBefore: clock.now(), attempts: 0, lastTrouble: null };
  }

  private async hold(source: string, error: PlainError, signal: AbortSignal): Promise<void> {
    const { clock, engine, log } = this.deps;
    const before = this.holds.get(source);
    const hold = holdAfter(before, error.code, clock.now());
    this.holds.set(source, hold);
    if (hold.kind === 'stopped') {
      this.stoppedAtSerial = await this.stateSerial(signal);
      // Of a slot that it dropped the guard itself has told.
      if (error.code !== 'WAL_LAG_CRITICAL' && before?.code !== error.code) engine.alertErrored(source, error);
      log.error(
        { source, error },
        'source stopped until somebody mends it (sluice apply, sluice resync) or the daemon restarts',
      );
      return;
    }
    const delayMs = hold.at.getTime() - clock.now().getTime();
    const fields = { source, error, attempt: hold.attempts, retry_ms: delayMs };
    if (delayMs <= WARN_DELAY_MS) log.warn(fields, 'source in trouble, trying again');
    else log.error(fields, 'source in trouble, trying again');
  }

  private release(source: string): void {
    if (this.holds.delete(source)) this.deps.log.info({ source }, 'source is well again');
  }

  private async releaseStopped(signal: AbortSignal): Promise<void> {
    const stopped = [...this.holds].filter(([, hold]) => hold.kind === 'stopped').map(([source]) => source);
    if (stopped.length === 0) return;
    const serial = await this.stateSerial(signal);
    if (serial === null || serial === this.stoppedAtSerial) return;
    this.stoppedAtSerial = serial;
    for (const source of stopped) this.holds.delete(source);
    this.deps.log.info({ sources: stopped }, 'the state has changed, trying stopped sources again');
  }

  /** Null where it cannot be told now; then nothing is concluded from it. */
  private async stateSerial(signal: AbortSignal): Promise<number | null> {
    try {
      return (await this.deps.engine.status(signal)).state?.serial ?? null;
    } catch (error) {
      signal.throwIfAborted();
      this.deps.log.debug({ error: toPlain(error) }, 'status failed');
      return null;
    }
  }

  private logRun(run: SourceRun): void {
    const { log } = this.deps;
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

  private nextWakeAt(): Date {
    const next = this.nextSyncAt();
    return this.maintainAt !== null && this.maintainAt < next ? this.maintainAt : next;
  }

  private nextSyncAt(): Date {
    const now = this.deps.clock.now();
    const moments = [now.getTime() + MAX_IDLE_MS];
    for (const each of this.ticks) {
      const hold = this.holds.get(each.source);
      const at = hold === undefined ? nextTickAt(each, now) : hold.kind === 'until' ? hold.at : null;
      if (at !== null) moments.push(at.getTime());
    }
    if (!this.planning.settled) moments.push(this.planning.notBefore.getTime());
    return new Date(Math.min(...moments));
  }
}
