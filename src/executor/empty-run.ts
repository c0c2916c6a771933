import type { PlainError } from '../error/sluice-error.js';
import type { SourceRun } from './engine.js';

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
