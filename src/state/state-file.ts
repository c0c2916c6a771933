import { readFile, realpath, rm } from 'node:fs/promises';
import { SluiceError } from '../error/sluice-error.js';
import { holderOf, type LockDeps } from './lock.js';
import { tryLock } from './lock-file.js';
import { ownerTag } from './owner-tag.js';
import { isFileError, replaceFile } from './replace-file.js';
import type { SourceState, StateDocument } from './state.js';
import { checkState, STATE_FORMAT_VERSION } from './state-check.js';

/** Comparing and replacing takes a few milliseconds; whoever holds the guard this long hangs. */
const GUARD_WAIT_MS = 5_000;
const GUARD_POLL_MS = 20;

export interface StateFile {
  readonly path: string;
  /**
   * @returns null when there is no file yet
   * @throws SluiceError STATE_UNREADABLE, STATE_NEWER
   */
  read(): Promise<StateDocument | null>;
  /**
   * Compare and swap: replaces the document if it still is the expected one, durably. The version before is kept as
   * `<path>.backup`. A file that cannot be read is never overwritten.
   * @param expected lineage and serial as read; null when there was no file
   * @returns the document as written, its serial one above the expected (1 for the first)
   * @throws SluiceError STATE_CONFLICT when another writer came first, STATE_UNREADABLE, STATE_NEWER
   */
  write(next: StateDocument, expected: Pick<StateDocument, 'lineage' | 'serial'> | null): Promise<StateDocument>;
}

/**
 * The state in a JSON file, mode 0600. Callers hold the state lock for as long as they act on what they read; the
 * comparison in write holds by itself also against a writer without that lock.
 */
export function openStateFile(path: string, deps: LockDeps): StateFile {
  return {
    path,
    async read() {
      return (await load(path))?.state ?? null;
    },
    async write(next, expected) {
      const target = await resolved(path);
      return await guarded(target, deps, async () => {
        const current = await load(target);
        refuseConflict(target, current?.state ?? null, next, expected);
        const written = { ...next, serial: (expected?.serial ?? 0) + 1 };
        if (current !== null) await replaceFile(`${target}.backup`, current.text, ownerTag(holderOf(deps)));
        await replaceFile(target, stateText(written), ownerTag(holderOf(deps)));
        return written;
      });
    },
  };
}

/** The document as it is stored: sources and tables in name order, so that two versions compare well. */
export function stateText(state: StateDocument): string {
  const sources = sortedByKey(state.sources, (source: SourceState) => ({
    ...source,
    tables: sortedByKey(source.tables, (table) => table),
  }));
  return `${JSON.stringify({ ...state, sources }, null, 2)}\n`;
}

async function load(path: string): Promise<{ state: StateDocument; text: string } | null> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (isFileError(cause, 'ENOENT')) return null;
    throw unreadable(path, 'it cannot be opened', cause);
  }
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch (cause) {
    throw unreadable(path, 'it is not JSON', cause);
  }
  const check = checkState(raw);
  if (check.ok) return { state: check.state, text };
  if ('newerVersion' in check) {
    throw new SluiceError({
      code: 'STATE_NEWER',
      message: `the state ${path} has format ${check.newerVersion}; this version of Sluice knows up to ${STATE_FORMAT_VERSION}`,
      hint: 'install the Sluice that wrote it, or a newer one; the file was left as it is',
    });
  }
  const [first, ...more] = check.problems;
  throw unreadable(path, `${first}${more.length === 0 ? '' : ` (and ${more.length} more)`}`, undefined);
}

function unreadable(path: string, why: string, cause: unknown): SluiceError {
  return new SluiceError({
    code: 'STATE_UNREADABLE',
    message: `the state ${path} cannot be used: ${why}`,
    cause,
    hint: `the file was left as it is; the version before is ${path}.backup. To go back to it: cp ${path}.backup ${path}, then run sluice plan`,
  });
}

function refuseConflict(
  path: string,
  current: StateDocument | null,
  next: StateDocument,
  expected: Pick<StateDocument, 'lineage' | 'serial'> | null,
): void {
  const same =
    expected === null
      ? current === null
      : current !== null &&
        current.lineage === expected.lineage &&
        current.serial === expected.serial &&
        next.lineage === expected.lineage;
  if (same) return;
  throw new SluiceError({
    code: 'STATE_CONFLICT',
    message: `the state ${path} changed since it was read: expected ${versionText(expected)}, found ${versionText(current)}`,
    hint: 'nothing was written; plan again on the newer state',
  });
}

function versionText(version: Pick<StateDocument, 'lineage' | 'serial'> | null): string {
  return version === null ? 'no file' : `serial ${version.serial} of lineage ${version.lineage}`;
}

/** A link to the file is followed, so that the file behind it is replaced and not the link. */
async function resolved(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (isFileError(error, 'ENOENT')) return path;
    throw unreadable(path, 'it cannot be opened', error);
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

function sortedByKey<Value, Result>(
  record: Readonly<Record<string, Value>>,
  map: (value: Value) => Result,
): Record<string, Result> {
  return Object.fromEntries(
    Object.entries(record)
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([key, value]) => [key, map(value)]),
  );
}
