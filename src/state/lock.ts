import { rm } from 'node:fs/promises';
import { SluiceError } from '../error/sluice-error.js';
import type { Clock } from '../executor/engine.js';
import { removeLeftovers } from './leftovers.js';
import { isDead, type LockContent, type LockHolder, readLock, removeLock, tryLock } from './lock-file.js';
import { isWanted, sayWanted, wantedPath } from './lock-wanted.js';
import type { ProcessTable } from './process-table.js';

/** How often a waiting process looks whether the lock is free; a look is one failed link and one small read. */
const POLL_MS = 100;

/** Who we are and where time comes from; taken from the system at the entry point only. */
export interface LockDeps {
  readonly host: string;
  readonly pid: number;
  /** What the process does, for the one that is refused, e.g. `sluice apply`. No secrets. */
  readonly command: string;
  readonly clock: Clock;
  readonly processes: ProcessTable;
  /** A fresh random id of letters, digits and dashes (crypto.randomUUID). */
  readonly newToken: () => string;
}

export interface HeldLock {
  readonly holder: LockHolder;
  /** Aborts when the lock is ours no more, with a SluiceError STATE_LOCKED that says who has it; never for a file. */
  readonly lost: AbortSignal;
  /** Gives it back; only if it still is ours. Doing it twice is fine. */
  release(): Promise<void>;
}

export interface LockStatus {
  readonly holder: LockHolder;
  readonly ageMs: number;
  /** The holder is certain to be gone, so the next one who asks gets the lock. */
  readonly dead: boolean;
}

export interface StateLock {
  /** The lock file, object or table. */
  readonly path: string;
  /** How often to look whether it is free, for those who wait longer than acquire does. */
  readonly pollMs: number;
  /**
   * Takes the lock, at once where it is free or its holder is dead, else waits up to `waitMs`; a holder that can end
   * early learns of it by {@link wanted}.
   * @throws SluiceError STATE_LOCKED naming holder and age; the signal's reason when it aborts
   */
  acquire(waitMs: number, signal: AbortSignal): Promise<HeldLock>;
  /** Whether some living process waits for it. */
  wanted(): Promise<boolean>;
  /** Who holds it; null when it is free. A file that cannot be read as a lock is reported as held by "unknown". */
  status(): Promise<LockStatus | null>;
  /**
   * Frees the lock of a dead holder; with `force` that of any.
   * @returns whose lock it was, null when it was free
   * @throws SluiceError STATE_LOCKED when the holder may live and `force` is false
   */
  unlock(force: boolean): Promise<LockHolder | null>;
}

/** The lock of a state file: `<state>.lock` beside it. Nothing is touched until it is used. */
export function openStateLock(statePath: string, deps: LockDeps): StateLock {
  const path = `${statePath}.lock`;

  async function status(): Promise<LockStatus | null> {
    return statusOf(await readLock(path), deps);
  }

  /** Whoever has just taken the lock sees to what those who died around it have left. */
  async function taken(me: LockHolder): Promise<HeldLock> {
    const release = (): Promise<void> => releaseOwn(path, me);
    try {
      await removeLeftovers(statePath, holderOf(deps), deps.processes);
      await isWanted(wantedPath(path), deps); // removes the note of a waiter that is gone
      return { holder: me, lost: NEVER_LOST, release };
    } catch (error) {
      await release();
      throw error;
    }
  }

  return {
    path,
    pollMs: POLL_MS,
    status,

    wanted: () => isWanted(wantedPath(path), deps),

    async acquire(waitMs, signal) {
      const deadline = deps.clock.monotonicMs() + waitMs;
      let waiting: LockHolder | null = null;
      try {
        for (;;) {
          signal.throwIfAborted();
          const me = holderOf(deps);
          const inTheWay = await tryLock(path, me, deps.processes);
          if (inTheWay === null) return await taken(me);
          const remaining = deadline - deps.clock.monotonicMs();
          if (remaining <= 0) throw lockedError(path, statusOf(inTheWay, deps));
          waiting ??= me;
          await sayWanted(wantedPath(path), waiting);
          await deps.clock.sleep(Math.min(POLL_MS, remaining), signal);
        }
      } finally {
        if (waiting !== null) await releaseOwn(wantedPath(path), waiting);
      }
    },

    async unlock(force) {
      const found = await status();
      if (found === null) return null;
      if (!force && !found.dead) throw lockedError(path, found);
      if (found.holder.token === UNKNOWN_HOLDER.token) {
        await rm(path, { force: true });
      } else if (!(await removeLock(path, found.holder, holderOf(deps), deps.processes))) {
        throw lockedError(path, found);
      }
      return found.holder;
    },
  };
}

/** Runs `fn` under the lock and gives it back however `fn` ends. @throws as acquire, and what `fn` throws */
export async function withLock<Result>(
  lock: StateLock,
  wait: { readonly waitMs: number; readonly signal: AbortSignal },
  fn: (held: HeldLock) => Promise<Result>,
): Promise<Result> {
  const held = await lock.acquire(wait.waitMs, wait.signal);
  try {
    return await fn(held);
  } finally {
    await held.release();
  }
}

/** The calling process as a holder, with a token of its own and the time. */
export function holderOf(deps: LockDeps): LockHolder {
  return {
    host: deps.host,
    pid: deps.pid,
    started: deps.processes.startedAt(deps.pid),
    command: deps.command,
    acquired_at: deps.clock.now().toISOString(),
    token: deps.newToken(),
  };
}

/** A file lock of a living process is removed by nobody else but `state unlock --force`. */
const NEVER_LOST = new AbortController().signal;

/** Stands for whoever wrote a lock file that cannot be read. The dot keeps its token apart from any real one. */
export const UNKNOWN_HOLDER: LockHolder = {
  host: 'unknown',
  pid: 0,
  started: null,
  command: 'unknown',
  acquired_at: '',
  token: '.',
};

/** A living process's own lock is removed by nobody else, so reading and removing need no further care here. */
async function releaseOwn(path: string, me: LockHolder): Promise<void> {
  const content = await readLock(path);
  if (content.kind === 'held' && content.holder.token === me.token) await rm(path, { force: true });
}

function statusOf(content: LockContent, deps: LockDeps): LockStatus | null {
  switch (content.kind) {
    case 'free':
      return null;
    case 'unreadable':
      return { holder: UNKNOWN_HOLDER, ageMs: 0, dead: false };
    case 'held': {
      const since = Date.parse(content.holder.acquired_at);
      const ageMs = Number.isNaN(since) ? 0 : Math.max(0, deps.clock.now().getTime() - since);
      return { holder: content.holder, ageMs, dead: isDead(content.holder, deps.host, deps.processes) };
    }
  }
}

export function lockedError(path: string, status: LockStatus | null): SluiceError {
  const unknown = status === null || status.holder.token === UNKNOWN_HOLDER.token;
  const who = unknown
    ? `${path}, which cannot be read as a lock`
    : `"${status.holder.command}" (pid ${status.holder.pid} on ${status.holder.host}) for ${Math.round(status.ageMs / 1000)} s`;
  return new SluiceError({
    code: 'STATE_LOCKED',
    message: `the state is locked by ${who}`,
    hint: 'wait for it to end; if it is certain that nothing runs there any more: sluice state unlock --force',
  });
}

/** What a holder ends with from whom the lock was taken away. @param why a sentence without its full stop */
export function lostError(path: string, why: string): SluiceError {
  return new SluiceError({
    code: 'STATE_LOCKED',
    message: `${path} was lost: ${why}`,
    hint: 'what was done so far is recorded; run it again',
  });
}
