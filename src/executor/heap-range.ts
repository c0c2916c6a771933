import { type HeapRange, joinRanges } from '../destination/load-progress.js';
import { parseSnapshot } from '../pgoutput/snapshot-visibility.js';

/**
 * A table cut into ranges of blocks by ctid, so that several sessions can read it at once and a load can go on where it
 * was broken off. Postgres reads only the blocks of a range (TID range scan) from 14 on.
 */

/** A heap file as a snapshot's transaction found it: a table, or a leaf of a partitioned one. */
export interface HeapRelation {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly filenode: number;
  readonly blocks: number;
}

/** server_version_num from which a condition on ctid reads only its blocks. */
export const TID_RANGE_VERSION = 140_000;

/** A COPY costs about a millisecond before its first row: smaller ranges cost time, ... */
const MIN_RANGE_BLOCKS = 128;
/** ... and larger ones (32 MiB of ordinary blocks) make others wait, as a load gives way only between ranges. */
const MAX_RANGE_BLOCKS = 4_096;
const RANGES_OF_A_SMALL_TABLE = 32;

/** What of the relations is not in `done` yet, cut into ranges. */
export function rangesToRead(relations: readonly HeapRelation[], done: readonly HeapRange[]): HeapRange[] {
  const total = relations.reduce((sum, { blocks }) => sum + blocks, 0);
  const size = Math.min(Math.max(Math.ceil(total / RANGES_OF_A_SMALL_TABLE), MIN_RANGE_BLOCKS), MAX_RANGE_BLOCKS);
  return relations.flatMap((relation) => gaps(relation, done).flatMap((gap) => cut(gap, relation.blocks, size)));
}

function gaps({ oid, filenode }: HeapRelation, done: readonly HeapRange[]): HeapRange[] {
  const own = joinRanges(done.filter((range) => range.relation === oid && range.filenode === filenode));
  const open: HeapRange[] = [];
  let from = 0;
  for (const { first, end } of own) {
    if (first > from) open.push({ relation: oid, filenode, first: from, end: first });
    if (end === null) return open;
    from = end;
  }
  return [...open, { relation: oid, filenode, first: from, end: null }];
}

function cut(gap: HeapRange, blocks: number, size: number): HeapRange[] {
  const ranges: HeapRange[] = [];
  let { first } = gap;
  // The last one stays open: blocks may be added at any time.
  for (; (gap.end ?? blocks) - first > size; first += size) ranges.push({ ...gap, first, end: first + size });
  return [...ranges, { ...gap, first }];
}

/** @returns a condition on the rows of the range; null where it is the whole relation */
export function rangeCondition({ first, end }: HeapRange): string | null {
  const bounds = [
    ...(first === 0 ? [] : [`ctid >= '(${first},0)'::pg_catalog.tid`]),
    ...(end === null ? [] : [`ctid < '(${end},0)'::pg_catalog.tid`]),
  ];
  return bounds.length === 0 ? null : bounds.join(' AND ');
}

/**
 * A condition on rows that were written by a transaction, or a part of one, that was not yet over for an earlier snapshot,
 * and on some more that were. Ids of subtransactions are in no snapshot, but they are above their transaction's, which is
 * at least xmin. Rows that were frozen long ago may have an id that looks like one to come: their age is below 0.
 */
export function writtenSince(snapshot: string): string {
  const xmin = parseSnapshot(snapshot).xmin & 0xffff_ffffn;
  return `pg_catalog.age(xmin) BETWEEN 0 AND pg_catalog.age('${xmin}'::pg_catalog.xid)`;
}

/** Transaction ids are compared within 2^31 of one another; a load that is older than half of that begins anew. */
const MAX_TRANSACTIONS = 1n << 30n;

/** Why a load that read `done` under one snapshot cannot go on under a later one; null when it can. */
export function obstacleToResume(
  done: readonly HeapRange[],
  relations: readonly HeapRelation[],
  earlier: string,
  later: string,
): string | null {
  for (const { relation, filenode } of done) {
    const now = relations.find(({ oid }) => oid === relation);
    if (now === undefined) return 'a partition that was read is no longer there';
    if (now.filenode !== filenode) return 'the table was rewritten (TRUNCATE, VACUUM FULL, CLUSTER or ALTER TABLE)';
  }
  const [from, to] = [parseSnapshot(earlier), parseSnapshot(later)];
  if (to.xmin < from.xmin || to.xmax < from.xmax) return "the server's transaction ids went back";
  return to.xmax - from.xmin > MAX_TRANSACTIONS ? 'too many transactions have passed' : null;
}
