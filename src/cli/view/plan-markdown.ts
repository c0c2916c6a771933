import type { Change, Cost, Notice, Plan } from '../../planner/change.js';
import { bodyLine, codeMarkdown, escapeMarkdown, fitMarkdown, headLine, type MarkdownLine } from './markdown.js';
import {
  basisText,
  changesByOrigin,
  describeChange,
  ORIGINS,
  planCounts,
  symbolOf,
  WORTH_TELLING_BYTES,
} from './plan-view.js';
import { formatBytes, formatCount, formatDuration } from './quantity.js';

/** Below this not even the summary and the note on what was left out are sure to fit. */
export const LEAST_MARKDOWN_BYTES = 500;

/**
 * A plan as a comment on a pull request, in GitHub-flavoured Markdown: a line that sums up, what stands in the way, what
 * changed in Postgres, the changes with their cost (destructive ones first), what could not be known, what is worth
 * knowing.
 * @param maxBytes in UTF-8, at least {@link LEAST_MARKDOWN_BYTES}; what does not fit is left out from the end. Null: no limit
 */
export function planMarkdown(plan: Plan, maxBytes: number | null): string {
  const basis = basisText(plan);
  const groups = changesByOrigin(plan).filter(({ changes }) => changes.length > 0);
  const plain = groups.every(({ origin }) => origin === undefined);
  const lines = [
    bodyLine(summaryLine(plan)),
    ...(basis === null ? [] : [headLine(''), bodyLine(escapeMarkdown(basis))]),
    ...section('This stands in the way of applying', plan.blockers.map(blockerLine)),
    ...section(
      'Changed in Postgres since the last apply',
      plan.drift.map(({ address, message, hint }) => {
        const remedy = hint === undefined ? '' : `. To mend it: ${escapeMarkdown(hint)}`;
        return `- ${codeMarkdown(address)}: ${escapeMarkdown(message)}${remedy}`;
      }),
    ),
    ...groups.flatMap(({ origin, changes }) => changesTable(plain ? 'Changes' : ORIGINS[origin ?? 'file'], changes)),
    ...section('Could not be known', plan.unknown.map(noticeLine)),
    ...section('Worth knowing', plan.notices.map(noticeLine)),
  ];
  return fitMarkdown(lines, maxBytes);
}

function summaryLine(plan: Plan): string {
  const { rows, bytes, seconds } = plan.summary;
  const counts = escapeMarkdown(planCounts(plan));
  if (rows === 0 && bytes === 0) return `**Sluice: ${counts}**`;
  const wal = plan.changes.map((change) => change.cost.wal_bytes ?? null);
  const known = wal.flatMap((each) => (each === null ? [] : [each])).reduce((sum, each) => sum + each, 0);
  const kept = known < WORTH_TELLING_BYTES ? '' : `, while about ${formatBytes(known)} of WAL are kept`;
  const time = `in about ${formatDuration(seconds * 1000)}`;
  return `**Sluice: ${counts}** Loads read about ${formatCount(rows)} rows, ${formatBytes(bytes)}, ${time}${kept}.`;
}

function section(title: string, lines: readonly string[]): MarkdownLine[] {
  if (lines.length === 0) return [];
  return [headLine(''), headLine(`#### ${title}`), headLine(''), ...lines.map(bodyLine)];
}

function changesTable(title: string, changes: readonly Change[]): MarkdownLine[] {
  if (changes.length === 0) return [];
  const ordered = [
    ...changes.filter((change) => change.destructive),
    ...changes.filter((change) => !change.destructive),
  ];
  const unknown = changes.some(({ cost }) => [cost.rows, cost.bytes, cost.seconds, cost.wal_bytes].includes(null));
  return [
    headLine(''),
    headLine(`#### ${title}`),
    headLine(''),
    headLine('| | Address | Change | Why | Rows | Bytes | Time | WAL kept meanwhile |'),
    headLine('|---|---|---|---|---:|---:|---:|---:|'),
    ...ordered.map((change) => bodyLine(changeRow(change))),
    ...(unknown ? [headLine(''), bodyLine('`?`: not known.')] : []),
  ];
}

function changeRow(change: Change): string {
  const what = describeChange(change);
  const cells = [
    `${change.destructive ? '**destructive** ' : ''}\`${symbolOf(change)}\``,
    codeMarkdown(change.address),
    escapeMarkdown(what),
    change.reason === what ? '' : escapeMarkdown(change.reason),
    ...costCells(change.cost),
  ];
  return `| ${cells.join(' | ')} |`;
}

/** Work that reads no rows has no cost worth a column. */
function costCells({ rows, bytes, seconds, wal_bytes: wal }: Cost): readonly string[] {
  if (rows === 0 && bytes === 0) return ['', '', '', ''];
  return [
    formatCount(rows),
    formatBytes(bytes),
    formatDuration(seconds === null ? null : seconds * 1000),
    wal === 0 ? '' : formatBytes(wal ?? null),
  ];
}

function blockerLine({ address, code, message, hint }: Plan['blockers'][number]): string {
  const remedy = hint === null ? '' : ` To mend it: ${escapeMarkdown(hint)}`;
  return `- ${codeMarkdown(address)} ${escapeMarkdown(message)} (${codeMarkdown(code)}).${remedy}`;
}

function noticeLine({ address, message }: Notice): string {
  return `- ${codeMarkdown(address)}: ${escapeMarkdown(message)}`;
}
