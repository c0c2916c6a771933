import type { DiscoveredSource, DiscoveredTable } from '../../executor/discover.js';
import type { Page } from '../command.js';
import type { DiscoverOutcome } from '../commands/discover.js';
import { cut, displayWidth, printable } from '../terminal.js';
import { formatBytes, formatShortCount } from './quantity.js';
import { snakeKeys } from './snake-keys.js';
import { type Column, table } from './table.js';

const COLUMNS: readonly Column[] = [
  { title: 'TABLE' },
  { title: 'ROWS', align: 'right' },
  { title: 'SIZE', align: 'right' },
  { title: 'KEY' },
  { title: 'IDENTITY' },
  { title: 'IN FILE' },
  { title: 'BEST' },
  { title: 'WHY' },
];
/** Composite keys of many columns would push the rest off the screen. */
const KEY_COLUMNS = 24;
/** A reason that is cut to less says nothing; then lines are longer than the screen. */
const NARROWEST_WHY = 30;

/** One block for each database: a heading, notes on the server, the tables; then what to do next. */
export function discoverText({ report, written }: DiscoverOutcome, page: Page): string {
  const blocks = report.sources.map((source) => sourceText(source, page));
  const missing = report.sources.flatMap((source) => source.tables.filter(({ addable }) => addable));
  return `${blocks.join('\n')}${endText(written, missing.length, report.sources)}`;
}

function sourceText(source: DiscoveredSource, page: Page): string {
  const name = source.source ?? source.connection;
  if (source.error !== null) {
    const { code, message } = source.error;
    return `${page.paint('bold', name)}\n  ${page.paint('red', 'unreachable')}  ${code}: ${printable(message)}\n`;
  }
  const configured = source.tables.filter((each) => each.configured !== null).length;
  const lines = [
    `${page.paint('bold', name)}  database "${printable(source.database)}": ${source.tables.length} ${
      source.tables.length === 1 ? 'table' : 'tables'
    }, ${configured} in the file`,
    ...source.notes.map((note) => `  ${page.paint('yellow', 'note')}  ${printable(note)}`),
  ];
  if (source.tables.length === 0) return `${lines.join('\n')}\n`;
  const rows = source.tables.map((each) => cells(each, page));
  const widths = COLUMNS.slice(0, -1).map(({ title }, index) =>
    rows.reduce((width, row) => Math.max(width, displayWidth(row[index] ?? '')), title.length),
  );
  const before = widths.reduce((sum, width) => sum + width + 2, 0);
  const room = page.columns === null ? null : Math.max(NARROWEST_WHY, page.columns - before);
  const fitted = rows.map((row) =>
    row.map((cell, index) => (room !== null && index === row.length - 1 ? cut(cell, room) : cell)),
  );
  const mends = source.tables.flatMap(({ configured, suggestion }) =>
    configured === null && suggestion.mend !== null ? [`    ${suggestion.mend}\n`] : [],
  );
  const more = mends.length === 0 ? '' : `  for cdc instead:\n${mends.join('')}`;
  return `${lines.join('\n')}\n${table(COLUMNS, fitted, page.paint)}${more}`;
}

function cells(each: DiscoveredTable, { paint }: Page): readonly string[] {
  const { method, why } = each.suggestion;
  const key = each.primaryKey.length === 0 ? '-' : each.primaryKey.join(', ');
  return [
    printable(each.key),
    each.estimatedRows === null ? '?' : formatShortCount(each.estimatedRows),
    formatBytes(each.estimatedBytes),
    cut(printable(key), KEY_COLUMNS),
    each.replicaIdentity,
    inFile(each),
    each.unreadable === null ? paint('green', method) : paint('red', 'unreadable'),
    printable(each.unreadable ?? why),
  ];
}

function inFile({ configured, key }: DiscoveredTable): string {
  if (configured === null) return '-';
  const how = configured.enabled ? configured.method : 'disabled';
  return configured.entry === key ? how : `${how} (${printable(configured.entry)})`;
}

function endText(written: DiscoverOutcome['written'], missing: number, sources: readonly DiscoveredSource[]): string {
  const reached = sources.some((source) => source.error === null);
  if (written !== null) {
    if (written.added.length === 0) return reached ? '\nNothing to add.\n' : '';
    const names = written.added.map(({ source, key }) => `  + ${source}:${printable(key)}\n`).join('');
    return `\nAdded to ${written.file}:\n${names}See what that does: sluice plan\n`;
  }
  if (missing === 0 || !sources.some(({ source }) => source !== null)) return '';
  return `\n${missing} not in the file; to add ${missing === 1 ? 'it' : 'them'}: sluice discover --write\n`;
}

export function discoverJson({ report, written }: DiscoverOutcome): Record<string, unknown> {
  return {
    sources: report.sources.map(({ tables, ...source }) => ({
      ...snakeKeys(source),
      tables: tables.map((each) => snakeKeys(each)),
    })),
    written: written === null ? null : { file: written.file, added: written.added },
  };
}
