export const PARTITION_SQL = `
  select i.inhparent as parent, i.inhrelid as child
  from pg_catalog.pg_inherits as i join pg_catalog.pg_class as c on c.oid = i.inhrelid
  where c.relispartition and c.relkind in ('r', 'p', 'f')
  order by i.inhparent, i.inhrelid`;

/** A row of PARTITION_SQL. */
export interface PartitionEdge {
  readonly parent: number;
  readonly child: number;
}

/** Who lies below whom in partition trees, by oid. */
export interface PartitionForest {
  /** Inner and leaf partitions below a table, parents before their children; [] for any other relation. */
  below(oid: number): readonly number[];
  /** The topmost ancestor; null for a relation that is no partition. */
  root(oid: number): number | null;
}

/**
 * Built here and not by pg_partition_tree(), which locks every partition.
 * @param edges of pg_inherits, partitions only
 */
export function partitionForest(edges: readonly PartitionEdge[]): PartitionForest {
  const children = new Map<number, number[]>();
  const parents = new Map<number, number>();
  for (const { parent, child } of edges) {
    parents.set(child, parent);
    const siblings = children.get(parent);
    if (siblings === undefined) children.set(parent, [child]);
    else siblings.push(child);
  }
  const below = (oid: number): readonly number[] => {
    const found: number[] = [...(children.get(oid) ?? [])];
    // The list grows while it is walked.
    for (const next of found) found.push(...(children.get(next) ?? []));
    return found;
  };
  const root = (oid: number): number | null => {
    let top = parents.get(oid);
    for (let above = top; above !== undefined; above = parents.get(above)) top = above;
    return top ?? null;
  };
  return { below, root };
}
