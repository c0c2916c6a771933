import type { Config, SourceConfig, TableConfig, TableEntry } from '../config/config.js';
import { entryOf, formatTableKey, parseTableKey } from '../config/table-key.js';
import type { DestinationFacts, TableFacts } from '../destination/facts.js';
import type { ObservedColumn, ObservedServer, ObservedSource, ObservedTable } from '../source/catalog-model.js';
import { connectionFingerprint } from '../state/fingerprint.js';
import type { SourceState, StateDocument, TableState } from '../state/state.js';
import { assumedType, UNKNOWN_TYPE } from './assumed-type.js';
import type { Observed } from './observed.js';
import { replicaIdentityLetter } from './replica-identity.js';

/** Stand for the columns of a table that no file names; their names are read by people. */
export const OTHER_COLUMNS = 'every other column';
export const KEY_COLUMN = 'its primary key';
/** Beyond the 1600 columns that Postgres allows. */
const KEY_ATTNUM = 1_601;
const OTHERS_ATTNUM = 1_602;

/**
 * The oldest version that is not out of support when nothing is known: it has no column lists, of which neither state nor
 * file say anything.
 */
const ASSUMED_VERSION = 140_000;
const UNKNOWN_SYSTEM = 'unknown';
const FIRST_LSN = '0/0';

export interface Assumption {
  readonly config: Config;
  /** Under the addresses of the config, moves followed. */
  readonly state: StateDocument | null;
  /** Another version of the file, whose columns count as known as well; null for none. */
  readonly beside: Config | null;
  /** The state was made from a file: its tables may have more columns than it holds, and patterns stand for their tables. */
  readonly fromFile: boolean;
}

/**
 * The world as it would be if everything were as it was applied: what a plan is made from that asks neither databases nor
 * destinations. Tables that only the file has are there with the columns it names.
 */
export function assumedWorld(assumption: Assumption): Observed {
  const { config, state } = assumption;
  const names = new Set([...Object.keys(config.sources), ...Object.keys(state?.sources ?? {})]);
  const sources = [...names].map((name) => {
    const source = assumedSource(name, assumption);
    return [name, { ok: true as const, source }] as const;
  });
  const destinations = Object.keys(config.destinations).map((name) => [name, assumedFacts(name, state)] as const);
  return { sources: Object.fromEntries(sources), destinations: Object.fromEntries(destinations) };
}

function assumedSource(name: string, assumption: Assumption): ObservedSource {
  const { config, beside, fromFile } = assumption;
  const state = assumption.state?.sources[name] ?? null;
  const source = config.sources[name];
  const known = Object.entries(state?.tables ?? {});
  const other = beside?.sources[name];
  const own = source === undefined ? [] : source.tables.flatMap((entry) => standingFor(entry, source, fromFile));
  // What only the other version names one by one may be found by a pattern of this one.
  const others = (other?.tables ?? [])
    .flatMap((entry) => standingFor(entry, other, false))
    .filter(({ schema, table }) => source !== undefined && entryOf(source, schema, table) !== null);
  const named = [...own, ...others];
  const keys = new Map<string, { readonly schema: string; readonly table: string }>();
  for (const [key] of known) {
    const parsed = parseTableKey(key);
    const exact = parsed.ok ? parsed.key.exact : null;
    if (exact !== null) keys.set(key, { schema: exact.schema, table: exact.name });
  }
  for (const { schema, table } of named) keys.set(formatTableKey(schema, table), { schema, table });
  const tables = [...keys].map(([key, { schema, table }], index) => {
    const entries = [source, other].flatMap((each) => {
      const entry = each === undefined ? null : entryOf(each, schema, table);
      return entry === null ? [] : [entry.table];
    });
    return assumedTable({ schema, name: table }, state?.tables[key] ?? null, entries, index, fromFile);
  });
  return {
    server: assumedServer(config, source, state),
    tables,
    publications: assumedPublications(source, state, tables),
    slots: state?.slot == null ? [] : [assumedSlot(state.slot, state, source, config)],
  };
}

/** An exact entry's table; a pattern stands for its tables as one of its own name where nothing knows them. */
function standingFor(
  entry: TableEntry,
  source: SourceConfig | undefined,
  patterns: boolean,
): readonly { readonly schema: string; readonly table: string }[] {
  if (entry.schema !== null && entry.name !== null) return [{ schema: entry.schema, table: entry.name }];
  const parsed = parseTableKey(entry.key);
  if (!patterns || !parsed.ok || source === undefined) return [];
  const place = { schema: parsed.key.schema.join('*'), table: parsed.key.name.join('*') };
  return entryOf(source, place.schema, place.table) === entry ? [place] : [];
}

function assumedTable(
  { schema, name }: { readonly schema: string; readonly name: string },
  known: TableState | null,
  entries: readonly TableConfig[],
  index: number,
  fromFile: boolean,
): ObservedTable {
  const held = (known?.columns ?? []).map((column) =>
    assumedColumn(column.name, column.attnum, column.type, column.target_type),
  );
  const have = new Set(held.map((column) => column.name));
  const named = [...new Set(entries.flatMap(namedColumns))].filter((column) => !have.has(column));
  const last = Math.max(0, ...held.map((column) => column.attnum).filter((attnum) => attnum < KEY_ATTNUM));
  const columns = [...held, ...named.map((column, at) => assumedColumn(column, last + at + 1, UNKNOWN_TYPE, ''))];
  const whole = known !== null && !fromFile;
  if (!whole) {
    if (!have.has(KEY_COLUMN)) columns.push(assumedColumn(KEY_COLUMN, KEY_ATTNUM, UNKNOWN_TYPE, ''));
    if (!have.has(OTHER_COLUMNS)) columns.push(assumedColumn(OTHER_COLUMNS, OTHERS_ATTNUM, UNKNOWN_TYPE, ''));
  }
  return {
    oid: known?.oid ?? index + 1,
    schema,
    name,
    kind: 'r',
    isPartition: false,
    partitionRootOid: null,
    partitionOids: [],
    persistence: 'p',
    columns: columns.sort((left, right) => left.attnum - right.attnum),
    primaryKey: whole ? known.primary_key : [KEY_COLUMN],
    // Whatever the key, the stream carries it: that it does was checked when the table was applied.
    replicaIdentity: replicaIdentityLetter(known?.replica_identity ?? null) ?? 'f',
    replicaIdentityColumns: columns.map((column) => column.name),
    estimatedRows: null,
    estimatedBytes: 0,
    canSelect: true,
    schemaUsage: true,
    ownedByCurrentUser: true,
    readableColumns: null,
    rowSecurity: false,
    comment: null,
  };
}

function namedColumns(table: TableConfig): readonly string[] {
  return [
    ...(table.primaryKey ?? []),
    ...(table.cursor === null ? [] : [table.cursor]),
    ...(table.columns.kind === 'all' ? [] : table.columns.columns),
    ...table.partitionBy,
    ...Object.keys(table.types),
  ];
}

function assumedColumn(name: string, attnum: number, type: string, targetType: string): ObservedColumn {
  return {
    name,
    attnum,
    type: assumedType(type, targetType),
    formattedType: type,
    notNull: false,
    generated: '',
    identity: '',
    storage: 'x',
    hasDefault: false,
    comment: null,
  };
}

function assumedServer(config: Config, source: SourceConfig | undefined, state: SourceState | null): ObservedServer {
  const connection = source === undefined ? undefined : config.connections[source.connection];
  const same = connection !== undefined && connectionFingerprint(connection) === state?.connection_fingerprint;
  const kept = connection === undefined || same ? (state?.database ?? null) : null;
  return {
    versionNum: ASSUMED_VERSION,
    version: 'unknown',
    systemIdentifier: state === null ? UNKNOWN_SYSTEM : state.system_identifier,
    timelineId: null,
    database: kept ?? connection?.database ?? '',
    user: connection?.user ?? '',
    isSuperuser: true,
    hasReplication: true,
    replicationRoles: [],
    canCreateInDatabase: true,
    walLevel: 'logical',
    maxReplicationSlots: Number.MAX_SAFE_INTEGER,
    usedReplicationSlots: 0,
    maxWalSenders: Number.MAX_SAFE_INTEGER,
    usedWalSenders: 0,
    maxSlotWalKeepSizeMb: null,
    serverEncoding: 'UTF8',
    inRecovery: false,
    currentWalLsn: state?.slot?.created_lsn ?? FIRST_LSN,
    tls: true,
  };
}

/** Of a self-managed one the state does not say what it holds: its owner is taken at their word. */
function assumedPublications(
  source: SourceConfig | undefined,
  state: SourceState | null,
  tables: readonly ObservedTable[],
): ObservedSource['publications'] {
  const selfManaged = source?.cdc.management === 'self_managed';
  const names = new Set([
    ...(state?.publication == null ? [] : [state.publication]),
    ...(selfManaged ? [source.cdc.publication] : []),
  ]);
  return [...names].map((name) => ({
    name,
    owner: '',
    ownedByCurrentUser: true,
    allTables: selfManaged || state?.management === 'self_managed',
    insert: true,
    update: true,
    delete: true,
    truncate: true,
    viaPartitionRoot: true,
    storedGenerated: false,
    schemas: [],
    tables: tables
      .filter((table) => state?.publication_tables.includes(formatTableKey(table.schema, table.name)))
      .map((table) => ({ schema: table.schema, name: table.name, oid: table.oid, columns: null, rowFilter: null })),
  }));
}

function assumedSlot(
  slot: NonNullable<SourceState['slot']>,
  state: SourceState,
  source: SourceConfig | undefined,
  config: Config,
): ObservedSource['slots'][number] {
  return {
    name: slot.name,
    plugin: 'pgoutput',
    database: assumedServer(config, source, state).database,
    active: false,
    activePid: null,
    temporary: false,
    twoPhase: false,
    failover: null,
    restartLsn: slot.created_lsn,
    confirmedFlushLsn: slot.created_lsn,
    walStatus: 'reserved',
    safeWalSizeBytes: null,
    retainedWalBytes: null,
    unconfirmedWalBytes: null,
    invalidationReason: null,
  };
}

/** Every load that was asked for has been made. */
function assumedFacts(destination: string, state: StateDocument | null): DestinationFacts {
  const own = Object.entries(state?.sources ?? {}).filter(([, source]) => source.destination === destination);
  return {
    exists: true,
    streams: own.flatMap(([source, { slot, system_identifier: systemIdentifier }]) =>
      slot === null
        ? []
        : [
            {
              source,
              slot: slot.name,
              systemIdentifier: systemIdentifier ?? UNKNOWN_SYSTEM,
              slotCreatedLsn: slot.created_lsn,
              timelineId: null,
              unseen: [],
              confirmedLsn: slot.created_lsn,
              confirmedAt: '',
              updatedAt: '',
            },
          ],
    ),
    tables: own.flatMap(([source, { tables }]) =>
      Object.entries(tables).map(([key, table]) => assumedTableFacts(`${source}:${key}`, table)),
    ),
    foreignTables: [],
  };
}

/** What a destination says of a table into which every load was made that was asked for. */
export function assumedTableFacts(address: string, table: TableState): TableFacts {
  return {
    address,
    loadedGeneration: table.generation,
    backfilled: table.backfill?.id ?? 0,
    resnapshotReason: null,
    rows: null,
    asOfLsn: null,
    asOf: null,
    cursor: null,
    rejectedValues: 0,
    lastError: null,
    lastRunAt: null,
    loadRowsPerSecond: null,
    snapshot: null,
    partitions: null,
  };
}
