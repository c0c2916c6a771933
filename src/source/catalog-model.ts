/**
 * What Sluice sees of a Postgres database. Plain data (JSON-safe: LSNs as text, 64-bit counts as numbers), gathered by
 * catalog.ts, judged by guard/ and planner/, and used by the executor to build column lists and decoders.
 */

export interface ObservedType {
  readonly oid: number;
  /** Schema-qualified unless in pg_catalog, as format_type prints it without the modifier. */
  readonly name: string;
  /** pg_type.typtype: base, composite, domain, enum, pseudo, range, multirange. */
  readonly kind: 'b' | 'c' | 'd' | 'e' | 'p' | 'r' | 'm';
  /** Domains are followed to their base; this is the base type's oid and the modifier that applies (domain's own, else the column's); of an array the one of its elements. */
  readonly baseOid: number;
  readonly baseName: string;
  readonly baseKind: 'b' | 'c' | 'd' | 'e' | 'p' | 'r' | 'm';
  readonly typmod: number;
  /** For true arrays (typelem with typcategory A): the element, with its own domain followed. */
  readonly element: { readonly oid: number; readonly name: string; readonly kind: ObservedType['kind'] } | null;
}

export interface ObservedColumn {
  readonly name: string;
  readonly attnum: number;
  readonly type: ObservedType;
  /** As format_type prints it with the modifier, e.g. `numeric(12,2)`; for people. */
  readonly formattedType: string;
  readonly notNull: boolean;
  /** '' none, 's' stored, 'v' virtual (18+). */
  readonly generated: '' | 's' | 'v';
  readonly identity: '' | 'a' | 'd';
  /** pg_attribute.attstorage: p plain, e external, m main, x extended. Only p can never be out of line. */
  readonly storage: 'p' | 'e' | 'm' | 'x';
  readonly hasDefault: boolean;
  /** COMMENT ON COLUMN; null where there is none. */
  readonly comment: string | null;
}

export interface ObservedTable {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** pg_class.relkind: r table, p partitioned table, f foreign, v view, m materialized view. */
  readonly kind: 'r' | 'p' | 'f' | 'v' | 'm';
  readonly isPartition: boolean;
  /** Oid of the topmost partitioned ancestor when isPartition. */
  readonly partitionRootOid: number | null;
  /** Leaf and inner partitions below a partitioned table (oids), [] otherwise. */
  readonly partitionOids: readonly number[];
  /** u for unlogged, t temporary, p permanent (pg_class.relpersistence). */
  readonly persistence: 'p' | 'u' | 't';
  /** In attnum order, dropped columns left out. */
  readonly columns: readonly ObservedColumn[];
  /** Column names in key order, [] where there is none. */
  readonly primaryKey: readonly string[];
  /** d default, n nothing, f full, i index. */
  readonly replicaIdentity: 'd' | 'n' | 'f' | 'i';
  /** Columns of the replica identity as Postgres will send them: the primary key for d, the index's for i, [] for n, all for f. */
  readonly replicaIdentityColumns: readonly string[];
  /** pg_class.reltuples summed over partitions; null when never analyzed. */
  readonly estimatedRows: number | null;
  /** Heap and TOAST bytes, summed over partitions. */
  readonly estimatedBytes: number;
  readonly canSelect: boolean;
  readonly schemaUsage: boolean;
  readonly ownedByCurrentUser: boolean;
  /** Columns the role may read; null when the whole table may be read. */
  readonly readableColumns: readonly string[] | null;
  readonly rowSecurity: boolean;
  /** COMMENT ON TABLE; null where there is none. */
  readonly comment: string | null;
}

export interface ObservedPublication {
  readonly name: string;
  readonly owner: string;
  readonly ownedByCurrentUser: boolean;
  readonly allTables: boolean;
  readonly insert: boolean;
  readonly update: boolean;
  readonly delete: boolean;
  readonly truncate: boolean;
  readonly viaPartitionRoot: boolean;
  /** 18+: stored generated columns of tables without a column list are sent. */
  readonly storedGenerated: boolean;
  /** 15+: schemas of FOR TABLES IN SCHEMA, beside which no column list may stand. */
  readonly schemas: readonly string[];
  readonly tables: readonly {
    readonly schema: string;
    readonly name: string;
    readonly oid: number;
    /** 15+: published columns; null means all. */
    readonly columns: readonly string[] | null;
    /** 15+: row filter as SQL; null means none. */
    readonly rowFilter: string | null;
  }[];
}

export interface ObservedSlot {
  readonly name: string;
  readonly plugin: string | null;
  readonly database: string | null;
  readonly active: boolean;
  readonly activePid: number | null;
  /** Gone with the session that made it. */
  readonly temporary: boolean;
  /** 14+: decodes prepared transactions when they are prepared; false before. */
  readonly twoPhase: boolean;
  /** 17+: standbys may keep a copy of it, so that it outlives a failover; null where the server does not know of that. */
  readonly failover: boolean | null;
  readonly restartLsn: string | null;
  readonly confirmedFlushLsn: string | null;
  /** reserved, extended, unreserved, lost; null for a slot that reserves nothing. */
  readonly walStatus: 'reserved' | 'extended' | 'unreserved' | 'lost' | null;
  readonly safeWalSizeBytes: number | null;
  readonly retainedWalBytes: number | null;
  readonly unconfirmedWalBytes: number | null;
  /** 16+/17+: why it was invalidated; null where it was not. */
  readonly invalidationReason: string | null;
}

export interface ObservedServer {
  /** server_version_num, e.g. 170010. */
  readonly versionNum: number;
  readonly version: string;
  readonly systemIdentifier: string | null;
  readonly timelineId: number | null;
  readonly database: string;
  readonly user: string;
  readonly isSuperuser: boolean;
  readonly hasReplication: boolean;
  /** Of the roles that managed services use instead of REPLICATION (rds_replication, rds_superuser, cloudsqlsuperuser, ...): those the user is a member of. */
  readonly replicationRoles: readonly string[];
  readonly canCreateInDatabase: boolean;
  readonly walLevel: string;
  readonly maxReplicationSlots: number;
  readonly usedReplicationSlots: number;
  readonly maxWalSenders: number;
  readonly usedWalSenders: number;
  readonly maxSlotWalKeepSizeMb: number | null;
  readonly serverEncoding: string;
  readonly inRecovery: boolean;
  /** pg_current_wal_lsn(), or the replay position on a standby. */
  readonly currentWalLsn: string;
  /** The average since its statistics were reset, as a first guess of the rate; null before 14, and while that is too recent to tell. */
  readonly walBytesPerSecond?: number | null;
  readonly tls: boolean;
}

/** One source database at one moment. Gathered in one REPEATABLE READ transaction. */
export interface ObservedSource {
  readonly server: ObservedServer;
  readonly tables: readonly ObservedTable[];
  readonly publications: readonly ObservedPublication[];
  readonly slots: readonly ObservedSlot[];
}

/**
 * Whether slots of this server can outlive a failover. One that nobody copies costs nothing, and whether a standby is set
 * up to do so cannot be seen from here and may change, so slots are made with it wherever it is offered.
 * @see Postgres docs, "Logical Replication Failover"
 */
export function offersFailover(server: Pick<ObservedServer, 'versionNum' | 'inRecovery'>): boolean {
  return server.versionNum >= 170_000 && !server.inRecovery;
}

export function qualifiedName(table: { readonly schema: string; readonly name: string }): string {
  return `${table.schema}.${table.name}`;
}
