import { duckdbTypeName, parseDuckdbTypeName } from '../batch/logical-type.js';
import { naturalType, widens } from '../source/widening.js';
import type { ColumnState } from '../state/state.js';
import { UNKNOWN_TYPE } from './assumed-type.js';

export interface ColumnRename {
  readonly from: string;
  readonly to: string;
}

export interface ColumnDiff {
  readonly renamed: readonly ColumnRename[];
  readonly added: readonly ColumnState[];
  /** Names. */
  readonly removed: readonly string[];
  /** As they were applied, but under their new names. */
  readonly afterRenames: readonly ColumnState[];
  /** The columns that stay, with what is known of them now. */
  readonly afterRemoval: readonly ColumnState[];
  /** Another type that holds the same values: the destination's column is widened where it has to be. */
  readonly retyped: readonly { readonly name: string; readonly from: string; readonly to: string }[];
  /** Why the values have to be read again. */
  readonly reloads: readonly string[];
}

/**
 * Compares the columns of a table. attnum tells a column that was renamed, whose values the destination has under the
 * old name, from one that was dropped and another that was added.
 */
export function compareColumns(before: readonly ColumnState[], after: readonly ColumnState[]): ColumnDiff {
  const reloads: string[] = [];
  const renamed: ColumnRename[] = [];
  for (const column of after) {
    const old = before.find((candidate) => candidate.attnum === column.attnum);
    if (old === undefined || old.name === column.name) continue;
    // Where names move from one column to another, it takes more than one step and the destination cannot say which it
    // has made.
    if (before.some((candidate) => candidate.name === column.name)) {
      reloads.push(`column ${old.name} was renamed to ${column.name}, which another column was called before`);
    } else {
      renamed.push({ from: old.name, to: column.name });
    }
  }
  const newName = new Map(renamed.map(({ from, to }) => [from, to]));
  const afterRenames = before.map((column) => ({ ...column, name: newName.get(column.name) ?? column.name }));
  const was = new Map(afterRenames.map((column) => [column.name, column]));
  const is = new Set(after.map((column) => column.name));
  const retyped: { name: string; from: string; to: string }[] = [];
  for (const column of after) {
    const old = was.get(column.name);
    if (old === undefined) continue;
    if (old.attnum !== column.attnum) {
      const moved = before.some((candidate) => candidate.attnum === column.attnum);
      if (!moved) reloads.push(`column ${column.name} was dropped and added again`);
    } else if (old.type === column.type) {
      if (old.target_type !== column.target_type) reloads.push(overrideReason(old, column));
    } else if (widens(old.type, column.type) && column.target_type === widenedTarget(old, column.type)) {
      retyped.push({ name: column.name, from: old.type, to: column.type });
    } else {
      reloads.push(`the type of column ${column.name} is ${column.type} now, it was ${old.type}`);
    }
  }
  return {
    renamed,
    added: after.filter((column) => !was.has(column.name)),
    removed: afterRenames.filter((column) => !is.has(column.name)).map((column) => column.name),
    afterRenames,
    afterRemoval: after.filter((column) => was.has(column.name)),
    retyped,
    reloads,
  };
}

/** Of a column that only the file names the type is not known, so an override of it stands against nothing. */
function overrideReason(old: ColumnState, column: ColumnState): string {
  return column.type === UNKNOWN_TYPE
    ? `the type of column ${column.name} was edited`
    : `column ${column.name} becomes ${column.target_type}, it was ${old.target_type}`;
}

/** What a widened column becomes in the destination; an override of its type stays what it is. */
function widenedTarget(old: ColumnState, type: string): string {
  const target = parseDuckdbTypeName(old.target_type);
  if (target === null || duckdbTypeName(naturalType(old.type, target)) !== old.target_type) return old.target_type;
  return duckdbTypeName(naturalType(type, target));
}
