import { quoteIdentifier, quoteQualified } from './sql-identifier.js';

interface TableName {
  readonly schema: string;
  readonly name: string;
}

/** Truncates are published as they ask for a new load; a partitioned table's changes come as the table's own. */
const PUBLISH_OPTIONS = "publish = 'insert, update, delete, truncate', publish_via_partition_root = true";

/** @param tables in the order wanted; none makes an empty publication */
export function createPublicationSql(publication: string, tables: readonly TableName[]): string {
  const members = tables.length === 0 ? '' : ` for table ${tables.map(quoteQualified).join(', ')}`;
  return `create publication ${quoteIdentifier(publication)}${members} with (${PUBLISH_OPTIONS});`;
}

export function addPublicationTablesSql(publication: string, tables: readonly TableName[]): string {
  return `alter publication ${quoteIdentifier(publication)} add table ${tables.map(quoteQualified).join(', ')};`;
}

export function removePublicationTablesSql(publication: string, tables: readonly TableName[]): string {
  return `alter publication ${quoteIdentifier(publication)} drop table ${tables.map(quoteQualified).join(', ')};`;
}

/** Mends operations and partition handling of a publication made by somebody else. */
export function setPublicationOptionsSql(publication: string): string {
  return `alter publication ${quoteIdentifier(publication)} set (${PUBLISH_OPTIONS});`;
}

export function dropPublicationSql(publication: string): string {
  return `drop publication ${quoteIdentifier(publication)};`;
}
