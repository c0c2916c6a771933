import { SluiceError } from '../../error/sluice-error.js';
import type { LakeColumn } from '../lake/ledger.js';
import { filesOf, type Manifest, type ManifestChange, manifestKey, retire } from './manifest.js';

/** What a ledger keeps of a commit to a table of Parquet files. */
export type PendingParquet = CommitParquet | { readonly kind: 'drop' };

export type CommitParquet = {
  readonly application: string;
  readonly serial: number;
  /** The number that its rows carry. */
  readonly commit: number;
  readonly columns: readonly LakeColumn[];
  readonly comment?: string;
  readonly key: readonly string[];
  /** A load was asked for, over what others wrote; rows of theirs that it keeps stay as they are found. */
  readonly overwriteForeign: boolean;
} & (
  | { readonly kind: 'rows'; readonly changes: readonly ManifestChange[] }
  | {
      readonly kind: 'replace';
      readonly identity: readonly string[];
      readonly snapshot: Manifest['snapshot'];
    }
);

/** Whether a commit is in the table already. */
export function isIn(manifest: Manifest, { application, serial }: CommitParquet): boolean {
  return manifest.application === application && manifest.serial >= serial;
}

/**
 * The manifest with one commit more.
 * @throws SluiceError PARQUET_FOREIGN_WRITE when it does not follow what the commit was prepared on
 */
export function withCommit(before: Manifest | null, pending: CommitParquet, folder: string, now: Date): Manifest {
  const { application, serial, commit, columns, comment, key } = pending;
  const described = comment === undefined ? { columns } : { columns, comment };
  const isOurs = before === null || before.application === application;
  const isLater = before === null || before.commit < commit;
  const shared = { format_version: 1, application, serial, written_at: now.toISOString(), ...described, key } as const;
  if (pending.kind === 'replace') {
    if (!(isOurs && isLater) && !pending.overwriteForeign) throw foreign(folder);
    const { identity, snapshot } = pending;
    const retired = before === null ? [] : retire(before, pending.snapshot.generation, now);
    const numbered = { commit: Math.max(commit, before?.commit ?? 0), retired };
    return { ...shared, ...numbered, identity, files: filesOf({ snapshot, changes: [] }), snapshot, changes: [] };
  }
  // Of two rows with one key the later commit's counts.
  if (before === null || !isLater || !(isOurs || pending.overwriteForeign)) throw foreign(folder);
  const { identity, snapshot, retired } = before;
  const changes = [...before.changes, ...pending.changes];
  return { ...shared, commit, identity, files: filesOf({ snapshot, changes }), snapshot, changes, retired };
}

function foreign(folder: string): SluiceError {
  return new SluiceError({
    code: 'PARQUET_FOREIGN_WRITE',
    message: `somebody else wrote or removed ${manifestKey(folder)} while a commit to it was on its way`,
    hint: 'let nobody else write there; `sluice resync` loads the table anew, over what they wrote',
  });
}

/** @throws SluiceError LEDGER_UNREADABLE */
export function readPending(value: unknown, folder: string): PendingParquet {
  if (typeof value === 'object' && value !== null && 'kind' in value) {
    if (value.kind === 'drop') return { kind: 'drop' };
    if (value.kind === 'rows' && 'changes' in value && 'commit' in value) return value as CommitParquet;
    if (value.kind === 'replace' && 'snapshot' in value && 'commit' in value) return value as CommitParquet;
  }
  throw new SluiceError({
    code: 'LEDGER_UNREADABLE',
    message: `the ledger holds a commit to ${folder} that this Sluice does not know`,
    hint: 'a newer Sluice may have written it, or one with another format',
  });
}
