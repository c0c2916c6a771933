import { SluiceError } from '../../error/sluice-error.js';
import type {
  Action,
  AddAction,
  CommitInfoAction,
  DeletionVectorDescriptor,
  DomainMetadataAction,
  MetadataAction,
  ProtocolAction,
  RemoveAction,
  TransactionAction,
} from './action.js';
import { vectorId } from './deletion-vector/descriptor.js';

/** What a Delta table is at one version: its log, replayed (PROTOCOL.md, "Action Reconciliation"). */
export interface DeltaSnapshot {
  readonly version: number;
  readonly protocol: ProtocolAction;
  readonly metadata: MetadataAction;
  /** By {@link fileKey}. */
  readonly files: ReadonlyMap<string, AddAction>;
  /** Files that were taken out, by {@link fileKey}: readers of older versions may still need them until their retention ends. */
  readonly tombstones: ReadonlyMap<string, RemoveAction>;
  /** By application. */
  readonly transactions: ReadonlyMap<string, TransactionAction>;
  /** By domain; removed ones are not in it. */
  readonly domains: ReadonlyMap<string, DomainMetadataAction>;
}

/** One entry of the log. */
export interface Commit {
  readonly version: number;
  readonly actions: readonly Action[];
}

/** What tells two logical files apart: a file's path, and which of its rows are deleted. */
export function fileKey(file: {
  readonly path: string;
  readonly deletionVector?: DeletionVectorDescriptor | null;
}): string {
  const vector = file.deletionVector;
  // No path holds a line feed: it would have to be URI-encoded.
  return vector === null || vector === undefined ? file.path : `${file.path}\n${vectorId(vector)}`;
}

export function commitInfo(commit: Commit): CommitInfoAction | null {
  for (const action of commit.actions) if ('commitInfo' in action) return action.commitInfo;
  return null;
}

/**
 * The table after these commits. The given snapshot stays as it was.
 * @param commits in order, the first of them right behind the snapshot's version
 * @throws SluiceError DELTA_LOG_CORRUPT
 */
export function applyCommits(snapshot: DeltaSnapshot, commits: readonly Commit[], table: string): DeltaSnapshot {
  if (commits.length === 0) return snapshot;
  const replay = Replay.from(snapshot, table);
  for (const commit of commits) replay.commit(commit);
  return replay.snapshot();
}

/** A replay under way: takes a checkpoint's actions, then commits, holding what is alive and nothing else. */
export class Replay {
  readonly #table: string;
  readonly #files: Map<string, AddAction>;
  readonly #tombstones: Map<string, RemoveAction>;
  readonly #transactions: Map<string, TransactionAction>;
  readonly #domains: Map<string, DomainMetadataAction>;
  #version: number;
  #protocol: ProtocolAction | null;
  #metadata: MetadataAction | null;

  private constructor(table: string, version: number, from: DeltaSnapshot | null) {
    this.#table = table;
    this.#version = version;
    this.#protocol = from?.protocol ?? null;
    this.#metadata = from?.metadata ?? null;
    this.#files = new Map(from?.files);
    this.#tombstones = new Map(from?.tombstones);
    this.#transactions = new Map(from?.transactions);
    this.#domains = new Map(from?.domains);
  }

  /** @param table for messages; `version` is -1 before the first commit, or a checkpoint's */
  static empty(table: string, version: number): Replay {
    return new Replay(table, version, null);
  }

  static from(snapshot: DeltaSnapshot, table: string): Replay {
    return new Replay(table, snapshot.version, snapshot);
  }

  /** An action of the checkpoint: it has been reconciled already. */
  restore(action: Action): void {
    if ('add' in action) this.#files.set(fileKey(action.add), action.add);
    else if ('remove' in action) this.#tombstones.set(fileKey(action.remove), action.remove);
    else this.#state(action);
  }

  /** One commit. The order of the actions in it means nothing: what it takes out goes first. */
  commit(commit: Commit): void {
    if (commit.version !== this.#version + 1) {
      throw this.#corrupt(`version ${commit.version} follows version ${this.#version}`);
    }
    const removed = new Set<string>();
    for (const action of commit.actions) {
      if (!('remove' in action)) continue;
      const key = fileKey(action.remove);
      removed.add(key);
      this.#files.delete(key);
      this.#tombstones.set(key, action.remove);
    }
    for (const action of commit.actions) {
      if ('add' in action) {
        const key = fileKey(action.add);
        if (removed.has(key)) {
          throw this.#corrupt(`version ${commit.version} both adds and removes ${action.add.path}`);
        }
        this.#tombstones.delete(key);
        this.#files.set(key, action.add);
      } else if (!('remove' in action)) {
        this.#state(action);
      }
    }
    this.#version = commit.version;
  }

  /** @throws SluiceError DELTA_LOG_CORRUPT where protocol or metadata never came */
  snapshot(): DeltaSnapshot {
    if (this.#protocol === null) throw this.#corrupt('it has no protocol');
    if (this.#metadata === null) throw this.#corrupt('it has no metadata');
    return {
      version: this.#version,
      protocol: this.#protocol,
      metadata: this.#metadata,
      files: this.#files,
      tombstones: this.#tombstones,
      transactions: this.#transactions,
      domains: this.#domains,
    };
  }

  #state(action: Action): void {
    if ('protocol' in action) this.#protocol = action.protocol;
    else if ('metaData' in action) this.#metadata = action.metaData;
    else if ('txn' in action) this.#transactions.set(action.txn.appId, action.txn);
    else if ('domainMetadata' in action) {
      if (action.domainMetadata.removed) this.#domains.delete(action.domainMetadata.domain);
      else this.#domains.set(action.domainMetadata.domain, action.domainMetadata);
    }
  }

  #corrupt(what: string): SluiceError {
    return new SluiceError({
      code: 'DELTA_LOG_CORRUPT',
      message: `the log of the Delta table ${this.#table}: ${what}`,
    });
  }
}
