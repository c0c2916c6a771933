import { randomUUID } from 'node:crypto';
import { asSluiceError, type PlainError, SluiceError, toPlain } from '../error/sluice-error.js';
import { stateAfter } from '../planner/apply-edit.js';
import type { Change } from '../planner/change.js';
import { emptyState, withCleanup } from '../state/edit.js';
import { writeBesideGuard } from '../state/halt.js';
import type { CleanupFailure, StateDocument } from '../state/state.js';
import type { StateStore } from '../state/state-store.js';
import { failpoint } from '../thread/failpoint.js';
import { type CarryOutDeps, carryOut, makeSlot, SourceWork } from './carry-out.js';
import type { ChangeResult, Clock, EngineEvent } from './engine.js';
import { FailedSteps, sourceOf } from './failed-steps.js';

export interface MakeChangesDeps extends CarryOutDeps {
  readonly stateFile: StateStore;
  readonly clock: Clock;
  readonly onEvent: (event: EngineEvent) => void;
}

/**
 * Makes changes in their order. Each is recorded in the state as soon as it is done; one that fails leaves what was done
 * before it applied, and those that build on it unattempted.
 * @param current the state as it is stored
 * @param refused what keeps a change from being made, where that is known beforehand
 * @returns a result for every change; failures are in it, not thrown
 */
export async function makeChanges(
  changes: readonly Change[],
  current: StateDocument | null,
  deps: MakeChangesDeps,
  signal: AbortSignal,
  refused: (change: Change) => PlainError | null = () => null,
): Promise<ChangeResult[]> {
  const results: ChangeResult[] = [];
  const works = new Map<string, SourceWork>();
  const recorder = new Recorder(current, deps);
  const steps = new FailedSteps(changes);
  const fail = (change: Change, error: PlainError): ChangeResult => {
    steps.add(change, error);
    return { change, status: 'failed', error };
  };

  const make = async (change: Change): Promise<ChangeResult> => {
    const known = refused(change);
    if (known !== null) return fail(change, known);
    deps.onEvent({ kind: 'change_started', change });
    const startedMs = deps.clock.monotonicMs();
    try {
      const source = sourceOf(change.address);
      const work = works.get(source) ?? new SourceWork(source, deps, signal);
      works.set(source, work);
      if (steps.isLeaving(change)) await recorder.beginCleanup(change);
      const context =
        change.action === 'create_slot'
          ? await makeSlot(
              change,
              source,
              work,
              () => recorder.state,
              (next) => recorder.record(next),
              signal,
            )
          : await carryOut(change, source, recorder.state, work, signal);
      await failpoint('before_state_write');
      await recorder.record(stateAfter(recorder.state, change, context));
      await failpoint('after_state_write');
      return { change, status: 'applied', durationMs: deps.clock.monotonicMs() - startedMs };
    } catch (error) {
      return fail(change, toPlain(asSluiceError(error)));
    }
  };

  /** What is left of a source is recorded with why. */
  const leave = async (change: Change, result: ChangeResult): Promise<ChangeResult> => {
    try {
      await recorder.leaveForLater(change.address, steps.failuresOf(change.address));
      return result;
    } catch (error) {
      return fail(change, toPlain(asSluiceError(error)));
    }
  };

  try {
    for (const change of changes) {
      if (signal.aborted) break;
      const inTheWay = steps.inTheWayOf(change);
      const result: ChangeResult = inTheWay === null ? await make(change) : notAttempted(change, failureOf(inTheWay));
      const left = change.action === 'remove_source' && result.status !== 'applied';
      results.push(left ? await leave(change, result) : result);
      if (inTheWay === null) deps.onEvent({ kind: 'change_ended', result });
    }
  } finally {
    for (const work of works.values()) await work.end();
  }
  const because = signal.reason instanceof SluiceError ? signal.reason.message : 'the apply ended before it';
  return [...results, ...changes.slice(results.length).map((change) => notAttempted(change, because))];
}

function notAttempted(change: Change, because: string): ChangeResult {
  return { change, status: 'not_attempted', because };
}

function failureOf({ action, address }: Change): string {
  return `${action} ${address} failed`;
}

/** The state while changes are made. */
class Recorder {
  readonly #deps: Pick<MakeChangesDeps, 'stateFile' | 'clock'>;
  #expected: StateDocument | null;
  state: StateDocument;

  constructor(current: StateDocument | null, deps: Pick<MakeChangesDeps, 'stateFile' | 'clock'>) {
    this.#deps = deps;
    this.#expected = current;
    this.state = current ?? emptyState(randomUUID());
  }

  async record(next: StateDocument): Promise<void> {
    this.state = await writeBesideGuard(this.#deps.stateFile, next, this.#expected);
    this.#expected = this.state;
  }

  /** Before the first step of a removal, so that what is broken off from here on is gone on with. */
  async beginCleanup(change: Change): Promise<void> {
    const source = sourceOf(change.address);
    // The last step alone leaves nothing halfway.
    if (change.action === 'remove_source' || this.state.sources[source]?.cleanup !== null) return;
    const since = this.#deps.clock.now().toISOString();
    await this.record(withCleanup(this.state, source, { since, failures: [] }));
  }

  /** Keeps what is left of a source, with why; where that is known already the state stays as it is. */
  async leaveForLater(source: string, failures: readonly CleanupFailure[]): Promise<void> {
    const known = this.state.sources[source];
    if (known === undefined) return;
    const since = known.cleanup?.since ?? this.#deps.clock.now().toISOString();
    if (known.cleanup !== null && sameFailures(known.cleanup.failures, failures)) return;
    await this.record(withCleanup(this.state, source, { since, failures }));
  }
}

/** Messages name backends and times: every attempt would be another one, and make plans stale. */
export function sameFailures(left: readonly CleanupFailure[], right: readonly CleanupFailure[]): boolean {
  const text = (failures: readonly CleanupFailure[]): string =>
    JSON.stringify(failures.map(({ address, code }) => [address, code]));
  return text(left) === text(right);
}
