import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemProcesses } from '../../state/process-table.js';
import { emitEvent, type Surface, serve } from '../../thread/call.js';
import { DeltaFormat } from '../delta/delta-format.js';
import type { DuckDbSurface } from '../duckdb/surface.js';
import { FileCache } from './file-cache.js';
import { Lake } from './lake.js';
import { lakeSurface } from './lake-surface.js';
import type { LakeThreadSettings } from './lake-writer.js';
import { openStore } from './store/open-store.js';
import { probeConditionalWrites } from './store/probe.js';
import type { StoreDeps } from './store/store-deps.js';

/** The thread that writes one lake: all work on it is done here, one call after the other. */

const MIB = 1024 * 1024;

/** A thread is an entry point: the machine's clock and chance come in here. */
const deps: StoreDeps = {
  host: hostname(),
  pid: process.pid,
  command: 'sluice lake',
  clock: {
    now: () => new Date(),
    monotonicMs: () => performance.now(),
    sleep: async (ms, signal) => {
      await sleep(ms, undefined, { signal });
    },
  },
  processes: systemProcesses,
  newToken: () => randomUUID(),
  random: () => Math.random(),
};

async function surfaceOf(settings: LakeThreadSettings): Promise<DuckDbSurface> {
  const { workFolder, session } = settings;
  const now = (): Date => new Date();
  const store = await openStore(settings.store, deps);
  const cache = new FileCache(store, path.join(workFolder, 'cache'), settings.cacheMb * MIB);
  const tools = { store, cache, folder: workFolder, targetFileMb: settings.targetFileMb, now };
  const format = new DeltaFormat({ deletes: settings.deletes, engineInfo: 'sluice' }, tools);
  const onWait = (what: string): void => emitEvent({ kind: 'waiting', what });
  const lake = new Lake({ session, workFolder }, { store, format, now, onWait });
  return lakeSurface(lake, async () => {
    // A store that ignores conditions would let two writers overwrite each other: nothing is written to such a one.
    if (!(await lake.exists())) await probeConditionalWrites(store, randomUUID());
  });
}

const surface: Surface & { configure(settings: LakeThreadSettings): Promise<void> } = {
  async configure(settings: LakeThreadSettings): Promise<void> {
    Object.assign(surface, await surfaceOf(settings));
  },
};

export type LakeThread = DuckDbSurface & Pick<typeof surface, 'configure'>;

serve(surface);
