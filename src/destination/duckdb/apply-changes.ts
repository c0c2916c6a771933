import { OP_DELETE, OP_INSERT, OP_UPDATE, unchangedColumnNames } from '../../batch/change-columns.js';
import { SluiceError } from '../../error/sluice-error.js';
import type { TargetTable } from '../target-table.js';
import {
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
  let complete = changes;
  if (needsFill(table, content)) {
    complete = `${changes}_filled`;
    await session.run(`DROP TABLE IF EXISTS ${complete}`);
    await session.run(fillStatement(table, changes, complete, content));
    const [unfilled] = await session.rows<{ n: string }>(unfilledStatement(complete));
    if (Number(unfilled?.n ?? 0) > 0) {
      throw new SluiceError({
        code: 'UNCHANGED_VALUE_LOST',
        address: table.address,
        message: `${unfilled?.n} updates left a large value unchanged, but the destination does not hold it`,
        hint: `load the table anew: sluice resync ${table.address}`,
      });
    }
    await session.run(`DROP TABLE ${changes}`);
  }
  const statements: string[] = [];
  if (table.output !== 'consolidated')
    statements.push(...historyStatements(table, complete, 'versions', 'open_versions'));
  if (table.output !== 'history') statements.push(...consolidateStatements(table, complete, 'image', qualified(table)));
  for (const statement of statements) await session.run(statement);
  await session.run(`DROP TABLE ${complete}`);
  return counts;
}
