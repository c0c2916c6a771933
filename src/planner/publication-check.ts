import type { SourceConfig } from '../config/config.js';
import type { ObservedPublication, ObservedSource, ObservedTable } from '../source/catalog-model.js';
import { publishedList } from '../source/column-list.js';
import {
  addPublicationTablesSql,
  createPublicationSql,
  removePublicationTablesSql,
} from '../source/publication-sql.js';
import { quoteIdentifier, quoteQualified } from '../source/sql-identifier.js';
import { leavesOf } from '../source/table-problem.js';
import type { SourceState } from '../state/state.js';
import type { Blocker, Change, SettingChange } from './change.js';
import { NO_COST } from './cost.js';
import type { Gap } from './load-order.js';
import type { PlanningNotice } from './planning-notice.js';
import { dropPublicationChange, isOurs } from './publication-end.js';
import { type PublishedColumns, publishedColumns } from './published-columns.js';

export interface PublicationInput {
  readonly source: SourceConfig;
  readonly state: SourceState | null;
  readonly catalog: ObservedSource;
  /** Tables that the stream must carry afterwards; null where the catalog does not have one any more. */
  readonly streamed: ReadonlyMap<string, ObservedTable | null>;
  /** Those of them that the stream carries by the state already: what they missed has to be read again. */
  readonly continuing: ReadonlySet<string>;
  readonly generation: (key: string) => number;
  /** Names of the columns that are copied of a streamed table. */
  readonly copied: (key: string) => readonly string[];
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
  readonly notices: readonly PlanningNotice[];
}

export const NOTHING_TO_PUBLISH: PublicationPlan = {
  drop: [],
  make: [],
  remove: [],
  end: [],
  fresh: null,
  gaps: new Map(),
  blockers: [],
  notices: [],
};

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

export function findPublication(catalog: ObservedSource, name: string): ObservedPublication | undefined {
  return catalog.publications.find((publication) => publication.name === name);
}

/** Tables that the publication does not send. Those that the catalog lacks cannot be judged. */
export function unpublishedTables(
  publication: ObservedPublication,
  input: PublicationInput,
): readonly { readonly key: string; readonly table: ObservedTable }[] {
  return [...input.streamed].flatMap(([key, table]) =>
    table === null || isPublished(publication, table, input.catalog.tables) ? [] : [{ key, table }],
  );
}

/**
 * A publication of ours under a name that the file no longer has. It goes before the new one is made: once the state
 * holds the new name, nothing would know of the old one.
 */
export function planOldPublication({ source, state, catalog }: PublicationInput): readonly Change[] {
  const old = state?.publication ?? null;
  if (old === null || old === source.cdc.publication || !isOurs(state)) return [];
  const reason = `the publication is ${source.cdc.publication} now`;
  return [dropPublicationChange(`${source.name}:publication`, old, reason, catalog, state)];
}

/** CREATE PUBLICATION for all streamed tables. */
export function createPublicationChange(
  address: string,
  input: PublicationInput,
  reason: string,
  selfManaged: boolean,
): Extract<Change, { action: 'create_publication' }> {
  const columns = publishedColumns(input, null);
  const tables = [...input.streamed].flatMap(([key, table]) => (table === null ? [] : [columns.publish(key, table)]));
  const { publication } = input.source.cdc;
  return {
    action: 'create_publication',
    address,
    destructive: false,
    reason,
    cost: NO_COST,
    details: {
      publication,
      tables: [...input.streamed.keys()].sort(),
      sql: createPublicationSql(publication, tables, columns.storedGenerated),
      self_managed: selfManaged,
      column_lists: columnLists(input, columns, input.streamed.keys()),
      adopted: false,
    },
  };
}

export function columnLists(
  input: PublicationInput,
  columns: PublishedColumns,
  keys: Iterable<string>,
): Readonly<Record<string, readonly string[]>> {
  const lists: Record<string, readonly string[]> = {};
  for (const key of keys) {
    const list = input.streamed.get(key) === null ? null : columns.listOf(key);
    if (list !== null) lists[key] = list;
  }
  return lists;
}

export interface Mending {
  readonly changes: Readonly<Record<string, SettingChange>>;
  /** Tables whose changes were not all sent. */
  readonly gaps: readonly string[];
}

export function settingsToMend(
  publication: ObservedPublication,
  input: PublicationInput,
  columns: PublishedColumns,
): Mending | null {
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
  if (columns.storedGenerated && !publication.storedGenerated) {
    changes['publish_generated_columns'] = { from: 'none', to: 'stored' };
    for (const key of input.continuing) if (lacksGenerated(key, publication, input)) gaps.add(key);
  }
  return Object.keys(changes).length === 0 ? null : { changes, gaps: [...gaps] };
}

/** The destination holds a generated column of the table that the publication does not send. */
function lacksGenerated(key: string, publication: ObservedPublication, input: PublicationInput): boolean {
  const table = input.streamed.get(key) ?? null;
  if (table === null || publishedList(publication, table) !== null) return false;
  const held = new Set(input.state?.tables[key]?.columns.map((column) => column.name));
  return table.columns.some((column) => column.generated === 's' && held.has(column.name));
}

/** Only a table's owner may put it into a publication. */
export function ownershipBlockers(
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

/**
 * A row filter makes the stream send less than the snapshot reads, and so does a column list without a copied column.
 * @param lists false where the lists are ours to mend
 */
export function narrowedBlockers(
  source: string,
  publication: ObservedPublication,
  input: PublicationInput,
  lists: boolean,
): Blocker[] {
  const columns = publishedColumns(input, publication);
  return [...input.streamed].flatMap(([key, table]): Blocker[] => {
    const member = publication.tables.find((candidate) => candidate.oid === table?.oid);
    if (table === null || member === undefined) return [];
    const what =
      member.rowFilter !== null
        ? 'only some rows'
        : lists && member.columns !== null && input.copied(key).some((name) => !member.columns?.includes(name))
          ? 'only some of the columns that are copied'
          : null;
    if (what === null) return [];
    const after = input.continuing.has(key) ? ` -- then: sluice resync ${source}:${key}` : '';
    return [
      {
        address: `${source}:${key}`,
        code: 'PUBLICATION_INCOMPLETE',
        message: `publication ${publication.name} sends ${what} of ${key}, so the stream would not keep the table in step`,
        hint: `${removePublicationTablesSql(publication.name, [table])} ${addPublicationTablesSql(publication.name, [columns.publish(key, table)])}${after}`,
      },
    ];
  });
}
