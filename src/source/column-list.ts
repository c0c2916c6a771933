import type { CdcConfig, TableConfig } from '../config/config.js';
import type { ObservedColumn, ObservedPublication, ObservedSource, ObservedTable } from './catalog-model.js';

/** Column lists of publications came with 15, the publication of stored generated columns with 18. */
const LISTS_SINCE = 150_000;
const GENERATED_SINCE = 180_000;

export function hasColumnLists(versionNum: number): boolean {
  return versionNum >= LISTS_SINCE;
}

/**
 * The columns that a table's settings ask for, in source order. Key and cursor columns always come along; cdc can only
 * have what the stream brings.
 */
export function selectedColumns(
  config: TableConfig,
  table: ObservedTable,
  key: readonly string[],
  isSent: (column: ObservedColumn) => boolean,
): { readonly columns: readonly ObservedColumn[]; readonly unsent: readonly ObservedColumn[] } {
  const always = new Set(config.cursor === null ? key : [...key, config.cursor]);
  const { columns: selection } = config;
  const selected = table.columns.filter(
    ({ name }) =>
      always.has(name) ||
      selection.kind === 'all' ||
      selection.columns.includes(name) === (selection.kind === 'include'),
  );
  const reaches = (column: ObservedColumn) => config.method !== 'cdc' || isSent(column);
  return { columns: selected.filter(reaches), unsent: selected.filter((column) => !reaches(column)) };
}

/**
 * Whether pgoutput sends a column's values. Stored generated columns are sent since 18 where the publication says so, as
 * a managed one does when it is needed; virtual ones never are.
 * @see Postgres docs, "Generated Column Replication"
 */
export function isSentBy(
  catalog: Pick<ObservedSource, 'server' | 'publications'>,
  cdc: Pick<CdcConfig, 'management' | 'publication'>,
  table: ObservedTable,
): (column: ObservedColumn) => boolean {
  const publication = catalog.publications.find(({ name }) => name === cdc.publication);
  const list = publication?.tables.find(({ oid }) => oid === table.oid)?.columns ?? null;
  return (column) => {
    if (column.generated === '') return true;
    if (column.generated === 'v' || catalog.server.versionNum < GENERATED_SINCE) return false;
    if (cdc.management === 'managed') return true;
    return list === null ? publication?.storedGenerated === true : list.includes(column.name);
  };
}

/** A table that is to be published, with what of it is copied. */
export interface Publishable {
  readonly table: ObservedTable;
  /** Leaf partitions; [] for an ordinary table. */
  readonly leaves: readonly ObservedTable[];
  /** Names of the copied columns. */
  readonly copied: readonly string[];
}

/**
 * Whether the publication has to send stored generated columns: some are copied, or a table sends whole old rows. With
 * REPLICA IDENTITY FULL Postgres 18 refuses updates of a published table whose generated columns are not published.
 */
export function needsStoredGenerated(tables: readonly Publishable[], versionNum: number): boolean {
  if (versionNum < GENERATED_SINCE) return false;
  return tables.some(
    (entry) =>
      entry.table.columns.some(({ generated, name }) => generated === 's' && entry.copied.includes(name)) ||
      breaksUpdates(entry),
  );
}

/** REPLICA IDENTITY FULL beside a stored generated column. */
export function breaksUpdates({ table, leaves }: Omit<Publishable, 'copied'>): boolean {
  return [table, ...leaves].some(
    (part) => part.replicaIdentity === 'f' && part.columns.some(({ generated }) => generated === 's'),
  );
}

/**
 * The columns to publish a table with, in source order; null for all of them, without a list. A list has to cover the
 * replica identity of the table and of each partition, or Postgres refuses updates and deletes in the source; with
 * REPLICA IDENTITY FULL none may be given.
 * @param storedGenerated the publication sends stored generated columns of tables without a list
 */
export function columnList(entry: Publishable, versionNum: number, storedGenerated: boolean): readonly string[] | null {
  if (!hasColumnLists(versionNum) || sendsWholeOldRows(entry)) return null;
  const { table, leaves, copied } = entry;
  const needed = new Set([...copied, ...[table, ...leaves].flatMap((part) => part.replicaIdentityColumns)]);
  const sent = table.columns.filter(
    (column) => column.generated === '' || (storedGenerated && column.generated === 's'),
  );
  if (sent.every((column) => needed.has(column.name))) return null;
  return table.columns.filter((column) => needed.has(column.name)).map((column) => column.name);
}

export function sendsWholeOldRows({ table, leaves }: Omit<Publishable, 'copied'>): boolean {
  return [table, ...leaves].some((part) => part.replicaIdentity === 'f');
}

/** Ordinary columns that are not copied. */
export function leftOut({ table, copied }: Publishable): readonly string[] {
  return table.columns
    .filter((column) => column.generated === '' && !copied.includes(column.name))
    .map((column) => column.name);
}

/** The list that a publication holds for a table; null where it sends all columns, or where the table is no member. */
export function publishedList(
  publication: ObservedPublication | undefined,
  table: ObservedTable,
): readonly string[] | null {
  return publication?.tables.find(({ oid }) => oid === table.oid)?.columns ?? null;
}
