import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { access, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Config, DestinationConfig } from '../config/config.js';
import type { SecretDeps } from '../config/secret.js';
import { checkStore, type StoreCheck } from '../destination/lake/store/check-store.js';
import { openStore } from '../destination/lake/store/open-store.js';
import { systemDeps } from '../destination/lake/store/system-deps.js';
import { asSluiceError, causeText, type PlainError, toPlain } from '../error/sluice-error.js';
import type { LakeLook, WorkFolderLook } from '../guard/lake-look.js';
import { lakeThreadSettings } from './destinations.js';
import type { Clock } from './engine.js';

type LakeConfig = Exclude<DestinationConfig, { type: 'duckdb' }>;

const MIB = 1024 * 1024;

/**
 * Looks at every lake that a source of the file writes to.
 * @param depth plan: only what costs no request; doctor: tries everything a sync does there, with small objects that are
 *   removed again
 */
export async function lookAtLakes(
  config: Config,
  deps: { readonly secrets: SecretDeps; readonly clock: Clock },
  depth: 'plan' | 'doctor',
  signal: AbortSignal,
): Promise<LakeLook[]> {
  const names = new Set(Object.values(config.sources).map((source) => source.destination));
  const lakes = [...names].flatMap((name): LakeConfig[] => {
    const destination = config.destinations[name];
    return destination === undefined || destination.type === 'duckdb' ? [] : [destination];
  });
  return Promise.all(
    lakes.map(async (lake): Promise<LakeLook> => {
      const work = await lookAtWorkFolder(lake);
      const seen = depth === 'plan' ? { store: null, trouble: null } : await tryStore(lake, deps, signal);
      return { destination: lake.name, type: lake.type, work, ...seen };
    }),
  );
}

async function tryStore(
  lake: LakeConfig,
  { secrets, clock }: { readonly secrets: SecretDeps; readonly clock: Clock },
  signal: AbortSignal,
): Promise<{ readonly store: readonly StoreCheck[] | null; readonly trouble: PlainError | null }> {
  try {
    const settings = await lakeThreadSettings(lake, secrets);
    const store = await openStore(settings.store, systemDeps('sluice doctor'));
    try {
      return { store: await checkStore(store, { clock, newToken: () => randomUUID() }, signal), trouble: null };
    } finally {
      await store.close();
    }
  } catch (error) {
    signal.throwIfAborted();
    return { store: null, trouble: toPlain(asSluiceError(error)) };
  }
}

async function lookAtWorkFolder(lake: LakeConfig): Promise<WorkFolderLook> {
  const base = { path: lake.workPath, cacheBytes: lake.type === 's3' ? lake.cacheMb * MIB : 0 };
  try {
    const there = await nearestFolder(lake.workPath);
    await access(there, constants.W_OK | constants.X_OK);
    const { bavail, bsize } = await statfs(there);
    return { ...base, unwritable: null, freeBytes: bavail * bsize };
  } catch (error) {
    return { ...base, unwritable: causeText(error), freeBytes: null };
  }
}

/** The folder itself, or the one that it would be made in. @throws where a file is in the way */
async function nearestFolder(path: string): Promise<string> {
  for (let folder = path; ; folder = dirname(folder)) {
    try {
      if ((await stat(folder)).isDirectory()) return folder;
      throw new Error(`${folder} is not a folder`);
    } catch (error) {
      const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
      if (!missing || folder === dirname(folder)) throw error;
    }
  }
}
