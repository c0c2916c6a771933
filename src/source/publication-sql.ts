import { quoteIdentifier, quoteQualified } from './sql-identifier.js';

interface TableName {
  readonly schema: string;
  readonly name: string;
}

/** A table as it is published. */
export interface PublishedTable extends TableName {
  /** 15+: the columns that are sent; null or absent: all. */
  readonly list?: readonly string[] | null;
}

/** Truncates are published as they ask for a new load; a partitioned table's changes come as the table's own. */
const PUBLISH_OPTIONS = "publish = 'insert, update, delete, truncate', publish_via_partition_root = true";

/**
 * @param tables in the order wanted; none makes an empty publication
 * @param storedGenerated 18+: stored generated columns are sent as well
 */
export function createPublicationSql(
  publication: string,
  tables: readonly PublishedTable[],
  storedGenerated = false,
): string {
  const members = tables.length === 0 ? '' : ` for table ${tables.map(member).join(', ')}`;
  return `create publication ${quoteIdentifier(publication)}${members} with (${options(storedGenerated)});`;
}

export function addPublicationTablesSql(publication: string, tables: readonly PublishedTable[]): string {
  return `alter publication ${quoteIdentifier(publication)} add table ${tables.map(member).join(', ')};`;
}

/**
 * Gives tables other column lists, as one statement and so in one transaction: what commits before it is sent with the
 * old list, what commits after it with the new one. SET TABLE would do so as well, but locks and names every member.
 */
export function relistPublicationTablesSql(publication: string, tables: readonly PublishedTable[]): string {
  const body = ` begin ${removePublicationTablesSql(publication, tables)} ${addPublicationTablesSql(publication, tables)} end `;
  let tag = '$sluice$';
  for (let n = 1; body.includes(tag); n += 1) tag = `$sluice${n}$`;
  return `do ${tag}${body}${tag};`;
}

export function removePublicationTablesSql(publication: string, tables: readonly TableName[]): string {
  return `alter publication ${quoteIdentifier(publication)} drop table ${tables.map(quoteQualified).join(', ')};`;
}

/** Mends operations and partition handling of a publication made by somebody else. */
export function setPublicationOptionsSql(publication: string, storedGenerated = false): string {
  return `alter publication ${quoteIdentifier(publication)} set (${options(storedGenerated)});`;
}

export function dropPublicationSql(publication: string): string {
  return `drop publication ${quoteIdentifier(publication)};`;
}

function member(table: PublishedTable): string {
  const list = table.list ?? null;
  return list === null ? quoteQualified(table) : `${quoteQualified(table)} (${list.map(quoteIdentifier).join(', ')})`;
}

function options(storedGenerated: boolean): string {
  return storedGenerated ? `${PUBLISH_OPTIONS}, publish_generated_columns = stored` : PUBLISH_OPTIONS;
}
