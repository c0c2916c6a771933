import { chmod, readFile, rename, stat, symlink } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { at, items, reportedInText } from './reported-error.js';
import { exists, Workspace } from './workspace.js';

/** What `discover` finds in a database, how it judges it, and what it writes into the file. */

let postgres: TestPostgres;
let workspace: Workspace;
let databases = 0;

beforeAll(async () => {
  postgres = await startPostgres({ major: 17 });
  await postgres.query(`create role guest login password '${postgres.password}'`);
});

afterAll(() => postgres.stop());

beforeEach(async () => {
  databases += 1;
  const database = `discover${databases}`;
  await postgres.createDatabase(database);
  workspace = await Workspace.create(postgres, database);
  await workspace.source(`
    create table users (id bigint primary key, name text);
    insert into users select i, 'user ' || i from generate_series(1, 2000) i;
    create table notes (body text);
    create unlogged table sessions (id int primary key, created_at timestamptz, updated_at timestamptz not null);
    create unlogged table cache (id int primary key);
    create table odd (id int primary key);
    alter table odd replica identity nothing;
    create table "with.dot" (a int, b int, primary key (b, a));
    create view active as select * from users;
    create table days (id int, at date, primary key (id, at)) partition by range (at);
    create table days_2026 partition of days for values from ('2026-01-01') to ('2027-01-01');
    create schema hr;
    create table hr.people (id int primary key);
    analyze`);
});

afterEach(() => workspace.remove());

/** The tables of the only source, and what it suggests. */
const tablesOf = (document: unknown) => items(at(items(at(document, 'sources'))[0], 'tables'));
const suggested = (table: unknown, field: string) => at(at(table, 'suggestion'), field);

async function discovered(...args: readonly string[]): Promise<Record<string, string>> {
  const document = await workspace.json('discover', ...args);
  return Object.fromEntries(
    tablesOf(document).map((table) => [
      String(at(table, 'key')),
      [suggested(table, 'method'), suggested(table, 'cursor'), at(at(table, 'configured'), 'entry')]
        .map((part) => part ?? '-')
        .join(' '),
    ]),
  );
}

test('says for each table how it is copied best, and which the file has', async () => {
  await workspace.configure({ tables: { 'public.users': {}, 'hr.*': { method: 'full_table' } } });
  expect(await discovered()).toEqual({
    'hr.people': 'cdc - hr.*',
    'public."with.dot"': 'cdc - -',
    'public.active': 'full_table - -',
    'public.cache': 'full_table - -',
    'public.days': 'cdc - -',
    'public.notes': 'full_table - -',
    'public.odd': 'full_table - -',
    'public.sessions': 'incremental updated_at -',
    'public.users': 'cdc - public.users',
  });
  const document = await workspace.json('discover', '--schema', 'public');
  const tables = tablesOf(document);
  const table = (key: string) => tables.find((each) => at(each, 'key') === key);
  expect(tables.map((each) => at(each, 'schema'))).not.toContain('hr');
  expect(table('public.users')).toMatchObject({
    kind: 'table',
    estimated_rows: 2000,
    primary_key: ['id'],
    replica_identity: 'default',
    configured: { entry: 'public.users', method: 'cdc', enabled: true },
  });
  expect(table('public.odd')).toMatchObject({
    replica_identity: 'nothing',
    suggestion: { why: expect.stringContaining('(id)'), mend: 'alter table "public"."odd" replica identity default;' },
  });
  expect(table('public.cache')).toMatchObject({ suggestion: { mend: 'alter table "public"."cache" set logged;' } });
  expect(await exists(workspace.stateFile), 'no state is made').toBe(false);
});

test('the SQL that it gives makes cdc possible', async () => {
  await workspace.configure({ tables: {} });
  const document = await workspace.json('discover');
  for (const table of tablesOf(document)) {
    const mend = suggested(table, 'mend');
    if (typeof mend === 'string') await workspace.source(mend);
  }
  const after = await discovered();
  expect([after['public.odd'], after['public.cache'], after['public.sessions']]).toEqual(Array(3).fill('cdc - -'));
});

test('--write adds what is missing and leaves every other byte; plan then takes it as it is', async () => {
  await workspace.configure({ tables: {} });
  const made = await readFile(workspace.configFile, 'utf8');
  const before = made
    .replace(/ +tables: \{\}\n/, '    tables:   # what we copy\n\n      public.users:   { output: both } # people\n')
    .concat('# the end\n');
  // The file is a link to one elsewhere, which few may read.
  await workspace.configureText(before);
  await rename(workspace.configFile, workspace.file('real.yaml'));
  await symlink('real.yaml', workspace.configFile);
  await chmod(workspace.file('real.yaml'), 0o640);

  const run = await workspace.expect(0, 'discover', '--write');
  expect(run.stdout).toContain('+ shop:public.days');
  const after = await readFile(workspace.file('real.yaml'), 'utf8');
  expect(after).toBe(
    before.replace(
      '# people\n',
      `# people
      hr.people: {}
      public.cache: { method: full_table }
      public.days: {}
      public.notes: { method: full_table }
      public.odd: { method: full_table }
      public.sessions: { method: incremental, cursor: updated_at }
      public."with.dot": {}
`,
    ),
  );
  expect((await stat(workspace.file('real.yaml'))).mode & 0o777).toBe(0o640);
  const plan = await workspace.json('plan');
  expect(at(plan, 'blockers')).toEqual([]);

  const again = await workspace.expect(0, 'discover', '--write');
  expect(again.stdout).toContain('Nothing to add.');
  expect(await readFile(workspace.configFile, 'utf8')).toBe(after);
});

test('a server that is not ready for cdc, and a role that may not read', async () => {
  const plain = await startPostgres({ major: 17, settings: { wal_level: 'replica' } });
  try {
    await plain.createDatabase('shop');
    await plain.query('create table users (id int primary key, updated_at timestamp)', [], 'shop');
    await workspace.configure({ tables: {}, connection: { host: plain.host, port: plain.port, database: 'shop' } });
    const run = await workspace.run(['discover'], { env: { SHOP_PASSWORD: plain.password } });
    expect(run.stdout).toContain('wal_level is replica');
    expect(run.stdout).toMatch(/public\.users .* incremental +rows above the last updated_at/);
  } finally {
    await plain.stop();
  }
  await workspace.configure({ tables: {}, connection: { user: 'guest' } });
  const guest = await workspace.expect(0, 'discover', '--write', '--schema', 'hr');
  expect(guest.stdout).toContain('lacks REPLICATION');
  expect(guest.stdout).toContain('role "guest" may not use schema "hr"');
  expect(guest.stdout).toContain('Nothing to add.');
});

test('unknown names, and a server out of reach', async () => {
  await workspace.configure({ tables: {}, connection: { port: 1 } });
  const lost = await workspace.expect(69, 'discover');
  expect(reportedInText(lost)?.code).toBe('SOURCE_UNREACHABLE');
  const source = await workspace.expect(64, 'discover', '--source', 'shopp');
  expect(reportedInText(source)).toMatchObject({ code: 'ADDRESS_UNKNOWN', hint: 'known: shop' });
  const connection = await workspace.expect(64, 'discover', '--connection', 'bd');
  expect(reportedInText(connection)).toMatchObject({ code: 'ADDRESS_UNKNOWN', hint: 'known: db' });
});
