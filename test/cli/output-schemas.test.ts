import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { COMMANDS } from '../../src/cli/commands/all.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { outputFlaws, outputSchemas } from '../schema/documents.js';
import { Workspace } from './workspace.js';

/** What each command prints as JSON, well and badly, is what its schema in schema/output says. */

let postgres: TestPostgres;
let workspace: Workspace;
/** Commands that printed a result in the tests below. */
const seen = new Set<string>();

beforeAll(async () => {
  postgres = await startPostgres({ major: 17 });
  await postgres.createDatabase('shop');
  workspace = await Workspace.create(postgres, 'shop');
  await workspace.source(`
    create table users (id bigint primary key, name text, area box);
    create table orders (id bigint primary key, user_id bigint, total numeric, at timestamptz default now());
    create table countries (code text primary key);
    insert into users select i, 'user ' || i from generate_series(1, 50) i;
    insert into orders (id, user_id, total) select i, i, 'NaN' from generate_series(1, 20) i;
    insert into countries values ('de'), ('fr');`);
});
afterAll(async () => {
  await workspace.remove();
  await postgres.stop();
});

test('every command with a form for programs has a schema, and every schema a command', () => {
  const expected = COMMANDS.filter(({ formats }) => formats.includes('json')).map(({ name }) => name);
  expect([...outputSchemas()].sort()).toEqual([...expected, 'error'].sort());
});

/** Runs it, and holds the document against the schema of the command, or of errors where there is no result. */
async function documentOf(name: string, code: number, ...args: readonly string[]): Promise<object> {
  const run = await workspace.expect(code, '--format', 'json', ...name.split(' '), ...args);
  const document: unknown = JSON.parse(run.stdout);
  if (typeof document !== 'object' || document === null) throw new Error(`no document: ${run.stdout}`);
  const bare = Object.keys(document).every((key) => key === 'format_version' || key === 'error');
  if (!bare) seen.add(name);
  expect(outputFlaws(bare ? 'error' : name, document), `${name} ${args.join(' ')}: ${run.stdout}`).toEqual([]);
  // A result may say by itself what is wrong (findings, say); a good one never has an error.
  if (code === 0 || code === 2) expect(document).not.toHaveProperty('error');
  return document;
}

describe.sequential('in a life', () => {
  test('a first file', async () => {
    const { host, port, user } = postgres;
    await documentOf('status', 78);
    await documentOf('init', 0, '--yes', '--url', `postgres://${user}@${host}:${port}/shop`);
    await documentOf('discover', 0);
    await documentOf('discover', 0, '--write');
    await documentOf('fmt', 0);
    await documentOf('validate', 0);
  });

  test('what needs no server', async () => {
    await documentOf('version', 0);
    await documentOf('schema', 0);
    await documentOf('completion', 0, 'bash');
    await documentOf('complete', 0, '--', 'sy');
    await documentOf('daemon', 0, '--print-unit');
    await documentOf('doctor', 0, '--policy');
    expect(await documentOf('plan', 64, '--max-bytes', '1')).toMatchObject({ error: { code: 'USAGE' } });
  });

  test('a file with mistakes', async () => {
    const good = await readFile(workspace.configFile, 'utf8');
    await workspace.configureText(`${good}colums: 1\n`);
    await documentOf('validate', 78);
    await documentOf('plan', 78);
    await workspace.configureText(good);
  });

  test('plan, apply, sync', async () => {
    await configure();
    await documentOf('doctor', 0);
    await documentOf('cdc setup-sql', 0);
    await documentOf('state list', 0);
    await documentOf('ls', 0);
    await documentOf('plan', 2, '--out', 'next.plan', '--detailed-exitcode');
    await documentOf('plan', 0, '--no-refresh');
    await documentOf('show', 0, 'next.plan');
    await documentOf('apply', 64);
    await documentOf('apply', 0, '--yes', '--sync');
    await workspace.source("update users set name = 'x' where id < 4; delete from users where id = 9");
    await documentOf('sync', 0, '--until-caught-up');
    for (const name of ['status', 'ls', 'runs', 'state list', 'state export'] as const) await documentOf(name, 0);
    await documentOf('state show', 0, 'shop:public.users');
    await documentOf('query', 0, 'select id, name, null as nothing from public.users order by id limit 2');
    await documentOf('query', 1, 'select nothing');
  });

  test('a comparison, equal and not', async () => {
    await documentOf('verify', 0);
    await workspace.source("insert into countries values ('it')");
    expect(await documentOf('verify', 1, 'shop:public.countries')).toMatchObject({
      error: { code: 'VERIFY_DIFFERENCES' },
    });
  });

  test('a table that fails beside others', async () => {
    await workspace.source('drop table countries');
    expect(await documentOf('sync', 1, '--force')).toMatchObject({ ok: false });
    await documentOf('status', 0);
    await documentOf('runs', 0, '--failed');
    await documentOf('doctor', 1);
    await workspace.source('create table countries (code text primary key)');
  });

  test('a lake', async () => {
    await documentOf('optimize', 0);
    await documentOf('vacuum', 0, '--dry-run');
  });

  test('a daemon', async () => {
    await documentOf('reload', 69);
    const daemon = workspace.start(['daemon']);
    await daemon.until((output) => output.includes('daemon started'), 'its start');
    await documentOf('status', 0);
    await documentOf('reload', 0);
    expect(await documentOf('logs', 0)).toHaveProperty('lines.0.msg');
    await documentOf('pause', 0, 'shop:public.orders', '--yes');
    await documentOf('pause', 0, 'shop', '--yes');
    await documentOf('status', 0);
    await documentOf('resume', 0, 'shop', 'shop:public.orders');
    daemon.kill('SIGTERM');
    await daemon.ended;
  });

  test('a server that is not there', async () => {
    await configure({}, { port: 1 });
    await documentOf('plan', 69);
    await documentOf('status', 0);
    await configure();
  });

  test('loads and the state by hand', async () => {
    await documentOf('resync', 0, 'shop:public.users', '--yes');
    await documentOf('state unlock', 0);
    const exported = await workspace.expect(0, 'state', 'export');
    await writeFile(workspace.file('state.backup.json'), exported.stdout);
    await documentOf('state import', 0, 'state.backup.json', '--force', '--yes');
    await documentOf('state forget', 0, 'shop:public.users', '--yes');
    await mkdir(workspace.file('elsewhere'));
    const text = await readFile(workspace.configFile, 'utf8');
    await workspace.configureText(`${text}state: { type: file, path: elsewhere/state.json }\n`);
    await documentOf('state migrate', 0, '--from', '{ type: file, path: .sluice/state.json }');
  });

  test('no command was left out', () => {
    const expected = COMMANDS.filter(({ formats }) => formats.includes('json')).map(({ name }) => name);
    expect([...seen].sort()).toEqual([...expected].sort());
  });
});

function configure(more: object = {}, connection: Readonly<Record<string, unknown>> = {}): Promise<void> {
  return workspace.configure({
    destination: { type: 'local', format: 'delta', path: 'lake' },
    connection,
    tables: {
      'public.users': { output: 'both' },
      'public.orders': { method: 'incremental', cursor: 'at' },
      'public.countries': { method: 'full_table' },
      ...more,
    },
  });
}
