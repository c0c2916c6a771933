import type { PlainError } from '../error/sluice-error.js';
import type { SourceRun, TableRun } from './engine.js';

/** The run of a source that nothing was done for, or that trouble kept from anything. */
export function emptyRun(source: string, error: PlainError | null, durationMs = 0): SourceRun {
  return {
    source,
    transactions: 0,
    changes: 0,
    confirmedLsn: null,
    durationMs,
    error,
    lag: null,
    tables: [],
    drift: [],
    newColumns: [],
  };
}

/** The run of a table that nothing was done for; with an error, a failed one. */
export function emptyTableRun(address: string, kind: TableRun['kind'], error: PlainError | null): TableRun {
  return {
    address,
    kind,
    status: error === null ? 'ok' : 'failed',
    rows: 0,
    inserted: 0,
    updated: 0,
    deleted: 0,
    rejected: 0,
    durationMs: 0,
    error,
  };
}
