import { type Address, parseAddress } from './address.js';
import type { Config, ConnectionConfig, DestinationConfig, SourceConfig } from './config.js';
import { isLoopback, parseListenAddress } from './listen-address.js';
import type { ConfigPath } from './problem.js';
import { readAlerts } from './read-alerts.js';
import { readConnection } from './read-connection.js';
import { checkSharedFiles, readDestination } from './read-destination.js';
import { type KnownNames, readSource } from './read-source.js';
import { controlSocketPath, localStatePath, readState } from './read-state.js';
import { entriesOf, type Reading } from './reading.js';
import type { Pruned } from './schema.js';
import type { Moved, SourcesFile } from './schema-types.js';
import { entryOf } from './table-key.js';
import { findCollision } from './target.js';

type RawFile = Pruned<SourcesFile>;

/**
 * Turns what the schema let pass into a Config without file and hash. It reports every mistake to `reading`, and only
 * where none was reported is what it returns true.
 * @param known names of all entries, also of those that were taken out for a mistake, so that references to them stand
 */
export function readConfig(raw: RawFile, known: KnownNames, reading: Reading): Omit<Config, 'file' | 'hash'> {
  const connections = entriesOf(raw.connections).map(([name, entry]) => readConnection(name, entry, reading));
  const state = readState(raw.state, known, reading);
  const destinations = entriesOf(raw.destinations).flatMap(
    ([name, entry]) => readDestination(name, entry, localStatePath(state), reading) ?? [],
  );
  checkSharedFiles(destinations, reading);
  const sources = entriesOf(raw.sources).map(([name, entry]) => readSource(name, entry, known, reading));
  checkNeighbours(sources, connections, destinations, reading);
  checkPartitions(sources, destinations, reading);
  return {
    state,
    daemon: {
      http: readHttp(raw, reading),
      socket: controlSocketPath(raw.daemon?.socket, localStatePath(state), reading),
      autoApply: raw.daemon?.auto_apply ?? 'additive',
    },
    connections: byName(connections),
    destinations: byName(destinations),
    sources: byName(sources),
    alerts: readAlerts(raw.alerts, reading),
    moved: (raw.moved ?? []).map((entry, index) =>
      readMoved(entry, ['moved', index], raw.moved ?? [], sources, reading),
    ),
  };
}

function byName<T extends { readonly name: string }>(items: readonly T[]): Record<string, T> {
  return Object.fromEntries(items.map((item) => [item.name, item]));
}

function readHttp(raw: RawFile, reading: Reading): { readonly listen: string } | null {
  const listen = raw.daemon?.http?.listen;
  if (listen === undefined) return null;
  const path = ['daemon', 'http', 'listen'];
  const { host, port } = parseListenAddress(listen);
  if (port < 1 || port > 65_535) {
    reading.problem(path, `expected a port from 1 to 65535, found ${port}`);
  } else if (!isLoopback(host)) {
    reading.warning(
      path,
      'other machines can read the status and the metrics, which ask for no password; use 127.0.0.1, or see to it that a firewall or proxy guards the port',
    );
  }
  return { listen };
}

/** What two sources must not share: a slot, a managed publication, a destination table. Each pair is reported once. */
function checkNeighbours(
  sources: readonly SourceConfig[],
  connections: readonly ConnectionConfig[],
  destinations: readonly DestinationConfig[],
  reading: Reading,
): void {
  const connectionOf = (source: SourceConfig) => connections.find(({ name }) => name === source.connection);
  const isKnown = (source: SourceConfig): boolean => destinations.some(({ name }) => name === source.destination);
  sources.forEach((right, index) => {
    checkOwnTables(right, reading);
    for (const left of sources.slice(0, index)) {
      checkReplication(left, right, [connectionOf(left), connectionOf(right)], reading);
      if (left.destination === right.destination && isKnown(left)) checkTargets(left, right, reading);
    }
  });
}

/** Only delta tables have partitions of Sluice's making; the others would silently have none. */
function checkPartitions(
  sources: readonly SourceConfig[],
  destinations: readonly DestinationConfig[],
  reading: Reading,
): void {
  for (const source of sources) {
    const destination = destinations.find(({ name }) => name === source.destination);
    if (destination === undefined || reading.isBroken(['destinations', destination.name])) continue;
    const format = destination.type === 'duckdb' ? 'duckdb' : destination.format;
    if (format === 'delta') continue;
    for (const { key, table } of source.tables) {
      if (table.partitionBy.length === 0) continue;
      const what = `only for delta tables; destination "${destination.name}" is ${format === 'duckdb' ? 'a DuckDB file' : 'of format "parquet"'}`;
      reading.problem(['sources', source.name, 'tables', key, 'partition_by'], what, 'key');
    }
  }
}

function checkReplication(
  left: SourceConfig,
  right: SourceConfig,
  [leftConnection, rightConnection]: readonly [ConnectionConfig | undefined, ConnectionConfig | undefined],
  reading: Reading,
): void {
  if (leftConnection === undefined || rightConnection === undefined) return;
  if (!usesCdc(left) || !usesCdc(right) || !sameServer(leftConnection, rightConnection)) return;
  const path: ConfigPath = ['sources', right.name, 'cdc'];
  if (left.cdc.slot === right.cdc.slot) {
    const message = `slot "${right.cdc.slot}" is used by source "${left.name}" on the same server; each source needs its own`;
    reading.problem([...path, 'slot'], message);
  }
  const managed = left.cdc.management === 'managed' || right.cdc.management === 'managed';
  const sameDatabase = leftConnection.database === rightConnection.database;
  if (managed && sameDatabase && left.cdc.publication === right.cdc.publication) {
    const message = `publication "${right.cdc.publication}" is used by source "${left.name}" in the same database; each source needs its own`;
    reading.problem([...path, 'publication'], message);
  }
}

/** Slots belong to a server, whatever database or role they are used with. */
function sameServer(left: ConnectionConfig, right: ConnectionConfig): boolean {
  return left.host === right.host && left.port === right.port && left.tunnel?.host === right.tunnel?.host;
}

function usesCdc(source: SourceConfig): boolean {
  return source.tables.some(({ table }) => table.method === 'cdc');
}

function checkTargets(left: SourceConfig, right: SourceConfig, reading: Reading): void {
  const collision = findCollision(left, right);
  if (collision === null) return;
  const other = `${JSON.stringify(collision.left.key)} of source "${left.name}"`;
  reading.problem(
    ['sources', right.name, 'tables', collision.right.key],
    `may land in the same table as ${other}; give one of the sources a target_schema such as "{source}_{schema}"`,
    'key',
  );
}

/** Within a source two exact entries meet where one is named like the other's history, or differs in case only. */
function checkOwnTables(source: SourceConfig, reading: Reading): void {
  const exact = { ...source, tables: source.tables.filter((entry) => entry.pattern === null) };
  exact.tables.forEach((entry, index) => {
    const before = { ...source, tables: exact.tables.slice(0, index).filter((other) => !sameTable(other, entry)) };
    const collision = findCollision(before, { ...source, tables: [entry] });
    if (collision === null) return;
    const message = `lands in the same table as ${JSON.stringify(collision.left.key)}, whose history is named <table>_cdc or which differs in case only`;
    reading.problem(['sources', source.name, 'tables', entry.key], message, 'key');
  });
}

function sameTable(
  left: { readonly schema: string | null; readonly name: string | null },
  right: typeof left,
): boolean {
  return left.schema === right.schema && left.name === right.name;
}

function readMoved(
  raw: Pruned<Moved>,
  path: ConfigPath,
  all: readonly Pruned<Moved>[],
  sources: readonly SourceConfig[],
  reading: Reading,
): { readonly from: string; readonly to: string } {
  const from = readMovedAddress(raw.from, [...path, 'from'], reading);
  const to = readMovedAddress(raw.to, [...path, 'to'], reading);
  if (from !== null && to !== null && from.kind !== to.kind) {
    reading.problem([...path, 'to'], `expected a ${from.kind}, as "from" is one, found a ${to.kind}`);
  } else {
    if (to !== null && !isConfigured(to, sources, 'also by pattern')) {
      reading.problem([...path, 'to'], `this file has no ${to.kind} ${JSON.stringify(raw.to)}`);
    }
    if (from !== null && isConfigured(from, sources, 'exactly')) {
      reading.problem(
        [...path, 'from'],
        `this file still has the ${from.kind} ${JSON.stringify(raw.from)}; what moved away must not stay`,
      );
    }
  }
  const index = path.at(-1);
  const first = all.findIndex((entry) => entry.from !== undefined && entry.from === raw.from);
  if (first !== -1 && typeof index === 'number' && first < index) {
    reading.problem([...path, 'from'], `moved by moved[${first}] already`);
  }
  return { from: raw.from ?? '', to: raw.to ?? '' };
}

type MovedAddress = Extract<Address, { kind: 'source' | 'table' }>;

function readMovedAddress(text: string | undefined, path: ConfigPath, reading: Reading): MovedAddress | null {
  if (text === undefined) return null;
  const address = parseAddress(text);
  if (address?.kind === 'source' || address?.kind === 'table') return address;
  reading.problem(path, `expected an address: source or source:schema.table, found ${reading.quote(path, text)}`);
  return null;
}

function isConfigured(
  address: MovedAddress,
  sources: readonly SourceConfig[],
  how: 'exactly' | 'also by pattern',
): boolean {
  const source = sources.find(({ name }) => name === address.source);
  if (source === undefined) return false;
  if (address.kind === 'source') return true;
  const entry = entryOf(source, address.schema, address.name);
  return entry !== null && (how === 'also by pattern' || entry.pattern === null);
}
