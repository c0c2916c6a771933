import type { PlainError } from '../error/sluice-error.js';

/** Upkeep of a lake's tables: what has become many small files, or no version of a table refers to any more. */

/** What a table's files are like. */
export interface TableHealth {
  readonly files: number;
  readonly bytes: number;
  readonly smallFiles: number;
  /** Live ones; null where a file does not say how many it has. */
  readonly rows: number | null;
  /** Rows that are still in the files, though deleted. */
  readonly deletedRows: number;
}

export interface LakePlace {
  readonly schema: string;
  readonly name: string;
}

export type Compaction =
  /** Nothing is worth it. */
  | { readonly kind: 'nothing'; readonly health: TableHealth }
  | {
      readonly kind: 'compacted';
      readonly removedFiles: number;
      readonly addedFiles: number;
      readonly removedBytes: number;
      readonly addedBytes: number;
      readonly health: TableHealth;
    }
  /** Somebody else has rearranged the same files meanwhile; nothing was changed. */
  | { readonly kind: 'given_up'; readonly because: string; readonly health: TableHealth };

export interface Vacuumed {
  /** Data files and deletion vectors. */
  readonly files: number;
  readonly bytes: number;
  /** Files of the table's log that a checkpoint covers. */
  readonly logFiles: number;
  /** Some of the keys, for people. */
  readonly examples: readonly string[];
}

export interface CompactTable extends LakePlace {
  readonly source: string;
  /** Whatever can be merged, not only what pays soon. */
  readonly thorough: boolean;
  /** ISO. */
  readonly now: string;
}

export interface VacuumTable extends LakePlace {
  readonly source: string;
  /** Tells what would go. */
  readonly dryRun: boolean;
  /** ISO. */
  readonly now: string;
}

/** What was found and done last, kept in the lake so that every process can tell. */
export interface MaintenanceRecord {
  /** ISO. */
  readonly at: string;
  /** ISO; null: never yet. */
  readonly vacuumedAt: string | null;
  /** What went wrong first; null: nothing. */
  readonly error: PlainError | null;
  readonly tables: readonly (LakePlace & TableHealth)[];
}

/**
 * What a destination can do for its tables. Each call is a small piece of work that commits on its own; syncs come in
 * between.
 */
export interface DestinationMaintenance {
  /** The tables of a source, histories and retired ones too. */
  tables(request: { readonly source: string }): Promise<readonly LakePlace[]>;
  /** Writes one group of a table's files anew, where that is worth it. The rows stay what they are. */
  compact(request: CompactTable): Promise<Compaction>;
  /** Deletes what no version within the retention refers to. @throws SluiceError DELTA_FOREIGN_WRITE */
  vacuum(request: VacuumTable): Promise<Vacuumed>;
  /** The same for what is a source's own beside its tables, and for uploads that never ended. */
  vacuumSource(request: Pick<VacuumTable, 'source' | 'dryRun' | 'now'>): Promise<Vacuumed>;
  /** Null: nothing was recorded yet. */
  readRecord(request: { readonly source: string }): Promise<MaintenanceRecord | null>;
  writeRecord(request: { readonly source: string; readonly record: MaintenanceRecord }): Promise<void>;
}
