import { rm, writeFile } from 'node:fs/promises';
import type { LockDeps } from './lock.js';
import { isDead, type LockHolder, readLock } from './lock-file.js';
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
    await writeFile(path, JSON.stringify(me), { flag: 'wx', mode: 0o600 });
  } catch (error) {
    // A note that cannot be left only means that nobody ends early for it.
    if (!isFileError(error, 'EEXIST', 'EACCES', 'EROFS', 'ENOSPC')) throw error;
  }
}

/** Whether a living process waits; the note of one that is gone is removed. */
export async function isWanted(path: string, deps: LockDeps): Promise<boolean> {
  const content = await readLock(path);
  // Unreadable: it is just being written.
  if (content.kind !== 'held') return false;
  const ageMs = deps.clock.now().getTime() - Date.parse(content.holder.acquired_at);
  if (!isDead(content.holder, deps.host, deps.processes) && ageMs < STALE_MS) return true;
  await rm(path, { force: true });
  return false;
}
