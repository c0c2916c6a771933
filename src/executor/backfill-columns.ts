import type { SluiceError } from '../error/sluice-error.js';
import { type Lsn, parseLsn } from '../pgoutput/lsn.js';
import { failpoint } from '../thread/failpoint.js';
import type { TableRun } from './engine.js';
import { LoadParts } from './load-parts.js';
import { copyRejectedValues, type LoadDeps } from './load-table.js';
import { copySql, type TablePlan } from './table-plan.js';

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
  const { readers, destination, clock, onEvent } = deps;
  const { writer } = destination;
  const startedMs = clock.monotonicMs();
  const narrow = keyAnd(plan, request.columns);
  onEvent({
    kind: 'load_started',
    address: plan.address,
    method: 'backfill',
    estimatedRows: plan.observed.estimatedRows,
  });
  const taken = await readers.begin(narrow);
  await writer.beginLoad({ table: narrow.target, seed: null, progress: null });
  const parts = new LoadParts({
    plan: narrow,
    readers,
    destination,
    clock,
    saveEveryMs: null,
    onProgress: (rows, bytes) =>
      onEvent({ kind: 'load_progress', address: plan.address, rows, bytes, estimatedRows: null }),
  });
  try {
    await parts.read('load', [{ sql: copySql(narrow, null), range: null }]);
    await copyRejectedValues(narrow, { reader: readers.first, destination }, parts.rejected, null);
    await readers.end();
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
    onEvent({ kind: 'load_ended', address: plan.address, rows: outcome.rows, bytes: parts.bytes, durationMs });
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
