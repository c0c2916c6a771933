import { formatTableKey } from '../config/table-key.js';
import type { ObservedPublication, ObservedSource } from '../source/catalog-model.js';
import {
  addPublicationTablesSql,
  removePublicationTablesSql,
  setPublicationOptionsSql,
} from '../source/publication-sql.js';
import { quoteIdentifier } from '../source/sql-identifier.js';
import type { Blocker, Change, Loads } from './change.js';
import { NO_COST } from './cost.js';
import { type Gap, loadsOf } from './load-order.js';
import {
  columnLists,
  createPublicationChange,
  findPublication,
  isPublished,
  type Mending,
  NOTHING_TO_PUBLISH,
  narrowedBlockers,
  ownershipBlockers,
  type PublicationInput,
  type PublicationPlan,
  planOldPublication,
  settingsToMend,
  unpublishedTables,
} from './publication-check.js';
import { dropPublicationChange, isOurs } from './publication-end.js';
import { listNotices, type PublishedColumns, planRelisting, publishedColumns } from './published-columns.js';
import { planSelfManagedPublication } from './self-managed-publication.js';

/** What has to happen to the publication so that it carries exactly the streamed tables. */
export function planPublication(input: PublicationInput): PublicationPlan {
  return input.source.cdc.management === 'managed' ? planManaged(input) : planSelfManagedPublication(input);
}

function planManaged(input: PublicationInput): PublicationPlan {
  const { source, state, catalog, streamed } = input;
  const name = source.cdc.publication;
  const address = `${source.name}:publication`;
  const drop = planOldPublication(input);
  if (streamed.size === 0) {
    const ours = isOurs(state) && state?.publication === name;
    const end = ours ? [dropPublicationChange(address, name, 'no table is streamed any more', catalog, state)] : drop;
    return { ...NOTHING_TO_PUBLISH, end };
  }
  const known = state?.publication ?? null;
  const renamed = known !== null && known !== name ? `the publication is ${name} now, it was ${known}` : null;
  const publication = findPublication(catalog, name);
  if (publication === undefined) {
    const cause = known === name ? `publication ${name} is gone from the server` : 'the stream needs a publication';
    return {
      ...NOTHING_TO_PUBLISH,
      drop,
      make: [createPublicationChange(address, input, renamed ?? cause, false)],
      fresh: renamed ?? cause,
      blockers: createBlockers(address, input),
      notices: listNotices(input, publishedColumns(input, null), [...streamed.keys()]),
    };
  }
  const columns = publishedColumns(input, publication);
  const missing = unpublishedTables(publication, input);
  const gaps = new Map<string, Gap>();
  for (const { key } of missing) {
    if (input.continuing.has(key))
      gaps.set(key, gap(`it was missing from publication ${name}, so changes were not sent`));
  }
  const settings = settingsToMend(publication, input, columns);
  for (const key of settings?.gaps ?? []) {
    if (!gaps.has(key)) gaps.set(key, gap(`publication ${name} did not send all its changes`));
  }
  const relisting = planRelisting(address, input, publication, columns);
  for (const [key, missed] of relisting.gaps) if (!gaps.has(key)) gaps.set(key, missed);
  const recorded = known === name ? new Set(state?.publication_tables) : null;
  const members =
    recorded === null
      ? [adoptChange(address, input, missing, columns)]
      : addChanges(address, input, missing, recorded, loadsOf(gaps.keys(), input.generation), columns);
  // The options first: Postgres refuses a column list on a partitioned table without publish_via_partition_root.
  const make = [
    ...(settings === null ? [] : [settingsChange(address, input, settings, columns)]),
    ...members,
    ...relisting.widen,
  ];
  const leaving = [...(recorded ?? [])].filter((key) => !streamed.has(key)).sort();
  const remove = [
    ...relisting.narrow,
    ...(leaving.length === 0 ? [] : [removeMembers(address, publication, leaving, catalog)]),
  ];
  const own = publication.ownedByCurrentUser || catalog.server.isSuperuser;
  const alters = [...make, ...remove].some((change) => 'sql' in change.details && change.details.sql !== '');
  return {
    drop,
    make,
    remove,
    end: [],
    fresh: renamed,
    gaps,
    blockers: [
      ...(alters && !own ? [foreignPublication(address, publication, catalog)] : []),
      ...ownershipBlockers(source.name, [...missing, ...relisting.tables], catalog),
      ...narrowedBlockers(source.name, publication, input, false),
    ],
    notices: [
      ...(recorded === null
        ? [
            {
              address,
              message: `publication ${name} exists already and is taken over; tables in it that are not in this file stay`,
              restsOn: 'catalog' as const,
            },
          ]
        : []),
      ...listNotices(
        input,
        columns,
        [...missing, ...relisting.tables].map(({ key }) => key),
      ),
    ],
  };
}

type Unpublished = ReturnType<typeof unpublishedTables>;

function adoptChange(
  address: string,
  input: PublicationInput,
  missing: Unpublished,
  columns: PublishedColumns,
): Change {
  const { publication } = input.source.cdc;
  return {
    action: 'create_publication',
    address,
    destructive: false,
    reason: `publication ${publication} exists and is ours to alter: it is taken over`,
    cost: NO_COST,
    details: {
      publication,
      tables: [...input.streamed.keys()].sort(),
      sql: addSql(publication, missing, columns),
      self_managed: false,
      column_lists: columnLists(
        input,
        columns,
        missing.map(({ key }) => key),
      ),
      adopted: true,
    },
  };
}

/** Tables to add, and those that are members already and not yet recorded as ours. */
function addChanges(
  address: string,
  input: PublicationInput,
  missing: Unpublished,
  recorded: ReadonlySet<string>,
  loads: Loads,
  columns: PublishedColumns,
): Change[] {
  const { publication } = input.source.cdc;
  const unrecorded = [...input.streamed.keys()].filter((key) => !recorded.has(key));
  const tables = [...new Set([...missing.map(({ key }) => key), ...unrecorded])].sort();
  if (tables.length === 0) return [];
  return [
    {
      action: 'add_publication_tables',
      address,
      destructive: false,
      reason:
        missing.length === 0
          ? 'in the publication already; recorded as ours'
          : 'the stream carries these tables from now on',
      cost: NO_COST,
      details: {
        publication,
        tables,
        sql: addSql(publication, missing, columns),
        self_managed: false,
        column_lists: columnLists(
          input,
          columns,
          missing.map(({ key }) => key),
        ),
        loads: Object.fromEntries(Object.entries(loads).filter(([key]) => tables.includes(key))),
      },
    },
  ];
}

function settingsChange(
  address: string,
  input: PublicationInput,
  settings: Mending,
  columns: PublishedColumns,
): Change {
  const { publication } = input.source.cdc;
  return {
    action: 'update_settings',
    address,
    destructive: false,
    reason: `publication ${publication} does not send all changes`,
    cost: NO_COST,
    details: {
      settings: settings.changes,
      sql: setPublicationOptionsSql(publication, columns.storedGenerated),
      loads: loadsOf(settings.gaps, input.generation),
      source: null,
      table_fields: null,
    },
  };
}

function addSql(publication: string, missing: Unpublished, columns: PublishedColumns): string {
  return missing.length === 0
    ? ''
    : addPublicationTablesSql(
        publication,
        missing.map(({ key, table }) => columns.publish(key, table)),
      );
}

function gap(cause: string): Gap {
  return { cause, consented: false };
}

/** Takes tables out of a publication that stays. */
export function removeMembers(
  address: string,
  publication: ObservedPublication,
  leaving: readonly string[],
  catalog: ObservedSource,
): Change {
  const members = publication.allTables
    ? []
    : catalog.tables.filter(
        (table) =>
          leaving.includes(formatTableKey(table.schema, table.name)) && isPublished(publication, table, catalog.tables),
      );
  return {
    action: 'remove_publication_tables',
    address,
    destructive: false,
    reason: members.length === 0 ? 'gone from the publication already' : 'not streamed any more',
    cost: NO_COST,
    details: {
      publication: publication.name,
      tables: leaving,
      sql: members.length === 0 ? '' : removePublicationTablesSql(publication.name, members),
      self_managed: false,
    },
  };
}

function foreignPublication(address: string, publication: ObservedPublication, catalog: ObservedSource): Blocker {
  return {
    address,
    code: 'PUBLICATION_OCCUPIED',
    message: `publication ${publication.name} belongs to role "${publication.owner}", so "${catalog.server.user}" cannot manage it`,
    hint: 'set another name under cdc.publication, or cdc.management: self_managed to use it as it is',
  };
}

function createBlockers(address: string, input: PublicationInput): Blocker[] {
  const { server } = input.catalog;
  const tables = [...input.streamed].flatMap(([key, table]) => (table === null ? [] : [{ key, table }]));
  const blockers = ownershipBlockers(input.source.name, tables, input.catalog);
  if (server.canCreateInDatabase || server.isSuperuser) return blockers;
  return [
    {
      address,
      code: 'PRIVILEGE_MISSING',
      message: `role "${server.user}" may not create a publication in database "${server.database}"`,
      hint: `GRANT CREATE ON DATABASE ${quoteIdentifier(server.database)} TO ${quoteIdentifier(server.user)};`,
    },
    ...blockers,
  ];
}
