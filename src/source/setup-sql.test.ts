import { expect, test } from 'vitest';
import type { Config, SourceConfig, TableConfig, TableEntry } from '../config/config.js';
import { setupSql } from './setup-sql.js';

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

function entry(schema: string | null, name: string | null, changes: Partial<TableConfig> = {}): TableEntry {
  const pattern = schema === null ? 'billing.*' : null;
  return { key: pattern ?? `${schema}.${name}`, pattern, schema, name, table: { ...table, ...changes } };
}

const source: SourceConfig = {
  name: 'shop',
  connection: 'shop_db',
  destination: 'warehouse',
  schema: null,
  metadataPrefix: '_ph_',
  targetSchema: '{schema}',
  cdc: {
    management: 'self_managed',
    publication: 'pub',
    slot: 'sluice_shop',
    transport: 'scheduled',
    flush: { everyMs: 10_000, rows: 100_000 },
    lag: { warningMb: 1024, criticalMb: 10_240, onCritical: 'alert' },
    onSlotLost: 'manual',
    heartbeat: true,
  },
  snapshot: { parallel: 1, saveEveryMs: 20_000 },
  parallelTables: 1,
  tables: [
    entry('public', 'users'),
    entry('public', 'odd"; drop table x; --'),
    entry('public', 'countries', { method: 'full_table' }),
    entry('public', 'off', { enabled: false }),
    entry(null, null),
  ],
};

const config: Config = {
  file: '/etc/sources.yaml',
  hash: '',
  state: { type: 'file', path: '/var/state.json' },
  daemon: { http: null, socket: '/var/control.sock', autoApply: 'additive' },
  connections: {
    shop_db: {
      name: 'shop_db',
      host: 'db',
      port: 5432,
      database: 'shop',
      user: 'sluice',
      password: null,
      tls: { mode: 'verify-full', caFile: null, certFile: null, keyFile: null },
      tunnel: null,
      connectTimeoutMs: 10_000,
    },
  },
  destinations: {},
  sources: { shop: source },
  alerts: [],
  moved: [],
};

test('from the file alone, where the database does not answer', () => {
  expect(setupSql(config, source, { ok: false })).toBe(`-- Source "shop" in database "shop".
-- Run it there as a superuser, or as the owner of the tables.
-- The database could not be asked, so this is made from the config file alone.
-- Tables that only a pattern names are missing here: "billing.*"

-- The role may make and read a replication slot.
-- On Amazon RDS and Aurora instead: grant rds_replication to "sluice";
alter role "sluice" with replication;

-- The role may read the tables.
grant usage on schema "public" to "sluice";
grant select on table
  "public"."odd""; drop table x; --",
  "public"."countries",
  "public"."users"
  to "sluice";

-- The publication: which changes Postgres sends.
create publication "pub" for table "public"."odd""; drop table x; --", "public"."users" with (publish = 'insert, update, delete, truncate', publish_via_partition_root = true);
`);
});

test('without cdc there is nothing but grants', () => {
  const plain = { ...source, tables: [entry('public', 'countries', { method: 'full_table' })] };
  expect(setupSql(config, plain, undefined)).not.toMatch(/publication|replication/);
});
