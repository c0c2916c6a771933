import type { Method } from '../config/config.js';
import type { ObservedTable } from '../source/catalog-model.js';
import { quoteQualified } from '../source/sql-identifier.js';
import type { ReplicaIdentity, TableState } from '../state/state.js';
import type { Drift } from './change.js';

type Letter = ObservedTable['replicaIdentity'];

const WORDS: Readonly<Record<Letter, ReplicaIdentity>> = { d: 'default', n: 'nothing', f: 'full', i: 'index' };
const LETTERS: Readonly<Record<ReplicaIdentity, Letter>> = { default: 'd', nothing: 'n', full: 'f', index: 'i' };

/** What the state keeps of a table's replica identity. */
export function replicaIdentityOf(
  table: Pick<ObservedTable, 'kind' | 'replicaIdentity'>,
  method: Method,
): ReplicaIdentity | null {
  return method === 'cdc' && table.kind === 'r' ? WORDS[table.replicaIdentity] : null;
}

/** As the catalog would tell it. */
export function replicaIdentityLetter(known: ReplicaIdentity | null): Letter | null {
  return known === null ? null : LETTERS[known];
}

/** Whether the table has another one now; not where one of the two is not known. */
export function changedIdentity(known: ReplicaIdentity | null, now: ReplicaIdentity | null): boolean {
  return known !== null && now !== null && known !== now;
}

/** A replica identity that somebody changed and that carries the key all the same, so that the stream goes on. */
export function identityDrift(table: TableState, observed: ObservedTable): Pick<Drift, 'message' | 'hint'> | null {
  const before = table.replica_identity;
  const now = replicaIdentityOf(observed, table.method);
  if (before === null || now === null || before === now) return null;
  const name = `${observed.schema}.${observed.name}`;
  const effect =
    now === 'full'
      ? '; every update and delete writes the whole old row to the WAL'
      : before === 'full'
        ? '; old values beside the key are not in the WAL any more'
        : '';
  const back = before === 'index' ? 'USING INDEX the_index' : before.toUpperCase();
  return {
    message: `the replica identity of ${name} is ${now} now, it was ${before}${effect}`,
    hint: `the stream goes on, and apply takes note of it; if it is not meant: ALTER TABLE ${quoteQualified(observed)} REPLICA IDENTITY ${back};`,
  };
}
