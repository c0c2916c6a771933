import { SluiceError } from '../error/sluice-error.js';
import type { SourceConnection } from '../source/connect.js';
import {
  holdsRowFrom,
  holdsRowFromOutside,
  isComparable,
  leafName,
  type PartitionLeaf,
  type PartitionRecord,
  readPartitions,
} from '../source/partition-leaf.js';

/**
 * Rows that a partition brings along when it is attached, takes along when it is detached or dropped, or loses by a
 * TRUNCATE of its own are never sent: with publish_via_partition_root only what happens to the root or to single rows
 * is. So the leaves are compared with those that the table was last loaded or found whole with.
 *
 * Limits. A resync too many: a partition that another session wrote through while it was being attached; one of which
 * every row changed between a look and VACUUM FULL, CLUSTER or a rewriting ALTER; one that the role may not read itself.
 * Not noticed: a partition that is made, filled and truncated in one transaction.
 */
export type PartitionVerdict =
  /** Nothing came or went; `moved` where the record is to be written all the same. */
  | { readonly kind: 'whole'; readonly now: PartitionRecord; readonly moved: boolean }
  | { readonly kind: 'changed'; readonly now: PartitionRecord; readonly what: readonly string[] }
  /** A partition is locked: it is looked at again in the next sync. */
  | { readonly kind: 'unknown' };

/** Looking at a partition must not wait behind an ALTER TABLE or VACUUM FULL for long: other sessions queue up behind it. */
const LOCK_TIMEOUT_MS = 2_000;

/** @param before null where nothing was recorded yet: what is there now is taken for whole */
export async function watchPartitions(
  connection: SourceConnection,
  root: number,
  before: PartitionRecord | null,
  signal: AbortSignal,
): Promise<PartitionVerdict> {
  const now = await readPartitions(connection, root, signal);
  if (before === null) return { kind: 'whole', now, moved: true };
  const difference = comparePartitions(before, now);
  const what = [...difference.changed];
  const comparable = isComparable(before, now);
  try {
    for (const leaf of difference.rewritten) {
      const kept =
        comparable && (await look(connection, signal, () => holdsRowFrom(connection, leaf, before.seenXmin, signal)));
      if (!kept) what.push(`${leafName(leaf)} was truncated or rewritten`);
    }
    for (const leaf of difference.added) {
      const brought =
        !comparable || (await look(connection, signal, () => holdsRowFromOutside(connection, leaf, signal)));
      if (brought) what.push(`${leafName(leaf)} was attached with rows in it`);
    }
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
    switch (error.code) {
      case 'TIMEOUT':
        return { kind: 'unknown' };
      case 'TABLE_MISSING':
      case 'SOURCE_SQL_FAILED':
      case 'PRIVILEGE_MISSING':
        return { kind: 'changed', now, what: [...what, `a partition could not be looked at: ${error.message}`] };
      default:
        throw error;
    }
  }
  if (what.length > 0) return { kind: 'changed', now, what };
  return { kind: 'whole', now, moved: difference.rewritten.length + difference.added.length > 0 };
}

export interface PartitionDifference {
  /** In words: what certainly took rows away or brought some. */
  readonly changed: readonly string[];
  /** The same partition with other storage: emptied, or only rewritten. */
  readonly rewritten: readonly PartitionLeaf[];
  /** New ones: made here, or attached. */
  readonly added: readonly PartitionLeaf[];
}

/** Compares by oid; names may change. */
export function comparePartitions(before: PartitionRecord, now: PartitionRecord): PartitionDifference {
  const was = new Map(before.leaves.map((leaf) => [leaf.oid, leaf]));
  const is = new Set(now.leaves.map((leaf) => leaf.oid));
  const changed = before.leaves
    .filter((leaf) => !is.has(leaf.oid))
    .map((leaf) => `${leafName(leaf)} was detached or dropped`);
  const rewritten: PartitionLeaf[] = [];
  const added: PartitionLeaf[] = [];
  for (const leaf of now.leaves) {
    const old = was.get(leaf.oid);
    if (old === undefined) {
      // A table starts out with its own oid as the file's name. With another one it may have been truncated since it joined.
      if (leaf.filenode === leaf.oid) added.push(leaf);
      else changed.push(`${leafName(leaf)} is new and was truncated or rewritten`);
    } else if (old.joined.join() !== leaf.joined.join()) {
      changed.push(`${leafName(leaf)} was detached and attached again`);
    } else if (old.filenode !== leaf.filenode) {
      rewritten.push(leaf);
    }
  }
  return { changed, rewritten, added };
}

/** A question to a partition, given up when it is locked. */
async function look(connection: SourceConnection, signal: AbortSignal, ask: () => Promise<boolean>): Promise<boolean> {
  await connection.query('begin read only', [], signal);
  try {
    await connection.query(`set local lock_timeout = ${LOCK_TIMEOUT_MS}`, [], signal);
    const answer = await ask();
    await connection.query('commit', [], signal);
    return answer;
  } catch (error) {
    // Without the signal: it may be what brought us here, and the session is to be usable again.
    await connection.query('rollback', [], new AbortController().signal).catch(() => connection.destroy());
    throw error;
  }
}
