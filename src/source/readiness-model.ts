import type { PlainError } from '../error/sluice-error.js';

/**
 * What is known of a database beside its catalog: the session that we get, who else is at work, what the columns hold.
 * Plain data, gathered by readiness.ts and judged by guard/. Each part is read on its own, so that one that fails (a
 * right is missing, it took too long) leaves the others standing.
 */
export interface Readiness {
  readonly session: Reading<SessionFacts>;
  readonly pooling: Reading<Pooling>;
  /** Null where only a plan looked, which has to be quick. */
  readonly details: ReadinessDetails | null;
}

export interface ReadinessDetails {
  readonly clock: Reading<ClockFacts>;
  readonly encryption: Reading<EncryptionFacts>;
  readonly writers: Reading<readonly OpenWriter[]>;
  readonly prepared: Reading<readonly PreparedTransaction[]>;
  readonly owners: Reading<readonly TableOwner[]>;
  readonly children: Reading<readonly InheritanceChild[]>;
  readonly cursors: Reading<readonly CursorFacts[]>;
  readonly decoding: Reading<DecodingFacts>;
}

export type Reading<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly error: PlainError };

/** Who runs the server; `plain` where nothing tells of a managed service. */
export type Platform = 'plain' | 'rds' | 'cloudsql' | 'supabase' | 'azure' | 'alloydb' | 'neon';

export interface SessionFacts {
  readonly platform: Platform;
  readonly defaultReadOnly: boolean;
  /** Timeouts that server, database or role prescribe, in ms; those that are off are left out. */
  readonly timeouts: readonly { readonly name: string; readonly ms: number }[];
  readonly decodingWorkMemKb: number;
  /** 18+: idle_replication_slot_timeout; null where it is off or not known. */
  readonly idleSlotTimeoutMs: number | null;
}

/**
 * What stands between us and the server. `session`: a pooler that gives a client one backend for as long as it stays.
 * `transaction`: one that may give it another for each transaction. `unclear`: a pooler, and it could not be told which.
 */
export type Pooling = 'none' | 'session' | 'transaction' | 'unclear';

export interface ClockFacts {
  /** The server's clock less this machine's at the middle of the question. */
  readonly aheadMs: number;
  readonly roundTripMs: number;
}

/** pg_stat_ssl of our own backend: behind a pooler or proxy that is the last stretch only. */
export interface EncryptionFacts {
  readonly encrypted: boolean;
  readonly version: string | null;
  readonly cipher: string | null;
}

/** A transaction that has written. What the role may not see of it is null. */
export interface OpenWriter {
  readonly pid: number;
  readonly user: string | null;
  readonly application: string | null;
  readonly database: string | null;
  readonly state: string | null;
  readonly ageMs: number | null;
  /** Transactions begun since it got its id. */
  readonly laterTransactions: number;
}

export interface PreparedTransaction {
  readonly gid: string;
  readonly owner: string;
  readonly database: string;
  readonly ageMs: number;
}

/** Of a table that the role does not own. */
export interface TableOwner {
  readonly oid: number;
  readonly owner: string;
  readonly superuser: boolean;
}

/** Inheritance without partitioning. */
export interface InheritanceChild {
  readonly parentOid: number;
  readonly schema: string;
  readonly name: string;
}

export interface CursorFacts {
  readonly oid: number;
  readonly column: string;
  /** Null: it could not be told in the time given. */
  readonly holdsNulls: boolean | null;
  /** Whether an index that covers all rows starts with it. */
  readonly indexed: boolean;
}

export interface DecodingFacts {
  /** 14+: what decoding for our slot wrote to the server's disk, as it did not fit into memory; null where not known. */
  readonly spilledBytes: number | null;
}
