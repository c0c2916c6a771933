import type { ColumnState } from '../state/state.js';

export interface ColumnDiff {
  readonly added: readonly ColumnState[];
  /** Names. */
  readonly removed: readonly string[];
  /** The columns that stay, with what is known of them now. */
  readonly afterRemoval: readonly ColumnState[];
  /** Another type by name, the same values: only recorded. */
  readonly retyped: readonly { readonly name: string; readonly from: string; readonly to: string }[];
  /** Why the values have to be read again. */
  readonly reloads: readonly string[];
}

/**
 * Compares the columns of a table by name. attnum tells a column that was dropped and added again, and one that was
 * renamed: both hold values that the destination does not have under that name.
 */
export function compareColumns(before: readonly ColumnState[], after: readonly ColumnState[]): ColumnDiff {
  const was = new Map(before.map((column) => [column.name, column]));
  const is = new Map(after.map((column) => [column.name, column]));
  const added = after.filter((column) => !was.has(column.name));
  const removed = before.filter((column) => !is.has(column.name));
  const retyped: { name: string; from: string; to: string }[] = [];
  const reloads: string[] = [];
  for (const column of after) {
    const old = was.get(column.name);
    if (old === undefined) {
      const renamed = removed.find((candidate) => candidate.attnum === column.attnum);
      if (renamed !== undefined) reloads.push(`column ${renamed.name} was renamed to ${column.name}`);
    } else if (old.attnum !== column.attnum) {
      reloads.push(`column ${column.name} was dropped and added again`);
    } else if (old.target_type !== column.target_type) {
      reloads.push(`column ${column.name} becomes ${column.target_type}, it was ${old.target_type}`);
    } else if (old.type !== column.type) {
      if (keepsValues(old.type, column.type)) retyped.push({ name: column.name, from: old.type, to: column.type });
      else reloads.push(`the type of column ${column.name} is ${column.type} now, it was ${old.type}`);
    }
  }
  return {
    added,
    removed: removed.map((column) => column.name),
    afterRemoval: after.filter((column) => was.has(column.name)),
    retyped,
    reloads,
  };
}

/**
 * Whether ALTER TYPE leaves every value's text as it was: only among varchar of growing length and text, where Postgres
 * itself does not rewrite the table.
 */
function keepsValues(from: string, to: string): boolean {
  const before = varcharLength(from);
  const after = varcharLength(to);
  return before !== null && after !== null && before <= after;
}

/** Infinity for text and varchar without a length; null for other types. */
function varcharLength(type: string): number | null {
  if (type === 'text' || type === 'character varying') return Number.POSITIVE_INFINITY;
  const match = /^character varying\((\d+)\)$/.exec(type);
  return match === null ? null : Number(match[1]);
}
