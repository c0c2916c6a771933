import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { realClock } from '../../src/cli/real-clock.js';
import type { Config } from '../../src/config/config.js';
import { loadConfig } from '../../src/config/load.js';
import { formatProblems } from '../../src/config/problem.js';
import { localStatePath } from '../../src/config/read-state.js';
import { runDaemon } from '../../src/daemon/daemon.js';
import { createEngine } from '../../src/executor/create-engine.js';
import type { Engine, Host } from '../../src/executor/engine.js';
import { lsnValue, readDuckDb } from '../engine-fixture.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { fieldOf, holdDuckDb, publicationNames, slotNames, until, Webhook, writeWal } from './guard-fixture.js';

/**
 * The daemon with two sources on servers of their own, and somebody who holds the file of one of them: its syncs hang,
 * under the state lock, while the guard looks on. These are DuckDB files, whatever SLUICE_TEST_DESTINATION says.
 */

const never = new AbortController().signal;
const DATABASE = 'postgres';
const LAG = { warning_mb: 20, critical_mb: 100 };
/** Little WAL is kept for itself, so that what a slot holds back is what there is. */
const SETTINGS = { min_wal_size: '32MB', max_wal_size: '64MB', wal_keep_size: '0', checkpoint_timeout: '1h' };

let shop: TestPostgres;
let crm: TestPostgres;
let folder: string;
let webhook: Webhook;
const undo: (() => Promise<void>)[] = [];

beforeAll(async () => {
  [shop, crm] = await Promise.all([
    startPostgres({ major: 17, settings: SETTINGS }),
    startPostgres({ major: 13, settings: SETTINGS }),
  ]);
});
afterAll(async () => {
  await Promise.all([shop.stop(), crm.stop()]);
});

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sluice-guard-'));
  webhook = await Webhook.start();
});
afterEach(async () => {
  for (const each of undo.splice(0).reverse()) await each();
  await webhook.stop();
  await rm(folder, { recursive: true, force: true });
});

const env = { GUARD_PASSWORD: '', PATH: process.env['PATH'] };
const host = (): Host => ({
  name: 'machine',
  pid: process.pid,
  command: 'sluice test',
  env: { ...env, GUARD_PASSWORD: shop.password },
  homeDir: folder,
});

async function configure(autoApply: Config['daemon']['autoApply']): Promise<Config> {
  const connection = ({ port, user }: TestPostgres) => ({
    host: '127.0.0.1',
    port,
    user,
    database: DATABASE,
    password: { env: 'GUARD_PASSWORD' },
    tls: { mode: 'disable' },
  });
  const source = (connectionName: string, destination: string) => ({
    connection: connectionName,
    destination,
    target_schema: '{source}',
    cdc: { lag: LAG },
    defaults: { schedule: { every: '1s' } },
    tables: { 'public.users': {} },
  });
  const append = `const fs = require('node:fs');
    fs.appendFileSync(process.argv[1], JSON.stringify([fs.readFileSync(0, 'utf8'), process.env.SLUICE_ALERT]) + '\\n');`;
  const file = path.join(folder, 'sources.yaml');
  await writeFile(
    file,
    stringify({
      version: 1,
      daemon: { auto_apply: autoApply },
      connections: { shop_db: connection(shop), crm_db: connection(crm) },
      destinations: {
        warehouse: { type: 'duckdb', path: 'warehouse.duckdb' },
        other: { type: 'duckdb', path: 'other.duckdb' },
      },
      sources: { shop: source('shop_db', 'warehouse'), crm: source('crm_db', 'other') },
      alerts: [
        { type: 'webhook', url: webhook.url, headers: { 'X-Key': { env: 'GUARD_PASSWORD' } } },
        {
          type: 'command',
          command: [process.execPath, '-e', append, path.join(folder, 'alerts')],
          on: ['slot_dropped'],
        },
      ],
    }),
  );
  const loaded = await loadConfig(file, {
    env: host().env,
    cwd: folder,
    homeDir: folder,
    readFile: (name) => readFile(name, 'utf8'),
  });
  if (!loaded.ok) throw new Error(formatProblems(loaded.problems));
  return loaded.config;
}

interface Line {
  readonly level: string;
  readonly fields: object;
  readonly message: string;
}

function startDaemon(config: Config): { readonly lines: Line[]; stop(): Promise<void> } {
  const lines: Line[] = [];
  const at = (level: string) => (fields: object, message: string) => void lines.push({ level, fields, message });
  const log = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
  const controller = new AbortController();
  const running = runDaemon(
    {
      createEngine: async (deps) => createEngine(deps),
      config,
      clock: realClock,
      host: host(),
      log,
      version: '1.2.3',
      loadConfig: async () => config,
      watchConfig: null,
      onHangup: () => () => undefined,
      statusDocument: (report) => JSON.stringify(report),
      guardEveryMs: 200,
    },
    controller.signal,
  );
  const stop = async () => {
    controller.abort();
    await running;
  };
  undo.push(stop);
  return { lines, stop };
}

async function withEngine<T>(config: Config, work: (engine: Engine) => Promise<T>): Promise<T> {
  const engine = createEngine({ config, clock: realClock, host: host(), onEvent: () => {} });
  try {
    return await work(engine);
  } finally {
    await engine.close();
  }
}

async function walBytes(postgres: TestPostgres): Promise<number> {
  const [row] = await postgres.query<{ bytes: number }>('select sum(size)::float8 as bytes from pg_ls_waldir()');
  return row?.bytes ?? 0;
}

async function expectInStep(postgres: TestPostgres, file: string, schema: string): Promise<void> {
  const rows = await postgres.query<{ key: string; name: string }>(
    'select id::text as key, name from users order by id',
  );
  const copied = await readDuckDb(path.join(folder, file), (duckdb) =>
    duckdb.rows(`SELECT id, name FROM ${schema}.users WHERE NOT _ph_deleted ORDER BY id::BIGINT`),
  );
  expect(copied).toEqual(rows.map(({ key, name }) => [key, name]));
}

test('a source that hangs reaches critical: its slot goes, its WAL is freed, its neighbour goes on', async () => {
  for (const postgres of [shop, crm]) {
    await postgres.query(`create table users (id bigint primary key, name text);
      insert into users select i, 'user ' || i from generate_series(1, 30) i`);
  }
  const config = await configure('all');
  const daemon = startDaemon(config);
  const says = (message: string, fields: Readonly<Record<string, unknown>> = {}, from = 0): boolean =>
    daemon.lines
      .slice(from)
      .some(
        (line) =>
          line.message === message &&
          Object.entries(fields).every(([key, value]) => fieldOf(line.fields, key) === value),
      );
  await until('the loads', () =>
    ['shop', 'crm'].every((name) => says('table synced', { address: `${name}:public.users`, kind: 'snapshot' })),
  );

  const holder = await holdDuckDb(path.join(folder, 'warehouse.duckdb'));
  undo.push(() => holder.release());
  await writeWal(shop, 30, DATABASE);
  await until('the warning', () => says('wal lag reached the warning', { source: 'shop' }));
  await writeWal(shop, 60, DATABASE);
  await shop.query('checkpoint');
  const held = await walBytes(shop);
  expect(held).toBeGreaterThan(90 * 1024 ** 2);
  expect(await slotNames(shop)).toEqual(['sluice_shop']);

  await writeWal(shop, 20, DATABASE);
  await until('the drop', () => says('guard dropped', { address: 'shop:publication' }));
  expect(says('wal lag is critical', { source: 'shop' })).toBe(true);
  expect(says('guard dropped', { address: 'shop:slot' })).toBe(true);
  expect(await slotNames(shop)).toEqual([]);
  expect(await publicationNames(shop, DATABASE)).toEqual([]);
  await shop.query('checkpoint');
  expect(await walBytes(shop)).toBeLessThan(held - 32 * 1024 ** 2);
  const state: unknown = JSON.parse(await readFile(localStatePath(config.state), 'utf8'));
  expect(fieldOf(fieldOf(fieldOf(state, 'sources'), 'shop'), 'halted')).toMatchObject({ code: 'WAL_LAG_CRITICAL' });
  expect(fieldOf(fieldOf(fieldOf(state, 'sources'), 'crm'), 'halted')).toBeNull();

  // The neighbour: its slot stands, and what happens there now still lands.
  expect(await slotNames(crm)).toEqual(['sluice_crm']);
  await crm.query("insert into users values (100, 'after the drop')");
  const [inserted] = await crm.query<{ lsn: string }>('select pg_current_wal_lsn()::text as lsn');
  await until('the neighbour', async () => {
    const [slot] = await crm.query<{ lsn: string }>(
      'select confirmed_flush_lsn::text as lsn from pg_replication_slots where active is not null',
    );
    return slot !== undefined && inserted !== undefined && lsnValue(slot.lsn) >= lsnValue(inserted.lsn);
  });
  const isStopped = (line: Line): boolean =>
    line.message.startsWith('source stopped') && fieldOf(fieldOf(line.fields, 'error'), 'code') === 'WAL_LAG_CRITICAL';
  await until('the end of the syncs of the halted one', () => daemon.lines.some(isStopped));
  expect(says('guard dropped', { address: 'crm:slot' })).toBe(false);

  await until('the alerts', () => webhook.kinds.includes('slot_dropped'));
  expect(webhook.kinds).toEqual(['lag_warning', 'lag_critical', 'slot_dropped']);
  expect(webhook.received[0]?.headers['x-key']).toBe(shop.password);
  await until('the command', async () => (await readFile(path.join(folder, 'alerts'), 'utf8').catch(() => '')) !== '');
  const given: unknown = JSON.parse(await readFile(path.join(folder, 'alerts'), 'utf8'));
  const event = webhook.received[2]?.body;
  expect(event).toMatchObject({ kind: 'slot_dropped', source: 'shop', slot: 'sluice_shop', host: 'machine' });
  expect(given).toEqual([JSON.stringify(event), JSON.stringify(event)]);
  await daemon.stop();
  expect(JSON.stringify(daemon.lines)).not.toContain(shop.password);

  // Not even a daemon that may do everything makes by itself what the guard dropped.
  await holder.release();
  const again = startDaemon(config);
  await until('the plan', () => again.lines.some((line) => line.message === 'changes wait for sluice apply'));
  expect(fieldOf(again.lines.find((line) => line.message === 'changes wait for sluice apply')?.fields, 'because')).toBe(
    'the guard dropped a slot',
  );
  await until('the refusal', () => again.lines.some(isStopped));
  await again.stop();
  expect(await slotNames(shop)).toEqual([]);

  await shop.query("insert into users values (101, 'before the apply')");
  await withEngine(config, async (engine) => {
    const status = await engine.status(never);
    expect(status.sources.map(({ source, errored }) => [source, errored?.code ?? null])).toEqual([
      ['crm', null],
      ['shop', 'WAL_LAG_CRITICAL'],
    ]);
    const results = await engine.apply(await engine.plan({ targets: [] }, never), never);
    expect(results.map(({ status: outcome }) => outcome)).toEqual(['applied', 'applied', 'applied']);
    const report = await engine.sync({ address: null, untilCaughtUp: true, force: true }, never);
    expect(report.ok, JSON.stringify(report)).toBe(true);
    expect((await engine.plan({ targets: [] }, never)).changes).toEqual([]);
    expect((await engine.status(never)).sources.map(({ errored }) => errored)).toEqual([null, null]);
  });
  await expectInStep(shop, 'warehouse.duckdb', 'shop');
  await expectInStep(crm, 'other.duckdb', 'crm');
  expect(await slotNames(shop)).toEqual(['sluice_shop']);
});
