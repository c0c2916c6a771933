import type { SourceStatus, StatusReport, TableStatus } from '../../executor/engine.js';
import type { Page } from '../command.js';
import { type Paint, printable } from '../terminal.js';
import { formatAge } from './age.js';
import { errorSummary } from './live-view.js';
import { maintenanceLine } from './maintenance-view.js';
import { formatCount, formatDuration } from './quantity.js';
import { slotLines } from './slot-view.js';
import { snakeKeys } from './snake-keys.js';
import { type Column, table } from './table.js';

export const NOTHING_APPLIED = 'Nothing was applied yet. To see what would be: sluice plan\n';

const COLUMNS: readonly Column[] = [
  { title: 'TABLE' },
  { title: 'METHOD' },
  { title: 'PHASE' },
  { title: 'ROWS', align: 'right' },
  { title: 'AS OF' },
  { title: 'LAST RUN' },
  { title: 'REJECTED', align: 'right' },
];

export function statusText(report: StatusReport, page: Page): string {
  const parts: string[] = [];
  if (report.lock !== null) {
    parts.push(`Locked by ${printable(report.lock.holder)} for ${formatDuration(report.lock.sinceMs)}.\n`);
  }
  if (report.state === null) parts.push(NOTHING_APPLIED);
  for (const source of report.sources) parts.push(sourceText(source, page));
  return parts.join('\n');
}

export function statusJson(report: StatusReport): Record<string, unknown> {
  return snakeKeys(report);
}

function sourceText(source: SourceStatus, page: Page): string {
  const place = source.place === null ? '' : `  ${page.paint('dim', printable(source.place))}`;
  const lines = [`${page.paint('bold', source.source)}  ${source.connection} -> ${source.destination}${place}`];
  if (source.cleanup !== null) lines.push(...cleanupLines(source.cleanup, page));
  if (source.unreachable !== null) {
    lines.push(`  ${page.paint('red', 'unreachable')}  ${errorSummary(source.unreachable)}`);
    if (source.unreachable.hint !== undefined) lines.push(`  hint: ${source.unreachable.hint}`);
  }
  if (source.pausedAt !== null) {
    const since = `paused since ${source.pausedAt} (${formatAge(source.pausedAt, page.now)})`;
    const held = source.slot === null ? '' : ', its slot goes on holding WAL';
    lines.push(`  ${page.paint('yellow', since)}: nothing of it is synced${held}; sluice resume ${source.source}`);
  }
  if (source.errored !== null) {
    lines.push(`  ${page.paint('red', 'errored')}  ${errorSummary(source.errored)}`);
    if (source.errored.hint !== undefined) lines.push(`  hint: ${source.errored.hint}`);
  }
  if (source.destinationTrouble !== null) {
    lines.push(`  ${page.paint('yellow', 'waiting')}  ${errorSummary(source.destinationTrouble)}`);
    if (source.destinationTrouble.hint !== undefined) lines.push(`  hint: ${source.destinationTrouble.hint}`);
  }
  if (source.slot !== null) lines.push(...slotLines(source.slot, '  ', page));
  if (source.maintenance !== null) lines.push(`  ${maintenanceLine(source.maintenance, page)}`);
  const trouble = source.slot?.trouble ?? null;
  if (trouble !== null) {
    lines.push(`  ${page.paint('red', 'broken')}  ${errorSummary(trouble)}`);
    if (trouble.hint !== undefined) lines.push(`  hint: ${trouble.hint}`);
  }
  const rows = table(
    COLUMNS,
    source.tables.map((each) => tableRow(each, page)),
    page.paint,
  );
  const tables = source.tables.length === 0 ? '  no tables\n' : indent(rows);
  return `${lines.join('\n')}\n${tables}${source.tables.map((each) => problemText(each, page)).join('')}`;
}

/** What is left of a source that left the file, each with what stands in the way and the SQL that removes it by hand. */
function cleanupLines(cleanup: NonNullable<SourceStatus['cleanup']>, page: Page): readonly string[] {
  const head = `  ${page.paint('yellow', 'removing')}  it left the file; since ${cleanup.since} these could not be cleaned up, and are tried again:`;
  return [
    head,
    ...cleanup.left.flatMap(({ address, what, sql, failure }) => [
      `    ${printable(address)}  ${printable(what)}`,
      ...(failure === null ? [] : [`      ${printable(`${failure.message} [${failure.code}]`)}`]),
      ...(failure === null || failure.hint === null ? [] : [`      hint: ${printable(failure.hint)}`]),
      ...(sql === null ? [] : [`      by hand: ${printable(sql)}`]),
    ]),
  ];
}

function tableRow(status: TableStatus, page: Page): readonly string[] {
  return [
    printable(status.address),
    status.method,
    paintPhase(status.phase, page.paint),
    formatCount(status.rows),
    formatAge(status.asOf, page.now),
    formatAge(status.lastRunAt, page.now),
    status.rejectedValues === 0 ? '0' : page.paint('yellow', formatCount(status.rejectedValues)),
  ];
}

/** Why a table is not live and what went wrong last, below the table so that its columns stay narrow. */
function problemText(status: TableStatus, page: Page): string {
  const lines: string[] = [];
  const reason = status.phaseReason;
  // A failed table's reason is its last error, which follows with its code and time.
  if (reason !== null && reason !== status.lastError?.message && status.phase !== 'live') {
    lines.push(`  ${status.address} ${status.phase}: ${printable(reason)}`);
  }
  if (status.lastError !== null) {
    const { code, message, at } = status.lastError;
    lines.push(`  ${status.address} ${page.paint('red', code)}: ${printable(message)} (${formatAge(at, page.now)})`);
  }
  return lines.map((line) => `${line}\n`).join('');
}

export function paintPhase(phase: TableStatus['phase'], paint: Paint): string {
  switch (phase) {
    case 'live':
      return paint('green', phase);
    case 'failed':
      return paint('red', phase);
    case 'needs_load':
    case 'pending':
      return paint('yellow', phase);
    case 'disabled':
    case 'paused':
    case 'unknown':
      return paint('dim', phase);
  }
}

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, '  ');
}
