/**
 * Every error code of Sluice, in blocks by area. The comment on a code is the user's documentation: what it means and
 * what to do. `exit` is the process exit code (sysexits): 1 failure, 64 usage, 69 unavailable, 75 try again, 78 config.
 * `retry` is read by the daemon: it decides what happens to a sync that ended with the code.
 */

/** How the daemon goes on after an error: `backoff` tries again soon and ever later, `hold` after a fixed pause, `stop` waits for a person. */
export type RetryRule =
  | { readonly kind: 'backoff'; readonly firstMs: number; readonly maxMs: number }
  | { readonly kind: 'hold'; readonly ms: number }
  | { readonly kind: 'stop' };

interface CodeRule {
  readonly exit: 1 | 64 | 69 | 75 | 78;
  readonly retry: RetryRule;
}

const SOON: RetryRule = { kind: 'backoff', firstMs: 500, maxMs: 60_000 };
/** Hosts ban an address after repeated failed logins, so a refused login is not hammered. */
const LATER: RetryRule = { kind: 'hold', ms: 600_000 };
const STOP: RetryRule = { kind: 'stop' };

export const ERROR_CODES = {
  // --- use of the command line
  /** The command line could not be understood. See `sluice COMMAND --help`. */
  USAGE: { exit: 64, retry: STOP },
  /** A destructive change was asked for without consent: pass `--yes`, a reviewed plan, or answer on a terminal. */
  CONSENT_NEEDED: { exit: 64, retry: STOP },

  // --- config
  /** The config file has mistakes; each is listed with its place. */
  CONFIG_INVALID: { exit: 78, retry: STOP },
  /** The config file could not be read. */
  CONFIG_UNREADABLE: { exit: 78, retry: STOP },
  /** A secret reference ({env}, {file}, {credential}) points at nothing. */
  SECRET_MISSING: { exit: 78, retry: STOP },
  /** The config asks for something this version does not do yet; the message says what and what to use instead. */
  NOT_SUPPORTED_YET: { exit: 78, retry: STOP },

  // --- source: connection
  /** The host name does not resolve. */
  SOURCE_HOST_UNKNOWN: { exit: 69, retry: SOON },
  /** Nothing listens on the address, or it is out of reach. */
  SOURCE_UNREACHABLE: { exit: 69, retry: SOON },
  /** The server did not answer in time. */
  SOURCE_TIMEOUT: { exit: 69, retry: SOON },
  /** User or password are wrong, or pg_hba.conf refuses the connection. */
  SOURCE_LOGIN_REFUSED: { exit: 69, retry: LATER },
  /** The database does not exist on the server. */
  SOURCE_DATABASE_MISSING: { exit: 69, retry: LATER },
  /** TLS was asked for and the server offers none. */
  SOURCE_TLS_REFUSED: { exit: 69, retry: LATER },
  /** The server's certificate could not be verified. */
  SOURCE_TLS_UNVERIFIED: { exit: 69, retry: LATER },
  /** The connection broke while it was in use. */
  SOURCE_CONNECTION_LOST: { exit: 69, retry: SOON },
  /** Postgres has no free connection slot, is starting up or shutting down. */
  SOURCE_BUSY: { exit: 69, retry: SOON },

  // --- source: objects
  /** A table named in the config does not exist in the database. */
  TABLE_MISSING: { exit: 1, retry: LATER },
  /** The method needs a primary key and the table has none. */
  PRIMARY_KEY_MISSING: { exit: 1, retry: LATER },
  /** The kind of table (unlogged, foreign, a view, a partition) does not go with the method. Use another method. */
  METHOD_UNSUITABLE: { exit: 1, retry: LATER },
  /** The table's replica identity does not carry its key, so updates and deletes could not be told apart. */
  REPLICA_IDENTITY_UNSUITABLE: { exit: 1, retry: LATER },
  /** Two columns would have one name in the destination, which does not tell case apart, or one would be a metadata column's. */
  COLUMN_NAME_CLASH: { exit: 1, retry: LATER },
  /** Two tables would become one table of the destination. Use `target_schema` to keep them apart. */
  TARGET_CLASH: { exit: 78, retry: STOP },
  /** A `moved:` entry cannot be followed. */
  MOVE_INVALID: { exit: 78, retry: STOP },
  /** A column named in the config does not exist in the table. */
  COLUMN_MISSING: { exit: 1, retry: LATER },
  /** The role may not read the table or use the schema. */
  PRIVILEGE_MISSING: { exit: 1, retry: LATER },
  /** The server's settings or version do not allow what the config asks for. */
  SERVER_UNSUITABLE: { exit: 1, retry: LATER },
  /** Postgres refused a statement; the message carries its own words and SQLSTATE. */
  SOURCE_SQL_FAILED: { exit: 1, retry: SOON },
  /** A transaction that wrote to the table before it was published is still open; the snapshot waits for it. */
  SNAPSHOT_WAIT_TIMEOUT: { exit: 75, retry: SOON },

  /** A transaction's change was delivered before its commit became visible to a snapshot; the load is made again. */
  SNAPSHOT_RACED: { exit: 75, retry: SOON },
  /** An unchanged TOAST value has no earlier value in the destination; the table needs a resync. */
  UNCHANGED_VALUE_LOST: { exit: 1, retry: STOP },

  // --- slot and publication
  /** The replication slot does not exist. */
  SLOT_MISSING: { exit: 1, retry: STOP },
  /** Another process reads from the slot. */
  SLOT_IN_USE: { exit: 75, retry: SOON },
  /** The slot has been moved beyond what the destination holds: changes in between are gone; a resync is needed. */
  SLOT_AHEAD: { exit: 1, retry: STOP },
  /** The server removed WAL that the slot needs; a resync is needed. */
  SLOT_LOST: { exit: 1, retry: STOP },
  /**
   * The server's WAL ends before the position that the destination holds: it was restored from a backup, or a standby that
   * lagged behind took over. What the destination has beyond that is not in the server any more; a resync is needed.
   */
  SERVER_BEHIND: { exit: 1, retry: STOP },
  /**
   * The server is on another timeline since a failover or a restore, and the destination's position is not, or cannot be
   * shown to be, part of its history; a resync is needed. Where the role may open a replication connection, a failover that
   * lost nothing is recognised and streaming goes on.
   */
  TIMELINE_CHANGED: { exit: 1, retry: STOP },
  /** The slot held back more WAL than `cdc.lag.critical_mb` allows. Where the guard dropped it, plan and apply make a new one and load the tables anew. */
  WAL_LAG_CRITICAL: { exit: 1, retry: STOP },
  /** The connection now reaches another database cluster, or another database, than the one the state was made with. */
  SYSTEM_CHANGED: { exit: 1, retry: STOP },
  /** A slot of that name exists which this state did not make. Drop it, or set another name under cdc.slot. */
  SLOT_OCCUPIED: { exit: 1, retry: STOP },
  /** A publication of that name exists which this state did not make. Drop it, or set another name under cdc.publication. */
  PUBLICATION_OCCUPIED: { exit: 1, retry: STOP },
  /** The publication does not exist. */
  PUBLICATION_MISSING: { exit: 1, retry: STOP },
  /** The publication lacks tables or settings; the hint has the SQL. */
  PUBLICATION_INCOMPLETE: { exit: 1, retry: STOP },

  // --- wire formats
  /** A text that should be an LSN is none. */
  LSN_MALFORMED: { exit: 1, retry: STOP },
  /** Postgres sent bytes that do not follow its protocol; nothing of that batch was kept. */
  PROTOCOL_VIOLATION: { exit: 1, retry: STOP },
  /** A value could not be decoded as its type; nothing of that batch was kept. */
  VALUE_MALFORMED: { exit: 1, retry: STOP },
  /** A key value cannot be represented in the destination, so rows could not be told apart. */
  KEY_NOT_REPRESENTABLE: { exit: 1, retry: STOP },
  /** A table's columns or key changed so that its rows cannot be told any more; the plan says how to go on (a resync). */
  SCHEMA_CHANGED: { exit: 1, retry: STOP },
  /** A table was altered between the look at it and the lock that its snapshot takes; the next sync reads it as it is then. */
  SCHEMA_MOVED: { exit: 1, retry: SOON },

  // --- destination
  /** The destination file is held by another process. */
  DESTINATION_BUSY: { exit: 75, retry: SOON },
  /** The destination could not be opened or written. */
  DESTINATION_FAILED: { exit: 69, retry: SOON },
  /** A table of that name that Sluice did not make is in the way. */
  DESTINATION_OCCUPIED: { exit: 1, retry: STOP },
  /** A source's ledger in the lake cannot be read. It is never overwritten: bring it back, or move the lake aside and load anew. */
  LEDGER_UNREADABLE: { exit: 1, retry: STOP },
  /** Another Sluice has written the same source to the same lake. Only one may: end the other one. What it wrote stands. */
  LAKE_FENCED: { exit: 1, retry: STOP },
  /**
   * Somebody else wrote the `latest.json` of a table of Parquet files that Sluice keeps; nothing was overwritten. Let nobody
   * else write there, then `sluice resync` the table.
   */
  PARQUET_FOREIGN_WRITE: { exit: 1, retry: STOP },
  /** A table's `latest.json` is gone or cannot be read. Bring it back from an older version, or `sluice resync` the table. */
  PARQUET_MANIFEST_CORRUPT: { exit: 1, retry: STOP },
  /** A column has the name of one that Sluice adds to Parquet files (`_sluice_commit`, `_sluice_removed`). Leave it out. */
  PARQUET_COLUMN_RESERVED: { exit: 1, retry: STOP },
  /**
   * Somebody rearranged a table's files in the middle of a commit, or what the lake holds of a source has changed since the
   * sync began. Nothing was changed; the next sync goes on from what is there.
   */
  LAKE_MOVED: { exit: 75, retry: SOON },
  /** A deletion vector of a Delta table does not follow its format, or its CRC is wrong: the message says in which file and where. Nothing was read from it. */
  DELTA_DV_CORRUPT: { exit: 1, retry: STOP },
  /** A deletion vector is larger than Sluice handles: a data file of more than 4,294,967,296 rows, or vectors of 2 GiB for one file. */
  DELTA_DV_UNSUPPORTED: { exit: 1, retry: STOP },

  // --- the store of a lake: a bucket or a folder
  /** The store did not answer: network, time-out, or it keeps answering that it is out of order or overloaded (5xx). */
  STORE_UNREACHABLE: { exit: 69, retry: SOON },
  /** An object that must be there is not: somebody removed it. */
  STORE_OBJECT_MISSING: { exit: 1, retry: SOON },
  /** The store's certificate could not be verified. For a CA of your own set `ca_file`. */
  STORE_TLS_UNVERIFIED: { exit: 69, retry: LATER },
  /** The store refuses the request; the message names the permission that is needed. `sluice doctor --policy` prints what it needs. */
  STORE_FORBIDDEN: { exit: 69, retry: LATER },
  /** The bucket, or the folder, does not exist. Sluice makes no buckets. */
  STORE_BUCKET_MISSING: { exit: 69, retry: LATER },
  /** The bucket is in another region than the one set, or none is set. */
  STORE_REGION: { exit: 69, retry: LATER },
  /** No credentials were found, or the store does not know them, or they have expired. Fetching them may fail for a moment. */
  STORE_CREDENTIALS: { exit: 69, retry: SOON },
  /** This machine's clock is too far from the store's for signed requests. Set it by NTP. */
  STORE_CLOCK_SKEW: { exit: 69, retry: LATER },
  /** An object was replaced or cut while it was read, or is shorter than it was written. */
  STORE_OBJECT_CHANGED: { exit: 1, retry: SOON },
  /** Other writers of the same object kept coming first; nothing was written. */
  STORE_CONFLICT: { exit: 75, retry: SOON },
  /** The folder under `work_path`, where a lake's loads and merges are prepared, cannot be made or written. */
  WORK_FOLDER_UNWRITABLE: { exit: 78, retry: LATER },
  /** The store has no conditional writes, or ignores them, so two writers could overwrite each other. Use another store. */
  STORE_NOT_CONDITIONAL: { exit: 78, retry: STOP },
  /** The store refused for another reason; the message carries its own words. */
  STORE_FAILED: { exit: 69, retry: SOON },

  // --- Delta tables
  /**
   * A table's Delta log cannot be followed: a commit is missing in between, or a file of it is damaged. The message names the
   * place. Nothing is written. Restore the file from a backup or the bucket's versions, or move the table's folder away and
   * `sluice resync` the table.
   */
  DELTA_LOG_CORRUPT: { exit: 1, retry: STOP },
  /**
   * The table uses a feature of Delta that Sluice does not write with (column mapping, row tracking, ...); somebody else
   * switched it on. The message names it. Switch it off with the engine that did, or give Sluice another folder.
   */
  DELTA_FEATURE_UNSUPPORTED: { exit: 1, retry: STOP },
  /** A column has a type that Delta has not, or that Sluice does not write (map, struct, variant). Override it under `types:`. */
  DELTA_TYPE_UNSUPPORTED: { exit: 1, retry: STOP },
  /** Another Sluice has taken over this table and has committed since; this one steps back. Run one daemon for a source. */
  DELTA_FENCED: { exit: 1, retry: STOP },
  /**
   * Somebody else wrote rows to a table that Sluice keeps, or changed its columns; nothing was overwritten. Let nobody else
   * write there (maintenance such as OPTIMIZE is welcome), then `sluice resync` the table.
   */
  DELTA_FOREIGN_WRITE: { exit: 1, retry: STOP },
  /** Others committed to the table faster than this commit could be made; it is tried again. */
  DELTA_CONTENDED: { exit: 75, retry: SOON },

  // --- the store of a lake: a bucket or a folder

  // --- state and plans
  /** The state is locked by another process. */
  STATE_LOCKED: { exit: 75, retry: SOON },
  /** The state could not be read: it is damaged. It is never overwritten. */
  STATE_UNREADABLE: { exit: 1, retry: STOP },
  /** The state was written by a newer Sluice. */
  STATE_NEWER: { exit: 1, retry: STOP },
  /** The state changed since it was read (another writer). */
  STATE_CONFLICT: { exit: 75, retry: SOON },
  /** The plan was made against another state or config. */
  PLAN_STALE: { exit: 1, retry: STOP },
  /** The plan could not be written to the file given with --out. */
  PLAN_UNWRITABLE: { exit: 1, retry: STOP },
  /** The plan file is not a plan, or of another format version. */
  PLAN_UNREADABLE: { exit: 1, retry: STOP },
  /** The address names no source, table, slot or publication of the config. */
  ADDRESS_UNKNOWN: { exit: 64, retry: STOP },
  /** Some changes of a plan failed; each is listed. */
  APPLY_INCOMPLETE: { exit: 1, retry: STOP },
  /** Some tables failed in a sync; each is listed. */
  SYNC_INCOMPLETE: { exit: 1, retry: SOON },
  /** verify found rows that differ from the source; each table lists them. `sluice resync` loads a table anew. */
  VERIFY_DIFFERENCES: { exit: 1, retry: STOP },
  /** The table cannot be compared now: it waits for a load (a TRUNCATE came, say), or it is disabled. Sync it first. */
  VERIFY_NOT_READY: { exit: 75, retry: SOON },
  /** An alert could not be delivered: the webhook or the command of `alerts:` failed. What it was about stands in the log. */
  ALERT_FAILED: { exit: 1, retry: SOON },
  /** Messages of a large transaction could not be kept on disk (`spill/` beside the state): it is full or fails. */
  SPILL_FAILED: { exit: 69, retry: SOON },
  /** Something did not end within its deadline. */
  TIMEOUT: { exit: 75, retry: SOON },
  /** The work was cancelled by a signal or by the caller. */
  CANCELLED: { exit: 1, retry: STOP },
  /** A fault in Sluice itself. Please report it. */
  INTERNAL: { exit: 1, retry: STOP },
} as const satisfies Record<string, CodeRule>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** Whether a code that came as text (a plan's blocker, a finding) is one of these. */
export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERROR_CODES, text);
}
