import type { StatusReport } from '../../executor/engine.js';
import type { Page } from '../command.js';
import { printable } from '../terminal.js';
import { formatCount } from './quantity.js';
import { NOTHING_APPLIED, paintPhase } from './status-view.js';
import { type Column, table } from './table.js';

const COLUMNS: readonly Column[] = [
  { title: 'TABLE' },
  { title: 'METHOD' },
  { title: 'OUTPUT' },
  { title: 'SCHEDULE' },
  { title: 'DESTINATION' },
  { title: 'TARGET' },
  { title: 'PHASE' },
  { title: 'ROWS', align: 'right' },
];

export function listText(report: StatusReport, page: Page): string {
  const rows = report.sources.flatMap((source) =>
    source.tables.map((status) => [
      printable(status.address),
      status.method,
      status.output,
      status.schedule,
      source.destination,
      printable(status.target),
      paintPhase(status.phase, page.paint),
      formatCount(status.rows),
    ]),
  );
  if (report.state === null) return NOTHING_APPLIED;
  return rows.length === 0 ? 'No tables.\n' : table(COLUMNS, rows, page.paint);
}

export function listJson(report: StatusReport): Record<string, unknown> {
  return {
    tables: report.sources.flatMap((source) =>
      source.tables.map((status) => ({
        address: status.address,
        method: status.method,
        output: status.output,
        schedule: status.schedule,
        destination: source.destination,
        target: status.target,
        phase: status.phase,
        rows: status.rows,
      })),
    ),
  };
}
