import { startThread, type ThreadHandle } from '../../thread/call.js';
import { writerOver } from '../duckdb/duckdb-writer.js';
import type { SessionSettings } from '../duckdb/session.js';
import type { DestinationWriter } from '../writer.js';
import type { StoreSettings } from './store/open-store.js';
import type { MaintenanceSettings } from './table-maintenance.js';
import type { LakeThread } from './worker.js';

/** Everything that the thread of a lake has to know; cloneable. */
export interface LakeThreadSettings {
  readonly store: StoreSettings;
  /** The working file. */
  readonly session: SessionSettings;
  /** Its folder, for the cache and for files on their way. */
  readonly workFolder: string;
  readonly cacheMb: number;
  readonly targetFileMb: number;
  readonly format: 'delta' | 'parquet';
  readonly deletes: 'dv' | 'cow';
  readonly maintenance: MaintenanceSettings;
}

/** Starts the thread that writes a lake. @param onWait told when its working file is held by another process */
export async function openLakeWriter(
  settings: LakeThreadSettings,
  onWait: (what: string) => void,
): Promise<DestinationWriter> {
  const thread: ThreadHandle<LakeThread> = startThread(new URL('./worker.js', import.meta.url), 'sluice-lake');
  await thread.call.configure(settings);
  const { call } = thread;
  return {
    ...writerOver(thread, onWait),
    maintenance: {
      tables: (request) => call.maintainedTables(request),
      compact: (request) => call.compactTable(request),
      vacuum: (request) => call.vacuumTable(request),
      vacuumSource: (request) => call.vacuumSource(request),
      readRecord: (request) => call.readMaintenance(request),
      writeRecord: (request) => call.writeMaintenance(request),
    },
  };
}
