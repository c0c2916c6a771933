import type { Action } from './action.js';
import { type Commit, fileKey } from './snapshot.js';

/**
 * What a commit that is not ours does to a table:
 * - maintenance: the rows stay what they are (OPTIMIZE, statistics, another application's progress);
 * - append: adds rows and takes none out;
 * - change: takes rows out;
 * - metadata: columns, properties, protocol or a domain's settings change, whatever else is in it.
 */
export type ForeignKind = 'maintenance' | 'append' | 'change' | 'metadata';

export interface ForeignCommit extends Commit {
  readonly kind: ForeignKind;
}

/** Judged by the files alone: what a writer says of itself (isBlindAppend, the operation's name) proves nothing. */
export function foreignKind(actions: readonly Action[]): ForeignKind {
  let adds = false;
  let removes = false;
  for (const action of actions) {
    if ('metaData' in action || 'protocol' in action || 'domainMetadata' in action) return 'metadata';
    if ('remove' in action && action.remove.dataChange) removes = true;
    if ('add' in action && action.add.dataChange) adds = true;
  }
  if (removes) return 'change';
  return adds ? 'append' : 'maintenance';
}

/**
 * Whether prepared actions still fit after others' commits: none of the files that they take out, or give another deletion
 * vector, has been touched since.
 */
export function filesUntouched(prepared: readonly Action[], foreign: readonly Commit[]): boolean {
  const touched = new Set<string>();
  const gone = new Set<string>();
  for (const commit of foreign) {
    for (const action of commit.actions) {
      if ('remove' in action) gone.add(fileKey(action.remove));
      if ('remove' in action) touched.add(action.remove.path);
      if ('add' in action) touched.add(action.add.path);
    }
  }
  return prepared.every((action) => {
    if ('remove' in action) return !gone.has(fileKey(action.remove)) && !touched.has(action.remove.path);
    return !('add' in action) || !touched.has(action.add.path);
  });
}
