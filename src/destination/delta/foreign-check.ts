import { SluiceError } from '../../error/sluice-error.js';
import type { Action } from './action.js';
import { describe } from './commit.js';
import { type ForeignCommit, foreignKind } from './foreign-commit.js';
import type { Commit } from './snapshot.js';

/**
 * Looks at commits for what others did: rearranging files is fine, changing what the table holds is not.
 * @throws SluiceError DELTA_FOREIGN_WRITE
 */
export function refuseForeign(folder: string, application: string, commits: readonly Commit[]): void {
  for (const commit of commits) {
    if (commit.actions.some((action) => 'txn' in action && action.txn.appId === application)) continue;
    const kind = foreignKind(commit.actions);
    if (leavesRows({ ...commit, kind })) continue;
    throw new SluiceError({
      code: 'DELTA_FOREIGN_WRITE',
      message: `somebody else wrote to the Delta table ${folder}: ${describe({ ...commit, kind })}`,
      hint: 'let nobody else write there; `sluice resync` loads the table anew, over what they wrote',
    });
  }
}

/** Whether the table's rows and columns are what they were. */
export function leavesRows({ kind, actions }: ForeignCommit): boolean {
  return kind === 'maintenance' || (kind === 'metadata' && isHarmless(actions));
}

/** Settings of a domain say nothing of rows. */
function isHarmless(actions: readonly Action[]): boolean {
  return actions.every((action) => 'domainMetadata' in action || 'commitInfo' in action || 'txn' in action);
}
