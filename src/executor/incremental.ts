import type { TableFacts } from '../destination/facts.js';
import { SluiceError } from '../error/sluice-error.js';
import type { ObservedColumn } from '../source/catalog-model.js';
import type { SourceConnection } from '../source/connect.js';
import { quoteIdentifier, quoteLiteral, quoteQualified } from '../source/sql-identifier.js';
import { abandonReceiver, openBatchChannel } from '../thread/batch-channel.js';
import type { TableRun } from './engine.js';
import { copyRejectedValues, type LoadDeps } from './load-table.js';
import { waitForEarlierWriters } from './publication-wait.js';
import { settleBoth } from './settle.js';
import { copySql, decodedColumns, snapshotOf, type TablePlan } from './table-plan.js';

/**
 * Cursor methods. `append` reads what lies strictly above the last cursor, so no row is read twice. `incremental` writes
 * by key, so reading a row again does no harm: it starts at the last cursor itself (less the lookback) wherever several
 * rows may share a value, and above it only where the cursor column is unique.
 */

export function cursorColumn(plan: TablePlan): ObservedColumn {
  const name = plan.state.cursor;
  const column = plan.columns.find((entry) => entry.name === name)?.column;
  if (column === undefined) {
    throw new SluiceError({
      code: 'COLUMN_MISSING',
      address: plan.address,
      message: `the cursor column "${name ?? ''}" is not among the table's columns`,
      hint: 'run: sluice plan, then sluice apply',
    });
  }
  return column;
}

/**
 * The highest cursor value up to which nothing can appear any more: it is read first, then every transaction that was
 * writing to the table has to end. Otherwise a row whose transaction took its number or its time earlier but commits
 * later would lie below the cursor for ever.
 * @returns null for an empty table
 */
export async function settledUpperBound(
  plan: TablePlan,
  control: SourceConnection,
  deps: Pick<LoadDeps, 'clock' | 'onEvent'>,
  signal: AbortSignal,
): Promise<string | null> {
  const [row] = await control.query<{ upper: string | null }>(upperBoundSql(plan), [], signal);
  const onWait = (what: string): void => deps.onEvent({ kind: 'waiting', address: plan.address, what });
  await waitForEarlierWriters(
    control,
    plan.observed,
    plan.address,
    { clock: deps.clock, onWait, deadlineMs: WRITERS_DEADLINE_MS },
    signal,
  );
  return row?.upper ?? null;
}

/** A cursor sync is short and comes again soon, so it does not wait long for somebody's open transaction. */
const WRITERS_DEADLINE_MS = 60_000;

function upperBoundSql(plan: TablePlan): string {
  const cursor = quoteIdentifier(cursorColumn(plan).name);
  return `SELECT pg_catalog.max(${cursor})::text AS upper FROM ${quoteQualified(plan.observed)}`;
}

/** Interval and date arithmetic is only defined for these; a lookback on other types is refused by the planner's caller. */
function takesLookback(column: ObservedColumn): boolean {
  return ['timestamp without time zone', 'timestamp with time zone', 'date'].includes(column.type.baseName);
}

/** The WHERE clause of one run. @param last the cursor that the destination holds, null for the first run */
export function cursorWhere(plan: TablePlan, last: string | null, upper: string): string {
  const column = cursorColumn(plan);
  const name = quoteIdentifier(column.name);
  const value = (text: string): string => `${quoteLiteral(text)}::${column.formattedType}`;
  const conditions = [`${name} <= ${value(upper)}`];
  if (last !== null) conditions.unshift(beyondCursor(plan, last));
  return conditions.join(' AND ');
}

/** SQL that is true for the rows that a run after cursor `last` reads, as far as they are not above its own bound. */
export function beyondCursor(plan: TablePlan, last: string): string {
  const column = cursorColumn(plan);
  const name = quoteIdentifier(column.name);
  const value = `${quoteLiteral(last)}::${column.formattedType}`;
  if (plan.state.method === 'append') return `${name} > ${value}`;
  if (plan.state.lookback_ms > 0 && takesLookback(column)) {
    return `${name} >= ${value} - interval '${plan.state.lookback_ms} milliseconds'`;
  }
  return `${name} ${cursorIsUnique(plan) ? '>' : '>='} ${value}`;
}

/** A cursor that is the whole key cannot repeat, so the last value need not be read again. */
function cursorIsUnique(plan: TablePlan): boolean {
  return plan.observed.primaryKey.length === 1 && plan.observed.primaryKey[0] === cursorColumn(plan).name;
}

/** One run of an incremental or append table that was loaded before. */
export async function syncByCursor(
  plan: TablePlan,
  facts: TableFacts,
  upper: string | null,
  deps: LoadDeps,
): Promise<TableRun> {
  const { destination, clock, onEvent } = deps;
  const reader = deps.readers.first;
  const startedMs = clock.monotonicMs();
  const taken = await reader.beginSnapshot(snapshotOf(plan));
  const where = upper === null ? 'false' : cursorWhere(plan, facts.cursor, upper);
  onEvent({ kind: 'load_started', address: plan.address, method: plan.target.method, estimatedRows: null });
  const channel = openBatchChannel();
  const copying = reader.copy({
    address: plan.address,
    sql: copySql(plan, where),
    columns: decodedColumns(plan),
    channel: channel.sender,
  });
  copying.catch(() => abandonReceiver(channel.sender.shared));
  const staging = destination.writer.stageRows({ table: plan.target, channel: channel.receiver });
  const [summary] = await settleBoth(copying, staging);
  await copyRejectedValues(plan, { reader, destination }, summary.rejected, where);
  await reader.endSnapshot();
  const written = await destination.writer.writeRows({
    table: plan.target,
    mode: plan.state.method === 'append' ? 'append' : 'upsert',
    cursorColumn: plan.state.cursor ?? '',
    cursor: upper,
    asOf: taken.takenAt,
    run: deps.run,
  });
  const durationMs = clock.monotonicMs() - startedMs;
  onEvent({ kind: 'load_ended', address: plan.address, rows: written.rows, bytes: summary.bytes, durationMs });
  return {
    address: plan.address,
    kind: plan.state.method === 'append' ? 'append' : 'incremental',
    status: 'ok',
    rows: written.rows,
    inserted: written.rows,
    updated: 0,
    deleted: 0,
    rejected: written.rejected,
    durationMs,
    error: null,
  };
}
