import { duckdbTypeName } from '../../batch/logical-type.js';
import { historyName, METADATA_TYPES, metadataNames, type TableName, type TargetTable } from '../target-table.js';
import { copyComments } from './comments.js';
import { deletedColumn } from './merge-sql.js';
import type { DuckDbSession } from './session.js';
import { identifier, literal, qualified } from './sql-text.js';

export async function ensureSchema(session: DuckDbSession, schema: string): Promise<void> {
  await session.run(`CREATE SCHEMA IF NOT EXISTS ${identifier(schema)}`);
}

export async function tableExists(session: DuckDbSession, table: TableName): Promise<boolean> {
  const rows = await session.rows<{ n: number }>(
    `SELECT count(*)::INTEGER AS n FROM duckdb_tables() WHERE NOT temporary AND schema_name = ${literal(table.schema)} AND table_name = ${literal(table.name)}`,
  );
  return rows[0]?.n === 1;
}

/** DuckDB prints some types by a longer name than the one that it was given. */
export function shortTypeName(printed: string): string {
  return printed.replace('TIMESTAMP WITH TIME ZONE', 'TIMESTAMPTZ').replace('TIME WITH TIME ZONE', 'TIMETZ');
}

/** Column name to type, as duckdbTypeName writes it; empty when the table does not exist. */
export async function columnTypes(session: DuckDbSession, table: TableName): Promise<Map<string, string>> {
  const rows = await session.rows<{ column_name: string; data_type: string }>(
    `SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name = ${literal(table.schema)} AND table_name = ${literal(table.name)} ORDER BY column_index`,
  );
  return new Map(rows.map((row) => [row.column_name, shortTypeName(row.data_type)]));
}

/** As {@link columnTypes}, of what a query gives; nothing is read for it but what says so. */
export async function queryTypes(session: DuckDbSession, query: string): Promise<Map<string, string>> {
  const view = 'query_types';
  await session.run(`CREATE OR REPLACE TEMP VIEW ${view} AS ${query}`);
  const types = await columnTypes(session, { schema: 'main', name: view });
  await session.run(`DROP VIEW ${view}`);
  return types;
}

/** A column of a table that Sluice makes. */
export function columnDefinition(column: TargetTable['columns'][number]): string {
  const type = duckdbTypeName(column.type);
  return `${identifier(column.name)} ${type}${floatCompression(type)}`;
}

/**
 * DuckDB's run-length compression takes 0 and -0 for the same value and would keep the sign of one of them only; ALP keeps
 * both, but may not be asked for within a list. (In a row group that holds nothing but zeros the sign is lost anyhow.)
 */
function floatCompression(type: string): string {
  if (!/^(FLOAT|DOUBLE)/.test(type)) return '';
  return ` USING COMPRESSION ${type.endsWith('[]') ? 'UNCOMPRESSED' : 'ALP'}`;
}

/** Makes an empty table with the columns of another and their comments, however floats are kept there. @returns their names */
export async function copyDefinition(session: DuckDbSession, from: TableName, to: TableName): Promise<string[]> {
  const types = await columnTypes(session, from);
  const columns = [...types].map(([name, type]) => `${identifier(name)} ${type}${floatCompression(type)}`);
  await session.run(`CREATE TABLE ${qualified(to)} (${columns.join(', ')})`);
  await copyComments(session, from, to);
  return [...types.keys()];
}

export async function createHistory(session: DuckDbSession, table: TargetTable): Promise<void> {
  const columns = [
    ...table.columns.map(columnDefinition),
    ...metadataNames(table.metadataPrefix).map((name, i) => `${identifier(name)} ${METADATA_TYPES[i]}`),
    'valid_from TIMESTAMPTZ',
    'valid_to TIMESTAMPTZ',
  ];
  await session.run(
    `CREATE TABLE ${qualified({ schema: table.schema, name: historyName(table) })} (${columns.join(', ')})`,
  );
}

/** Rows that are not soft-deleted; of a history-only table the current versions. */
export async function liveRows(session: DuckDbSession, table: TargetTable): Promise<number> {
  const from =
    table.method === 'cdc' && table.output === 'history'
      ? `${qualified({ schema: table.schema, name: historyName(table) })} WHERE valid_to IS NULL AND NOT ${deletedColumn(table)}`
      : table.method === 'cdc'
        ? `${qualified(table)} WHERE NOT ${deletedColumn(table)}`
        : qualified(table);
  const rows = await session.rows<{ n: string }>(`SELECT count(*) AS n FROM ${from}`);
  return Number(rows[0]?.n ?? 0);
}
