import { SluiceError } from '../../error/sluice-error.js';
import type { DuckDbSession } from '../duckdb/session.js';
import type { KnownTable } from '../lake/table-format.js';
import type { TableMaintenance } from '../lake/table-maintenance.js';
import type { Compaction, TableHealth, Vacuumed } from '../maintenance.js';
import { COMPACTION } from './compaction.js';
import type { Manifest } from './manifest.js';
import type { ParquetFormat } from './parquet-format.js';

const EXAMPLES = 20;
/** Whatever has changes gets a new snapshot. */
const THOROUGH = { changedRatio: 0, changeFiles: 1 };

/** The upkeep of tables of Parquet files, as a lake's maintenance asks for it. */
export class ParquetUpkeep implements TableMaintenance {
  readonly #format: ParquetFormat;
  readonly #retentionMs: number;

  constructor(format: ParquetFormat, retentionMs: number) {
    this.#format = format;
    this.#retentionMs = retentionMs;
  }

  /** Writes a new snapshot where the changes have outgrown the one that there is. @throws SluiceError PARQUET_FOREIGN_WRITE */
  async compact(
    session: DuckDbSession,
    request: { readonly table: KnownTable; readonly thorough: boolean },
  ): Promise<Compaction> {
    const { table, thorough } = request;
    const before = await this.#format.manifest(table);
    try {
      if (!(await this.#format.compact(session, table, thorough ? THOROUGH : COMPACTION))) {
        return { kind: 'nothing', health: healthOf(before) };
      }
    } catch (error) {
      if (!(error instanceof SluiceError) || error.code !== 'LAKE_MOVED') throw error;
      return { kind: 'given_up', because: error.message, health: healthOf(before) };
    }
    const after = await this.#format.manifest(table);
    return {
      kind: 'compacted',
      removedFiles: healthOf(before).files,
      addedFiles: healthOf(after).files,
      removedBytes: healthOf(before).bytes,
      addedBytes: healthOf(after).bytes,
      health: healthOf(after),
    };
  }

  /** Deletes what the retention has run out for. @throws SluiceError PARQUET_FOREIGN_WRITE */
  async vacuum(
    _session: DuckDbSession,
    request: { readonly table: KnownTable; readonly dryRun: boolean; readonly now: Date },
  ): Promise<Vacuumed> {
    const { table, dryRun, now } = request;
    const { keys, bytes } = await this.#format.expire(table, { retentionMs: this.#retentionMs, now, dryRun });
    return { files: keys.length, bytes, logFiles: 0, examples: keys.slice(0, EXAMPLES) };
  }

  /** There is no log that would need one. */
  async checkpoint(): Promise<void> {}
}

function healthOf(manifest: Manifest | null): TableHealth {
  const files = manifest === null ? [] : [...manifest.snapshot.files, ...manifest.changes];
  const changed = manifest?.changes.length ?? 0;
  return {
    files: files.length,
    bytes: files.reduce((sum, file) => sum + file.bytes, 0),
    smallFiles: changed,
    rows: changed > 0 ? null : files.reduce((sum, file) => sum + file.rows, 0),
    deletedRows: 0,
  };
}
