import { asSluiceError, type PlainError, toPlain } from '../error/sluice-error.js';
import type { Change } from '../planner/change.js';
import type { Observed } from '../planner/observed.js';
import { planAsSeen } from '../planner/plan.js';
import { reachesDestination } from '../planner/source-end.js';
import type { StateDocument } from '../state/state.js';
import type { ChangeResult } from './engine.js';
import { FailedSteps, isTableStep, sourceOf } from './failed-steps.js';
import { type LeftThing, leftBehind } from './left-behind.js';
import { type MakeChangesDeps, makeChanges, sameFailures } from './make-changes.js';
import { observe } from './observe.js';
import { placeTrouble } from './place-check.js';
import { noConnection } from './source-connections.js';
import type { StateAccess } from './state-access.js';

/** A source that left the file and of which something could not be cleaned up yet. */
export interface PendingSource {
  readonly source: string;
  /** ISO; when its removal began. */
  readonly since: string;
  readonly left: readonly LeftThing[];
}

/** A look before the state is locked need not wait for somebody who holds the file. */
const BUSY_WAIT_MS = 1_000;

/** What is to be cleaned up, by name. A source that is in the file again is not. */
export function pendingCleanups(
  config: MakeChangesDeps['config'],
  state: StateDocument | null,
): readonly PendingSource[] {
  return Object.entries(state?.sources ?? {})
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .flatMap(([source, known]): PendingSource[] =>
      known.cleanup === null || config.sources[source] !== undefined
        ? []
        : [{ source, since: known.cleanup.since, left: leftBehind(source, known) }],
    );
}

/**
 * Tries again to clean up after sources whose removal was applied. Servers and destinations are looked at first: the state
 * is locked, and other work interrupted, only where something can be done.
 * @returns what is still left
 * @throws SluiceError STATE_LOCKED
 */
export async function cleanUp(
  deps: MakeChangesDeps & { readonly access: StateAccess },
  signal: AbortSignal,
): Promise<readonly PendingSource[]> {
  const { stateFile, access, config } = deps;
  const seen = await stateFile.read();
  const pending = pendingCleanups(config, seen);
  if (seen === null || pending.length === 0) return [];
  const look = await lookAround(seen, deps, signal);
  if (!canDoAnything(removals(seen, look, deps), look, seen)) return pending;
  const sources = pending.map(({ source }) => source);
  return access.changeSources(sources, signal, async (signal) => {
    const state = await stateFile.read();
    const changes = removals(state, look, deps);
    const results = await makeChanges(changes, state, { ...deps, onEvent: () => undefined }, signal, look.refuses);
    for (const result of results) if (isNews(result, state)) deps.onEvent({ kind: 'change_ended', result });
    await deps.destinations.releaseAll();
    return pendingCleanups(config, await stateFile.read());
  });
}

interface Look {
  readonly observed: Observed;
  /** Why a change cannot be made now; null where it may be tried. */
  readonly refuses: (change: Change) => PlainError | null;
}

async function lookAround(state: StateDocument, deps: MakeChangesDeps, signal: AbortSignal): Promise<Look> {
  const pending = onlyPending(state, deps);
  // A catalog is all that the plan needs; a destination is only asked whether it can be opened.
  const nothing = { ...deps.config, sources: {}, destinations: {} };
  const { sources } = await observe(nothing, pending, deps, signal);
  const troubles = new Map<string, PlainError>();
  for (const [address, source] of Object.entries(pending.sources)) {
    const name = source.destination;
    const notHere = await placeTrouble(deps.config, pending, address);
    if (notHere !== null) troubles.set(name, toPlain(notHere));
    if (!reachesDestination(deps.config, source) || troubles.has(name)) continue;
    try {
      const { writer } = await deps.destinations.get(name);
      await writer.readFacts({ busyWaitMs: BUSY_WAIT_MS });
      await deps.destinations.release(name);
    } catch (error) {
      signal.throwIfAborted();
      troubles.set(name, toPlain(asSluiceError(error)));
    }
  }
  return {
    observed: { sources, destinations: {} },
    refuses: (change) => {
      const source = sourceOf(change.address);
      const known = pending.sources[source];
      if (isTableStep(change) || change.action === 'remove_source') {
        return known !== undefined && reachesDestination(deps.config, known)
          ? (troubles.get(known.destination) ?? null)
          : null;
      }
      const server = sources[source];
      if (server === undefined) return toPlain(noConnection(deps.config, source));
      return server.ok ? null : server.error;
    },
  };
}

function onlyPending(state: StateDocument, { config }: MakeChangesDeps): StateDocument {
  const names = new Set(pendingCleanups(config, state).map(({ source }) => source));
  return { ...state, sources: Object.fromEntries(Object.entries(state.sources).filter(([name]) => names.has(name))) };
}

function removals(state: StateDocument | null, { observed }: Look, deps: MakeChangesDeps): readonly Change[] {
  if (state === null) return [];
  const config = { ...deps.config, sources: {}, moved: [] };
  return planAsSeen({ config, state: onlyPending(state, deps), observed, now: '', id: '', targets: [] }, true).changes;
}

/** Whether a step may succeed, or something is to be recorded that the state does not say yet. */
function canDoAnything(changes: readonly Change[], { refuses }: Look, state: StateDocument): boolean {
  const steps = new FailedSteps(changes);
  for (const change of changes) {
    if (steps.inTheWayOf(change) !== null) continue;
    const error = refuses(change);
    if (error === null) return true;
    steps.add(change, error);
  }
  return Object.entries(state.sources).some(
    ([name, { cleanup }]) =>
      cleanup !== null &&
      changes.some(({ address }) => address === name) &&
      !sameFailures(cleanup.failures, steps.failuresOf(name)),
  );
}

/** A failure that was told at an earlier attempt is told once. */
function isNews(result: ChangeResult, before: StateDocument | null): boolean {
  if (result.status !== 'failed') return result.status === 'applied';
  const { address } = result.change;
  const known = before?.sources[sourceOf(address)]?.cleanup?.failures ?? [];
  return !known.some((failure) => failure.address === address && failure.code === result.error.code);
}
