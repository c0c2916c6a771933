import { readdir, realpath, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isDead, type LockHolder, readLock, removeLock } from './lock-file.js';
import { isOrphan } from './owner-tag.js';
import type { ProcessTable } from './process-table.js';
import { isFileError } from './replace-file.js';

/** Locks that stand beside a state for moments only: the guard of its replacement, and those of removing a dead lock. */
const SHORT_LOCK = /^(?:guard|(?:guard|lock)(?:\.remove-[A-Za-z0-9-]+)+)$/;

/**
 * Removes what killed processes left beside a state file: temporary files, and locks that are held for moments. Only what
 * belongs to a process of this host that is dead for certain; what cannot be removed disturbs nobody and stays.
 */
export async function removeLeftovers(statePath: string, me: LockHolder, processes: ProcessTable): Promise<void> {
  // What replaces the file is written beside the file itself, where the path is a link to it.
  const target = await quietly(realpath(statePath));
  for (const path of new Set([statePath, target ?? statePath])) await sweep(path, me, processes);
}

async function sweep(statePath: string, me: LockHolder, processes: ProcessTable): Promise<void> {
  const folder = dirname(statePath);
  const prefix = `${basename(statePath)}.`;
  for (const name of (await quietly(readdir(folder))) ?? []) {
    if (!name.startsWith(prefix)) continue;
    const path = join(folder, name);
    if (isOrphan(name.slice(prefix.length), me.host, processes)) await quietly(rm(path, { force: true }));
    else if (SHORT_LOCK.test(name.slice(prefix.length))) await quietly(removeDeadLock(path, me, processes));
  }
}

async function removeDeadLock(path: string, me: LockHolder, processes: ProcessTable): Promise<void> {
  const content = await readLock(path);
  if (content.kind === 'held' && isDead(content.holder, me.host, processes)) {
    await removeLock(path, content.holder, me, processes);
  }
}

/** Gone already, or not ours to remove or to see: null. */
async function quietly<Result>(work: Promise<Result>): Promise<Result | null> {
  try {
    return await work;
  } catch (error) {
    if (isFileError(error, 'ENOENT', 'EACCES', 'EPERM', 'EROFS')) return null;
    throw error;
  }
}
