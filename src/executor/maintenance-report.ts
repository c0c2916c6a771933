import type { TableHealth } from '../destination/maintenance.js';
import type { PlainError } from '../error/sluice-error.js';

/** What upkeep of lakes is asked for and answers, as the CLI and the daemon see it. */

export interface OptimizeRequest {
  /** `source` or `source:schema.table`; null: every source. */
  readonly address: string | null;
}

export interface TableOptimization {
  /** `source:schema.table`, as the table is named in the destination. */
  readonly address: string;
  /** unfinished: there is more to do, but the time or the bytes of this run are used up. */
  readonly status: 'optimized' | 'nothing' | 'unfinished' | 'failed';
  readonly removedFiles: number;
  readonly addedFiles: number;
  readonly removedBytes: number;
  readonly addedBytes: number;
  /** As it is now; null where it could not be read. */
  readonly health: TableHealth | null;
  /** Why it is not finished, where another writer came in between. */
  readonly note: string | null;
  readonly error: PlainError | null;
}

export interface OptimizeReport {
  readonly tables: readonly TableOptimization[];
  /** Sources whose destination needs no upkeep. */
  readonly notes: readonly string[];
  readonly ok: boolean;
}

export interface VacuumRequest {
  readonly address: string | null;
  /** Tells what would go. */
  readonly dryRun: boolean;
}

export interface TableVacuum {
  /** `source:schema.table`; `source` for what is beside the tables. */
  readonly address: string;
  readonly files: number;
  readonly bytes: number;
  readonly logFiles: number;
  /** Some of the keys. */
  readonly examples: readonly string[];
  readonly error: PlainError | null;
}

export interface VacuumReport {
  readonly dryRun: boolean;
  readonly tables: readonly TableVacuum[];
  readonly notes: readonly string[];
  readonly ok: boolean;
}

/** The upkeep of a source's tables, as status shows it. */
export interface MaintenanceStatus {
  /** ISO. */
  readonly at: string;
  readonly vacuumedAt: string | null;
  readonly error: PlainError | null;
  /** Of all tables together, as they were then. */
  readonly tables: number;
  readonly health: TableHealth;
}
