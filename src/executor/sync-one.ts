import type { StoreTraffic } from '../destination/lake/object-store.js';
import { addTraffic, NO_TRAFFIC } from '../destination/lake/traffic.js';
import { toPlain } from '../error/sluice-error.js';
import { lagFacts } from '../guard/wal-lag.js';
import type { Chosen } from './addressed.js';
import { emptyRun } from './empty-run.js';
import type { DestinationTraffic, SourceRun, SyncRequest } from './engine.js';
import { placeTrouble } from './place-check.js';
import type { SourceWork } from './source-work.js';
import { syncSource } from './sync-source.js';
import { NO_VERDICTS } from './table-holds.js';
import { TrafficSum } from './writer-calls.js';

/** What a source's part in a sync came to, and what it asked of its destination's store. */
export interface SyncedSource {
  readonly run: SourceRun;
  readonly destination: string | null;
  readonly traffic: StoreTraffic | null;
}

/** A source that is synced alone: the caller has its turn. @throws SluiceError ADDRESS_UNKNOWN, STATE_UNREADABLE */
export async function syncOne(
  { source, only }: Chosen,
  request: SyncRequest,
  work: SourceWork,
  signal: AbortSignal,
): Promise<SyncedSource> {
  const { clock, destinations, followers } = work;
  // Read in the turn: what was waited for may have changed it.
  const state = await work.applied();
  const sourceState = state.sources[source];
  const settings = work.config.sources[source];
  if (sourceState === undefined || settings === undefined) {
    return withoutWork(emptyRun(source, work.leftTheFile(source)));
  }
  const notHere = sourceState.paused === null ? await placeTrouble(work.config, state, source) : null;
  if (notHere !== null) return withoutWork(emptyRun(source, toPlain(notHere)));
  const startedMs = clock.monotonicMs();
  const { lag, halted } = await work.lookAtLag(source, sourceState, signal);
  const facts = lag === null ? null : lagFacts(lag);
  if (halted !== null) {
    return withoutWork({ ...emptyRun(source, toPlain(halted), clock.monotonicMs() - startedMs), lag: facts });
  }
  if (sourceState.paused !== null) {
    const message = `paused since ${sourceState.paused.at}: sluice resume ${source}`;
    work.onEvent({ kind: 'notice', address: source, message });
    return withoutWork({ ...emptyRun(source, null), lag: facts });
  }
  const force = request.force || request.untilCaughtUp;
  const followed = followers.has(source);
  // Its follower does what is due by itself before it streams.
  if (followed && !force && only === null && !followers.isStreaming(source)) {
    return withoutWork(emptyRun(source, null));
  }
  const { destination: name } = sourceState;
  const traffic = new TrafficSum();
  const claim = followers.claimOf(source, signal);
  try {
    const run = await destinations.using(
      name,
      (destination) =>
        syncSource(
          {
            ...work.requestOf(settings, sourceState),
            only,
            force,
            untilCaughtUp: request.untilCaughtUp,
            following: null,
            followedElsewhere: followed,
            held: force || only !== null ? NO_VERDICTS : work.heldTables(source, sourceState),
          },
          { ...work.syncDeps(source, destination), claim: claim.take },
          signal,
        ),
      traffic,
    );
    const ended = { ...run, error: await work.haltSince(source, sourceState, run.error), lag: facts };
    work.noteEnd(ended, sourceState);
    await destinations.release(name);
    const unpublished = (await work.publishCopies(new Set([name]))).get(name) ?? null;
    return { run: { ...ended, error: ended.error ?? unpublished }, destination: name, traffic: traffic.total };
  } finally {
    claim.giveBack();
  }
}

/** What all sources together asked of each destination's store. */
export function trafficOf(synced: readonly SyncedSource[]): readonly DestinationTraffic[] {
  const sums = new Map<string, StoreTraffic>();
  for (const { destination, traffic } of synced) {
    if (destination === null || traffic === null) continue;
    sums.set(destination, addTraffic(sums.get(destination) ?? NO_TRAFFIC, traffic));
  }
  return [...sums].map(([destination, traffic]) => ({ destination, ...traffic }));
}

function withoutWork(run: SourceRun): SyncedSource {
  return { run, destination: null, traffic: null };
}
