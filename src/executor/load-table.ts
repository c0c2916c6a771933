import type { SnapshotMark } from '../destination/target-table.js';
import type { LoadOutcome, RunRecord, StreamStart } from '../destination/writer.js';
import { SluiceError } from '../error/sluice-error.js';
import type { DecodedColumn } from '../source/copy-decoder.js';
import { abandonReceiver, openBatchChannel } from '../thread/batch-channel.js';
import type { OpenDestination } from './destinations.js';
import type { Clock, EngineEvent, TableRun } from './engine.js';
import { failpoint } from './failpoint.js';
import type { CopySummary, ReaderThread } from './reader/reader-thread.js';
import { copySql, decodedColumns, rejectedSql, snapshotOf, type TablePlan } from './table-plan.js';

export interface LoadDeps {
  readonly reader: ReaderThread;
  readonly destination: OpenDestination;
  readonly clock: Clock;
  readonly onEvent: (event: EngineEvent) => void;
  readonly run: RunRecord;
}

const REJECTED_COLUMNS: readonly DecodedColumn[] = (['key', 'column', 'source_text', 'reason'] as const).map(
  (name) => ({
    name,
    logical: { kind: 'varchar' },
    source: TEXT_TYPE(),
  }),
);

function TEXT_TYPE(): DecodedColumn['source'] {
  return {
    oid: 25,
    name: 'text',
    kind: 'b',
    baseOid: 25,
    baseName: 'text',
    baseKind: 'b',
    typmod: -1,
    element: null,
  };
}

/** What the last step of a load needs besides the rows. */
export interface LoadFinish {
  readonly cursor: string | null;
  /** cdc: where the stream starts when the destination knows of none yet. */
  readonly stream: StreamStart | null;
  /** Limits the rows of a first append load; null: all rows. */
  readonly where: string | null;
  /** Asked before the last step, while no page is under way: an error ends the load without effect. */
  readonly obstacle?: () => SluiceError | null;
}

/**
 * Loads one table anew: COPY under one snapshot into a table beside the target, then one transaction that swaps it in.
 * @param seedLsn the stream's position before the snapshot; null for methods other than cdc
 */
export async function loadTable(
  plan: TablePlan,
  deps: LoadDeps,
  seedLsn: string | null,
  finish: LoadFinish,
): Promise<{ run: TableRun; mark: SnapshotMark | null; outcome: LoadOutcome }> {
  const { reader, destination, clock, onEvent } = deps;
  const { writer } = destination;
  const startedMs = clock.monotonicMs();
  onEvent({
    kind: 'load_started',
    address: plan.address,
    method: plan.target.method,
    estimatedRows: plan.observed.estimatedRows,
  });
  const { partitions, ...taken } = await reader.beginSnapshot({
    ...snapshotOf(plan),
    partitionsOf: seedLsn !== null && plan.observed.kind === 'p' ? plan.observed.oid : null,
  });
  const mark = seedLsn === null ? null : { ...taken, seedLsn };
  const channel = openBatchChannel();
  await writer.beginLoad({
    table: plan.target,
    seed: seedLsn === null ? null : { lsn: seedLsn, at: taken.takenAt },
    channel: channel.receiver,
  });
  const durationMs = (): number => Math.max(1, clock.monotonicMs() - startedMs);
  let summary: CopySummary;
  let outcome: LoadOutcome;
  try {
    const copying = reader.copy({
      address: plan.address,
      sql: copySql(plan, finish.where),
      columns: decodedColumns(plan),
      channel: channel.sender,
    });
    // The reader passes its own failure through the channel; a thread that ended cannot, so the writer is told here.
    copying.catch(() => abandonReceiver(channel.sender.shared));
    const writing = destination.continueLoad(plan.address, channel.sender.shared);
    [summary] = await settleBoth(copying, writing);
    await copyRejectedValues(plan, deps, summary, finish.where);
    await reader.endSnapshot();
    await failpoint('before_load_finish');
    outcome = await destination.pages.run(() => {
      const obstacle = finish.obstacle?.() ?? null;
      if (obstacle !== null) throw obstacle;
      return writer.finishLoad({
        table: plan.target,
        mark,
        asOf: taken.takenAt,
        cursor: finish.cursor,
        rowsPerSecond: summary.rows < MIN_ROWS_FOR_RATE ? null : (summary.rows / durationMs()) * 1000,
        run: deps.run,
        stream: finish.stream,
        partitions,
      });
    });
  } catch (error) {
    // What this leaves behind the next load removes; the reason of the failure is worth more than a second one.
    await writer.abandonLoad(plan.address).catch(() => undefined);
    throw error;
  }
  await failpoint('after_load_finish');
  const totalMs = clock.monotonicMs() - startedMs;
  onEvent({ kind: 'load_ended', address: plan.address, rows: outcome.rows, bytes: summary.bytes, durationMs: totalMs });
  return {
    mark,
    outcome,
    run: {
      address: plan.address,
      kind: mark === null && plan.target.method !== 'cdc' ? plan.target.method : 'snapshot',
      status: 'ok',
      rows: outcome.rows,
      inserted: outcome.rows,
      updated: 0,
      deleted: 0,
      rejected: outcome.rejected,
      durationMs: totalMs,
      error: null,
    } as TableRun,
  };
}

/** Below this a load's time is mostly its fixed cost and says nothing of the rate. */
const MIN_ROWS_FOR_RATE = 50_000;

/** Waits for both, and throws the more telling error of the two: the one that is not a mere echo of the other's end. */
export async function settleBoth<A, B>(first: Promise<A>, second: Promise<B>): Promise<[A, B]> {
  const [a, b] = await Promise.allSettled([first, second]);
  if (a.status === 'fulfilled' && b.status === 'fulfilled') return [a.value, b.value];
  const reasons: unknown[] = [a, b].flatMap((r) => (r.status === 'rejected' ? [r.reason] : []));
  throw reasons.find((r) => !(r instanceof SluiceError && r.code === 'CANCELLED')) ?? reasons[0];
}

/** Reads the original text of values that did not fit, in the snapshot that they were copied from. */
export async function copyRejectedValues(
  plan: TablePlan,
  deps: Pick<LoadDeps, 'reader' | 'destination'>,
  summary: CopySummary,
  where: string | null,
): Promise<void> {
  for (const [position, count] of summary.rejected.entries()) {
    if (count === 0) continue;
    const name = plan.columns[position]?.name ?? '';
    if (plan.target.key.includes(name)) {
      throw new SluiceError({
        code: 'KEY_NOT_REPRESENTABLE',
        address: plan.address,
        message: `${count} values of the key column "${name}" do not fit its destination type, so rows could not be told apart`,
        hint: `give the column another type: types: { ${name}: varchar }`,
      });
    }
    const sql = rejectedSql(plan, position, where);
    let recorded = 0;
    if (sql !== null) {
      const channel = openBatchChannel();
      const copying = deps.reader.copy({ address: null, sql, columns: REJECTED_COLUMNS, channel: channel.sender });
      copying.catch(() => abandonReceiver(channel.sender.shared));
      const writing = deps.destination.writer.loadRejected({ address: plan.address, channel: channel.receiver });
      [, recorded] = await settleBoth(copying, writing);
    }
    if (recorded !== count) {
      throw new SluiceError({
        code: 'INTERNAL',
        address: plan.address,
        message: `${count} values of "${name}" did not fit but ${recorded} were found again; nothing was committed`,
      });
    }
  }
}
