import type { SluiceError } from '../error/sluice-error.js';
import { type Lsn, parseLsn } from '../pgoutput/lsn.js';
import { abandonReceiver, openBatchChannel } from '../thread/batch-channel.js';
import type { TableRun } from './engine.js';
import { failpoint } from './failpoint.js';
import { copyRejectedValues, type LoadDeps, settleBoth } from './load-table.js';
import { copySql, decodedColumns, snapshotOf, type TablePlan } from './table-plan.js';

export interface BackfillRequest {
  readonly columns: readonly string[];
  readonly id: number;
  /** Reads the stream until it has passed this position; the table's changes are held meanwhile. */
  readonly passStream: (position: Lsn) => Promise<void>;
  /** Asked before the last step, while no page is under way: an error ends the backfill without effect. */
  readonly obstacle: () => SluiceError | null;
}

/**
 * Fills columns that were added to a loaded table: reads its key and these columns under one snapshot. The table's
 * changes must be held from before this call until it ends, so that each value finds its place among them.
 */
export async function backfillColumns(plan: TablePlan, request: BackfillRequest, deps: LoadDeps): Promise<TableRun> {
  const { reader, destination, clock, onEvent } = deps;
  const { writer } = destination;
  const startedMs = clock.monotonicMs();
  const narrow = keyAnd(plan, request.columns);
  onEvent({
    kind: 'load_started',
    address: plan.address,
    method: 'backfill',
    estimatedRows: plan.observed.estimatedRows,
  });
  const taken = await reader.beginSnapshot(snapshotOf(narrow));
  const channel = openBatchChannel();
  await writer.beginLoad({ table: narrow.target, seed: null, channel: channel.receiver });
  try {
    const copying = reader.copy({
      address: plan.address,
      sql: copySql(narrow, null),
      columns: decodedColumns(narrow),
      channel: channel.sender,
    });
    copying.catch(() => abandonReceiver(channel.sender.shared));
    const [summary] = await settleBoth(copying, destination.continueLoad(plan.address, channel.sender.shared));
    await copyRejectedValues(narrow, deps, summary, null);
    await reader.endSnapshot();
    // What the snapshot saw has to be among the held changes, or a later page would bring it over the newer values.
    await request.passStream(parseLsn(taken.snapshotLsn));
    await failpoint('before_load_finish');
    const outcome = await destination.pages.run(() => {
      const obstacle = request.obstacle();
      if (obstacle !== null) throw obstacle;
      return writer.finishBackfill({
        table: plan.target,
        columns: request.columns,
        id: request.id,
        mark: { ...taken, seedLsn: taken.snapshotLsn },
        run: deps.run,
      });
    });
    await failpoint('after_load_finish');
    const durationMs = clock.monotonicMs() - startedMs;
    onEvent({ kind: 'load_ended', address: plan.address, rows: outcome.rows, bytes: summary.bytes, durationMs });
    return {
      address: plan.address,
      kind: 'backfill',
      status: 'ok',
      rows: outcome.rows,
      inserted: 0,
      updated: outcome.rows,
      deleted: 0,
      rejected: outcome.rejected,
      durationMs,
      error: null,
    };
  } catch (error) {
    await writer.abandonLoad(plan.address).catch(() => undefined);
    throw error;
  }
}

function keyAnd(plan: TablePlan, columns: readonly string[]): TablePlan {
  const wanted = new Set([...plan.target.key, ...columns]);
  return {
    ...plan,
    columns: plan.columns.filter(({ name }) => wanted.has(name)),
    target: { ...plan.target, columns: plan.target.columns.filter(({ name }) => wanted.has(name)) },
  };
}
