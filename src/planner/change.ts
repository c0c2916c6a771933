import type { ColumnState, TableState } from '../state/state.js';

/** What a change costs, for people to judge it by. Null: not known. `basis` says where seconds come from. */
export interface Cost {
  readonly rows: number | null;
  readonly bytes: number | null;
  readonly seconds: number | null;
  readonly basis: 'measured' | 'default' | 'none';
}

interface ChangeBase {
  /** `source`, `source:schema.table`, `source:slot` or `source:publication`. */
  readonly address: string;
  readonly destructive: boolean;
  /** For display only: nothing is decided by it. */
  readonly reason: string;
  readonly cost: Cost;
}

/** One thing that apply does. Closed: a new action does not compile until every switch knows it. JSON as it is stored in plans. */
export type Change = ChangeBase &
  (
    | { readonly action: 'create_publication'; readonly details: { readonly publication: string; readonly tables: readonly string[]; readonly sql: string; readonly self_managed: boolean } }
    | { readonly action: 'add_publication_tables'; readonly details: { readonly publication: string; readonly tables: readonly string[]; readonly sql: string; readonly self_managed: boolean } }
    | { readonly action: 'remove_publication_tables'; readonly details: { readonly publication: string; readonly tables: readonly string[]; readonly sql: string; readonly self_managed: boolean } }
    | { readonly action: 'drop_publication'; readonly details: { readonly publication: string } }
    | { readonly action: 'create_slot'; readonly details: { readonly slot: string } }
    | { readonly action: 'drop_slot'; readonly details: { readonly slot: string; readonly retained_wal_bytes: number | null } }
    | { readonly action: 'create_table'; readonly details: { readonly table: TableState } }
    /** The first load of a table; `generation` is what the destination will hold afterwards. */
    | { readonly action: 'snapshot_table'; readonly details: { readonly generation: number; readonly method: TableState['method'] } }
    /** Another load of a table that the destination already holds. */
    | { readonly action: 'resync_table'; readonly details: { readonly generation: number; readonly cause: string } }
    | { readonly action: 'backfill_columns'; readonly details: { readonly columns: readonly string[] } }
    | { readonly action: 'add_columns'; readonly details: { readonly columns: readonly ColumnState[]; readonly all_columns: readonly ColumnState[] } }
    | { readonly action: 'remove_columns'; readonly details: { readonly columns: readonly string[]; readonly all_columns: readonly ColumnState[] } }
    | { readonly action: 'change_method'; readonly details: { readonly from: TableState['method']; readonly to: TableState['method']; readonly table: TableState } }
    | { readonly action: 'change_output'; readonly details: { readonly from: TableState['output']; readonly to: TableState['output'] } }
    | { readonly action: 'change_schedule'; readonly details: { readonly from: TableState['schedule']; readonly to: TableState['schedule'] } }
    | { readonly action: 'disable_table'; readonly details: Record<string, never> }
    | { readonly action: 'enable_table'; readonly details: { readonly generation: number } }
    | { readonly action: 'retire_table'; readonly details: { readonly target: TableState['target']; readonly history: boolean } }
    | { readonly action: 'drop_table'; readonly details: { readonly target: TableState['target']; readonly history: boolean } }
    /** The entry left the file with on_remove: keep; the destination table stays as it is. */
    | { readonly action: 'remove_source'; readonly details: { readonly tables: readonly string[] } }
    | { readonly action: 'move'; readonly details: { readonly from: string; readonly to: string } }
    | { readonly action: 'update_settings'; readonly details: { readonly settings: Readonly<Record<string, { readonly from: unknown; readonly to: unknown }>> } }
  );

export type Action = Change['action'];

export interface Plan {
  readonly format_version: 1;
  readonly id: string;
  readonly created_at: string;
  readonly config_hash: string;
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
  readonly blockers: readonly { readonly address: string; readonly code: string; readonly message: string; readonly hint: string | null }[];
  /** Worth knowing, blocks nothing: columns that become text, tables a pattern skipped, ... */
  readonly notices: readonly { readonly address: string; readonly message: string }[];
}
