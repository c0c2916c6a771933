import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MemoryStore } from '../../../test/fake/memory-store.js';
import { DeltaFormat } from '../delta/delta-format.js';
import { FileCache } from './file-cache.js';
import { Lake } from './lake.js';
import { readLake } from './lake-reader.js';
import { type MaintenanceSurface, maintenanceSurface } from './maintenance-surface.js';

/** Upkeep on a store in memory: what others do in between, and what goes wrong on the way. */

const NOW = new Date('2026-03-02T12:00:00Z');
const LATER = new Date('2026-06-02T12:00:00Z');
const MEMORY = { memoryLimitMb: 128, threads: 1 } as const;
const TABLE = { source: 'shop', schema: 'public', name: 't' } as const;
const WORK = { ...TABLE, thorough: true, now: NOW.toISOString() } as const;
const LOG = 'public/t/_delta_log/';

let root: string;
let store: MemoryStore;
const open: Lake[] = [];

beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'sluice-upkeep-'));
  store = new MemoryStore();
});
afterEach(async () => {
  for (const lake of open.splice(0)) lake.release();
  await rm(root, { recursive: true });
});

/** A process of its own, with its own disk. */
function openLake(
  name: string,
  deletes: 'dv' | 'cow' = 'dv',
): { lake: Lake; upkeep: MaintenanceSurface; format: DeltaFormat } {
  const folder = path.join(root, name);
  const cache = new FileCache(store, path.join(folder, 'cache'), 1e9);
  const tools = { store, cache, folder, targetFileMb: 128, now: () => NOW };
  const maintenance = { smallFileMb: 32, deletedRatio: 0.2, retentionMs: 7 * 86_400_000, clusterByKey: true };
  const format = new DeltaFormat({ deletes, engineInfo: 'test', maintenance }, tools);
  const session = { path: path.join(folder, 'work.duckdb'), ...MEMORY, busyWaitMs: 0 };
  const lake = new Lake({ session, workFolder: folder }, { store, format, onWait: () => undefined, now: () => NOW });
  open.push(lake);
  return { lake, format, upkeep: maintenanceSurface(lake, { store, format, ...maintenance }) };
}

/** Puts rows by their key; null: it goes. */
async function merge(lake: Lake, rows: ReadonlyMap<number, string | null>): Promise<void> {
  const values = [...rows].map(([id, v]) => `(${id}, ${v === null ? 'NULL' : `'${v}'`})`).join(', ');
  const session = await lake.opened();
  await session.run(`CREATE OR REPLACE TEMP TABLE wanted AS SELECT * FROM (VALUES ${values}) t(id, v)`);
  const choose = {
    kind: 'keys',
    keys: 'SELECT id FROM wanted',
    key: ['id'],
    where: null,
    whole: 'none',
    always: [],
  } as const;
  const told = { key: ['id'], identity: ['id'], partitionBy: [] };
  const counted = { address: 'shop:public.t', where: 'true' };
  const window = { schema: 'public', name: 't', mode: 'rows', untouched: 'v IS NULL', told, counted, choose } as const;
  await lake.write('shop', [window], () =>
    session.transaction(async () => {
      await session.run('CREATE SCHEMA IF NOT EXISTS public');
      await session.run('CREATE TABLE IF NOT EXISTS public.t (id INTEGER, v VARCHAR)');
      await session.run('DELETE FROM public.t USING wanted w WHERE t.id = w.id');
      await session.run('INSERT INTO public.t SELECT id, v FROM wanted WHERE v IS NOT NULL');
      await session.run(
        `INSERT INTO _sluice.tables (address, target_schema, target_name, loaded_generation, rows)
         SELECT 'shop:public.t', 'public', 't', 1, 0 WHERE NOT EXISTS (SELECT 1 FROM _sluice.tables)`,
      );
    }),
  );
}

async function rows(): Promise<[number, string][]> {
  const { format } = openLake('reader');
  const workFolder = path.join(root, 'reader');
  const session = await readLake({ ...MEMORY, workFolder }, { store, format }, null);
  try {
    const found = await session.rows<{ id: number; v: string }>('SELECT id, v FROM public.t ORDER BY id');
    return found.map(({ id, v }) => [id, v]);
  } finally {
    session.close();
  }
}

function keys(pattern: RegExp): string[] {
  return [...store.objects.keys()].filter((key) => pattern.test(key));
}

async function filled(lake: Lake, commits = 6): Promise<void> {
  for (let n = 0; n < commits; n += 1)
    await merge(
      lake,
      new Map([
        [n, `v${n}`],
        [n + 100, 'w'],
        [n - 1, null],
      ]),
    );
}

describe('a compaction', () => {
  test('leaves the rows, one file and no deleted row; the next commit follows', async () => {
    const { lake, upkeep } = openLake('one');
    await filled(lake);
    const before = await rows();
    expect(await upkeep.compactTable(WORK)).toMatchObject({
      ...{ kind: 'compacted', addedFiles: 1 },
      health: { files: 1, smallFiles: 1, rows: before.length, deletedRows: 0 },
    });
    expect(await rows()).toEqual(before);
    expect(await upkeep.compactTable(WORK)).toMatchObject({ kind: 'nothing' });
    await merge(lake, new Map([[0, 'again']]));
    expect(await rows()).toEqual(
      [[0, 'again'], ...before.filter(([id]) => id !== 0)].sort((a, b) => Number(a[0]) - Number(b[0])),
    );
  });

  test('gives way to another one, and takes its own files back', async () => {
    const { lake, upkeep } = openLake('one');
    await filled(lake);
    const before = await rows();
    const other = openLake('other');
    await other.lake.opened();
    store.beforePut = async (key) => {
      if (!key.startsWith(LOG)) return;
      store.beforePut = null;
      expect(await other.upkeep.compactTable(WORK)).toMatchObject({ kind: 'compacted' });
    };
    const files = keys(/part-/).length;
    expect(await upkeep.compactTable(WORK)).toMatchObject({ kind: 'given_up' });
    expect(keys(/part-/).length).toBe(files + 1);
    expect(await rows()).toEqual(before);
    expect(await upkeep.compactTable(WORK)).toMatchObject({ kind: 'nothing', health: { files: 1 } });
  });

  test('gives way to rows that come meanwhile, and has the next commit see them', async () => {
    const { lake, upkeep } = openLake('one');
    await filled(lake);
    lake.release();
    const other = openLake('other');
    await other.lake.opened();
    store.beforePut = async (key) => {
      if (!key.startsWith(LOG)) return;
      store.beforePut = null;
      await merge(
        other.lake,
        new Map([
          [5, 'other'],
          [50, 'new'],
        ]),
      );
    };
    expect(await upkeep.compactTable(WORK)).toMatchObject({ kind: 'given_up' });
    const after = new Map(await rows());
    expect([after.get(5), after.get(50)]).toEqual(['other', 'new']);
    await merge(other.lake, new Map([[51, 'newer']]));
    expect(await other.upkeep.compactTable(WORK)).toMatchObject({ kind: 'compacted' });
    expect(new Map(await rows())).toEqual(
      new Map([...after, [51, 'newer']].sort((a, b) => Number(a[0]) - Number(b[0])) as [number, string][]),
    );
  });

  test.each(['request_lost', 'answer_lost'] as const)(
    '%s at its commit: the rows stay what they are',
    async (fault) => {
      const { lake, upkeep } = openLake('one');
      await filled(lake);
      const before = await rows();
      store.beforePut = async (key) => {
        if (key.startsWith(LOG)) store.faults.unshift(fault);
      };
      await upkeep.compactTable(WORK).catch(() => undefined);
      store.beforePut = null;
      store.faults.length = 0;
      expect(await rows()).toEqual(before);
      await merge(lake, new Map([[7, 'seven']]));
      expect(new Map(await rows()).get(7)).toBe('seven');
    },
  );
});

describe('checkpoints', () => {
  test('come with every tenth commit, and a process opens the table from one', async () => {
    const { lake } = openLake('one');
    await filled(lake, 12);
    expect(keys(/checkpoint\.parquet$/)).toEqual([`${LOG}00000000000000000010.checkpoint.parquet`]);
    expect(keys(/_last_checkpoint$/)).toHaveLength(1);
    const before = await rows();
    store.objects.delete(`${LOG}00000000000000000003.json`);
    expect(await rows()).toEqual(before);
  });

  test('that cannot be written hold no commit up, and come with the next', async () => {
    const { lake } = openLake('one');
    await filled(lake, 10);
    store.beforePut = async (key) => {
      if (key.endsWith('_last_checkpoint')) store.faults.unshift('request_lost');
    };
    await merge(lake, new Map([[1, 'x']]));
    expect(keys(/_last_checkpoint$/)).toHaveLength(0);
    store.beforePut = null;
    store.faults.length = 0;
    await merge(lake, new Map([[2, 'x']]));
    expect(keys(/_last_checkpoint$/)).toHaveLength(1);
  });
});

describe('a vacuum', () => {
  test('deletes what was replaced longer ago than the retention, and no younger', async () => {
    const { lake, upkeep } = openLake('one');
    await filled(lake);
    await upkeep.compactTable(WORK);
    const before = await rows();
    const all = keys(/part-|deletion_vector/).length;
    const soon = { ...TABLE, dryRun: false, now: new Date(NOW.getTime() + 86_400_000).toISOString() };
    expect(await upkeep.vacuumTable(soon)).toMatchObject({ files: 0 });
    store.setTime(LATER.toISOString());
    const late = { ...TABLE, now: LATER.toISOString() };
    const dry = await upkeep.vacuumTable({ ...late, dryRun: true });
    expect([dry.files, keys(/part-|deletion_vector/).length]).toEqual([all - 1, all]);
    expect(await upkeep.vacuumTable({ ...late, dryRun: false })).toMatchObject({ files: all - 1 });
    expect(keys(/part-|deletion_vector/)).toHaveLength(1);
    expect(await rows()).toEqual(before);
  });

  test('keeps what a commit of the ledger needs that is not in its table yet', async () => {
    const { lake } = openLake('one');
    await filled(lake);
    store.beforePut = async (key) => {
      if (key.startsWith(LOG)) store.faults.unshift('request_lost', 'request_lost', 'request_lost');
    };
    await merge(lake, new Map([[500, 'pending']])).catch(() => undefined);
    store.beforePut = null;
    store.faults.length = 0;
    const { upkeep } = openLake('other');
    store.setTime(LATER.toISOString());
    await upkeep.vacuumTable({ ...TABLE, dryRun: false, now: LATER.toISOString() });
    expect(new Map(await rows()).get(500)).toBe('pending');
  });

  test('leaves files alone that are not its own', async () => {
    const { lake, upkeep } = openLake('one');
    await filled(lake);
    const body = new Uint8Array([1]);
    const foreign = [
      'public/t/notes.txt',
      'public/t/part-1.csv',
      'public/t/_index/part-0.parquet',
      'public/u/part-1.parquet',
    ];
    for (const key of [...foreign, '_sluice/rejected/shop-eu-1.parquet', 'public/t/part-orphan.parquet']) {
      await store.put(key, body, null);
    }
    store.setTime(LATER.toISOString());
    await upkeep.vacuumTable({ ...TABLE, dryRun: false, now: LATER.toISOString() });
    await upkeep.vacuumSource({ source: 'shop', dryRun: false, now: LATER.toISOString() });
    expect(keys(/orphan/)).toEqual([]);
    expect([...store.objects.keys()]).toEqual(
      expect.arrayContaining([...foreign, '_sluice/rejected/shop-eu-1.parquet']),
    );
  });
});

const doing = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.dictionary(fc.nat(30).map(String), fc.option(fc.constantFrom('a', 'b')), { minKeys: 1, maxKeys: 8 }),
  },
  fc.constantFrom('compact' as const, 'vacuum' as const, 'other process' as const),
);

test.each(['dv', 'cow'] as const)(
  '%s: every live row once, whatever upkeep comes in between',
  async (deletes) => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(doing, { minLength: 2, maxLength: 14 }), async (steps) => {
        store = new MemoryStore();
        run += 1;
        let { lake, upkeep } = openLake(`${run}`, deletes);
        const expected = new Map<number, string>();
        for (const [index, each] of steps.entries()) {
          if (each === 'other process') {
            lake.release();
            ({ lake, upkeep } = openLake(`${run}-${index}`, deletes));
          } else if (each === 'vacuum') {
            store.setTime(LATER.toISOString());
            if (await lake.exists()) await upkeep.vacuumTable({ ...TABLE, dryRun: false, now: LATER.toISOString() });
            store.setTime(NOW.toISOString());
          } else if (each === 'compact') {
            if (await lake.exists()) await upkeep.compactTable(WORK);
          } else {
            const wanted = new Map(Object.entries(each).map(([id, v]): [number, string | null] => [Number(id), v]));
            await merge(lake, wanted);
            for (const [id, v] of wanted) {
              if (v === null) expected.delete(id);
              else expected.set(id, v);
            }
          }
        }
        if (await lake.exists()) expect(await rows()).toEqual([...expected].sort((a, b) => a[0] - b[0]));
        lake.release();
      }),
      { numRuns: 6 },
    );
  },
  60_000,
);
