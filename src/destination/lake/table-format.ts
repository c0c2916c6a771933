import type { DuckDbSession } from '../duckdb/session.js';
import type { LakeColumn, PendingCommit } from './ledger.js';
import type { TableMaintenance } from './table-maintenance.js';

/**
 * How tables lie in the lake: Delta or plain Parquet. The working file has a table for each of them, its window, which
 * holds rows only while they are worked on: those that a change touches are pulled into it, and what is there afterwards
 * takes their place.
 */
export interface TableFormat {
  /**
   * Reads rows of a table into a temporary table `into`: its columns, and what else the format needs of them.
   * @throws SluiceError DELTA_FOREIGN_WRITE, PARQUET_FOREIGN_WRITE when somebody else has changed the table's data
   */
  pull(session: DuckDbSession, request: PullRequest): Promise<PulledRows>;
  /** Writes and sends the files of a change; nobody sees them before {@link publish}. */
  prepare(session: DuckDbSession, change: TableChange): Promise<PendingCommit>;
  /**
   * Makes a prepared commit visible, once: a commit that is already in the table is left alone. Those of several tables may
   * be under way at once.
   * @returns the table's version with it; null where the format numbers none, or the table is gone
   * @throws SluiceError DELTA_FOREIGN_WRITE, PARQUET_FOREIGN_WRITE, LAKE_FENCED
   */
  publish(session: DuckDbSession, pending: PendingCommit): Promise<number | null>;
  /** Whether a prepared commit is the first of its table, which is not there before it is published. */
  isFirst(pending: PendingCommit): boolean;
  /** Makes a view of a table's rows as they are now, for readers. @returns whether there is such a table */
  view(session: DuckDbSession, request: ViewRequest): Promise<boolean>;
  /** @throws SluiceError DESTINATION_OCCUPIED when the folder holds a table that is not Sluice's */
  refuseOccupied(session: DuckDbSession, folder: string): Promise<void>;
  /** Forgets what was remembered of the tables. */
  forget(): void;
  /** The upkeep of its tables; absent where there is none. */
  readonly maintenance?: TableMaintenance;
}

/** A table of the lake, and what of its log is known to be ours. */
export interface KnownTable {
  readonly folder: string;
  /** Whose commits count as ours. */
  readonly application: string;
  /** The version up to which everything was looked at; null where nothing was. */
  readonly version: number | null;
}

export interface PullRequest {
  readonly table: KnownTable;
  readonly columns: readonly LakeColumn[];
  readonly into: string;
  readonly choose: RowChoice;
  /** What others wrote is taken as it is, as somebody asked for a load over it. Default false. */
  readonly overwriteForeign?: boolean;
}

export interface ViewRequest {
  readonly table: KnownTable;
  readonly columns: readonly LakeColumn[];
  readonly place: { readonly schema: string; readonly name: string };
}

/** Which rows of a table a piece of work needs. */
export type RowChoice =
  | { readonly kind: 'all' }
  /**
   * With a key that `keys`, an SQL query, gives; and of them those for which `where` is true, which names no other columns
   * than the key and `always`.
   */
  | {
      readonly kind: 'keys';
      readonly keys: string;
      readonly key: readonly string[];
      readonly where: string | null;
      /**
       * Of which rows all columns are needed; `keys` as above. Of the others there are the key and the columns `always`,
       * and NULL for the rest, which spares reading it.
       */
      readonly whole: 'all' | 'none' | { readonly keys: string };
      readonly always: readonly string[];
    }
  /** With a key that `keys` does not give. */
  | { readonly kind: 'other_keys'; readonly keys: string; readonly key: readonly string[] }
  | { readonly kind: 'where'; readonly where: string };

export interface PulledRows {
  readonly into: string;
  readonly rows: number;
  /** What the format knows the files by that the rows lie in; [] where it does not ask. */
  readonly files: readonly string[];
}

export interface TableChange {
  readonly table: KnownTable;
  readonly serial: number;
  readonly columns: readonly LakeColumn[];
  /** What the source says that the table is; absent where it says nothing. */
  readonly comment?: string;
  /** describe: no row comes or goes, and columns are what they were; only comments are others. */
  readonly kind: 'create' | 'replace' | 'rows' | 'describe' | 'drop';
  /** Columns that are never NULL; of no table of ours may a key be. */
  readonly key: readonly string[];
  /** By what a row is told from all others; [] where rows are never taken out one by one. */
  readonly identity: readonly string[];
  /** By whose values the files are kept apart, where the format can; another one than before only with all of the rows. */
  readonly partitionBy: readonly string[];
  /** With kind `replace`: what others wrote may go too, as somebody asked for it. */
  readonly overwriteForeign: boolean;
  /** The rows that go, for kind `rows`; null: none. */
  readonly pulled: PulledRows | null;
  /** A table of the working file: the rows that come. */
  readonly rows: string;
  /** For the table's own log: what kind of work this is. */
  readonly operation: string;
}
