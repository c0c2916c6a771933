import { ERROR_CODES } from '../error/codes.js';
import { type PlainError, toPlain } from '../error/sluice-error.js';
import { retryDelayMs } from '../executor/retry.js';
import type { Plan } from '../planner/change.js';
import { Alarm } from './alarm.js';
import { autoApply, withoutCleanup } from './auto-apply.js';
import type { LoopDeps } from './daemon-loop.js';

/** A plan that a person has to make possible is tried again this often; nothing tells the daemon that they did. */
const REPLAN_MS = 600_000;
/** How often the state is looked at while changes wait: whoever applies them may do so on another machine. */
const WAITING_LOOK_MS = 15_000;
/** While there is nothing to plan: somebody rings when there is. */
const SETTLED_MS = 3_600_000;

/** Plans and applies what may be applied, until that has gone well once, and anew when a table is altered in its source. */
export class Planning {
  readonly #deps: LoopDeps;
  readonly #alarm: Alarm;
  readonly #onApplied: () => void;
  /** How tables differ from what was applied, as far as a plan was made for it. */
  readonly #knownDrift = new Set<string>();
  #settled = false;
  #notBefore: Date;
  #attempts = 0;
  #lastTrouble: string | null = null;
  /** The state's serial that the changes were planned for which wait; null: none wait. */
  #waitingAt: number | null = null;

  /** @param onApplied called when an apply has made changes, of which some may be loads that wait */
  constructor(deps: LoopDeps, onApplied: () => void) {
    this.#deps = deps;
    this.#alarm = new Alarm(deps.clock);
    this.#onApplied = onApplied;
    this.#notBefore = deps.clock.now();
  }

  /**
   * Runs until `either` of the signals aborts.
   * @param signal breaks off what is under way
   * @param onFirst called when the first attempt is over, whatever came of it
   */
  async run(signal: AbortSignal, either: AbortSignal, onFirst: () => void): Promise<void> {
    try {
      while (!either.aborted) {
        const dueInMs = this.#dueInMs();
        if (dueInMs > 0) await this.#alarm.sleep(dueInMs, either);
        else await this.#planOnce(signal);
        onFirst();
        if (this.#settled && this.#waitingAt !== null) await this.#lookWhetherApplied(this.#waitingAt);
      }
    } finally {
      onFirst();
    }
  }

  #dueInMs(): number {
    if (!this.#settled) return this.#notBefore.getTime() - this.#deps.clock.now().getTime();
    return this.#waitingAt === null ? SETTLED_MS : WAITING_LOOK_MS;
  }

  /** What waits is told of until a plan says that it does no more. */
  async #lookWhetherApplied(waitingAt: number): Promise<void> {
    try {
      const state = await this.#deps.engine.state.read();
      if (state !== null && state.serial !== waitingAt) this.planAnew();
    } catch (error) {
      this.#deps.log.debug({ error: toPlain(error) }, 'the state could not be looked at');
    }
  }

  /** A table that was altered in the source is planned for, once for each change that is seen. */
  noteDrift(source: string, drift: readonly string[]): void {
    const { log } = this.#deps;
    const news = drift.filter((line) => !this.#knownDrift.has(line));
    if (news.length === 0) return;
    for (const line of news) this.#knownDrift.add(line);
    log.info({ source, drift: news }, 'tables were altered in the source, planning anew');
    this.planAnew();
  }

  /** Another plan is made at once, or when the one that is being made has ended. */
  planAnew(): void {
    this.#settled = false;
    this.#notBefore = this.#deps.clock.now();
    this.#attempts = 0;
    this.#lastTrouble = null;
    this.#alarm.ring();
  }

  async #planOnce(signal: AbortSignal): Promise<void> {
    const asked = this.#notBefore;
    try {
      // What is noticed while this plan is made asks for another one.
      this.#settled = true;
      await this.#applyAllowed(withoutCleanup(await this.#deps.engine.plan({ targets: [] }, signal)), signal);
    } catch (error) {
      signal.throwIfAborted();
      this.#planAgainLater(toPlain(error), asked);
    }
  }

  async #applyAllowed(plan: Plan, signal: AbortSignal): Promise<void> {
    const { engine, log, observer } = this.#deps;
    const asked = this.#notBefore;
    const halted = new Set((await engine.halts()).keys());
    const decision = autoApply(plan, engine.config.daemon.autoApply, halted);
    this.#waitingAt = decision.kind === 'wait' ? plan.state.serial : null;
    switch (decision.kind) {
      case 'nothing':
        log.info({}, 'no changes to apply');
        observer.planned(plan, 'nothing');
        return;
      case 'blocked': {
        observer.planned(plan, 'applying');
        const [first] = plan.blockers;
        const code = first?.code ?? 'INTERNAL';
        const message = plan.blockers.map((each) => `${each.address}: ${each.message}`).join('; ');
        this.#planAgainLater({ code, message }, asked);
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
        observer.planned(plan, 'waiting');
        return;
      case 'apply': {
        observer.planned(plan, 'applying');
        const results = await engine.apply(plan, signal);
        const failed = results.find((result) => result.status === 'failed');
        this.#knownDrift.clear();
        if (results.every((result) => result.status === 'applied')) observer.planned(plan, 'applied');
        else {
          const incomplete: PlainError = { code: 'APPLY_INCOMPLETE', message: 'some changes were not attempted' };
          this.#planAgainLater(failed?.error ?? incomplete, asked);
        }
        this.#onApplied();
        return;
      }
    }
  }

  /** @param asked when the plan was asked for that failed; one that was asked for since comes first */
  #planAgainLater(error: PlainError, asked: Date): void {
    const { clock, log, observer } = this.#deps;
    observer.planFailed(error);
    const attempts = this.#attempts + 1;
    const delayMs = retryDelayMs(ERROR_CODES[error.code].retry, attempts) ?? REPLAN_MS;
    const trouble = `${error.code} ${error.message}`;
    // The same trouble every minute would drown the rest of the log.
    if (trouble !== this.#lastTrouble) log.error({ error, retry_ms: delayMs }, 'the config could not be applied');
    this.#settled = false;
    if (this.#notBefore === asked) this.#notBefore = new Date(clock.now().getTime() + delayMs);
    this.#attempts = attempts;
    this.#lastTrouble = trouble;
  }
}
