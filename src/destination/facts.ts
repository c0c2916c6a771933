/** What a destination says of itself: read before planning and syncing, written only together with rows. JSON-safe. */

export interface StreamFacts {
  readonly source: string;
  readonly slot: string;
  readonly systemIdentifier: string;
  /**
   * `created_lsn` of the slot in the state that the position below belongs to: a slot made anew under the same name begins
   * a stream of its own. Null where an older Sluice wrote it.
   */
  readonly slotCreatedLsn: string | null;
  /** The server's timeline when the position was reached, as an LSN alone says nothing after a failover; null: not known. */
  readonly timelineId: number | null;
  /**
   * Transactions (32-bit ids) that were streamed before any snapshot could see them: Postgres decodes a commit that still
   * waits for its synchronous standby. Until they are seen a load would miss what they wrote.
   */
  readonly unseen: readonly number[];
  /** Everything committed in Postgres before this LSN that concerns loaded tables is in the destination. */
  readonly confirmedLsn: string;
  /** Commit time of the last transaction that was applied, or the server's clock when the stream was last caught up; ISO. */
  readonly confirmedAt: string;
  /** When the stream was last read; ISO. */
  readonly updatedAt: string;
}

export interface TableFacts {
  /** `source:schema.table` */
  readonly address: string;
  /** The generation of the last finished load; 0 for none. */
  readonly loadedGeneration: number;
  /** The number of the last backfill that was finished; 0 for none. */
  readonly backfilled: number;
  /** Set when the stream asked for a new snapshot (TRUNCATE, ...); null otherwise. */
  readonly resnapshotReason: string | null;
  /** Rows in the table, without soft-deleted ones where that is known. */
  readonly rows: number | null;
  readonly asOfLsn: string | null;
  readonly asOf: string | null;
  /** Highest cursor value seen, as Postgres text (incremental, append). */
  readonly cursor: string | null;
  readonly rejectedValues: number;
  /** The last run's error, null when it went well. */
  readonly lastError: { readonly code: string; readonly message: string; readonly at: string } | null;
  readonly lastRunAt: string | null;
  /** Measured in the last load: rows and bytes a second; null before. */
  readonly loadRowsPerSecond: number | null;
  /** cdc: what the last snapshot saw; changes of transactions visible in it are skipped. */
  readonly snapshot: { readonly snapshot: string; readonly snapshotLsn: string } | null;
  /** cdc of a partitioned table; null where nothing was recorded. */
  readonly partitions: PartitionFacts | null;
}

/** The leaf partitions that a table was last loaded or found whole with (source/partition-leaf.ts). */
export interface PartitionFacts {
  readonly seenXmin: string;
  readonly leaves: readonly {
    readonly oid: number;
    readonly schema: string;
    readonly name: string;
    readonly filenode: number;
    readonly joined: readonly string[];
  }[];
}

export interface DestinationFacts {
  readonly exists: boolean;
  readonly streams: readonly StreamFacts[];
  readonly tables: readonly TableFacts[];
  /** `schema.table` of everything in the destination that is not Sluice's, to notice name clashes. */
  readonly foreignTables: readonly string[];
}
