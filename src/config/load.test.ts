// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables are part of the files under test
import { expect, test } from 'vitest';
import { ENV, parse, problemsOf, withParts } from '../../test/config/config-text.js';
import type { Config, ConnectionConfig, TableConfig } from './config.js';
import { redactConfig } from './hash.js';
import { type LoadDeps, loadConfig } from './load.js';
import { formatProblems } from './problem.js';

function good(text: string, env: Readonly<Record<string, string>> = ENV): Config {
  const result = parse(text, env);
  if (!result.ok) throw new Error(formatProblems(result.problems));
  return result.config;
}

function connection(rest: string, env?: Readonly<Record<string, string>>): ConnectionConfig {
  const found = good(withParts({ connections: `  shop_db: { ${rest} }` }), env).connections['shop_db'];
  if (found === undefined) throw new Error('no connection');
  return found;
}

function table(settings: string, source = ''): TableConfig {
  const [entry] = good(withParts({ tables: `      public.users: ${settings}`, source })).sources['shop']?.tables ?? [];
  if (entry === undefined) throw new Error('no table');
  return entry.table;
}

const DEFAULT_TABLE: TableConfig = {
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

test('the smallest file has every default', () => {
  const config = good(withParts({}));
  expect(config).toEqual({
    file: '/etc/sluice/sources.yaml',
    hash: expect.stringMatching(/^[0-9a-f]{64}$/),
    state: { type: 'file', path: '/etc/sluice/.sluice/state.json' },
    daemon: { http: null, socket: '/etc/sluice/.sluice/control.sock', autoApply: 'additive' },
    connections: {
      shop_db: {
        name: 'shop_db',
        host: 'localhost',
        port: 5432,
        database: 'shop',
        user: 'sluice',
        password: null,
        tls: { mode: 'verify-full', caFile: null, certFile: null, keyFile: null },
        tunnel: null,
        connectTimeoutMs: 10_000,
      },
    },
    destinations: {
      warehouse: {
        type: 'duckdb',
        name: 'warehouse',
        path: '/etc/sluice/warehouse.duckdb',
        writtenPath: 'warehouse.duckdb',
        publish: null,
        memoryLimitMb: 256,
        threads: null,
        parallelLoads: null,
      },
    },
    sources: {
      shop: {
        name: 'shop',
        connection: 'shop_db',
        destination: 'warehouse',
        schema: null,
        metadataPrefix: '_ph_',
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
        },
        snapshot: { parallel: 1, saveEveryMs: 20_000 },
        parallelTables: 1,
        tables: [{ key: 'public.users', pattern: null, schema: 'public', name: 'users', table: DEFAULT_TABLE }],
      },
    },
    alerts: [],
    moved: [],
  });
  expect(problemsOf(withParts({}))).toBe('');
});

test.each<{ name: string; settings: string; source?: string; expected: Partial<TableConfig> }>([
  { name: 'an entry may be left empty', settings: '', expected: {} },
  {
    name: 'cdc with everything',
    settings:
      '{ output: both, deletes: hard, columns: { exclude: [a] }, types: { n: "decimal(20, 6)", doc: json }, on_add_columns: backfill, on_remove: drop, enabled: false }',
    expected: {
      output: 'both',
      deletes: 'hard',
      columns: { kind: 'exclude', columns: ['a'] },
      types: { n: { kind: 'decimal', precision: 20, scale: 6 }, doc: { kind: 'json' } },
      onAddColumns: 'backfill',
      onRemove: 'drop',
      enabled: false,
    },
  },
  {
    name: 'incremental',
    settings: '{ method: incremental, cursor: at, lookback: 1m30s, primary_key: [a, b], schedule: { every: 1h30m } }',
    expected: {
      method: 'incremental',
      cursor: 'at',
      lookbackMs: 90_000,
      primaryKey: ['a', 'b'],
      schedule: { kind: 'every', everyMs: 5_400_000 },
    },
  },
  {
    name: 'append',
    settings: '{ method: append, cursor: id, columns: { include: [id] } }',
    expected: { method: 'append', cursor: 'id', columns: { kind: 'include', columns: ['id'] } },
  },
  {
    name: 'cron in a time zone',
    settings: '{ schedule: { cron: "30 2 * * 1-5", timezone: Europe/Berlin } }',
    expected: { schedule: { kind: 'cron', cron: '30 2 * * 1-5', timezone: 'Europe/Berlin' } },
  },
  {
    name: 'cron in UTC by default',
    settings: '{ schedule: { cron: "*/10 * * * *" } }',
    expected: { schedule: { kind: 'cron', cron: '*/10 * * * *', timezone: 'UTC' } },
  },
  {
    name: 'defaults of the source',
    settings: '{}',
    source:
      '    defaults: { method: incremental, cursor: at, lookback: 5m, on_remove: keep, on_add_columns: resync, schedule: { every: 1d } }',
    expected: {
      method: 'incremental',
      cursor: 'at',
      lookbackMs: 300_000,
      onRemove: 'keep',
      onAddColumns: 'resync',
      schedule: { kind: 'every', everyMs: 86_400_000 },
    },
  },
  {
    name: 'a table wins over the defaults, and a default that does not fit its method is left out',
    settings: '{ method: full_table, schedule: { cron: "0 3 * * *" } }',
    source: '    defaults: { method: cdc, output: history, cursor: at, lookback: 5m, schedule: { every: 1d } }',
    expected: { method: 'full_table', schedule: { kind: 'cron', cron: '0 3 * * *', timezone: 'UTC' } },
  },
])('table: $name', ({ settings, source, expected }) => {
  expect(table(settings, source)).toEqual({ ...DEFAULT_TABLE, ...expected });
});

test('a column with the name of an inherited property has no override', () => {
  expect(table('{}').types['constructor']).toBeUndefined();
  expect(table('{ types: { constructor: json } }').types['constructor']).toEqual({ kind: 'json' });
});

test.each<{
  name: string;
  settings: string;
  env?: Readonly<Record<string, string>>;
  expected: Partial<ConnectionConfig>;
}>([
  {
    name: 'a url',
    settings:
      'url: "postgresql://ann:p%40ss@db.example.com:6432/my%20shop?sslmode=verify-ca&sslrootcert=ca.pem&connect_timeout=3"',
    expected: {
      host: 'db.example.com',
      port: 6432,
      database: 'my shop',
      user: 'ann',
      password: { kind: 'inline', value: 'p@ss' },
      tls: { mode: 'verify-ca', caFile: '/etc/sluice/ca.pem', certFile: null, keyFile: null },
      connectTimeoutMs: 3_000,
    },
  },
  {
    name: 'parts beside the url win',
    settings:
      'url: "postgres://a:b@h1:1/d1?sslmode=require", host: h2, port: 2, database: d2, user: u2, password: { env: P }, tls: { mode: verify-full }, connect_timeout: 1m',
    expected: {
      host: 'h2',
      port: 2,
      database: 'd2',
      user: 'u2',
      password: { kind: 'env', name: 'P' },
      tls: { mode: 'verify-full', caFile: null, certFile: null, keyFile: null },
      connectTimeoutMs: 60_000,
    },
  },
  {
    name: 'IPv6 in a url',
    settings: 'url: "postgres://u@[2001:db8::1]:5433/d"',
    expected: { host: '2001:db8::1', port: 5433 },
  },
  { name: 'IPv6 as host', settings: 'host: "2001:db8::1", database: d, user: u', expected: { host: '2001:db8::1' } },
  {
    name: 'a unix socket has no TLS',
    settings: 'host: /run/postgresql, database: d, user: u',
    expected: { host: '/run/postgresql', tls: { mode: 'disable', caFile: null, certFile: null, keyFile: null } },
  },
  {
    name: 'a unix socket in a url',
    settings: 'url: "postgres:///d?host=/run/postgresql&user=u"',
    expected: { host: '/run/postgresql', database: 'd', user: 'u' },
  },
  {
    name: 'an encoded unix socket in a url',
    settings: 'url: "postgres://%2Frun%2Fpostgresql/d?user=u"',
    expected: { host: '/run/postgresql', database: 'd' },
  },
  {
    name: 'plain text on this machine',
    settings: 'host: 127.0.0.53, database: d, user: u, tls: { mode: disable }',
    expected: { tls: { mode: 'disable', caFile: null, certFile: null, keyFile: null } },
  },
  {
    name: 'plain text to another machine, allowed',
    settings: 'host: db, database: d, user: u, tls: { mode: disable, allow_plaintext: true }',
    expected: { tls: { mode: 'disable', caFile: null, certFile: null, keyFile: null } },
  },
  {
    name: 'client certificates, below the home folder too',
    settings: 'host: db, database: d, user: u, tls: { ca_file: /ca.pem, cert_file: ~/c.pem, key_file: keys/c.key }',
    expected: {
      tls: { mode: 'verify-full', caFile: '/ca.pem', certFile: '/home/ann/c.pem', keyFile: '/etc/sluice/keys/c.key' },
    },
  },
  {
    name: 'a secret file',
    settings: 'host: db, database: d, user: u, password: { file: ~/.pw }',
    expected: { password: { kind: 'file', path: '/home/ann/.pw' } },
  },
  {
    name: 'a credential',
    settings: 'host: db, database: d, user: u, password: { credential: db }',
    expected: { password: { kind: 'credential', name: 'db' } },
  },
  {
    name: 'a password from a variable stays what it is, and PGPASSWORD is not used',
    settings: 'host: db, database: d, user: u, password: "${PW}"',
    env: { PW: '12345', PGPASSWORD: 'other' },
    expected: { password: { kind: 'inline', value: '12345' } },
  },
  {
    name: 'PGPASSWORD alone means no password',
    settings: 'host: db, database: d, user: u',
    env: { PGPASSWORD: 'other' },
    expected: { password: null },
  },
])('connection: $name', ({ settings, env, expected }) => {
  expect(connection(settings, env)).toMatchObject(expected);
});

test('names of slot and publication follow the source', () => {
  const text = withParts({}).replace('  shop:\n', '  Shop-EU:\n');
  expect(good(text).sources['Shop-EU']?.cdc).toMatchObject({
    slot: 'sluice_shop_eu',
    publication: 'sluice_pub_shop_eu',
  });
});

test('a publication of your own always alerts', () => {
  const config = good(withParts({ source: '    cdc: { management: self_managed, publication: Ours 1 }' }));
  expect(config.sources['shop']?.cdc).toMatchObject({ publication: 'Ours 1', lag: { onCritical: 'alert' } });
});

test('anchors, merge keys and free sections', () => {
  const config = good(
    withParts({
      more: [
        'x-nightly: &nightly { schedule: { every: 1d }, on_remove: keep }',
        'x-big: &big { method: append, cursor: id }',
      ].join('\n'),
      tables: [
        '      public.a:',
        '        <<: [*nightly, *big]',
        '        on_remove: drop',
        '      public.b: *big',
      ].join('\n'),
    }).replace(/^(sources:[\s\S]*?)(x-nightly[\s\S]*)$/m, '$2$1'),
  );
  expect(config.sources['shop']?.tables.map(({ table: settings }) => settings)).toEqual([
    {
      ...DEFAULT_TABLE,
      method: 'append',
      cursor: 'id',
      onRemove: 'drop',
      schedule: { kind: 'every', everyMs: 86_400_000 },
    },
    { ...DEFAULT_TABLE, method: 'append', cursor: 'id' },
  ]);
});

test.each([
  { name: 'a line more', value: 'id\n        enabled: false' },
  { name: 'the end of a flow mapping', value: 'id }, enabled: false, x: {' },
  { name: 'a quote', value: 'id", enabled: "false' },
  { name: 'another variable', value: '${SECRET}' },
  { name: 'an alias', value: '*anchor' },
  { name: 'a number', value: '5' },
  { name: 'a truth value', value: 'true' },
  { name: 'nothing', value: 'null' },
])('the value of a variable stays one text: $name', ({ value }) => {
  const text = withParts({
    tables: '      public.users:\n        method: append\n        cursor: ${V}\n        columns: { include: ["${V}"] }',
  });
  const [entry] = good(text, { V: value, SECRET: 'x' }).sources['shop']?.tables ?? [];
  expect(entry?.table).toMatchObject({ cursor: value, enabled: true, columns: { kind: 'include', columns: [value] } });
});

test('variables are not replaced in keys or comments', () => {
  const text = withParts({ tables: '      public.${SET}: {} # ${NOT_SET}' });
  expect(good(text).sources['shop']?.tables[0]).toMatchObject({ schema: 'public', name: '${SET}' });
});

test.each([
  {
    name: 'a plain password',
    text: withParts({ connections: '  shop_db: { host: localhost, database: shop, user: sluice, password: hunter2 }' }),
    expected: [
      'sources.yaml:3:71  connections.shop_db.password  warning: a secret stands here as plain text; use { env: NAME }, { file: PATH } or ${NAME} instead',
      '      shop_db: { host: localhost, database: shop, user: sluice, password: *** }',
      '                                                                          ^',
    ],
  },
  {
    name: 'a plain password in a url, and a parameter that is ignored',
    text: withParts({ connections: '  shop_db: { url: "postgres://u:hunter2@localhost/d?ssl_mode=require" }' }),
    expected: [
      'sources.yaml:3:19  connections.shop_db.url  warning: the url parameter "ssl_mode" is ignored; did you mean "sslmode"?',
      '      shop_db: { url: "postgres://u:***@localhost/d?ssl_mode=require" }',
      '                      ^',
      'sources.yaml:3:19  connections.shop_db.url  warning: the url holds a password as plain text; leave it out and give "password" beside the url',
      '      shop_db: { url: "postgres://u:***@localhost/d?ssl_mode=require" }',
      '                      ^',
    ],
  },
  {
    name: 'plain text to another machine',
    text: withParts({
      connections: '  shop_db: { host: db, database: d, user: u, tls: { mode: disable, allow_plaintext: true } }',
    }),
    expected: [
      'sources.yaml:3:85  connections.shop_db.tls.allow_plaintext  warning: password and rows go to "db" as plain text, where whoever is on the way can read and change them',
      '      shop_db: { host: db, database: d, user: u, tls: { mode: disable, allow_plaintext: true } }',
      '                                                                                        ^',
    ],
  },
  {
    name: 'a pattern outside of the schema',
    text: withParts({ source: '    schema: public', tables: '      "billing.*": {}' }),
    expected: [
      'sources.yaml:12:7  sources.shop.tables["billing.*"]  warning: matches nothing: patterns of this source are limited to schema "public"',
      '          "billing.*": {}',
      '          ^',
    ],
  },
  {
    name: 'flush without continuous transport',
    text: withParts({ source: '    cdc: { flush: { rows: 5 } }' }),
    expected: [
      'sources.yaml:10:12  sources.shop.cdc.flush  warning: has no effect with transport "scheduled"',
      '        cdc: { flush: { rows: 5 } }',
      '               ^',
    ],
  },
])('a warning: $name', ({ text, expected }) => {
  expect(parse(text).ok).toBe(true);
  expect(problemsOf(text).split('\n')).toEqual(expected);
});

test('aliases that multiply without end are refused', () => {
  const levels = Array.from({ length: 9 }, (_, index) =>
    index === 0
      ? 'x-0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]'
      : `x-${index}: &a${index} [${Array.from({ length: 10 }, () => `*a${index - 1}`).join(', ')}]`,
  );
  expect(() => parse(`${levels.join('\n')}\n${withParts({})}`)).toThrow(
    'the config has more than 100000 entries, aliases counted',
  );
});

const DEPS: LoadDeps = {
  env: {},
  cwd: '/srv',
  homeDir: '/home/ann',
  readFile: async (path) => {
    if (path !== '/srv/conf/sources.yaml') throw new Error(`ENOENT: ${path}`);
    return withParts({});
  },
};

test('a file is read from the folder of the process, and its paths start at its own folder', async () => {
  const result = await loadConfig('conf/sources.yaml', DEPS);
  expect(result).toMatchObject({
    ok: true,
    config: { file: '/srv/conf/sources.yaml', state: { path: '/srv/conf/.sluice/state.json' } },
  });
});

test('a file that is not there has a code of its own', async () => {
  await expect(loadConfig('none.yaml', DEPS)).rejects.toMatchObject({
    code: 'CONFIG_UNREADABLE',
    message: 'none.yaml could not be read',
  });
});

test('a redacted config shows no secret', () => {
  const config = good(withParts({ connections: '  shop_db: { url: "postgres://u:hunter2@localhost/d" }' }));
  expect(JSON.stringify(redactConfig(config))).not.toContain('hunter2');
  expect(redactConfig(config).connections['shop_db']).toMatchObject({
    password: { kind: 'inline', value: '<secret>' },
  });
});
