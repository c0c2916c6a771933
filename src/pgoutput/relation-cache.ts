import type { DecodedColumn } from '../source/codec/column-codec-table.js';
import type { Relation } from './message.js';

/** A table that changes are decoded for. Plain data but for the gate's bigints; it can be cloned. */
export interface RelationTarget {
  /**
   * As it is published: that of the root of a partitioned table. Not the name, which the stream gives as it was at the
   * time of the change: a table renamed since then has to be found, and one dropped and made anew must not be.
   */
  readonly oid: number;
  readonly columns: readonly DecodedColumn[];
  /** Positions of the key columns in `columns`. */
  readonly keyColumns: readonly number[];
}

/** A relation as the stream describes it, and how it meets one of our tables. */
export interface BoundRelation {
  readonly relation: Relation;
  /** Position of our table; -1 for a relation that we do not copy. */
  readonly tableIndex: number;
  /** For each of our columns its position in the relation's tuples. */
  readonly fieldOf: Int32Array;
  /** Why the relation no longer has the shape that our table was made with; null where it has. */
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
    const positions = new Map(relation.columns.map((column, index) => [column.name, index]));
    const fieldOf = Int32Array.from(table.columns, (column) => positions.get(column.name) ?? -1);
    return { relation, tableIndex, fieldOf, mismatch: findMismatch(table, relation, fieldOf) };
  }
}

/** The first reason why rows of the relation cannot go into the table. */
function findMismatch(table: RelationTarget, relation: Relation, fieldOf: Int32Array): string | null {
  for (const [index, column] of table.columns.entries()) {
    const field = relation.columns[fieldOf[index]!];
    if (field === undefined) return `column "${column.name}" is no longer there`;
    const { source } = column;
    if (field.typeOid !== source.oid) return `column "${column.name}" has another type (oid ${field.typeOid})`;
    // A domain's modifier is its own and is not sent with the column.
    if (source.kind !== 'd' && field.typmod !== source.typmod && modifierMatters(column)) {
      return `column "${column.name}" has another precision or scale`;
    }
  }
  return findKeyMismatch(table, relation);
}

/** Only a decimal's layout depends on the modifier; a longer varchar is still the same VARCHAR. */
function modifierMatters({ logical }: DecodedColumn): boolean {
  return logical.kind === 'decimal' || (logical.kind === 'list' && logical.element.kind === 'decimal');
}

function findKeyMismatch(table: RelationTarget, relation: Relation): string | null {
  if (table.keyColumns.length === 0 || relation.identity === 'f' || relation.identity === 'n') return null;
  const sent = relation.columns.filter((column) => column.key).map((column) => column.name);
  // The first description after CREATE PUBLICATION may come from a moment without a key; then only inserts can follow.
  if (sent.length === 0) return null;
  const ours = table.keyColumns.map((index) => table.columns[index]?.name ?? '');
  // An index of the replica identity may hold more than the key, never less.
  const same = ours.every((name) => sent.includes(name)) && (relation.identity === 'i' || sent.length === ours.length);
  return same ? null : `its key is now (${sent.join(', ')}), not (${ours.join(', ')})`;
}
