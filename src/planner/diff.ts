import { isDeepStrictEqual } from 'node:util';
import type { TableFacts } from '../destination/facts.js';
import type { ObservedTable } from '../source/catalog-model.js';
import type { ColumnState, TableState } from '../state/state.js';
import type { Change, Notice, SettingChange } from './change.js';
import { type ColumnDiff, compareColumns } from './column-diff.js';
import { loadCost, NO_COST } from './cost.js';
import type { DesiredTable, TableIntent } from './desired-table.js';
import { type Gap, nextGeneration } from './load-order.js';
import type { PlanningNotice } from './planning-notice.js';
import { changedIdentity } from './replica-identity.js';
import { sameNames } from './suitability.js';

export interface TableContext {
  /** `source:schema.table` */
  readonly address: string;
  /** Null when the destination knows nothing of the table. */
  readonly facts: TableFacts | null;
  /** The slot was there before this plan and stays: what is published from now on came after it (DESIGN 3, first trap). */
  readonly slotKept: boolean;
  /** Why the table has to be read again whatever the file says of it. */
  readonly gaps: readonly Gap[];
}

export interface TableChanges {
  readonly changes: readonly Change[];
  readonly notices: readonly PlanningNotice[];
}

/**
 * A table that the state does not have yet, or has in another place.
 * @param elsewhere that place is another destination
 */
export function createTable(
  desired: DesiredTable,
  old: TableState | null,
  context: TableContext,
  elsewhere = false,
): TableChanges {
  const reason = context.facts === null || context.facts.loadedGeneration === 0 ? 'first load' : 'the entry is back';
  const moved = elsewhere ? 'moved to another destination' : 'moved to another place';
  const table = loadedTable(desired, old, context, old === null ? reason : moved);
  return {
    changes: [
      {
        action: 'create_table',
        address: context.address,
        destructive: false,
        reason:
          old === null || elsewhere ? 'in the file and not yet in the destination' : 'takes the place of the one above',
        cost: NO_COST,
        details: { table },
      },
      {
        action: 'snapshot_table',
        address: context.address,
        destructive: false,
        reason: table.generation_reason,
        cost: loadCost(desired.observed, context.facts),
        details: { generation: table.generation, method: table.method },
      },
    ],
    notices: noticesOf(desired, context),
  };
}

/** What brings a table from the state to what the file and the catalog ask for. No changes when they agree. */
export function diffTable(state: TableState, desired: DesiredTable, context: TableContext): TableChanges {
  const changes = tableChanges(state, desired, context);
  return {
    changes,
    notices: changes.length === 0 ? [] : [...noticesOf(desired, context), ...outputNotices(state, desired, context)],
  };
}

/** A table that keeps its settings but missed changes. */
export function reloadHeldTable(
  state: TableState,
  observed: ObservedTable | null,
  context: TableContext,
): readonly Change[] {
  const cause = context.gaps.map((gap) => gap.cause).join('; ');
  const generation = nextGeneration(state, context.facts);
  return [
    resync(
      state,
      { ...state, generation, generation_reason: cause },
      observed,
      context,
      consentedBy(context.gaps),
      cause,
    ),
  ];
}

function tableChanges(state: TableState, desired: DesiredTable, context: TableContext): readonly Change[] {
  const { intent } = desired;
  if (!isDeepStrictEqual(state.target, intent.target) || state.metadata_prefix !== intent.metadata_prefix) {
    return [retireOld(state, intent, context), ...createTable(desired, state, context).changes];
  }
  if (!state.enabled) return [enable(state, desired, context)];
  if (state.method !== intent.method) return [changeMethod(state, desired, context)];
  return edits(state, desired, context);
}

function edits(state: TableState, desired: DesiredTable, context: TableContext): readonly Change[] {
  const { intent, config } = desired;
  const { address } = context;
  const columns = compareColumns(state.columns, intent.columns);
  const renamed = withRenames(state, columns);
  const own = [...columns.reloads, ...settingReloads(renamed, intent)];
  const backfilled = config.onAddColumns === 'backfill' && intent.method === 'cdc';
  if (columns.added.length > 0 && config.onAddColumns !== 'forward_only' && !backfilled) {
    own.push(`columns were added and on_add_columns is ${config.onAddColumns}`);
  }
  if (state.output !== intent.output && intent.output !== 'consolidated') {
    own.push(`output ${state.output} -> ${intent.output} starts from a new snapshot`);
  } else if (state.output === 'history') {
    if (intent.output === 'consolidated') own.push('output history -> consolidated starts from a new snapshot');
  }
  const causes = [...context.gaps.map((gap) => gap.cause), ...own];
  const changes: Change[] = [];
  const plain = { address, destructive: false, cost: NO_COST } as const;
  if (causes.length > 0) {
    const cause = causes.join('; ');
    const table = loadedTable(desired, state, context, cause);
    // First, so that the load is asked for even if one of the changes below fails; it carries them all.
    changes.push(resync(state, table, desired.observed, context, own.length === 0 && consentedBy(context.gaps), cause));
  }
  if (columns.renamed.length > 0) {
    const { primary_key, cursor } = renamed;
    changes.push({
      ...plain,
      action: 'rename_columns',
      reason: 'renamed in the source; nothing is read again',
      details: {
        renames: columns.renamed,
        // The resync before it has recorded the columns as they will be.
        all_columns: causes.length > 0 ? intent.columns : columns.afterRenames,
        primary_key,
        cursor,
      },
    });
  }
  if (columns.removed.length > 0) {
    changes.push({
      ...plain,
      action: 'remove_columns',
      // What was there is overwritten with NULL as rows change, so leaving out a column that still exists needs consent.
      destructive: columns.removed.some((name) => desired.observed.columns.some((column) => column.name === name)),
      reason: removalReason(columns.removed, desired),
      details: { columns: columns.removed, all_columns: columns.afterRemoval },
    });
  }
  if (columns.added.length > 0) {
    changes.push({
      ...plain,
      action: 'add_columns',
      reason:
        causes.length > 0
          ? 'selected or new in the source'
          : backfilled
            ? 'selected or new in the source'
            : 'selected or new in the source; rows have NULL there until they change',
      details: { columns: columns.added, all_columns: intent.columns },
    });
  }
  if (columns.added.length > 0 && backfilled && causes.length === 0) {
    changes.push(backfill(state, columns.added, desired, context));
  }
  if (state.output !== intent.output) {
    changes.push({
      ...plain,
      action: 'change_output',
      reason: 'output was edited',
      details: { from: state.output, to: intent.output },
    });
  }
  if (!isDeepStrictEqual(state.schedule, intent.schedule)) {
    changes.push({
      ...plain,
      action: 'change_schedule',
      reason: 'schedule was edited',
      details: { from: state.schedule, to: intent.schedule },
    });
  }
  const settings = updateSettings(renamed, intent, columns.retyped, context);
  return settings === null ? changes : [...changes, settings];
}

/** One that was asked for and is not done yet is taken along. */
function backfill(
  state: TableState,
  added: readonly ColumnState[],
  desired: DesiredTable,
  context: TableContext,
): Change {
  const done = context.facts?.backfilled ?? 0;
  const pending = state.backfill !== null && state.backfill.id > done ? state.backfill.columns : [];
  const columns = [...new Set([...pending, ...added.map((column) => column.name)])];
  return {
    action: 'backfill_columns',
    address: context.address,
    destructive: false,
    reason: 'on_add_columns is backfill: reads the key and these columns, and keeps newer changes',
    cost: loadCost(desired.observed, context.facts),
    details: { columns, id: Math.max(state.backfill?.id ?? 0, done) + 1 },
  };
}

/** The state with the new names of its columns, so that a key is not taken for another because of its columns' names. */
function withRenames(state: TableState, columns: ColumnDiff): TableState {
  const newName = (name: string): string => columns.renamed.find(({ from }) => from === name)?.to ?? name;
  return {
    ...state,
    primary_key: state.primary_key.map(newName),
    cursor: state.cursor === null ? null : newName(state.cursor),
    partition_by: state.partition_by.map(newName),
  };
}

/** Settings that go into the state as they are. Those that ask for a load stand in the resync before it as well. */
function updateSettings(
  state: TableState,
  intent: TableIntent,
  retyped: readonly { readonly name: string; readonly from: string; readonly to: string }[],
  context: TableContext,
): Change | null {
  const settings: Record<string, SettingChange> = {};
  const note = (name: string, from: unknown, to: unknown) => {
    if (!isDeepStrictEqual(from, to)) settings[name] = { from, to };
  };
  note('deletes', state.deletes, intent.deletes);
  note('lookback_ms', state.lookback_ms, intent.lookback_ms);
  note('on_remove', state.on_remove, intent.on_remove);
  note('on_partition_change', state.on_partition_change, intent.on_partition_change);
  note('partition_by', state.partition_by, intent.partition_by);
  note('cursor', state.cursor, intent.cursor);
  if (!sameNames(state.primary_key, intent.primary_key)) note('primary_key', state.primary_key, intent.primary_key);
  note('oid', state.oid, intent.oid);
  if (changedIdentity(state.replica_identity, intent.replica_identity)) {
    note('replica_identity', state.replica_identity, intent.replica_identity);
  }
  for (const column of retyped) note(`columns.${column.name}`, column.from, column.to);
  if (Object.keys(settings).length === 0) return null;
  const { deletes, lookback_ms, on_remove, on_partition_change, partition_by, cursor, primary_key, oid, columns } =
    intent;
  const { replica_identity } = intent;
  return {
    action: 'update_settings',
    address: context.address,
    destructive: false,
    reason: `${Object.keys(settings).join(', ')} changed`,
    cost: NO_COST,
    details: {
      settings,
      sql: null,
      loads: {},
      source: null,
      table_fields: {
        deletes,
        lookback_ms,
        on_remove,
        on_partition_change,
        partition_by,
        cursor,
        primary_key,
        replica_identity,
        oid,
        columns,
      },
    },
  };
}

/** Edits after which what stands in the destination would be wrong. */
function settingReloads(state: TableState, intent: TableIntent): string[] {
  const causes: string[] = [];
  const keyed = intent.method === 'cdc' || intent.method === 'incremental';
  if (state.oid !== intent.oid) causes.push('the table was dropped and made anew in the source');
  if (keyed && !sameNames(state.primary_key, intent.primary_key)) {
    causes.push(`the key is (${intent.primary_key.join(', ')}) now, it was (${state.primary_key.join(', ')})`);
  }
  if (!isDeepStrictEqual(state.partition_by, intent.partition_by)) {
    const by = (columns: readonly string[]): string => (columns.length === 0 ? 'nothing' : columns.join(', '));
    causes.push(`it is partitioned by ${by(intent.partition_by)} now, it was by ${by(state.partition_by)}`);
  }
  if (state.cursor !== intent.cursor) causes.push(`the cursor is ${intent.cursor} now, it was ${state.cursor}`);
  if (intent.method === 'cdc' && intent.output !== 'history' && state.deletes === 'soft' && intent.deletes === 'hard') {
    causes.push('deletes: hard, so rows that were marked as deleted go');
  }
  return causes;
}

function retireOld(state: TableState, intent: TableIntent, context: TableContext): Change {
  const place = (table: Pick<TableState, 'target'>) => `${table.target.schema}.${table.target.name}`;
  const why =
    place(state) === place(intent)
      ? `metadata_prefix is ${intent.metadata_prefix} now, it was ${state.metadata_prefix}`
      : `it becomes ${place(intent)}, it was ${place(state)}`;
  return {
    action: 'retire_table',
    address: context.address,
    destructive: true,
    reason: why,
    cost: NO_COST,
    details: { target: state.target, history: state.output !== 'consolidated' },
  };
}

function enable(state: TableState, desired: DesiredTable, context: TableContext): Change {
  const table = loadedTable(desired, state, context, 'enabled again');
  return {
    action: 'enable_table',
    address: context.address,
    destructive: isLoaded(context),
    reason: 'enabled again; it takes a new snapshot, as what changed meanwhile is not known',
    cost: loadCost(desired.observed, context.facts),
    details: { generation: table.generation, table },
  };
}

function changeMethod(state: TableState, desired: DesiredTable, context: TableContext): Change {
  const table = loadedTable(desired, state, context, `method ${state.method} -> ${desired.intent.method}`);
  return {
    action: 'change_method',
    address: context.address,
    destructive: isLoaded(context),
    reason: `method was edited; the table is read again as a whole`,
    cost: loadCost(desired.observed, context.facts),
    details: { from: state.method, to: desired.intent.method, table },
  };
}

function resync(
  state: TableState,
  table: TableState,
  observed: ObservedTable | null,
  context: TableContext,
  consented: boolean,
  cause: string,
): Change {
  const published = context.slotKept && context.gaps.length > 0 && state.method === 'cdc';
  return {
    action: 'resync_table',
    address: context.address,
    destructive: isLoaded(context) && !consented,
    reason: cause,
    cost: loadCost(observed, context.facts),
    details: {
      generation: table.generation,
      cause,
      table: published ? { ...table, published_in_generation: table.generation } : table,
    },
  };
}

/** The desired table with a new load asked for. */
function loadedTable(desired: DesiredTable, old: TableState | null, context: TableContext, reason: string): TableState {
  const generation = nextGeneration(old, context.facts);
  return {
    ...desired.intent,
    paused: old?.paused ?? false,
    pause: old?.pause ?? null,
    generation,
    generation_reason: reason,
    published_in_generation: publishedIn(desired, old, context, generation),
    backfill: old?.backfill ?? null,
  };
}

/** A table that the stream carries already keeps the mark it has; one that joins a slot that was there gets its own. */
function publishedIn(
  desired: DesiredTable,
  old: TableState | null,
  context: TableContext,
  generation: number,
): number | null {
  if (desired.intent.method !== 'cdc') return null;
  if (old?.enabled === true && old.method === 'cdc') return old.published_in_generation;
  return context.slotKept ? generation : null;
}

function consentedBy(gaps: readonly Gap[]): boolean {
  return gaps.length > 0 && gaps.every((gap) => gap.consented);
}

/** Reading again what the destination does not hold yet destroys nothing. */
function isLoaded(context: TableContext): boolean {
  return context.facts !== null && context.facts.loadedGeneration > 0;
}

function removalReason(removed: readonly string[], desired: DesiredTable): string {
  const gone = removed.filter((name) => !desired.observed.columns.some((column) => column.name === name));
  return gone.length === removed.length
    ? 'dropped in the source; the columns stay in the destination, rows that change have NULL there'
    : 'not selected any more; the columns stay in the destination, but rows that change lose their value there';
}

function noticesOf(desired: DesiredTable, context: TableContext): readonly PlanningNotice[] {
  return desired.notices.map((message) => ({ address: context.address, message, restsOn: 'catalog' }));
}

function outputNotices(state: TableState, desired: DesiredTable, context: TableContext): readonly Notice[] {
  const { address } = context;
  const { intent } = desired;
  const notices: Notice[] = [];
  const sameTable = isDeepStrictEqual(state.target, intent.target) && state.metadata_prefix === intent.metadata_prefix;
  if (sameTable && state.output !== 'consolidated' && intent.output === 'consolidated') {
    notices.push({
      address,
      message: `the history table ${state.target.name}_cdc stays as it is and does not grow any more`,
    });
  }
  if (sameTable && state.output !== 'history' && intent.output === 'history') {
    notices.push({ address, message: `the table ${state.target.name} stays as it is and is not updated any more` });
  }
  return notices;
}
