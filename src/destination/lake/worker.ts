import { randomUUID } from 'node:crypto';
import { emitEvent, type Surface, serve } from '../../thread/call.js';
import type { DuckDbSurface } from '../duckdb/surface.js';
import { Lake } from './lake.js';
import { lakeSurface } from './lake-surface.js';
import type { LakeThreadSettings } from './lake-writer.js';
import { type MaintenanceSurface, maintenanceSurface } from './maintenance-surface.js';
import { openLake } from './open-lake.js';
import { probeConditionalWrites } from './store/probe.js';
import { systemDeps } from './store/system-deps.js';

/** The thread that writes one lake: all work on it is done here, one call after the other. */

async function surfaceOf(settings: LakeThreadSettings): Promise<DuckDbSurface & MaintenanceSurface> {
  const deps = systemDeps('sluice');
  const { store, format } = await openLake(settings, deps);
  const onWait = (what: string): void => emitEvent({ kind: 'waiting', what });
  const lake = new Lake(settings, { store, format, now: () => deps.clock.now(), onWait });
  const work = lakeSurface(lake, async () => {
    // A store that ignores conditions would let two writers overwrite each other: nothing is written to such a one.
    if (!(await lake.exists())) await probeConditionalWrites(store, randomUUID());
  });
  return { ...work, ...maintenanceSurface(lake, { store, format, ...settings.maintenance }) };
}

const surface: Surface & { configure(settings: LakeThreadSettings): Promise<void> } = {
  async configure(settings: LakeThreadSettings): Promise<void> {
    Object.assign(surface, await surfaceOf(settings));
  },
};

export type LakeThread = DuckDbSurface & MaintenanceSurface & Pick<typeof surface, 'configure'>;

serve(surface);
