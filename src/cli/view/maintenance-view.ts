import type { TableHealth } from '../../destination/maintenance.js';
import type {
  MaintenanceStatus,
  OptimizeReport,
  TableOptimization,
  TableVacuum,
  VacuumReport,
} from '../../executor/maintenance-report.js';
import type { Page } from '../command.js';
import { type Paint, printable } from '../terminal.js';
import { formatAge } from './age.js';
import { errorSummary } from './live-view.js';
import { formatBytes, formatCount } from './quantity.js';
import { snakeKeys } from './snake-keys.js';
import { type Column, table } from './table.js';

const OPTIMIZE_COLUMNS: readonly Column[] = [
  { title: 'TABLE' },
  { title: 'STATUS' },
  { title: 'REPLACED', align: 'right' },
  { title: 'BY', align: 'right' },
  { title: 'WRITTEN', align: 'right' },
  { title: 'FILES NOW', align: 'right' },
  { title: 'SIZE', align: 'right' },
  { title: 'DELETED', align: 'right' },
];

export function optimizeText(report: OptimizeReport, page: Page): string {
  const rows = report.tables.map((each) => [
    printable(each.address),
    paintStatus(each.status, page.paint),
    formatCount(each.removedFiles),
    formatCount(each.addedFiles),
    formatBytes(each.addedBytes),
    formatCount(each.health?.files ?? null),
    formatBytes(each.health?.bytes ?? null),
    each.health === null ? '?' : deletedText(each.health),
  ]);
  const remarks = report.tables.flatMap(({ address, note }) =>
    note === null ? [] : [`${printable(address)}: ${printable(note)}; the next run goes on`],
  );
  return tableWith(OPTIMIZE_COLUMNS, rows, [...report.notes, ...remarks], report.tables, page);
}

export function optimizeJson(report: OptimizeReport): Record<string, unknown> {
  return snakeKeys(report);
}

const VACUUM_COLUMNS: readonly Column[] = [
  { title: 'TABLE' },
  { title: 'FILES', align: 'right' },
  { title: 'SIZE', align: 'right' },
  { title: 'LOG FILES', align: 'right' },
];

export function vacuumText(report: VacuumReport, page: Page): string {
  const { tables, dryRun } = report;
  const rows = tables.map(({ address, files, bytes, logFiles }) => [
    printable(address),
    formatCount(files),
    formatBytes(bytes),
    formatCount(logFiles),
  ]);
  const files = tables.reduce((sum, each) => sum + each.files, 0);
  const bytes = tables.reduce((sum, each) => sum + each.bytes, 0);
  const verb = dryRun ? 'would be deleted; nothing was' : 'deleted';
  const total = tables.length === 0 ? [] : [`${formatCount(files)} files, ${formatBytes(bytes)} ${verb}`];
  const examples = dryRun ? tables.flatMap((each) => each.examples.map((key) => `  ${printable(key)}`)) : [];
  return tableWith(VACUUM_COLUMNS, rows, [...report.notes, ...total, ...examples], tables, page);
}

export function vacuumJson(report: VacuumReport): Record<string, unknown> {
  return snakeKeys(report);
}

/** One line of a source's status: `lake: 12 files, 1.2 GiB, 3 small, 4% of rows deleted, maintained 12m 05s ago`. */
export function maintenanceLine(status: MaintenanceStatus, page: Page): string {
  const { health, at } = status;
  const small = health.smallFiles === 0 ? [] : [`${formatCount(health.smallFiles)} small`];
  const deleted = health.deletedRows === 0 ? [] : [`${deletedText(health)} of rows deleted`];
  const parts = [`${formatCount(health.files)} files`, formatBytes(health.bytes), ...small, ...deleted];
  const error = status.error === null ? '' : `, ${page.paint('red', 'failed')}: ${errorSummary(status.error)}`;
  return `lake: ${[...parts, `maintained ${formatAge(at, page.now)}`].join(', ')}${error}`;
}

function deletedText({ rows, deletedRows }: TableHealth): string {
  if (deletedRows === 0) return '0%';
  if (rows === null) return '?';
  const percent = (100 * deletedRows) / (rows + deletedRows);
  return percent < 1 ? '<1%' : `${Math.round(percent)}%`;
}

function paintStatus(status: TableOptimization['status'], paint: Paint): string {
  switch (status) {
    case 'optimized':
      return paint('green', status);
    case 'failed':
      return paint('red', status);
    case 'unfinished':
      return paint('yellow', status);
    case 'nothing':
      return paint('dim', 'nothing to do');
  }
}

function tableWith(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  remarks: readonly string[],
  tables: readonly Pick<TableVacuum, 'address' | 'error'>[],
  page: Page,
): string {
  const failures = tables.flatMap(({ address, error }) =>
    error === null ? [] : [`${page.paint('red', 'failed')}  ${printable(address)}  ${errorSummary(error)}`],
  );
  const lines = [...failures, ...remarks].map((line) => `${line}\n`).join('');
  if (rows.length === 0) return lines === '' ? 'There is no table of a lake.\n' : lines;
  return `${table(columns, rows, page.paint)}${lines === '' ? '' : `\n${lines}`}`;
}
