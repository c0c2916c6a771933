import { spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { DuckDBInstance } from '@duckdb/node-api';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { at, exitCodeOf, items, type Reported, reportedInJson, reportedInText } from './reported-error.js';
import { type Run, type RunOptions, type ShopConfig, Workspace } from './workspace.js';

/** What people get wrong, and what the CLI answers: a code, the name of the thing, a hint, and the exit code. */

const USERS: ShopConfig = { tables: { 'public.users': {} } };
const PLAN = ['plan'];

interface Mistake extends Expected {
  readonly name: string;
  /** Absent: {@link USERS}. */
  readonly config?: ShopConfig;
  readonly arrange?: (workspace: Workspace) => Promise<void>;
  readonly args?: readonly string[];
}

interface Expected {
  readonly run?: RunOptions;
  readonly code: string;
  /** What the message has to name. */
  readonly names: readonly (string | RegExp)[];
  /** What the hint has to say; null: this error needs none. */
  readonly hint: string | RegExp | null;
}

let postgres: TestPostgres;
let withoutLogical: TestPostgres;

beforeAll(async () => {
  [postgres, withoutLogical] = await Promise.all([
    startPostgres({ major: 17 }),
    startPostgres({ major: 17, settings: { wal_level: 'replica' } }),
  ]);
  for (const server of [postgres, withoutLogical]) {
    await server.createDatabase('mistakes');
    await server.query('create table users (id bigint primary key, name text)', [], 'mistakes');
  }
  const password = postgres.password;
  await postgres.query(
    `create table no_key (id bigint, name text);
     create schema billing;
     create table billing.invoices (id bigint primary key);
     create role reader login replication password '${password}';
     create role stranger login replication password '${password}';
     create role owner login password '${password}';
     grant select on users to reader;
     grant select on billing.invoices to reader;
     grant create on database mistakes to reader, stranger, owner;
     create table owned (id bigint primary key);
     alter table owned owner to owner;
     create publication theirs for table users;`,
    [],
    'mistakes',
  );
});

afterAll(async () => {
  await postgres.stop();
  await withoutLogical.stop();
});

async function check(mistake: Mistake, server: TestPostgres = postgres): Promise<void> {
  const workspace = await Workspace.create(server, 'mistakes');
  try {
    await workspace.configure(mistake.config ?? USERS);
    await mistake.arrange?.(workspace);
    const args = mistake.args ?? PLAN;
    await expectBoth(workspace, args, mistake);
  } finally {
    await workspace.remove();
  }
}

/** In the human form and as JSON. Commands that wait for the lock would wait for each other, so they run in turn. */
async function expectBoth(workspace: Workspace, args: readonly string[], mistake: Expected): Promise<void> {
  const locks = ['apply', 'sync', 'resync'].includes(args[0] ?? '');
  const asText = workspace.run(args, mistake.run);
  if (locks) await asText;
  const [text, json] = await Promise.all([asText, workspace.run([...args, '--format', 'json'], mistake.run)]);
  expectReport(text, reportedInText(text), mistake);
  expectReport(json, reportedInJson(json), mistake);
}

function expectReport(run: Run, reported: Reported | null, mistake: Expected): void {
  if (reported === null) throw new Error(`no error was told (exit ${run.code}):\n${run.output}`);
  expect(reported.code, run.output).toBe(mistake.code);
  expect(run.code, run.output).toBe(exitCodeOf(mistake.code));
  for (const name of mistake.names) {
    if (typeof name === 'string') expect(reported.message).toContain(name);
    else expect(reported.message).toMatch(name);
  }
  expect(reported.message, 'one line').not.toContain('\n');
  if (mistake.hint === null) expect(reported.hint).toBeNull();
  else if (typeof mistake.hint === 'string') expect(reported.hint ?? 'no hint').toContain(mistake.hint);
  else expect(reported.hint ?? 'no hint').toMatch(mistake.hint);
  expect(run.output, 'no stack trace').not.toMatch(/^\s+at .*[:(]\d+/m);
  expect(run.output).not.toContain('node_modules');
}

describe('the connection', () => {
  test.each<Mistake>([
    {
      name: 'wrong password',
      run: { env: { SHOP_PASSWORD: 'wrong-9f3b' } },
      code: 'SOURCE_LOGIN_REFUSED',
      names: ['"postgres"', '28P01'],
      hint: 'connections.db.password',
    },
    {
      name: 'unknown role',
      config: { ...USERS, connection: { user: 'nobody_knows' } },
      code: 'SOURCE_LOGIN_REFUSED',
      names: ['"nobody_knows"'],
      hint: 'connections.db.user',
    },
    {
      name: 'unknown host',
      config: { ...USERS, connection: { host: 'db.invalid', tls: { mode: 'require' } } },
      code: 'SOURCE_HOST_UNKNOWN',
      names: ['"db.invalid"'],
      hint: 'connections.db.host',
    },
    {
      name: 'refused connection',
      // The tcpmux port, on which nothing has listened for decades.
      config: { ...USERS, connection: { port: 1 } },
      code: 'SOURCE_UNREACHABLE',
      names: ['127.0.0.1:1', 'ECONNREFUSED'],
      hint: 'check host and port',
    },
    {
      name: 'missing database',
      config: { ...USERS, connection: { database: 'shopp' } },
      code: 'SOURCE_DATABASE_MISSING',
      names: ['"shopp"', '3D000'],
      hint: 'connections.db.database',
    },
    {
      name: 'TLS demanded and not offered',
      config: { ...USERS, connection: { tls: { mode: 'require' } } },
      code: 'SOURCE_TLS_REFUSED',
      names: ['127.0.0.1'],
      hint: 'tls',
    },
    {
      name: 'a secret that is not set',
      run: { env: { SHOP_PASSWORD: undefined } },
      code: 'SECRET_MISSING',
      names: ['SHOP_PASSWORD'],
      hint: 'SHOP_PASSWORD',
    },
  ])('$name', (mistake) => check(mistake));
});

describe('the database', () => {
  test.each<Mistake>([
    {
      name: 'missing table, with the nearest name',
      config: { tables: { 'public.userz': {} } },
      code: 'TABLE_MISSING',
      names: ['public.userz', '"mistakes"', 'did you mean "public.users"?'],
      hint: 'correct the name',
    },
    {
      name: 'missing column',
      config: { tables: { 'public.users': { method: 'incremental', cursor: 'nmae' } } },
      code: 'COLUMN_MISSING',
      names: ['public.users', '"nmae"', 'did you mean "name"?'],
      hint: 'correct the name',
    },
    {
      name: 'no primary key',
      config: { tables: { 'public.no_key': {} } },
      code: 'PRIMARY_KEY_MISSING',
      names: ['public.no_key'],
      hint: /primary key|method/i,
    },
    {
      name: 'no SELECT',
      config: { tables: { 'public.no_key': { method: 'full_table' } }, connection: { user: 'reader' } },
      code: 'PRIVILEGE_MISSING',
      names: ['"reader"', 'public.no_key'],
      hint: /grant select on .*no_key.* to "?reader/i,
    },
    {
      name: 'no USAGE of the schema',
      config: { tables: { 'billing.invoices': { method: 'full_table' } }, connection: { user: 'reader' } },
      code: 'PRIVILEGE_MISSING',
      names: ['"reader"', 'billing'],
      hint: /grant usage on schema .*billing.* to "?reader/i,
    },
    {
      name: 'not the owner of a table that is to be published',
      config: { ...USERS, connection: { user: 'reader' } },
      code: 'PRIVILEGE_MISSING',
      names: ['"reader"', 'public.users', 'publication'],
      hint: 'self_managed',
    },
    {
      name: 'no REPLICATION',
      config: { tables: { 'public.owned': {} }, connection: { user: 'owner' } },
      code: 'PRIVILEGE_MISSING',
      names: ['"owner"', 'replication slots'],
      hint: /ALTER ROLE "?owner"? REPLICATION/,
    },
    {
      name: 'a slot of that name exists already',
      arrange: async (workspace) => {
        await workspace.source(`select pg_create_logical_replication_slot('${workspace.slot}', 'pgoutput')`);
      },
      code: 'SLOT_OCCUPIED',
      names: ['slot_mistakes'],
      hint: "SELECT pg_drop_replication_slot('slot_mistakes');",
    },
    {
      name: 'the publication belongs to another role',
      config: { tables: { 'public.owned': {} }, connection: { user: 'owner' }, cdc: { publication: 'theirs' } },
      code: 'PUBLICATION_OCCUPIED',
      names: ['theirs', '"postgres"', '"owner"'],
      hint: 'cdc.publication',
    },
    {
      name: 'a self-managed publication that is not there',
      config: { ...USERS, cdc: { management: 'self_managed', publication: 'by_the_dba' } },
      code: 'PUBLICATION_MISSING',
      names: ['by_the_dba', '"mistakes"'],
      hint: /CREATE PUBLICATION "?by_the_dba"? FOR TABLE "?public"?\."?users/i,
    },
  ])('$name', (mistake) => check(mistake));

  test('wal_level is not logical', () =>
    check(
      {
        name: 'wal_level',
        code: 'SERVER_UNSUITABLE',
        names: ['wal_level is replica'],
        hint: 'ALTER SYSTEM SET wal_level = logical',
      },
      withoutLogical,
    ));

  test('doctor tells the same, with the exit code of the error', async () => {
    const workspace = await Workspace.create(withoutLogical, 'mistakes');
    try {
      await workspace.configure(USERS);
      const text = await workspace.run(['doctor']);
      expect(text.code, text.output).toBe(1);
      expect(text.stdout).toContain('wal_level is replica');
      const json = await workspace.run(['doctor', '--format', 'json']);
      expect(json.code).toBe(1);
      expect(reportedInJson(json)?.message).toContain('wal_level is replica');
    } finally {
      await workspace.remove();
    }
  });
});

describe('config and addresses', () => {
  const configText = (tables: string): string => `version: 1
connections: { db: { host: 127.0.0.1, database: mistakes, user: postgres, tls: { mode: disable } } }
destinations: { warehouse: { type: duckdb, path: warehouse.duckdb } }
sources:
  shop:
    connection: db
    destination: warehouse
    tables:
${tables}`;

  test.each<Mistake>([
    {
      name: 'there is no config file',
      args: ['plan', '-c', 'elsewhere.yaml'],
      code: 'CONFIG_UNREADABLE',
      names: ['elsewhere.yaml'],
      hint: /.+/,
    },
    {
      name: 'a source that the config does not have, as a target',
      args: ['plan', '--target', 'shpo'],
      code: 'ADDRESS_UNKNOWN',
      names: ['"shpo"', 'did you mean "shop"?'],
      hint: null,
    },
    {
      name: 'a table that the config does not have, as a target',
      args: ['plan', '--target', 'shop:public.userz'],
      code: 'ADDRESS_UNKNOWN',
      names: ['"shop:public.userz"', 'did you mean "shop:public.users"?'],
      hint: null,
    },
    {
      name: 'nothing applied yet',
      args: ['sync'],
      code: 'ADDRESS_UNKNOWN',
      names: ['nothing has been applied yet'],
      hint: 'sluice apply',
    },
    {
      name: 'setup SQL of an unknown source',
      args: ['cdc', 'setup-sql', 'nowhere'],
      code: 'ADDRESS_UNKNOWN',
      names: ['"nowhere"'],
      hint: 'shop',
    },
    {
      name: 'an unknown option',
      args: ['plan', '--outt', 'x.plan'],
      code: 'USAGE',
      names: ['--outt'],
      hint: '--out',
    },
    {
      name: 'an unknown destination to query',
      args: ['query', 'select 1', '--destination', 'lake'],
      code: 'ADDRESS_UNKNOWN',
      names: ['"lake"', 'warehouse'],
      hint: '--destination',
    },
  ])('$name', (mistake) => check(mistake));

  test('every mistake of a config is listed with its place', async () => {
    const workspace = await Workspace.create(postgres, 'mistakes');
    try {
      await workspace.configureText(
        configText('      public.users: { metod: cdc }\n      public.orders: { method: incremental }\n'),
      );
      const text = await workspace.run(PLAN);
      expect(text.code).toBe(78);
      expect(reportedInText(text)).toMatchObject({ code: 'CONFIG_INVALID', message: 'sources.yaml has 2 mistakes' });
      expect(text.stderr).toMatch(/^sources\.yaml:9:23 .*metod.*did you mean "method"\?/m);
      expect(text.stderr).toMatch(/^sources\.yaml:10:\d+ .*cursor/m);
      expect(text.stderr).toContain('public.users: { metod: cdc }');
      const json = await workspace.run([...PLAN, '--format', 'json']);
      expect(json.code).toBe(78);
      const problems = items(at(at(JSON.parse(json.stdout), 'error'), 'problems'));
      expect(problems.map((problem) => at(problem, 'line'))).toEqual([9, 10]);
    } finally {
      await workspace.remove();
    }
  });

  test('addresses are checked against what was applied', async () => {
    const workspace = await Workspace.create(postgres, 'mistakes');
    try {
      await workspace.configure({ tables: { 'public.users': { method: 'full_table' } } });
      await workspace.expect(0, 'apply', '--yes');
      for (const [args, name] of [
        [['sync', 'nowhere'], '"nowhere"'],
        [['sync', 'shop:public.userz'], '"shop:public.userz"'],
        [['resync', 'shop:public.userz', '--yes'], '"shop:public.userz"'],
      ] as const) {
        await expectBoth(workspace, args, { code: 'ADDRESS_UNKNOWN', names: [name], hint: 'shop' });
      }
    } finally {
      await workspace.remove();
    }
  });
});

describe('state and plan files', () => {
  const stateText = (text: string) => async (workspace: Workspace) => {
    await mkdir(workspace.file('.sluice'), { recursive: true });
    await writeFile(workspace.stateFile, text);
  };
  const planText = (text: string) => (workspace: Workspace) => writeFile(workspace.file('next.plan'), text);

  test.each<Mistake>([
    {
      name: 'a state file that is no JSON',
      arrange: stateText('{ "format_version": 1, '),
      code: 'STATE_UNREADABLE',
      names: ['state.json', 'not JSON'],
      hint: 'state.json.backup',
    },
    {
      name: 'a state file that lacks a part',
      arrange: stateText('{ "format_version": 1, "lineage": "a", "serial": 3 }'),
      code: 'STATE_UNREADABLE',
      names: ['state.json', 'sources'],
      hint: 'state.json.backup',
    },
    {
      name: 'a state file of a newer format',
      arrange: stateText('{ "format_version": 99, "new": true }'),
      code: 'STATE_NEWER',
      names: ['state.json', '99'],
      hint: 'newer',
    },
    {
      name: 'a state file that cannot be opened',
      arrange: async (workspace) => {
        await mkdir(workspace.stateFile, { recursive: true });
      },
      code: 'STATE_UNREADABLE',
      names: ['state.json', 'cannot be opened'],
      hint: /.+/,
    },
    {
      name: 'no plan file',
      args: ['apply', 'next.plan'],
      code: 'PLAN_UNREADABLE',
      names: ['next.plan'],
      hint: 'sluice plan --out',
    },
    {
      name: 'a plan file that is no JSON',
      arrange: planText('changes: none'),
      args: ['apply', 'next.plan'],
      code: 'PLAN_UNREADABLE',
      names: ['next.plan', 'not JSON'],
      hint: 'sluice plan --out next.plan',
    },
    {
      name: 'a plan file that is no plan, shown',
      arrange: planText('{ "format_version": 1, "id": "x" }'),
      args: ['show', 'next.plan'],
      code: 'PLAN_UNREADABLE',
      names: ['next.plan', 'created_at'],
      hint: 'sluice plan --out next.plan',
    },
    {
      name: 'a place where no plan can be written',
      args: ['plan', '--out', 'nowhere/next.plan'],
      code: 'PLAN_UNWRITABLE',
      names: ['nowhere/next.plan'],
      hint: /.+/,
    },
  ])('$name', (mistake) => check(mistake));

  test('a state that cannot be read is left as it is by every command', async () => {
    const workspace = await Workspace.create(postgres, 'mistakes');
    try {
      await workspace.configure(USERS);
      await stateText('{ damaged')(workspace);
      for (const args of [['plan'], ['apply', '--yes'], ['sync'], ['status'], ['resync', 'shop', '--yes']]) {
        const run = await workspace.run(args);
        expect(reportedInText(run)?.code, args.join(' ')).toBe('STATE_UNREADABLE');
        expect(run.code, args.join(' ')).toBe(1);
      }
      expect(await readFile(workspace.stateFile, 'utf8')).toBe('{ damaged');
      expect(await workspace.onServer()).toMatchObject({ slots: [], publications: ['theirs'] });
    } finally {
      await workspace.remove();
    }
  });
});

describe('the destination', () => {
  test.each<Mistake>([
    {
      name: 'a file that is no DuckDB file',
      arrange: (workspace) => writeFile(workspace.duckdbFile, 'SQLite format 3\0'.padEnd(8192, 'x')),
      code: 'DESTINATION_FAILED',
      names: ['warehouse.duckdb'],
      hint: /.+/,
    },
    {
      name: 'a folder in the place of the file',
      arrange: async (workspace) => {
        await mkdir(workspace.duckdbFile);
      },
      code: 'DESTINATION_FAILED',
      names: ['warehouse.duckdb'],
      hint: /.+/,
    },
    {
      name: 'a path that cannot be written',
      // Below a file: that holds for root, too.
      config: { ...USERS, destination: { path: 'sources.yaml/warehouse.duckdb' } },
      args: ['apply', '--yes', '--sync'],
      code: 'DESTINATION_FAILED',
      names: ['sources.yaml/warehouse.duckdb'],
      hint: /.+/,
    },
  ])('$name', (mistake) => check(mistake));

  test("somebody's table in the way is not replaced", async () => {
    const workspace = await Workspace.create(postgres, 'mistakes');
    try {
      await workspace.configure({ tables: { 'public.users': { method: 'full_table' } } });
      const instance = await DuckDBInstance.create(workspace.duckdbFile);
      const connection = await instance.connect();
      await connection.run("create schema public; create table public.users as select 'mine' as word");
      connection.closeSync();
      instance.closeSync();
      for (const args of [PLAN, ['apply', '--yes', '--sync']]) {
        const names = ['"warehouse"', 'public.users'];
        await expectBoth(workspace, args, { code: 'DESTINATION_OCCUPIED', names, hint: 'target_schema' });
      }
      const words = await workspace.read((duckdb) => duckdb.rows('select word from public.users'));
      expect(words).toEqual([['mine']]);
    } finally {
      await workspace.remove();
    }
  });

  test('a table that came into the way between plan and load is not replaced either', async () => {
    const workspace = await Workspace.create(postgres, 'mistakes');
    try {
      await workspace.configure({ tables: { 'public.users': { method: 'full_table' } } });
      await workspace.expect(0, 'apply', '--yes');
      const instance = await DuckDBInstance.create(workspace.duckdbFile);
      const connection = await instance.connect();
      await connection.run("create schema public; create table public.users as select 'mine' as word");
      connection.closeSync();
      instance.closeSync();
      const text = await workspace.run(['sync']);
      expect(text.code, text.output).toBe(1);
      expect(text.stdout).toContain('DESTINATION_OCCUPIED');
      const json = await workspace.run(['sync', '--force', '--format', 'json']);
      expect(json.code, json.output).toBe(1);
      expect(json.stdout).toContain('"DESTINATION_OCCUPIED"');
      const words = await workspace.read((duckdb) => duckdb.rows('select word from public.users'));
      expect(words).toEqual([['mine']]);
    } finally {
      await workspace.remove();
    }
  });

  test("somebody's table beside a history of that name stays, through every load", async () => {
    const workspace = await Workspace.create(postgres, 'mistakes');
    try {
      await workspace.configure({ tables: { 'public.users': { output: 'history' } } });
      const instance = await DuckDBInstance.create(workspace.duckdbFile);
      const connection = await instance.connect();
      await connection.run("create schema public; create table public.users as select 'mine' as word");
      connection.closeSync();
      instance.closeSync();
      await workspace.expect(0, 'apply', '--yes', '--sync');
      await workspace.expect(0, 'resync', 'shop', '--yes');
      await workspace.expect(0, 'sync');
      const words = await workspace.read((duckdb) => duckdb.rows('select word from public.users'));
      expect(words).toEqual([['mine']]);
      await workspace.configure({ tables: {}, top: { sources: {} } });
      await workspace.expect(0, 'apply', '--yes');
    } finally {
      await workspace.remove();
    }
  });

  test('a file that another process holds is waited for, then told', async () => {
    const workspace = await Workspace.create(postgres, 'mistakes');
    const holder = spawn(process.execPath, ['--input-type=module', '-e', HOLDER], {
      stdio: ['pipe', 'pipe', 'inherit'],
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
      env: { ...process.env, HELD_FILE: workspace.duckdbFile },
    });
    try {
      await workspace.configure({ tables: { 'public.users': { method: 'full_table' } } });
      await new Promise<void>((resolve) => holder.stdout.once('data', () => resolve()));
      const names = ['warehouse.duckdb', 'held'];
      await expectBoth(workspace, PLAN, { code: 'DESTINATION_BUSY', names, hint: 'publish' });
    } finally {
      holder.kill('SIGKILL');
      await workspace.remove();
    }
  });
});

/** Opens the file and keeps it until it is killed. */
const HOLDER = `
import { DuckDBInstance } from '@duckdb/node-api';
const instance = await DuckDBInstance.create(process.env.HELD_FILE);
await (await instance.connect()).run('create table held (a int)');
console.log('held');
setInterval(() => instance, 1000);
`;
