import {
  type Comparison,
  DIFFERENCE_KINDS,
  type DifferenceExample,
  type DifferenceKind,
} from '../../destination/comparison.js';
import { assertNever } from '../../error/sluice-error.js';
import type { TableVerdict, VerifyReport } from '../../executor/engine.js';
import type { Page } from '../command.js';
import { cut, printable } from '../terminal.js';
import { errorSummary } from './live-view.js';
import { formatCount, formatDuration } from './quantity.js';
import { snakeKeys } from './snake-keys.js';

/** Of a value that only names its row; cells that differ are shown as far as they were read, as the difference may lie late. */
const NAME_WIDTH = 60;

/** A block for each table: the verdict, what differs by kind and column, then the rows themselves. */
export function verifyText(report: VerifyReport, page: Page): string {
  if (report.tables.length === 0) return 'There is no table to compare.\n';
  return report.tables.map((table) => tableText(table, page)).join('');
}

/** Rows and cells are lists of column and value, as names of columns could be anything. */
export function verifyJson(report: VerifyReport): Record<string, unknown> {
  return {
    ok: report.ok,
    tables: report.tables.map(({ comparisons, ...table }) => ({
      ...snakeKeys(table),
      // Its keys are kinds already, and must stay as they are.
      comparisons: comparisons.map(({ counts, ...comparison }) => ({ ...snakeKeys(comparison), counts })),
    })),
  };
}

function tableText(table: TableVerdict, page: Page): string {
  const address = printable(table.address);
  if (table.error !== null) {
    return `${page.paint('yellow', 'not compared')}  ${address}  ${errorSummary(table.error)}\n`;
  }
  const sample =
    table.sample === null ? '' : `, a sample of ${table.sample.percent}% (seed ${printable(table.sample.seed)})`;
  const at =
    table.snapshotAt === null ? '' : ` as of ${table.snapshotAt}${sample}, in ${formatDuration(table.durationMs)}`;
  const verdict = table.status === 'equal' ? page.paint('green', 'equal') : page.paint('red', 'different');
  const lines = [`${verdict}  ${address}${at}`];
  for (const comparison of table.comparisons) lines.push(...comparisonLines(comparison, page));
  lines.push(...table.notes.map((note) => `  note: ${printable(note)}`));
  return lines.map((line) => `${line}\n`).join('');
}

function comparisonLines(comparison: Comparison, page: Page): string[] {
  const { relation, sourceRows, destinationRows, counts, columns, examples } = comparison;
  const kinds = kindsOf(counts).map(([kind, count]) => `${formatCount(count)} ${kindText(kind)}`);
  const sizes =
    sourceRows === destinationRows
      ? `${formatCount(sourceRows)} rows on both sides`
      : `${formatCount(sourceRows)} rows in Postgres, ${formatCount(destinationRows)} in the destination`;
  const lines = [`  ${printable(relation)}: ${[sizes, ...kinds].join(', ')}`];
  if (columns.length > 0) {
    lines.push(`    columns: ${columns.map((c) => `${printable(c.column)} in ${formatCount(c.rows)}`).join(', ')}`);
  }
  for (const example of examples) lines.push(...exampleLines(example, page));
  const total = kindsOf(counts).reduce((sum, [, count]) => sum + count, 0);
  if (total > examples.length)
    lines.push(`    ... ${formatCount(total - examples.length)} more (--limit N shows more)`);
  return lines;
}

function kindsOf(counts: Comparison['counts']): [DifferenceKind, number][] {
  return DIFFERENCE_KINDS.flatMap((kind): [DifferenceKind, number][] => {
    const count = counts[kind];
    return count === undefined ? [] : [[kind, count]];
  });
}

function kindText(kind: DifferenceKind): string {
  switch (kind) {
    case 'missing':
      return 'missing in the destination';
    case 'extra':
      return 'only in the destination';
    case 'different':
      return 'different';
    case 'duplicate':
      return 'keys more than once in the destination';
    case 'history_order':
      return 'versions without a position of their own';
    case 'history_overlap':
      return 'versions that overlap';
    case 'history_gap':
      return 'versions with a gap behind them';
    case 'pending':
      return 'that the next sync reads';
    case 'unfollowed':
      return 'no longer in Postgres as they were (the method does not follow that)';
    default:
      return assertNever(kind);
  }
}

function exampleLines(example: DifferenceExample, page: Page): string[] {
  const row = example.row
    .map(({ column, value }) => `${printable(column)}=${cut(cellText(value), NAME_WIDTH)}`)
    .join(' ');
  return [
    `    ${page.paint('bold', example.kind)}  ${row}`,
    ...example.cells.map(
      (cell) =>
        `      ${printable(cell.column)}: ${cellText(cell.source)} in Postgres, ${cellText(cell.destination)} here`,
    ),
  ];
}

function cellText(value: string | null): string {
  return value === null ? 'NULL' : printable(value);
}
