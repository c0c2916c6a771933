import type { LogicalType } from '../batch/logical-type.js';
import type { SnapshotConfig } from '../config/config.js';
import type { HeapRange, LoadProgress } from '../destination/load-progress.js';
import type { SnapshotMark } from '../destination/target-table.js';
import type { LoadOutcome, RunRecord, StreamStart } from '../destination/writer.js';
import { SluiceError } from '../error/sluice-error.js';
import { keyHint } from '../source/codec/column-codec-table.js';
import type { DecodedColumn } from '../source/copy-decoder.js';
import { abandonReceiver, openBatchChannel } from '../thread/batch-channel.js';
import { failpoint } from '../thread/failpoint.js';
import type { OpenDestination } from './destinations.js';
import type { Clock, EngineEvent, TableRun } from './engine.js';
import { type HeapRelation, obstacleToResume, rangeCondition, rangesToRead, writtenSince } from './heap-range.js';
import { LoadParts, type LoadTask } from './load-parts.js';
import type { ReaderThread } from './reader/reader-thread.js';
import { settleBoth } from './settle.js';
import type { SnapshotReaders } from './snapshot-readers.js';
import { copySql, rejectedSql, type TablePlan } from './table-plan.js';

export interface LoadDeps {
  readonly readers: SnapshotReaders;
  readonly snapshot: SnapshotConfig;
  readonly destination: OpenDestination;
  readonly clock: Clock;
  readonly onEvent: (event: EngineEvent) => void;
  readonly run: RunRecord;
  readonly signal: AbortSignal;
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
  /** cdc: lets another process go on with the load; absent: a load that is broken off begins anew. */
  readonly resumption?: Resumption;
}

export interface Resumption {
  /** Of the load: what was read under another one is of no use. */
  readonly identity: string;
  /** Has the stream deliver all that was committed before the position. */
  readonly catchUp: (lsn: string) => Promise<void>;
}

export interface LoadedTable {
  readonly run: TableRun;
  readonly mark: SnapshotMark | null;
  readonly outcome: LoadOutcome;
}

/**
 * Loads one table anew: COPY under one snapshot into a table beside the target, then one transaction that swaps it in.
 * A load that was broken off is gone on with where that is exact (docs/snapshots.md). Where the destination takes no more
 * loads at once it waits for a place first, as long as that takes.
 * @param seedLsn the stream's position before the snapshot; null for methods other than cdc
 */
export function loadTable(
  plan: TablePlan,
  deps: LoadDeps,
  seedLsn: string | null,
  finish: LoadFinish,
): Promise<LoadedTable> {
  const { destination, onEvent, signal } = deps;
  const onWait = (what: string): void => onEvent({ kind: 'waiting', address: plan.address, what });
  return destination.withLoadPlace(onWait, signal, () => loadNow(plan, deps, seedLsn, finish));
}

async function loadNow(
  plan: TablePlan,
  deps: LoadDeps,
  seedLsn: string | null,
  finish: LoadFinish,
): Promise<LoadedTable> {
  const { readers, destination, clock, onEvent } = deps;
  const { writer } = destination;
  const startedMs = clock.monotonicMs();
  onEvent({
    kind: 'load_started',
    address: plan.address,
    method: plan.target.method,
    estimatedRows: plan.observed.estimatedRows,
  });
  const partitionsOf = seedLsn !== null && plan.observed.kind === 'p' ? plan.observed.oid : null;
  const { partitions, ...taken } = await readers.begin(plan, partitionsOf);
  const mark = seedLsn === null ? null : { ...taken, seedLsn };
  const seed = seedLsn === null ? null : { lsn: seedLsn, at: taken.takenAt };
  const relations = await heapRelations(plan, readers);
  const resumption = mark === null || relations === null ? null : (finish.resumption ?? null);
  const known =
    resumption === null || relations === null
      ? null
      : await resumable(plan, deps, resumption.identity, relations, taken.snapshot);
  const knownRows = known?.rows ?? 0;
  const parts = new LoadParts({
    plan,
    readers,
    destination,
    clock,
    saveEveryMs: resumption === null || mark === null ? null : deps.snapshot.saveEveryMs,
    onProgress: (rows, bytes) =>
      onEvent({ kind: 'load_progress', address: plan.address, rows: knownRows + rows, bytes, estimatedRows: null }),
  });
  const durationMs = (): number => Math.max(1, clock.monotonicMs() - startedMs);
  let outcome: LoadOutcome;
  try {
    if (known !== null && resumption !== null && mark !== null && relations !== null) {
      await resumption.catchUp(taken.snapshotLsn);
      await writer.resumeLoad({ table: plan.target, seed });
      const changed = rangeTasks(plan, relations, known.ranges, writtenSince(known.mark.snapshot));
      await readers.join(plan, changed.length);
      await parts.read('changed', changed);
      const obstacle = finish.obstacle?.() ?? null;
      if (obstacle !== null) throw obstacle;
      await writer.rebaseLoad({ table: plan.target, mark });
      await failpoint('after_load_rebase');
    } else {
      const progress = resumption === null || mark === null ? null : { identity: resumption.identity, mark };
      await writer.beginLoad({ table: plan.target, seed, progress });
    }
    const tasks =
      relations === null
        ? [{ sql: copySql(plan, finish.where), range: null }]
        : rangeTasks(plan, relations, rangesToRead(relations, known?.ranges ?? []), finish.where);
    await readers.join(plan, tasks.length);
    await parts.read('load', tasks);
    await copyRejectedValues(plan, { reader: readers.first, destination }, parts.rejected, finish.where, known);
    await readers.end();
    await failpoint('before_load_finish');
    outcome = await destination.pages.run(() => {
      const obstacle = finish.obstacle?.() ?? null;
      if (obstacle !== null) throw obstacle;
      return writer.finishLoad({
        table: plan.target,
        mark,
        asOf: taken.takenAt,
        cursor: finish.cursor,
        rowsPerSecond: parts.rows < MIN_ROWS_FOR_RATE ? null : (parts.rows / durationMs()) * 1000,
        run: deps.run,
        stream: finish.stream,
        partitions,
      });
    });
  } catch (error) {
    // What this leaves behind the next load removes; the reason of the failure is worth more than a second one.
    const leave = resumption !== null && isPassing(error) ? writer.leaveLoad : writer.abandonLoad;
    await leave(plan.address).catch(() => undefined);
    throw error;
  }
  await failpoint('after_load_finish');
  const totalMs = clock.monotonicMs() - startedMs;
  onEvent({ kind: 'load_ended', address: plan.address, rows: outcome.rows, bytes: parts.bytes, durationMs: totalMs });
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

async function heapRelations(plan: TablePlan, readers: SnapshotReaders): Promise<readonly HeapRelation[] | null> {
  const { oid, kind } = plan.observed;
  return kind === 'r' || kind === 'p' ? readers.first.heapRelations({ oid, kind }) : null;
}

/** The unfinished load of the table that can be gone on with under a new snapshot; null where there is none. */
async function resumable(
  plan: TablePlan,
  deps: LoadDeps,
  identity: string,
  relations: readonly HeapRelation[],
  snapshot: string,
): Promise<LoadProgress | null> {
  const tell = (message: string): void => deps.onEvent({ kind: 'notice', address: plan.address, message });
  const known = await deps.destination.writer.readLoad(plan.address);
  if (known === null || known.ranges.length === 0) return null;
  const obstacle =
    known.identity === identity
      ? obstacleToResume(known.ranges, relations, known.mark.snapshot, snapshot)
      : 'the table, its settings or the server have changed';
  if (obstacle !== null) {
    tell(`an unfinished snapshot is begun anew: ${obstacle}`);
    return null;
  }
  const blocks = relations.reduce((sum, relation) => sum + relation.blocks, 0);
  const left = rangesToRead(relations, known.ranges).reduce((sum, range) => sum + blocksOf(range, relations), 0);
  const percent = blocks === 0 ? 100 : Math.floor(((blocks - left) / blocks) * 100);
  tell(`an unfinished snapshot goes on at ${percent}%: ${known.rows} rows are there`);
  return known;
}

function blocksOf(range: HeapRange, relations: readonly HeapRelation[]): number {
  const end = range.end ?? relations.find(({ oid }) => oid === range.relation)?.blocks ?? range.first;
  return Math.max(0, end - range.first);
}

function rangeTasks(
  plan: TablePlan,
  relations: readonly HeapRelation[],
  ranges: readonly HeapRange[],
  where: string | null,
): LoadTask[] {
  return ranges.map((range) => {
    const conditions = [rangeCondition(range), where].filter((condition) => condition !== null);
    const sql = conditions.length === 0 ? null : conditions.map((condition) => `(${condition})`).join(' AND ');
    return { sql: copySql(plan, sql, [], relations.find(({ oid }) => oid === range.relation) ?? null), range };
  });
}

/** Trouble that says nothing against what has been read. */
function isPassing(error: unknown): boolean {
  if (!(error instanceof SluiceError)) return false;
  switch (error.code) {
    case 'CANCELLED':
    case 'TIMEOUT':
    case 'SOURCE_HOST_UNKNOWN':
    case 'SOURCE_UNREACHABLE':
    case 'SOURCE_TIMEOUT':
    case 'SOURCE_CONNECTION_LOST':
    case 'SOURCE_BUSY':
    case 'TUNNEL_UNREACHABLE':
    case 'TUNNEL_LOST':
    case 'DESTINATION_BUSY':
      return true;
    default:
      return false;
  }
}

/** Below this a load's time is mostly its fixed cost and says nothing of the rate. */
const MIN_ROWS_FOR_RATE = 50_000;

/**
 * Reads the original text of values that did not fit, in the snapshot that they were copied from.
 * @param rejected by position of the column: how many
 * @param earlier a load that was gone on with: some of its values may have changed since they were counted
 */
export async function copyRejectedValues(
  plan: TablePlan,
  deps: { readonly reader: ReaderThread; readonly destination: OpenDestination },
  rejected: readonly number[],
  where: string | null,
  earlier: LoadProgress | null = null,
): Promise<void> {
  for (const [position, count] of rejected.entries()) {
    if (count === 0 && earlier?.rejectedColumns.includes(position) !== true) continue;
    const name = plan.columns[position]?.name ?? '';
    const logical: LogicalType = plan.columns[position]?.logical ?? { kind: 'varchar' };
    if (plan.target.key.includes(name)) {
      throw new SluiceError({
        code: 'KEY_NOT_REPRESENTABLE',
        address: plan.address,
        message: `${count} values of the key column "${name}" do not fit its destination type, so rows could not be told apart`,
        hint: keyHint(name, logical),
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
    if (recorded !== count && earlier === null) {
      throw new SluiceError({
        code: 'INTERNAL',
        address: plan.address,
        message: `${count} values of "${name}" did not fit but ${recorded} were found again; nothing was committed`,
      });
    }
  }
}
