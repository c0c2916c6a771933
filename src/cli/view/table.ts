import { displayWidth, type Paint, plainPaint } from '../terminal.js';

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
}

const GAP = '  ';

/**
 * Lays out rows under titles, columns two spaces apart, no line ending in spaces. Cells may hold colour sequences and
 * must hold no line breaks.
 */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  paint: Paint = plainPaint,
): string {
  return new TableBlocks(columns, paint).block(rows);
}

/** The same of rows that come in parts: titles stand above the first, and columns are never narrower than before. */
export class TableBlocks {
  readonly #columns: readonly Column[];
  readonly #paint: Paint;
  readonly #widths: number[];
  #titled = false;

  constructor(columns: readonly Column[], paint: Paint = plainPaint) {
    this.#columns = columns;
    this.#paint = paint;
    this.#widths = columns.map((column) => displayWidth(column.title));
  }

  block(rows: readonly (readonly string[])[]): string {
    for (const row of rows) {
      for (const [i, width] of this.#widths.entries()) this.#widths[i] = Math.max(width, displayWidth(row[i] ?? ''));
    }
    const lines = rows.map((row) => this.#line(row));
    if (!this.#titled) lines.unshift(this.#paint('bold', this.#line(this.#columns.map((column) => column.title))));
    this.#titled = true;
    return lines.map((text) => `${text}\n`).join('');
  }

  #line(cells: readonly string[]): string {
    return this.#columns
      .map((column, i) => pad(cells[i] ?? '', this.#widths[i] ?? 0, column.align ?? 'left'))
      .join(GAP)
      .trimEnd();
  }
}

function pad(text: string, width: number, align: 'left' | 'right'): string {
  const fill = ' '.repeat(Math.max(0, width - displayWidth(text)));
  return align === 'right' ? fill + text : text + fill;
}
