import type { StreamFacts } from '../destination/facts.js';
import { parseLsn } from '../pgoutput/lsn.js';
import type { ObservedServer } from '../source/catalog-model.js';
import type { ConnectTarget } from '../source/connect.js';
import { readTimelineHistory } from '../source/timeline.js';
import type { TimelineHistory } from '../source/timeline-history.js';

/** What a look at the server is missing before a stream's position can be judged against it. */
export interface StreamCheck {
  readonly server: ObservedServer;
  readonly history: TimelineHistory | null;
}

/**
 * Completes what was seen of a server for findBreak. The history of its timeline is asked for only where the position lies
 * on another one. Where the position was read after the server, and a sync had moved it on meanwhile, the server seems to
 * be behind: then it is looked at again.
 * @param again reads the server anew
 * @throws SluiceError when it cannot be reached
 */
export async function checkStream(
  seen: ObservedServer,
  stream: StreamFacts | null,
  deps: { readonly target: ConnectTarget; readonly again: () => Promise<ObservedServer> },
  signal: AbortSignal,
): Promise<StreamCheck> {
  if (stream === null) return { server: seen, history: null };
  const behind = parseLsn(seen.currentWalLsn) < parseLsn(stream.confirmedLsn);
  const server = behind ? await deps.again() : seen;
  const to = server.timelineId;
  const strayed = stream.timelineId !== null && to !== null && to !== stream.timelineId;
  return { server, history: strayed ? await readTimelineHistory(deps.target, to, signal) : null };
}
