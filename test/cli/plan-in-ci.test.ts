import { execFile } from 'node:child_process';
import { copyFile, mkdir, readFile, rename } from 'node:fs/promises';
import { promisify } from 'node:util';
import { beforeEach, describe, expect, test } from 'vitest';
import { eventsOf, planFlaws } from '../schema/documents.js';
import { freshWorkspaces } from './fresh-workspaces.js';
import { at, items, reportedInText } from './reported-error.js';
import type { ShopConfig, Workspace } from './workspace.js';

/** Plans that are made with less and less: without the databases, without the state. */

const USERS: ShopConfig = { tables: { 'public.users': {} } };
const HARD: ShopConfig = { tables: { 'public.users': { deletes: 'hard' }, 'public.orders': { method: 'full_table' } } };
/** Nothing listens there. */
const UNREACHABLE = { port: 1 };

const fresh = freshWorkspaces('inci');
let workspace: Workspace;

beforeEach(async () => {
  workspace = await fresh();
  await workspace.source(`
    create type mood as enum ('good', 'bad');
    create table users (id bigint primary key, name varchar(20), total numeric(12,2)[], feels mood, at timestamptz(3));
    create table orders (id bigint primary key, total numeric(10,2));
    insert into users select i, 'user ' || i from generate_series(1, 50) i;`);
});

async function git(...args: readonly string[]): Promise<void> {
  const identity = ['-c', 'user.name=test', '-c', 'user.email=test@example.com', '-c', 'init.defaultBranch=main'];
  await promisify(execFile)('git', [...identity, ...args], { cwd: workspace.folder });
}

function actions(plan: unknown): readonly string[] {
  return items(at(plan, 'changes')).map((change) => `${at(change, 'action')} ${at(change, 'address')}`);
}

describe('from the state alone', () => {
  test('nothing is asked but the state, and what it could not know is said', async () => {
    await workspace.configure(USERS);
    await workspace.expect(0, 'apply', '--yes', '--sync');
    await workspace.configure({ ...USERS, connection: UNREACHABLE });
    await workspace.expect(69, 'plan');
    // Where the connection points is of the file, and the only thing that changed.
    expect(actions(await workspace.json('plan', '--no-refresh'))).toEqual(['update_settings shop']);

    // The file of the destination is not needed either.
    await rename(workspace.duckdbFile, `${workspace.duckdbFile}.away`);
    await workspace.configure({ ...HARD, connection: UNREACHABLE });
    const plan = await workspace.json('plan', '--no-refresh');
    expect(at(plan, 'basis')).toEqual({ kind: 'state', name: null });
    expect(actions(plan)).toEqual([
      'update_settings shop',
      'create_table shop:public.orders',
      'snapshot_table shop:public.orders',
      'resync_table shop:public.users',
      'update_settings shop:public.users',
    ]);
    expect(items(at(plan, 'unknown')).map((each) => at(each, 'address'))).toEqual(['shop', 'shop:public.orders']);
    const text = await workspace.expect(2, 'plan', '--no-refresh', '--detailed-exitcode');
    expect(text.stdout).toContain('Made from the state alone');
    expect(text.stdout).toContain('Could not be known:');
    await rename(`${workspace.duckdbFile}.away`, workspace.duckdbFile);
  });

  test('a copy of the state serves as well, and the plan cannot be applied', async () => {
    await workspace.configure(USERS);
    await workspace.expect(0, 'apply', '--yes', '--sync');
    await copyFile(workspace.stateFile, workspace.file('exported.json'));
    await rename(workspace.stateFile, `${workspace.stateFile}.away`);
    expect(actions(await workspace.json('plan', '--state', 'exported.json'))).toEqual([]);
    await workspace.configure(HARD);
    await workspace.expect(0, 'plan', '--state', 'exported.json', '--out', 'next.plan');
    await rename(`${workspace.stateFile}.away`, workspace.stateFile);
    const shown = await workspace.expect(0, 'show', 'next.plan');
    expect(shown.stdout).toContain('Made from the state in exported.json alone');
    const refused = await workspace.expect(1, 'apply', 'next.plan');
    expect(reportedInText(refused)).toMatchObject({ code: 'PLAN_UNOBSERVED', hint: expect.stringContaining('--out') });
    expect(reportedInText(await workspace.expect(1, 'plan', '--state', 'none.json'))).toMatchObject({
      code: 'STATE_UNREADABLE',
    });
    expect(reportedInText(await workspace.expect(1, 'plan', '--state', 'next.plan'))).toMatchObject({
      code: 'STATE_UNREADABLE',
    });
  });
});

describe('against the file at a git ref', () => {
  test('needs neither state nor database', async () => {
    await workspace.configure({ ...USERS, connection: UNREACHABLE });
    await git('init', '--quiet');
    await git('add', 'sources.yaml');
    await git('commit', '--quiet', '-m', 'first');
    await git('branch', 'before');
    expect((await workspace.expect(0, 'plan', '--base', 'before')).stdout).toContain(
      'No changes. The file means the same as at before.',
    );
    await workspace.configure({ ...HARD, connection: UNREACHABLE });
    const run = await workspace.expect(2, 'plan', '--base', 'before', '--detailed-exitcode');
    expect(run.stdout).toContain('The file compared with the one at before');
    const plan = await workspace.json('plan', '--base', 'before');
    expect(actions(plan)).toEqual([
      'create_table shop:public.orders',
      'snapshot_table shop:public.orders',
      'resync_table shop:public.users',
      'update_settings shop:public.users',
    ]);
    const markdown = await workspace.expect(
      0,
      'plan',
      '--base',
      'before',
      '--format',
      'markdown',
      '--max-bytes',
      '900',
    );
    expect(Buffer.byteLength(markdown.stdout)).toBeLessThanOrEqual(900);
    expect(markdown.stdout).toMatch(/\d+ lines? (was|were) left out/);
    await workspace.expect(0, 'plan', '--base', 'before', '--out', 'next.plan');
    expect(reportedInText(await workspace.expect(1, 'apply', 'next.plan'))).toMatchObject({ code: 'PLAN_UNOBSERVED' });
  });

  test('the file is found in a folder of the repository, from wherever it is named', async () => {
    await workspace.configure(USERS);
    await mkdir(workspace.file('infra'));
    await rename(workspace.configFile, workspace.file('infra/sources.yaml'));
    await git('init', '--quiet');
    await git('add', '.');
    await git('commit', '--quiet', '-m', 'first');
    const same = await workspace.expect(0, 'plan', '--base', 'HEAD', '-c', 'infra/sources.yaml');
    expect(same.stdout).toContain('No changes.');
  });

  test('a file that was not there is all new', async () => {
    await workspace.configure(USERS);
    await git('init', '--quiet');
    await git('commit', '--quiet', '--allow-empty', '-m', 'first');
    const plan = await workspace.json('plan', '--base', 'HEAD');
    expect(actions(plan)).toContain('create_table shop:public.users');
    expect(items(at(plan, 'unknown'))).not.toEqual([]);
  });

  test('no repository, no such commit and a broken file are told apart', async () => {
    await workspace.configure(USERS);
    const outside = await workspace.expect(64, 'plan', '--base', 'main');
    expect(reportedInText(outside)).toMatchObject({
      code: 'BASE_UNREADABLE',
      message: expect.stringContaining('does not lie in a git repository'),
    });
    await git('init', '--quiet');
    await workspace.configureText('version: 1\nsorces: {}\n');
    await git('add', 'sources.yaml');
    await git('commit', '--quiet', '-m', 'broken');
    await workspace.configure(USERS);
    for (const ref of ['origin/main', '--all', '', 'HEAD:sources.yaml']) {
      const unknown = await workspace.expect(64, 'plan', `--base=${ref}`);
      expect(reportedInText(unknown)).toMatchObject({ code: 'BASE_UNREADABLE' });
    }
    const fetchIt = await workspace.expect(64, 'plan', '--base', 'origin/main');
    expect(reportedInText(fetchIt)?.hint).toContain('git fetch origin main');
    const broken = await workspace.expect(78, 'plan', '--base', 'HEAD');
    expect(broken.stderr).toContain('HEAD:sources.yaml:2:1');
  });
});

describe('drift', () => {
  test('what changed in Postgres is told apart from what the file asks for', async () => {
    await workspace.configure({ tables: { 'public.users': {}, 'public.orders': {} } });
    await workspace.expect(0, 'apply', '--yes', '--sync');
    const none = await workspace.expect(0, 'plan', '--refresh-only', '--detailed-exitcode');
    expect(none.stdout).toContain('No drift.');

    await workspace.source(`
      alter table users add column note text;
      alter table users alter column name type varchar(40);
      alter publication ${workspace.publication} drop table orders;`);
    const only = await workspace.run(['plan', '--refresh-only', '--detailed-exitcode', '--format', 'json']);
    expect(only.code).toBe(2);
    const drift: unknown = JSON.parse(only.stdout);
    expect(items(at(drift, 'drift')).map((each) => `${at(each, 'kind')} ${at(each, 'address')}`)).toEqual([
      'publication_table_missing shop:public.orders',
      'column_retyped shop:public.users',
      'column_added shop:public.users',
    ]);
    expect(items(at(drift, 'changes'))).toEqual([]);

    await workspace.configure({ tables: { 'public.users': { schedule: { every: '1h' } }, 'public.orders': {} } });
    const plan = await workspace.json('plan');
    const origins = items(at(plan, 'changes')).map(
      (change) => `${at(change, 'action')} ${at(change, 'address')} ${at(change, 'origin') ?? 'file'}`,
    );
    expect(origins).toContain('change_schedule shop:public.users file');
    expect(origins).toContain('add_columns shop:public.users drift');
    expect(origins).toContain('resync_table shop:public.orders drift');
    // Once applied it is how things are.
    await workspace.expect(0, 'apply', '--yes', '--sync');
    await workspace.expect(0, 'plan', '--refresh-only', '--detailed-exitcode');
    await workspace.expect(0, 'plan', '--detailed-exitcode');
  });
});

test('what plan, apply and sync do is told in lines of JSON that their schema knows', async () => {
  await workspace.configure({ tables: { 'public.users': {}, 'public.orders': { method: 'full_table' } } });
  const names = async (code: number, ...args: readonly string[]): Promise<readonly string[]> => {
    const run = await workspace.expect(code, ...args, '--format', 'ndjson');
    const events = eventsOf(run.stdout);
    expect(events.at(-1)).toMatchObject({ event: 'ended', exit_code: code });
    return events.map(({ event }) => String(event));
  };
  expect(await names(2, 'plan', '--detailed-exitcode', '--out', 'next.plan')).toEqual(['plan_made', 'ended']);
  const applied = await names(0, 'apply', 'next.plan');
  expect(applied[0]).toBe('plan_made');
  expect(applied.filter((name) => name === 'change_started').length).toBe(6);
  expect(applied.slice(-2)).toEqual(['apply_ended', 'ended']);
  const synced = await names(0, 'sync');
  expect(synced).toContain('load_ended');
  expect(synced.slice(-2)).toEqual(['sync_ended', 'ended']);
  expect(await names(1, 'apply', 'next.plan')).toEqual(['plan_made', 'ended']);
  expect(await names(64, 'sync', 'shop:public.nothing')).toEqual(['ended']);
  expect(await names(64, 'ls')).toEqual(['ended']);
  const good = await readFile(workspace.configFile, 'utf8');
  await workspace.configureText('version: 1\nsorces: {}\n');
  const refused = eventsOf((await workspace.expect(78, 'plan', '--format', 'ndjson')).stdout);
  expect(items(at(at(refused[0], 'error'), 'problems')).length).toBeGreaterThan(0);
  await workspace.configureText(good);
  for (const args of [[], ['--no-refresh'], ['--refresh-only']]) {
    expect(planFlaws(await workspace.json('plan', ...args))).toEqual([]);
  }
});
