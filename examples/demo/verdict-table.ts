import { formatCount } from '../../src/cli/view/quantity.js';
import { isEqual, type Verdict } from './compare.js';
import type { Destination } from './destination.js';
import type { Screen } from './screen.js';

/** A line a table, then examples of what differs. */
export function showVerdicts(screen: Screen, verdicts: readonly Verdict[], destination: Destination): void {
  const fault = (count: number) => (count === 0 ? '0' : screen.paint('red', formatCount(count)));
  screen.table(
    [
      { title: 'TABLE' },
      { title: 'POSTGRES', align: 'right' },
      { title: destination.title, align: 'right' },
      { title: 'MISSING', align: 'right' },
      { title: 'EXTRA', align: 'right' },
      { title: 'DIFFERENT', align: 'right' },
      { title: 'VERSIONS', align: 'right' },
      { title: 'BROKEN', align: 'right' },
      { title: 'VERDICT' },
    ],
    verdicts.map((verdict) => [
      verdict.table,
      formatCount(verdict.postgresRows),
      formatCount(verdict.destinationRows),
      fault(verdict.missing),
      fault(verdict.extra),
      fault(verdict.differing),
      verdict.versions === null ? '-' : formatCount(verdict.versions.all),
      verdict.versions === null ? '-' : fault(verdict.versions.broken),
      isEqual(verdict) ? screen.paint('green', 'equal') : screen.paint('red', 'DIFFERENT'),
    ]),
  );
  for (const verdict of verdicts) {
    for (const example of verdict.examples) screen.quote(`${verdict.table} ${example}`);
  }
}
