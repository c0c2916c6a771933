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
  /**
   * The command line could not be understood: an unknown command or option, a missing argument, or two options that
   * exclude one another. The hint names what was probably meant; `sluice COMMAND --help` lists the rest.
   */
  USAGE: { exit: 64, retry: STOP },
  /**
   * A command that changes or destroys something would have asked, and there is nobody to ask (no terminal, as in
   * CI). Nothing was changed. Pass `--yes`, apply a plan that was reviewed (`plan --out`), or run it on a terminal.
   */
  CONSENT_NEEDED: { exit: 64, retry: STOP },

  // --- config
  /**
   * The config file has mistakes: YAML that cannot be read, an unknown key, a wrong value or a combination that
   * cannot work. Each is listed as file:line:column. Mend them; `sluice validate` checks the file without asking a
   * server. A daemon goes on with the last good config.
   */
  CONFIG_INVALID: { exit: 78, retry: STOP },
  /**
   * The config file could not be read: it is not there, or this account may not read it. Give its place with `-c`, or
   * mend its permissions; `sluice init` writes a first one.
   */
  CONFIG_UNREADABLE: { exit: 78, retry: STOP },
  /**
   * The config file could not be written or edited: it is there already, its folder cannot be written, or it changed
   * meanwhile; the message says which. Nothing of it was changed. Mend that, or give another file with `-c`.
   */
  CONFIG_UNWRITABLE: { exit: 1, retry: STOP },
  /**
   * A secret reference points at nothing: the variable of `{ env }` is not set in this process, or the file of `{
   * file }` or `{ credential }` cannot be read. Set it where Sluice runs; a service has another environment than your
   * shell.
   */
  SECRET_MISSING: { exit: 78, retry: STOP },

  // --- daemon
  /**
   * `daemon.http` or `daemon.socket` cannot listen: another process has the port, the address is not this machine's,
   * or the path cannot be used. End the other process or set another address or path.
   */
  LISTEN_FAILED: { exit: 69, retry: SOON },
  /** Another daemon runs with this control socket; the message has its pid. Stop it, or give this one another `daemon.socket`. */
  DAEMON_RUNNING: { exit: 75, retry: SOON },
  /** No daemon answers at the control socket. Start one (`sluice daemon`), or give the config that it runs with (`-c`). */
  DAEMON_NOT_RUNNING: { exit: 69, retry: SOON },
  /**
   * Something has the control socket, but it may not be used, or gives no answer: the message says which. Use the
   * account that the daemon runs under; where it hangs, restart it.
   */
  DAEMON_UNREACHABLE: { exit: 69, retry: SOON },
  /**
   * The daemon stopped, or went over to another config, while it worked for this command. What it had committed stands.
   * Run the command again: it works with the daemon that runs then, or without one.
   */
  DAEMON_STOPPED: { exit: 75, retry: SOON },
  /**
   * The daemon was killed, or broke off, while it worked for this command. What it had committed stands, and nothing is half
   * done. Look at `sluice status` and run the command again.
   */
  DAEMON_LOST: { exit: 69, retry: SOON },
  /**
   * The changed config is right, but the daemon could not go over to it: the cause says why. The last good one goes
   * on. Mend the cause, then `sluice reload`.
   */
  RELOAD_FAILED: { exit: 1, retry: STOP },

  // --- source: connection
  /**
   * The host name of a connection does not resolve: it is misspelt, DNS is down, or the name is known in another
   * network alone. Check `host` from the machine where Sluice runs; behind a `tunnel` the SSH host resolves it.
   */
  SOURCE_HOST_UNKNOWN: { exit: 69, retry: SOON },
  /**
   * Nothing listens on the address, or no route leads there: a wrong port, a server that is down, a firewall. Try
   * `psql` from the same machine.
   */
  SOURCE_UNREACHABLE: { exit: 69, retry: SOON },
  /**
   * The server did not answer within `connect_timeout`, or fell silent. Mostly a firewall drops the packets, or the
   * server is overloaded. Check that it can be reached, or give it more time.
   */
  SOURCE_TIMEOUT: { exit: 69, retry: SOON },
  /**
   * Postgres refused the login: user or password are wrong, or `pg_hba.conf` has no line for this host, user and
   * database. Mend what the message names; after a change of the password the next attempt comes by itself.
   */
  SOURCE_LOGIN_REFUSED: { exit: 69, retry: LATER },
  /**
   * The database does not exist on the server: its name is misspelt, or this is another server. Correct `database` of
   * the connection.
   */
  SOURCE_DATABASE_MISSING: { exit: 69, retry: LATER },
  /**
   * TLS was asked for and the server offers none. Switch it on there (`ssl = on`); for a server on this machine alone
   * `tls: { mode: disable }` will do.
   */
  SOURCE_TLS_REFUSED: { exit: 69, retry: LATER },
  /**
   * The server's certificate could not be verified: it is signed by an authority that this machine does not know,
   * made for another name, or expired. Name the provider's file as `tls: { ca_file }`, or connect by the name that is
   * in the certificate.
   */
  SOURCE_TLS_UNVERIFIED: { exit: 69, retry: LATER },
  /**
   * The connection broke while it was in use: the server restarted, the network failed, or somebody ended the
   * session. Nothing half-done was kept; the next attempt goes on from the last commit.
   */
  SOURCE_CONNECTION_LOST: { exit: 69, retry: SOON },
  /**
   * Postgres has no free connection slot, is starting up or shutting down. It is tried again; where it stays so,
   * raise `max_connections` or end sessions that nobody needs.
   */
  SOURCE_BUSY: { exit: 69, retry: SOON },

  // --- source: SSH tunnel
  /**
   * The SSH host of a tunnel, or the next one behind it, is out of reach, does not answer in time or has no room.
   * Check `host` and `port` with `ssh` from the same machine.
   */
  TUNNEL_UNREACHABLE: { exit: 69, retry: SOON },
  /**
   * The SSH host refuses user, key or password; the message says what was tried and what the server takes. Put the
   * key into its `authorized_keys`, or correct `user`. It is tried again rarely, as hosts ban who knocks often.
   */
  TUNNEL_LOGIN_REFUSED: { exit: 69, retry: LATER },
  /**
   * The private key of a tunnel cannot be used: its passphrase is missing or wrong, or the file is no key. Set
   * `passphrase`, or name the private file (not the `.pub`).
   */
  TUNNEL_KEY_UNUSABLE: { exit: 78, retry: LATER },
  /** Nothing says which key the SSH host must have. Compare the fingerprint in the message, then set it as `host_key`. */
  TUNNEL_HOST_KEY_UNKNOWN: { exit: 78, retry: LATER },
  /**
   * The SSH host shows another key than the one it must have, or a revoked one: it was set up anew, or somebody is in
   * between. Nothing was sent to it. Ask its administrator; only then replace `host_key` or the line of
   * `known_hosts`.
   */
  TUNNEL_HOST_KEY_CHANGED: { exit: 69, retry: LATER },
  /**
   * The SSH host let the login in but does not forward connections to the database: `AllowTcpForwarding` or
   * `PermitOpen` forbid it, or the database is down or unknown there. The message has the host's own reason.
   */
  TUNNEL_FORWARD_REFUSED: { exit: 69, retry: LATER },
  /** A tunnel broke, or fell silent, while it was in use. It is opened again with the next attempt. */
  TUNNEL_LOST: { exit: 69, retry: SOON },

  // --- source: objects
  /**
   * A table named in the config does not exist in the database: it was dropped or renamed, or its name is written
   * otherwise (Postgres folds to lower case what is not quoted). Correct or remove the entry, or add one under
   * `moved:`; `sluice discover` lists what is there.
   */
  TABLE_MISSING: { exit: 1, retry: LATER },
  /**
   * The method matches rows by a primary key and the table has none. Add one, name the columns as `primary_key`
   * (incremental), or use `method: append` or `full_table`.
   */
  PRIMARY_KEY_MISSING: { exit: 1, retry: LATER },
  /** The kind of table (unlogged, foreign, a view, a partition) does not go with the method. Use another method. */
  METHOD_UNSUITABLE: { exit: 1, retry: LATER },
  /**
   * The table's replica identity does not carry its key (NOTHING, or an index on other columns), so updates and
   * deletes could not be matched to rows. The hint has the `alter table ... replica identity` that mends it.
   */
  REPLICA_IDENTITY_UNSUITABLE: { exit: 1, retry: LATER },
  /**
   * Two columns would have one name in the destination, which does not tell case apart, or one would have the name of
   * a metadata column. Leave one out with `columns: { exclude }`, or set another `metadata_prefix`.
   */
  COLUMN_NAME_CLASH: { exit: 1, retry: LATER },
  /**
   * Two tables, mostly of two sources, would become one table of the destination. Keep them apart with
   * `target_schema`, such as `"{source}_{schema}"`.
   */
  TARGET_CLASH: { exit: 78, retry: STOP },
  /**
   * A `moved:` entry cannot be followed: its new address is not in the file, its old one is still there, or two
   * entries contradict each other. Correct it; an entry that was applied may stay or go.
   */
  MOVE_INVALID: { exit: 78, retry: STOP },
  /**
   * A column named in the config (cursor, key, include, exclude, types) does not exist in the table: misspelt,
   * dropped or renamed. Correct the entry.
   */
  COLUMN_MISSING: { exit: 1, retry: LATER },
  /**
   * The role may not read the table, use its schema, or do what the method needs. The hint has the `grant`; `sluice
   * doctor` lists all that are missing at once.
   */
  PRIVILEGE_MISSING: { exit: 1, retry: LATER },
  /**
   * The server's settings, role or version do not allow what the config asks for: `wal_level`, no free slot, a
   * standby, a Postgres older than 13. The message says which; `sluice doctor` has the SQL, and whether it takes a
   * restart.
   */
  SERVER_UNSUITABLE: { exit: 1, retry: LATER },
  /**
   * Postgres refused a statement; the message carries its own words and SQLSTATE. Where they do not say what to do,
   * look into the server's log at that time.
   */
  SOURCE_SQL_FAILED: { exit: 1, retry: SOON },
  /**
   * A transaction that wrote to the table before it was published is still open, and a load that did not wait for it
   * would miss its rows. It is tried again; `status` shows whom it waits for. End a session that was forgotten
   * (`pg_terminate_backend`).
   */
  SNAPSHOT_WAIT_TIMEOUT: { exit: 75, retry: SOON },
  /**
   * A transaction's change was delivered before its commit became visible to a snapshot, which happens rarely while
   * many commit at once. Nothing was kept; the load is made again by itself.
   */
  SNAPSHOT_RACED: { exit: 75, retry: SOON },
  /**
   * A row's large value came as unchanged (TOAST), and the destination has no earlier one to take it from: rows there
   * were changed or deleted by others. Load the table anew: `sluice resync ADDRESS`.
   */
  UNCHANGED_VALUE_LOST: { exit: 1, retry: STOP },

  // --- slot and publication
  /**
   * The replication slot does not exist: somebody dropped it, or a failover did not take it along. What was written
   * since is in no slot, so `plan` shows a new slot and new loads; `sluice apply` makes them. See recovery.md.
   */
  SLOT_MISSING: { exit: 1, retry: STOP },
  /**
   * Another process reads from the slot: a second Sluice, a debugging session, or a connection that the server has
   * not given up yet. It is tried again; `pg_replication_slots.active_pid` has its session. Each Sluice needs a slot
   * of its own.
   */
  SLOT_IN_USE: { exit: 75, retry: SOON },
  /**
   * The slot has been moved beyond what the destination holds: somebody else read from it, or an older copy of the
   * destination was put back. The changes in between are gone; `sluice plan` and `apply` load the tables anew.
   */
  SLOT_AHEAD: { exit: 1, retry: STOP },
  /**
   * The server removed WAL that the slot needs (`max_slot_wal_keep_size`, an idle timeout). The changes in it are
   * gone; `sluice plan` and `apply` make a new slot and load the tables anew. Sync more often or raise the limit.
   */
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
  /**
   * The connection now reaches another database cluster, or another database, than the one the state was made with.
   * Where that is a mistake, correct the connection, and nothing has happened. Where it is meant, `sluice plan` shows
   * the new loads and `apply` does them.
   */
  SYSTEM_CHANGED: { exit: 1, retry: STOP },
  /** A slot of that name exists which this state did not make. Drop it, or set another name under cdc.slot. */
  SLOT_OCCUPIED: { exit: 1, retry: STOP },
  /** A publication of that name exists which this state did not make. Drop it, or set another name under cdc.publication. */
  PUBLICATION_OCCUPIED: { exit: 1, retry: STOP },
  /**
   * The publication does not exist: somebody dropped it, or with `management: self_managed` it was never made.
   * Managed: `sluice plan` and `apply` make it anew. Self-managed: run what `sluice cdc setup-sql` prints.
   */
  PUBLICATION_MISSING: { exit: 1, retry: STOP },
  /**
   * The publication lacks tables, columns or settings that the config asks for, so changes would be missing. The hint
   * has the SQL; managed, `sluice apply` runs it, self-managed its owner does (`sluice cdc setup-sql`).
   */
  PUBLICATION_INCOMPLETE: { exit: 1, retry: STOP },

  // --- wire formats
  /**
   * A text that should be a position in the WAL (an LSN such as 0/16B3748) is none, so something else than Postgres
   * or Sluice wrote it. Nothing was moved. Where it stands in the destination's own tables, bring those back from a
   * backup.
   */
  LSN_MALFORMED: { exit: 1, retry: STOP },
  /**
   * Postgres sent bytes that do not follow its protocol: something in between changed them, or this is another kind
   * of server. Nothing of that batch was kept. Connect to the server directly; where it happens there too, please
   * report it.
   */
  PROTOCOL_VIOLATION: { exit: 1, retry: STOP },
  /**
   * A value could not be decoded as the type of its column; nothing of that batch was kept. Name the column under
   * `types:` as `varchar` to go on, and please report it with the type.
   */
  VALUE_MALFORMED: { exit: 1, retry: STOP },
  /**
   * A key value cannot be represented in the destination (an infinity, a NaN), and without it rows could not be told
   * apart. Mend the row in Postgres, or take the key column as text: `types: { column: varchar }`.
   */
  KEY_NOT_REPRESENTABLE: { exit: 1, retry: STOP },
  /** A table's columns or key changed so that its rows cannot be told any more; the plan says how to go on (a resync). */
  SCHEMA_CHANGED: { exit: 1, retry: STOP },
  /** A table was altered between the look at it and the lock that its snapshot takes; the next sync reads it as it is then. */
  SCHEMA_MOVED: { exit: 1, retry: SOON },

  // --- destination
  /**
   * The destination file is held by another process that reads or writes it; the message has its pid where it is
   * known. It is waited for and tried again, and nothing is lost. For readers that keep it open for hours set
   * `publish:`.
   */
  DESTINATION_BUSY: { exit: 75, retry: SOON },
  /**
   * The destination could not be opened, written or asked: a full disk, a folder without rights, a damaged file, or
   * SQL of `sluice query` that DuckDB refuses; the message has its own words. What was not committed is tried again.
   */
  DESTINATION_FAILED: { exit: 69, retry: SOON },
  /**
   * DuckDB needed more memory than the destination's `memory_limit_mb` allows, mostly for very wide rows: raise it. Nothing
   * was lost; the work is tried again.
   */
  DESTINATION_MEMORY: { exit: 1, retry: SOON },
  /**
   * A table of that name that Sluice did not make is in the way, and it is never overwritten. Rename or drop it, or
   * set another `target_schema`.
   */
  DESTINATION_OCCUPIED: { exit: 1, retry: STOP },
  /**
   * The destination in the config is another place than the one that the source was applied with, so nothing is synced:
   * changes would be read into the wrong one. Where only the checkout lies in another folder (a CI that shares the state),
   * run it where the file is, or give the destination an absolute path. Where it is meant to move, `sluice plan` shows the
   * loads and `apply` makes them.
   */
  DESTINATION_CHANGED: { exit: 78, retry: STOP },
  /**
   * Tables were loaded into a file or folder that does not exist on this machine: another machine has it, its disk is not
   * mounted, or it was deleted. It is not made anew, as changes would be read into an empty one. Run it on the machine that
   * has it, or bring it back; where it is lost, `sluice resync SOURCE` loads everything into a new one.
   */
  DESTINATION_ABSENT: { exit: 69, retry: LATER },
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
  /**
   * A deletion vector is larger than Sluice handles: a data file of more than 4,294,967,296 rows, or vectors of 2 GiB
   * for one file. Another engine wrote such a file; rewrite it in smaller ones there, or `sluice resync` the table.
   */
  DELTA_DV_UNSUPPORTED: { exit: 1, retry: STOP },

  // --- the store of a lake: a bucket or a folder
  /**
   * The store did not answer: network, time-out, or it keeps answering that it is out of order or overloaded (5xx).
   * It is tried again by itself; check `endpoint` and `region` where it has never worked.
   */
  STORE_UNREACHABLE: { exit: 69, retry: SOON },
  /**
   * An object that must be there is not: somebody removed it, or a lifecycle rule of the bucket did. Take Sluice's
   * prefix out of such rules; bring the object back from the bucket's versions, or `sluice resync` the table.
   */
  STORE_OBJECT_MISSING: { exit: 1, retry: SOON },
  /** The store's certificate could not be verified. For a CA of your own set `ca_file`. */
  STORE_TLS_UNVERIFIED: { exit: 69, retry: LATER },
  /** The store refuses the request; the message names the permission that is needed. `sluice doctor --policy` prints what it needs. */
  STORE_FORBIDDEN: { exit: 69, retry: LATER },
  /**
   * The bucket, or the folder, does not exist: misspelt, or of another account. Sluice makes no buckets: make it, or
   * correct `bucket`.
   */
  STORE_BUCKET_MISSING: { exit: 69, retry: LATER },
  /** The bucket is in another region than the one set, or none is set. Set `region` to the one in the message. */
  STORE_REGION: { exit: 69, retry: LATER },
  /**
   * No credentials were found, or the store does not know them, or they have expired. Set `access_key_id` and
   * `secret_access_key`, `profile`, or what the AWS SDK looks for. Fetching them may also fail for a moment, so it is
   * tried again.
   */
  STORE_CREDENTIALS: { exit: 69, retry: SOON },
  /** This machine's clock is too far from the store's for signed requests. Set it by NTP. */
  STORE_CLOCK_SKEW: { exit: 69, retry: LATER },
  /**
   * An object was replaced or cut while it was read, or is shorter than it was written: another writer, or a damaged
   * disk. It is read again; where it stays so, bring it back from the bucket's versions or `sluice resync` the table.
   */
  STORE_OBJECT_CHANGED: { exit: 1, retry: SOON },
  /**
   * Other writers of the same object kept coming first; nothing was written. It is tried again. Where it stays so,
   * two Sluices write to one place: give each its own `prefix` or state.
   */
  STORE_CONFLICT: { exit: 75, retry: SOON },
  /**
   * The folder under `work_path`, where a lake's loads and merges are prepared, cannot be made or written. Give the
   * account the right to, or set another `work_path` on a local disk.
   */
  WORK_FOLDER_UNWRITABLE: { exit: 78, retry: LATER },
  /** The store has no conditional writes, or ignores them, so two writers could overwrite each other. Use another store. */
  STORE_NOT_CONDITIONAL: { exit: 78, retry: STOP },
  /**
   * The store refused for another reason; the message carries its own words. It is tried again; `sluice doctor` tries
   * each thing that Sluice needs by itself.
   */
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
  /**
   * One load or page of changes would write more than 10,000 partitions of a table: its `partition_by` has too many different
   * values. Nothing of it was written. Take another column, or none.
   */
  DELTA_PARTITIONS_TOO_MANY: { exit: 1, retry: STOP },
  /** Another Sluice has taken over this table and has committed since; this one steps back. Run one daemon for a source. */
  DELTA_FENCED: { exit: 1, retry: STOP },
  /**
   * Somebody else wrote rows to a table that Sluice keeps, or changed its columns; nothing was overwritten. Let nobody else
   * write there (maintenance such as OPTIMIZE is welcome), then `sluice resync` the table.
   */
  DELTA_FOREIGN_WRITE: { exit: 1, retry: STOP },
  /** Others committed to the table faster than this commit could be made; it is tried again. */
  DELTA_CONTENDED: { exit: 75, retry: SOON },

  // --- state and plans
  /**
   * The state is locked by another process, such as an apply, a sync or the daemon; the message has its command, host
   * and age. Wait for it or end it. The lock of a process that died on this machine frees itself; of one on another
   * machine `sluice state unlock` does.
   */
  STATE_LOCKED: { exit: 75, retry: SOON },
  /**
   * The state could not be read: it is damaged, or no state at all. It is never overwritten. Bring it back from a
   * backup (`sluice state import`); see recovery.md for where there is none.
   */
  STATE_UNREADABLE: { exit: 1, retry: STOP },
  /**
   * The state was written by a newer Sluice, which this one might misread. Use that version or a later one; to go
   * back, put the backup of the old format in its place.
   */
  STATE_NEWER: { exit: 1, retry: STOP },
  /** `state import` or `state migrate` would put a document over one that it does not follow from; the hint says what to do. */
  STATE_IN_THE_WAY: { exit: 1, retry: STOP },
  /** The state was moved elsewhere by `sluice state migrate`: use the config whose `state:` block names that place. */
  STATE_MOVED: { exit: 78, retry: STOP },
  /**
   * The state changed since it was read: another writer came first. Nothing of it was overwritten; run the command
   * again.
   */
  STATE_CONFLICT: { exit: 75, retry: SOON },
  /**
   * The plan was made against another state or config: something was applied, or the file was edited, since. Nothing
   * was done. Make and review a new one: `sluice plan --out FILE`.
   */
  PLAN_STALE: { exit: 1, retry: STOP },
  /** The plan was made without looking at databases and destinations, or tells only drift: it is for reading. Make one with `sluice plan --out FILE` where they can be reached. */
  PLAN_UNOBSERVED: { exit: 1, retry: STOP },
  /**
   * The file to compare with (`plan --base REF`) could not be read from git: no repository, no such commit, no git.
   * In CI the checkout is mostly too shallow: fetch the branch first.
   */
  BASE_UNREADABLE: { exit: 64, retry: STOP },
  /**
   * The plan could not be written to the file given with `--out`: the folder is missing or may not be written, or the
   * disk is full. Give another file.
   */
  PLAN_UNWRITABLE: { exit: 1, retry: STOP },
  /**
   * The plan file is not a plan, or was cut, or is of another version of the format. Make it anew with this version:
   * `sluice plan --out FILE`.
   */
  PLAN_UNREADABLE: { exit: 1, retry: STOP },
  /**
   * The address names no source, table, slot or publication of the config. Addresses are `source`,
   * `source:schema.table`, `source:slot`, `source:publication`; `sluice ls` lists those of tables.
   */
  ADDRESS_UNKNOWN: { exit: 64, retry: STOP },
  /** What was asked for is paused, or its source is: nothing of it is synced until `sluice resume`. */
  PAUSED: { exit: 1, retry: STOP },
  /**
   * `sluice query` only reads, as tables are written by syncs alone. Write elsewhere: attach the file read-only in a
   * DuckDB of your own.
   */
  QUERY_READ_ONLY: { exit: 64, retry: STOP },
  /** DuckDB does not take a query, or could not finish it: the message has its reason. */
  QUERY_FAILED: { exit: 1, retry: STOP },
  /** A value of a query has no exact counterpart in the form that was asked for; as text it has. */
  QUERY_UNREPRESENTABLE: { exit: 1, retry: STOP },
  /**
   * Some changes of a plan failed, and those that build on them were not attempted; each is listed with its error.
   * What was applied stays and is recorded. Mend the first one, then `sluice plan` shows what is left.
   */
  APPLY_INCOMPLETE: { exit: 1, retry: STOP },
  /**
   * Some tables failed in a sync, and the others are as new as they can be; each failed one is listed with its code.
   * Look that up, mend it and sync again.
   */
  SYNC_INCOMPLETE: { exit: 1, retry: SOON },
  /**
   * A comparison found rows that differ from the source; each table lists them. Somebody wrote to the destination, or
   * (please report it) Sluice made a mistake. `sluice resync` loads a table anew.
   */
  VERIFY_DIFFERENCES: { exit: 1, retry: STOP },
  /** The table cannot be compared now: it waits for a load (a TRUNCATE came, say), or it is disabled. Sync it first. */
  VERIFY_NOT_READY: { exit: 75, retry: SOON },
  /**
   * An alert could not be delivered: the webhook or the command of `alerts:` failed for good; the cause has its
   * answer. What it was about stands in the log, and other hooks have it. Mend the hook.
   */
  ALERT_FAILED: { exit: 1, retry: SOON },
  /**
   * Messages of a large transaction could not be kept on disk (`spill/` beside the state): it is full or fails. Make
   * room; the transaction is read again from the slot, and nothing is lost.
   */
  SPILL_FAILED: { exit: 69, retry: SOON },
  /**
   * Something did not end within its deadline; the message says what. It is tried again. Where it stays so, look for
   * what is slow: an overloaded server, a lock, a slow disk.
   */
  TIMEOUT: { exit: 75, retry: SOON },
  /**
   * The work was ended by a signal (Ctrl-C, SIGTERM) or by an answer that was no yes. What was committed stays; run
   * the command again to go on.
   */
  CANCELLED: { exit: 1, retry: STOP },
  /**
   * A fault in Sluice itself: something that its authors held to be impossible. What was not committed is undone. Run
   * it with `--debug` and please report it with the stack trace.
   */
  INTERNAL: { exit: 1, retry: STOP },
} as const satisfies Record<string, CodeRule>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** Whether a code that came as text (a plan's blocker, a finding) is one of these. */
export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERROR_CODES, text);
}
