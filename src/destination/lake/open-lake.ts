import path from 'node:path';
import { DeltaFormat } from '../delta/delta-format.js';
import { ParquetFormat } from '../parquet/parquet-format.js';
import { FileCache } from './file-cache.js';
import type { LakeThreadSettings } from './lake-writer.js';
import type { ObjectStore } from './object-store.js';
import { openStore } from './store/open-store.js';
import type { StoreDeps } from './store/store-deps.js';
import type { TableFormat } from './table-format.js';

const MIB = 1024 * 1024;

/** What a lake is made of: its place, the local copies of its files, and how its tables lie there. */
export interface OpenLake {
  readonly store: ObjectStore;
  readonly cache: FileCache;
  readonly format: TableFormat;
}

/** Opens the parts of a lake; nothing is asked of its place yet. */
export async function openLake(settings: LakeThreadSettings, deps: StoreDeps): Promise<OpenLake> {
  const { workFolder, cacheMb, targetFileMb, deletes, maintenance } = settings;
  const store = await openStore(settings.store, deps);
  const cache = new FileCache(store, path.join(workFolder, 'cache'), cacheMb * MIB);
  const tools = { store, cache, folder: workFolder, targetFileMb, now: () => deps.clock.now() };
  const format =
    settings.format === 'delta'
      ? new DeltaFormat({ deletes, engineInfo: 'sluice', maintenance }, tools)
      : new ParquetFormat(tools, maintenance);
  return { store, cache, format };
}
