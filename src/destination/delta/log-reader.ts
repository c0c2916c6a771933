import { SluiceError } from '../../error/sluice-error.js';
import type { ObjectStore } from '../lake/object-store.js';
import { type CheckpointTools, readCheckpoint } from './checkpoint-reader.js';
import { type ListedFile, listLog, newestCheckpoint } from './log-listing.js';
import { commitName, LAST_CHECKPOINT_NAME, logPrefix, versionName } from './log-path.js';
import { parseAction } from './parse-action.js';
import { applyCommits, type Commit, type DeltaSnapshot, Replay } from './snapshot.js';

/** Commits that are fetched at once: small objects, where the way there takes longer than the bytes. */
const PARALLEL_GETS = 8;

/** How often a table is opened anew when somebody cleans up its log at that very moment. */
const OPEN_TRIES = 3;

/**
 * Opens a table at its newest version: the newest complete checkpoint, then the commits behind it. Holds the table's live
 * files and one chunk of the checkpoint in memory.
 * @param table the key of its folder, without a slash at the end
 * @returns null where there is no table
 * @throws SluiceError DELTA_LOG_CORRUPT for a gap or a damaged file, with its place; STORE_UNREACHABLE
 */
export async function openTable(
  store: ObjectStore,
  table: string,
  tools: CheckpointTools,
  signal?: AbortSignal,
): Promise<DeltaSnapshot | null> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await openOnce(store, table, tools, signal);
    } catch (error) {
      // Between the listing and the reading another writer may have deleted what a newer checkpoint covers.
      const gone = error instanceof SluiceError && error.code === 'STORE_OBJECT_MISSING';
      if (!gone) throw error;
      if (attempt === OPEN_TRIES) {
        throw new SluiceError({
          code: 'DELTA_LOG_CORRUPT',
          message: `the log of ${table}: ${error.message}`,
          cause: error,
        });
      }
    }
  }
}

/**
 * The table as it is now: reads the commits that came since the snapshot. One LIST where nothing came.
 * @returns the very same snapshot where nothing came
 * @throws SluiceError as {@link openTable}; DELTA_LOG_CORRUPT also where the table is gone
 */
export async function refreshTable(
  store: ObjectStore,
  table: string,
  snapshot: DeltaSnapshot,
  tools: CheckpointTools,
  signal?: AbortSignal,
): Promise<DeltaSnapshot> {
  const commits = await readCommitsBehind(store, table, snapshot.version, signal);
  if (commits !== null) return applyCommits(snapshot, commits, table);
  // What lies between has been cleaned up: the snapshot is older than the table's log.
  const opened = await openTable(store, table, tools, signal);
  if (opened === null) throw corrupt(table, `it is gone; version ${snapshot.version} was there before`);
  return opened;
}

/**
 * The commits behind a version, in order.
 * @param version -1 for all
 * @returns null where one in between is not there: the log is being cleaned up, or has a gap; opening the table tells
 * @throws SluiceError DELTA_LOG_CORRUPT for a damaged commit
 */
export async function readCommitsBehind(
  store: ObjectStore,
  table: string,
  version: number,
  signal?: AbortSignal,
): Promise<readonly Commit[] | null> {
  const listed = await listLog(store, table, version < 0 ? null : commitName(version), signal);
  const versions = commitVersions(listed, version);
  if (versions.length === 0) return listed.some(({ file }) => 'version' in file && file.version > version) ? null : [];
  const last = version + versions.length;
  if (versions[0] !== version + 1 || versions.at(-1) !== last) return null;
  const commits: Commit[] = [];
  for await (const commit of fetchCommits(store, table, version + 1, last, signal)) commits.push(commit);
  return commits;
}

/** One commit of the log. @returns null where there is none of that version */
export async function readCommit(
  store: ObjectStore,
  table: string,
  version: number,
  signal?: AbortSignal,
): Promise<Commit | null> {
  const key = logPrefix(table) + commitName(version);
  const stored = await store.get(key, signal);
  return stored === null ? null : { version, actions: parseCommit(stored.body, key) };
}

async function openOnce(
  store: ObjectStore,
  table: string,
  tools: CheckpointTools,
  signal: AbortSignal | undefined,
): Promise<DeltaSnapshot | null> {
  const hint = await lastCheckpointVersion(store, table, signal);
  let listed = hint === null ? null : await listLog(store, table, versionName(hint), signal);
  // The hint may be behind or, after a restore, say what never was: it is only a place to begin.
  if (listed === null || newestCheckpoint(listed) === null) listed = await listLog(store, table, null, signal);
  const checkpoint = newestCheckpoint(listed);
  const from = checkpoint?.version ?? -1;
  const versions = commitVersions(listed, from);
  if (checkpoint === null && versions.length === 0) return null;
  if (versions.length > 0 && versions[0] !== from + 1) {
    const before = checkpoint === null ? 'there is no checkpoint' : `the newest checkpoint is of version ${from}`;
    throw corrupt(table, `version ${from + 1} is missing: commits begin with ${versions[0]} and ${before}`);
  }
  const last = versions.length === 0 ? from : assertContiguous(table, versions);
  const replay = Replay.empty(table, from);
  if (checkpoint !== null) {
    await readCheckpoint(store, table, checkpoint, tools, (action) => replay.restore(action), signal);
  }
  for await (const commit of fetchCommits(store, table, from + 1, last, signal)) replay.commit(commit);
  return replay.snapshot();
}

/** What `_last_checkpoint` says, null where it says nothing that can be used. */
async function lastCheckpointVersion(
  store: ObjectStore,
  table: string,
  signal: AbortSignal | undefined,
): Promise<number | null> {
  const stored = await store.get(logPrefix(table) + LAST_CHECKPOINT_NAME, signal);
  if (stored === null) return null;
  try {
    const json: unknown = JSON.parse(Buffer.from(stored.body).toString('utf8'));
    const version = typeof json === 'object' && json !== null && 'version' in json ? json.version : null;
    return typeof version === 'number' && Number.isSafeInteger(version) && version >= 0 ? version : null;
  } catch {
    return null; // a hint and no more: the listing tells the truth
  }
}

function commitVersions(listed: readonly ListedFile[], behind: number): readonly number[] {
  return listed.flatMap(({ file }) => (file.kind === 'commit' && file.version > behind ? [file.version] : []));
}

/** @returns the last of the versions */
function assertContiguous(table: string, versions: readonly number[]): number {
  let previous = (versions[0] ?? 0) - 1;
  for (const version of versions) {
    if (version !== previous + 1) {
      throw corrupt(table, `version ${previous + 1} is missing: version ${version} follows version ${previous}`);
    }
    previous = version;
  }
  return previous;
}

/** Commits in their order; a few are on their way while one is taken. */
async function* fetchCommits(
  store: ObjectStore,
  table: string,
  first: number,
  last: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Commit> {
  for (let from = first; from <= last; from += PARALLEL_GETS) {
    const versions = Array.from({ length: Math.min(PARALLEL_GETS, last - from + 1) }, (_, i) => from + i);
    const commits = await Promise.all(versions.map((version) => readCommit(store, table, version, signal)));
    for (const [i, commit] of commits.entries()) {
      if (commit === null) {
        const key = logPrefix(table) + commitName(from + i);
        throw new SluiceError({ code: 'STORE_OBJECT_MISSING', message: `${store.place}/${key} is not there` });
      }
      yield commit;
    }
  }
}

function parseCommit(body: Uint8Array, key: string): Commit['actions'] {
  if (body.length === 0) {
    throw new SluiceError({ code: 'DELTA_LOG_CORRUPT', message: `${key} is empty; the file may have been cut off` });
  }
  const lines = Buffer.from(body).toString('utf8').split('\n');
  return lines.flatMap((line, i) => {
    if (line.trim() === '') return [];
    const action = parseAction(line, `${key}, line ${i + 1}`);
    return action === null ? [] : [action];
  });
}

function corrupt(table: string, what: string): SluiceError {
  return new SluiceError({
    code: 'DELTA_LOG_CORRUPT',
    message: `the log of the Delta table ${table}: ${what}`,
    hint: "restore the missing file from a backup or the bucket's versions",
  });
}
