import { SluiceError } from '../error/sluice-error.js';
import type { Clock } from './engine.js';

const POLL_MS = 200;
const TELL_EVERY_MS = 5_000;

/**
 * A commit that waits for its synchronous standby is in the WAL and decoded, but no snapshot sees it. Where the stream has
 * passed such a transaction, a load now would miss what it wrote for good: the load waits until it can be seen. What is
 * streamed later is held for the load and told apart by the snapshot itself.
 * @param find ids of streamed transactions that cannot be seen yet
 * @throws SluiceError SNAPSHOT_WAIT_TIMEOUT when `untilMs` of the clock has passed
 */
export async function waitUntilSeen(
  address: string,
  find: () => Promise<readonly number[]>,
  deps: { readonly clock: Clock; readonly onWait: (what: string) => void; readonly untilMs: number },
  signal: AbortSignal,
): Promise<void> {
  let toldMs = Number.NEGATIVE_INFINITY;
  for (let hidden = await find(); hidden.length > 0; hidden = await find()) {
    const nowMs = deps.clock.monotonicMs();
    const what = `${hidden.length === 1 ? 'a transaction that is' : `${hidden.length} transactions that are`} committed but not visible yet (${hidden.slice(0, 5).join(', ')})`;
    if (nowMs >= deps.untilMs) {
      throw new SluiceError({
        code: 'SNAPSHOT_WAIT_TIMEOUT',
        address,
        message: `a load would miss ${what}: the server waits for a synchronous standby`,
        hint: 'look at synchronous_standby_names and pg_stat_replication; the load is tried again at the next sync',
      });
    }
    if (nowMs - toldMs >= TELL_EVERY_MS) {
      deps.onWait(`waiting for ${what}; the server waits for a synchronous standby`);
      toldMs = nowMs;
    }
    await deps.clock.sleep(POLL_MS, signal);
  }
}
