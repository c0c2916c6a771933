import type { RunsReport } from '../../executor/recent-runs.js';
import type { Page } from '../command.js';
import { printable } from '../terminal.js';
import { formatAge } from './age.js';
import { RUN_COLUMNS, runCells } from './run-columns.js';
import { snakeKeys } from './snake-keys.js';
import { table } from './table.js';

/** A table of the runs; the reason of each that failed stands below. */
export function runsText({ runs, troubles }: RunsReport, page: Page): string {
  const notes = troubles.map(
    ({ destination, error }) => `${page.paint('yellow', 'unread')}  ${destination}: ${printable(error.message)}\n`,
  );
  if (runs.length === 0) return troubles.length === 0 ? 'No runs.\n' : notes.join('');
  const rows = runs.map((run) => [formatAge(run.startedAt, page.now), ...runCells(run, page)]);
  const failures = runs.flatMap(({ error, address, startedAt }) =>
    error === null
      ? []
      : [`${page.paint('red', error.code)}  ${printable(address)} at ${startedAt}: ${printable(error.message)}\n`],
  );
  const below = [...failures, ...notes];
  return `${table([{ title: 'STARTED' }, ...RUN_COLUMNS], rows, page.paint)}${below.length === 0 ? '' : `\n${below.join('')}`}`;
}

export function runsJson({ runs, troubles }: RunsReport): Record<string, unknown> {
  return { runs: runs.map(snakeKeys), troubles };
}
