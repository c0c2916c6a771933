import { createHash } from 'node:crypto';
import type { LockHolder } from './lock-file.js';
import type { ProcessTable } from './process-table.js';

/**
 * The name of a temporary file tells whose it is, so that what a killed process left can be told from what a living one
 * is just writing; its content cannot, as that may not be written yet.
 */

type Owner = Pick<LockHolder, 'host' | 'pid' | 'started' | 'token'>;

const NOT_TOLD = '0';
const TAG = /(?:^|\.)(\d+)-([0-9a-f]{12})-([0-9a-f]{12}|0)-[A-Za-z0-9-]+\.tmp$/;

/** What stands between the name of a file and `.tmp`: unlike that of any other file ever written. */
export function ownerTag({ host, pid, started, token }: Owner): string {
  return `${pid}-${digest(host)}-${started === null ? NOT_TOLD : digest(started)}-${token}`;
}

/** Whether whoever made the temporary file of that name is dead for certain, as isDead says it of locks. */
export function isOrphan(name: string, host: string, processes: ProcessTable): boolean {
  const [, pidText, ownerHost, started] = TAG.exec(name) ?? [];
  if (pidText === undefined || ownerHost !== digest(host)) return false;
  const pid = Number(pidText);
  if (!processes.exists(pid)) return true;
  const now = processes.startedAt(pid);
  return started !== NOT_TOLD && now !== null && digest(now) !== started;
}

/** Names of hosts and start times may hold what a file name may not. */
function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 12);
}
