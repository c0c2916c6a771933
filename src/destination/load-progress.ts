import type { SnapshotMark } from './target-table.js';

/**
 * How far a load has come, kept beside its rows so that another process can go on with it: the load table holds exactly
 * the rows that the snapshot of `mark` sees in `ranges`. docs/snapshots.md says why that is enough. JSON-safe.
 */
export interface LoadProgress {
  /** What the load is of; one with another identity cannot go on with it. */
  readonly identity: string;
  readonly mark: SnapshotMark;
  /** What has been read, joined where ranges touch. */
  readonly ranges: readonly HeapRange[];
  readonly rows: number;
  /** Positions of columns of which some value did not fit. */
  readonly rejectedColumns: readonly number[];
}

/** Blocks of one heap file: `first` up to but not `end`; null: to the end, however far it grows. */
export interface HeapRange {
  /** pg_class.oid */
  readonly relation: number;
  /** pg_relation_filenode: another one means that every row has a new place. */
  readonly filenode: number;
  readonly first: number;
  readonly end: number | null;
}

/** The same blocks in as few ranges as possible, in order. */
export function joinRanges(ranges: readonly HeapRange[]): HeapRange[] {
  const sorted = [...ranges].sort((a, b) => a.relation - b.relation || a.filenode - b.filenode || a.first - b.first);
  const joined: HeapRange[] = [];
  for (const range of sorted) {
    const last = joined.at(-1);
    const touches =
      last !== undefined &&
      last.relation === range.relation &&
      last.filenode === range.filenode &&
      (last.end === null || last.end >= range.first);
    if (!touches) joined.push(range);
    else if (last.end !== null && (range.end === null || range.end > last.end)) {
      joined[joined.length - 1] = { ...last, end: range.end };
    }
  }
  return joined;
}
