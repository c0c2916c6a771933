import { SluiceError } from '../error/sluice-error.js';
import { isPublished } from '../planner/publication-check.js';
import type { ObservedPublication, ObservedSource } from '../source/catalog-model.js';
import type { TablePlan } from './table-plan.js';

/**
 * Looks whether the publication sends what the table needs. A table that somebody took out of it, or a column of it,
 * would otherwise fall behind without a word: what is not published is not an error in the stream.
 * @throws SluiceError PUBLICATION_INCOMPLETE, the table's own trouble
 */
export function requirePublished(plan: TablePlan, publication: string | null, observed: ObservedSource): void {
  const found = observed.publications.find(({ name }) => name === publication);
  // Without the publication the whole stream fails, and says so.
  if (found === undefined) return;
  const what = missingPart(plan, found, observed);
  if (what === null) return;
  throw new SluiceError({
    code: 'PUBLICATION_INCOMPLETE',
    address: plan.address,
    message: `publication ${found.name} does not send ${what}; the table is loaded anew when it does`,
    hint: 'run: sluice plan',
  });
}

function missingPart(plan: TablePlan, publication: ObservedPublication, observed: ObservedSource): string | null {
  const { observed: table } = plan;
  if (!isPublished(publication, table, observed.tables)) return 'the table';
  if (table.kind === 'p' && !publication.viaPartitionRoot) return "the changes of partitions as the table's own";
  const operations = (['insert', 'update', 'delete', 'truncate'] as const).filter((name) => !publication[name]);
  if (operations.length > 0) return `its changes by ${operations.join(', ')}`;
  const member = publication.tables.find(({ oid }) => oid === table.oid);
  if (member?.rowFilter != null) return `rows outside of ${member.rowFilter}`;
  const list = member?.columns ?? null;
  const unsent = plan.columns
    .map(({ column }) => column)
    .filter((column) =>
      list === null ? column.generated !== '' && !publication.storedGenerated : !list.includes(column.name),
    );
  return unsent.length === 0 ? null : `its columns ${unsent.map(({ name }) => name).join(', ')}`;
}
