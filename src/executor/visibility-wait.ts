import { SluiceError } from '../error/sluice-error.js';
import { parseSnapshot } from '../pgoutput/snapshot-visibility.js';
import type { SourceConnection } from '../source/connect.js';
import { currentSnapshot, nextTransactionId } from '../source/slot.js';
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

/**
 * For a slot that was read for another destination: a transaction that it passed there may not be visible yet, and which
 * ones is known there alone. So everything that had begun to write by now has to end, as for a new slot, which waits for
 * that by itself; then no load can miss what the slot has passed.
 * @throws SluiceError SNAPSHOT_WAIT_TIMEOUT when `untilMs` of the clock has passed
 */
export async function waitUntilNoneIsOlder(
  address: string,
  control: SourceConnection,
  deps: { readonly clock: Clock; readonly onWait: (what: string) => void; readonly untilMs: number },
  signal: AbortSignal,
): Promise<void> {
  const next = await nextTransactionId(control, signal);
  let toldMs = Number.NEGATIVE_INFINITY;
  for (;;) {
    const { xmin } = parseSnapshot(await currentSnapshot(control, signal));
    const oldest = Number(BigInt.asUintN(32, xmin));
    if (((oldest - next) | 0) >= 0) return;
    const nowMs = deps.clock.monotonicMs();
    const what = `transactions that were open when the destination was changed (the oldest is ${oldest})`;
    if (nowMs >= deps.untilMs) {
      throw new SluiceError({
        code: 'SNAPSHOT_WAIT_TIMEOUT',
        address,
        message: `the first loads into another destination wait for ${what}: they might miss what these have written`,
        hint: 'look at pg_stat_activity (backend_xid) and pg_prepared_xacts; it is tried again at the next sync',
      });
    }
    if (nowMs - toldMs >= TELL_EVERY_MS) {
      deps.onWait(`waiting for ${what}`);
      toldMs = nowMs;
    }
    await deps.clock.sleep(POLL_MS, signal);
  }
}
