import type { DestinationFacts, PartitionFacts, StreamFacts, TableFacts } from '../facts.js';
import type { StreamIdentity } from '../writer.js';
import { readPartitionFacts } from './partition-store.js';
import type { DuckDbSession } from './session.js';
import { literal } from './sql-text.js';
import { columnTypes } from './target-ddl.js';

/** Reads and writes `_sluice.streams` and `_sluice.tables`. Writes are only made inside the transaction that writes the rows. */

interface StreamRow extends Record<string, string | number | number[] | null> {
  source: string;
  slot: string;
  system_identifier: string;
  confirmed_lsn: string;
  confirmed_at: string | null;
  updated_at: string | null;
  slot_created_lsn: string | null;
  timeline_id: number | null;
  unseen: number[] | null;
}

interface TableRow extends Record<string, string | number | null> {
  address: string;
  loaded_generation: number;
  backfilled: number | null;
  resnapshot_reason: string | null;
  rows: string | null;
  as_of_lsn: string | null;
  as_of: string | null;
  cursor: string | null;
  rejected_values: string | null;
  last_run_at: string | null;
  load_rows_per_second: number | null;
  error_code: string | null;
  error_message: string | null;
  error_at: string | null;
  snapshot: string | null;
  snapshot_lsn: string | null;
}

const ISO = (column: string): string => `strftime(${column}, '%Y-%m-%dT%H:%M:%S.%fZ') AS ${column}`;

/** Changes nothing, also in a file that Sluice has not written yet. */
export async function readFacts(session: DuckDbSession): Promise<DestinationFacts> {
  if ((await session.layoutVersion()) === 0) {
    return { exists: true, streams: [], tables: [], foreignTables: await userTables(session, 'true') };
  }
  const streams = await session.rows<StreamRow>(
    `SELECT source, slot, system_identifier, confirmed_lsn, ${ISO('confirmed_at')}, ${ISO('updated_at')},
       ${await knownColumns(session, 'streams', ['slot_created_lsn', 'timeline_id', 'unseen'])}
     FROM _sluice.streams ORDER BY source`,
  );
  const tables = await session.rows<TableRow>(
    `SELECT address, loaded_generation, resnapshot_reason, ${await knownColumns(session, 'tables', ['backfilled'])}, rows, as_of_lsn, ${ISO('as_of')}, "cursor", rejected_values,
       ${ISO('last_run_at')}, load_rows_per_second, error_code, error_message, ${ISO('error_at')}, snapshot, snapshot_lsn
     FROM _sluice.tables ORDER BY address`,
  );
  const partitions = await readPartitionFacts(session);
  return {
    exists: true,
    streams: streams.map(
      (row): StreamFacts => ({
        source: row.source,
        slot: row.slot,
        systemIdentifier: row.system_identifier,
        slotCreatedLsn: row.slot_created_lsn,
        timelineId: row.timeline_id,
        unseen: row.unseen ?? [],
        confirmedLsn: row.confirmed_lsn,
        confirmedAt: row.confirmed_at ?? '',
        updatedAt: row.updated_at ?? '',
      }),
    ),
    tables: tables.map((row) => tableFacts(row, partitions.get(row.address) ?? null)),
    foreignTables: await userTables(session, NOT_OURS),
  };
}

/** Columns that came with a later layout, NULL where the file does not have them yet: only a write brings it up to date. */
async function knownColumns(session: DuckDbSession, table: string, columns: readonly string[]): Promise<string> {
  const known = await columnTypes(session, { schema: '_sluice', name: table });
  return columns.map((column) => (known.has(column) ? column : `NULL AS ${column}`)).join(', ');
}

/** True for a row of duckdb_tables() that no recorded table accounts for. */
const NOT_OURS = `table_name NOT LIKE '\\_sluice\\_load\\_%' ESCAPE '\\'
  AND NOT EXISTS (SELECT 1 FROM _sluice.tables t WHERE t.target_schema = schema_name
    AND (t.target_name = table_name OR t.target_name || '_cdc' = table_name))`;

/** `schema.table` of tables outside of Sluice's own schemas. */
async function userTables(session: DuckDbSession, condition: string): Promise<string[]> {
  const rows = await session.rows<{ name: string }>(
    `SELECT schema_name || '.' || table_name AS name FROM duckdb_tables()
     WHERE NOT internal AND NOT temporary AND schema_name NOT IN ('_sluice', '_sluice_retired') AND ${condition} ORDER BY name`,
  );
  return rows.map((row) => row.name);
}

export async function readStream(session: DuckDbSession, source: string): Promise<string | null> {
  const rows = await session.rows<{ confirmed_lsn: string }>(
    `SELECT confirmed_lsn FROM _sluice.streams WHERE source = ${literal(source)}`,
  );
  return rows[0]?.confirmed_lsn ?? null;
}

function tableFacts(row: TableRow, partitions: PartitionFacts | null): TableFacts {
  return {
    address: row.address,
    loadedGeneration: row.loaded_generation,
    backfilled: row.backfilled ?? 0,
    resnapshotReason: row.resnapshot_reason,
    rows: row.rows === null ? null : Number(row.rows),
    asOfLsn: row.as_of_lsn,
    asOf: row.as_of,
    cursor: row.cursor,
    rejectedValues: Number(row.rejected_values ?? 0),
    lastError:
      row.error_code === null
        ? null
        : { code: row.error_code, message: row.error_message ?? '', at: row.error_at ?? '' },
    lastRunAt: row.last_run_at,
    loadRowsPerSecond: row.load_rows_per_second,
    snapshot:
      row.snapshot === null || row.snapshot_lsn === null
        ? null
        : { snapshot: row.snapshot, snapshotLsn: row.snapshot_lsn },
    partitions,
  };
}

/** Columns of `_sluice.tables` that a write sets; the others keep their value. */
export type TableFactsChange = Readonly<Record<string, string | number | null>>;

/** Makes the row of a table that nothing is recorded of yet. */
export async function ensureTableRow(session: DuckDbSession, address: string): Promise<void> {
  const key = literal(address);
  await session.run(
    `INSERT INTO _sluice.tables (address, loaded_generation, rejected_values)
     SELECT ${key}, 0, 0 WHERE NOT EXISTS (SELECT 1 FROM _sluice.tables WHERE address = ${key})`,
  );
}

/** Creates or changes the row of a table. Values are literals; `{sql}` is not supported on purpose. */
export async function writeTableFacts(
  session: DuckDbSession,
  table: { readonly address: string; readonly schema: string; readonly name: string },
  change: TableFactsChange,
): Promise<void> {
  const address = literal(table.address);
  await ensureTableRow(session, table.address);
  const all = { target_schema: table.schema, target_name: table.name, ...change };
  const assignments = Object.entries(all).map(([column, value]) => `"${column}" = ${literal(value)}`);
  await session.run(`UPDATE _sluice.tables SET ${assignments.join(', ')} WHERE address = ${address}`);
}

export interface StreamWrite extends StreamIdentity {
  readonly confirmedLsn: string;
  readonly confirmedAt: string;
  readonly updatedAt: string;
  readonly unseen: readonly number[];
}

export async function writeStream(session: DuckDbSession, stream: StreamWrite): Promise<void> {
  await session.run(`DELETE FROM _sluice.streams WHERE source = ${literal(stream.source)}`);
  const { source, slot, systemIdentifier, confirmedLsn, confirmedAt, updatedAt, slotCreatedLsn, timelineId } = stream;
  const values = [source, slot, systemIdentifier, confirmedLsn, confirmedAt, updatedAt, slotCreatedLsn, timelineId];
  await session.run(
    `INSERT INTO _sluice.streams (source, slot, system_identifier, confirmed_lsn, confirmed_at, updated_at, slot_created_lsn, timeline_id, unseen)
     VALUES (${values.map(literal).join(', ')}, [${stream.unseen.map(literal).join(', ')}])`,
  );
}

export interface RunWrite {
  readonly runId: string;
  readonly source: string;
  readonly address: string;
  readonly kind: string;
  readonly status: 'ok' | 'failed';
  readonly startedAt: string;
  readonly endedAt: string;
  readonly rows: number;
  readonly inserted: number;
  readonly updated: number;
  readonly deleted: number;
  readonly rejected: number;
  readonly fromLsn: string | null;
  readonly toLsn: string | null;
  readonly errorCode: string | null;
  readonly errorMessage: string | null;
}

/** A lake's runs have more columns (lake/run-cost.ts). */
const RUN_COLUMNS = [
  ...['run_id', 'source', 'address', 'kind', 'status', 'started_at', 'ended_at', 'rows', 'inserted', 'updated'],
  ...['deleted', 'rejected', 'from_lsn', 'to_lsn', 'error_code', 'error_message'],
] as const;

export async function writeRun(session: DuckDbSession, run: RunWrite): Promise<void> {
  const values = [
    run.runId,
    run.source,
    run.address,
    run.kind,
    run.status,
    run.startedAt,
    run.endedAt,
    run.rows,
    run.inserted,
    run.updated,
    run.deleted,
    run.rejected,
    run.fromLsn,
    run.toLsn,
    run.errorCode,
    run.errorMessage,
  ];
  await session.run(`INSERT INTO _sluice.runs (${RUN_COLUMNS.join(', ')}) VALUES (${values.map(literal).join(', ')})`);
}
