import type { StoreCheckName } from '../../destination/lake/store/check-store.js';
import type { Finding } from '../finding.js';
import type { LakeLook } from '../lake-look.js';

const GIB = 1024 ** 3;

/** What depends on each of the things that were tried. */
const WHY: Readonly<Record<StoreCheckName, string>> = {
  list: 'the logs of tables are found by listing',
  put: 'nothing can be loaded',
  get: 'what was written cannot be read again',
  delete: 'what is no longer needed stays for good',
  conditional_writes: 'two writers could overwrite each other without a word, so nothing is written there',
  clock: 'ages of files are judged by both clocks, and requests signed far off are refused',
};

/** Under which findings about a destination stand: its place in the file. */
export function destinationAddress(destination: string): string {
  return `destinations.${destination}`;
}

/** Whether everything can be done at the lake's place that a sync does. */
export function checkLakeStore(look: LakeLook): Finding[] {
  const address = destinationAddress(look.destination);
  const base = { address, fixSql: null, needsRestart: false };
  if (look.trouble !== null) {
    const { code, message, hint } = look.trouble;
    return [{ ...base, level: 'error', code, message, why: hint ?? 'the lake cannot be looked at' }];
  }
  return (look.store ?? []).flatMap(({ check, level, code, message, hint }): Finding[] => {
    if (level === 'ok' || level === 'skipped') return [];
    const policy = code === 'STORE_FORBIDDEN' && look.type === 's3' ? 'the whole policy: sluice doctor --policy' : null;
    const why = [WHY[check], hint, policy].filter((part) => part !== null).join('; ');
    return [{ ...base, level, code: code ?? 'STORE_FAILED', message, why }];
  });
}

/** Whether something was found that keeps a sync from working there. */
export function lakeFails({ store, trouble, work }: LakeLook): boolean {
  return trouble !== null || work.unwritable !== null || (store ?? []).some(({ level }) => level === 'error');
}

/**
 * Whether a load finds room: it needs about the table's size in the work folder, and the copies of the lake's files come
 * on top.
 * @param largestTableBytes of those that go to this lake; 0 where none is known
 */
export function checkWorkFolder(look: LakeLook, largestTableBytes: number): Finding[] {
  const { path, unwritable, freeBytes, cacheBytes } = look.work;
  const base = { address: destinationAddress(look.destination), fixSql: null, needsRestart: false };
  if (unwritable !== null) {
    return [
      {
        ...base,
        level: 'error',
        code: 'WORK_FOLDER_UNWRITABLE',
        message: `the work folder ${path} cannot be written: ${unwritable}`,
        why: 'every load and every merge is prepared there; give the account that runs sluice a folder of its own under work_path',
      },
    ];
  }
  const wanted = Math.max(GIB, largestTableBytes + cacheBytes);
  if (freeBytes === null || freeBytes >= wanted) return [];
  return [
    {
      ...base,
      level: 'warning',
      code: 'WORK_SPACE',
      message: `${gib(freeBytes)} are free for the work folder ${path}, and ${gib(wanted)} may be needed`,
      why: 'a load needs about the size of its table there, and copies of files take up to cache_mb; set work_path to a larger disk, or lower cache_mb',
    },
  ];
}

function gib(bytes: number): string {
  return `${(bytes / GIB).toFixed(1)} GiB`;
}
