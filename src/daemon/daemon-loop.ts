import type { PlainError } from '../error/sluice-error.js';
import type { Clock, Engine } from '../executor/engine.js';
import type { HeldTable } from '../executor/table-holds.js';
import type { Plan } from '../planner/change.js';
import { Lane } from './lane.js';
import type { Log } from './log.js';
import type { SourceCondition } from './metrics.js';
import { Planning } from './planning.js';
import type { SourceHold } from './self-report.js';
import { lookAfterLakes } from './upkeep.js';

/** Hears what the loop finds out, for metrics and health. */
export interface LoopObserver {
  /** @param outcome applying: its changes are being made, which `applied` or `planFailed` follows */
  planned(plan: Plan, outcome: 'nothing' | 'waiting' | 'applying' | 'applied'): void;
  /** No plan could be made, something stands in its way, or not all of it could be applied; tried again. */
  planFailed(error: PlainError): void;
  /** @param hold why it is not synced; null where it runs */
  sourceIs(source: string, condition: SourceCondition, hold: SourceHold | null): void;
  /** @param held tables of a source that are left alone for a while, as they failed; the others go on */
  tablesAre(source: string, held: readonly HeldTable[]): void;
}

export interface LoopDeps {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly log: Log;
  /** In [0, 1). */
  readonly random: () => number;
  readonly observer: LoopObserver;
}

/**
 * The daemon's work: a lane for each source, and planning and the upkeep of lakes beside them. None of them waits for
 * another, but at the start: before the config was planned once there may be nothing to sync.
 */
export class DaemonLoop {
  readonly #deps: LoopDeps;
  readonly #lanes: ReadonlyMap<string, Lane>;
  readonly #planning: Planning;

  constructor(deps: LoopDeps) {
    this.#deps = deps;
    this.#planning = new Planning(deps, () => this.#wakeLanes());
    const sources = Object.values(deps.engine.config.sources);
    const onDrift = (source: string, drift: readonly string[]): void => this.#planning.noteDrift(source, drift);
    this.#lanes = new Map(sources.map((source) => [source.name, new Lane(source, deps, onDrift)]));
  }

  /** Plans anew, and looks at once what there is to do: somebody has changed the state through this process. */
  wake(): void {
    this.#planning.planAnew();
    this.#wakeLanes();
  }

  /** Does at once what is held back, as what stood in its way may be mended. */
  tryAgain(): void {
    this.#planning.planAnew();
    for (const lane of this.#lanes.values()) lane.tryAgain();
  }

  #wakeLanes(): void {
    for (const lane of this.#lanes.values()) lane.wake();
  }

  /**
   * Runs until a signal aborts.
   * @param signal breaks off what is under way
   * @param finish ends at the next break: the pieces of work under way go on to their end, followers end in order
   */
  async run(signal: AbortSignal, finish: AbortSignal): Promise<void> {
    const { observer } = this.#deps;
    for (const source of this.#lanes.keys()) observer.sourceIs(source, 'running', null);
    const fault = new AbortController();
    const hard = AbortSignal.any([signal, fault.signal]);
    const either = AbortSignal.any([hard, finish]);
    let planned = (): void => undefined;
    const afterFirst = new Promise<void>((resolve) => {
      planned = resolve;
    });
    const neededAt = (source: string): Date => this.#lanes.get(source)?.neededAt() ?? this.#deps.clock.now();
    const activities = [
      () => this.#planning.run(hard, either, planned),
      ...[...this.#lanes.values()].map((lane) => () => afterFirst.then(() => lane.run(hard, either))),
      () => afterFirst.then(() => lookAfterLakes(this.#deps, neededAt, hard, either)),
    ];
    const ends = await Promise.allSettled(
      activities.map(async (activity) => {
        try {
          await activity();
        } catch (error) {
          // Everything that can go wrong on its own was handled there; what is left is the stop, or a fault, which ends all.
          if (either.aborted) return;
          fault.abort(error);
          throw error;
        }
      }),
    );
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  }
}
