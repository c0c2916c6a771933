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

/** An SSH server on the way to a database, and how to log in there. */
export interface SshHopConfig {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: SecretReference | null;
  readonly privateKey: SecretReference | null;
  readonly passphrase: SecretReference | null;
  /** The keys of the agent at SSH_AUTH_SOCK. */
  readonly agent: boolean;
  /** Fingerprint, `SHA256:...`. */
  readonly hostKey: string | null;
  /** Absolute. */
  readonly knownHosts: string | null;
}

/** The last SSH server, which reaches the database. */
export interface TunnelConfig extends SshHopConfig {
  /** The ones before it, the first one first. */
  readonly through: readonly SshHopConfig[];
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

/** Where the state is kept. `localPath` is absolute: what would lie beside a file lies beside it (see localStatePath). */
export type StateConfig =
  /** `path` is absolute. */
  | { readonly type: 'file'; readonly path: string }
  | {
      readonly type: 's3';
      readonly bucket: string;
      readonly key: string;
      readonly access: S3AccessConfig;
      readonly localPath: string;
    }
  | {
      readonly type: 'postgres';
      /** Name of an entry under connections. */
      readonly connection: string;
      readonly schema: string;
      readonly localPath: string;
    };

export type DestinationConfig =
  | {
      readonly type: 'duckdb';
      readonly name: string;
      /** Absolute. */
      readonly path: string;
      /** As the file has it: the same in every checkout, wherever that lies. */
      readonly writtenPath: string;
      readonly publish: { readonly path: string; readonly everyMs: number } | null;
      readonly memoryLimitMb: number;
      readonly threads: number | null;
      /** Tables that are loaded into it at once; null: no limit. */
      readonly parallelLoads: number | null;
    }
  | (LakeSettings & {
      readonly type: 's3';
      readonly name: string;
      readonly bucket: string;
      /** Without slashes around it; "" is the bucket itself. */
      readonly prefix: string;
      readonly access: S3AccessConfig;
    })
  | (LakeSettings & {
      readonly type: 'local';
      readonly name: string;
      /** Absolute. */
      readonly path: string;
      /** As the file has it: the same in every checkout, wherever that lies. */
      readonly writtenPath: string;
    });

/** How a lake's tables are written, in S3 and in a folder alike. */
export interface LakeSettings {
  readonly format: 'delta' | 'parquet';
  /** How rows are replaced in delta tables; null for parquet. */
  readonly deletes: 'dv' | 'cow' | null;
  readonly clusterByKey: boolean;
  readonly targetFileMb: number;
  readonly maintenance: {
    readonly everyMs: number;
    /** How long a file stays that its table no longer has. */
    readonly retentionMs: number;
    readonly smallFileMb: number;
    /** Above 0, up to 1. */
    readonly deletedRatio: number;
  };
  /** Absolute: the folder of the working file and the cache, which hold nothing that is not in the lake. */
  readonly workPath: string;
  readonly cacheMb: number;
  readonly memoryLimitMb: number;
  readonly threads: number | null;
  /** Tables that are loaded into it at once; null: no limit. */
  readonly parallelLoads: number | null;
}

export type Schedule = (
  | { readonly kind: 'every'; readonly everyMs: number }
  | { readonly kind: 'cron'; readonly cron: string; readonly timezone: string }
) & {
  /** How far a source's ticks may lie behind those of the schedule; absent: not at all. */
  readonly jitterMs?: number;
};

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
  /** Of delta tables; [] for none. */
  readonly partitionBy: readonly string[];
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
  /** Tables of methods other than cdc that are synced at once. */
  readonly parallelTables: number;
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
  readonly state: StateConfig;
  readonly daemon: {
    readonly http: { readonly listen: string } | null;
    /** Absolute path of the control socket. */
    readonly socket: string;
    readonly autoApply: 'additive' | 'all' | 'none';
  };
  readonly connections: Readonly<Record<string, ConnectionConfig>>;
  readonly destinations: Readonly<Record<string, DestinationConfig>>;
  readonly sources: Readonly<Record<string, SourceConfig>>;
  readonly alerts: readonly AlertHook[];
  readonly moved: readonly { readonly from: string; readonly to: string }[];
}
