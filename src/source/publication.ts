import { formatTableKey } from '../config/table-key.js';
import { causeText, SluiceError } from '../error/sluice-error.js';
import type { ObservedPublication } from './catalog-model.js';
import type { SourceConnection } from './connect.js';
import { sqlState } from './errors.js';
import { PARTITION_SQL, type PartitionEdge, type PartitionForest, partitionForest } from './partition.js';
import { dropPublicationSql } from './publication-sql.js';
import { type PublicationMember, publishedTables, RELATION_SQL, type Relation } from './published.js';
import { quoteLiteral } from './sql-identifier.js';

const UNDEFINED_OBJECT = '42704';
const DUPLICATE_OBJECT = '42710';

/** What must be published and what must not, as table keys of the config (`schema.table`, quoted where needed). */
export interface PublicationContent {
  readonly publication: string;
  readonly present: readonly string[];
  readonly absent: readonly string[];
}

/**
 * Runs one CREATE PUBLICATION or ALTER PUBLICATION; a second statement in the text is refused by Postgres.
 * @param wanted looked at afterwards: the server has the last word on what is published
 * @throws SluiceError PUBLICATION_OCCUPIED, PUBLICATION_MISSING, PUBLICATION_INCOMPLETE, TABLE_MISSING, PRIVILEGE_MISSING
 */
export async function changePublication(
  connection: SourceConnection,
  sql: string,
  signal: AbortSignal,
  wanted: PublicationContent | null = null,
): Promise<void> {
  try {
    await connection.query(sql, [], signal);
  } catch (error) {
    if (sqlState(error) !== DUPLICATE_OBJECT) throw error;
    throw new SluiceError({
      code: 'PUBLICATION_OCCUPIED',
      cause: error,
      message: causeText(error),
      hint: "run `sluice plan` again; if the publication is not this source's own, set another name under cdc.publication",
    });
  }
  if (wanted !== null) await verifyPublication(connection, wanted, signal);
}

/** @throws SluiceError PUBLICATION_MISSING, PUBLICATION_INCOMPLETE with the SQL that mends it */
export async function verifyPublication(
  connection: SourceConnection,
  wanted: PublicationContent,
  signal: AbortSignal,
): Promise<ObservedPublication> {
  const found = await readPublication(connection, wanted.publication, signal);
  if (found === null) {
    throw new SluiceError({
      code: 'PUBLICATION_MISSING',
      message: `publication "${wanted.publication}" does not exist in database "${connection.place.database}"`,
      hint: '`sluice cdc setup-sql` prints the SQL that makes it',
    });
  }
  const published = new Set(found.tables.map((table) => formatTableKey(table.schema, table.name)));
  const missing = wanted.present.filter((table) => !published.has(table));
  const left = found.allTables ? [] : wanted.absent.filter((table) => published.has(table));
  if (missing.length === 0 && left.length === 0) return found;
  const complaints = [
    ...(missing.length === 0 ? [] : [`lacks ${missing.join(', ')}`]),
    ...(left.length === 0 ? [] : [`still holds ${left.join(', ')}`]),
  ];
  throw new SluiceError({
    code: 'PUBLICATION_INCOMPLETE',
    message: `publication "${wanted.publication}" ${complaints.join(' and ')}`,
    hint: 'run `sluice plan` again: it prints the SQL that is needed',
  });
}

/**
 * Drops a publication and looks whether it is gone.
 * @throws SluiceError PRIVILEGE_MISSING when it belongs to somebody else
 */
export async function dropPublication(
  connection: SourceConnection,
  publication: string,
  signal: AbortSignal,
): Promise<'dropped' | 'absent'> {
  try {
    await connection.query(dropPublicationSql(publication), [], signal);
  } catch (error) {
    if (sqlState(error) === UNDEFINED_OBJECT) return 'absent';
    throw error;
  }
  if ((await readPublication(connection, publication, signal)) === null) return 'dropped';
  throw new SluiceError({
    code: 'PUBLICATION_OCCUPIED',
    message: `publication "${publication}" is there again right after it was dropped`,
    hint: 'somebody else makes it; set another name under cdc.publication',
  });
}

/** @returns null when there is none of that name in the connection's database */
export async function readPublication(
  connection: SourceConnection,
  publication: string,
  signal: AbortSignal,
): Promise<ObservedPublication | null> {
  const [row] = await connection.query<PublicationRow>(publicationSql(connection.versionNum, publication), [], signal);
  if (row === undefined) return null;
  const relations = await connection.query<Relation>(RELATION_SQL, [], signal);
  const forest = partitionForest(await connection.query<PartitionEdge>(PARTITION_SQL, [], signal));
  return observe(row, relations, forest);
}

/** All publications of the database with the tables that they publish in effect (ALL TABLES and schemas spelled out). */
export async function readPublications(
  connection: SourceConnection,
  relations: readonly Relation[],
  forest: PartitionForest,
  signal: AbortSignal,
): Promise<readonly ObservedPublication[]> {
  const rows = await connection.query<PublicationRow>(publicationSql(connection.versionNum, null), [], signal);
  return rows.map((row) => observe(row, relations, forest));
}

interface PublicationRow extends Omit<ObservedPublication, 'tables'> {
  readonly members: readonly PublicationMember[];
}

function observe(row: PublicationRow, relations: readonly Relation[], forest: PartitionForest): ObservedPublication {
  const { members: _members, ...publication } = row;
  return { ...publication, tables: publishedTables(row, relations, forest) };
}

/**
 * The view pg_publication_tables would tell what is published, but since 16 it opens every table and so waits for
 * anybody who alters one. Schemas, column lists and row filters came with 15.
 */
function publicationSql(versionNum: number, only: string | null): string {
  const has15 = versionNum >= 150_000;
  const columns = `(select pg_catalog.json_agg(a.attname order by a.attnum) from pg_catalog.pg_attribute as a
    where a.attrelid = r.prrelid and a.attnum = any (r.prattrs))`;
  const schemas = `array(select n.nspname::text from pg_catalog.pg_publication_namespace as s
    join pg_catalog.pg_namespace as n on n.oid = s.pnnspid where s.pnpubid = p.oid)`;
  return `
    select p.pubname::text as "name", pg_catalog.pg_get_userbyid(p.pubowner)::text as "owner",
      pg_catalog.pg_has_role(p.pubowner, 'usage') as "ownedByCurrentUser",
      p.puballtables as "allTables", p.pubinsert as "insert", p.pubupdate as "update", p.pubdelete as "delete",
      p.pubtruncate as "truncate", p.pubviaroot as "viaPartitionRoot",
      ${versionNum >= 180_000 ? "p.pubgencols = 's'" : 'false'} as "storedGenerated",
      ${has15 ? schemas : "'{}'::text[]"} as "schemas",
      coalesce((
        select pg_catalog.json_agg(pg_catalog.json_build_object('oid', r.prrelid::int8,
          'columns', ${has15 ? columns : 'null'},
          'rowFilter', ${has15 ? 'pg_catalog.pg_get_expr(r.prqual, r.prrelid)' : 'null'}))
        from pg_catalog.pg_publication_rel as r where r.prpubid = p.oid), '[]') as "members"
    from pg_catalog.pg_publication as p
    ${only === null ? '' : `where p.pubname = ${quoteLiteral(only)}`}
    order by p.pubname`;
}
