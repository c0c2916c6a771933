import { OP_DELETE, OP_INSERT, OP_UPDATE, unchangedColumnNames } from '../../batch/change-columns.js';
import { SluiceError } from '../../error/sluice-error.js';
import type { TargetTable } from '../target-table.js';
import {
  completeStatement,
  consolidateStatements,
  fillStatement,
  historyStatements,
  needsFill,
  type StageContent,
  unfilledStatement,
} from './merge-sql.js';
import type { DuckDbSession } from './session.js';
import { qualified } from './sql-text.js';

export interface AppliedCounts {
  readonly inserted: number;
  readonly updated: number;
  readonly deleted: number;
}

interface ContentRow extends Record<string, string | boolean | null> {
  inserted: string;
  updated: string;
  deleted: string;
  unchanged: boolean | null;
  key_change: boolean | null;
}

/**
 * Merges a temporary table of changes into the table and its history; the changes table is dropped. Runs inside the
 * caller's transaction.
 * @throws SluiceError UNCHANGED_VALUE_LOST when an update refers to a value that is nowhere
 */
export async function applyChanges(
  session: DuckDbSession,
  table: TargetTable,
  changes: string,
): Promise<AppliedCounts> {
  const words = unchangedColumnNames(table.columns.length);
  const [row] = await session.rows<ContentRow>(
    `SELECT count(*) FILTER (WHERE __op = ${OP_INSERT}) AS inserted, count(*) FILTER (WHERE __op = ${OP_UPDATE}) AS updated,
       count(*) FILTER (WHERE __op = ${OP_DELETE}) AS deleted,
       bool_or(__op <> ${OP_DELETE} AND (${words.map((word) => `${word} <> 0`).join(' OR ')})) AS unchanged,
       bool_or(__key_change = 1) AS key_change
     FROM ${changes}`,
  );
  const counts = {
    inserted: Number(row?.inserted ?? 0),
    updated: Number(row?.updated ?? 0),
    deleted: Number(row?.deleted ?? 0),
  };
  const content: StageContent = {
    unchanged: row?.unchanged ?? false,
    keyChange: row?.key_change ?? false,
    deletes: counts.deleted > 0,
  };
  let filled: string | null = null;
  if (needsFill(table, content)) {
    filled = `${changes}_filled`;
    await session.run(`DROP TABLE IF EXISTS ${filled}`);
    await session.run(fillStatement(table, changes, filled, content));
    const [unfilled] = await session.rows<{ n: string }>(unfilledStatement(filled));
    if (Number(unfilled?.n ?? 0) > 0) {
      throw new SluiceError({
        code: 'UNCHANGED_VALUE_LOST',
        address: table.address,
        message: `${unfilled?.n} updates left a large value unchanged, but the destination does not hold it`,
        hint: `load the table anew: sluice resync ${table.address}`,
      });
    }
  }
  const statements: string[] = [];
  if (table.output !== 'history') {
    statements.push(...consolidateStatements(table, { changes, filled }, 'image', qualified(table)));
  }
  if (table.output !== 'consolidated') {
    if (filled !== null) statements.push(completeStatement(table, { changes, filled }), `DROP TABLE ${changes}`);
    statements.push(...historyStatements(table, filled ?? changes, 'versions', 'open_versions'));
    statements.push(`DROP TABLE ${filled ?? changes}`);
  } else {
    statements.push(`DROP TABLE ${changes}`, ...(filled === null ? [] : [`DROP TABLE ${filled}`]));
  }
  for (const statement of statements) await session.run(statement);
  return counts;
}
