import { rm, stat } from 'node:fs/promises';
import type { LockDeps } from './lock.js';
import { createWith, isDead, type LockHolder, readLock } from './lock-file.js';
import { isFileError } from './replace-file.js';

/**
 * A note beside a lock by which waiting processes ask its holder to end early, if it can. One note stands for all who
 * wait: each sees to it that there is one. It is a wish and no lock, so nothing depends on it but how long they wait.
 */

/** A waiter on another host cannot be asked whether it lives; none waits longer than this without an answer. */
const STALE_MS = 60_000;

export function wantedPath(lockPath: string): string {
  return `${lockPath}.wanted`;
}

/** Leaves the note unless there is one already. */
export async function sayWanted(path: string, me: LockHolder): Promise<void> {
  try {
    if ((await readLock(path)).kind === 'free') await createWith(path, me);
  } catch (error) {
    // A note that cannot be left only means that nobody ends early for it.
    if (!isFileError(error, 'EACCES', 'EPERM', 'EROFS', 'ENOSPC')) throw error;
  }
}

/** Whether a living process waits; the note of one that is gone is removed. */
export async function isWanted(path: string, deps: LockDeps): Promise<boolean> {
  const content = await readLock(path);
  if (content.kind === 'free') return false;
  const now = deps.clock.now().getTime();
  if (content.kind === 'unreadable') {
    // Where files have no links it may just be being written; else whoever wrote it was killed in the middle.
    const written = await stat(path).catch(() => null);
    if (written !== null && now - written.mtimeMs >= STALE_MS) await rm(path, { force: true });
    return false;
  }
  const ageMs = now - Date.parse(content.holder.acquired_at);
  if (!isDead(content.holder, deps.host, deps.processes) && ageMs < STALE_MS) return true;
  await rm(path, { force: true });
  return false;
}
