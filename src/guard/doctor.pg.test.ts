import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPostgres, type TestPostgres } from '../../test/postgres/server.js';
import type { Config, ConnectionConfig, SourceConfig, TableConfig, TableEntry } from '../config/config.js';
import { readCatalog } from '../source/catalog.js';
import { connectSource } from '../source/connect.js';
import { setupSql } from '../source/setup-sql.js';
import { runDoctor } from './doctor.js';
import type { Finding } from './finding.js';

let postgres: TestPostgres;

beforeAll(async () => {
  postgres = await startPostgres({ major: 17, settings: { wal_level: 'replica' } });
  await postgres.query(`create role sluice login password 'sluice'; create schema shop;
    create table shop.users (id int primary key); create table shop.bare (note text);
    create table shop.events (id int, at date, primary key (id, at)) partition by range (at);
    create table shop.events_1 partition of shop.events default;`);
});
afterAll(() => postgres?.stop('immediate'));

const table: TableConfig = {
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

function configOf(management: 'managed' | 'self_managed'): {
  config: Config;
  source: SourceConfig;
  connection: ConnectionConfig;
} {
  const exact = (name: string): TableEntry => ({ key: `shop.${name}`, pattern: null, schema: 'shop', name, table });
  const source: SourceConfig = {
    name: 'shop',
    connection: 'shop_db',
    destination: 'warehouse',
    schema: null,
    metadataPrefix: '_ph_',
    targetSchema: '{schema}',
    cdc: {
      management,
      publication: 'sluice_pub_shop',
      slot: 'sluice_shop',
      transport: 'scheduled',
      flush: { everyMs: 10_000, rows: 100_000 },
      lag: { warningMb: 1024, criticalMb: 10_240, onCritical: 'alert' },
      onSlotLost: 'manual',
      heartbeat: true,
    },
    snapshot: { parallel: 1, saveEveryMs: 20_000 },
    parallelTables: 1,
    tables: [exact('users'), exact('events'), exact('bare')],
  };
  const connection: ConnectionConfig = {
    name: 'shop_db',
    host: postgres.host,
    port: postgres.port,
    database: postgres.database,
    user: 'sluice',
    password: null,
    tls: { mode: 'disable', caFile: null, certFile: null, keyFile: null },
    tunnel: null,
    connectTimeoutMs: 10_000,
  };
  const config: Config = {
    file: '/etc/sources.yaml',
    hash: '',
    state: { type: 'file', path: '/var/state.json' },
    daemon: { http: null, socket: '/var/control.sock', autoApply: 'additive' },
    connections: { shop_db: connection },
    destinations: {
      warehouse: {
        type: 'duckdb',
        name: 'warehouse',
        path: '/w.duckdb',
        writtenPath: 'warehouse.duckdb',
        publish: null,
        memoryLimitMb: 64,
        threads: null,
        parallelLoads: null,
      },
    },
    sources: { shop: source },
    alerts: [],
    moved: [],
  };
  return { config, source, connection };
}

async function look(connection: ConnectionConfig) {
  const { signal } = new AbortController();
  const session = await connectSource(
    { ...connection, password: 'sluice', tunnel: null },
    { purpose: 'doctor', signal },
  );
  try {
    return { ok: true as const, source: await readCatalog(session, { schema: null }, signal) };
  } finally {
    await session.end();
  }
}

const codes = (findings: readonly Finding[]) =>
  findings.filter((finding) => finding.level === 'error').map(({ code, address }) => `${code} ${address}`);

test('setup-sql mends all that doctor finds, save for the key, and both agree afterwards', async () => {
  const { config, source, connection } = configOf('self_managed');
  const before = await look(connection);
  expect(codes(runDoctor({ config, observed: { sources: { shop: before }, destinations: {} } }))).toEqual([
    'WAL_LEVEL shop',
    'REPLICATION_ROLE shop',
    'SCHEMA_USAGE shop',
    'TABLE_SELECT shop:shop.bare',
    'TABLE_SELECT shop:shop.events',
    'TABLE_SELECT shop:shop.users',
    'PRIMARY_KEY shop:shop.bare',
    'PUBLICATION_MISSING shop:publication',
  ]);
  const sql = setupSql(config, source, before);
  // Run as psql would: ALTER SYSTEM cannot be part of a batch.
  const statements = sql.split(/;\n/).filter((statement) => !/^(\s*--.*\n?)*\s*$/.test(statement));
  for (const statement of statements) await postgres.query(statement);
  await postgres.restart();
  const after = await look(connection);
  expect(codes(runDoctor({ config, observed: { sources: { shop: after }, destinations: {} } }))).toEqual([
    'PRIMARY_KEY shop:shop.bare',
  ]);
  const again = setupSql(config, source, after);
  expect(again).toContain('is there and complete');
  expect(again).not.toContain('alter ');
  await postgres.query('drop publication sluice_pub_shop');
});

test('a managed source is told that it may not make the publication, nor add tables of others', async () => {
  const { config, connection } = configOf('managed');
  const observed = { sources: { shop: await look(connection) }, destinations: {} };
  expect(codes(runDoctor({ config, observed }))).toEqual([
    'PRIMARY_KEY shop:shop.bare',
    'PUBLICATION_CREATE shop:publication',
    'TABLE_OWNER shop:shop.bare',
    'TABLE_OWNER shop:shop.events',
    'TABLE_OWNER shop:shop.users',
  ]);
});
