import type { DuckDbSession } from '../../duckdb/session.js';
import type { KnownTable } from '../../lake/table-format.js';
import type {
  CompactRequest,
  MaintenanceSettings,
  TableMaintenance,
  VacuumRequest,
} from '../../lake/table-maintenance.js';
import type { Compaction, TableHealth, Vacuumed } from '../../maintenance.js';
import type { Action, AddAction } from '../action.js';
import { writeCheckpoint } from '../checkpoint.js';
import type { VectorReader } from '../data-file.js';
import type { DataFileTools } from '../data-files.js';
import { partitionKey } from '../partition-values.js';
import { assertWritable } from '../protocol.js';
import type { DeltaSnapshot } from '../snapshot.js';
import { rowCount } from '../stats.js';
import { checkpointInterval } from '../table-property.js';
import { rewriteFiles } from './compact.js';
import { type CompactableFile, type CompactionSettings, isSmall, planCompaction } from './plan-compaction.js';
import { vacuumTable } from './vacuum.js';

const MIB = 1024 * 1024;
/** By itself nothing is copied that would not end up in a file half as large again (plan-compaction.ts). */
const THRIFTY_GROWTH = 0.5;

/** What maintenance has to know of the tables, as the format holds it. */
export interface MaintainedTables {
  /** The table as it is now. @throws SluiceError DELTA_FOREIGN_WRITE, DELTA_LOG_CORRUPT where there is none */
  current(session: DuckDbSession, table: KnownTable): Promise<DeltaSnapshot>;
  /** Takes the table that a commit left as the one that is known. */
  remember(folder: string, snapshot: DeltaSnapshot): void;
  /** The known table, without a look; undefined where none is. */
  known(folder: string): DeltaSnapshot | undefined;
  /** What a commit of the ledger refers to; nothing where the table has it. @throws SluiceError LEDGER_UNREADABLE */
  actionsOf(pending: unknown, folder: string, snapshot: DeltaSnapshot): readonly Action[];
}

type Weighed = CompactableFile & { readonly add: AddAction };

export class DeltaMaintenance implements TableMaintenance {
  readonly #settings: MaintenanceSettings;
  readonly #tables: MaintainedTables;
  readonly #vectors: VectorReader;
  readonly #tools: DataFileTools;
  readonly #engineInfo: string;
  /** Folders of tables with commits enough for a new checkpoint. */
  readonly #due = new Set<string>();

  constructor(
    settings: MaintenanceSettings & { readonly engineInfo: string },
    deps: { readonly tables: MaintainedTables; readonly vectors: VectorReader; readonly tools: DataFileTools },
  ) {
    this.#settings = settings;
    this.#engineInfo = settings.engineInfo;
    this.#tables = deps.tables;
    this.#vectors = deps.vectors;
    this.#tools = deps.tools;
  }

  /** To be told of every commit of ours. @param before the version that it followed; -1 for a new table */
  committed(folder: string, before: number, { version, metadata }: DeltaSnapshot): void {
    const every = checkpointInterval(metadata.configuration);
    if (version > 0 && Math.floor(before / every) < Math.floor(version / every)) this.#due.add(folder);
  }

  async checkpoint(session: DuckDbSession): Promise<void> {
    for (const folder of this.#due) {
      try {
        await this.#checkpoint(session, folder);
      } catch {
        // The table is whole without it; it stays due, and vacuum says what is wrong.
        return;
      }
    }
  }

  async #checkpoint(session: DuckDbSession, folder: string): Promise<void> {
    const snapshot = this.#tables.known(folder);
    if (snapshot !== undefined) {
      const tools = { connection: session.connection, tempFolder: this.#tools.folder };
      await writeCheckpoint(this.#tools.store, folder, snapshot, tools, this.#tools.now());
    }
    this.#due.delete(folder);
  }

  async compact(session: DuckDbSession, request: CompactRequest): Promise<Compaction> {
    const { table, columns, key, thorough, now } = request;
    const { folder } = table;
    const snapshot = await this.#tables.current(session, table);
    const [bin] = planCompaction(weighed(snapshot), this.#planning(thorough));
    if (bin === undefined) return { kind: 'nothing', health: this.#health(snapshot) };
    assertWritable(folder, snapshot, 'change');
    const files = bin.files.map(({ add }) => add);
    const rewrite = {
      ...{ folder, snapshot, files, columns, now, engineInfo: this.#engineInfo },
      order: this.#settings.clusterByKey ? key : [],
    };
    const written = await rewriteFiles(session, rewrite, this.#vectors, this.#tools);
    await this.#tools.cache.trim();
    if ('stopped' in written) return { kind: 'given_up', because: written.stopped, health: this.#health(snapshot) };
    const { result, adds } = written;
    this.#tables.remember(folder, result.snapshot);
    this.committed(folder, snapshot.version, result.snapshot);
    await this.checkpoint(session);
    return {
      kind: 'compacted',
      removedFiles: files.length,
      addedFiles: adds.length,
      removedBytes: bytesOf(files),
      addedBytes: bytesOf(adds),
      health: this.#health(result.snapshot),
    };
  }

  async vacuum(session: DuckDbSession, { table, pending, dryRun, now }: VacuumRequest): Promise<Vacuumed> {
    const { folder } = table;
    const snapshot = await this.#tables.current(session, table);
    if (this.#due.has(folder) && !dryRun) await this.#checkpoint(session, folder);
    const actions = pending
      .filter((commit) => commit.folder === folder)
      .flatMap(({ commit }) => this.#tables.actionsOf(commit, folder, snapshot));
    const { retentionMs } = this.#settings;
    return vacuumTable(this.#tools.store, { folder, snapshot, pending: actions, retentionMs, dryRun, now });
  }

  #planning(thorough: boolean): CompactionSettings {
    const { smallFileMb, deletedRatio } = this.#settings;
    return {
      targetBytes: this.#tools.targetFileMb * MIB,
      smallBytes: smallFileMb * MIB,
      deletedRatio,
      minGrowth: thorough ? 0 : THRIFTY_GROWTH,
    };
  }

  #health(snapshot: DeltaSnapshot): TableHealth {
    const files = weighed(snapshot);
    const smallBytes = this.#settings.smallFileMb * MIB;
    const deletedRows = files.reduce((sum, file) => sum + file.deletedRows, 0);
    return {
      files: files.length,
      bytes: files.reduce((sum, file) => sum + file.sizeBytes, 0),
      smallFiles: files.filter((file) => isSmall(file, smallBytes)).length,
      rows: files.some((file) => file.rows === null)
        ? null
        : files.reduce((sum, file) => sum + (file.rows ?? 0), 0) - deletedRows,
      deletedRows,
    };
  }
}

function weighed(snapshot: DeltaSnapshot): Weighed[] {
  return [...snapshot.files.values()].map((add) => ({
    add,
    partition: partitionKey(add.partitionValues),
    sizeBytes: add.size,
    rows: rowCount(add.stats),
    deletedRows: add.deletionVector?.cardinality ?? 0,
  }));
}

function bytesOf(files: readonly AddAction[]): number {
  return files.reduce((sum, { size }) => sum + size, 0);
}
