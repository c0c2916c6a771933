import type { SourceConfig } from '../config/config.js';
import { formatTableKey } from '../config/table-key.js';
import type { ObservedPublication, ObservedSource, ObservedTable } from '../source/catalog-model.js';
import {
  addPublicationTablesSql,
  createPublicationSql,
  removePublicationTablesSql,
  setPublicationOptionsSql,
} from '../source/publication-sql.js';
import { quoteIdentifier, quoteQualified } from '../source/sql-identifier.js';
import type { SourceState } from '../state/state.js';
import type { Blocker, Change, Notice, SettingChange } from './change.js';
import { NO_COST } from './cost.js';
import { type Gap, loadsOf } from './load-order.js';
import { leavesOf } from './suitability.js';

/** What has to happen to the publication so that it carries exactly the streamed tables. */
export function planPublication(input: PublicationInput): PublicationPlan {
  return input.source.cdc.management === 'managed' ? planManaged(input) : planSelfManaged(input);
}

function planManaged(input: PublicationInput): PublicationPlan {
  const { source, state, catalog, streamed } = input;
  const name = source.cdc.publication;
  const address = `${source.name}:publication`;
  const renamed = state?.publication != null && state.publication !== name ? state.publication : null;
  // A self-managed one stays its owner's, whatever the new one is called.
  const oursByOldName = renamed !== null && state?.publication_tables.length !== 0;
  const drop = oursByOldName
    ? [dropChange(address, renamed, `the publication is called ${name} now`, catalog, state)]
    : [];
  if (streamed.size === 0) {
    const ours = renamed === null && state?.publication != null && state.publication_tables.length > 0;
    const end = ours ? [dropChange(address, name, 'no table is streamed any more', catalog, state)] : drop;
    return { ...NOTHING, end };
  }
  const renamedCause = renamed === null ? null : `the publication is ${name} now, it was ${renamed}`;
  const publication = find(catalog, name);
  if (publication === undefined) {
    const lost = renamed === null && state?.publication != null;
    const cause = lost ? `publication ${name} is gone from the server` : 'the stream needs a publication';
    return {
      ...NOTHING,
      drop,
      make: [createChange(address, name, [...streamed.keys()], known(streamed), cause, false)],
      fresh: renamedCause ?? cause,
      blockers: createBlockers(address, input),
    };
  }
  const tracked = state?.publication === name;
  const own = publication.ownedByCurrentUser || catalog.server.isSuperuser;
  const missing = [...streamed].flatMap(([key, table]) =>
    table === null || isPublished(publication, table, catalog.tables) ? [] : [{ key, table }],
  );
  const recorded = new Set(tracked ? state.publication_tables : []);
  const unrecorded = [...streamed.keys()].filter((key) => !recorded.has(key));
  const gaps = new Map<string, Gap>();
  for (const { key } of missing) {
    if (input.continuing.has(key))
      gaps.set(key, gap(`it was missing from publication ${name}, so changes were not sent`));
  }
  const make: Change[] = [];
  const notices: Notice[] = [];
  const addSql =
    missing.length === 0
      ? ''
      : addPublicationTablesSql(
          name,
          missing.map(({ table }) => table),
        );
  if (!tracked) {
    make.push({
      action: 'create_publication',
      address,
      destructive: false,
      reason: `publication ${name} exists and is ours to alter: it is taken over`,
      cost: NO_COST,
      details: {
        publication: name,
        tables: [...streamed.keys()].sort(),
        sql: addSql,
        self_managed: false,
        adopted: true,
      },
    });
    notices.push({
      address,
      message: `publication ${name} exists already and is taken over; tables in it that are not in this file stay`,
    });
  } else if (missing.length > 0 || unrecorded.length > 0) {
    const tables = [...new Set([...missing.map(({ key }) => key), ...unrecorded])].sort();
    make.push({
      action: 'add_publication_tables',
      address,
      destructive: false,
      reason:
        missing.length === 0
          ? 'in the publication already; recorded as ours'
          : 'the stream carries these tables from now on',
      cost: NO_COST,
      details: {
        publication: name,
        tables,
        sql: addSql,
        self_managed: false,
        loads: loadsOf(gaps.keys(), input.generation),
      },
    });
  }
  const settings = settingsToMend(publication, input);
  if (settings !== null) {
    for (const key of settings.gaps)
      if (!gaps.has(key)) gaps.set(key, gap(`publication ${name} did not send all its changes`));
    make.push({
      action: 'update_settings',
      address,
      destructive: false,
      reason: `publication ${name} does not send all changes`,
      cost: NO_COST,
      details: {
        settings: settings.changes,
        sql: setPublicationOptionsSql(name),
        loads: loadsOf(settings.gaps, input.generation),
        source: null,
        table_fields: null,
      },
    });
  }
  const leaving = [...recorded].filter((key) => !streamed.has(key)).sort();
  const remove = leaving.length === 0 ? [] : [removeChange(address, publication, leaving, catalog)];
  const alters = [...make, ...remove].some((change) => 'sql' in change.details && change.details.sql !== '');
  const blockers = [
    ...(alters && !own ? [foreignPublication(address, publication, catalog)] : []),
    ...ownershipBlockers(source.name, missing, catalog),
    ...narrowedBlockers(source.name, publication, input),
  ];
  return { drop, make, remove, end: [], fresh: tracked ? null : renamedCause, gaps, blockers, notices };
}

function gap(cause: string): Gap {
  return { cause, consented: false };
}

/** Dropping is destructive: nobody who reads from it can go on, Sluice or not. */
function dropChange(
  address: string,
  publication: string,
  reason: string,
  catalog: ObservedSource | null,
  state: SourceState | null,
): Change {
  const ours = new Set(state?.publication_tables);
  const foreign = (catalog === null ? undefined : find(catalog, publication))?.tables
    .map((table) => tableKeyOf(table, catalog))
    .filter((key) => !ours.has(key));
  const others = foreign === undefined || foreign.length === 0 ? '' : `; it also holds ${foreign.join(', ')}`;
  return {
    action: 'drop_publication',
    address,
    destructive: true,
    reason: `${reason}${others}`,
    cost: NO_COST,
    details: { publication },
  };
}

function removeChange(
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

/** A member as the state names it: a leaf that stands for its root counts as the root. */
function tableKeyOf(member: ObservedPublication['tables'][number], catalog: ObservedSource | null): string {
  const leaf = catalog?.tables.find((table) => table.oid === member.oid);
  const root = catalog?.tables.find((table) => table.oid === leaf?.partitionRootOid);
  return formatTableKey((root ?? member).schema, (root ?? member).name);
}

/** The publication of a source that left the file; only what Sluice made. */
export function planPublicationEnd(source: string, state: SourceState, catalog: ObservedSource): readonly Change[] {
  if (state.management !== 'managed' || state.publication === null || state.publication_tables.length === 0) return [];
  return [dropChange(`${source}:publication`, state.publication, 'the source left the file', catalog, state)];
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
