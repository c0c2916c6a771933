import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort } from '../free-port.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { at, items } from './reported-error.js';
import { eventually, type Running, Workspace } from './workspace.js';

/** The endpoints of a daemon that runs as a process, on a real server. */

let postgres: TestPostgres;
let workspace: Workspace;
let daemon: Running;
let url: string;

beforeAll(async () => {
  postgres = await startPostgres({ major: 17 });
  await postgres.createDatabase('http');
  workspace = await Workspace.create(postgres, 'http');
  await workspace.source(`create table users (id bigint primary key, name text);
    insert into users select i, 'user ' || i from generate_series(1, 30) i`);
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  await workspace.configure({
    tables: { 'public.users': { schedule: { every: '1s' } } },
    top: { daemon: { http: { listen: `127.0.0.1:${port}` } } },
  });
  daemon = workspace.start(['daemon']);
});

afterAll(async () => {
  await workspace.remove();
  await postgres.stop();
});

async function get(path: string): Promise<{ readonly code: number; readonly text: string }> {
  const response = await fetch(`${url}${path}`).catch(() => null);
  return response === null ? { code: 0, text: '' } : { code: response.status, text: await response.text() };
}

/** The value of one series of a scrape. */
async function metric(series: string): Promise<number | null> {
  const line = (await get('/metrics')).text.split('\n').find((each) => each.startsWith(`${series} `));
  return line === undefined ? null : Number(line.slice(series.length + 1));
}

test('health, metrics and status of a daemon at work', async () => {
  await eventually(async () => (await get('/readyz')).code === 200, 'a ready daemon');
  expect(await get('/livez')).toEqual({ code: 200, text: 'ok\n' });
  const rows = 'sluice_rows_total{source="shop",table="public.users",operation="insert"}';
  await eventually(async () => (await metric(rows)) === 30, 'the rows of the load');
  await workspace.source(`insert into users values (100, 'new'), (101, 'new'); update users set name = 'x' where id < 4;
    delete from users where id = 100`);
  // One of the two new ones is gone by the end of the transaction's page, and is counted as what it came to.
  const deleted = 'sluice_rows_total{source="shop",table="public.users",operation="delete"}';
  await eventually(async () => (await metric(deleted)) === 1, 'the streamed rows');
  expect(await metric('sluice_rows_total{source="shop",table="public.users",operation="update"}')).toBe(3);
  expect(await metric('sluice_config_valid')).toBe(1);
  expect(await metric('sluice_plan_pending_changes{kind="destructive"}')).toBe(0);
  expect(await metric('sluice_source_state{source="shop",state="running"}')).toBe(1);
  const slot = `source="shop",slot="${workspace.slot}"`;
  // The guard looks every 15 seconds.
  await eventually(async () => (await metric(`sluice_slot_lag_level{${slot},level="ok"}`)) === 1, 'a look', 30_000);
  expect(await metric(`sluice_slot_wal_status{${slot},status="reserved"}`)).toBe(1);
  const lagSeconds = await metric('sluice_source_lag_seconds{source="shop"}');
  expect(lagSeconds).toBeGreaterThanOrEqual(0);

  const served: unknown = JSON.parse((await get('/status')).text);
  const printed = await workspace.json('status');
  const tables = (document: unknown): unknown[] =>
    items(at(document, 'sources')).flatMap((source) =>
      items(at(source, 'tables')).map((table) => at(table, 'address')),
    );
  expect(at(served, 'format_version')).toBe(1);
  expect(tables(served)).toEqual(['shop:public.users']);
  expect(tables(printed)).toEqual(tables(served));
});

test('the password is in none of them', async () => {
  for (const path of ['/readyz', '/metrics', '/status']) {
    expect((await get(path)).text).not.toContain(postgres.password);
  }
});

test('scrapes and liveness do without the server', async () => {
  await postgres.restart('immediate');
  const scrapes = await Promise.all(Array.from({ length: 20 }, () => get('/metrics')));
  expect(scrapes.map(({ code }) => code)).toEqual(Array.from({ length: 20 }, () => 200));
  expect((await get('/livez')).code).toBe(200);
});

test('it stops in order', async () => {
  daemon.kill('SIGTERM');
  const run = await daemon.ended;
  expect(run.code, run.output).toBe(0);
  expect((await get('/livez')).code).toBe(0);
});
