/** What a comparison of a destination's table with a fresh copy of the source came to. JSON-safe. */

/**
 * How a row differs. `missing`, `extra`, `different`, `duplicate` (a key that the destination holds more than once) and
 * the `history_` kinds are faults. `pending` is a row at or above a table's cursor, which the next sync brings;
 * `unfollowed` is a row that only the destination has under a method that sees no deletes.
 */
export type DifferenceKind =
  | 'missing'
  | 'extra'
  | 'different'
  | 'duplicate'
  | 'history_order'
  | 'history_overlap'
  | 'history_gap'
  | 'pending'
  | 'unfollowed';

export const DIFFERENCE_KINDS: readonly DifferenceKind[] = [
  'missing',
  'extra',
  'different',
  'duplicate',
  'history_order',
  'history_overlap',
  'history_gap',
  'pending',
  'unfollowed',
];

/** A cell as text, null for NULL; long values are cut, their length and md5 told. */
export interface NamedCell {
  readonly column: string;
  readonly value: string | null;
}

export interface DifferentCell {
  readonly column: string;
  readonly source: string | null;
  readonly destination: string | null;
}

export interface DifferenceExample {
  readonly kind: DifferenceKind;
  /** The key's columns; of a table without a key all columns of the row. */
  readonly row: readonly NamedCell[];
  /** The cells that differ; [] for kinds other than `different` and `pending`. */
  readonly cells: readonly DifferentCell[];
}

/** One table of the destination (a cdc table may have two: the rows and their history) against the source. */
export interface Comparison {
  /** `schema.table` in the destination. */
  readonly relation: string;
  readonly sourceRows: number;
  /** Without rows that are marked as deleted; of a history the current versions. */
  readonly destinationRows: number;
  /** Rows (of `duplicate`: keys) by kind; kinds that did not occur are left out. */
  readonly counts: Readonly<Partial<Record<DifferenceKind, number>>>;
  /** In how many rows each column differs, the most frequent first. */
  readonly columns: readonly { readonly column: string; readonly rows: number }[];
  readonly examples: readonly DifferenceExample[];
}

/** Whether the kind is a fault of the destination, as opposed to what its method does not promise. */
export function isFault(kind: DifferenceKind): boolean {
  return kind !== 'pending' && kind !== 'unfollowed';
}

export function faultsOf(comparison: Comparison): number {
  return DIFFERENCE_KINDS.filter(isFault).reduce((sum, kind) => sum + (comparison.counts[kind] ?? 0), 0);
}
