import type { Config, SourceConfig } from '../config/config.js';
import { entryOf, formatTableKey } from '../config/table-key.js';
import type { ObservedPublication, ObservedSource } from './catalog-model.js';
import { columnList, isSentBy, needsStoredGenerated, selectedColumns } from './column-list.js';
import {
  addPublicationTablesSql,
  createPublicationSql,
  type PublishedTable,
  relistPublicationTablesSql,
  setPublicationOptionsSql,
} from './publication-sql.js';
import { quoteIdentifier, quoteQualified } from './sql-identifier.js';

interface TableName {
  readonly schema: string;
  readonly name: string;
}

/**
 * The SQL that a database's owner runs once for a source: the role's rights and the publication. It can be pasted into
 * psql as a whole, and run again. The slot is not in it: Sluice makes that itself, also for a publication of others.
 * @param observed the database; where it could not be reached the SQL holds what the file alone tells
 */
export function setupSql(
  config: Config,
  source: SourceConfig,
  observed: { readonly ok: true; readonly source: ObservedSource } | { readonly ok: false } | undefined,
): string {
  const catalog = observed?.ok === true ? observed.source : null;
  const connection = config.connections[source.connection];
  const role = quoteIdentifier(catalog?.server.user ?? connection?.user ?? 'sluice');
  const database = catalog?.server.database ?? connection?.database ?? source.connection;
  const tables = chosenTables(source, catalog);
  const sections = [
    heading(source, database, catalog),
    ...walSection(catalog, tables.cdc.length > 0),
    ...(tables.cdc.length > 0 ? roleSection(role, catalog) : []),
    grantSection(role, tables.all),
    ...(tables.cdc.length > 0 ? publicationSection(source, publishedTables(source, tables.cdc, catalog), catalog) : []),
  ];
  return `${sections.map((lines) => lines.join('\n')).join('\n\n')}\n`;
}

/** The enabled tables of the file; patterns count only where the database could be asked. */
function chosenTables(source: SourceConfig, catalog: ObservedSource | null): { all: TableName[]; cdc: TableName[] } {
  const exact = source.tables.flatMap((entry) =>
    entry.schema !== null && entry.name !== null ? [{ schema: entry.schema, name: entry.name }] : [],
  );
  const found = (catalog?.tables ?? []).filter(
    (table) => (table.kind === 'r' || table.kind === 'p') && !table.isPartition && table.persistence === 'p',
  );
  const byName = new Map([...exact, ...found].map(({ schema, name }) => [keyOf({ schema, name }), { schema, name }]));
  const tables = [...byName.values()]
    .map((table) => ({ table, entry: entryOf(source, table.schema, table.name) }))
    .filter(({ entry }) => entry?.table.enabled === true)
    .sort((left, right) => (keyOf(left.table) < keyOf(right.table) ? -1 : 1));
  return {
    all: tables.map(({ table }) => table),
    cdc: tables.filter(({ entry }) => entry?.table.method === 'cdc').map(({ table }) => table),
  };
}

function heading(source: SourceConfig, database: string, catalog: ObservedSource | null): string[] {
  const version = catalog === null ? '' : ` (Postgres ${catalog.server.version})`;
  const patterns = source.tables.filter((entry) => entry.pattern !== null).map((entry) => entry.key);
  return [
    `-- Source ${comment(source.name)} in database ${comment(database)}${version}.`,
    '-- Run it there as a superuser, or as the owner of the tables.',
    ...(catalog === null ? ['-- The database could not be asked, so this is made from the config file alone.'] : []),
    ...(catalog === null && patterns.length > 0
      ? [`-- Tables that only a pattern names are missing here: ${patterns.map(comment).join(', ')}`]
      : []),
  ];
}

function walSection(catalog: ObservedSource | null, cdc: boolean): string[][] {
  if (!cdc || catalog === null || catalog.server.walLevel === 'logical') return [];
  return [
    [
      `-- wal_level is ${catalog.server.walLevel}. Restart the server after this. Managed services have a parameter for it instead:`,
      '-- rds.logical_replication = 1 (Amazon), cloudsql.logical_decoding = on (Google), wal_level (Azure).',
      'alter system set wal_level = logical;',
    ],
  ];
}

function roleSection(role: string, catalog: ObservedSource | null): string[][] {
  const server = catalog?.server;
  if (server !== undefined && (server.isSuperuser || server.hasReplication || server.replicationRoles.length > 0))
    return [];
  return [
    [
      '-- The role may make and read a replication slot.',
      `-- On Amazon RDS and Aurora instead: grant rds_replication to ${role};`,
      `alter role ${role} with replication;`,
    ],
  ];
}

function grantSection(role: string, tables: readonly TableName[]): string[] {
  if (tables.length === 0) return ['-- No table of the file is known, so there is nothing to grant.'];
  const schemas = [...new Set(tables.map((table) => table.schema))];
  return [
    '-- The role may read the tables.',
    `grant usage on schema ${schemas.map(quoteIdentifier).join(', ')} to ${role};`,
    ...schemas.map((schema) => {
      const names = tables.filter((table) => table.schema === schema).map(quoteQualified);
      return `grant select on table\n  ${names.join(',\n  ')}\n  to ${role};`;
    }),
  ];
}

interface Published {
  readonly tables: readonly PublishedTable[];
  /** Stored generated columns are wanted. */
  readonly storedGenerated: boolean;
}

/** With the column list that the settings ask for, where the database could be asked and has such lists. */
function publishedTables(
  source: SourceConfig,
  tables: readonly TableName[],
  catalog: ObservedSource | null,
): Published {
  if (catalog === null) return { tables, storedGenerated: false };
  const { versionNum } = catalog.server;
  // What is not sent yet is asked for here, as a managed publication would.
  const cdc = { ...source.cdc, management: 'managed' as const };
  const entries = tables.map(({ schema, name }) => {
    const table = catalog.tables.find((candidate) => candidate.schema === schema && candidate.name === name);
    const entry = entryOf(source, schema, name);
    if (table === undefined || entry === null) return { schema, name, publishable: null };
    const { columns } = selectedColumns(entry.table, table, table.primaryKey, isSentBy(catalog, cdc, table));
    const below = new Set(table.partitionOids);
    const leaves = catalog.tables.filter(({ oid, kind }) => below.has(oid) && kind !== 'p');
    return { schema, name, publishable: { table, leaves, copied: columns.map((column) => column.name) } };
  });
  const storedGenerated = needsStoredGenerated(
    entries.flatMap(({ publishable }) => publishable ?? []),
    versionNum,
  );
  return {
    storedGenerated,
    tables: entries.map(({ schema, name, publishable }) => ({
      schema,
      name,
      list: publishable === null ? null : columnList(publishable, versionNum, storedGenerated),
    })),
  };
}

function publicationSection(source: SourceConfig, wanted: Published, catalog: ObservedSource | null): string[][] {
  const { tables, storedGenerated } = wanted;
  const name = source.cdc.publication;
  const existing = catalog?.publications.find((publication) => publication.name === name);
  if (existing === undefined) {
    return [['-- The publication: which changes Postgres sends.', createPublicationSql(name, tables, storedGenerated)]];
  }
  const members = new Map(existing.tables.map((member) => [keyOf(member), member]));
  const listable = !existing.allTables && existing.schemas.length === 0;
  const missing = existing.allTables ? [] : tables.filter((table) => !members.has(keyOf(table)));
  const lacking = tables.filter((table) => {
    const sent = members.get(keyOf(table))?.columns ?? null;
    return sent !== null && (table.list == null || table.list.some((column) => !sent.includes(column)));
  });
  const options = !isComplete(existing) || (storedGenerated && !existing.storedGenerated);
  const statements = [
    ...(options ? [setPublicationOptionsSql(name, storedGenerated || existing.storedGenerated)] : []),
    ...(missing.length === 0
      ? []
      : [
          addPublicationTablesSql(
            name,
            missing.map((table) => (listable ? table : { ...table, list: null })),
          ),
        ]),
    ...(lacking.length === 0 ? [] : [relistPublicationTablesSql(name, lacking)]),
  ];
  if (statements.length === 0) return [[`-- The publication ${comment(name)} is there and complete.`]];
  return [[`-- The publication ${comment(name)} is there and lacks this.`, ...statements]];
}

function isComplete(publication: ObservedPublication): boolean {
  const { insert, update, delete: deletes, truncate, viaPartitionRoot } = publication;
  return insert && update && deletes && truncate && viaPartitionRoot;
}

/** A name inside of a comment must not end the comment's line. */
function comment(text: string): string {
  return JSON.stringify(text);
}

function keyOf(table: TableName): string {
  return formatTableKey(table.schema, table.name);
}
