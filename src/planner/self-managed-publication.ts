import { formatTableKey } from '../config/table-key.js';
import type { ObservedPublication, ObservedSource } from '../source/catalog-model.js';
import { addPublicationTablesSql, setPublicationOptionsSql } from '../source/publication-sql.js';
import type { Blocker, Change } from './change.js';
import { NO_COST } from './cost.js';
import {
  columnLists,
  createPublicationChange,
  findPublication,
  isPublished,
  NOTHING_TO_PUBLISH,
  narrowedBlockers,
  type PublicationInput,
  type PublicationPlan,
  planOldPublication,
  settingsToMend,
  unpublishedTables,
} from './publication-check.js';
import { publishedColumns } from './published-columns.js';

/**
 * The publication of a self-managed source: its owner makes it and keeps it. What it lacks stands in the plan with the
 * SQL to run, and blocks it until that was done.
 */
export function planSelfManagedPublication(input: PublicationInput): PublicationPlan {
  const { source, state, catalog, streamed } = input;
  const name = source.cdc.publication;
  const address = `${source.name}:publication`;
  if (streamed.size === 0) return { ...NOTHING_TO_PUBLISH, end: planOldPublication(input) };
  const renamed = state?.publication != null && state.publication !== name;
  const fresh = renamed ? `the publication is ${name} now, it was ${state.publication}` : null;
  const drop = planOldPublication(input);
  const publication = findPublication(catalog, name);
  if (publication === undefined) {
    const change = createPublicationChange(address, input, `publication ${name} does not exist`, true);
    return {
      ...NOTHING_TO_PUBLISH,
      drop,
      make: [change],
      fresh,
      blockers: [
        {
          address,
          code: 'PUBLICATION_MISSING',
          message: `publication ${name} does not exist in database "${catalog.server.database}"; it is self-managed, so it has to be made by hand`,
          hint: change.details.sql,
        },
      ],
    };
  }
  const make: Change[] = [];
  const blockers: Blocker[] = [];
  const columns = publishedColumns(input, publication);
  const missing = unpublishedTables(publication, input);
  if (missing.length > 0) {
    const tables = missing.map(({ key }) => key).sort();
    const sql = addPublicationTablesSql(
      name,
      missing.map(({ key, table }) => columns.publish(key, table)),
    );
    const missed = tables.filter((key) => input.continuing.has(key));
    const after =
      missed.length === 0 ? '' : ` -- then: sluice resync ${missed.map((key) => `${source.name}:${key}`).join(' ')}`;
    make.push({
      action: 'add_publication_tables',
      address,
      destructive: false,
      reason: 'the self-managed publication lacks these tables',
      cost: NO_COST,
      details: {
        publication: name,
        tables,
        sql,
        self_managed: true,
        column_lists: columnLists(input, columns, tables),
        loads: {},
      },
    });
    blockers.push({
      address,
      code: 'PUBLICATION_INCOMPLETE',
      message: `publication ${name} lacks ${tables.join(', ')}`,
      hint: `${sql}${after}`,
    });
  }
  const settings = settingsToMend(publication, input, columns);
  if (settings !== null) {
    blockers.push({
      address,
      code: 'PUBLICATION_INCOMPLETE',
      message: `publication ${name} does not send all changes (${Object.keys(settings.changes).join(', ')})`,
      hint: setPublicationOptionsSql(name, columns.storedGenerated),
    });
  }
  blockers.push(...narrowedBlockers(source.name, publication, input, true));
  const leaving = Object.entries(state?.tables ?? {}).filter(
    ([key, table]) =>
      table.method === 'cdc' && table.enabled && !streamed.has(key) && isMember(publication, key, catalog),
  );
  const notices = publication.allTables
    ? []
    : leaving.map(([key]) => ({
        address,
        message: `publication ${name} still holds ${key}, which is not streamed any more`,
      }));
  return { ...NOTHING_TO_PUBLISH, drop, make, fresh, blockers, notices };
}

function isMember(publication: ObservedPublication, key: string, catalog: ObservedSource): boolean {
  const table = catalog.tables.find((candidate) => formatTableKey(candidate.schema, candidate.name) === key);
  return table !== undefined && isPublished(publication, table, catalog.tables);
}
