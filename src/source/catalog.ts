import type { ObservedColumn, ObservedServer, ObservedSource, ObservedTable } from './catalog-model.js';
import { resolveTypes, type TypeRow, typeSql } from './catalog-type.js';
import type { SourceConnection } from './connect.js';
import { PARTITION_SQL, type PartitionEdge, type PartitionForest, partitionForest } from './partition.js';
import { readPublications } from './publication.js';
import { readServer } from './server.js';
import { readSlots } from './slot.js';

/** Nothing here should wait for a lock, but functions of Postgres begin to take some (pg_get_expr did): never for long. */
const LOCK_TIMEOUT_MS = 10_000;

/**
 * Reads all that Sluice wants to know of a database, seen at one moment (one REPEATABLE READ transaction), with a fixed
 * number of queries and without a lock on anybody's table. A role without special rights can run it.
 * @param scope.schema limits the tables (not publications and slots); null: all but the system's schemas
 * @throws SluiceError
 */
export async function readCatalog(
  connection: SourceConnection,
  scope: { readonly schema: string | null },
  signal: AbortSignal,
): Promise<ObservedSource> {
  await connection.query('begin isolation level repeatable read read only', [], signal);
  try {
    await connection.query(`set local lock_timeout = ${LOCK_TIMEOUT_MS}`, [], signal);
    const server: ObservedServer = await readServer(connection, signal);
    // Partitions of every schema are read: they count towards a root inside the scope.
    const relations = await connection.query<TableRow>(tableSql(connection.versionNum), [], signal);
    const forest = partitionForest(await connection.query<PartitionEdge>(PARTITION_SQL, [], signal));
    const tables = await readTables(connection, relations, forest, scope.schema, signal);
    const publications = await readPublications(connection, relations, forest, signal);
    const slots = await readSlots(connection, signal);
    await connection.query('commit', [], signal);
    return { server, tables, publications, slots };
  } catch (error) {
    // Without the signal: it may be what brought us here, and the session is to be usable again.
    await connection.query('rollback', [], new AbortController().signal).catch(() => connection.destroy());
    throw error;
  }
}

/** A row of TABLE_SQL: what pg_class knows of one relation itself. */
interface TableRow {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly kind: ObservedTable['kind'];
  readonly isPartition: boolean;
  readonly persistence: ObservedTable['persistence'];
  readonly replicaIdentity: ObservedTable['replicaIdentity'];
  /** Null when it was never analyzed. */
  readonly rows: number | null;
  readonly bytes: number;
  readonly canSelect: boolean;
  readonly schemaUsage: boolean;
  readonly ownedByCurrentUser: boolean;
  readonly rowSecurity: boolean;
  readonly comment: string | null;
}

interface ColumnRow extends Omit<ObservedColumn, 'type'> {
  readonly table: number;
  readonly typeOid: number;
  readonly typmod: number;
  readonly canSelect: boolean;
}

interface KeyRow {
  readonly table: number;
  readonly primary: boolean;
  readonly replicaIdentity: boolean;
  /** A deferrable key is none for replication. */
  readonly immediate: boolean;
  readonly columns: readonly string[];
}

async function readTables(
  connection: SourceConnection,
  rows: readonly TableRow[],
  forest: PartitionForest,
  schema: string | null,
  signal: AbortSignal,
): Promise<readonly ObservedTable[]> {
  const columns = groupBy(await connection.query<ColumnRow>(columnSql(), [schema], signal));
  const keys = groupBy(await connection.query<KeyRow>(KEY_SQL, [schema], signal));
  const typeOids = [...new Set([...columns.values()].flat().map((column) => column.typeOid))];
  const types = resolveTypes(await connection.query<TypeRow>(typeSql(), [typeOids], signal));

  const byOid = new Map(rows.map((row) => [row.oid, row]));
  return rows
    .filter((row) => schema === null || row.schema === schema)
    .map((row): ObservedTable => {
      const below = forest.below(row.oid);
      const counted = [row, ...below.flatMap((oid) => byOid.get(oid) ?? [])].filter((part) => part.kind !== 'p');
      const ownColumns = columns.get(row.oid) ?? [];
      const ownKeys = keys.get(row.oid) ?? [];
      return {
        oid: row.oid,
        schema: row.schema,
        name: row.name,
        kind: row.kind,
        isPartition: row.isPartition,
        partitionRootOid: row.isPartition ? forest.root(row.oid) : null,
        partitionOids: below,
        persistence: row.persistence,
        columns: ownColumns.map(({ table: _table, typeOid, typmod, canSelect: _canSelect, ...column }) => ({
          ...column,
          type: types.typeOf(typeOid, typmod),
        })),
        primaryKey: ownKeys.find((key) => key.primary)?.columns ?? [],
        replicaIdentity: row.replicaIdentity,
        replicaIdentityColumns: identityColumns(row.replicaIdentity, ownKeys, ownColumns),
        estimatedRows: sumKnown(counted.map((part) => part.rows)),
        estimatedBytes: counted.reduce((sum, part) => sum + part.bytes, 0),
        canSelect: row.canSelect,
        schemaUsage: row.schemaUsage,
        ownedByCurrentUser: row.ownedByCurrentUser,
        readableColumns: row.canSelect
          ? null
          : ownColumns.filter((column) => column.canSelect).map((column) => column.name),
        rowSecurity: row.rowSecurity,
        comment: row.comment,
      };
    });
}

/** What Postgres sends as the old row's key in updates and deletes. */
function identityColumns(
  identity: ObservedTable['replicaIdentity'],
  keys: readonly KeyRow[],
  columns: readonly ColumnRow[],
): readonly string[] {
  switch (identity) {
    case 'n':
      return [];
    case 'f':
      return columns.filter((column) => column.generated === '').map((column) => column.name);
    case 'd':
      return keys.find((key) => key.primary && key.immediate)?.columns ?? [];
    case 'i':
      return keys.find((key) => key.replicaIdentity)?.columns ?? [];
  }
}

/** Null when nothing is known; else partitions that were never analyzed count as empty. */
function sumKnown(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0);
}

function groupBy<Row extends { readonly table: number }>(rows: readonly Row[]): ReadonlyMap<number, Row[]> {
  const groups = new Map<number, Row[]>();
  for (const row of rows) {
    const group = groups.get(row.table);
    if (group === undefined) groups.set(row.table, [row]);
    else group.push(row);
  }
  return groups;
}

const USER_SCHEMA = `n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_(toast|temp_|toast_temp_)'`;

/**
 * Sizes come from the file system, save for tables that somebody holds or wants an ACCESS EXCLUSIVE lock on: there
 * pg_table_size would wait (for a running ALTER TABLE or TRUNCATE), so they have the size of their last VACUUM or ANALYZE.
 * reltuples is -1 for a table never analyzed since 14; 13 has 0 pages and 0 rows for that.
 */
function tableSql(versionNum: number): string {
  const unknown = versionNum >= 140_000 ? 'c.reltuples < 0' : 'c.reltuples = 0 and c.relpages = 0';
  return `
    with locked as materialized (
      select distinct l.relation from pg_catalog.pg_locks as l
      where l.mode = 'AccessExclusiveLock'
        and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = pg_catalog.current_database()))
    select c.oid, n.nspname::text as "schema", c.relname::text as "name", c.relkind as "kind",
      c.relispartition as "isPartition", c.relpersistence as "persistence", c.relreplident as "replicaIdentity",
      case when not (${unknown}) then c.reltuples end as "rows",
      case
        when c.relkind not in ('r', 'm') then 0
        when exists (select from locked where locked.relation = c.oid)
          then c.relpages::float8 * pg_catalog.current_setting('block_size')::float8
        else coalesce(pg_catalog.pg_table_size(c.oid), 0)::float8
      end as "bytes",
      coalesce(pg_catalog.has_table_privilege(c.oid, 'select'), false) as "canSelect",
      coalesce(pg_catalog.has_schema_privilege(n.oid, 'usage'), false) as "schemaUsage",
      pg_catalog.pg_has_role(c.relowner, 'usage') as "ownedByCurrentUser",
      c.relrowsecurity and pg_catalog.row_security_active(c.oid) as "rowSecurity", d.description as "comment"
    from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
      ${descriptionOf('c.oid', '0')}
    where c.relkind in ('r', 'p', 'f', 'v', 'm') and ${USER_SCHEMA}
    order by n.nspname, c.relname`;
}

/** Joined as a whole: col_description() would be called for each column. */
function descriptionOf(relation: string, column: string): string {
  return `left join pg_catalog.pg_description as d
        on d.objoid = ${relation} and d.objsubid = ${column} and d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass`;
}

function columnSql(): string {
  return `
    select a.attrelid as "table", a.attname::text as "name", a.attnum, a.atttypid as "typeOid", a.atttypmod as "typmod",
      pg_catalog.format_type(a.atttypid, a.atttypmod) as "formattedType", a.attnotnull as "notNull",
      a.attgenerated::text as "generated", a.attidentity::text as "identity", a.attstorage as "storage",
      a.atthasdef and a.attgenerated = '' as "hasDefault",
      coalesce(pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'select'), false) as "canSelect",
      d.description as "comment"
    from pg_catalog.pg_attribute as a
      join pg_catalog.pg_class as c on c.oid = a.attrelid
      join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
      ${descriptionOf('a.attrelid', 'a.attnum')}
    where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p', 'f', 'v', 'm') and ${USER_SCHEMA}
      and ($1::text is null or n.nspname = $1::text)
    order by a.attrelid, a.attnum`;
}

/** Columns of INCLUDE are no part of a key, so indnkeyatts limits them. */
const KEY_SQL = `
  select i.indrelid as "table", i.indisprimary as "primary", i.indisreplident as "replicaIdentity",
    i.indimmediate as "immediate",
    (select pg_catalog.json_agg(a.attname order by k.place)
      from pg_catalog.unnest(i.indkey::int2[]) with ordinality as k (attnum, place)
        join pg_catalog.pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum
      where k.place <= i.indnkeyatts) as "columns"
  from pg_catalog.pg_index as i
    join pg_catalog.pg_class as c on c.oid = i.indrelid
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where (i.indisprimary or i.indisreplident) and ${USER_SCHEMA} and ($1::text is null or n.nspname = $1::text)
  order by i.indrelid, i.indexrelid`;
