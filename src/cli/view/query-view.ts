import type { QueryResult } from '../../executor/engine.js';
import type { Page } from '../command.js';
import { printable } from '../terminal.js';
import { table } from './table.js';

/** DuckDB types that read better aligned to the right. */
const NUMERIC = /^(U?(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)|FLOAT|DOUBLE|DECIMAL)/;

export function queryText(result: QueryResult, page: Page): string {
  const rows = result.rows.map((row) =>
    row.map((cell) => (cell === null ? page.paint('dim', 'NULL') : printable(cell))),
  );
  const columns = result.columns.map((column) => ({
    title: printable(column.name),
    align: NUMERIC.test(column.type) ? ('right' as const) : ('left' as const),
  }));
  return `${table(columns, rows, page.paint)}(${rows.length} ${rows.length === 1 ? 'row' : 'rows'})\n`;
}

/** Rows are arrays in column order, cells DuckDB's own text or null: column names need not be unique. */
export function queryJson(result: QueryResult): Record<string, unknown> {
  return { columns: result.columns, rows: result.rows };
}

/**
 * CSV with a header line and CRLF line ends. NULL is an empty field, an empty text a quoted one, so both can be told
 * apart by readers that care.
 * @see RFC 4180
 */
export function queryCsv(result: QueryResult): string {
  const lines = [result.columns.map((column) => csvField(column.name)), ...result.rows.map((row) => row.map(csvField))];
  return lines.map((fields) => `${fields.join(',')}\r\n`).join('');
}

function csvField(cell: string | null): string {
  if (cell === null) return '';
  return cell === '' || /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}
