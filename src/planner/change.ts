import type { ErrorCode } from '../error/codes.js';
import type { SourceIdentity } from '../state/edit.js';
import type { ColumnState, TableState } from '../state/state.js';
import type { ColumnRename } from './column-diff.js';

/** What a change costs, for people to judge it by. Null: not known. `basis` says where seconds come from. */
export interface Cost {
  readonly rows: number | null;
  readonly bytes: number | null;
  readonly seconds: number | null;
  /** WAL that the server keeps for the slot while the load lasts, at its average rate of writing; 0 where no slot waits for it. */
  readonly wal_bytes: number | null;
  readonly basis: 'measured' | 'default' | 'none';
}

interface ChangeBase {
  /** `source`, `source:schema.table`, `source:slot` or `source:publication`. */
  readonly address: string;
  readonly destructive: boolean;
  /** For display only: nothing is decided by it. */
  readonly reason: string;
  readonly cost: Cost;
  /**
   * drift: it answers to something that changed in Postgres since the last apply; cleanup: it goes on with the removal of
   * a source that an earlier apply was allowed to make; absent: the file asks for it.
   */
  readonly origin?: 'drift' | 'cleanup';
}

/**
 * Tables whose stream has a gap once the change is made, by `schema.table`, with the generation that loads them again.
 * Recording the change raises those generations in the same write of the state, so that an apply that ends right after it
 * loses nothing; the resync_table changes that follow only say so in the plan.
 */
export type Loads = Readonly<Record<string, number>>;

export interface SettingChange {
  readonly from: unknown;
  readonly to: unknown;
}

type PublicationTables = {
  readonly publication: string;
  readonly tables: readonly string[];
  /** Statements for Postgres, each ended with a semicolon; empty where the server is already as it should be. */
  readonly sql: string;
  /** The user runs the SQL; apply is refused until that is done. */
  readonly self_managed: boolean;
};

/** Tables that are published with a column list, by `schema.table`; the others send all columns. */
type ColumnLists = { readonly column_lists: Readonly<Record<string, readonly string[]>> };

type Leaving = { readonly target: TableState['target']; readonly history: boolean };

/**
 * What an action carries: all that the executor needs to do it and that stateAfter (apply-edit.ts) needs to record it.
 * Tables are named `schema.table`, as in the state.
 */
export interface ChangeDetails {
  /** `adopted`: it exists already, is ours to alter and is taken over; the SQL adds what it lacks. */
  readonly create_publication: PublicationTables & ColumnLists & { readonly adopted: boolean };
  readonly add_publication_tables: PublicationTables & ColumnLists & { readonly loads: Loads };
  readonly remove_publication_tables: PublicationTables;
  /** DROP PUBLICATION IF EXISTS: it may be gone already. */
  readonly drop_publication: { readonly publication: string };
  /** `failover`: standbys may keep a copy of the slot (17+). */
  readonly create_slot: {
    readonly slot: string;
    readonly publication: string;
    readonly failover: boolean;
    readonly loads: Loads;
  };
  /** The slot may be gone already. */
  readonly drop_slot: { readonly slot: string; readonly retained_wal_bytes: number | null };
  readonly create_table: { readonly table: TableState };
  /** The first load of a table, queued by the create_table before it. */
  readonly snapshot_table: { readonly generation: number; readonly method: TableState['method'] };
  /** Another load. `table` is the whole state afterwards; column changes of the same table follow and only say more. */
  readonly resync_table: { readonly generation: number; readonly cause: string; readonly table: TableState };
  /** Queues a load of these columns only; they are added by the change before it. */
  readonly backfill_columns: { readonly columns: readonly string[]; readonly id: number };
  /** The destination's columns are renamed; nothing is read again. */
  readonly rename_columns: {
    readonly renames: readonly ColumnRename[];
    readonly all_columns: readonly ColumnState[];
    readonly primary_key: readonly string[];
    readonly cursor: string | null;
  };
  readonly add_columns: { readonly columns: readonly ColumnState[]; readonly all_columns: readonly ColumnState[] };
  /** The destination's columns stay; new versions of rows have NULL there. */
  readonly remove_columns: { readonly columns: readonly string[]; readonly all_columns: readonly ColumnState[] };
  /** `table` is the whole state afterwards, with all that was edited together with the method. Queues a load. */
  readonly change_method: {
    readonly from: TableState['method'];
    readonly to: TableState['method'];
    readonly table: TableState;
  };
  readonly change_output: { readonly from: TableState['output']; readonly to: TableState['output'] };
  readonly change_schedule: { readonly from: TableState['schedule']; readonly to: TableState['schedule'] };
  readonly disable_table: Record<string, never>;
  /** `table` is the whole state afterwards. Queues a load. */
  readonly enable_table: { readonly generation: number; readonly table: TableState };
  readonly retire_table: Leaving;
  readonly drop_table: Leaving;
  /** The entry left the file with `on_remove: keep`, or its destination did: only the state forgets the table. */
  readonly forget_table: Leaving;
  readonly remove_source: { readonly tables: readonly string[] };
  /** `target`: the destination table is renamed as well; null for whole sources and where its name stays. */
  readonly move: {
    readonly from: string;
    readonly to: string;
    readonly target: { readonly from: TableState['target']; readonly to: TableState['target'] } | null;
  };
  /** At a source `source` holds its new identity, at a table `table_fields` what changes in its state, at a publication `sql` what to run. */
  readonly update_settings: {
    readonly settings: Readonly<Record<string, SettingChange>>;
    readonly sql: string | null;
    readonly loads: Loads;
    readonly source: SourceIdentity | null;
    readonly table_fields: Partial<TableState> | null;
  };
}

export type Action = keyof ChangeDetails;

/** One thing that apply does. Closed: a new action does not compile until every switch knows it. JSON as it is stored in plans. */
export type Change = {
  readonly [Name in Action]: ChangeBase & { readonly action: Name; readonly details: ChangeDetails[Name] };
}[Action];

export interface Blocker {
  readonly address: string;
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string | null;
}

export interface Notice {
  readonly address: string;
  readonly message: string;
}

/** What a plan was made from. Only one that looked at the databases and destinations may be applied. */
export type PlanBasis =
  | { readonly kind: 'observed' }
  /** As observed, but only what changed in Postgres is told. */
  | { readonly kind: 'refresh_only' }
  /** The state alone. `name`: the file of --state; null: the state of the config. */
  | { readonly kind: 'state'; readonly name: string | null }
  /** The file as it was at the git ref `name`. */
  | { readonly kind: 'config'; readonly name: string };

export type DriftKind =
  | 'system_changed'
  | 'publication_missing'
  | 'publication_settings'
  | 'publication_table_missing'
  | 'slot_missing'
  | 'slot_lost'
  | 'table_missing'
  | 'table_replaced'
  | 'column_added'
  | 'column_removed'
  | 'column_renamed'
  | 'column_retyped'
  | 'key_changed'
  | 'replica_identity'
  | 'privilege_lost';

/** Something in Postgres that is not as it was applied. */
export interface Drift {
  readonly address: string;
  readonly kind: DriftKind;
  readonly message: string;
  /** How to mend it by hand; absent where a change of the plan answers to it, or a blocker says it. */
  readonly hint?: string;
}

export interface Plan {
  readonly format_version: 1;
  readonly id: string;
  readonly created_at: string;
  readonly config_hash: string;
  /** The state it was made against; lineage '' and serial 0 where there was none. */
  readonly state: { readonly lineage: string; readonly serial: number };
  readonly changes: readonly Change[];
  readonly summary: {
    readonly add: number;
    readonly change: number;
    readonly destroy: number;
    readonly destructive: number;
    readonly rows: number;
    readonly bytes: number;
    readonly seconds: number;
  };
  /** What stands in the way of applying: findings of level error. A plan with blockers is refused by apply. */
  readonly blockers: readonly Blocker[];
  /** Worth knowing, blocks nothing: columns that become text, tables a pattern skipped, ... */
  readonly notices: readonly Notice[];
  readonly basis: PlanBasis;
  /** What changed in Postgres behind Sluice's back since the last apply. */
  readonly drift: readonly Drift[];
  /** What the plan could not know, because it did not look or nobody answered. */
  readonly unknown: readonly Notice[];
}
