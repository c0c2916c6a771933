import type { Config, SourceConfig } from '../config/config.js';
import { entryOf, formatTableKey, parseTableKey } from '../config/table-key.js';
import type { StreamFacts } from '../destination/facts.js';
import type { ObservedSource, ObservedTable } from '../source/catalog-model.js';
import { isSentBy, selectedColumns } from '../source/column-list.js';
import { quoteIdentifier } from '../source/sql-identifier.js';
import { connectionFingerprint } from '../state/fingerprint.js';
import type { SourceState, StateDocument, TableState } from '../state/state.js';
import type { Drift, DriftKind } from './change.js';
import type { Observed } from './observed.js';
import { findPublication, isPublished } from './publication-check.js';
import { identityDrift } from './replica-identity.js';
import { findBreak } from './stream-break.js';
import { methodObstacles, privilegeObstacles, sameNames } from './suitability.js';

/**
 * What in Postgres is not as the state says that it was applied, whatever the file says: by source and table, in name
 * order. Sources that could not be reached, and those that the file points elsewhere, have none.
 * @param state under the addresses of the config, moves followed
 */
export function findDrift(config: Config, state: StateDocument | null, observed: Observed): readonly Drift[] {
  return Object.entries(state?.sources ?? {})
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .flatMap(([name, known]) => {
      const source = config.sources[name];
      const seen = observed.sources[name];
      if (source === undefined || seen?.ok !== true) return [];
      const stream = observed.destinations[known.destination]?.streams.find((each) => each.source === name) ?? null;
      const history = seen.timelineHistory ?? null;
      return sourceDrift(config, source, known, seen.source, { stream, history });
    });
}

type Held = { readonly stream: StreamFacts | null; readonly history: Parameters<typeof findBreak>[0]['history'] };

function sourceDrift(
  config: Config,
  source: SourceConfig,
  state: SourceState,
  catalog: ObservedSource,
  held: Held,
): readonly Drift[] {
  const { server } = catalog;
  if (state.system_identifier !== null && server.systemIdentifier !== null) {
    const connection = config.connections[source.connection];
    const edited = connection === undefined || connectionFingerprint(connection) !== state.connection_fingerprint;
    if (state.system_identifier !== server.systemIdentifier) {
      const message = `the connection reaches another database cluster (system identifier ${server.systemIdentifier}, it was ${state.system_identifier})`;
      // A connection that was edited is the file's doing.
      return edited ? [] : [{ address: source.name, kind: 'system_changed', message }];
    }
  }
  const tables = Object.entries(state.tables)
    .filter(([, table]) => table.enabled)
    .sort(([left], [right]) => (left < right ? -1 : 1));
  return [
    // What the guard dropped is no news: the state says so.
    ...(state.halted === null
      ? [
          ...slotDrift(source.name, state, catalog, held),
          ...roleDrift(source.name, state, catalog),
          ...publicationDrift(source.name, state, catalog),
        ]
      : []),
    ...tables.flatMap(([key, table]) => tableDrift(source, key, table, state, catalog)),
  ];
}

function slotDrift(source: string, state: SourceState, { server, slots }: ObservedSource, held: Held): Drift[] {
  if (state.slot === null) return [];
  const elsewhere = { system_identifier: null, database: null };
  const continues = held.stream !== null;
  const found = findBreak({ ...held, slot: state.slot, state: elsewhere, server, slots, continues });
  if (found === null) return [];
  const kind = found.code === 'SLOT_MISSING' ? 'slot_missing' : 'slot_lost';
  return [{ address: `${source}:slot`, kind, message: found.cause }];
}

function publicationDrift(source: string, state: SourceState, catalog: ObservedSource): Drift[] {
  if (state.publication === null) return [];
  const address = `${source}:publication`;
  const name = state.publication;
  const publication = findPublication(catalog, name);
  if (publication === undefined) {
    return [{ address, kind: 'publication_missing', message: `publication ${name} is gone from the server` }];
  }
  const drift: Drift[] = [];
  const silent = (['insert', 'update', 'delete', 'truncate'] as const).filter((operation) => !publication[operation]);
  if (silent.length > 0) {
    const message = `publication ${name} does not send ${silent.join(', ')}`;
    drift.push({ address, kind: 'publication_settings', message });
  }
  if (!publication.viaPartitionRoot && streamsPartitioned(state, catalog)) {
    const message = `publication ${name} sends the changes of a partitioned table as those of its partitions (publish_via_partition_root is off)`;
    drift.push({ address, kind: 'publication_settings', message });
  }
  return drift;
}

function streamsPartitioned({ tables }: SourceState, catalog: ObservedSource): boolean {
  const oids = new Set(
    Object.values(tables).flatMap(({ method, oid, enabled }) => (method === 'cdc' && enabled ? [oid] : [])),
  );
  return catalog.tables.some((table) => table.kind === 'p' && oids.has(table.oid));
}

/** Slots are read with the role's REPLICATION attribute, or by membership where a host has a role for it. */
function roleDrift(source: string, state: SourceState, { server }: ObservedSource): Drift[] {
  const { user, isSuperuser, hasReplication, replicationRoles } = server;
  if (state.slot === null || isSuperuser || hasReplication || replicationRoles.length > 0) return [];
  const message = `role "${user}" may not use replication slots any more`;
  const hint = `ALTER ROLE ${quoteIdentifier(user)} REPLICATION;`;
  return [{ address: `${source}:slot`, kind: 'privilege_lost', message, hint }];
}

function tableDrift(
  source: SourceConfig,
  key: string,
  table: TableState,
  state: SourceState,
  catalog: ObservedSource,
): Drift[] {
  const address = `${source.name}:${key}`;
  const parsed = parseTableKey(key);
  const exact = parsed.ok ? parsed.key.exact : null;
  const observed = catalog.tables.find((each) => formatTableKey(each.schema, each.name) === key);
  const tell = (kind: DriftKind, message: string, hint?: string): Drift => ({
    address,
    kind,
    message,
    ...(hint === undefined ? {} : { hint }),
  });
  if (exact === null) return [];
  if (observed === undefined) return [tell('table_missing', `table ${key} is gone from the database`)];
  const left = leftPublication(table, observed, state, catalog);
  const published = left === null ? [] : [tell('publication_table_missing', left)];
  if (observed.oid !== table.oid) {
    return [tell('table_replaced', `table ${key} was dropped and made anew`), ...published];
  }
  const entry = entryOf(source, exact.schema, exact.name)?.table;
  const columns = columnDrift(table, observed);
  const added = entry === undefined ? [] : addedColumns(source, entry, table, observed, catalog);
  const names = table.columns.flatMap(
    ({ attnum }) => observed.columns.find((each) => each.attnum === attnum)?.name ?? [],
  );
  // The file may ask for another method or key by now: what was applied is what counts.
  const applied = entry === undefined ? null : { ...entry, method: table.method, primaryKey: entry.primaryKey };
  const unreadable = applied === null ? [] : privilegeObstacles(observed, applied, names, catalog.server);
  return [
    ...published,
    ...columns.map(({ kind, message }) => tell(kind, message)),
    ...added.map((name) => tell('column_added', name)),
    ...(applied === null ? [] : keyDrift(table, observed, applied, catalog)).map(({ kind, message, hint }) =>
      tell(kind, message, hint),
    ),
    ...unreadable.map(({ message }) => tell('privilege_lost', message)),
  ];
}

/** Only tables that were put into the publication can have left it; of a self-managed one those are all streamed ones. */
function leftPublication(
  table: TableState,
  observed: ObservedTable,
  state: SourceState,
  catalog: ObservedSource,
): string | null {
  const publication = state.publication === null ? undefined : findPublication(catalog, state.publication);
  if (table.method !== 'cdc' || publication === undefined || state.halted !== null) return null;
  const key = formatTableKey(observed.schema, observed.name);
  if (state.management === 'managed' && !state.publication_tables.includes(key)) return null;
  if (!isPublished(publication, observed, catalog.tables))
    return `it is not in publication ${publication.name} any more`;
  const filter = publication.tables.find((member) => member.oid === observed.oid)?.rowFilter ?? null;
  return filter === null ? null : `publication ${publication.name} sends only some of its rows`;
}

function columnDrift(
  table: TableState,
  observed: ObservedTable,
): { readonly kind: DriftKind; readonly message: string }[] {
  return table.columns.flatMap((column): { readonly kind: DriftKind; readonly message: string }[] => {
    const now = observed.columns.find((each) => each.attnum === column.attnum);
    if (now === undefined) {
      const again = observed.columns.some((each) => each.name === column.name);
      const what = again ? 'was dropped and added again' : 'was dropped';
      return [{ kind: 'column_removed', message: `column ${column.name} ${what}` }];
    }
    const drift: { readonly kind: DriftKind; readonly message: string }[] = [];
    if (now.name !== column.name) {
      drift.push({ kind: 'column_renamed', message: `column ${column.name} was renamed to ${now.name}` });
    }
    if (now.formattedType !== column.type) {
      const message = `column ${now.name} is ${now.formattedType} now, it was ${column.type}`;
      drift.push({ kind: 'column_retyped', message });
    }
    return drift;
  });
}

/**
 * The state holds the copied columns alone. One that is newer than all of them and that the file does not name was added
 * in Postgres; an older one comes in by an edit of the file.
 */
function addedColumns(
  source: SourceConfig,
  entry: SourceConfig['tables'][number]['table'],
  table: TableState,
  observed: ObservedTable,
  catalog: ObservedSource,
): readonly string[] {
  if (entry.columns.kind === 'include') return [];
  const last = Math.max(0, ...table.columns.map((column) => column.attnum));
  const key = entry.primaryKey ?? observed.primaryKey;
  const { columns } = selectedColumns(entry, observed, key, isSentBy(catalog, source.cdc, observed));
  return columns
    .filter((column) => column.attnum > last)
    .map((column) => `column ${column.name} (${column.formattedType}) was added`);
}

function keyDrift(
  table: TableState,
  observed: ObservedTable,
  applied: SourceConfig['tables'][number]['table'],
  catalog: ObservedSource,
): readonly Omit<Drift, 'address'>[] {
  const keyed = table.method === 'cdc' || table.method === 'incremental';
  if (!keyed) return [];
  const renamed = (name: string): string => {
    const attnum = table.columns.find((column) => column.name === name)?.attnum;
    return observed.columns.find((column) => column.attnum === attnum)?.name ?? name;
  };
  const was = table.primary_key.map(renamed);
  const own = applied.primaryKey === null && !sameNames(observed.primaryKey, was);
  if (own) {
    const now = observed.primaryKey.join(', ');
    const before = was.join(', ');
    const message =
      now === '' ? `its primary key (${before}) was dropped` : `its primary key is (${now}) now, it was (${before})`;
    return [{ kind: 'key_changed', message }];
  }
  const obstacles = methodObstacles(observed, applied, was, catalog.tables);
  const changed = obstacles.length > 0 ? null : identityDrift(table, observed);
  return [
    ...obstacles.map(({ message }) => ({ kind: 'replica_identity' as const, message })),
    ...(changed === null ? [] : [{ kind: 'replica_identity' as const, ...changed }]),
  ];
}
