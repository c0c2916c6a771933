import { createServer } from 'node:http';
import type { Client } from 'pg';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { eventsOf } from '../schema/documents.js';
import { at, items } from './reported-error.js';
import { eventually, exists, type Run, type Running, type ShopConfig, Workspace } from './workspace.js';

/** Commands that act, with a daemon that works for them and without one, on a real server. */

/** So rare that nothing is synced but what is asked for. */
const RARELY = { schedule: { every: '1h' } };
const TABLES: ShopConfig['tables'] = { 'public.users': RARELY, 'public.orders': { ...RARELY, method: 'full_table' } };

let postgres: TestPostgres;
let workspace: Workspace;
let daemon: Running | null = null;
let blocker: Client | null = null;

beforeAll(async () => {
  postgres = await startPostgres({ major: 17 });
  await postgres.createDatabase('called');
  workspace = await Workspace.create(postgres, 'called');
  for (const table of ['users', 'orders']) {
    await workspace.source(`create table ${table} (id bigint primary key, name text);
      insert into ${table} select i, '${table} ' || i from generate_series(1, 30) i`);
  }
  await workspace.configure({ tables: TABLES });
  await workspace.expect(0, 'apply', '--yes', '--sync');
});

afterEach(async () => {
  await unblock();
  await stopDaemon();
});

afterAll(async () => {
  await workspace.remove();
  await postgres.stop();
});

async function startDaemon(): Promise<Running> {
  daemon = workspace.start(['daemon', '--log-level', 'debug']);
  await daemon.until((output) => output.includes('source looked at'), 'its first look');
  return daemon;
}

async function stopDaemon(): Promise<void> {
  const stopping = daemon;
  daemon = null;
  stopping?.kill('SIGTERM');
  await stopping?.ended;
}

/** Lets no load of orders get at its table. */
async function block(): Promise<void> {
  blocker = await postgres.client('called');
  await blocker.query('begin; lock table orders in access exclusive mode');
}

async function unblock(): Promise<void> {
  await blocker?.end();
  blocker = null;
}

/** A command's sync that the daemon works on and that cannot get on. */
async function blockedSync(...more: readonly string[]): Promise<{ running: Running; daemon: Running }> {
  const works = await startDaemon();
  await block();
  const running = workspace.start(['sync', 'shop:public.orders', ...more]);
  await works.until((output) => output.includes('asked for by a command'), 'the call');
  await eventually(async () => {
    const [waiting] = await workspace.source<{ n: string }>(
      "select count(*) as n from pg_locks where relation = 'orders'::regclass and not granted",
    );
    return Number(waiting?.n) > 0;
  }, 'the load to wait for the lock');
  return { running, daemon: works };
}

async function phaseOf(address: string): Promise<unknown> {
  const status = await workspace.json('status');
  const tables = items(at(status, 'sources')).flatMap((each) => items(at(each, 'tables')));
  return at(
    tables.find((each) => at(each, 'address') === address),
    'phase',
  );
}

/** Without what no two runs have in common: times, positions, sizes, ids. */
function comparable(text: string): string {
  return (
    text
      .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
      .replace(/\b[\dA-F]+\/[\dA-F]+\b/g, 'LSN')
      .replace(/\b[\d.,]+ (ms|s|KiB|B|MiB|rows\/s)(?!\w)/g, 'AMOUNT')
      // What is left until a threshold is null where the slot does not grow at that moment.
      .replace(/"(seconds_until_\w+)": ?null/g, '"$1":0')
      .replace(/"(\w*(?:_ms|bytes|_bytes|serial|seconds\w*|_per_second))": ?-?[\d.]+/g, '"$1":0')
      .replace(/"id": ?"[0-9a-f-]{36}"/g, '"id":"ID"')
      .replace(/ +/g, ' ')
  );
}

const CHANGE = `insert into users select i, 'more' from generate_series((select max(id) + 1 from users), (select max(id) + 5 from users)) i`;

const NOTHING = 'select 1';
const PAUSE = ['pause', 'shop'];
const RESUME = ['resume', 'shop'];

test.each<{
  name: string;
  before: string;
  argv: readonly string[];
  made?: readonly string[];
  after?: readonly string[];
}>([
  { name: 'a sync', before: CHANGE, argv: ['sync', 'shop:public.users'] },
  { name: 'a sync of a source', before: CHANGE, argv: ['sync', 'shop'] },
  { name: 'a sync until caught up', before: CHANGE, argv: ['sync', '--until-caught-up'] },
  { name: 'a sync without anything due', before: NOTHING, argv: ['sync'] },
  { name: 'a sync as JSON', before: CHANGE, argv: ['sync', 'shop:public.users', '--format', 'json'] },
  { name: 'a sync as events', before: CHANGE, argv: ['sync', 'shop', '--format', 'ndjson'] },
  { name: 'a sync of nothing that is there', before: NOTHING, argv: ['sync', 'shop:public.nope'] },
  { name: 'a resync', before: NOTHING, argv: ['resync', 'shop:public.users', '--yes'] },
  { name: 'a resync of nothing that is there', before: NOTHING, argv: ['resync', 'nope', '--yes'] },
  { name: 'a pause of a source', before: NOTHING, argv: PAUSE, after: RESUME },
  { name: 'a second pause', before: NOTHING, made: PAUSE, argv: [...PAUSE, '--format', 'json'], after: RESUME },
  {
    name: 'a sync of what is paused',
    before: NOTHING,
    made: PAUSE,
    argv: ['sync', 'shop:public.users'],
    after: RESUME,
  },
  { name: 'a sync beside what is paused', before: CHANGE, made: PAUSE, argv: ['sync'], after: RESUME },
  { name: 'a resume of a source', before: CHANGE, made: PAUSE, argv: RESUME },
  {
    name: 'a pause of a table',
    before: NOTHING,
    argv: ['pause', 'shop:public.users'],
    after: ['resume', 'shop:public.users'],
  },
  {
    name: 'a resume of a table',
    before: NOTHING,
    made: ['pause', 'shop:public.orders'],
    argv: ['resume', 'shop:public.orders', '--format', 'json'],
  },
  { name: 'an apply of nothing', before: NOTHING, argv: ['apply', '--yes'] },
])('$name says the same with a daemon as without', async ({ before, argv, made, after }) => {
  const run = async (): Promise<Run> => {
    await workspace.source(before);
    if (made !== undefined) await workspace.expect(0, ...made);
    const result = await workspace.run(argv);
    if (after !== undefined) await workspace.expect(0, ...after);
    return result;
  };
  await workspace.expect(0, 'sync', '--until-caught-up');
  const alone = await run();
  await workspace.expect(0, 'sync', '--until-caught-up');
  const running = await startDaemon();
  const through = await run();
  expect({ code: through.code, stdout: comparable(through.stdout) }).toEqual({
    code: alone.code,
    stdout: comparable(alone.stdout),
  });
  expect(comparable(through.stderr)).toEqual(comparable(alone.stderr));
  if (argv[0] !== 'apply') expect(running.output).toContain('asked for by a command');
});

test('Ctrl-C ends the work in the daemon, and the daemon goes on', async () => {
  const { running, daemon: works } = await blockedSync();
  running.kill('SIGINT');
  const { code, stderr } = await running.ended;
  expect(stderr).toContain('error CANCELLED: stopped by SIGINT');
  expect(code).toBe(1);
  await works.until((output) => output.includes('what was asked for has failed'), 'the end of the work');
  await unblock();
  await workspace.expect(0, 'sync', 'shop:public.orders');
  expect(works.output.split('what was asked for is done')).toHaveLength(2);
});

test('a command that is killed takes its work along', async () => {
  const { running, daemon: works } = await blockedSync();
  running.kill('SIGKILL');
  await works.until((output) => output.includes('whoever asked for it has gone'), 'the end of the work');
});

test('a daemon that is killed is told as such, and the next sync works without it', async () => {
  const { running, daemon: works } = await blockedSync();
  works.kill('SIGKILL');
  const { code, stderr } = await running.ended;
  expect(stderr).toContain('error DAEMON_LOST: the daemon at');
  expect(code).toBe(69);
  await unblock();
  await workspace.expect(0, 'sync', 'shop:public.orders');
  expect(await exists(workspace.file('.sluice/control.sock'))).toBe(false);
});

test('a daemon that stops is told as such', async () => {
  const { running, daemon: works } = await blockedSync('--format', 'json');
  works.kill('SIGTERM');
  const { code, stdout } = await running.ended;
  expect(JSON.parse(stdout)).toMatchObject({
    error: { code: 'DAEMON_STOPPED', message: expect.stringContaining('stop') },
  });
  expect(code).toBe(75);
  expect((await works.ended).code).toBe(0);
});

test('a reload waits for the work under way', async () => {
  const { running, daemon: works } = await blockedSync();
  await workspace.configure({ tables: { ...TABLES, 'public.users': { schedule: { every: '2h' } } } });
  await works.until((output) => output.includes('going over to the changed config'), 'the reload');
  await unblock();
  expect((await running.ended).code).toBe(0);
  await workspace.configure({ tables: TABLES });
  // A command that has read the file asks the daemon to take it over first.
  const run = await workspace.expect(0, 'sync', 'shop:public.orders');
  expect(run.stdout).toMatch(/shop:public\.orders +full_table +ok/);
  expect(works.output.split('asked for by a command')).toHaveLength(3);
});

test('an apply through the daemon makes the changes of the plan that was shown, and its loads begin at once', async () => {
  await workspace.source('create table late (id bigint primary key); insert into late values (1), (2)');
  const works = await startDaemon();
  const before = workspace.file('next.plan');
  await workspace.configure({ tables: { ...TABLES, 'public.late': RARELY }, top: { daemon: { auto_apply: 'none' } } });
  await workspace.expect(0, 'reload');
  await workspace.expect(0, 'plan', '--out', before);
  const applied = await workspace.expect(0, 'apply', before);
  expect(applied.stdout).toMatch(/^Applied \d of \d changes\.\nA load is queued/);
  await eventually(async () => (await phaseOf('shop:public.late')) === 'live', 'the load of the new table');
  expect(works.output).toContain('"call":"apply"');
  await workspace.source('create table later (id bigint primary key); insert into later values (1), (2)');
  const more = { ...TABLES, 'public.late': RARELY, 'public.later': RARELY };
  await workspace.configure({ tables: more, top: { daemon: { auto_apply: 'none' } } });
  const loaded = await workspace.expect(0, 'apply', '--yes', '--sync');
  expect(loaded.stdout).toMatch(/shop:public\.later +snapshot +ok +2/);
  expect(loaded.stderr).toMatch(/loading +shop:public\.later/);
  const stale = await workspace.expect(1, 'apply', before);
  expect(stale.stderr).toContain('error PLAN_STALE');
});

test('a daemon that speaks another version is told of, and the command works without it', async () => {
  const server = createServer((_request, response) => response.end('{"format_version":99,"daemon":{}}'));
  await new Promise<void>((resolve) => server.listen(workspace.file('.sluice/control.sock'), resolve));
  try {
    const run = await workspace.expect(0, 'sync', 'shop:public.orders');
    expect(run.stderr).toMatch(/note +daemon +what answers at the control socket.*works without it/);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
});

test('the log is shown from the daemon, and what comes new', async () => {
  const none = await workspace.expect(69, 'logs');
  expect(none.stderr).toContain('error DAEMON_NOT_RUNNING: no daemon answers at');
  expect(none.stderr).toContain('journalctl -u sluice');
  const works = await startDaemon();
  const last = await workspace.expect(0, 'logs');
  expect(last.stdout).toMatch(/^\[\d\d:\d\d:\d\d\.\d{3}\] INFO: daemon started\n {4}file: "/);
  expect(last.stdout).not.toContain('DEBUG');
  const all = await workspace.expect(0, 'logs', '-n', '1000', '--level', 'debug', '--format', 'json');
  const lines = items(at(JSON.parse(all.stdout), 'lines'));
  expect(lines.map((line) => at(line, 'msg'))).toContain('source looked at');
  expect(works.output).toContain(JSON.stringify(lines[0]));
  const following = workspace.start(['logs', '-f', '-n', '0', '--format', 'ndjson']);
  // New lines come until it is there.
  await eventually(async () => {
    await workspace.expect(0, 'sync', 'shop:public.orders');
    return following.output.includes('what was asked for is done');
  }, 'new lines of the log');
  works.kill('SIGTERM');
  const { code, stdout } = await following.ended;
  const events = eventsOf(stdout);
  expect(at(events[0], 'record')).toMatchObject({ level: 'info', msg: expect.any(String) });
  expect(at(at(events.at(-2), 'record'), 'msg')).toBe('daemon stopped');
  expect(events.at(-1)).toMatchObject({ event: 'ended', exit_code: 0 });
  expect(code).toBe(0);
});

test('a log that is followed ends with Ctrl-C, and tells of a daemon that is killed', async () => {
  const works = await startDaemon();
  const [left, lost] = [workspace.start(['logs', '-f']), workspace.start(['logs', '-f'])];
  for (const each of [left, lost]) await each.until((output) => output.includes('daemon started'), 'the log');
  left.kill('SIGINT');
  expect((await left.ended).code).toBe(0);
  works.kill('SIGKILL');
  const { code, stderr } = await lost.ended;
  expect(stderr).toContain('error DAEMON_LOST');
  expect(code).toBe(69);
});
