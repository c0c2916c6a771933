import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TargetTable } from '../target-table.js';
import type { CompareShadow } from '../writer.js';
import { compareShadow } from './compare-shadow.js';
import { DuckDbSession } from './session.js';
import { SHADOW_TABLE } from './shadow.js';

let folder: string;
let session: DuckDbSession;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-compare-'));
  const settings = { path: join(folder, 'w.duckdb'), memoryLimitMb: 256, threads: 1, busyWaitMs: 0 };
  session = await DuckDbSession.open(settings, () => undefined);
});
afterAll(async () => {
  session.close();
  await rm(folder, { recursive: true });
});

/** A table whose columns have the names that the comparison's own tables use. */
const TABLE: TargetTable = {
  address: 's:public.t',
  schema: 'main',
  name: 't',
  method: 'full_table',
  output: 'consolidated',
  deletes: 'hard',
  columns: ['k0', 'kind', 'columns', 'c0', 'n', "it's"].map((name) => ({ name, type: { kind: 'varchar' as const } })),
  key: ['kind', 'columns'],
  metadataPrefix: '_ph_',
  generation: 1,
};

function request(patch: Partial<CompareShadow> = {}): CompareShadow {
  return {
    table: TABLE,
    load: 'verify s:public.t',
    by: 'key',
    surplus: 'extra',
    sample: null,
    limit: 9,
    cancel: new SharedArrayBuffer(4),
    ...patch,
  };
}

async function fill(rows: number): Promise<void> {
  const cells = TABLE.columns.map(({ name }) => `concat('${name.replaceAll("'", "''")}', i) AS "${name}"`).join(', ');
  await session.run(`CREATE OR REPLACE TABLE t AS SELECT ${cells} FROM range(${rows}) r(i)`);
  await session.run(`CREATE OR REPLACE TEMP TABLE ${SHADOW_TABLE} AS SELECT *, true AS __settled FROM t`);
}

async function temporaryTables(): Promise<unknown[]> {
  return session.rows('SELECT table_name FROM duckdb_tables() WHERE temporary');
}

test.each<{ by: 'key' | 'rows'; found: readonly unknown[] }>([
  {
    by: 'key',
    found: [
      {
        kind: 'different',
        row: [
          { column: 'kind', value: 'kind2' },
          { column: 'columns', value: 'columns2' },
        ],
        cells: [
          { column: 'k0', source: 'k02', destination: 'wrong' },
          { column: "it's", source: "it's2", destination: null },
        ],
      },
    ],
  },
  {
    by: 'rows',
    found: [
      {
        kind: 'missing',
        row: ['k02', 'kind2', 'columns2', 'c02', 'n2', "it's2"].map((value, i) => ({
          column: TABLE.columns[i]?.name,
          value,
        })),
        cells: [],
      },
      {
        kind: 'extra',
        row: ['wrong', 'kind2', 'columns2', 'c02', 'n2', null].map((value, i) => ({
          column: TABLE.columns[i]?.name,
          value,
        })),
        cells: [],
      },
    ],
  },
])('by $by, whatever the columns are called', async ({ by, found }) => {
  await fill(3);
  await session.run(`UPDATE t SET k0 = 'wrong', "it's" = NULL WHERE n = 'n2'`);
  const [comparison] = await compareShadow(session, request({ by }));
  expect(comparison?.examples).toEqual(found);
  expect(await temporaryTables()).toEqual([]);
});

test('ends when it is asked to, in the middle of a statement', async () => {
  await fill(1_500_000);
  const asked = request();
  const comparing = compareShadow(session, asked);
  const word = new Int32Array(asked.cancel);
  setTimeout(() => {
    Atomics.store(word, 0, 1);
    Atomics.notify(word, 0);
  }, 20);
  await expect(comparing).rejects.toMatchObject({ code: 'CANCELLED' });
  expect(await temporaryTables()).toEqual([]);
});
