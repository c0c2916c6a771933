import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openDuckDbWriter } from './duckdb-writer.js';
import { DuckDbSession } from './session.js';
import { literal, qualified } from './sql-text.js';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-writer-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

const settings = (name = 'w.duckdb', busyWaitMs = 0) => ({
  path: join(folder, name),
  memoryLimitMb: 128,
  threads: 1,
  busyWaitMs,
});

/** Makes tables as an earlier sync would have left them. */
async function prepare(statements: readonly string[]): Promise<void> {
  const session = await DuckDbSession.open(settings(), () => undefined);
  await session.prepareLayout();
  for (const statement of statements) await session.run(statement);
  session.close();
}

async function ask(sql: string, file = 'w.duckdb'): Promise<unknown[]> {
  const instance = await DuckDBInstance.create(join(folder, file), { access_mode: 'READ_ONLY' });
  const connection = await instance.connect();
  const reader = await connection.runAndReadAll(sql);
  const rows = reader.getRowObjectsJson();
  connection.closeSync();
  instance.closeSync();
  return rows;
}

test('a destination that does not exist yet has no facts and is not made by looking', async () => {
  const writer = await openDuckDbWriter(settings(), () => undefined);
  expect(await writer.readFacts()).toEqual({ exists: false, streams: [], tables: [], foreignTables: [] });
  await writer.close();
  expect(await readdir(folder)).toEqual([]);
});

test('looking at a file that Sluice has not written yet leaves it as it is', async () => {
  const instance = await DuckDBInstance.create(join(folder, 'w.duckdb'));
  const connection = await instance.connect();
  await connection.run('CREATE TABLE mine (a INTEGER)');
  connection.closeSync();
  instance.closeSync();
  const writer = await openDuckDbWriter(settings(), () => undefined);
  expect(await writer.readFacts()).toEqual({ exists: true, streams: [], tables: [], foreignTables: ['main.mine'] });
  await writer.close();
  expect(await ask('SELECT schema_name, table_name FROM duckdb_tables()')).toEqual([
    { schema_name: 'main', table_name: 'mine' },
  ]);
});

test('tables that Sluice did not make are told apart', async () => {
  await prepare([
    'CREATE TABLE mine (a INTEGER)',
    "INSERT INTO _sluice.tables (address, target_schema, target_name, loaded_generation) VALUES ('s:public.t', 'main', 't', 1)",
    'CREATE TABLE t (a INTEGER)',
    'CREATE TABLE t_cdc (a INTEGER)',
  ]);
  const writer = await openDuckDbWriter(settings(), () => undefined);
  expect((await writer.readFacts()).foreignTables).toEqual(['main.mine']);
  await writer.close();
});

describe('a file that another process holds', () => {
  // Within one process DuckDB shares the lock, so the holder is a process of its own.
  async function holder(): Promise<{ stop: () => Promise<void> }> {
    const { spawn } = await import('node:child_process');
    const code = `const { DuckDBInstance } = require('@duckdb/node-api'); DuckDBInstance.create(${JSON.stringify(join(folder, 'w.duckdb'))}).then(() => { process.stdout.write('held'); setInterval(() => {}, 1000); });`;
    const child = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise<void>((resolve) => child.stdout.once('data', () => resolve()));
    return {
      stop: () =>
        new Promise<void>((resolve) => {
          child.once('exit', () => resolve());
          child.kill('SIGKILL');
        }),
    };
  }

  test('is refused after the wait with what to do', async () => {
    const other = await holder();
    const waits: string[] = [];
    const writer = await openDuckDbWriter(settings('w.duckdb', 400), (what) => waits.push(what));
    await expect(writer.requestSnapshot({ address: 'a', reason: 'b' })).rejects.toMatchObject({
      code: 'DESTINATION_BUSY',
      hint: expect.stringContaining('publish:'),
    });
    expect(waits).toEqual([`${join(folder, 'w.duckdb')} is held by another process`]);
    await writer.close();
    await other.stop();
  });

  test('is waited for and then used', async () => {
    const other = await holder();
    const writer = await openDuckDbWriter(settings('w.duckdb', 10_000), () => undefined);
    const asked = writer.requestSnapshot({ address: 'a', reason: 'b' });
    await new Promise((resolve) => setTimeout(resolve, 300));
    await other.stop();
    await asked;
    await writer.close();
  });
});

test('a file of a newer layout is refused', async () => {
  await prepare(['UPDATE _sluice.layout SET version = 99']);
  const writer = await openDuckDbWriter(settings(), () => undefined);
  await expect(writer.readFacts()).rejects.toMatchObject({
    code: 'DESTINATION_FAILED',
    hint: expect.stringContaining('newer'),
  });
  await writer.close();
});

describe('a file of layout 1', () => {
  const first = [
    ...['slot_created_lsn', 'timeline_id', 'unseen'].map((name) => `ALTER TABLE _sluice.streams DROP COLUMN ${name}`),
    'UPDATE _sluice.layout SET version = 1',
    "INSERT INTO _sluice.streams VALUES ('s', 'slot', '7', '0/5000', TIMESTAMPTZ '2026-01-01 00:00:00+00', TIMESTAMPTZ '2026-01-01 00:00:00+00')",
  ];

  test('is read as it is', async () => {
    await prepare(first);
    const writer = await openDuckDbWriter(settings(), () => undefined);
    const { streams } = await writer.readFacts();
    expect(streams).toMatchObject([{ confirmedLsn: '0/5000', slotCreatedLsn: null, timelineId: null, unseen: [] }]);
    await writer.close();
    expect(await ask('SELECT version FROM _sluice.layout')).toEqual([{ version: 1 }]);
  });

  test('is brought up to date by the first write', async () => {
    await prepare(first);
    const writer = await openDuckDbWriter(settings(), () => undefined);
    await writer.commitPage({
      source: 's',
      slot: 'slot',
      slotCreatedLsn: '0/1000',
      systemIdentifier: '7',
      timelineId: 2,
      tables: [],
      confirmedLsn: '0/6000',
      confirmedAt: '2026-01-02T00:00:00.000Z',
      runId: 'run',
      startedAt: '2026-01-02T00:00:00.000Z',
      transactions: 0,
      unseen: [4_294_967_290, 7],
      isIdle: false,
    });
    const { streams } = await writer.readFacts();
    expect(streams).toMatchObject([
      { confirmedLsn: '0/6000', slotCreatedLsn: '0/1000', timelineId: 2, unseen: [4_294_967_290, 7] },
    ]);
    await writer.close();
    expect(await ask('SELECT version FROM _sluice.layout')).toEqual([{ version: 2 }]);
  });
});

test('a stream that begins anew leaves nothing of what was held for the one before', async () => {
  await prepare([
    "INSERT INTO _sluice.streams (source, confirmed_lsn) VALUES ('s', '0/5000'), ('other', '0/5000')",
    'CREATE TABLE _sluice."held s:a.b" (a INTEGER)',
    'CREATE TABLE _sluice."held other:a.b" (a INTEGER)',
    "INSERT INTO _sluice.held_gaps VALUES ('s:a.b', '0/10', 7, 'why'), ('other:a.b', '0/10', 7, 'why')",
  ]);
  const writer = await openDuckDbWriter(settings(), () => undefined);
  await writer.restartStream({ source: 's', addresses: ['s:a.b'] });
  await writer.close();
  expect(await ask('SELECT source FROM _sluice.streams')).toEqual([{ source: 'other' }]);
  expect(await ask('SELECT address FROM _sluice.held_gaps')).toEqual([{ address: 'other:a.b' }]);
  expect(await ask("SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 'held %'")).toEqual([
    { table_name: 'held other:a.b' },
  ]);
});

test('a change of columns is a gap by every transaction of its page that nobody sees yet', async () => {
  await prepare([]);
  const writer = await openDuckDbWriter(settings(), () => undefined);
  const table = {
    address: 's:a.b',
    schema: 'a',
    name: 'b',
    method: 'cdc',
    output: 'consolidated',
    deletes: 'soft',
    metadataPrefix: '_ph_',
    columns: [{ name: 'id', type: { kind: 'int32' } }],
    key: ['id'],
    generation: 1,
  } as const;
  await writer.commitPage({
    source: 's',
    slot: 'slot',
    slotCreatedLsn: '0/1000',
    systemIdentifier: '7',
    timelineId: 1,
    tables: [{ index: 0, table, mode: 'hold', truncates: [], mismatch: { reason: 'why', lsn: '0/10', xid: 5 } }],
    confirmedLsn: '0/6000',
    confirmedAt: '2026-01-02T00:00:00.000Z',
    runId: 'run',
    startedAt: '2026-01-02T00:00:00.000Z',
    transactions: 2,
    unseen: [7],
    isIdle: false,
  });
  await writer.close();
  expect(await ask('SELECT __xid AS xid, reason FROM _sluice.held_gaps ORDER BY 1')).toEqual([
    { xid: 5, reason: 'why' },
    { xid: 7, reason: 'why' },
  ]);
});

describe('a table that leaves', () => {
  const hostile = { schema: 'we"ird', name: `t'; DROP TABLE x; --` };
  const request = { address: 's:a.b', ...hostile, history: true, consolidated: true };
  const rows = [
    `CREATE SCHEMA ${'"we""ird"'}`,
    `CREATE TABLE ${qualified(hostile)} AS SELECT 1 AS a`,
    `CREATE TABLE ${qualified({ schema: hostile.schema, name: `${hostile.name}_cdc` })} AS SELECT 2 AS a`,
    `INSERT INTO _sluice.tables (address, loaded_generation) VALUES ('s:a.b', 1)`,
    `CREATE TABLE _sluice."held s:a.b" (a INTEGER)`,
  ];

  test('is retired with its rows and the time', async () => {
    await prepare(rows);
    const writer = await openDuckDbWriter(settings(), () => undefined);
    await writer.retireTable(request);
    await writer.close();
    const left = (await ask(
      `SELECT schema_name AS s, table_name AS t, estimated_size::INTEGER AS n FROM duckdb_tables() WHERE schema_name <> '_sluice' ORDER BY t`,
    )) as { s: string; t: string; n: number }[];
    expect(left.map((row) => ({ ...row, t: row.t.replace(/@.*$/, '@time') }))).toEqual([
      { s: '_sluice_retired', t: `${hostile.schema}.${hostile.name}@time`, n: 1 },
      { s: '_sluice_retired', t: `${hostile.schema}.${hostile.name}_cdc@time`, n: 1 },
    ]);
    expect(await ask('SELECT * FROM _sluice.tables')).toEqual([]);
    expect(await ask(`SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 'held %'`)).toEqual([]);
  });

  test('is dropped when that was asked for', async () => {
    await prepare(rows);
    const writer = await openDuckDbWriter(settings(), () => undefined);
    await writer.dropTable(request);
    await writer.close();
    expect(await ask(`SELECT table_name FROM duckdb_tables() WHERE schema_name <> '_sluice'`)).toEqual([]);
  });

  test('moves to its new name and address with all that is recorded of it', async () => {
    await prepare([...rows, `INSERT INTO _sluice.rejected_values (address, key) VALUES ('s:a.b', '{}')`]);
    const writer = await openDuckDbWriter(settings(), () => undefined);
    await writer.moveTable({ from: request, to: { ...request, address: 's:a.c', schema: 'other', name: 'c' } });
    await writer.close();
    expect(await ask('SELECT a FROM other.c UNION ALL SELECT a FROM other.c_cdc')).toEqual([{ a: 1 }, { a: 2 }]);
    expect(await ask('SELECT address, target_schema, target_name FROM _sluice.tables')).toEqual([
      { address: 's:a.c', target_schema: 'other', target_name: 'c' },
    ]);
    expect(await ask('SELECT address FROM _sluice.rejected_values')).toEqual([{ address: 's:a.c' }]);
    expect(await ask(`SELECT table_name AS t FROM duckdb_tables() WHERE table_name LIKE 'held %'`)).toEqual([
      { t: 'held s:a.c' },
    ]);
  });
});

test('a published copy replaces the one before, while a reader keeps what it has open', async () => {
  await prepare(['CREATE TABLE t AS SELECT 1 AS a']);
  const writer = await openDuckDbWriter(settings(), () => undefined);
  const copy = join(folder, 'readers.duckdb');
  await writer.publish(copy);
  const reader = await DuckDBInstance.create(copy, { access_mode: 'READ_ONLY' });
  const connection = await reader.connect();
  await prepare(['INSERT INTO t VALUES (2)']);
  await writer.publish(copy);
  const seen = async (): Promise<unknown> =>
    (await connection.runAndReadAll('SELECT count(*)::INTEGER AS n FROM t')).getRowObjectsJson();
  expect(await seen()).toEqual([{ n: 1 }]);
  connection.closeSync();
  reader.closeSync();
  expect(await ask('SELECT count(*)::INTEGER AS n FROM t', 'readers.duckdb')).toEqual([{ n: 2 }]);
  expect((await readdir(folder)).sort()).toEqual(['readers.duckdb', 'w.duckdb']);
  await writer.close();
});

test.each<{ value: string | number | null; sql: string }>([
  { value: null, sql: 'NULL' },
  { value: "it's", sql: "'it''s'" },
  { value: 5, sql: '5' },
])('literal $value', ({ value, sql }) => expect(literal(value)).toBe(sql));
