import type { Config, Method, SourceConfig } from '../config/config.js';
import { entryOf, formatTableKey } from '../config/table-key.js';
import { asSluiceError, type PlainError, SluiceError, toPlain } from '../error/sluice-error.js';
import { type MethodSuggestion, serverObstacle, suggestMethod } from '../planner/suggest-method.js';
import { readCatalog } from '../source/catalog.js';
import type { ObservedServer, ObservedSource, ObservedTable } from '../source/catalog-model.js';
import { privilegeProblem } from '../source/table-problem.js';
import type { SourceConnections } from './source-connections.js';

export interface DiscoverRequest {
  /** Null: all sources. */
  readonly source: string | null;
  /** A connection, whether or not a source has it; null: those of the sources. Not together with `source`. */
  readonly connection: string | null;
  /** Null: that of the source, else all schemas. */
  readonly schema: string | null;
}

export interface DiscoveredTable {
  /** As a key of `tables:`. */
  readonly key: string;
  readonly schema: string;
  readonly name: string;
  readonly kind: 'table' | 'partitioned_table' | 'view' | 'materialized_view' | 'foreign_table';
  /** Null: never analyzed. */
  readonly estimatedRows: number | null;
  readonly estimatedBytes: number;
  readonly primaryKey: readonly string[];
  readonly replicaIdentity: 'default' | 'nothing' | 'full' | 'index';
  readonly suggestion: MethodSuggestion;
  /** Why the role cannot read it; null when it can. */
  readonly unreadable: string | null;
  /** The entry of the file that speaks for it; null where none does. */
  readonly configured: { readonly entry: string; readonly method: Method; readonly enabled: boolean } | null;
  /** An ordinary table that no entry of the file speaks for and that the role may read. */
  readonly addable: boolean;
}

export interface DiscoveredSource {
  /** Null: a connection was asked for. */
  readonly source: string | null;
  readonly connection: string;
  readonly database: string;
  /** What concerns the whole server, one line each. */
  readonly notes: readonly string[];
  /** Why the server could not be asked; null when it was. */
  readonly error: PlainError | null;
  readonly tables: readonly DiscoveredTable[];
}

export interface DiscoverReport {
  readonly sources: readonly DiscoveredSource[];
}

/**
 * Looks at the tables of sources or of a connection and says for each how it is copied best. Partitions go with their
 * root; temporary tables are left out. Reads catalogs alone: no state, no lock, no destination.
 * @throws SluiceError ADDRESS_UNKNOWN; trouble of a server is in its report
 */
export async function discoverTables(
  config: Config,
  connections: SourceConnections,
  request: DiscoverRequest,
  signal: AbortSignal,
): Promise<DiscoverReport> {
  const chosen = chosenPlaces(config, request);
  const sources = await Promise.all(
    chosen.map(async ({ source, connection }): Promise<DiscoveredSource> => {
      const place = {
        source: source?.name ?? null,
        connection,
        database: config.connections[connection]?.database ?? '',
      };
      try {
        const schema = request.schema ?? source?.schema ?? null;
        const catalog = await connections.with(connection, 'discover', signal, (db) =>
          readCatalog(db, { schema }, signal),
        );
        return { ...place, notes: serverNotes(catalog.server), error: null, tables: describeTables(catalog, source) };
      } catch (error) {
        signal.throwIfAborted();
        return { ...place, notes: [], error: toPlain(asSluiceError(error)), tables: [] };
      }
    }),
  );
  return { sources };
}

/** The tables of a catalog in name order. @param source whose entries mark tables as configured; null: none does */
export function describeTables(catalog: ObservedSource, source: SourceConfig | null): readonly DiscoveredTable[] {
  return catalog.tables
    .filter((table) => !table.isPartition && table.persistence !== 't')
    .map((table): DiscoveredTable => {
      const entry = source === null ? null : entryOf(source, table.schema, table.name);
      // As in a plan: patterns take ordinary tables only.
      const covered = entry !== null && (entry.pattern === null || table.kind === 'r' || table.kind === 'p');
      const closed = unreadable(table, catalog.server.user);
      return {
        key: formatTableKey(table.schema, table.name),
        schema: table.schema,
        name: table.name,
        kind: KINDS[table.kind],
        estimatedRows: table.estimatedRows,
        estimatedBytes: table.estimatedBytes,
        primaryKey: table.primaryKey,
        replicaIdentity: IDENTITIES[table.replicaIdentity],
        suggestion: suggestMethod(table, catalog.server, catalog.tables),
        unreadable: closed,
        configured: covered ? { entry: entry.key, method: entry.table.method, enabled: entry.table.enabled } : null,
        addable: !covered && closed === null && (table.kind === 'r' || table.kind === 'p'),
      };
    });
}

const KINDS: Readonly<Record<ObservedTable['kind'], DiscoveredTable['kind']>> = {
  r: 'table',
  p: 'partitioned_table',
  v: 'view',
  m: 'materialized_view',
  f: 'foreign_table',
};

const IDENTITIES: Readonly<Record<ObservedTable['replicaIdentity'], DiscoveredTable['replicaIdentity']>> = {
  d: 'default',
  n: 'nothing',
  f: 'full',
  i: 'index',
};

function unreadable(table: ObservedTable, user: string): string | null {
  const problem = privilegeProblem(
    table,
    table.columns.map((column) => column.name),
  );
  switch (problem?.kind) {
    case undefined:
    // Hides rows only; doctor tells of it, and its method decides whether it matters.
    case 'row_security':
      return null;
    case 'schema_closed':
      return `role "${user}" may not use schema "${table.schema}"`;
    case 'unreadable':
      return problem.whole
        ? `role "${user}" may not read it`
        : `role "${user}" may not read ${problem.columns.map((column) => `"${column}"`).join(', ')}`;
  }
}

function serverNotes(server: ObservedServer): readonly string[] {
  const unable = serverObstacle(server);
  if (unable !== null) return [`${unable}; sluice doctor has the SQL that mends it`];
  const replicates = server.isSuperuser || server.hasReplication || server.replicationRoles.length > 0;
  return replicates ? [] : [`role "${server.user}" lacks REPLICATION, which cdc needs; sluice doctor has the SQL`];
}

function chosenPlaces(
  config: Config,
  request: DiscoverRequest,
): readonly { readonly source: SourceConfig | null; readonly connection: string }[] {
  if (request.connection !== null) {
    if (config.connections[request.connection] === undefined) {
      throw unknown('connection', request.connection, Object.keys(config.connections));
    }
    return [{ source: null, connection: request.connection }];
  }
  const sources = Object.values(config.sources);
  const chosen = request.source === null ? sources : sources.filter(({ name }) => name === request.source);
  if (request.source !== null && chosen.length === 0) {
    throw unknown('source', request.source, Object.keys(config.sources));
  }
  return chosen.map((source) => ({ source, connection: source.connection }));
}

function unknown(what: 'source' | 'connection', name: string, known: readonly string[]): SluiceError {
  return new SluiceError({
    code: 'ADDRESS_UNKNOWN',
    message: `no ${what} "${name}" in the config`,
    hint: `known: ${known.slice(0, 20).join(', ')}`,
  });
}
