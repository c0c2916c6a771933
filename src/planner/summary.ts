import { assertNever } from '../error/sluice-error.js';
import type { Action, Change, Plan } from './change.js';

/** How an action counts and is drawn: made new, changed in place, read again as a whole, or gone. */
export type Effect = 'add' | 'change' | 'reload' | 'destroy';

/** @returns null for snapshot_table, which belongs to the create_table before it and is not counted again */
export function effectOf(action: Action): Effect | null {
  switch (action) {
    case 'create_publication':
    case 'create_slot':
    case 'create_table':
      return 'add';
    case 'snapshot_table':
      return null;
    case 'add_publication_tables':
    case 'remove_publication_tables':
    case 'rename_columns':
    case 'add_columns':
    case 'remove_columns':
    case 'change_output':
    case 'change_schedule':
    case 'disable_table':
    case 'move':
    case 'update_settings':
      return 'change';
    case 'resync_table':
    case 'backfill_columns':
    case 'change_method':
    case 'enable_table':
      return 'reload';
    case 'drop_publication':
    case 'drop_slot':
    case 'retire_table':
    case 'drop_table':
    case 'forget_table':
    case 'remove_source':
      return 'destroy';
    default:
      return assertNever(action);
  }
}

/** Counts changes and adds up the costs that are known. */
export function summarize(changes: readonly Change[]): Plan['summary'] {
  const count = (...effects: readonly Effect[]) =>
    changes.filter((change) => {
      const effect = effectOf(change.action);
      return effect !== null && effects.includes(effect);
    }).length;
  const sum = (of: (change: Change) => number | null) =>
    changes.reduce((total, change) => total + (of(change) ?? 0), 0);
  return {
    add: count('add'),
    change: count('change', 'reload'),
    destroy: count('destroy'),
    destructive: changes.filter((change) => change.destructive).length,
    rows: sum((change) => change.cost.rows),
    bytes: sum((change) => change.cost.bytes),
    seconds: Math.round(sum((change) => change.cost.seconds) * 10) / 10,
  };
}
