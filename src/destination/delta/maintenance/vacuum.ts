import { ageLimits, deleteAll, vacuumed } from '../../lake/garbage.js';
import type { ObjectInfo, ObjectStore } from '../../lake/object-store.js';
import type { Vacuumed } from '../../maintenance.js';
import type { Action, AddAction, DeletionVectorDescriptor, RemoveAction } from '../action.js';
import { dataFileKey } from '../data-file.js';
import { locateVector } from '../deletion-vector/descriptor.js';
import { cleanLog, expiredLogKeys } from '../log-cleanup.js';
import { listLog } from '../log-listing.js';
import type { DeltaSnapshot } from '../snapshot.js';
import { booleanProperty, logRetentionMs } from '../table-property.js';

/** How the files begin that Delta writers put beside each other in a table's folder; others are left alone. */
const DATA_FILES = ['part-', 'deletion_vector_'] as const;
const DATA_FILE = /^(part-.*\.parquet|deletion_vector_.*\.bin)$/;

export interface VacuumDelta {
  readonly folder: string;
  readonly snapshot: DeltaSnapshot;
  /** Of commits that are prepared but not in the log. */
  readonly pending: readonly Action[];
  readonly retentionMs: number;
  readonly dryRun: boolean;
  readonly now: Date;
}

/**
 * Deletes data files and deletion vectors that no live version refers to and that were taken out, or were left behind by
 * a commit that never came, longer ago than the retention; then what the log itself has outlived.
 */
export async function vacuumTable(store: ObjectStore, request: VacuumDelta): Promise<Vacuumed> {
  const { folder, snapshot, dryRun, now } = request;
  const gone: ObjectInfo[] = [];
  const needed = neededKeys(request);
  const { taken, orphans } = ageLimits(request.retentionMs, now);
  const buried = new Set([...snapshot.tombstones.values()].flatMap((file) => keysOf(folder, file)));
  for (const prefix of DATA_FILES) {
    for await (const object of store.list(`${folder}/${prefix}`)) {
      if (needed.has(object.key) || !DATA_FILE.test(object.key.slice(folder.length + 1))) continue;
      const limit = buried.has(object.key) ? taken : orphans;
      if (object.modifiedAt < limit) gone.push(object);
    }
  }
  if (!dryRun) await deleteAll(store, gone);
  const log = dryRun ? await expiredLog(store, request) : await cleanLog(store, folder, snapshot, now);
  return vacuumed(gone, log.length);
}

/** Keys of files that a live version, a version within the retention or a pending commit refers to. */
function neededKeys(request: VacuumDelta): ReadonlySet<string> {
  const { folder, snapshot, pending, retentionMs, now } = request;
  const { taken } = ageLimits(retentionMs, now);
  const needed = new Set<string>();
  const need = (file: FileReference): void => {
    for (const key of keysOf(folder, file)) needed.add(key);
  };
  for (const add of snapshot.files.values()) need(add);
  for (const remove of snapshot.tombstones.values()) {
    // Without a time it was removed long ago.
    if ((remove.deletionTimestamp ?? 0) >= taken.getTime()) need(remove);
  }
  for (const action of pending) {
    if ('add' in action) need(action.add);
    if ('remove' in action) need(action.remove);
  }
  return needed;
}

type FileReference = Pick<AddAction | RemoveAction, 'path'> & {
  readonly deletionVector?: DeletionVectorDescriptor | null;
};

function keysOf(folder: string, file: FileReference): string[] {
  const keys = [dataFileKey(folder, file)];
  if (file.deletionVector === null || file.deletionVector === undefined) return keys;
  const location = locateVector(file.deletionVector, keys[0] ?? folder);
  return location.kind === 'relative' ? [...keys, `${folder}/${location.path}`] : keys;
}

async function expiredLog(store: ObjectStore, { folder, snapshot, now }: VacuumDelta): Promise<readonly string[]> {
  const { configuration } = snapshot.metadata;
  if (!booleanProperty(configuration, 'delta.enableExpiredLogCleanup', true)) return [];
  return expiredLogKeys(await listLog(store, folder, null), now, logRetentionMs(configuration));
}
