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

export interface PublicationInput {
  readonly source: SourceConfig;
  readonly state: SourceState | null;
  readonly catalog: ObservedSource;
  /** Tables that the stream must carry afterwards; null where the catalog does not have one any more. */
  readonly streamed: ReadonlyMap<string, ObservedTable | null>;
  /** Those of them that the stream carries by the state already: what they missed has to be read again. */
  readonly continuing: ReadonlySet<string>;
  readonly generation: (key: string) => number;
}

export interface PublicationPlan {
  /** Before anything else: the publication under its old name. */
  readonly drop: readonly Change[];
  readonly make: readonly Change[];
  /** After the tables and before the slot: tables taken out. */
  readonly remove: readonly Change[];
  /** After the slot: the publication itself, when nothing is streamed any more. */
  readonly end: readonly Change[];
  /** Why a slot that is there cannot go on: decoding from before the publication existed fails in Postgres. */
  readonly fresh: string | null;
  readonly gaps: ReadonlyMap<string, Gap>;
  readonly blockers: readonly Blocker[];
  readonly notices: readonly Notice[];
}

/** What has to happen to the publication so that it carries exactly the streamed tables. */
export function planPublication(input: PublicationInput): PublicationPlan {
  return input.source.cdc.management === 'managed' ? planManaged(input) : planSelfManaged(input);
}

/**
 * Whether the publication sends a table's changes under the table's own name or, for a partitioned table, would do so
 * with publish_via_partition_root: without it the server lists the leaves instead.
 */
export function isPublished(
  publication: ObservedPublication,
  table: ObservedTable,
  tables: readonly ObservedTable[],
): boolean {
  if (publication.allTables) return true;
  const members = new Set(publication.tables.map((member) => member.oid));
  if (members.has(table.oid)) return true;
  return !publication.viaPartitionRoot && leavesOf(table, tables).some((leaf) => members.has(leaf.oid));
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

function planSelfManaged(input: PublicationInput): PublicationPlan {
  const { source, state, catalog, streamed } = input;
  const name = source.cdc.publication;
  const address = `${source.name}:publication`;
  if (streamed.size === 0) return NOTHING;
  const renamed = state?.publication != null && state.publication !== name;
  const fresh = renamed ? `the publication is ${name} now, it was ${state.publication}` : null;
  const publication = find(catalog, name);
  if (publication === undefined) {
    const change = createChange(
      address,
      name,
      [...streamed.keys()],
      known(streamed),
      `publication ${name} does not exist`,
      true,
    );
    return {
      ...NOTHING,
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
  const missing = [...streamed].flatMap(([key, table]) =>
    table === null || isPublished(publication, table, catalog.tables) ? [] : [{ key, table }],
  );
  if (missing.length > 0) {
    const tables = missing.map(({ key }) => key).sort();
    const sql = addPublicationTablesSql(
      name,
      missing.map(({ table }) => table),
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
      details: { publication: name, tables, sql, self_managed: true, loads: {} },
    });
    blockers.push({
      address,
      code: 'PUBLICATION_INCOMPLETE',
      message: `publication ${name} lacks ${tables.join(', ')}`,
      hint: `${sql}${after}`,
    });
  }
  const settings = settingsToMend(publication, input);
  if (settings !== null) {
    blockers.push({
      address,
      code: 'PUBLICATION_INCOMPLETE',
      message: `publication ${name} does not send all changes (${Object.keys(settings.changes).join(', ')})`,
      hint: setPublicationOptionsSql(name),
    });
  }
  blockers.push(...narrowedBlockers(source.name, publication, input));
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
  return { ...NOTHING, make, fresh, blockers, notices };
}

const NOTHING: PublicationPlan = {
  drop: [],
  make: [],
  remove: [],
  end: [],
  fresh: null,
  gaps: new Map(),
  blockers: [],
  notices: [],
};

function find(catalog: ObservedSource, name: string): ObservedPublication | undefined {
  return catalog.publications.find((publication) => publication.name === name);
}

function gap(cause: string): Gap {
  return { cause, consented: false };
}

function known(streamed: ReadonlyMap<string, ObservedTable | null>): readonly ObservedTable[] {
  return [...streamed.values()].filter((table) => table !== null);
}

function createChange(
  address: string,
  publication: string,
  keys: readonly string[],
  tables: readonly ObservedTable[],
  reason: string,
  selfManaged: boolean,
) {
  return {
    action: 'create_publication' as const,
    address,
    destructive: false,
    reason,
    cost: NO_COST,
    details: {
      publication,
      tables: [...keys].sort(),
      sql: createPublicationSql(publication, tables),
      self_managed: selfManaged,
      adopted: false,
    },
  };
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

interface Mending {
  readonly changes: Readonly<Record<string, SettingChange>>;
  /** Tables whose changes were not all sent. */
  readonly gaps: readonly string[];
}

function settingsToMend(publication: ObservedPublication, input: PublicationInput): Mending | null {
  const changes: Record<string, SettingChange> = {};
  const gaps = new Set<string>();
  const sent = (['insert', 'update', 'delete', 'truncate'] as const).filter((operation) => publication[operation]);
  if (sent.length < 4) {
    changes['publish'] = { from: sent.join(', '), to: 'insert, update, delete, truncate' };
    for (const key of input.continuing) gaps.add(key);
  }
  const partitioned = [...input.streamed].filter(([, table]) => table?.kind === 'p').map(([key]) => key);
  if (partitioned.length > 0 && !publication.viaPartitionRoot) {
    changes['publish_via_partition_root'] = { from: false, to: true };
    for (const key of partitioned) if (input.continuing.has(key)) gaps.add(key);
  }
  return Object.keys(changes).length === 0 ? null : { changes, gaps: [...gaps] };
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

/** Only a table's owner may put it into a publication. */
function ownershipBlockers(
  source: string,
  tables: readonly { readonly key: string; readonly table: ObservedTable }[],
  catalog: ObservedSource,
): Blocker[] {
  if (catalog.server.isSuperuser) return [];
  return tables
    .filter(({ table }) => !table.ownedByCurrentUser)
    .map(({ key, table }) => ({
      address: `${source}:${key}`,
      code: 'PRIVILEGE_MISSING',
      message: `role "${catalog.server.user}" does not own ${key}, so it cannot put it into a publication`,
      hint: `ALTER TABLE ${quoteQualified(table)} OWNER TO ${quoteIdentifier(catalog.server.user)}; or set cdc.management: self_managed and have the owner run what sluice cdc setup-sql prints`,
    }));
}

function foreignPublication(address: string, publication: ObservedPublication, catalog: ObservedSource): Blocker {
  return {
    address,
    code: 'PUBLICATION_OCCUPIED',
    message: `publication ${publication.name} belongs to role "${publication.owner}", so "${catalog.server.user}" cannot manage it`,
    hint: 'set another name under cdc.publication, or cdc.management: self_managed to use it as it is',
  };
}

/** A row filter or a column list makes the stream send less than the snapshot reads. */
function narrowedBlockers(source: string, publication: ObservedPublication, input: PublicationInput): Blocker[] {
  return [...input.streamed].flatMap(([key, table]): Blocker[] => {
    const member = publication.tables.find((candidate) => candidate.oid === table?.oid);
    if (table === null || member === undefined) return [];
    const what =
      member.rowFilter !== null
        ? 'only some rows'
        : member.columns !== null && lacksColumns(member.columns, table)
          ? 'only some columns'
          : null;
    if (what === null) return [];
    const name = quoteIdentifier(publication.name);
    return [
      {
        address: `${source}:${key}`,
        code: 'PUBLICATION_INCOMPLETE',
        message: `publication ${publication.name} sends ${what} of ${key}, so the stream would not keep the table in step`,
        hint: `ALTER PUBLICATION ${name} DROP TABLE ${quoteQualified(table)}; ALTER PUBLICATION ${name} ADD TABLE ${quoteQualified(table)};`,
      },
    ];
  });
}

function lacksColumns(published: readonly string[], table: ObservedTable): boolean {
  return table.columns.some((column) => column.generated === '' && !published.includes(column.name));
}

function isMember(publication: ObservedPublication, key: string, catalog: ObservedSource): boolean {
  const table = catalog.tables.find((candidate) => formatTableKey(candidate.schema, candidate.name) === key);
  return table !== undefined && isPublished(publication, table, catalog.tables);
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
