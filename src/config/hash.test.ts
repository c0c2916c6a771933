// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables are part of the files under test
import { expect, test } from 'vitest';
import { type FileParts, withParts } from '../../test/config/config-text.js';
import { parseConfig } from './load.js';
import { formatProblems } from './problem.js';

function hash(
  parts: FileParts,
  options: { readonly folder?: string; readonly env?: Readonly<Record<string, string>> } = {},
): string {
  const surroundings = { env: options.env ?? {}, cwd: options.folder ?? '/etc/sluice', homeDir: '/home/ann' };
  const result = parseConfig(withParts(parts), 'sources.yaml', surroundings);
  if (!result.ok) throw new Error(formatProblems(result.problems));
  return result.config.hash;
}

const PASSWORD = { connections: '  shop_db: { host: localhost, database: shop, user: sluice, password: "${PW}" }' };

test.each<{ name: string; parts: FileParts }>([
  {
    name: 'keys in another order',
    parts: { connections: '  shop_db: { user: sluice, database: shop, host: localhost }' },
  },
  {
    name: 'defaults written out',
    parts: { source: '    metadata_prefix: _ph_', tables: '      public.users: { method: cdc }' },
  },
  { name: 'a duration in other units', parts: { tables: '      public.users: { schedule: { every: 300s } }' } },
  { name: 'a url instead of parts', parts: { connections: '  shop_db: { url: "postgres://sluice@localhost/shop" }' } },
  { name: 'a quoted name', parts: { tables: `      '"public".users': {}` } },
  {
    name: 'a path written in full',
    parts: { destinations: '  warehouse: { type: duckdb, path: /etc/sluice/warehouse.duckdb }' },
  },
])('$name gives the same hash', ({ parts }) => {
  expect(hash(parts)).toBe(hash({}));
});

test.each<{ name: string; parts: FileParts }>([
  { name: 'another host', parts: { connections: '  shop_db: { host: 127.0.0.1, database: shop, user: sluice }' } },
  { name: 'another method', parts: { tables: '      public.users: { method: full_table }' } },
  { name: 'one more table', parts: { tables: '      public.users: {}\n      public.orders: {}' } },
  { name: 'a type for a column', parts: { tables: '      public.users: { types: { __proto__: json } }' } },
  {
    name: 'a password where there was none',
    parts: { connections: '  shop_db: { host: localhost, database: shop, user: sluice, password: { env: A } }' },
  },
])('$name gives another hash', ({ parts }) => {
  expect(hash(parts)).not.toBe(hash({}));
});

test('tables in another order give the same hash', () => {
  expect(hash({ tables: '      public.a: {}\n      public.b: {}' })).toBe(
    hash({ tables: '      public.b: {}\n      public.a: {}' }),
  );
});

test('the order of key columns counts', () => {
  const withKey = (key: string) =>
    hash({ tables: `      public.a: { method: incremental, cursor: c, primary_key: ${key} }` });
  expect(withKey('[a, b]')).not.toBe(withKey('[b, a]'));
});

test('the value of a secret does not show in the hash', () => {
  expect(hash(PASSWORD, { env: { PW: 'one' } })).toBe(hash(PASSWORD, { env: { PW: 'two' } }));
});

test('a checkout in another folder gives the same hash', () => {
  const tunnel = 'tunnel: { host: bastion, user: t, password: { file: secrets/ssh }, known_hosts: known_hosts }';
  const parts = {
    connections: `  shop_db: { host: localhost, database: shop, user: sluice, tls: { ca_file: ca.pem }, ${tunnel} }`,
  };
  expect(hash(parts, { folder: '/home/ci/checkout' })).toBe(hash(parts, { folder: '/srv/sluice' }));
});
