import type { DecodedColumn } from '../source/codec/column-codec-table.js';
import { readsAs } from '../source/widening.js';
import type { Relation } from './message.js';

/** A column that the source's table has or had, decoded or not, with the names that the stream may know it by. */
export interface KnownColumn {
  readonly attnum: number;
  readonly names: readonly string[];
}

/** A table that changes are decoded for. Plain data but for the gate's bigints; it can be cloned. */
export interface RelationTarget {
  /**
   * As it is published: that of the root of a partitioned table. Not the name, which the stream gives as it was at the
   * time of the change: a table renamed since then has to be found, and one dropped and made anew must not be.
   */
  readonly oid: number;
  /** Named as in the destination. */
  readonly columns: readonly DecodedColumn[];
  /** Positions of the key columns in `columns`. */
  readonly keyColumns: readonly number[];
  /** pg_attribute.attnum of each of `columns`: what stays when a column is renamed. */
  readonly attnums: readonly number[];
  /** All columns that are known of the source's table, in the order of their attnum. */
  readonly known: readonly KnownColumn[];
}

/** A relation as the stream describes it, and how it meets one of our tables. */
export interface BoundRelation {
  readonly relation: Relation;
  /** Position of our table; -1 for a relation that we do not copy. */
  readonly tableIndex: number;
  /** For each of our columns its position in the relation's tuples; -1 for one that the table did not have yet. */
  readonly fieldOf: Int32Array;
  /** Why the relation cannot be read as our table; null where it can. */
  readonly mismatch: string | null;
}

/** The relations that the stream has described. It describes one before its first change and again after each DDL. */
export class RelationCache {
  private readonly tables: readonly RelationTarget[];
  private readonly indexes: ReadonlyMap<number, number>;
  private readonly byOid = new Map<number, BoundRelation>();

  constructor(tables: readonly RelationTarget[]) {
    this.tables = tables;
    this.indexes = new Map(tables.map((table, index) => [table.oid, index]));
  }

  set(relation: Relation): void {
    this.byOid.set(relation.oid, this.bind(relation));
  }

  get(oid: number): BoundRelation | undefined {
    return this.byOid.get(oid);
  }

  private bind(relation: Relation): BoundRelation {
    const tableIndex = this.indexes.get(relation.oid) ?? -1;
    const table = this.tables[tableIndex];
    if (table === undefined) return { relation, tableIndex: -1, fieldOf: new Int32Array(0), mismatch: null };
    const readings = alignments(
      relation.columns.map((column) => column.name),
      table.known,
    ).map((byAttnum) => {
      const fieldOf = Int32Array.from(table.attnums, (attnum) => byAttnum.get(attnum) ?? -1);
      return { fieldOf, mismatch: findMismatch(table, relation, fieldOf, byAttnum) };
    });
    const [reading, other] = distinct(readings.filter(({ mismatch }) => mismatch === null));
    const none = { fieldOf: new Int32Array(0), mismatch: 'its columns had names that no known shape of it has' };
    const ambiguous = { ...none, mismatch: 'names were given from one column to another, and it cannot be told when' };
    const found = other === undefined ? (reading ?? readings[0] ?? none) : ambiguous;
    return { relation, tableIndex, ...found };
  }
}

interface Reading {
  readonly fieldOf: Int32Array;
  readonly mismatch: string | null;
}

function distinct(readings: readonly Reading[]): readonly Reading[] {
  return readings.filter(
    ({ fieldOf }, index) =>
      !readings.slice(0, index).some((earlier) => fieldOf.every((field, column) => field === earlier.fieldOf[column])),
  );
}

/** Names that moved between columns give a few readings; a table with more than these had its columns shuffled. */
const MAX_READINGS = 64;

/**
 * Which column each field of a relation may be. The stream names columns as they were called at the time of the change,
 * in the order of their attnum, which it does not give: that order tells names apart that were swapped, or given to
 * another column after a drop.
 * @returns every way to read the fields, as field position by attnum; a field under a name that no known column has had
 *   is in none of them
 */
function alignments(fields: readonly string[], known: readonly KnownColumn[]): ReadonlyMap<number, number>[] {
  const candidates = fields.map((name) => known.filter((column) => column.names.includes(name)).map((c) => c.attnum));
  let partial: { readonly last: number; readonly byAttnum: ReadonlyMap<number, number> }[] = [
    { last: Number.NEGATIVE_INFINITY, byAttnum: new Map() },
  ];
  for (const [field, attnums] of candidates.entries()) {
    if (attnums.length === 0) continue;
    partial = partial.flatMap(({ last, byAttnum }) =>
      attnums
        .filter((attnum) => attnum > last)
        .map((attnum) => ({ last: attnum, byAttnum: new Map(byAttnum).set(attnum, field) })),
    );
    if (partial.length > MAX_READINGS) return [];
  }
  return partial.map(({ byAttnum }) => byAttnum);
}

/** The first reason why rows of the relation cannot go into the table, if its fields are read like this. */
function findMismatch(
  table: RelationTarget,
  relation: Relation,
  fieldOf: Int32Array,
  byAttnum: ReadonlyMap<number, number>,
): string | null {
  const newest = Math.max(0, ...byAttnum.keys());
  const stranger = byAttnum.size < relation.columns.length;
  for (const [index, { name, source }] of table.columns.entries()) {
    const field = relation.columns[fieldOf[index]!];
    if (field === undefined) {
      // Columns are only ever added behind the others: one in front of the last is there under a name that we do not
      // know, or is not published any more. So is one behind them while a field has a name that we do not know.
      if (table.attnums[index]! > newest && !stranger && !table.keyColumns.includes(index)) continue;
      return `column "${name}" is not sent${stranger ? ', or was called something else for a while' : ''}`;
    }
    if (!readsAs(field.typeOid, field.typmod, source)) {
      return `column "${name}" had another type for a while (oid ${field.typeOid})`;
    }
  }
  return findKeyMismatch(table, relation, fieldOf);
}

function findKeyMismatch(table: RelationTarget, relation: Relation, fieldOf: Int32Array): string | null {
  if (table.keyColumns.length === 0 || relation.identity === 'f' || relation.identity === 'n') return null;
  const sent = relation.columns.flatMap((column, field) => (column.key ? [field] : []));
  // The first description after CREATE PUBLICATION may come from a moment without a key; then only inserts can follow.
  if (sent.length === 0) return null;
  const ours = table.keyColumns.map((index) => fieldOf[index]!);
  // An index of the replica identity may hold more than the key, never less.
  const enough = relation.identity === 'i' || sent.length === ours.length;
  if (enough && ours.every((field) => sent.includes(field))) return null;
  const names = (fields: readonly number[]): string =>
    fields.map((field) => relation.columns[field]?.name ?? '').join(', ');
  return `its key was (${names(sent)}), not (${names(ours)})`;
}
