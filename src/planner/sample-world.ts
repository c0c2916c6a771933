import type { Config, SourceConfig, TableConfig, TableEntry } from '../config/config.js';
import { formatTableKey, parseTableKey } from '../config/table-key.js';
import type { DestinationFacts, StreamFacts, TableFacts } from '../destination/facts.js';
import type {
  ObservedColumn,
  ObservedPublication,
  ObservedServer,
  ObservedSlot,
  ObservedSource,
  ObservedTable,
} from '../source/catalog-model.js';
import { emptyState } from '../state/edit.js';
import type { StateDocument } from '../state/state.js';
import { type ApplyContext, stateAfter } from './apply-edit.js';
import type { Change, Plan, SettingChange } from './change.js';
import { sourceIdentity } from './identity.js';
import type { Observed } from './observed.js';
import { planChanges } from './plan.js';
import { LIST_SETTING } from './published-columns.js';

/**
 * Test support: complete values to be changed field by field, and a small pure model of a Postgres server and a
 * destination, in which plans can be applied without either.
 */

const TYPES = {
  integer: { oid: 23, name: 'integer' },
  bigint: { oid: 20, name: 'bigint' },
  text: { oid: 25, name: 'text' },
  'character varying(10)': { oid: 1043, name: 'character varying' },
  'character varying(20)': { oid: 1043, name: 'character varying' },
  'timestamp with time zone': { oid: 1184, name: 'timestamp with time zone' },
  tsvector: { oid: 3614, name: 'tsvector' },
} as const;
export type SampleType = keyof typeof TYPES;

export function sampleColumn(
  name: string,
  attnum: number,
  type: SampleType = 'integer',
  fields: Partial<ObservedColumn> = {},
): ObservedColumn {
  const { oid, name: typeName } = TYPES[type];
  return {
    name,
    attnum,
    type: {
      oid,
      name: typeName,
      kind: 'b',
      baseOid: oid,
      baseName: typeName,
      baseKind: 'b',
      typmod: -1,
      element: null,
    },
    formattedType: type,
    notNull: false,
    generated: '',
    identity: '',
    storage: 'p',
    hasDefault: false,
    comment: null,
    ...fields,
  };
}

/** `schema.name` with the columns id (the key), name (text) and at (timestamptz); the oid is made from the name. */
export function sampleTableOf(key: string, fields: Partial<ObservedTable> = {}): ObservedTable {
  const parsed = parseTableKey(key);
  const exact = parsed.ok ? parsed.key.exact : null;
  const { schema, name } = exact ?? { schema: 'public', name: key };
  const primaryKey = fields.primaryKey ?? ['id'];
  return {
    oid: 10_000 + [...key].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 1_000_000, 7),
    schema,
    name,
    kind: 'r',
    isPartition: false,
    partitionRootOid: null,
    partitionOids: [],
    persistence: 'p',
    columns: [
      sampleColumn('id', 1),
      sampleColumn('name', 2, 'text'),
      sampleColumn('at', 3, 'timestamp with time zone'),
    ],
    primaryKey,
    replicaIdentity: 'd',
    replicaIdentityColumns: primaryKey,
    estimatedRows: 1_000_000,
    estimatedBytes: 64_000_000,
    canSelect: true,
    schemaUsage: true,
    ownedByCurrentUser: true,
    readableColumns: null,
    rowSecurity: false,
    comment: null,
    ...fields,
  };
}

export const SERVER: ObservedServer = {
  versionNum: 170_010,
  version: '17.10',
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
  maxSlotWalKeepSizeMb: null,
  serverEncoding: 'UTF8',
  inRecovery: false,
  currentWalLsn: '0/1000',
  tls: true,
};

export function samplePublication(
  tables: readonly ObservedTable[],
  fields: Partial<ObservedPublication> = {},
): ObservedPublication {
  return {
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
    tables: tables.map((table) => ({
      schema: table.schema,
      name: table.name,
      oid: table.oid,
      columns: null,
      rowFilter: null,
    })),
    ...fields,
  };
}

export function sampleSlot(fields: Partial<ObservedSlot> = {}): ObservedSlot {
  return {
    name: 'sluice_shop',
    plugin: 'pgoutput',
    database: 'shop',
    active: false,
    activePid: null,
    temporary: false,
    twoPhase: false,
    failover: null,
    restartLsn: '0/1000',
    confirmedFlushLsn: '0/1000',
    walStatus: 'reserved',
    safeWalSizeBytes: null,
    retainedWalBytes: 1024,
    unconfirmedWalBytes: 0,
    invalidationReason: null,
    ...fields,
  };
}

export function sampleTableConfig(fields: Partial<TableConfig> = {}): TableConfig {
  return {
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
    ...fields,
  };
}

export function sampleEntry(key: string, fields: Partial<TableConfig> = {}): TableEntry {
  const parsed = parseTableKey(key);
  const exact = parsed.ok ? parsed.key.exact : null;
  return {
    key,
    pattern: exact === null ? key : null,
    schema: exact?.schema ?? null,
    name: exact?.name ?? null,
    table: sampleTableConfig(fields),
  };
}

export function sampleSourceConfig(tables: readonly TableEntry[], fields: Partial<SourceConfig> = {}): SourceConfig {
  return {
    name: 'shop',
    connection: 'db',
    destination: 'warehouse',
    schema: null,
    metadataPrefix: '_ph_',
    targetSchema: '{schema}',
    cdc: sampleCdc(),
    snapshot: { parallel: 1, saveEveryMs: 20_000 },
    parallelTables: 1,
    tables,
    ...fields,
  };
}

export function sampleCdc(fields: Partial<SourceConfig['cdc']> = {}): SourceConfig['cdc'] {
  return {
    management: 'managed',
    publication: 'sluice_pub_shop',
    slot: 'sluice_shop',
    transport: 'scheduled',
    flush: { everyMs: 10_000, rows: 100_000 },
    lag: { warningMb: 1024, criticalMb: 10_240, onCritical: 'drop_slot' },
    onSlotLost: 'manual',
    heartbeat: true,
    ...fields,
  };
}

export function sampleConfig(sources: readonly SourceConfig[], fields: Partial<Config> = {}): Config {
  return {
    file: '/shop/sources.yaml',
    hash: 'hash',
    state: { type: 'file', path: '/shop/.sluice/state.json' },
    daemon: { http: null, socket: '/shop/.sluice/control.sock', autoApply: 'additive' },
    connections: {
      db: {
        name: 'db',
        host: 'db.example.com',
        port: 5432,
        database: 'shop',
        user: 'sluice',
        password: null,
        tls: { mode: 'verify-full', caFile: null, certFile: null, keyFile: null },
        tunnel: null,
        connectTimeoutMs: 10_000,
      },
    },
    destinations: { warehouse: sampleDestination('warehouse') },
    sources: Object.fromEntries(sources.map((source) => [source.name, source])),
    alerts: [],
    moved: [],
    ...fields,
  };
}

export function sampleDestination(name: string) {
  return {
    type: 'duckdb',
    name,
    path: `/shop/${name}.duckdb`,
    writtenPath: `${name}.duckdb`,
    publish: null,
    memoryLimitMb: 512,
    threads: null,
    parallelLoads: null,
  } as const;
}

/** A config with the one source `shop`. */
export function shop(
  tables: readonly TableEntry[],
  fields: Partial<SourceConfig> = {},
  config: Partial<Config> = {},
): Config {
  return sampleConfig([sampleSourceConfig(tables, fields)], config);
}

export function sampleFacts(address: string, fields: Partial<TableFacts> = {}): TableFacts {
  return {
    address,
    loadedGeneration: 1,
    backfilled: 0,
    resnapshotReason: null,
    rows: 10,
    asOfLsn: null,
    asOf: null,
    cursor: null,
    rejectedValues: 0,
    lastError: null,
    lastRunAt: null,
    loadRowsPerSecond: null,
    snapshot: null,
    partitions: null,
    ...fields,
  };
}

/** One source database, one destination and a state, between plans. */
export interface World {
  readonly server: ObservedServer;
  readonly tables: readonly ObservedTable[];
  readonly publications: readonly ObservedPublication[];
  readonly slots: readonly ObservedSlot[];
  readonly facts: readonly TableFacts[];
  readonly streams: readonly StreamFacts[];
  readonly foreignTables: readonly string[];
  readonly state: StateDocument | null;
  /** Sources that cannot be reached. */
  readonly unreachable: readonly string[];
}

export function world(tables: readonly ObservedTable[], fields: Partial<World> = {}): World {
  return {
    server: SERVER,
    tables,
    publications: [],
    slots: [],
    facts: [],
    streams: [],
    foreignTables: [],
    state: null,
    unreachable: [],
    ...fields,
  };
}

export function observedOf(config: Config, current: World): Observed {
  const source: ObservedSource = {
    server: {
      ...current.server,
      usedReplicationSlots: Math.max(current.server.usedReplicationSlots, current.slots.length),
    },
    tables: current.tables,
    publications: current.publications,
    slots: current.slots,
  };
  const facts: DestinationFacts = {
    exists: true,
    streams: current.streams,
    tables: current.facts,
    foreignTables: current.foreignTables,
  };
  const names = new Set([...Object.keys(config.sources), ...Object.keys(current.state?.sources ?? {})]);
  return {
    sources: Object.fromEntries(
      [...names].map((name) => [
        name,
        current.unreachable.includes(name)
          ? { ok: false, error: { code: 'SOURCE_UNREACHABLE', message: `${name} is out of reach` } }
          : { ok: true, source },
      ]),
    ),
    destinations: Object.fromEntries(Object.keys(config.destinations).map((name) => [name, facts])),
  };
}

export function planOf(config: Config, current: World, targets: readonly string[] = []): Plan {
  return planChanges({
    config,
    state: current.state,
    observed: observedOf(config, current),
    now: '2026-01-01T00:00:00.000Z',
    id: 'plan-1',
    targets,
  });
}

/** Makes changes in the world and records them, as an executor would. */
export function applied(config: Config, current: World, changes: readonly Change[]): World {
  return changes.reduce((before, change) => {
    const made = makeInWorld(before, change);
    return {
      ...made,
      state: stateAfter(before.state ?? emptyState('a-lineage'), change, contextOf(config, before, change)),
    };
  }, current);
}

/** The owner of a self-managed publication runs the SQL that a plan asks for. */
export function byHand(current: World, plan: Plan): World {
  const asked = plan.changes.filter((change) => 'self_managed' in change.details && change.details.self_managed);
  const made = asked.reduce(makeInWorld, current);
  // Their own lists go as well where the plan asks for it.
  const narrowed = plan.blockers.some((blocker) => blocker.message.includes('only some of the columns'));
  return {
    ...made,
    publications: made.publications.map((found) => {
      const whole = mended(made, found);
      return narrowed ? { ...whole, tables: whole.tables.map((member) => ({ ...member, columns: null })) } : whole;
    }),
  };
}

/** All queued loads end: the destination holds what the state asks for. */
export function loaded(current: World, only: (address: string) => boolean = () => true): World {
  const facts = Object.entries(current.state?.sources ?? {}).flatMap(([source, { tables }]) =>
    Object.entries(tables).flatMap(([key, table]) => {
      const address = `${source}:${key}`;
      const old = current.facts.find((fact) => fact.address === address);
      if (!only(address)) return old === undefined ? [] : [old];
      return [sampleFacts(address, { loadedGeneration: table.generation, loadRowsPerSecond: 100_000 })];
    }),
  );
  return { ...current, facts };
}

/** Plans, applies everything and runs the loads. */
export function converged(config: Config, current: World): World {
  return loaded(applied(config, current, planOf(config, current).changes));
}

function contextOf(config: Config, current: World, change: Change): ApplyContext {
  const name = change.address.split(':')[0] ?? '';
  const source = config.sources[name];
  const identity = source === undefined ? null : sourceIdentity(config, source, current.server);
  const stored = current.state?.sources[name];
  const fallback = stored ?? {
    connection_fingerprint: null,
    system_identifier: null,
    database: null,
    destination: '',
    destination_fingerprint: '',
    destination_place: null,
    management: 'managed',
  };
  return { identity: identity ?? fallback, slotLsn: '0/2000' };
}

function makeInWorld(current: World, change: Change): World {
  switch (change.action) {
    case 'create_publication': {
      if (!change.details.adopted) {
        return {
          ...current,
          publications: [
            ...current.publications,
            withLists(
              samplePublication(named(current, change.details.tables), {
                name: change.details.publication,
                storedGenerated: change.details.sql.includes('publish_generated_columns'),
              }),
              change.details.column_lists,
            ),
          ],
        };
      }
      return change.details.sql === ''
        ? current
        : withMembers(current, change.details.publication, change.details.tables, change.details.column_lists);
    }
    case 'add_publication_tables':
      return change.details.sql === ''
        ? current
        : withMembers(current, change.details.publication, change.details.tables, change.details.column_lists);
    case 'remove_publication_tables': {
      const { publication, tables, sql } = change.details;
      if (sql === '') return current;
      return editPublication(current, publication, (found) => ({
        ...found,
        tables: found.tables.filter((member) => !tables.includes(formatTableKey(member.schema, member.name))),
      }));
    }
    case 'drop_publication':
      return {
        ...current,
        publications: current.publications.filter((found) => found.name !== change.details.publication),
      };
    case 'create_slot':
      return {
        ...current,
        slots: [...current.slots, sampleSlot({ name: change.details.slot, database: current.server.database })],
      };
    case 'drop_slot':
      return { ...current, slots: current.slots.filter((found) => found.name !== change.details.slot) };
    case 'update_settings':
      if (change.details.sql === null) return current;
      return {
        ...current,
        publications: current.publications.map((found) => resettled(current, found, change.details.settings)),
      };
    case 'retire_table':
    case 'drop_table':
      return { ...current, facts: current.facts.filter((fact) => fact.address !== change.address) };
    case 'move':
      return {
        ...current,
        facts: current.facts.map((fact) =>
          fact.address === change.details.from || fact.address.startsWith(`${change.details.from}:`)
            ? { ...fact, address: change.details.to + fact.address.slice(change.details.from.length) }
            : fact,
        ),
      };
    default:
      return current;
  }
}

function named(current: World, keys: readonly string[]): readonly ObservedTable[] {
  return current.tables.filter((table) => keys.includes(formatTableKey(table.schema, table.name)));
}

type Lists = Readonly<Record<string, readonly string[] | null>>;

/** The members named get these column lists. */
function withLists(publication: ObservedPublication, lists: Lists): ObservedPublication {
  return {
    ...publication,
    tables: publication.tables.map((member) => {
      const list = lists[formatTableKey(member.schema, member.name)];
      return list === undefined ? member : { ...member, columns: list };
    }),
  };
}

/** A change of a publication's settings, which are options or the lists of single tables. */
function resettled(
  current: World,
  publication: ObservedPublication,
  settings: Readonly<Record<string, SettingChange>>,
): ObservedPublication {
  const lists = Object.entries(settings).flatMap(([name, { to }]): [string, readonly string[] | null][] =>
    name.startsWith(LIST_SETTING) ? [[name.slice(LIST_SETTING.length), Array.isArray(to) ? to.map(String) : null]] : [],
  );
  if (lists.length > 0) return withLists(publication, Object.fromEntries(lists));
  const storedGenerated = publication.storedGenerated || settings['publish_generated_columns'] !== undefined;
  return { ...mended(current, publication), storedGenerated };
}

function withMembers(current: World, publication: string, keys: readonly string[], lists: Lists): World {
  return editPublication(current, publication, (found) => {
    const have = new Set(found.tables.map((member) => member.oid));
    const added = samplePublication(named(current, keys).filter((table) => !have.has(table.oid)));
    return { ...found, tables: [...found.tables, ...withLists(added, lists).tables] };
  });
}

function editPublication(
  current: World,
  name: string,
  edit: (publication: ObservedPublication) => ObservedPublication,
): World {
  return { ...current, publications: current.publications.map((found) => (found.name === name ? edit(found) : found)) };
}

function mended(current: World, publication: ObservedPublication): ObservedPublication {
  return {
    ...publication,
    insert: true,
    update: true,
    delete: true,
    truncate: true,
    viaPartitionRoot: true,
    tables: rooted(current, publication),
  };
}

/** With publish_via_partition_root the server lists roots in place of their leaves. */
function rooted(current: World, publication: ObservedPublication): ObservedPublication['tables'] {
  const oids = new Set(
    publication.tables.map(
      (member) => current.tables.find((table) => table.oid === member.oid)?.partitionRootOid ?? member.oid,
    ),
  );
  const lists = new Map(publication.tables.map((member) => [member.oid, member.columns]));
  return samplePublication(current.tables.filter((table) => oids.has(table.oid))).tables.map((member) => ({
    ...member,
    columns: lists.get(member.oid) ?? null,
  }));
}
