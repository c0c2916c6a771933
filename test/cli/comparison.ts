import { expect } from 'vitest';
import type { Cells } from '../engine-fixture.js';
import type { Workspace } from './workspace.js';

export interface Compared {
  /** `schema.table` in Postgres. */
  readonly source: string;
  /** In the destination; default: the same. */
  readonly target?: string;
  /** Of types that both print alike: integers, text, numeric with a scale, boolean, date. */
  readonly columns: readonly string[];
  /** Which rows of the destination count; default: all. */
  readonly where?: string;
}

/** Rows of a soft-deleting cdc table that Postgres still has. */
export const LIVE = 'NOT _ph_deleted';
/** Rows of a history table that Postgres still has. */
export const CURRENT = 'valid_to IS NULL AND NOT _ph_deleted';

/** The table's rows are those of Postgres. */
export async function expectSame(workspace: Workspace, compared: Compared): Promise<void> {
  const { source, target = source, columns, where = 'true' } = compared;
  const wanted = await workspace.source<Record<string, string | null>>(
    `select ${columns.map((column) => `${column}::text as ${column}`).join(', ')} from ${source}`,
  );
  const found = await workspace.read((duckdb) =>
    duckdb.rows(`SELECT ${columns.join(', ')} FROM ${target} WHERE ${where}`),
  );
  const rows = wanted.map((row): Cells => columns.map((column) => row[column] ?? null));
  expect(sorted(found), `${target} in the destination`).toEqual(sorted(rows));
  expect(rows.length, `${source} has rows to compare`).toBeGreaterThan(0);
}

function sorted(rows: readonly Cells[]): string[] {
  return rows.map((row) => JSON.stringify(row)).sort();
}

/** Law 8: the same file gives no changes. */
export async function expectNoChanges(workspace: Workspace): Promise<void> {
  const run = await workspace.run(['plan', '--detailed-exitcode']);
  expect(run.code, run.output).toBe(0);
  expect(run.stdout).toContain('No changes');
}
