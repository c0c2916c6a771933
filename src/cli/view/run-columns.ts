import type { Page } from '../command.js';
import { printable } from '../terminal.js';
import { formatCount, formatDuration } from './quantity.js';
import type { Column } from './table.js';

/** As much of a table's run as is shown, of one that has just ended or one that was recorded. */
interface ShownRun {
  readonly address: string;
  readonly kind: string;
  readonly status: string;
  readonly rows: number;
  readonly inserted: number;
  readonly updated: number;
  readonly deleted: number;
  readonly rejected: number;
  readonly durationMs: number | null;
}

export const RUN_COLUMNS: readonly Column[] = [
  { title: 'TABLE' },
  { title: 'KIND' },
  { title: 'STATUS' },
  { title: 'ROWS', align: 'right' },
  { title: 'INSERTED', align: 'right' },
  { title: 'UPDATED', align: 'right' },
  { title: 'DELETED', align: 'right' },
  { title: 'REJECTED', align: 'right' },
  { title: 'TIME', align: 'right' },
];

/** The cells of a run under {@link RUN_COLUMNS}. */
export function runCells(run: ShownRun, { paint }: Page): readonly string[] {
  return [
    printable(run.address),
    run.kind,
    paint(run.status === 'ok' ? 'green' : 'red', run.status),
    ...[run.rows, run.inserted, run.updated, run.deleted].map(formatCount),
    run.rejected === 0 ? '0' : paint('yellow', formatCount(run.rejected)),
    formatDuration(run.durationMs),
  ];
}
