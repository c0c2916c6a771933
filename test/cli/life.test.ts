import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { freePort } from '../free-port.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { type MemoryS3, startMemoryS3 } from '../s3/memory-s3.js';
import { at, items } from './reported-error.js';
import { eventually, exists, type Run, type Running, type Settings, Workspace } from './workspace.js';

/**
 * The life of a config in git: a person's clone, a CI that clones anew for each job, and a server whose clone the daemon
 * watches. The state and the lake lie in a bucket, so all of them speak of the same. One test goes on where the one
 * before it ended.
 */

const LIVE = 'where not _ph_deleted';
const USERS = { 'public.users': { schedule: { every: '1s' } } };
const BOTH = { ...USERS, 'public.orders': { schedule: { every: '1s' } } };

let postgres: TestPostgres;
let s3: MemoryS3;
/** Its folder holds the clones; each has its own sources.yaml. */
let workspace: Workspace;
let httpPort: number;
let daemon: Running;

beforeAll(async () => {
  postgres = await startPostgres({ major: 17 });
  await postgres.createDatabase('life');
  workspace = await Workspace.create(postgres, 'life');
  await workspace.source(`
    create table users (id bigint primary key, name text);
    create table orders (id bigint primary key, total numeric(10,2));
    insert into users select i, 'user ' || i from generate_series(1, 100) i;
    insert into orders select i, i * 1.5 from generate_series(1, 40) i;`);
  s3 = await startMemoryS3({ bucket: 'acme', accessKeyId: postgres.password, secretAccessKey: postgres.password });
  httpPort = await freePort();
  await git('.', 'init', '--quiet', '--bare', 'origin');
  await git('.', 'clone', '--quiet', 'origin', 'laptop');
  await git('laptop', 'checkout', '--quiet', '-b', 'main');
  await git('laptop', 'commit', '--quiet', '--allow-empty', '-m', 'begin');
  await git('laptop', 'push', '--quiet', 'origin', 'main');
});

afterAll(async () => {
  await workspace.remove();
  await s3.stop();
  await postgres.stop();
});

async function git(clone: string, ...args: readonly string[]): Promise<string> {
  const identity = ['-c', 'user.name=ann', '-c', 'user.email=ann@example.com', '-c', 'init.defaultBranch=main'];
  const { stdout } = await promisify(execFile)('git', [...identity, ...args], { cwd: workspace.file(clone) });
  return stdout;
}

function configText(sources: Settings): string {
  const key = { env: 'SHOP_PASSWORD' };
  const bucket = {
    bucket: 'acme',
    region: 'us-east-1',
    endpoint: s3.endpoint,
    force_path_style: true,
    access_key_id: key,
    secret_access_key: key,
  };
  const { host, port, user } = postgres;
  return stringify({
    version: 1,
    state: { type: 's3', key: 'state/life.json', ...bucket },
    connections: { db: { host, port, database: 'life', user, password: key, tls: { mode: 'disable' } } },
    destinations: { lake: { type: 's3', format: 'delta', prefix: 'shop', ...bucket } },
    daemon: { http: { listen: `127.0.0.1:${httpPort}` } },
    sources,
  });
}

function shop(tables: Settings): Settings {
  const { slot, publication } = workspace;
  return { shop: { connection: 'db', destination: 'lake', cdc: { slot, publication }, tables } };
}

/** A person edits the file on a branch and pushes it. */
async function propose(branch: string, text: string): Promise<void> {
  await git('laptop', 'checkout', '--quiet', '-B', branch, 'origin/main');
  await writeFile(workspace.file('laptop/sources.yaml'), text);
  await git('laptop', 'add', 'sources.yaml');
  await git('laptop', 'commit', '--quiet', '-m', branch);
  await git('laptop', 'push', '--quiet', '--force', 'origin', branch);
}

async function merge(branch: string): Promise<void> {
  await git('laptop', 'push', '--quiet', 'origin', `${branch}:main`);
  await git('laptop', 'fetch', '--quiet', 'origin');
}

let jobs = 0;

/** A job of the CI: its own clone, no terminal, and the secrets of its environment. */
async function job(branch: string): Promise<(...args: readonly string[]) => Promise<Run>> {
  jobs += 1;
  const clone = `job${jobs}`;
  await git('.', 'clone', '--quiet', '--branch', branch, 'origin', clone);
  return (...args) => workspace.run([...args, '-c', `${clone}/sources.yaml`], { env: { CI: 'true', NO_COLOR: '1' } });
}

/** What a pull request shows: the plan as a comment. */
async function comment(branch: string): Promise<string> {
  const sluice = await job(branch);
  const plan = await sluice('plan', '--format', 'markdown', '--max-bytes', '65000');
  expect(plan.code, plan.output).toBe(0);
  return plan.stdout;
}

/** What a merge does: plan, then apply exactly that. */
async function deploy(): Promise<Run> {
  const sluice = await job('main');
  const file = workspace.file(`job${jobs}.plan`);
  expect((await sluice('plan', '--out', file)).code).toBe(0);
  const applied = await sluice('apply', file);
  expect(applied.code, applied.output).toBe(0);
  const again = await sluice('apply', file);
  expect(again.stderr).toContain('PLAN_STALE');
  return applied;
}

function inClone(clone: string, ...args: readonly string[]): Promise<Run> {
  return workspace.run([...args, '-c', `${clone}/sources.yaml`]);
}

function onServer(...args: readonly string[]): Promise<Run> {
  return inClone('server', ...args);
}

async function pull(): Promise<void> {
  await git('server', 'pull', '--quiet', '--ff-only');
}

async function daemonBlock(): Promise<unknown> {
  const run = await onServer('status', '--format', 'json');
  return at(JSON.parse(run.stdout), 'daemon');
}

async function metric(series: string): Promise<number | null> {
  const scraped = await fetch(`http://127.0.0.1:${httpPort}/metrics`);
  const line = (await scraped.text()).split('\n').find((each) => each.startsWith(`${series} `));
  return line === undefined ? null : Number(line.slice(series.length + 1));
}

/** The rows that the lake has now, or null while the table is not there. @param reader the clone whose file names the lake */
async function landed(table: string, columns: string, reader = 'server'): Promise<string[] | null> {
  const sql = `select ${columns} from public.${table} ${LIVE} order by id`;
  const run = await inClone(reader, 'query', sql, '--format', 'csv');
  return run.code === 0 ? run.stdout.trim().split(/\r?\n/).slice(1) : null;
}

/** What Postgres has at this moment arrives in the lake, row for row. */
async function expectArrives(table: string, columns: string, reader?: string): Promise<void> {
  const rows = await workspace.source<Record<string, unknown>>(`select ${columns} from ${table} order by id`);
  const wanted = rows.map((row) => Object.values(row).join(','));
  expect(wanted.length).toBeGreaterThan(0);
  let found: string[] | null = null;
  await eventually(
    async () => {
      found = await landed(table, columns, reader);
      return JSON.stringify(found) === JSON.stringify(wanted);
    },
    `the rows of ${table}`,
    60_000,
    () => `${found?.length} of ${wanted.length} rows\n${daemon.output}`,
  );
}

let written = 1_000;

/** Somebody works with the shop at each step. */
async function write(): Promise<void> {
  written += 10;
  await workspace.source(`
    insert into users select i, 'new ' || i from generate_series(${written}, ${written + 4}) i;
    update users set name = name || '!' where id % 10 = ${written % 7};
    delete from users where id = ${written + 1};
    insert into orders values (${written}, ${written} / 4.0);
    update orders set total = total + 1 where id % 5 = 0;`);
}

test('the first file is planned in CI on its branch, and applied on its merge', async () => {
  await propose('first', configText(shop(USERS)));
  const offline = await (await job('first'))('plan', '--base', 'origin/main');
  expect(offline.stdout).toContain('shop:public.users');
  const text = await comment('first');
  expect(text).toContain('| `+` | `shop:public.users` |');
  expect(text).not.toContain(postgres.password);
  expect((await workspace.onServer()).slots).toEqual([]);

  await merge('first');
  await deploy();
  expect(await workspace.onServer()).toEqual({
    slots: [workspace.slot],
    publications: [workspace.publication],
    members: ['public.users'],
  });
});

test('the daemon on the server loads and follows', async () => {
  await git('.', 'clone', '--quiet', 'origin', 'server');
  daemon = workspace.start(['daemon', '-c', 'server/sources.yaml']);
  await expectArrives('users', 'id, name');
  await write();
  await expectArrives('users', 'id, name');
  expect((await fetch(`http://127.0.0.1:${httpPort}/readyz`)).status).toBe(200);
});

test('a new table that git pull brings is applied by the daemon itself', async () => {
  await propose('orders', configText(shop(BOTH)));
  const text = await comment('orders');
  expect(text).toContain('| `+` | `shop:public.orders` |');
  expect(text).not.toContain('`shop:public.users`');
  await merge('orders');
  await write();
  await pull();
  await expectArrives('orders', 'id, total');
  await expectArrives('users', 'id, name');
  expect((await workspace.onServer()).members).toEqual(['public.orders', 'public.users']);
  const settled = await (await job('main'))('plan', '--detailed-exitcode');
  expect(settled.code, settled.output).toBe(0);
});

test('a broken edit changes nothing, is told everywhere, and the work goes on', async () => {
  await propose('broken', configText(shop(BOTH)).replace('destination: lake', 'destination: leak'));
  const review = await (await job('broken'))('plan', '--format', 'markdown');
  expect(review.code).toBe(78);
  await merge('broken');
  await pull();
  await daemon.until((output) => output.includes('the changed config is not used'), 'the complaint');
  const reload = await onServer('reload');
  expect(reload.code).toBe(78);
  expect(reload.stdout).toContain('no destination is called "leak"');
  expect(await daemonBlock()).toMatchObject({ config: { valid: false, error: { code: 'CONFIG_INVALID' } } });
  expect(await metric('sluice_config_valid')).toBe(0);
  const ready = await fetch(`http://127.0.0.1:${httpPort}/readyz`);
  expect(await ready.json()).toMatchObject({ ready: true, config: { valid: false } });
  await write();
  // The server's own file names no lake now.
  await expectArrives('users', 'id, name', 'job1');
  await expectArrives('orders', 'id, total', 'job1');
  await git('laptop', 'revert', '--no-edit', 'HEAD');
  await git('laptop', 'push', '--quiet', 'origin', 'HEAD:main');
  await pull();
  await eventually(async () => (await metric('sluice_config_valid')) === 1, 'the good config again');
  await expectArrives('users', 'id, name');
  await expectArrives('orders', 'id, total');
});

test('a destructive edit waits for consent, while the work goes on', async () => {
  await propose('less', configText(shop(USERS)));
  const text = await comment('less');
  expect(text).toMatch(/destructive/);
  expect(text).toContain('`shop:public.orders`');
  await merge('less');
  await pull();
  await eventually(async () => (await metric('sluice_plan_pending_changes{kind="destructive"}')) === 1, 'the wait');
  const pending = at(await daemonBlock(), 'pending_plan');
  expect(items(at(pending, 'changes'))).toContain('retire_table shop:public.orders');
  expect((await onServer('status')).stdout).toMatch(/waiting for sluice apply since/);
  await write();
  await expectArrives('users', 'id, name');
  await expectArrives('orders', 'id, total');
});

test('consent comes from CI: the table is retired, not destroyed', async () => {
  const before = await landed('orders', 'id, total');
  expect((await deploy()).output).toMatch(/applied {2}shop:public\.orders {2}retire/);
  expect((await workspace.onServer()).members).toEqual(['public.users']);
  expect(await landed('orders', 'id, total')).toBeNull();
  const tables = await onServer('query', 'show all tables', '--format', 'json');
  expect(tables.stdout).toContain('_sluice_retired');
  expect(before?.length).toBeGreaterThan(0);
  await eventually(
    async () => at(await daemonBlock(), 'pending_plan') === null,
    'a daemon for which nothing waits',
    90_000,
  );
  await write();
  await expectArrives('users', 'id, name');
});

test('a rollback in git brings the table back, with what happened meanwhile', async () => {
  await git('laptop', 'revert', '--no-edit', 'HEAD');
  await git('laptop', 'push', '--quiet', 'origin', 'HEAD:main');
  await write();
  await pull();
  await expectArrives('orders', 'id, total');
  await write();
  await expectArrives('orders', 'id, total');
  await expectArrives('users', 'id, name');
  const verified = await onServer('verify');
  expect(verified.code, verified.output).toBe(0);
});

test('the source leaves: nothing of it stays on the server, and the daemon goes on', async () => {
  await git('laptop', 'fetch', '--quiet', 'origin');
  await propose('gone', configText({}));
  expect(await comment('gone')).toContain('`shop:slot`');
  await merge('gone');
  await pull();
  await eventually(
    async () => ((await metric('sluice_plan_pending_changes{kind="destructive"}')) ?? 0) > 0,
    'the wait',
  );
  expect((await workspace.onServer()).slots).toEqual([workspace.slot]);
  await deploy();
  expect(await workspace.onServer()).toEqual({ slots: [], publications: [], members: [] });
  daemon.kill('SIGTERM');
  expect(await daemon.ended).toMatchObject({ code: 0 });
  expect(await exists(workspace.file('server/.sluice/control.sock'))).toBe(false);
  expect((await (await job('main'))('plan', '--detailed-exitcode')).code).toBe(0);
});
