import type { Config } from '../config/config.js';
import { literal } from '../destination/duckdb/sql-text.js';
import { asSluiceError, type PlainError, SluiceError, toPlain } from '../error/sluice-error.js';
import type { Engine } from './engine.js';

export interface RunsRequest {
  /** Runs at most. */
  readonly limit: number;
  readonly source: string | null;
  /** `source:schema.table`, or `schema.table` of any source. */
  readonly table: string | null;
  readonly failedOnly: boolean;
}

/** One table's part in one run, as it was recorded with the rows. */
export interface RecordedRun {
  readonly runId: string;
  readonly destination: string;
  readonly source: string;
  readonly address: string;
  readonly kind: string;
  readonly status: string;
  /** ISO, UTC. */
  readonly startedAt: string;
  readonly endedAt: string | null;
  readonly durationMs: number | null;
  readonly rows: number;
  readonly inserted: number;
  readonly updated: number;
  readonly deleted: number;
  readonly rejected: number;
  readonly error: { readonly code: string; readonly message: string } | null;
}

export interface RunsReport {
  /** The newest first. */
  readonly runs: readonly RecordedRun[];
  /** Destinations that could not be read. */
  readonly troubles: readonly { readonly destination: string; readonly error: PlainError }[];
}

/** The last runs of all destinations. @throws SluiceError ADDRESS_UNKNOWN for a source that the file has not */
export async function recentRuns(
  engine: Pick<Engine, 'config' | 'query'>,
  request: RunsRequest,
  signal: AbortSignal,
): Promise<RunsReport> {
  const runs: RecordedRun[] = [];
  const troubles: { destination: string; error: PlainError }[] = [];
  for (const destination of destinationsOf(engine.config, request.source)) {
    try {
      const { rows } = await engine.query(destination, runsSql(request), signal);
      runs.push(...rows.map((row) => recordedRun(destination, row)));
    } catch (error) {
      signal.throwIfAborted();
      troubles.push({ destination, error: toPlain(asSluiceError(error)) });
    }
  }
  const newest = runs.sort((left, right) => (left.startedAt < right.startedAt ? 1 : -1)).slice(0, request.limit);
  return { runs: newest, troubles };
}

function destinationsOf(config: Config, source: string | null): readonly string[] {
  const sources = Object.values(config.sources).filter(({ name }) => source === null || name === source);
  if (source !== null && sources.length === 0) {
    throw new SluiceError({
      code: 'ADDRESS_UNKNOWN',
      message: `no source "${source}" in the config`,
      hint: `known: ${Object.keys(config.sources).slice(0, 20).join(', ')}`,
    });
  }
  return [...new Set(sources.map(({ destination }) => destination))];
}

function runsSql({ limit, source, table, failedOnly }: RunsRequest): string {
  const conditions = [
    ...(source === null ? [] : [`source = ${literal(source)}`]),
    ...(table === null ? [] : [`(address = ${literal(table)} OR address = source || ':' || ${literal(table)})`]),
    ...(failedOnly ? ["status <> 'ok'"] : []),
  ];
  const where = conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`;
  const iso = (column: string) => `strftime(${column} AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%gZ')`;
  return `SELECT run_id, source, address, kind, status, ${iso('started_at')}, ${iso('ended_at')},
      epoch_ms(ended_at) - epoch_ms(started_at), rows, inserted, updated, deleted, rejected, error_code, error_message
    FROM _sluice.runs ${where} ORDER BY started_at DESC, address LIMIT ${limit}`;
}

function recordedRun(destination: string, row: readonly (string | null)[]): RecordedRun {
  const text = (index: number): string => row[index] ?? '';
  const count = (index: number): number => Number(row[index] ?? 0);
  const code = row[13] ?? null;
  return {
    runId: text(0),
    destination,
    source: text(1),
    address: text(2),
    kind: text(3),
    status: text(4),
    startedAt: text(5),
    endedAt: row[6] ?? null,
    durationMs: row[7] == null ? null : Number(row[7]),
    rows: count(8),
    inserted: count(9),
    updated: count(10),
    deleted: count(11),
    rejected: count(12),
    error: code === null ? null : { code, message: text(14) },
  };
}
