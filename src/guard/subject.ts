import type { ConnectionConfig, SourceConfig, TableConfig } from '../config/config.js';
import { entryOf, formatTableKey } from '../config/table-key.js';
import type { ObservedSource, ObservedTable } from '../source/catalog-model.js';

/** What the checks judge: one source of the config beside what its database looks like. Plain data, no I/O. */
export interface Subject {
  readonly source: SourceConfig;
  readonly connection: ConnectionConfig;
  readonly catalog: ObservedSource;
  /** Enabled tables of the file that exist, in name order. */
  readonly tables: readonly SubjectTable[];
  /** Exact entries of the file without a table: `schema.table`. */
  readonly missing: readonly string[];
}

export interface SubjectTable {
  /** `source:schema.table` */
  readonly address: string;
  readonly config: TableConfig;
  readonly observed: ObservedTable;
}

/** Patterns take ordinary and partitioned tables; exact entries take what they name. */
export function subjectOf(source: SourceConfig, connection: ConnectionConfig, catalog: ObservedSource): Subject {
  const tables = catalog.tables.flatMap((observed): SubjectTable[] => {
    const entry = entryOf(source, observed.schema, observed.name);
    if (entry === null || !entry.table.enabled || (entry.pattern !== null && !isOrdinary(observed))) return [];
    return [{ address: addressOf(source, observed.schema, observed.name), config: entry.table, observed }];
  });
  const known = new Set(catalog.tables.map((table) => formatTableKey(table.schema, table.name)));
  const missing = source.tables.flatMap((entry) => {
    if (entry.schema === null || entry.name === null || !entry.table.enabled) return [];
    const key = formatTableKey(entry.schema, entry.name);
    return known.has(key) ? [] : [key];
  });
  return { source, connection, catalog, tables, missing };
}

/** Those that are streamed; the checks of slot, publication and role matter only where there are any. */
export function cdcTables(subject: Subject): readonly SubjectTable[] {
  return subject.tables.filter((table) => table.config.method === 'cdc');
}

/** Leaf partitions, which hold a partitioned table's rows; the table itself where it is none. */
export function carriers(subject: Subject, table: ObservedTable): readonly ObservedTable[] {
  if (table.kind !== 'p') return [table];
  const below = new Set(table.partitionOids);
  return subject.catalog.tables.filter((candidate) => below.has(candidate.oid) && candidate.kind !== 'p');
}

export function addressOf(source: SourceConfig, schema: string, name: string): string {
  return `${source.name}:${formatTableKey(schema, name)}`;
}

function isOrdinary(table: ObservedTable): boolean {
  return (table.kind === 'r' || table.kind === 'p') && !table.isPartition && table.persistence !== 't';
}
