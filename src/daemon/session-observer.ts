import { assertNever, type PlainError } from '../error/sluice-error.js';
import type { Clock } from '../executor/engine.js';
import type { HeldTable } from '../executor/table-holds.js';
import type { Plan } from '../planner/change.js';
import type { LoopObserver } from './daemon-loop.js';
import type { DaemonHealth } from './health.js';
import type { DaemonMetrics, SourceCondition } from './metrics.js';
import type { FirstPlan } from './reload.js';
import type { SelfReport, SourceHold } from './self-report.js';

export interface SessionObserverDeps {
  readonly health: DaemonHealth;
  readonly metrics: DaemonMetrics;
  readonly report: SelfReport;
  readonly clock: Clock;
}

/** Tells health, metrics and the daemon's own report what a session finds out, and keeps what its config came to. */
export class SessionObserver implements LoopObserver {
  readonly #deps: SessionObserverDeps;
  /** What the first look at the config came to, for who waits for it; never settles where the session ends before. */
  readonly firstPlan: Promise<FirstPlan>;
  #tellFirst: (plan: FirstPlan) => void = () => undefined;
  #lastPlan: FirstPlan | null = null;

  constructor(deps: SessionObserverDeps) {
    this.#deps = deps;
    this.firstPlan = new Promise((resolve) => {
      this.#tellFirst = resolve;
    });
  }

  /** What the last look came to; null before the first. */
  get lastPlan(): FirstPlan | null {
    return this.#lastPlan;
  }

  planned(plan: Plan, outcome: 'nothing' | 'waiting' | 'applying' | 'applied'): void {
    const { health, metrics, report, clock } = this.#deps;
    health.planned();
    metrics.planned(plan, outcome === 'waiting' || outcome === 'applying', clock.now());
    const changes = plan.changes.map((change) => `${change.action} ${change.address}`);
    report.planned(outcome === 'waiting' ? changes : null, clock.now());
    switch (outcome) {
      case 'nothing':
        this.#tell({ kind: 'nothing_to_do' });
        return;
      case 'waiting':
      case 'applied':
        this.#tell({ kind: outcome, changes });
        return;
      case 'applying':
        return;
      default:
        assertNever(outcome);
    }
  }

  planFailed(error: PlainError): void {
    this.#deps.health.planFailed(error);
    this.#deps.report.planFailed(error);
    this.#tell({ kind: 'failed', error });
  }

  sourceIs(source: string, condition: SourceCondition, hold: SourceHold | null): void {
    this.#deps.metrics.sourceIs(source, condition);
    this.#deps.report.sourceIs(source, hold);
  }

  tablesAre(source: string, held: readonly HeldTable[]): void {
    this.#deps.metrics.tablesAre(source, held);
    this.#deps.report.tablesAre(source, held);
  }

  #tell(plan: FirstPlan): void {
    this.#lastPlan = plan;
    this.#tellFirst(plan);
  }
}
