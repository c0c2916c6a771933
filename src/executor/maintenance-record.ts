import type { DestinationMaintenance, MaintenanceRecord, TableHealth } from '../destination/maintenance.js';
import type { PlainError } from '../error/sluice-error.js';
import type { MaintenanceStatus, TableOptimization, TableVacuum } from './maintenance-report.js';

/** What upkeep leaves word of in the lake, and what status makes of that. */

/** What status shows of a source's lake; null where there is nothing to show. */
export async function maintenanceStatus(
  maintenance: DestinationMaintenance | null,
  source: string,
): Promise<MaintenanceStatus | null> {
  const record = (await maintenance?.readRecord({ source })) ?? null;
  if (record === null) return null;
  const { at, vacuumedAt, error, tables } = record;
  return { at, vacuumedAt, error, tables: tables.length, health: sumOf(tables) };
}

/** @param before what was recorded; what this run did not look at stays as it was said there */
export function recordOf(
  source: string,
  before: MaintenanceRecord | null,
  optimized: readonly TableOptimization[] | null,
  swept: readonly TableVacuum[] | null,
  now: string,
): MaintenanceRecord {
  const errors: (PlainError | null)[] = [...(optimized ?? []), ...(swept ?? [])].map(({ error }) => error);
  const tables = (optimized ?? []).flatMap(({ address, health }) => {
    const [schema = '', ...rest] = address.slice(source.length + 1).split('.');
    return health === null ? [] : [{ schema, name: rest.join('.'), ...health }];
  });
  return {
    at: optimized === null && before !== null ? before.at : now,
    vacuumedAt: swept === null ? (before?.vacuumedAt ?? null) : now,
    error: errors.find((error) => error !== null) ?? null,
    tables: optimized === null ? (before?.tables ?? []) : tables,
  };
}

function sumOf(tables: readonly TableHealth[]): TableHealth {
  const sum = (value: (health: TableHealth) => number): number =>
    tables.reduce((total, each) => total + value(each), 0);
  return {
    files: sum(({ files }) => files),
    bytes: sum(({ bytes }) => bytes),
    smallFiles: sum(({ smallFiles }) => smallFiles),
    rows: tables.some(({ rows }) => rows === null) ? null : sum(({ rows }) => rows ?? 0),
    deletedRows: sum(({ deletedRows }) => deletedRows),
  };
}
