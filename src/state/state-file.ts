import { readFile, realpath, rm } from 'node:fs/promises';
import { SluiceError } from '../error/sluice-error.js';
import { holderOf, type LockDeps } from './lock.js';
import { tryLock } from './lock-file.js';
import { ownerTag } from './owner-tag.js';
import { isFileError, replaceFile } from './replace-file.js';
import { openStateStore, type StateMedium, type StateStore, type StoredText } from './state-store.js';
import { CURRENT_FORMAT, type StateFormat, unreadable } from './stored-state.js';

/** Comparing and replacing takes a few milliseconds; whoever holds the guard this long hangs. */
const GUARD_WAIT_MS = 5_000;
const GUARD_POLL_MS = 20;

/** The state in a JSON file, mode 0600; what a write replaces is kept as `<path>.backup`. */
export function openStateFile(path: string, deps: LockDeps, format: StateFormat = CURRENT_FORMAT): StateStore {
  return openStateStore(fileMedium(path, deps), deps.newToken, format);
}

function fileMedium(path: string, deps: LockDeps): StateMedium {
  const from = {
    place: path,
    mend: `the version before is ${path}.backup. To go back to it: cp ${path}.backup ${path}, then run sluice plan`,
  };

  async function load(target: string): Promise<StoredText | null> {
    try {
      const text = await readFile(target, 'utf8');
      // A person may have edited the file, so that only all of it tells whether it is the same.
      return { text, version: text };
    } catch (cause) {
      if (isFileError(cause, 'ENOENT')) return null;
      throw unreadable(from, 'it cannot be opened', cause);
    }
  }

  /** A link to the file is followed, so that the file behind it is replaced and not the link. */
  async function resolved(): Promise<string> {
    try {
      return await realpath(path);
    } catch (error) {
      if (isFileError(error, 'ENOENT')) return path;
      throw unreadable(from, 'it cannot be opened', error);
    }
  }

  return {
    ...from,
    remote: false,
    load: () => load(path),
    async swap(text, version, kept) {
      const target = await resolved();
      return await guarded(target, deps, async () => {
        if (((await load(target))?.version ?? null) !== version) return 'refused';
        for (const copy of kept) {
          const copyPath = `${target}.${copy.name}`;
          if (copy.once && (await load(copyPath)) !== null) continue;
          await replaceFile(copyPath, copy.text, tag());
        }
        await replaceFile(target, text, tag());
        return 'written';
      });
    },
  };

  function tag(): string {
    return ownerTag(holderOf(deps));
  }
}

/** Makes reading, comparing and replacing one step for all processes that write through here. */
async function guarded<Result>(path: string, deps: LockDeps, fn: () => Promise<Result>): Promise<Result> {
  const guard = `${path}.guard`;
  const deadline = deps.clock.monotonicMs() + GUARD_WAIT_MS;
  const me = holderOf(deps);
  for (;;) {
    const inTheWay = await tryLock(guard, me, deps.processes);
    if (inTheWay === null) break;
    if (deps.clock.monotonicMs() >= deadline) {
      throw new SluiceError({
        code: 'STATE_LOCKED',
        message: `another process is writing the state ${path} and does not end`,
        hint: `if nothing runs there any more, remove ${guard}`,
      });
    }
    await deps.clock.sleep(GUARD_POLL_MS, NEVER_ABORTED);
  }
  try {
    return await fn();
  } finally {
    await rm(guard, { force: true });
  }
}

/** Recording what was done must not be cut short by a stop; the wait has its own deadline. */
const NEVER_ABORTED = new AbortController().signal;
