import type { DestinationTraffic, SourceRun, SyncReport } from '../../executor/engine.js';
import type { Page } from '../command.js';
import { printable } from '../terminal.js';
import type { EventBody } from './event-json.js';
import { errorSummary } from './live-view.js';
import { formatBytes, formatCount, formatDuration } from './quantity.js';
import { RUN_COLUMNS, runCells } from './run-columns.js';
import { snakeKeys } from './snake-keys.js';
import { table } from './table.js';

/** What a sync did: a line a table, then a line for each stream, then what failed and why. */
export function syncText(report: SyncReport, page: Page): string {
  const tables = report.sources.flatMap((source) => source.tables);
  const streams = report.sources.filter((source) => source.confirmedLsn !== null || source.changes > 0);
  const stopped = report.sources.filter((source) => source.error !== null);
  if (tables.length === 0 && streams.length === 0 && stopped.length === 0) return 'Nothing was due.\n';
  const parts: string[] = [];
  if (tables.length > 0)
    parts.push(
      table(
        RUN_COLUMNS,
        tables.map((run) => runCells(run, page)),
        page.paint,
      ),
    );
  const lines = [...streams.map(streamText), ...(report.traffic ?? []).map(trafficText)];
  if (lines.length > 0) parts.push(lines.join(''));
  const drift = report.sources.flatMap((source) => source.drift);
  if (drift.length > 0) {
    const lines = drift.map((line) => `${page.paint('cyan', 'altered')}  ${printable(line)}\n`);
    parts.push(`${lines.join('')}Run \`sluice plan\` to see what that means for the copy.\n`);
  }
  const failures = [
    ...stopped.flatMap((source) => (source.error === null ? [] : [`${source.source}  ${errorSummary(source.error)}`])),
    ...tables.flatMap((run) => (run.error === null ? [] : [`${run.address}  ${errorSummary(run.error)}`])),
  ];
  if (failures.length > 0) parts.push(failures.map((line) => `${page.paint('red', 'failed')}  ${line}\n`).join(''));
  return parts.join('\n');
}

export function syncJson(report: SyncReport): Record<string, unknown> {
  return snakeKeys(report);
}

export function syncEvents(report: SyncReport): readonly EventBody[] {
  return [{ event: 'sync_ended', ...snakeKeys(report) }];
}

/** What an object store asks to be paid for. */
function trafficText({ destination, puts, gets, lists, bytesSent, bytesReceived }: DestinationTraffic): string {
  const sent = `${formatCount(puts)} PUT (${formatBytes(bytesSent)} sent)`;
  return `${destination}: ${sent}, ${formatCount(gets)} GET (${formatBytes(bytesReceived)} received), ${formatCount(lists)} LIST\n`;
}

function streamText(source: SourceRun): string {
  const changes = `${formatCount(source.changes)} changes in ${formatCount(source.transactions)} transactions`;
  const upTo = source.confirmedLsn === null ? '' : `, confirmed up to ${source.confirmedLsn}`;
  return `${source.source}: ${changes}${upTo}, ${formatDuration(source.durationMs)}\n`;
}
