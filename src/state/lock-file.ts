import { link, mkdir, open, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { failpoint } from '../thread/failpoint.js';
import { ownerTag } from './owner-tag.js';
import type { ProcessTable } from './process-table.js';
import { isFileError, writeSynced } from './replace-file.js';

/** Who holds a lock, as it stands in the lock file. */
export interface LockHolder {
  readonly host: string;
  readonly pid: number;
  /** Tells the process from a later one with the same pid; null where the system does not say. */
  readonly started: string | null;
  readonly command: string;
  /** ISO. */
  readonly acquired_at: string;
  /** Unlike that of any other lock ever taken. */
  readonly token: string;
}

/** What stands at a lock's path. `unreadable`: a file that is no lock of ours, so its holder cannot be told. */
export type LockContent =
  | { readonly kind: 'free' }
  | { readonly kind: 'held'; readonly holder: LockHolder }
  | { readonly kind: 'unreadable' };

/**
 * Creates the lock file if there is none, or only that of a dead process.
 * @returns null when it is ours now, else what is in the way
 */
export async function tryLock(path: string, me: LockHolder, processes: ProcessTable): Promise<LockContent | null> {
  await mkdir(dirname(path), { recursive: true });
  for (;;) {
    const content = await readLock(path);
    if (content.kind === 'free') {
      if (await createWith(path, me)) return null;
      continue; // somebody else came first
    }
    if (content.kind === 'unreadable' || !isDead(content.holder, me.host, processes)) return content;
    if (!(await removeLock(path, content.holder, me, processes))) return content;
  }
}

/**
 * Removes the lock file if it still is the one of `holder`. Reading and removing are two steps, so they are done under a
 * second lock whose name carries the holder's token: only one process at a time may remove the lock with that token, and
 * a token never comes back. That second lock follows the same rules, so a process that died in here blocks nobody.
 * @returns false when another living process is just doing it
 */
export async function removeLock(
  path: string,
  holder: LockHolder,
  me: LockHolder,
  processes: ProcessTable,
): Promise<boolean> {
  const removal = `${path}.remove-${holder.token}`;
  if ((await tryLock(removal, me, processes)) !== null) return false;
  try {
    const content = await readLock(path);
    if (content.kind === 'held' && content.holder.token === holder.token) await rm(path, { force: true });
    await failpoint('in_lock_removal');
    return true;
  } finally {
    await rm(removal, { force: true });
  }
}

export async function readLock(path: string): Promise<LockContent> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (isFileError(error, 'ENOENT')) return { kind: 'free' };
    throw error;
  }
  const holder = parseHolder(text);
  return holder === null ? { kind: 'unreadable' } : { kind: 'held', holder };
}

/** Dead for certain: on this host, and its pid is gone or belongs to a later process. Others' hosts cannot be judged. */
export function isDead(holder: LockHolder, host: string, processes: ProcessTable): boolean {
  if (holder.host !== host) return false;
  if (!processes.exists(holder.pid)) return true;
  const started = processes.startedAt(holder.pid);
  return holder.started !== null && started !== null && holder.started !== started;
}

/**
 * Creates a lock file, or a note that looks like one; it appears with its content or not at all, so nobody reads half.
 * @returns false when there is one already
 */
export async function createWith(path: string, me: LockHolder): Promise<boolean> {
  const temporary = `${path}.${ownerTag(me)}.tmp`;
  await writeSynced(temporary, JSON.stringify(me));
  try {
    await failpoint('in_lock_write');
    await link(temporary, path);
    return true;
  } catch (error) {
    if (isFileError(error, 'EEXIST')) return false;
    if (isFileError(error, 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS')) return await createPlainly(path, me);
    throw error;
  } finally {
    await rm(temporary, { force: true });
  }
}

/** For file systems without hard links. A reader may catch the file empty; it then takes it for held. */
async function createPlainly(path: string, me: LockHolder): Promise<boolean> {
  try {
    const file = await open(path, 'wx', 0o600);
    try {
      await file.writeFile(JSON.stringify(me));
    } finally {
      await file.close();
    }
    return true;
  } catch (error) {
    if (isFileError(error, 'EEXIST')) return false;
    throw error;
  }
}

/** @returns null where the text is no lock of ours */
export function parseHolder(text: string): LockHolder | null {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof raw !== 'object' || raw === null) return null;
  if (
    !('host' in raw && 'pid' in raw && 'started' in raw && 'command' in raw && 'acquired_at' in raw && 'token' in raw)
  ) {
    return null;
  }
  const { host, pid, started, command, acquired_at, token } = raw;
  if (typeof host !== 'string' || typeof pid !== 'number' || typeof command !== 'string') return null;
  if (typeof acquired_at !== 'string' || typeof token !== 'string' || !/^[A-Za-z0-9-]+$/.test(token)) return null;
  if (started !== null && typeof started !== 'string') return null;
  return { host, pid, started, command, acquired_at, token };
}
