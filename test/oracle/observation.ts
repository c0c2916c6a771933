import type { Cells, DuckReader, EngineFixture } from '../engine-fixture.js';
import { duckdbTexts, hasConsolidated, hasHistory, isCdc, type OracleTable, postgresTexts } from './oracle-table.js';

/** What Postgres and the DuckDB file hold at a quiet moment, in the common text of oracle-table.ts. */

export interface LogEntry {
  /** I, U, D; T: gone by a TRUNCATE. */
  readonly op: string;
  readonly key: string;
  readonly row: string;
}

/** Key to row, both as JSON text. */
export type Content = ReadonlyMap<string, string>;

export interface Version {
  readonly key: string;
  readonly row: string;
  readonly op: string;
  readonly deleted: boolean;
  readonly lsn: bigint;
  readonly seq: bigint;
  readonly from: bigint;
  readonly to: bigint | null;
}

export interface DestinationTable {
  readonly live: Content;
  readonly deleted: Content;
  /** Problems of the metadata columns. */
  readonly oddities: readonly string[];
  /** By key, in the order of (lsn, seq). */
  readonly versions: ReadonlyMap<string, readonly Version[]>;
}

export function keyText(table: OracleTable, cells: Cells): string {
  return JSON.stringify(cells.slice(0, table.keyColumns));
}

export async function readSource(fixture: EngineFixture, table: OracleTable): Promise<Content> {
  const rows = await fixture.source<{ cells: (string | null)[] }>(
    `select array[${postgresTexts(table, 't').join(', ')}] as cells from ${table.name} as t`,
  );
  return new Map(rows.map(({ cells }) => [keyText(table, cells), JSON.stringify(cells)]));
}

/** Takes the committed entries out of the log. */
export async function takeLog(
  fixture: EngineFixture,
  tables: readonly OracleTable[],
): Promise<ReadonlyMap<string, readonly LogEntry[]>> {
  const rows = await fixture.source<{ tab: string; op: string; cells: (string | null)[] }>(
    'with taken as (delete from oracle.log returning *) select tab, op, cells from taken order by id',
  );
  const byName = new Map(tables.map((table) => [table.name, table]));
  const log = new Map<string, LogEntry[]>(tables.map((table) => [table.name, []]));
  for (const { tab, op, cells } of rows) {
    const table = byName.get(tab);
    if (table === undefined) continue;
    log.get(tab)?.push({ op, key: keyText(table, cells), row: JSON.stringify(cells) });
  }
  return log;
}

export async function readDestination(duckdb: DuckReader, table: OracleTable): Promise<DestinationTable> {
  const texts = duckdbTexts(table);
  const live = new Map<string, string>();
  const deleted = new Map<string, string>();
  const oddities: string[] = [];
  const count = texts.length;
  if (hasConsolidated(table)) {
    const meta = isCdc(table)
      ? ', _ph_cdc_op, _ph_deleted, _ph_deleted_at IS NOT NULL, _ph_cdc_timestamp IS NOT NULL AND _ph_cdc_lsn IS NOT NULL AND _ph_cdc_seq IS NOT NULL'
      : '';
    for (const cells of await duckdb.rows(`SELECT ${texts.join(', ')}${meta} FROM public.${table.name}`)) {
      const row = cells.slice(0, count);
      const key = keyText(table, row);
      const isDeleted = cells[count + 1] === 'true';
      if (live.has(key) || deleted.has(key)) oddities.push(`key ${key} is there twice`);
      (isDeleted ? deleted : live).set(key, JSON.stringify(row));
      if (!isCdc(table)) continue;
      const [op, , at, complete] = cells.slice(count);
      const fits = isDeleted ? op === 'D' && at === 'true' : (op === 'I' || op === 'U') && at === 'false';
      if (!fits || complete !== 'true') oddities.push(`key ${key} has metadata ${JSON.stringify(cells.slice(count))}`);
    }
  }
  const versions = new Map<string, Version[]>();
  if (hasHistory(table)) {
    const rows = await duckdb.rows(
      `SELECT ${texts.join(', ')}, _ph_cdc_op, _ph_deleted, _ph_cdc_lsn, _ph_cdc_seq, epoch_us(valid_from), epoch_us(valid_to)
       FROM public.${table.name}_cdc ORDER BY _ph_cdc_lsn, _ph_cdc_seq, valid_from`,
    );
    for (const cells of rows) {
      const row = cells.slice(0, count);
      const [op, isDeleted, lsn, seq, from, to] = cells.slice(count);
      const key = keyText(table, row);
      const list = versions.get(key) ?? [];
      list.push({
        key,
        row: JSON.stringify(row),
        op: op ?? '',
        deleted: isDeleted === 'true',
        lsn: BigInt(lsn ?? -1),
        seq: BigInt(seq ?? -1),
        from: BigInt(from ?? -1),
        to: to === null || to === undefined ? null : BigInt(to),
      });
      versions.set(key, list);
    }
  }
  return { live, deleted, oddities, versions };
}
