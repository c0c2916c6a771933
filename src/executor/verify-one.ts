import { randomUUID } from 'node:crypto';
import { toPlain } from '../error/sluice-error.js';
import { pauseOf } from '../state/pause.js';
import type { Chosen } from './addressed.js';
import type { TableVerdict, VerifyRequest } from './engine.js';
import { placeTrouble } from './place-check.js';
import type { SourceWork } from './source-work.js';
import { notCompared, verifySource } from './verify-source.js';

/** A source that is compared alone: the caller has its turn. @throws SluiceError PAUSED, ADDRESS_UNKNOWN, STATE_UNREADABLE */
export async function verifyOne(
  { source, only }: Chosen,
  request: VerifyRequest,
  work: SourceWork,
  signal: AbortSignal,
): Promise<readonly TableVerdict[]> {
  const state = await work.applied();
  const sourceState = state.sources[source];
  const settings = work.config.sources[source];
  if (sourceState === undefined) return [];
  // A comparison streams on, and what is paused stands still.
  const paused = pauseOf(source, sourceState, null);
  if (paused !== null && request.address !== null) throw paused;
  if (paused !== null) return [];
  const notHere = await placeTrouble(work.config, state, source);
  if (settings === undefined || notHere !== null) {
    const error = notHere === null ? work.leftTheFile(source) : toPlain(notHere);
    const left = Object.entries(sourceState.tables).filter(([key]) => only === null || key === only);
    return left.map(([key, table]) => notCompared(`${source}:${key}`, table, error));
  }
  const { samplePercent, limit } = request;
  const seed = request.seed ?? randomUUID().slice(0, 8);
  const claim = work.followers.claimOf(source, signal);
  try {
    await claim.take();
    return await work.destinations.using(sourceState.destination, (destination) =>
      verifySource(
        { ...work.requestOf(settings, sourceState), only, samplePercent, seed, limit },
        { ...work.syncDeps(source, destination), claim: claim.take },
        signal,
      ),
    );
  } finally {
    claim.giveBack();
    await work.destinations.release(sourceState.destination);
  }
}
