import { SluiceError } from '../../error/sluice-error.js';
import type { ObjectStore } from '../lake/object-store.js';
import type { Action, CommitInfoAction } from './action.js';
import { commitBody } from './action-json.js';
import { type ForeignCommit, filesUntouched, foreignKind } from './foreign-commit.js';
import { commitName, logPrefix } from './log-path.js';
import { readCommitsBehind } from './log-reader.js';
import { applyCommits, type Commit, commitInfo, type DeltaSnapshot, Replay } from './snapshot.js';

/** A commit as it was prepared: all of it is kept in the ledger, so that another process can finish it. */
export interface PreparedCommit {
  /** Without txn and commitInfo, which are made from what follows. */
  readonly actions: readonly Action[];
  readonly appId: string;
  /** Null: maintenance, which counts as nobody's transaction; it is known by `commitId` alone. */
  readonly txnVersion: number | null;
  /** Names this commit alone: by it a commit whose answer was lost is known again. */
  readonly commitId: string;
  /** For `DESCRIBE HISTORY`: WRITE, MERGE, DELETE, OPTIMIZE, CREATE TABLE, ... */
  readonly operation: string;
  readonly operationParameters?: Readonly<Record<string, string>>;
  /** Milliseconds since 1970. */
  readonly timestamp: number;
  /** `sluice/0.1.0` */
  readonly engineInfo: string;
}

/** What to do about commits that came in between. */
export type Decision =
  /** Try again, with actions that fit the table as it is now. */
  | { readonly kind: 'retry'; readonly actions: readonly Action[] }
  /** Leave the table as it is. */
  | { readonly kind: 'stop'; readonly because: string };

export type Decide = (
  foreign: readonly ForeignCommit[],
  now: DeltaSnapshot,
  actions: readonly Action[],
) => Decision | Promise<Decision>;

export interface CommitRequest {
  /** What the actions were prepared for, read a moment ago; null to make the table. */
  readonly snapshot: DeltaSnapshot | null;
  readonly commit: PreparedCommit;
  /** Asked when others have committed since the snapshot; {@link appendOver} and {@link maintenanceOver} are two answers. */
  readonly decide: Decide;
}

export interface CommitResult {
  /** The version that holds the commit. */
  readonly version: number;
  /** The table with it, and with what others have committed behind it by then. */
  readonly snapshot: DeltaSnapshot;
  /** It had been committed before: by an earlier try whose answer was lost. */
  readonly already: boolean;
  /** How many commits of others it was moved behind. */
  readonly passed: number;
}

/** Losing this often in a row against one other writer of the same pace happens once in a billion commits. */
const MAX_TRIES = 30;

/** Lost requests, each after the store's own retries, before the caller is told: it waits longer than a commit should. */
const MAX_LOST = 3;

/**
 * Commits to a Delta table, exactly once: writes the next version where there is none yet. A refusal or a lost answer is
 * cleared up by reading what is stored. A transaction that the snapshot holds already is taken for this commit, so its
 * numbers must be given out by one hand (the ledger, which is swapped by its etag).
 * @param table the key of its folder
 * @throws SluiceError DELTA_FENCED: our application has gone on without us; DELTA_FOREIGN_WRITE: `decide` said stop;
 *   DELTA_CONTENDED after too many tries; STORE_UNREACHABLE: whether it took effect is not known, so ask again with the same
 *   prepared commit; DELTA_LOG_CORRUPT
 */
export async function commitActions(
  store: ObjectStore,
  table: string,
  request: CommitRequest,
  signal?: AbortSignal,
): Promise<CommitResult> {
  const { commit, decide } = request;
  let { snapshot } = request;
  let actions = commit.actions;
  let passed = 0;
  let lost = 0;
  const done = alreadyDone(table, snapshot, commit);
  if (done !== null) return done;
  for (let attempt = 1; attempt <= MAX_TRIES; attempt += 1) {
    signal?.throwIfAborted();
    const base: number = snapshot?.version ?? -1;
    const mine: Commit = { version: base + 1, actions: fullActions(commit, actions, base) };
    const written = await tryWrite(store, table, mine, signal);
    if (written === null) {
      return { version: mine.version, snapshot: after(table, snapshot, [mine]), already: false, passed };
    }
    const stored = await readCommitsBehind(store, table, base, signal);
    if (stored === null) {
      throw new SluiceError({
        code: 'DELTA_CONTENDED',
        message: `the log of the Delta table ${table} was cleaned up behind version ${base} while it was committed to`,
      });
    }
    // Nothing there: a lost request, not a lost answer. Written again under the same version it cannot take effect twice.
    if (stored.length === 0) {
      if (written !== 'refused' && ++lost === MAX_LOST) throw written;
      continue;
    }
    const now: DeltaSnapshot = after(table, snapshot, stored);
    const own = ownCommit(table, stored, commit);
    if (own !== null)
      return { version: own.version, snapshot: now, already: true, passed: passed + own.version - base - 1 };
    const foreign = stored.map((entry): ForeignCommit => ({ ...entry, kind: foreignKind(entry.actions) }));
    const decision = await decide(foreign, now, actions);
    if (decision.kind === 'stop') throw foreignWrite(table, foreign, decision.because);
    actions = decision.actions;
    passed += stored.length;
    snapshot = now;
  }
  throw new SluiceError({
    code: 'DELTA_CONTENDED',
    message: `others committed to the Delta table ${table} first, ${MAX_TRIES} times in a row`,
  });
}

/**
 * What a prepared commit has to do to a table that others may have committed to since it was prepared: another process,
 * later, finishes what this one began.
 * @param base the version that it was prepared for; -1 for none
 * @param request `snapshot`: the table as it is now
 * @throws SluiceError DELTA_FOREIGN_WRITE: `decide` said stop
 */
export async function refittedActions(
  store: ObjectStore,
  table: string,
  base: number,
  { snapshot, commit, decide }: CommitRequest,
): Promise<readonly Action[]> {
  const known = snapshot?.transactions.get(commit.appId)?.version ?? -1;
  if (snapshot === null || snapshot.version <= base) return commit.actions;
  if (commit.txnVersion !== null && known >= commit.txnVersion) return commit.actions;
  // Where the log was cleaned up behind the base, the files alone tell what fits.
  const stored = (await readCommitsBehind(store, table, base)) ?? [];
  const foreign = stored
    .filter(({ version }) => version <= snapshot.version)
    .map((entry): ForeignCommit => ({ ...entry, kind: foreignKind(entry.actions) }));
  const decision = await decide(foreign, snapshot, commit.actions);
  if (decision.kind === 'stop') throw foreignWrite(table, foreign, decision.because);
  return decision.actions;
}

/** For a commit that only adds rows: others may have added or rearranged rows, not changed what they are. */
export const appendOver: Decide = (foreign, _now, actions) => {
  const bad = foreign.find((commit) => commit.kind === 'metadata' || commit.kind === 'change');
  return bad === undefined ? { kind: 'retry', actions } : { kind: 'stop', because: describe(bad) };
};

/**
 * For a commit that replaces files: it stands where others have done nothing but maintenance, and not of the files that it
 * is about. The caller who can prepare it anew for the moved rows decides for itself.
 */
export const maintenanceOver: Decide = (foreign, _now, actions) => {
  const bad = foreign.find((commit) => commit.kind !== 'maintenance');
  if (bad !== undefined) return { kind: 'stop', because: describe(bad) };
  if (filesUntouched(actions, foreign)) return { kind: 'retry', actions };
  return { kind: 'stop', because: 'maintenance has rewritten a file that this commit replaces' };
};

/** What a foreign commit did, for messages: `version 12 (DELETE by Apache-Spark/4.0) is a change`. */
export function describe(commit: ForeignCommit): string {
  const info = commitInfo(commit);
  const engine = info?.engineInfo === undefined ? '' : ` by ${info.engineInfo}`;
  const operation = info === null || info.operation === '' ? 'a commit without a name' : info.operation;
  const kinds = {
    maintenance: 'rearranged files',
    append: 'added rows',
    change: 'took rows out',
    metadata: "changed the table's columns or properties",
  };
  return `version ${commit.version} (${operation}${engine}) ${kinds[commit.kind]}`;
}

/** @returns null when written; an error when it is not known whether it was */
async function tryWrite(
  store: ObjectStore,
  table: string,
  commit: Commit,
  signal: AbortSignal | undefined,
): Promise<null | 'refused' | SluiceError> {
  const key = logPrefix(table) + commitName(commit.version);
  try {
    const answer = await store.put(key, commitBody(commit.actions), { kind: 'absent' }, signal);
    return answer.kind === 'written' ? null : 'refused';
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
    if (error.code === 'STORE_UNREACHABLE') return error;
    // Nothing was written, as others kept coming first: what they wrote is read like any other.
    if (error.code === 'STORE_CONFLICT') return 'refused';
    throw error;
  }
}

/** The whole commit: who it is first, then what it does. */
function fullActions(commit: PreparedCommit, actions: readonly Action[], readVersion: number): readonly Action[] {
  const isBlindAppend = actions.every((action) => 'add' in action && action.add.dataChange);
  const info: CommitInfoAction = {
    timestamp: commit.timestamp,
    operation: commit.operation,
    operationParameters: commit.operationParameters ?? {},
    ...(readVersion < 0 ? {} : { readVersion }),
    isolationLevel: 'Serializable',
    isBlindAppend,
    engineInfo: commit.engineInfo,
    txnId: commit.commitId,
  };
  const sorted = [{ commitInfo: info }, ...actions.toSorted((a, b) => rank(a) - rank(b))];
  if (commit.txnVersion === null) return sorted;
  return [...sorted, { txn: { appId: commit.appId, version: commit.txnVersion, lastUpdated: commit.timestamp } }];
}

/** Readers that stream a log want to know the protocol first. The order within a kind is the caller's. */
function rank(action: Action): number {
  if ('protocol' in action) return 0;
  if ('metaData' in action) return 1;
  if ('remove' in action) return 2;
  return 3;
}

/** The snapshot may hold the commit already: a process that finishes another's work opens the table first. */
function alreadyDone(table: string, snapshot: DeltaSnapshot | null, commit: PreparedCommit): CommitResult | null {
  const known = snapshot?.transactions.get(commit.appId)?.version;
  if (snapshot === null || known === undefined || commit.txnVersion === null || known < commit.txnVersion) return null;
  if (known > commit.txnVersion) throw fenced(table, commit, known);
  return { version: snapshot.version, snapshot, already: true, passed: 0 };
}

/** Our commit among those that were stored meanwhile. @throws SluiceError DELTA_FENCED */
function ownCommit(table: string, stored: readonly Commit[], mine: PreparedCommit): Commit | null {
  if (mine.txnVersion === null) {
    return stored.find((commit) => commitInfo(commit)?.['txnId'] === mine.commitId) ?? null;
  }
  let own: Commit | null = null;
  let newest: number | null = null;
  for (const commit of stored) {
    for (const action of commit.actions) {
      if (!('txn' in action) || action.txn.appId !== mine.appId) continue;
      newest = action.txn.version;
      if (newest === mine.txnVersion && commitInfo(commit)?.['txnId'] === mine.commitId) own = commit;
    }
  }
  // Ours, even where a process that took over has gone on from it: it tells so at the next commit.
  if (own !== null) return own;
  if (newest !== null && newest >= mine.txnVersion) throw fenced(table, mine, newest);
  return null;
}

function after(table: string, snapshot: DeltaSnapshot | null, commits: readonly Commit[]): DeltaSnapshot {
  if (snapshot !== null) return applyCommits(snapshot, commits, table);
  const replay = Replay.empty(table, -1);
  for (const commit of commits) replay.commit(commit);
  return replay.snapshot();
}

function fenced(table: string, commit: PreparedCommit, version: number): SluiceError {
  return new SluiceError({
    code: 'DELTA_FENCED',
    message: `the Delta table ${table} holds transaction ${version} of ${commit.appId} already, this is ${commit.txnVersion}: another process has taken over`,
    hint: 'let one process at a time write a source',
  });
}

function foreignWrite(table: string, foreign: readonly ForeignCommit[], because: string): SluiceError {
  const first = foreign.find((commit) => commit.kind !== 'maintenance') ?? foreign[0];
  const version = first === undefined ? '' : `, version ${first.version}`;
  return new SluiceError({
    code: 'DELTA_FOREIGN_WRITE',
    message: `somebody else wrote to the Delta table ${table}${version}: ${because}`,
    hint: 'let nobody else write there, then `sluice resync` the table',
  });
}
