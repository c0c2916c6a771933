import type { DuckDbSession } from '../duckdb/session.js';
import type { Compaction, Vacuumed } from '../maintenance.js';
import type { LakeColumn, PendingCommit } from './ledger.js';
import type { KnownTable } from './table-format.js';

export interface MaintenanceSettings {
  readonly smallFileMb: number;
  readonly deletedRatio: number;
  /** How long a file stays that its table no longer has. */
  readonly retentionMs: number;
  /** Sort by key what is written anew. */
  readonly clusterByKey: boolean;
}

export interface CompactRequest {
  readonly table: KnownTable;
  readonly columns: readonly LakeColumn[];
  readonly key: readonly string[];
  readonly thorough: boolean;
  readonly now: Date;
}

export interface VacuumRequest {
  readonly table: KnownTable;
  /** Commits that the ledgers hold: their files are needed. */
  readonly pending: readonly PendingCommit[];
  readonly dryRun: boolean;
  readonly now: Date;
}

/** The upkeep that a format has for its tables, apart from the work that comes from sources. */
export interface TableMaintenance {
  /** Writes one group of files anew and commits that; see DestinationMaintenance. */
  compact(session: DuckDbSession, request: CompactRequest): Promise<Compaction>;
  vacuum(session: DuckDbSession, request: VacuumRequest): Promise<Vacuumed>;
  /**
   * Writes the checkpoints that commits have made due. What fails is tried again at the next call, and told by
   * {@link vacuum}: a commit stands without it.
   */
  checkpoint(session: DuckDbSession): Promise<void>;
}
