import type { Lsn } from '../pgoutput/lsn.js';
import type { SourceConnection } from '../source/connect.js';
import { currentWalFlushLsn } from '../source/slot.js';
import type { SourceSyncRun } from './source-sync-run.js';
import type { SourceStream } from './stream-source.js';

/**
 * While tables load, the stream is read so that a long load does not pin WAL. Each page interrupts the load, and a row
 * group that is cut off has to be compressed again, so it has to be worth it: this much WAL, or this long.
 */
const STREAM_LOOK_MS = 2_000;
const STREAM_DURING_LOAD_BYTES = 64n * 1024n * 1024n;
const STREAM_DURING_LOAD_MS = 60_000;
/** Who asked for seconds of latency is given them while a table loads, too. */
const CONTINUOUS_DURING_LOAD_MS = 5_000;

/** Reads a page when enough WAL has piled up, or after a while, until the loads are done. */
export async function streamWhile(
  run: SourceSyncRun,
  control: SourceConnection,
  { stream, target }: { readonly stream: SourceStream; readonly target: Lsn },
  loadsDone: AbortSignal,
): Promise<void> {
  const { clock } = run.deps;
  const signal = AbortSignal.any([loadsDone, run.signal]);
  const { following } = run.request;
  const everyMs =
    following === null ? STREAM_DURING_LOAD_MS : Math.max(following.flush.everyMs, CONTINUOUS_DURING_LOAD_MS);
  let readAtMs = clock.monotonicMs();
  for (;;) {
    try {
      await clock.sleep(STREAM_LOOK_MS, signal);
    } catch {
      run.signal.throwIfAborted();
      return;
    }
    const waitingBytes = (await currentWalFlushLsn(control, run.signal)) - stream.confirmed;
    const elapsedMs = clock.monotonicMs() - readAtMs;
    if (waitingBytes < STREAM_DURING_LOAD_BYTES && elapsedMs < everyMs) continue;
    await stream.page(target, run.signal);
    readAtMs = clock.monotonicMs();
  }
}
