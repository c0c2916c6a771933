import { setMaxListeners } from 'node:events';
import { rm } from 'node:fs/promises';
import { SluiceError } from '../../../error/sluice-error.js';
import { holderOf } from '../../../state/lock.js';
import { type LockContent, readLock, tryLock } from '../../../state/lock-file.js';
import type { StoreDeps } from './store-deps.js';

/** A holder reads and renames one small file, so the lock is free again soon. */
const POLL_MS = 5;
const LONGEST_POLL_MS = 100;
/** Far longer than any holder needs; beyond it the holder hangs or lived on another host and died. */
const WAIT_MS = 30_000;

/**
 * Runs `work` while the lock file is ours. The file names host and process, and that of a process which died on this host
 * is taken over at once. One that died on another host (a shared folder) cannot be judged from here.
 * @throws SluiceError STORE_CONFLICT naming the holder after 30 s; the signal's reason; what `work` throws
 */
export async function underFileLock<Result>(
  path: string,
  deps: StoreDeps,
  signal: AbortSignal,
  work: () => Promise<Result>,
): Promise<Result> {
  // Every swap that waits listens to it, and more than ten of them are no leak.
  setMaxListeners(0, signal);
  const deadline = deps.clock.monotonicMs() + WAIT_MS;
  const me = holderOf(deps);
  for (let pauseMs = POLL_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_POLL_MS)) {
    signal.throwIfAborted();
    const inTheWay = await tryLock(path, me, deps.processes);
    if (inTheWay === null) break;
    if (deps.clock.monotonicMs() >= deadline) throw heldError(path, inTheWay);
    await deps.clock.sleep(pauseMs * (0.5 + deps.random()), signal);
  }
  try {
    return await work();
  } finally {
    const content = await readLock(path);
    if (content.kind === 'held' && content.holder.token === me.token) await rm(path, { force: true });
  }
}

function heldError(path: string, content: LockContent): SluiceError {
  const who =
    content.kind === 'held'
      ? `"${content.holder.command}" (pid ${content.holder.pid} on ${content.holder.host}) since ${content.holder.acquired_at}`
      : 'an unknown process';
  return new SluiceError({
    code: 'STORE_CONFLICT',
    message: `the lock ${path} is held by ${who}`,
    hint: `if it is certain that the process does not run any more: rm ${path}`,
  });
}
