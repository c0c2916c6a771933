import type {
  CdcConfig,
  Config,
  ConnectionConfig,
  DestinationConfig,
  Method,
  SourceConfig,
  TableConfig,
  TableEntry,
} from '../config/config.js';
import type {
  ObservedColumn,
  ObservedPublication,
  ObservedServer,
  ObservedSlot,
  ObservedSource,
  ObservedTable,
} from '../source/catalog-model.js';
import type { Pooling, Readiness, ReadinessDetails, Reading, SessionFacts } from '../source/readiness-model.js';
import { runDoctor } from './doctor.js';
import type { Finding } from './finding.js';

/** A source on a server where all is well, for tests to spoil one thing at a time. */

export const server: ObservedServer = {
  versionNum: 170_000,
  version: '17.0',
  systemIdentifier: '7000000000000000001',
  timelineId: 1,
  database: 'shop',
  user: 'sluice',
  isSuperuser: false,
  hasReplication: true,
  replicationRoles: [],
  canCreateInDatabase: true,
  walLevel: 'logical',
  maxReplicationSlots: 10,
  usedReplicationSlots: 0,
  maxWalSenders: 10,
  usedWalSenders: 0,
  maxSlotWalKeepSizeMb: 20_480,
  serverEncoding: 'UTF8',
  inRecovery: false,
  currentWalLsn: '0/1000000',
  tls: true,
};

export const id: ObservedColumn = {
  name: 'id',
  attnum: 1,
  type: {
    oid: 23,
    name: 'integer',
    kind: 'b',
    baseOid: 23,
    baseName: 'integer',
    baseKind: 'b',
    typmod: -1,
    element: null,
  },
  formattedType: 'integer',
  notNull: true,
  generated: '',
  identity: '',
  storage: 'p',
  hasDefault: false,
  comment: null,
};

export const users: ObservedTable = {
  oid: 100,
  schema: 'public',
  name: 'users',
  kind: 'r',
  isPartition: false,
  partitionRootOid: null,
  partitionOids: [],
  persistence: 'p',
  columns: [id, { ...id, name: 'secret', attnum: 2 }],
  primaryKey: ['id'],
  replicaIdentity: 'd',
  replicaIdentityColumns: ['id'],
  estimatedRows: 10,
  estimatedBytes: 8192,
  canSelect: true,
  schemaUsage: true,
  ownedByCurrentUser: true,
  readableColumns: null,
  rowSecurity: false,
  comment: null,
};
export const events: ObservedTable = { ...users, oid: 200, name: 'events', kind: 'p', partitionOids: [201] };
export const eventsPart: ObservedTable = {
  ...users,
  oid: 201,
  name: 'events_1',
  isPartition: true,
  partitionRootOid: 200,
};

export const publication: ObservedPublication = {
  name: 'sluice_pub_shop',
  owner: 'sluice',
  ownedByCurrentUser: true,
  allTables: false,
  insert: true,
  update: true,
  delete: true,
  truncate: true,
  viaPartitionRoot: true,
  storedGenerated: false,
  schemas: [],
  tables: [
    { schema: 'public', name: 'users', oid: 100, columns: null, rowFilter: null },
    { schema: 'public', name: 'events', oid: 200, columns: null, rowFilter: null },
  ],
};

export const slot: ObservedSlot = {
  name: 'sluice_shop',
  plugin: 'pgoutput',
  database: 'shop',
  active: false,
  activePid: null,
  temporary: false,
  twoPhase: false,
  failover: null,
  restartLsn: '0/1',
  confirmedFlushLsn: '0/1',
  walStatus: 'reserved',
  safeWalSizeBytes: null,
  retainedWalBytes: 0,
  unconfirmedWalBytes: 0,
  invalidationReason: null,
};

export interface Case {
  readonly server?: Partial<ObservedServer>;
  readonly table?: Partial<ObservedTable>;
  readonly part?: Partial<ObservedTable>;
  readonly publications?: readonly ObservedPublication[];
  readonly slots?: readonly ObservedSlot[];
  readonly cdc?: Partial<CdcConfig>;
  readonly method?: Method;
  readonly settings?: Partial<TableConfig>;
  readonly connection?: Partial<ConnectionConfig>;
  readonly keys?: readonly string[];
  readonly readiness?: Readiness;
}

const warehouse: DestinationConfig = {
  type: 'duckdb',
  name: 'warehouse',
  path: '/srv/warehouse.duckdb',
  writtenPath: 'warehouse.duckdb',
  publish: null,
  memoryLimitMb: 256,
  threads: null,
  parallelLoads: null,
};

export const table: TableConfig = {
  method: 'cdc',
  output: 'consolidated',
  deletes: 'soft',
  columns: { kind: 'all' },
  cursor: null,
  lookbackMs: 0,
  primaryKey: null,
  onAddColumns: 'forward_only',
  partitionBy: [],
  onPartitionChange: 'resync',
  types: {},
  onRemove: 'retire',
  enabled: true,
  schedule: { kind: 'every', everyMs: 300_000 },
};

function entry(key: string, settings: Partial<TableConfig>): TableEntry {
  const [schema = '', name = ''] = key.split('.');
  const pattern = key.includes('*') ? key : null;
  return {
    key,
    pattern,
    schema: pattern === null ? schema : null,
    name: pattern === null ? name : null,
    table: { ...table, ...settings },
  };
}

export function configOf(c: Case): Config {
  const source: SourceConfig = {
    name: 'shop',
    connection: 'shop_db',
    destination: 'warehouse',
    schema: null,
    metadataPrefix: '_ph_',
    snapshot: { parallel: 1, saveEveryMs: 20_000 },
    parallelTables: 1,
    targetSchema: '{schema}',
    cdc: {
      management: 'managed',
      publication: 'sluice_pub_shop',
      slot: 'sluice_shop',
      transport: 'scheduled',
      flush: { everyMs: 10_000, rows: 100_000 },
      lag: { warningMb: 1024, criticalMb: 10_240, onCritical: 'drop_slot' },
      onSlotLost: 'manual',
      heartbeat: true,
      ...c.cdc,
    },
    tables: (c.keys ?? ['public.users', 'public.events']).map((key) =>
      entry(key, { method: c.method ?? 'cdc', ...c.settings }),
    ),
  };
  const connection: ConnectionConfig = {
    name: 'shop_db',
    host: 'db.example.com',
    port: 5432,
    database: 'shop',
    user: 'sluice',
    password: null,
    tls: { mode: 'verify-full', caFile: null, certFile: null, keyFile: null },
    tunnel: null,
    connectTimeoutMs: 10_000,
    ...c.connection,
  };
  return {
    file: '/etc/sources.yaml',
    hash: '',
    state: { type: 'file', path: '/var/state.json' },
    daemon: { http: null, socket: '/var/control.sock', autoApply: 'additive' },
    connections: { shop_db: connection },
    destinations: { warehouse },
    sources: { shop: source },
    alerts: [],
    moved: [],
  };
}

/** What doctor finds in the sample source, with the parts of the case in place of what is well. */
export function findings(c: Case): Finding[] {
  const catalog: ObservedSource = {
    server: { ...server, ...c.server },
    tables: [events, { ...eventsPart, ...c.part }, { ...users, ...c.table }],
    publications: c.publications ?? [publication],
    slots: c.slots ?? [slot],
  };
  const observed = {
    ok: true as const,
    source: catalog,
    ...(c.readiness === undefined ? {} : { readiness: c.readiness }),
  };
  return runDoctor({
    config: configOf(c),
    observed: { sources: { shop: observed }, destinations: {} },
  });
}

/** What a healthy server answers beside its catalog. */
export function sampleReadiness(
  parts: Partial<{ [Name in keyof ReadinessDetails]: ReadinessDetails[Name] }> & {
    readonly session?: Partial<SessionFacts>;
    readonly pooling?: Pooling;
  } = {},
): Readiness {
  const { session, pooling, ...details } = parts;
  return {
    session: ok({
      platform: 'plain',
      defaultReadOnly: false,
      timeouts: [],
      decodingWorkMemKb: 65_536,
      idleSlotTimeoutMs: null,
      ...session,
    }),
    pooling: ok(pooling ?? 'none'),
    details: {
      clock: ok({ aheadMs: 3, roundTripMs: 4 }),
      encryption: ok({ encrypted: true, version: null, cipher: null }),
      writers: ok([]),
      prepared: ok([]),
      owners: ok([]),
      children: ok([]),
      cursors: ok([]),
      decoding: ok({ spilledBytes: 0 }),
      ...details,
    },
  };
}

export function ok<Value>(value: Value): Reading<Value> {
  return { ok: true, value };
}
