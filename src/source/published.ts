import type { ObservedPublication, ObservedTable } from './catalog-model.js';
import type { PartitionForest } from './partition.js';

/** What a publication can publish: a table or partitioned table outside of the system's schemas. */
export type Relation = Pick<ObservedTable, 'oid' | 'schema' | 'name' | 'kind' | 'persistence'>;

export const RELATION_SQL = `
  select c.oid, n.nspname::text as "schema", c.relname::text as "name", c.relkind as "kind", c.relpersistence as "persistence"
  from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p') and n.nspname not in ('pg_catalog', 'information_schema')
  order by n.nspname, c.relname`;

/** A row of pg_publication_rel. */
export interface PublicationMember {
  readonly oid: number;
  readonly columns: readonly string[] | null;
  readonly rowFilter: string | null;
}

/**
 * The tables whose changes a publication sends, under the names it sends them.
 *
 * With publish_via_partition_root a partition's changes come as its topmost published ancestor's; without it those of a
 * partitioned table come as its leaves'. A column list or row filter belongs to the table it is written for.
 * @returns in the order of `relations`
 */
export function publishedTables(
  publication: {
    readonly allTables: boolean;
    readonly viaPartitionRoot: boolean;
    readonly schemas: readonly string[];
    readonly members: readonly PublicationMember[];
  },
  relations: readonly Relation[],
  forest: PartitionForest,
): ObservedPublication['tables'] {
  const members = new Map(publication.members.map((member) => [member.oid, member]));
  const publishable = relations.filter(
    (relation) => (relation.kind === 'r' || relation.kind === 'p') && relation.persistence === 'p',
  );
  const named = publishable.filter(
    (relation) => publication.allTables || publication.schemas.includes(relation.schema) || members.has(relation.oid),
  );
  const below = new Set(named.flatMap((relation) => forest.below(relation.oid)));
  const published = publication.viaPartitionRoot
    ? new Set(named.map((relation) => relation.oid).filter((oid) => !below.has(oid)))
    : new Set([...named.map((relation) => relation.oid), ...below]);
  return publishable
    .filter((relation) => published.has(relation.oid) && (publication.viaPartitionRoot || relation.kind === 'r'))
    .map((relation) => ({
      schema: relation.schema,
      name: relation.name,
      oid: relation.oid,
      columns: members.get(relation.oid)?.columns ?? null,
      rowFilter: members.get(relation.oid)?.rowFilter ?? null,
    }));
}
