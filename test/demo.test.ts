import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compareAll, isEqual, type Verdict } from '../examples/demo/compare.js';
import { duckDbFile, openDuckDbFile } from '../examples/demo/destination.js';
import { startPostgres, type TestPostgres } from './postgres/server.js';

const TSX = path.resolve('node_modules/tsx/dist/cli.mjs');

/** Runs the demo without a terminal, as `npm run demo` does after the build. */
async function runDemo(args: readonly string[], onText?: (text: string, pid: number) => void) {
  const child = spawn(process.execPath, [TSX, 'examples/demo/main.ts', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      onText?.(output, child.pid ?? 0);
    });
  }
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, output, folder: /This is (\S+)[/]sources\.yaml/.exec(output)?.[1] ?? '' };
}

test.each([
  { name: 'DuckDB', option: [], verdict: 'DuckDB and Postgres agree' },
  { name: 'a lake', option: ['--lake'], verdict: 'The lake and Postgres agree' },
])('the demo ends with $name equal to Postgres and leaves nothing behind', { timeout: 300_000 }, async (c) => {
  const { code, output, folder } = await runDemo([...c.option, '--seconds', '1']);
  expect(output).toContain(c.verdict);
  expect(code).toBe(0);
  expect(path.basename(folder)).toMatch(/^sluice-demo-/);
  expect(existsSync(folder)).toBe(false);
});

test('a signal ends the demo and it cleans up', { timeout: 120_000 }, async () => {
  let sent = false;
  const { code, output, folder } = await runDemo([], (text, pid) => {
    if (sent || !text.includes('$ sluice plan')) return;
    sent = true;
    process.kill(pid, 'SIGTERM');
  });
  expect(output).toContain('Stopped: Postgres is gone and the folder is removed.');
  expect(code).toBe(143);
  expect(folder).not.toBe('');
  expect(existsSync(folder)).toBe(false);
});

describe('the comparison at the end', () => {
  let postgres: TestPostgres;
  let client: pg.Client;
  let folder: string;
  let files = 0;

  beforeAll(async () => {
    postgres = await startPostgres({ major: 17 });
    client = await postgres.client();
    await client.query(`
      create table goods (id int, part int, price numeric(8,2), sold timestamptz, tags text[], extra jsonb, weight float8,
        raw bytea, host inet, primary key (part, id));
      insert into goods values
        (1, 1, 10.50, '2024-02-29 12:00:00.123456+02', array['a "b"', null], '{"k": 1.50}', 1e20, '\\x00ff', '10.0.0.1'),
        (2, 1, null, null, '{}', null, null, null, null)`);
    folder = await mkdtemp(path.join(tmpdir(), 'sluice-compare-'));
  });

  afterAll(async () => {
    await client?.end();
    await postgres?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** Compares after `sql` has spoilt a faithful copy; the second verdict is the history's. */
  async function verdictsAfter(sql: string): Promise<readonly Verdict[]> {
    files += 1;
    const file = path.join(folder, `${files}.duckdb`);
    const instance = await DuckDBInstance.create(file);
    const connection = await instance.connect();
    await connection.run(`SET TimeZone = 'UTC'; CREATE SCHEMA public;
      CREATE TABLE public.goods (id INTEGER, part INTEGER, price DECIMAL(8,2), sold TIMESTAMPTZ, tags VARCHAR[], extra JSON,
        weight DOUBLE, raw BLOB, host VARCHAR, _ph_deleted BOOLEAN, _ph_cdc_lsn BIGINT, _ph_cdc_seq BIGINT);
      INSERT INTO public.goods VALUES
        (1, 1, 10.5, '2024-02-29 10:00:00.123456+00', ['a "b"', NULL], '{"k": 1.50}', 1e20, '\\x00\\xFF', '10.0.0.1', false, 1, 0),
        (2, 1, NULL, NULL, [], NULL, NULL, NULL, NULL, false, 1, 1),
        (3, 1, 1, NULL, [], NULL, NULL, NULL, NULL, true, 2, 0);
      CREATE TABLE public.goods_cdc AS SELECT *, TIMESTAMPTZ '2024-01-02' AS valid_from, NULL::TIMESTAMPTZ AS valid_to FROM public.goods;
      INSERT INTO public.goods_cdc SELECT * REPLACE (0 AS _ph_cdc_lsn, TIMESTAMPTZ '2024-01-01' AS valid_from,
        TIMESTAMPTZ '2024-01-02' AS valid_to) FROM public.goods_cdc WHERE id = 1;
      ${sql}`);
    connection.closeSync();
    instance.closeSync();
    return compareAll(client, { ...duckDbFile, open: () => openDuckDbFile(file) }, folder, [
      { table: 'goods', excluded: [], streamed: true, history: true },
    ]);
  }

  test('finds a faithful copy equal, in every column type', async () => {
    const [table, history] = await verdictsAfter('');
    expect(table).toMatchObject({ postgresRows: 2, destinationRows: 2, comparedValues: 18, examples: [] });
    expect(history?.versions).toEqual({ all: 4, broken: 0 });
    expect([table, history].every((verdict) => verdict !== undefined && isEqual(verdict))).toBe(true);
  });

  test.each([
    { name: 'a lost row', sql: 'DELETE FROM public.goods WHERE id = 2', table: { missing: 1 } },
    { name: 'a row that was deleted', sql: 'UPDATE public.goods SET _ph_deleted = false', table: { extra: 1 } },
    { name: 'a row twice', sql: 'INSERT INTO public.goods FROM public.goods WHERE id = 1', table: { extra: 1 } },
    { name: 'a cent', sql: 'UPDATE public.goods SET price = 10.49 WHERE id = 1', table: { differing: 1 } },
    {
      name: 'a microsecond',
      sql: `UPDATE public.goods SET sold = sold + INTERVAL 1 microsecond`,
      table: { differing: 1 },
    },
    { name: 'an empty text for NULL', sql: `UPDATE public.goods SET host = '' WHERE id = 2`, table: { differing: 1 } },
    {
      name: 'NULL for an empty list',
      sql: 'UPDATE public.goods SET tags = NULL WHERE id = 2',
      table: { differing: 1 },
    },
    {
      name: 'json written anew',
      sql: `UPDATE public.goods SET extra = '{"k": 1.5}' WHERE id = 1`,
      table: { differing: 1 },
    },
    {
      name: 'a float one step off',
      sql: 'UPDATE public.goods SET weight = 100000000000000016384',
      table: { differing: 2 },
    },
    {
      name: 'a version that ends too early',
      sql: `UPDATE public.goods_cdc SET valid_to = '2024-01-01 23:00:00+00' WHERE valid_to IS NOT NULL`,
      history: { versions: { all: 4, broken: 1 } },
    },
    {
      name: 'two current versions',
      sql: 'UPDATE public.goods_cdc SET valid_to = NULL',
      history: { extra: 1, versions: { all: 4, broken: 1 } },
    },
    {
      name: 'a stale current version',
      sql: 'UPDATE public.goods_cdc SET price = 3 WHERE id = 1',
      history: { differing: 1 },
    },
  ])('notices $name', async ({ sql, table, history }) => {
    const [current, versions] = await verdictsAfter(sql);
    if (table !== undefined) expect(current).toMatchObject(table);
    if (history !== undefined) expect(versions).toMatchObject(history);
    expect([current, versions].map((verdict) => verdict !== undefined && isEqual(verdict))).toEqual([
      table === undefined,
      history === undefined,
    ]);
  });
});
