/** Draws what a terminal shows as SVG: a window with a title, text in the colours of its escape sequences. */

const CELL = { width: 8.4, height: 18 } as const;
const PADDING = 16;
const BAR = 34;
const COLOURS = { back: '#1b1f27', bar: '#2a303b', text: '#d7dce4', dim: '#8a93a3' } as const;
/** SGR codes to what they set; anything else is ignored. */
const FOREGROUND: Readonly<Record<number, string>> = {
  31: '#f47067',
  32: '#6bc46d',
  33: '#e0b354',
  34: '#6cb6ff',
  35: '#dcbdfb',
  36: '#5bc8d0',
  90: COLOURS.dim,
};
const FONT = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace";

interface Style {
  readonly fill: string | null;
  readonly bold: boolean;
}

interface Span extends Style {
  readonly text: string;
  readonly column: number;
}

const SEQUENCE = new RegExp(`${String.fromCharCode(27)}\\[([\\d;]*)m`);
const PLAIN: Style = { fill: null, bold: false };

/** @param text lines with SGR sequences (`ESC [ ... m`) */
export function terminalSvg(title: string, text: string, columns: number): string {
  const lines = text
    .trimEnd()
    .split('\n')
    .flatMap((line) => wrapped(spansOf(line), columns));
  const width = Math.round(columns * CELL.width + 2 * PADDING);
  const height = lines.length * CELL.height + 2 * PADDING + BAR;
  const rows = lines.flatMap((spans, row) =>
    spans.map((span) => spanSvg(span, BAR + PADDING + (row + 0.75) * CELL.height)),
  );
  const dots = ['#f47067', '#e0b354', '#6bc46d'].map(
    (colour, index) => `<circle cx="${20 + index * 20}" cy="${BAR / 2}" r="6" fill="${colour}"/>`,
  );
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${width}" height="${height}" rx="8" fill="${COLOURS.back}"/>`,
    `<path d="M0 ${BAR}V8a8 8 0 0 1 8-8h${width - 16}a8 8 0 0 1 8 8v${BAR - 8}z" fill="${COLOURS.bar}"/>`,
    ...dots,
    `<g font-family="${FONT}" font-size="14" fill="${COLOURS.text}" xml:space="preserve">`,
    `<text x="${width / 2}" y="${BAR / 2 + 5}" text-anchor="middle" fill="${COLOURS.dim}">${escaped(title)}</text>`,
    ...rows,
    '</g>',
    '</svg>',
  ].join('\n')}\n`;
}

/** As a terminal does it: what does not fit goes on in the next line. */
function wrapped(spans: readonly Span[], columns: number): readonly (readonly Span[])[] {
  const lines: Span[][] = [[]];
  for (const span of spans) {
    for (let from = 0; from < span.text.length; ) {
      const at = span.column + from;
      const line = Math.floor(at / columns);
      const text = span.text.slice(from, from + columns - (at % columns));
      while (lines.length <= line) lines.push([]);
      lines[line]?.push({ ...span, text, column: at % columns });
      from += text.length;
    }
  }
  return lines;
}

/** Its width is set, so that columns stay in line whatever font the reader has. */
function spanSvg({ text, column, fill, bold }: Span, y: number): string {
  const place = `x="${round(PADDING + column * CELL.width)}" y="${round(y)}" textLength="${round(text.length * CELL.width)}"`;
  const look = `${fill === null ? '' : ` fill="${fill}"`}${bold ? ' font-weight="bold"' : ''}`;
  return `<text ${place}${look}>${escaped(text)}</text>`;
}

function spansOf(line: string): readonly Span[] {
  const spans: Span[] = [];
  let style = PLAIN;
  let column = 0;
  // Even parts are text, odd ones the parameters of a sequence.
  for (const [index, part] of line.split(SEQUENCE).entries()) {
    if (index % 2 === 1) {
      style = part.split(';').map(Number).reduce(styled, style);
    } else {
      // A run of blanks needs no element: each word group has its own place.
      for (const group of part.matchAll(/\S+(?: \S+)*/g)) {
        spans.push({ ...style, text: group[0], column: column + group.index });
      }
      column += part.length;
    }
  }
  return spans;
}

function styled(style: Style, code: number): Style {
  if (code === 0) return PLAIN;
  if (code === 1) return { ...style, bold: true };
  if (code === 2) return { ...style, fill: COLOURS.dim };
  if (code === 22) return { fill: style.fill === COLOURS.dim ? null : style.fill, bold: false };
  if (code === 39) return { ...style, fill: null };
  const fill = FOREGROUND[code];
  return fill === undefined ? style : { ...style, fill };
}

function round(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
