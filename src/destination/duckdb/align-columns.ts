import { duckdbTypeName } from '../../batch/logical-type.js';
import { historyName, metadataNames, placesOf, type TableName, type TargetTable } from '../target-table.js';
import type { AddColumns, RenameColumns } from '../writer.js';
import type { DuckDbSession } from './session.js';
import { identifier, literal, qualified } from './sql-text.js';
import { columnDefinition, columnTypes } from './target-ddl.js';

/**
 * Brings the columns of a table and its history to what the source has by now. DuckDB takes a change of type only before
 * the rows of the same transaction are written, so this comes first in it.
 */

const INTEGERS: readonly string[] = ['SMALLINT', 'INTEGER', 'BIGINT'];

/** Whether DuckDB can turn a column of one type into the other without touching a value. Names as DuckDB prints them. */
export function widensColumn(from: string, to: string): boolean {
  const [narrow, wide] = [INTEGERS.indexOf(from), INTEGERS.indexOf(to)];
  if (narrow >= 0 && wide >= 0) return narrow < wide;
  const [before, after] = [decimalDigits(from), decimalDigits(to)];
  return before !== null && after !== null && before.whole <= after.whole && before.scale <= after.scale;
}

function decimalDigits(type: string): { readonly whole: number; readonly scale: number } | null {
  const match = /^DECIMAL\((\d+),(\d+)\)$/.exec(type);
  return match === null ? null : { whole: Number(match[1]) - Number(match[2]), scale: Number(match[2]) };
}

/** Adds the columns that are missing and widens those whose type has grown; others stay as they are. */
export async function alignColumns(session: DuckDbSession, table: TargetTable, now: () => Date): Promise<void> {
  for (const place of placesOf(table)) {
    const existing = await columnTypes(session, place);
    if (existing.size === 0) continue;
    const types = new Map([...existing].map(([name, type]) => [name.toLowerCase(), type]));
    for (const column of table.columns) {
      const was = types.get(column.name.toLowerCase());
      const is = duckdbTypeName(column.type);
      if (was === undefined) {
        await session.run(`ALTER TABLE ${qualified(place)} ADD COLUMN ${columnDefinition(column)}`);
        await recordChange(session, table.address, place, 'added', column.name, is, now);
      } else if (was !== is && widensColumn(was, is)) {
        await session.run(
          `ALTER TABLE ${qualified(place)} ALTER COLUMN ${identifier(column.name)} SET DATA TYPE ${is}`,
        );
        await recordChange(session, table.address, place, 'widened', column.name, `${was} -> ${is}`, now);
      }
    }
  }
}

/**
 * Adds columns that are new to the source, or to the selection. One of that name may be left from a column that was
 * dropped before: its values are not the new column's, so it goes aside, unless it is empty.
 */
export async function addColumns(session: DuckDbSession, request: AddColumns, now: () => Date): Promise<void> {
  const { table, added } = request;
  for (const place of placesOf(table)) {
    const types = await columnTypes(session, place);
    const wanted = new Set(added.map((name) => name.toLowerCase()));
    for (const name of [...types.keys()].filter((column) => wanted.has(column.toLowerCase()))) {
      const [row] = await session.rows<{ n: string }>(
        `SELECT count(*) AS n FROM (SELECT 1 FROM ${qualified(place)} WHERE ${identifier(name)} IS NOT NULL LIMIT 1)`,
      );
      if (Number(row?.n ?? 0) > 0) await setAside(session, table.address, place, name, types, now);
    }
  }
  await alignColumns(session, table, now);
}

/** Gives a column whose values belong to another one than its name says now a name of its own. */
async function setAside(
  session: DuckDbSession,
  address: string,
  place: TableName,
  name: string,
  types: Map<string, string>,
  now: () => Date,
): Promise<void> {
  const was = types.get(name) ?? '';
  const aside = freeName(`${name}_was_${was.toLowerCase().replaceAll(/[^a-z0-9]+/g, '_')}`, types);
  await session.run(`ALTER TABLE ${qualified(place)} RENAME COLUMN ${identifier(name)} TO ${identifier(aside)}`);
  types.delete(name);
  types.set(aside, was);
  await recordChange(session, address, place, 'set_aside', name, `${was} -> ${aside}`, now);
}

/**
 * A history that gets another snapshot with columns of other types: values that the new type cannot hold are not
 * converted, their column is kept under another name, as versions of rows are never lost.
 */
export async function alignHistory(session: DuckDbSession, table: TargetTable, now: () => Date): Promise<void> {
  const place = { schema: table.schema, name: historyName(table) };
  const types = await columnTypes(session, place);
  for (const column of table.columns) {
    const was = types.get(column.name);
    const is = duckdbTypeName(column.type);
    if (was === undefined || was === is || widensColumn(was, is)) continue;
    await setAside(session, table.address, place, column.name, types, now);
  }
  await alignColumns(session, { ...table, output: 'history' }, now);
}

function freeName(wanted: string, taken: ReadonlyMap<string, string>): string {
  const names = new Set([...taken.keys()].map((name) => name.toLowerCase()));
  let name = wanted;
  for (let n = 2; names.has(name.toLowerCase()); n += 1) name = `${wanted}_${n}`;
  return name;
}

/** Renames columns wherever the table is kept, held changes and recorded values included. Doing it twice is the same as once. */
export async function renameColumns(session: DuckDbSession, request: RenameColumns, now: () => Date): Promise<void> {
  const { table, renames } = request;
  const held = { schema: '_sluice', name: `held ${table.address}` };
  for (const place of [...placesOf(table), held]) {
    const types = await columnTypes(session, place);
    for (const { from, to } of renames) {
      if (!types.has(from)) continue;
      const left = [...types.keys()].find((name) => name.toLowerCase() === to.toLowerCase() && name !== from);
      if (left !== undefined) await setAside(session, table.address, place, left, types, now);
      await session.run(`ALTER TABLE ${qualified(place)} RENAME COLUMN ${identifier(from)} TO ${identifier(to)}`);
      if (place !== held) await recordChange(session, table.address, place, 'renamed', to, `${from} -> ${to}`, now);
    }
  }
  for (const { from, to } of renames) {
    await session.run(
      `UPDATE _sluice.rejected_values SET "column" = ${literal(to)} WHERE address = ${literal(table.address)} AND "column" = ${literal(from)}`,
    );
  }
}

async function recordChange(
  session: DuckDbSession,
  address: string,
  place: TableName,
  change: 'added' | 'widened' | 'renamed' | 'set_aside' | 'kept_empty',
  column: string,
  detail: string,
  now: () => Date,
): Promise<void> {
  const values = [address, `${place.schema}.${place.name}`, change, column, detail].map(literal).join(', ');
  await session.run(
    `INSERT INTO _sluice.schema_changes (address, "table", change, "column", detail, recorded_at) VALUES (${values}, TIMESTAMPTZ ${literal(now().toISOString())})`,
  );
}

/**
 * Columns of the table that is replaced which the load does not have any more, because the source dropped them: they stay,
 * empty in the rows that are read anew.
 */
export async function keepDroppedColumns(
  session: DuckDbSession,
  table: TargetTable,
  load: TableName,
  now: () => Date,
): Promise<void> {
  const fresh = new Set([...(await columnTypes(session, load)).keys()].map((name) => name.toLowerCase()));
  const metadata = metadataNames(table.metadataPrefix);
  for (const [name, type] of await columnTypes(session, table)) {
    if (fresh.has(name.toLowerCase()) || metadata.includes(name)) continue;
    await session.run(`ALTER TABLE ${qualified(load)} ADD COLUMN ${identifier(name)} ${type}`);
    await recordChange(session, table.address, table, 'kept_empty', name, type, now);
  }
}
