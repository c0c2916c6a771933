import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { DuckDBInstance } from '@duckdb/node-api';
import { tableFromIPC } from 'apache-arrow';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

/** `sluice query` as a process, on a file that DuckDB itself made: what it prints, and how it ends. */

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const CONFIG = `version: 1
connections: {}
destinations: { warehouse: { type: duckdb, path: warehouse.duckdb } }
sources: {}
`;
/** Far less than the answers that are read with it. */
const SMALL_HEAP = { NODE_OPTIONS: '--max-old-space-size=64' };
/** Fails after many rows are out. */
const BREAKS_OFF = "select case when i = 1500000 then error('boom') else i end as i from range(2000000) r(i)";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sluice-query-'));
  await writeFile(path.join(folder, 'sources.yaml'), CONFIG);
  const instance = await DuckDBInstance.create(path.join(folder, 'warehouse.duckdb'));
  const connection = await instance.connect();
  await connection.run('create table numbers as select i from range(10) r(i)');
  connection.closeSync();
  instance.closeSync();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function start(args: readonly string[], env: Readonly<Record<string, string>> = {}): ChildProcess {
  return spawn(process.execPath, [MAIN, 'query', ...args], {
    cwd: folder,
    env: { ...process.env, TZ: 'America/New_York', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

interface Ended {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

async function query(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> {
  const child = start(args, env);
  const parts: Buffer[] = [];
  let stderr = '';
  child.stdout?.on('data', (part: Buffer) => parts.push(part));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  await once(child, 'close');
  return { code: child.exitCode, stdout: Buffer.concat(parts), stderr };
}

test.each<{ sql: string; text: string }>([
  { sql: '1::double', text: '1.0' },
  { sql: '0.1::float', text: '0.1' },
  { sql: "'-0.0'::double", text: '-0.0' },
  { sql: "'nan'::double", text: 'nan' },
  { sql: '170141183460469231731687303715884105727::hugeint', text: '170141183460469231731687303715884105727' },
  // Whatever the zone of the machine.
  { sql: "'2024-07-01 12:00:00+00'::timestamptz", text: '2024-07-01 12:00:00+00' },
  { sql: "{'a': [1.0::double, null]}", text: '"{\'a\': [1.0, NULL]}"' },
  { sql: "map {'k': 'a b'}", text: '{k=a b}' },
  { sql: "'a\"b'", text: '"a""b"' },
  { sql: "''", text: '""' },
  { sql: 'null', text: '' },
])('$sql is printed as $text', async ({ sql, text }) => {
  expect((await query([`select ${sql} as x -- as it is;`, '--format', 'csv'])).stdout.toString()).toBe(
    `x\r\n${text}\r\n`,
  );
});

test.each<{ sql: string; has: string }>([
  { sql: 'from numbers where i < 1;', has: '"rows": [\n    ["0"]\n  ]' },
  { sql: 'show tables', has: '["numbers"]' },
  { sql: 'describe numbers', has: '["i","BIGINT"' },
  { sql: 'explain from numbers', has: '"physical_plan"' },
  { sql: 'pragma version', has: '"library_version"' },
  { sql: 'pivot (select 1 as a, 2 as b) on a using sum(b)', has: '["2"]' },
  { sql: 'select 1 as x, 2 as x', has: '{"name":"x","type":"INTEGER"},{"name":"x","type":"INTEGER"}' },
])('$sql', async ({ sql, has }) => {
  const ran = await query([sql, '--format', 'json']);
  expect(ran.stderr).toBe('');
  expect(JSON.parse(ran.stdout.toString())).toMatchObject({ format_version: 1 });
  expect(ran.stdout.toString()).toContain(has);
});

describe.each(['csv', 'json', 'human', 'arrow'])('%s', (format) => {
  test('of an answer that is larger than the memory', async () => {
    // Few rows and wide ones: what counts is bytes.
    const sql = "select i, repeat('x', 4000) || i as t from range(30000) r(i)";
    const child = start([sql, '--format', format], SMALL_HEAP);
    let bytes = 0;
    child.stdout?.on('data', (part: Buffer) => {
      bytes += part.length;
    });
    await once(child, 'close');
    expect(child.exitCode).toBe(0);
    expect(bytes).toBeGreaterThan(100_000_000);
  });

  test('that breaks off ends with its reason', async () => {
    const ran = await query([BREAKS_OFF, '--format', format]);
    expect(ran.code).toBe(1);
    expect(ran.stdout.length).toBeGreaterThan(100_000);
    if (format === 'json') {
      expect(JSON.parse(ran.stdout.toString())).toMatchObject({ error: { code: 'QUERY_FAILED' } });
    } else {
      expect(ran.stderr).toContain('error QUERY_FAILED: Invalid Input Error: boom');
    }
  });

  test('ends when nobody reads on', async () => {
    const child = start(['from range(1000000000000)', '--format', format]);
    child.stdout?.once('data', () => child.stdout?.destroy());
    await once(child, 'close');
    expect(child.exitCode).toBe(0);
  });

  test('a statement that DuckDB does not take', async () => {
    const ran = await query(['selec 1', '--format', format]);
    expect(ran.code).toBe(1);
    expect(`${ran.stdout}${ran.stderr}`).toContain('(LINE 1: selec 1)');
  });
});

test('an Arrow stream has typed columns', async () => {
  const sql = "select 1.50::decimal(9,2) as d, '2024-07-01 12:00:00+00'::timestamptz as t, [1, null] as l";
  const ran = await query([sql, '--format', 'arrow']);
  const table = tableFromIPC(ran.stdout);
  expect(table.schema.fields.map(({ name, type }) => `${name} ${type}`)).toEqual([
    'd Decimal[9e+2]',
    't Timestamp<MICROSECOND, UTC>',
    'l List<Int32>',
  ]);
  expect(table.getChild('t')?.get(0)).toBe(Date.parse('2024-07-01T12:00:00Z'));
});
