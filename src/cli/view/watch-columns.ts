import type { TableStatus } from '../../executor/engine.js';
import { cut, displayWidth, type Paint, plainPaint, printable } from '../terminal.js';
import { formatCount, formatDuration, formatShortCount } from './quantity.js';
import { paintPhase } from './status-view.js';
import type { Column } from './table.js';

/** A name of fewer columns says nothing any more: rather show fewer facts. */
const LEAST_NAME_COLUMNS = 16;
/** Of `59m 59s`: so that columns stay where they are while ages grow. */
const AGE_COLUMNS = 7;

export interface Layout {
  readonly columns: readonly Column[];
  readonly cells: (status: TableStatus, paint: Paint) => readonly string[];
}

interface Field {
  readonly column: Column;
  readonly cell: (status: TableStatus, paint: Paint) => string;
}

/** The widest choice of columns that fits; what tells least gives way first, the names are cut last. */
export function chooseLayout(tables: readonly TableStatus[], columns: number, now: Date): Layout {
  const right = 'right' as const;
  const age = (iso: string | null): string => ageText(iso, now).padStart(AGE_COLUMNS);
  const method: Field = { column: { title: 'METHOD' }, cell: (each) => printable(each.method) };
  const phase: Field = { column: { title: 'PHASE' }, cell: (each, paint) => paintPhase(each.phase, paint) };
  const rows: Field = { column: { title: 'ROWS', align: right }, cell: (each) => formatCount(each.rows) };
  const fewRows: Field = { column: { title: 'ROWS', align: right }, cell: (each) => formatShortCount(each.rows) };
  const asOf: Field = { column: { title: 'AGE', align: right }, cell: (each) => age(each.asOf) };
  const lastRun: Field = { column: { title: 'LAST RUN', align: right }, cell: (each) => age(each.lastRunAt) };
  const schedule: Field = { column: { title: 'SCHEDULE' }, cell: (each) => printable(each.schedule) };
  const rejected: Field = {
    column: { title: 'REJECTED', align: right },
    cell: (each, paint) => (each.rejectedValues === 0 ? '0' : paint('yellow', formatCount(each.rejectedValues))),
  };
  const some = tables.some((each) => each.rejectedValues > 0) ? [rejected] : [];
  const choices: readonly (readonly Field[])[] = [
    [method, schedule, phase, rows, asOf, lastRun, rejected],
    [method, phase, rows, asOf, lastRun, rejected],
    [method, phase, rows, asOf, lastRun, ...some],
    [method, phase, rows, asOf, ...some],
    [phase, rows, asOf, ...some],
    [phase, fewRows, asOf],
    [phase, asOf],
    [phase],
  ];
  const wanted = Math.max(0, ...tables.map(({ address }) => displayWidth(printable(address))));
  // The list stands two columns in; each column but the first has two of space before it.
  const left = (fields: readonly Field[]): number =>
    columns - 2 - fields.reduce((sum, field) => sum + 2 + fieldWidth(field, tables), 0);
  const chosen =
    choices.find((fields) => left(fields) >= wanted) ??
    choices.find((fields) => left(fields) >= Math.min(wanted, Math.max(LEAST_NAME_COLUMNS, Math.floor(columns / 3)))) ??
    [];
  const nameWidth = Math.max(1, left(chosen));
  return {
    columns: [{ title: 'TABLE' }, ...chosen.map(({ column }) => column)],
    cells: (each, paint) => [cut(printable(each.address), nameWidth), ...chosen.map(({ cell }) => cell(each, paint))],
  };
}

function fieldWidth({ column, cell }: Field, tables: readonly TableStatus[]): number {
  return tables.reduce((width, each) => Math.max(width, displayWidth(cell(each, plainPaint))), column.title.length);
}

function ageText(iso: string | null, now: Date): string {
  if (iso === null) return '-';
  const ms = now.getTime() - Date.parse(iso);
  return ms < 1_000 ? 'now' : formatDuration(ms);
}
