import type { SourceConfig, TableEntry } from '../config/config.js';
import { suggestion } from '../config/nearest.js';
import { entryOf, formatTableKey } from '../config/table-key.js';
import type { ObservedSource, ObservedTable } from '../source/catalog-model.js';
import type { Dialect } from '../source/dialect.js';
import type { Blocker } from './change.js';
import { type DesiredTable, desireTable } from './desired-table.js';
import type { PlanningNotice } from './planning-notice.js';
import type { SourceScope } from './target.js';

/** What a source's entries mean in the database as it is now. Tables by `schema.table`, in name order. */
export interface Resolution {
  /** Enabled tables that can be synced. */
  readonly tables: ReadonlyMap<string, DesiredTable>;
  /** Tables that an entry switches off. */
  readonly disabled: ReadonlySet<string>;
  /** Tables that keep the state they have: something blocks them, or they are not targeted. */
  readonly held: ReadonlySet<string>;
  readonly blockers: readonly Blocker[];
  readonly notices: readonly PlanningNotice[];
}

/**
 * Expands patterns over the catalog and joins each table with its settings. Patterns take ordinary and partitioned
 * tables, not partitions, views or foreign tables; exact entries take anything. A table that a pattern finds and that
 * cannot be synced is skipped with a notice, unless it is in the state already; one with an exact entry is a blocker.
 * @param known keys of the tables in the state
 * @param dialect of the destination
 */
export function resolveTables(
  source: SourceConfig,
  catalog: ObservedSource,
  known: ReadonlySet<string>,
  scope: SourceScope,
  dialect: Dialect,
): Resolution {
  const tables = new Map<string, DesiredTable>();
  const disabled = new Set<string>();
  const held = new Set<string>();
  const blockers: Blocker[] = [];
  const notices: PlanningNotice[] = [];

  for (const { key, entry, observed } of matches(source, catalog)) {
    const address = `${source.name}:${key}`;
    if (!scope.covers(key)) {
      held.add(key);
      continue;
    }
    if (!entry.table.enabled) {
      disabled.add(key);
      continue;
    }
    if (observed === null) {
      held.add(key);
      blockers.push(missingTable(address, key, catalog));
      continue;
    }
    const swallowed = partitionClash(source, entry, observed, catalog);
    const result =
      swallowed === null
        ? desireTable(source, entry.table, observed, catalog, entry.pattern !== null, dialect)
        : { ok: false as const, obstacles: [swallowed] };
    if (result.ok) {
      tables.set(key, result.table);
      continue;
    }
    const skipped =
      entry.pattern !== null && !known.has(key) && result.obstacles.every((obstacle) => obstacle.inherent);
    if (!skipped) held.add(key);
    for (const { inherent: _inherent, ...obstacle } of result.obstacles) {
      if (skipped)
        notices.push({ address, message: `skipped, found by the pattern "${entry.key}": ${obstacle.message}` });
      else blockers.push({ address, ...obstacle });
    }
  }
  if (!scope.whole) {
    for (const key of known) if (!scope.covers(key)) held.add(key);
  }
  return {
    tables,
    disabled,
    held,
    blockers,
    notices: scope.whole ? [...notices, ...idlePatterns(source, catalog)] : notices,
  };
}

interface Match {
  readonly key: string;
  readonly entry: TableEntry;
  /** Null: an exact entry without a table. */
  readonly observed: ObservedTable | null;
}

/** Every table that an entry speaks for, in name order. */
function matches(source: SourceConfig, catalog: ObservedSource): readonly Match[] {
  const found = catalog.tables.flatMap((observed): Match[] => {
    const entry = entryOf(source, observed.schema, observed.name);
    if (entry === null || (entry.pattern !== null && !isOrdinary(observed))) return [];
    return [{ key: formatTableKey(observed.schema, observed.name), entry, observed }];
  });
  const keys = new Set(found.map((match) => match.key));
  const missing = source.tables.flatMap((entry): Match[] => {
    if (entry.schema === null || entry.name === null) return [];
    const key = formatTableKey(entry.schema, entry.name);
    return keys.has(key) ? [] : [{ key, entry, observed: null }];
  });
  return [...found, ...missing].sort((left, right) => (left.key < right.key ? -1 : 1));
}

function isOrdinary(table: ObservedTable): boolean {
  return (table.kind === 'r' || table.kind === 'p') && !table.isPartition && table.persistence !== 't';
}

function missingTable(address: string, key: string, catalog: ObservedSource): Blocker {
  const known = catalog.tables
    .filter((table) => !table.isPartition)
    .map((table) => formatTableKey(table.schema, table.name));
  const near = suggestion(key, known);
  return {
    address,
    code: 'TABLE_MISSING',
    // A list of hundreds of tables helps nobody; only a near name is worth a line.
    message: `table ${key} does not exist in database "${catalog.server.database}"${near.startsWith('; did') ? near : ''}`,
    hint: 'correct the name, or take the entry out of the file',
  };
}

/** The publication sends a partition's changes as those of its root, so a cdc entry for both leaves the partition without any. */
function partitionClash(source: SourceConfig, entry: TableEntry, observed: ObservedTable, catalog: ObservedSource) {
  if (!observed.isPartition || entry.table.method !== 'cdc') return null;
  const root = catalog.tables.find((table) => table.oid === observed.partitionRootOid);
  const rootEntry = root === undefined ? null : entryOf(source, root.schema, root.name);
  if (root === undefined || rootEntry === null || !rootEntry.table.enabled || rootEntry.table.method !== 'cdc')
    return null;
  return {
    code: 'METHOD_UNSUITABLE' as const,
    message: `${observed.schema}.${observed.name} is a partition of ${root.schema}.${root.name}, whose cdc entry takes in its changes already`,
    hint: 'take one of the two entries out, or set method: full_table for the partition',
    inherent: true,
  };
}

function idlePatterns(source: SourceConfig, catalog: ObservedSource): PlanningNotice[] {
  const used = new Set(
    catalog.tables
      .filter(isOrdinary)
      .map((table) => entryOf({ ...source, tables: patternsOf(source) }, table.schema, table.name)),
  );
  return patternsOf(source)
    .filter((entry) => !used.has(entry))
    .map((entry) => ({
      address: source.name,
      message: `the pattern "${entry.key}" finds no table of its own`,
      restsOn: 'catalog',
    }));
}

function patternsOf(source: SourceConfig): readonly TableEntry[] {
  return source.tables.filter((entry) => entry.pattern !== null);
}
