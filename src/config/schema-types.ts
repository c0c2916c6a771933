// Made from schema/sources.schema.json by `npm run schema-types`. Change the schema, not this file.

/**
 * Where Sluice records what it has applied. Positions, cursors and runs are not there but in the destination, with the rows.
 */
export type State = StateFile | StateS3 | StatePostgres;
/**
 * Where a secret is found: { env: NAME }, { file: PATH } or { credential: NAME }. A plain string is taken as it stands; give it through ${VAR}.
 */
export type Secret =
  | string
  | {
      /**
       * Name of an environment variable, read when the secret is used.
       */
      env?: string;
      /**
       * Path of a file; ~ is the home folder, a relative path starts at this file. A newline at its end is dropped.
       */
      file?: string;
      /**
       * Name of a systemd credential (LoadCredential=), found in $CREDENTIALS_DIRECTORY.
       */
      credential?: string;
    };
/**
 * Days, hours, minutes, seconds, milliseconds: 1d, 1h30m, 30s, 500ms.
 */
export type Duration = string;
/**
 * Where tables land.
 */
export type Destination = DuckdbDestination | S3Destination | LocalDestination;
/**
 * Settings of a table; may be empty.
 */
export type Table = {
  /**
   * How rows are kept in step. cdc: logical replication; incremental: rows whose cursor grew, upserted by primary key; append: rows beyond the highest cursor, never read twice; full_table: the whole table, swapped in.
   */
  method?: 'cdc' | 'incremental' | 'append' | 'full_table';
  /**
   * cdc only. consolidated: the current rows; history: every version of a row in <table>_cdc; both: the two tables.
   */
  output?: 'consolidated' | 'history' | 'both';
  /**
   * cdc with output consolidated or both. soft keeps a deleted row with its last values and marks it; hard removes it.
   */
  deletes?: 'soft' | 'hard';
  /**
   * incremental and append: the column that only grows for new or changed rows.
   */
  cursor?: string;
  lookback?: Duration;
  /**
   * When the source table gets a column. forward_only: filled from then on; resync: load the table again; backfill: fill the new column of the rows that are there.
   */
  on_add_columns?: 'forward_only' | 'resync' | 'backfill';
  /**
   * cdc of a partitioned table: when rows came or went with a partition that was attached, detached, dropped or truncated, which Postgres does not send. resync: load the table again; warn: keep it as it is and say so.
   */
  on_partition_change?: 'resync' | 'warn';
  /**
   * When the entry leaves this file. retire: moved aside, comes back with the entry; keep: left as it is; drop: deleted.
   */
  on_remove?: 'retire' | 'keep' | 'drop';
  schedule?: Schedule;
  columns?: Columns;
  /**
   * incremental: the columns that tell rows apart. Absent: the table's primary key.
   *
   * @minItems 1
   */
  primary_key?: string[];
  /**
   * Delta tables only: columns by whose values the files are kept apart. Few different values, such as a date or a country; an empty text in one is NULL there and recorded. A change of this loads the table again.
   *
   * @minItems 1
   */
  partition_by?: string[];
  types?: Types;
  /**
   * false stops syncing the table and keeps what was copied.
   */
  enabled?: boolean;
} | null;
/**
 * One way to tell somebody.
 */
export type Alert = AlertWebhook | AlertCommand;
/**
 * Events: lag_warning, lag_critical and lag_cleared tell how much WAL a slot holds back; slot_dropped and slot_drop_failed what the guard did; source_errored that a source stopped until somebody mends it; guard_blind and guard_recovered that the guard cannot look, and that it can again.
 *
 * @minItems 1
 */
export type AlertKinds = (
  | 'lag_warning'
  | 'lag_critical'
  | 'lag_cleared'
  | 'slot_dropped'
  | 'slot_drop_failed'
  | 'source_errored'
  | 'guard_blind'
  | 'guard_recovered'
)[];

/**
 * Which Postgres tables Sluice keeps in step with which destination, and how.
 */
export interface SourcesFile {
  /**
   * Version of this file format.
   */
  version: 1;
  state?: State;
  connections: Connections;
  destinations: Destinations;
  daemon?: Daemon;
  sources: Sources;
  /**
   * Who is told when a slot holds back too much WAL, is dropped, or a source stops.
   */
  alerts?: Alert[];
  /**
   * Renames, so that a table is moved instead of retired and loaded again. An entry may stay after it was applied.
   */
  moved?: Moved[];
}
/**
 * A file, written atomically.
 */
export interface StateFile {
  /**
   * The state is a file.
   */
  type: 'file';
  /**
   * Path of the file; a relative one starts at this file.
   */
  path?: string;
}
/**
 * An object in S3, replaced by conditional writes.
 */
export interface StateS3 {
  /**
   * The state is an object in S3.
   */
  type: 's3';
  /**
   * Name of the bucket.
   */
  bucket: string;
  /**
   * Key of the object.
   */
  key?: string;
  /**
   * Region of the bucket. Absent: AWS_REGION, else the region of the machine.
   */
  region?: string;
  /**
   * Address of an S3-compatible server. Absent: Amazon S3.
   */
  endpoint?: string;
  /**
   * Address the bucket as a path instead of a host name; most S3-compatible servers need it.
   */
  force_path_style?: boolean;
  access_key_id?: Secret;
  secret_access_key?: Secret;
  /**
   * Profile of the shared AWS files (~/.aws) to take credentials and region from.
   */
  profile?: string;
  assume_role?: AssumeRole;
  /**
   * Certificates to trust (PEM) with an https endpoint. Absent: those of the system.
   */
  ca_file?: string;
  encryption?: Encryption;
  timeout?: S3Timeout;
  /**
   * Tries of one request, the first one included, where the trouble may pass.
   */
  max_attempts?: number;
}
/**
 * A role to take on with the credentials.
 */
export interface AssumeRole {
  /**
   * The role, e.g. arn:aws:iam::123456789012:role/lake.
   */
  role_arn: string;
  /**
   * What the role's owner asks for as sts:ExternalId.
   */
  external_id?: string;
  /**
   * How the session is named in the role owner's logs.
   */
  session_name?: string;
}
/**
 * Server-side encryption asked for with every object. Absent: what the bucket does by default.
 */
export interface Encryption {
  /**
   * With keys of S3 (sse-s3) or of the key management service (sse-kms).
   */
  type: 'sse-s3' | 'sse-kms';
  /**
   * sse-kms only. Id, ARN or alias/name of the key. Absent: the account's own for S3.
   */
  kms_key_id?: string;
}
/**
 * How long a request is waited for.
 */
export interface S3Timeout {
  connect?: Duration;
  request?: Duration;
}
/**
 * A row in Postgres.
 */
export interface StatePostgres {
  /**
   * The state is a row in Postgres.
   */
  type: 'postgres';
  /**
   * Name of an entry under connections.
   */
  connection: string;
  /**
   * Schema of the table that holds the state.
   */
  schema?: string;
}
/**
 * Postgres databases, by a name of your choice.
 */
export interface Connections {
  [k: string]: Connection;
}
/**
 * A Postgres database.
 */
export interface Connection {
  /**
   * postgres://user:password@host:port/database?sslmode=verify-full. Parts given beside it win.
   */
  url?: string;
  /**
   * Host name, IPv4 or IPv6 address without brackets, or the folder of a unix socket ("/...").
   */
  host?: string;
  /**
   * TCP port of the server; not that of a pooler, such as 6432.
   */
  port?: number;
  /**
   * Name of the database; one connection is one database.
   */
  database?: string;
  /**
   * Role to log in as; sluice doctor tells what rights it needs.
   */
  user?: string;
  password?: Secret;
  tls?: Tls;
  tunnel?: Tunnel;
  connect_timeout?: Duration;
}
/**
 * How the connection is encrypted and the server verified.
 */
export interface Tls {
  /**
   * verify-full checks certificate and host name; verify-ca the certificate only; require only encrypts; disable sends everything as plain text. Default verify-full; disable on a unix socket.
   */
  mode?: 'verify-full' | 'verify-ca' | 'require' | 'disable';
  /**
   * Certificates to trust (PEM). Absent: those of the system.
   */
  ca_file?: string;
  /**
   * Client certificate (PEM).
   */
  cert_file?: string;
  /**
   * Private key of cert_file (PEM).
   */
  key_file?: string;
  /**
   * Needed with mode disable where the server is not on this machine.
   */
  allow_plaintext?: boolean;
}
/**
 * SSH host to go through.
 */
export interface Tunnel {
  /**
   * SSH host.
   */
  host: string;
  /**
   * SSH port.
   */
  port?: number;
  /**
   * User on the SSH host.
   */
  user: string;
  password?: Secret;
  private_key?: Secret;
  passphrase?: Secret;
  /**
   * Log in with the keys of the agent at SSH_AUTH_SOCK.
   */
  agent?: boolean;
  /**
   * Fingerprint of the SSH host key, as ssh-keygen -lf prints it.
   */
  host_key?: string;
  /**
   * File in the format of ~/.ssh/known_hosts that holds the SSH host key, instead of host_key.
   */
  known_hosts?: string;
  /**
   * SSH hosts on the way to this one, the first one first.
   */
  through?: TunnelHop[];
  /**
   * Use TLS to Postgres inside the tunnel, too.
   */
  require_tls?: boolean;
}
/**
 * SSH host on the way to another one.
 */
export interface TunnelHop {
  /**
   * SSH host.
   */
  host: string;
  /**
   * SSH port.
   */
  port?: number;
  /**
   * User on the SSH host.
   */
  user: string;
  password?: Secret;
  private_key?: Secret;
  passphrase?: Secret;
  /**
   * Log in with the keys of the agent at SSH_AUTH_SOCK.
   */
  agent?: boolean;
  /**
   * Fingerprint of the SSH host key, as ssh-keygen -lf prints it.
   */
  host_key?: string;
  /**
   * File in the format of ~/.ssh/known_hosts that holds the SSH host key, instead of host_key.
   */
  known_hosts?: string;
}
/**
 * Where the tables land, by a name of your choice.
 */
export interface Destinations {
  [k: string]: Destination;
}
/**
 * A DuckDB file.
 */
export interface DuckdbDestination {
  /**
   * A DuckDB file.
   */
  type: 'duckdb';
  /**
   * Path of the file; a relative one starts at this file.
   */
  path: string;
  publish?: Publish;
  /**
   * Memory DuckDB may use while it writes, in MiB; beyond it spills to disk.
   */
  memory_limit_mb?: number;
  /**
   * Threads DuckDB may use. Absent: one a core.
   */
  threads?: number;
  /**
   * Tables of all its sources that may be loaded into it at once; the others wait in the order in which they came. Absent: no limit.
   */
  parallel_loads?: number;
}
/**
 * A consistent copy, swapped in by rename, for readers that keep the file open for long.
 */
export interface Publish {
  /**
   * Path of the copy; a relative one starts at this file.
   */
  path: string;
  every?: Duration;
}
/**
 * Delta or Parquet tables in S3.
 */
export interface S3Destination {
  /**
   * Tables in S3.
   */
  type: 's3';
  /**
   * delta: Delta Lake tables with deletion vectors and time travel; parquet: plain Parquet files and a manifest.
   */
  format?: 'delta' | 'parquet';
  /**
   * Folder in the bucket.
   */
  prefix?: string;
  /**
   * delta only. How rows are replaced: deletion vectors (dv) or by writing their files anew (cow).
   */
  deletes?: 'dv' | 'cow';
  /**
   * delta only. Sort by key what maintenance writes anew, so that a key is found in few files.
   */
  cluster_by_key?: boolean;
  /**
   * Size that data files are meant to have, in MiB.
   */
  target_file_mb?: number;
  maintenance?: Maintenance;
  /**
   * Folder on a local disk for the working file and the cache; it may be deleted while nothing runs. Default lake/<name> beside the state.
   */
  work_path?: string;
  /**
   * How much of what was read from the tables is kept in work_path, in MiB.
   */
  cache_mb?: number;
  /**
   * Memory the working DuckDB file may use, in MiB; beyond it spills to work_path.
   */
  memory_limit_mb?: number;
  /**
   * Threads the working DuckDB file may use. Absent: one a core.
   */
  threads?: number;
  /**
   * Tables of all its sources that may be loaded into it at once; the others wait in the order in which they came. Absent: no limit.
   */
  parallel_loads?: number;
  /**
   * Name of the bucket.
   */
  bucket: string;
  /**
   * Region of the bucket. Absent: AWS_REGION, else the region of the machine.
   */
  region?: string;
  /**
   * Address of an S3-compatible server. Absent: Amazon S3.
   */
  endpoint?: string;
  /**
   * Address the bucket as a path instead of a host name; most S3-compatible servers need it.
   */
  force_path_style?: boolean;
  access_key_id?: Secret;
  secret_access_key?: Secret;
  /**
   * Profile of the shared AWS files (~/.aws) to take credentials and region from.
   */
  profile?: string;
  assume_role?: AssumeRole;
  /**
   * Certificates to trust (PEM) with an https endpoint. Absent: those of the system.
   */
  ca_file?: string;
  encryption?: Encryption;
  timeout?: S3Timeout;
  /**
   * Tries of one request, the first one included, where the trouble may pass.
   */
  max_attempts?: number;
  /**
   * How many requests to the store may be on their way at once.
   */
  concurrency?: number;
  /**
   * Size of the parts in which files over 64 MB are sent, and large ones fetched, in MiB.
   */
  part_size_mb?: number;
}
/**
 * What is done to tables that are there, beside writing changes.
 */
export interface Maintenance {
  every?: Duration;
  retention?: Duration;
  /**
   * delta only. Files below this size are written together, in MiB.
   */
  small_file_mb?: number;
  /**
   * delta only. A file of whose rows more than this part is deleted is written anew.
   */
  deleted_ratio?: number;
}
/**
 * Delta or Parquet tables in a folder.
 */
export interface LocalDestination {
  /**
   * Tables in a folder.
   */
  type: 'local';
  /**
   * delta: Delta Lake tables with deletion vectors and time travel; parquet: plain Parquet files and a manifest.
   */
  format?: 'delta' | 'parquet';
  /**
   * The folder; a relative one starts at this file.
   */
  path: string;
  /**
   * delta only. How rows are replaced: deletion vectors (dv) or by writing their files anew (cow).
   */
  deletes?: 'dv' | 'cow';
  /**
   * delta only. Sort by key what maintenance writes anew, so that a key is found in few files.
   */
  cluster_by_key?: boolean;
  /**
   * Size that data files are meant to have, in MiB.
   */
  target_file_mb?: number;
  maintenance?: Maintenance;
  /**
   * Folder on a local disk for the working file and the cache; it may be deleted while nothing runs. Default lake/<name> beside the state.
   */
  work_path?: string;
  /**
   * How much of what was read from the tables is kept in work_path, in MiB.
   */
  cache_mb?: number;
  /**
   * Memory the working DuckDB file may use, in MiB; beyond it spills to work_path.
   */
  memory_limit_mb?: number;
  /**
   * Threads the working DuckDB file may use. Absent: one a core.
   */
  threads?: number;
  /**
   * Tables of all its sources that may be loaded into it at once; the others wait in the order in which they came. Absent: no limit.
   */
  parallel_loads?: number;
}
/**
 * Settings of `sluice daemon`.
 */
export interface Daemon {
  http?: Http;
  /**
   * Path of the control socket, at most 107 bytes. Absent: control.sock in the folder of the local state (.sluice beside this file where the state is elsewhere).
   */
  socket?: string;
  /**
   * Which changes of this file the daemon applies by itself. additive: all that destroy nothing.
   */
  auto_apply?: 'additive' | 'all' | 'none';
}
/**
 * Health, metrics and the status page. Absent: off.
 */
export interface Http {
  /**
   * Address and port. It has no login: keep it on loopback, or behind what has one.
   */
  listen: string;
}
/**
 * What is copied, by a name of your choice; the name is part of every address (source:schema.table).
 */
export interface Sources {
  [k: string]: Source;
}
/**
 * Tables of one database and where they land.
 */
export interface Source {
  /**
   * Name of an entry under connections.
   */
  connection: string;
  /**
   * Name of an entry under destinations.
   */
  destination: string;
  /**
   * Limits discovery and patterns to this schema. Absent: all schemas.
   */
  schema?: string;
  /**
   * Begins the names of Sluice's own columns.
   */
  metadata_prefix?: string;
  /**
   * Schema in the destination; {schema} and {source} stand for the names in Postgres and in this file.
   */
  target_schema?: string;
  cdc?: Cdc;
  snapshot?: Snapshot;
  /**
   * Tables of methods other than cdc that are synced at once, each with a session of its own.
   */
  parallel_tables?: number;
  defaults?: TableDefaults;
  tables: Tables;
}
/**
 * Logical replication.
 */
export interface Cdc {
  /**
   * managed: Sluice creates and changes the publication; self_managed: you do, Sluice checks it and prints the SQL.
   */
  management?: 'managed' | 'self_managed';
  /**
   * Name of the publication. Default sluice_pub_<source>; self_managed names yours.
   */
  publication?: string;
  /**
   * Name of the replication slot. Default sluice_<source>.
   */
  slot?: string;
  /**
   * scheduled reads what is new when a table is due; continuous keeps a replication connection open.
   */
  transport?: 'scheduled' | 'continuous';
  flush?: Flush;
  lag?: Lag;
  /**
   * When the slot is gone or lost WAL. manual waits for you; resync makes a new slot and loads the tables again.
   */
  on_slot_lost?: 'manual' | 'resync';
  /**
   * A small logical message may be written to the WAL where that helps: so that a sync until caught up, or a reload, sees asynchronous commits at once. false: nothing is ever written; they are waited for instead. The slot of a quiet publication moves on either way.
   */
  heartbeat?: boolean;
}
/**
 * continuous: when a batch is committed, whichever comes first.
 */
export interface Flush {
  every?: Duration;
  /**
   * A batch with so many row changes is committed before its time.
   */
  rows?: number;
}
/**
 * How much WAL the slot may hold back on the server.
 */
export interface Lag {
  /**
   * Warn from here on, in MiB.
   */
  warning_mb?: number;
  /**
   * Act from here on, in MiB; from 0.8 x max_slot_wal_keep_size where that is less.
   */
  critical_mb?: number;
  /**
   * drop_slot drops slot and publication and so frees the WAL; the source then waits for an apply, which loads its tables anew. alert drops nothing. Default drop_slot; self_managed always alerts.
   */
  on_critical?: 'drop_slot' | 'alert';
}
/**
 * How tables are read when they are loaded.
 */
export interface Snapshot {
  /**
   * Sessions that read one table at once, under one snapshot (Postgres 14 and later).
   */
  parallel?: number;
  save_every?: Duration;
}
/**
 * Settings of every table that does not say otherwise; where one does not fit the method of a table, it is left out there.
 */
export interface TableDefaults {
  /**
   * How rows are kept in step. cdc: logical replication; incremental: rows whose cursor grew, upserted by primary key; append: rows beyond the highest cursor, never read twice; full_table: the whole table, swapped in.
   */
  method?: 'cdc' | 'incremental' | 'append' | 'full_table';
  /**
   * cdc only. consolidated: the current rows; history: every version of a row in <table>_cdc; both: the two tables.
   */
  output?: 'consolidated' | 'history' | 'both';
  /**
   * cdc with output consolidated or both. soft keeps a deleted row with its last values and marks it; hard removes it.
   */
  deletes?: 'soft' | 'hard';
  /**
   * incremental and append: the column that only grows for new or changed rows.
   */
  cursor?: string;
  lookback?: Duration;
  /**
   * When the source table gets a column. forward_only: filled from then on; resync: load the table again; backfill: fill the new column of the rows that are there.
   */
  on_add_columns?: 'forward_only' | 'resync' | 'backfill';
  /**
   * cdc of a partitioned table: when rows came or went with a partition that was attached, detached, dropped or truncated, which Postgres does not send. resync: load the table again; warn: keep it as it is and say so.
   */
  on_partition_change?: 'resync' | 'warn';
  /**
   * When the entry leaves this file. retire: moved aside, comes back with the entry; keep: left as it is; drop: deleted.
   */
  on_remove?: 'retire' | 'keep' | 'drop';
  schedule?: Schedule;
}
/**
 * Either every, or cron with timezone.
 */
export interface Schedule {
  every?: Duration;
  /**
   * Five fields: minute hour day month weekday; six with seconds first.
   */
  cron?: string;
  /**
   * IANA name of the time zone that cron is meant in.
   */
  timezone?: string;
  jitter?: Duration;
}
/**
 * By schema.table, or a pattern with * ("billing.*"). An exact name wins over patterns, the longer pattern over the shorter. Names are taken as Postgres stores them; put a part with a dot or a * in its name in double quotes: '"my.schema".users'.
 */
export interface Tables {
  [k: string]: Table;
}
/**
 * Which columns are copied: include or exclude. Key and cursor columns always come along.
 */
export interface Columns {
  /**
   * Only these columns are copied; one that the table gets later is not.
   *
   * @minItems 1
   */
  include?: string[];
  /**
   * All columns but these are copied; since Postgres 15 they do not even leave the database (cdc).
   *
   * @minItems 1
   */
  exclude?: string[];
}
/**
 * Destination types by column, where the usual one does not suit.
 */
export interface Types {
  [k: string]: string;
}
/**
 * The event is sent as JSON in a POST request.
 */
export interface AlertWebhook {
  /**
   * A POST request.
   */
  type: 'webhook';
  url: Secret;
  headers?: Headers;
  timeout?: Duration;
  on?: AlertKinds;
}
/**
 * Further headers, by name; their values are secrets.
 */
export interface Headers {
  [k: string]: Secret;
}
/**
 * The event is passed as JSON on standard input and in the environment variable SLUICE_ALERT.
 */
export interface AlertCommand {
  /**
   * A program that is started.
   */
  type: 'command';
  /**
   * The program and its arguments; no shell. A program with a slash in its name starts at this file.
   *
   * @minItems 1
   */
  command: string[];
  timeout?: Duration;
  on?: AlertKinds;
}
/**
 * One rename.
 */
export interface Moved {
  /**
   * The old address: source or source:schema.table.
   */
  from: string;
  /**
   * The new address, which this file must hold.
   */
  to: string;
}
