import type { ConnectionConfig, SourceConfig, TableConfig } from '../config/config.js';
import { entryOf, formatTableKey } from '../config/table-key.js';
import type { ObservedSource, ObservedTable } from '../source/catalog-model.js';
import type { Dialect } from '../source/dialect.js';
import type { CursorProbe } from '../source/readiness.js';
import type { Readiness, Reading } from '../source/readiness-model.js';
import { leavesOf, type MethodProblem, methodProblem } from '../source/table-problem.js';

/** What the checks judge: one source of the config beside what its database looks like. Plain data, no I/O. */
export interface Subject {
  readonly source: SourceConfig;
  readonly connection: ConnectionConfig;
  /** Of its destination. */
  readonly dialect: Dialect;
  readonly catalog: ObservedSource;
  /** Null where only the catalog was read. */
  readonly readiness: Readiness | null;
  /** Enabled tables of the file that exist, in name order. */
  readonly tables: readonly SubjectTable[];
  /** Exact entries of the file without a table: `schema.table`. */
  readonly missing: readonly string[];
}

export interface SubjectTable {
  /** `source:schema.table` */
  readonly address: string;
  readonly config: TableConfig;
  /** What keeps its method from working, whatever the role may do. */
  readonly problem: MethodProblem | null;
  /** Columns that the file names one by one and that the table does not have. */
  readonly missingColumns: readonly { readonly option: 'cursor' | 'primary_key'; readonly column: string }[];
  /** A pattern found it and one of the two is wrong: a plan leaves it out, unless it was applied before. */
  readonly skipped: boolean;
  readonly observed: ObservedTable;
}

/** Patterns take ordinary and partitioned tables; exact entries take what they name. */
export function subjectOf(
  source: SourceConfig,
  connection: ConnectionConfig,
  dialect: Dialect,
  catalog: ObservedSource,
  readiness: Readiness | null,
): Subject {
  const tables = subjectTables(source, catalog);
  const known = new Set(catalog.tables.map((table) => formatTableKey(table.schema, table.name)));
  const missing = source.tables.flatMap((entry) => {
    if (entry.schema === null || entry.name === null || !entry.table.enabled) return [];
    const key = formatTableKey(entry.schema, entry.name);
    return known.has(key) ? [] : [key];
  });
  return { source, connection, dialect, catalog, readiness, tables, missing };
}

/** What the readers of readiness.ts have to be told: whose cursors and which slot. */
export function readinessNeeds(
  source: SourceConfig,
  catalog: ObservedSource,
): { readonly cursors: readonly CursorProbe[]; readonly slot: string | null } {
  const tables = subjectTables(source, catalog);
  const cursors = tables.flatMap(({ config, observed }): CursorProbe[] => {
    const column = observed.columns.find(({ name }) => name === config.cursor);
    if (column === undefined || config.cursor === null) return [];
    const { oid, schema, name } = observed;
    return [{ oid, schema, name, column: column.name, notNull: column.notNull }];
  });
  return { cursors, slot: tables.some(({ config }) => config.method === 'cdc') ? source.cdc.slot : null };
}

/** What a reader brought; null where it failed (unread.ts tells of that) or was not asked. */
export function known<Value>(reading: Reading<Value> | undefined): Value | null {
  return reading?.ok === true ? reading.value : null;
}

function subjectTables(source: SourceConfig, catalog: ObservedSource): readonly SubjectTable[] {
  return catalog.tables.flatMap((observed): SubjectTable[] => {
    const entry = entryOf(source, observed.schema, observed.name);
    if (entry === null || !entry.table.enabled || (entry.pattern !== null && !isOrdinary(observed))) return [];
    const address = addressOf(source, observed.schema, observed.name);
    const key = entry.table.primaryKey ?? observed.primaryKey;
    const problem = methodProblem(observed, entry.table, key, catalog.tables);
    const missingColumns = missingColumnsOf(entry.table, observed);
    const skipped = entry.pattern !== null && (problem !== null || missingColumns.length > 0);
    return [{ address, config: entry.table, problem, missingColumns, skipped, observed }];
  });
}

function missingColumnsOf(config: TableConfig, observed: ObservedTable): SubjectTable['missingColumns'] {
  const named = [
    ...(config.cursor === null ? [] : [{ option: 'cursor' as const, column: config.cursor }]),
    ...(config.primaryKey ?? []).map((column) => ({ option: 'primary_key' as const, column })),
  ];
  return named.filter(({ column }) => !observed.columns.some(({ name }) => name === column));
}

/** Those that are streamed; the checks of slot, publication and role matter only where there are any. */
export function cdcTables(subject: Subject): readonly SubjectTable[] {
  return subject.tables.filter((table) => table.config.method === 'cdc' && !table.skipped);
}

/** Leaf partitions, which hold a partitioned table's rows; the table itself where it is none. */
export function carriers(subject: Subject, table: ObservedTable): readonly ObservedTable[] {
  return table.kind === 'p' ? leavesOf(table, subject.catalog.tables) : [table];
}

export function addressOf(source: SourceConfig, schema: string, name: string): string {
  return `${source.name}:${formatTableKey(schema, name)}`;
}

function isOrdinary(table: ObservedTable): boolean {
  return (table.kind === 'r' || table.kind === 'p') && !table.isPartition && table.persistence !== 't';
}
