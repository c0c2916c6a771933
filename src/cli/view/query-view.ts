import type { PlainError } from '../../error/sluice-error.js';
import type { QueryPages, QueryResult } from '../../executor/engine.js';
import type { Page } from '../command.js';
import { type Paint, printable } from '../terminal.js';
import { JSON_FORMAT_VERSION } from './json.js';
import { type Column, TableBlocks } from './table.js';

type Columns = QueryPages['columns'];
type Rows = QueryResult['rows'];

/** A text form of an answer that comes a page at a time. */
export interface QueryText {
  start(): string;
  page(rows: Rows): string;
  /** @param error why there is no more; null: that is all */
  end(error: PlainError | null): string;
}

/** DuckDB types that read better aligned to the right. */
const NUMERIC = /^(U?(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)|FLOAT|DOUBLE|DECIMAL|BIGNUM)/;

/** A table; columns become wider where a later page needs it. */
export function queryTable(columns: Columns, page: Pick<Page, 'paint'>): QueryText {
  const { paint } = page;
  const titles = columns.map(
    (column): Column => ({
      title: printable(column.name),
      // A list of numbers is no number.
      align: NUMERIC.test(column.type) && !column.type.endsWith(']') ? 'right' : 'left',
    }),
  );
  const blocks = new TableBlocks(titles, paint);
  let count = 0;
  return {
    start: () => '',
    page: (rows) => {
      count += rows.length;
      return blocks.block(rows.map((row) => row.map((cell) => cellText(cell, paint))));
    },
    end: (error) => {
      const titlesAlone = count === 0 && error === null ? blocks.block([]) : '';
      // The error follows on stderr.
      return error === null ? `${titlesAlone}(${count} ${count === 1 ? 'row' : 'rows'})\n` : '';
    },
  };
}

function cellText(cell: string | null, paint: Paint): string {
  return cell === null ? paint('dim', 'NULL') : printable(cell);
}

/**
 * One JSON document, a row on a line. Rows are arrays in column order, cells DuckDB's own text or null: column names need
 * not be unique, and no number loses digits.
 */
export function queryJson(columns: Columns): QueryText {
  let first = true;
  return {
    start: () =>
      `{\n  "format_version": ${JSON_FORMAT_VERSION},\n  "columns": ${JSON.stringify(columns)},\n  "rows": [`,
    page: (rows) =>
      rows
        .map((row) => {
          const text = `${first ? '' : ','}\n    ${JSON.stringify(row)}`;
          first = false;
          return text;
        })
        .join(''),
    end: (error) => `${first ? '' : '\n  '}]${error === null ? '' : `,\n  "error": ${JSON.stringify(error)}`}\n}\n`,
  };
}

/**
 * CSV with a header line and CRLF line ends. NULL is an empty field, an empty text a quoted one, so both can be told
 * apart by readers that care.
 * @see RFC 4180
 */
export function queryCsv(columns: Columns): QueryText {
  return {
    start: () => csvLine(columns.map((column) => column.name)),
    page: (rows) => rows.map(csvLine).join(''),
    end: () => '',
  };
}

function csvLine(cells: readonly (string | null)[]): string {
  return `${cells.map(csvField).join(',')}\r\n`;
}

function csvField(cell: string | null): string {
  if (cell === null) return '';
  return cell === '' || /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}
