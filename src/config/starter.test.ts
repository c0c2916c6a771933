import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseConfig } from './load.js';
import { passwordVariableFor, type Starter, sourceNameFor, starterText, usualTls } from './starter.js';

const STARTER: Starter = {
  source: 'shop',
  host: 'db.example.com',
  port: 5432,
  database: 'shop',
  user: 'sluice',
  passwordEnv: 'SHOP_PASSWORD',
  tls: null,
  destination: 'warehouse.duckdb',
  schema: './sources.schema.json',
};
const load = (starter: Starter) =>
  parseConfig(starterText(starter), 'sources.yaml', { env: {}, cwd: '/srv', homeDir: '/home/a' });

describe('a first config', () => {
  test.each<{ name: string; patch: Partial<Starter>; tls: string; warnings?: number }>([
    { name: 'of a server elsewhere verifies its certificate', patch: {}, tls: 'verify-full' },
    { name: 'of this machine has no TLS', patch: { host: 'localhost' }, tls: 'disable' },
    { name: 'of a unix socket', patch: { host: '/var/run/postgresql' }, tls: 'disable' },
    { name: 'in plain text on request', patch: { tls: 'disable' }, tls: 'disable', warnings: 1 },
    { name: 'of an IPv6 address', patch: { host: '2001:db8::1' }, tls: 'verify-full' },
  ])('$name', ({ patch, tls, warnings = 0 }) => {
    const loaded = load({ ...STARTER, ...patch });
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
    expect(loaded.warnings).toHaveLength(warnings);
    expect(loaded.config.connections['shop_db']).toMatchObject({
      host: patch.host ?? 'db.example.com',
      database: 'shop',
      user: 'sluice',
      password: { kind: 'env', name: 'SHOP_PASSWORD' },
      tls: { mode: tls },
    });
    expect(
      starterText({ ...STARTER, ...patch }).startsWith('# yaml-language-server: $schema=./sources.schema.json\n'),
    ).toBe(true);
  });

  test('holds whatever names a database, role and file have', () => {
    const name = fc.oneof(
      fc.string({ minLength: 1, maxLength: 20 }),
      fc.constantFrom('no', '1e3', '0x1', '- a', `$\{HOME}`, '$$', "a: 'b'", '~'),
    );
    fc.assert(
      fc.property(name, name, (database, user) => {
        const source = sourceNameFor(database);
        const loaded = load({ ...STARTER, source, database, user, passwordEnv: passwordVariableFor(source) });
        if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
        expect(loaded.config.connections[`${source}_db`]).toMatchObject({ database, user });
      }),
    );
  });
});

test.each([
  { database: 'shop', source: 'shop', variable: 'SHOP_PASSWORD' },
  { database: 'my-shop.eu', source: 'my-shop_eu', variable: 'MY_SHOP_EU_PASSWORD' },
  { database: '2026', source: 'main', variable: 'MAIN_PASSWORD' },
])('names for database $database', ({ database, source, variable }) => {
  expect([sourceNameFor(database), passwordVariableFor(source)]).toEqual([source, variable]);
});

test.each([
  { host: '::1', tls: 'disable' },
  { host: '10.0.0.5', tls: 'verify-full' },
  { host: '/tmp', tls: null },
])('TLS for $host', ({ host, tls }) => expect(usualTls(host)).toBe(tls));
