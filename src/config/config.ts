/**
 * The config after loading: interpolated, validated, defaults filled in, durations in milliseconds, names resolved.
 * Secrets stay references until the moment a connection is opened (secret.ts), so a Config may be logged or hashed.
 */

export type SecretReference =
  | { readonly kind: 'env'; readonly name: string }
  | { readonly kind: 'file'; readonly path: string }
  /** systemd LoadCredential: $CREDENTIALS_DIRECTORY/<name> */
  | { readonly kind: 'credential'; readonly name: string }
  /** Written in the file itself (through ${VAR} or, with a warning, plainly). Never printed. */
  | { readonly kind: 'inline'; readonly value: string };

export type TlsMode = 'verify-full' | 'verify-ca' | 'require' | 'disable';

export interface TlsConfig {
  readonly mode: TlsMode;
  readonly caFile: string | null;
  readonly certFile: string | null;
  readonly keyFile: string | null;
}

export interface TunnelConfig {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: SecretReference | null;
  readonly privateKey: SecretReference | null;
  readonly passphrase: SecretReference | null;
  readonly hostKey: string | null;
  readonly requireTls: boolean;
}

export interface ConnectionConfig {
  readonly name: string;
  /** Host name, IPv4 or IPv6 address without brackets, or a folder with a unix socket when it starts with "/". */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: SecretReference | null;
  readonly tls: TlsConfig;
  readonly tunnel: TunnelConfig | null;
  readonly connectTimeoutMs: number;
}

/** How a bucket is reached, and what is asked of it with every request. */
export interface S3AccessConfig {
  /** Null: AWS_REGION, else that of the profile. */
  readonly region: string | null;
  /** Null: Amazon S3. */
  readonly endpoint: string | null;
  readonly forcePathStyle: boolean;
  /** Null: the chain of the AWS SDK. */
  readonly keys: { readonly accessKeyId: SecretReference; readonly secretAccessKey: SecretReference } | null;
  readonly profile: string | null;
  readonly assumeRole: {
    readonly roleArn: string;
    readonly externalId: string | null;
    readonly sessionName: string;
  } | null;
  /** Absolute; null: the certificates of the system. */
  readonly caFile: string | null;
  /** Null: what the bucket does by default. */
  readonly encryption:
    | { readonly type: 'sse-s3' }
    /** Null: the account's own key for S3. */
    | { readonly type: 'sse-kms'; readonly kmsKeyId: string | null }
    | null;
  readonly connectTimeoutMs: number;
  /** How long the server may be silent in a request. */
  readonly requestTimeoutMs: number;
  readonly maxAttempts: number;
  /** Requests at once. */
  readonly concurrency: number;
  /** MiB. */
  readonly partSizeMb: number;
}

export type DestinationConfig =
  | {
      readonly type: 'duckdb';
      readonly name: string;
      /** Absolute. */
      readonly path: string;
      readonly publish: { readonly path: string; readonly everyMs: number } | null;
      readonly memoryLimitMb: number;
      readonly threads: number | null;
    }
  | {
      readonly type: 's3';
      readonly name: string;
      readonly format: 'delta' | 'parquet';
      readonly bucket: string;
      readonly prefix: string;
      readonly access: S3AccessConfig;
    }
  | { readonly type: 'local'; readonly name: string; readonly format: 'delta' | 'parquet'; readonly path: string };

export type Schedule =
  | { readonly kind: 'every'; readonly everyMs: number }
  | { readonly kind: 'cron'; readonly cron: string; readonly timezone: string };

export type Method = 'cdc' | 'incremental' | 'append' | 'full_table';
export type Output = 'consolidated' | 'history' | 'both';
export type Deletes = 'soft' | 'hard';
export type OnRemove = 'retire' | 'keep' | 'drop';
export type OnPartitionChange = 'resync' | 'warn';
export type OnAddColumns = 'forward_only' | 'resync' | 'backfill';
/** varchar | double | json | decimal(p,s): the override of a column's destination type. */
export type TypeOverride =
  | { readonly kind: 'varchar' | 'double' | 'json' }
  | { readonly kind: 'decimal'; readonly precision: number; readonly scale: number };

export type ColumnSelection =
  | { readonly kind: 'all' }
  | { readonly kind: 'include'; readonly columns: readonly string[] }
  | { readonly kind: 'exclude'; readonly columns: readonly string[] };

/** One table's settings with every default applied. */
export interface TableConfig {
  readonly method: Method;
  readonly output: Output;
  readonly deletes: Deletes;
  readonly columns: ColumnSelection;
  /** incremental and append; null for the others. */
  readonly cursor: string | null;
  readonly lookbackMs: number;
  /** Overrides the table's own primary key (incremental); null: use the table's. */
  readonly primaryKey: readonly string[] | null;
  readonly onAddColumns: OnAddColumns;
  /** cdc of partitioned tables. */
  readonly onPartitionChange: OnPartitionChange;
  readonly types: Readonly<Record<string, TypeOverride>>;
  readonly onRemove: OnRemove;
  readonly enabled: boolean;
  readonly schedule: Schedule;
}

/** An entry of `tables:`. `pattern` is null for an exact `schema.table`; else the glob as written ("billing.*"). */
export interface TableEntry {
  /** As written in the file. */
  readonly key: string;
  readonly pattern: string | null;
  /** For exact entries. */
  readonly schema: string | null;
  readonly name: string | null;
  readonly table: TableConfig;
}

export interface CdcConfig {
  readonly management: 'managed' | 'self_managed';
  readonly publication: string;
  readonly slot: string;
  readonly transport: 'scheduled' | 'continuous';
  readonly flush: { readonly everyMs: number; readonly rows: number };
  readonly lag: { readonly warningMb: number; readonly criticalMb: number; readonly onCritical: 'drop_slot' | 'alert' };
  readonly onSlotLost: 'manual' | 'resync';
  readonly heartbeat: boolean;
}

/** How tables are read when they are loaded. */
export interface SnapshotConfig {
  /** Sessions that read one table at once. */
  readonly parallel: number;
  /** How long rows are read before they are made durable. */
  readonly saveEveryMs: number;
}

export interface SourceConfig {
  readonly name: string;
  readonly connection: string;
  readonly destination: string;
  /** Limits discovery and patterns; null: all schemas. */
  readonly schema: string | null;
  readonly metadataPrefix: string;
  /** Template with {schema} and {source}. */
  readonly targetSchema: string;
  readonly cdc: CdcConfig;
  readonly snapshot: SnapshotConfig;
  readonly tables: readonly TableEntry[];
}

export const ALERT_KINDS = [
  'lag_warning',
  'lag_critical',
  'lag_cleared',
  'slot_dropped',
  'slot_drop_failed',
  'source_errored',
  'guard_blind',
  'guard_recovered',
] as const;
export type AlertKind = (typeof ALERT_KINDS)[number];

/** An entry of `alerts:`; `on` lists the events that it wants. */
export type AlertHook =
  | {
      readonly type: 'webhook';
      readonly url: SecretReference;
      readonly headers: Readonly<Record<string, SecretReference>>;
      readonly timeoutMs: number;
      readonly on: readonly AlertKind[];
    }
  | {
      readonly type: 'command';
      /** The program as written (a path starts at the config file) and its arguments. */
      readonly command: readonly [string, ...string[]];
      readonly timeoutMs: number;
      readonly on: readonly AlertKind[];
    };

export interface Config {
  /** Absolute path of the file. */
  readonly file: string;
  /** sha256 (hex) of the normalised config without secret values; the same for two files that mean the same. */
  readonly hash: string;
  readonly state: { readonly type: 'file'; readonly path: string };
  readonly daemon: {
    readonly http: { readonly listen: string } | null;
    readonly autoApply: 'additive' | 'all' | 'none';
  };
  readonly connections: Readonly<Record<string, ConnectionConfig>>;
  readonly destinations: Readonly<Record<string, DestinationConfig>>;
  readonly sources: Readonly<Record<string, SourceConfig>>;
  readonly alerts: readonly AlertHook[];
  readonly moved: readonly { readonly from: string; readonly to: string }[];
}
