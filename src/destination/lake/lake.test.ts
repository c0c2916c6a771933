import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MemoryStore, type PutFault } from '../../../test/fake/memory-store.js';
import { SluiceError } from '../../error/sluice-error.js';
import { DeltaFormat } from '../delta/delta-format.js';
import { FileCache } from './file-cache.js';
import { Lake } from './lake.js';
import { readLake } from './lake-reader.js';
import type { TableFormat } from './table-format.js';

/**
 * The lake under a random history: rows come, change and go, requests and answers are lost, the process dies with or
 * without its disk. After every step that was told to have worked, the table holds what a plain map holds.
 */

let root: string;
beforeAll(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'sluice-lake-'));
});
afterAll(async () => {
  await rm(root, { recursive: true });
});

const NOW = new Date('2026-03-02T12:00:00Z');
const MEMORY = { memoryLimitMb: 128, threads: 1 } as const;

class World {
  readonly store: MemoryStore;
  readonly #deletes: 'dv' | 'cow';
  #folders = 0;
  #folder = '';
  #lake: Lake | null = null;

  constructor(deletes: 'dv' | 'cow', store = new MemoryStore()) {
    this.#deletes = deletes;
    this.store = store;
    this.otherDisk();
  }

  #format(folder: string): TableFormat {
    const cache = new FileCache(this.store, path.join(folder, 'cache'), 1e9, 0);
    const tools = { store: this.store, cache, folder, targetFileMb: 128, now: () => NOW };
    const maintenance = { smallFileMb: 32, deletedRatio: 0.2, retentionMs: 1_000, clusterByKey: true };
    return new DeltaFormat({ deletes: this.#deletes, engineInfo: 'test', maintenance }, tools);
  }

  get lake(): Lake {
    const session = { path: path.join(this.#folder, 'work.duckdb'), ...MEMORY, busyWaitMs: 0 };
    this.#lake ??= new Lake(
      { session, workFolder: this.#folder },
      { store: this.store, format: this.#format(this.#folder), onWait: () => undefined, now: () => NOW },
    );
    return this.#lake;
  }

  /** The process ends. */
  otherProcess(): void {
    this.#lake?.release();
    this.#lake = null;
  }

  otherDisk(): void {
    this.otherProcess();
    this.#folders += 1;
    this.#folder = path.join(root, `${Date.now()}-${Math.random()}-${this.#folders}`);
  }

  /**
   * Merges rows by key into the one table, which is made when it is not there.
   * @param asked keys that are pulled as well and then left alone
   */
  async merge(rows: ReadonlyMap<number, string | null>, asked: readonly number[] = []): Promise<void> {
    const values = [...rows].map(([id, v]) => `(${id}, ${v === null ? 'NULL' : `'${v}'`})`).join(', ');
    const session = await this.lake.opened();
    await session.run(`CREATE OR REPLACE TEMP TABLE wanted AS SELECT * FROM (VALUES ${values}) t(id, v)`);
    const keys = ['SELECT id FROM wanted', ...asked.map((id) => `SELECT ${id}`)].join(' UNION ');
    const place = { schema: 'public', name: 't' };
    await this.lake.write(
      'shop',
      [
        {
          ...{
            ...place,
            mode: 'rows',
            told: { key: ['id'], identity: ['id'], partitionBy: [] },
            untouched: 'v IS NULL',
          },
          counted: { address: 'shop:public.t', where: 'true' },
          choose: {
            ...{ kind: 'keys', keys, key: ['id'], where: null, whole: 'none', always: [] },
          },
        },
      ],
      () =>
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

  async rows(): Promise<Map<number, string>> {
    const folder = path.join(root, 'reader');
    const format = this.#format(folder);
    const session = await readLake({ ...MEMORY, workFolder: folder }, { store: this.store, format }, null);
    try {
      const [known] = await session.rows<{ n: string }>(
        "SELECT count(*) AS n FROM duckdb_views() WHERE view_name = 't'",
      );
      if (known?.n !== '1') return new Map();
      const rows = await session.rows<{ id: number; v: string }>('SELECT id, v FROM public.t ORDER BY id');
      expect(new Set(rows.map(({ id }) => id)).size).toBe(rows.length);
      return new Map(rows.map(({ id, v }) => [id, v]));
    } finally {
      session.close();
    }
  }
}

interface Step {
  readonly rows: ReadonlyMap<number, string | null>;
  /** One for each of the next PUTs. */
  readonly faults: readonly (PutFault | null)[];
  readonly before: 'goes on' | 'other process' | 'other disk';
  readonly asked: readonly number[];
  /** The tables' logs cannot be written, although the ledger can; the next to come has to finish what it says. */
  readonly logsDown: boolean;
}

const step = fc.record<Step>({
  rows: fc
    .array(fc.tuple(fc.nat(30), fc.option(fc.string({ unit: fc.constantFrom('a', 'b', 'ü'), maxLength: 3 }))), {
      minLength: 1,
      maxLength: 12,
    })
    .map((pairs) => new Map(pairs)),
  faults: fc.array(
    fc.oneof({ weight: 4, arbitrary: fc.constant(null) }, fc.constantFrom<PutFault>('request_lost', 'answer_lost')),
    { maxLength: 6 },
  ),
  before: fc.constantFrom('goes on', 'goes on', 'other process', 'other disk'),
  asked: fc.array(fc.nat(30), { maxLength: 4 }),
  logsDown: fc.oneof({ weight: 3, arbitrary: fc.constant(false) }, fc.constant(true)),
});

function remember(expected: Map<number, string>, rows: ReadonlyMap<number, string | null>): void {
  for (const [id, v] of rows) {
    if (v === null) expected.delete(id);
    else expected.set(id, v);
  }
}

function sorted(rows: ReadonlyMap<number, string>): Map<number, string> {
  return new Map([...rows].sort((a, b) => a[0] - b[0]));
}

describe.each(['dv', 'cow'] as const)('deletes: %s', (deletes) => {
  test('every change once, whatever is lost on the way', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 8 }), async (steps) => {
        const world = new World(deletes);
        const expected = new Map<number, string>();
        let made = false;
        try {
          for (const { rows, asked, faults, before, logsDown } of steps) {
            if (before === 'other process') world.otherProcess();
            if (before === 'other disk') world.otherDisk();
            if (logsDown) {
              world.store.beforePut = async (key) => {
                if (key.includes('_delta_log')) throw new SluiceError({ code: 'STORE_UNREACHABLE', message: 'down' });
              };
              // Keys that are not there cannot go: then no log is written.
              const changes = !made || [...rows].some(([id, v]) => v !== null || expected.has(id));
              const merged = world.merge(rows, asked);
              if (changes) await expect(merged).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' });
              else await expect(merged).resolves.toBeUndefined();
              made = true;
              world.store.beforePut = null;
              remember(expected, rows);
              if (faults.length % 2 === 0) world.otherDisk();
              await world.lake.opened();
              expect(await world.rows()).toEqual(sorted(expected));
              continue;
            }
            world.store.faults.splice(0, world.store.faults.length, ...faults);
            // What failed is done again until it works, as a sync does; a change by key may be done twice.
            for (let attempt = 1; ; attempt += 1) {
              try {
                await world.merge(rows, asked);
                break;
              } catch (error) {
                if (!(error instanceof SluiceError) || error.code !== 'STORE_UNREACHABLE' || attempt > 10) throw error;
              }
            }
            made = true;
            remember(expected, rows);
            world.store.faults.length = 0;
            expect(await world.rows()).toEqual(sorted(expected));
          }
        } finally {
          world.otherProcess();
        }
      }),
      { numRuns: 12 },
    );
  }, 120_000);

  test('a table whose first commit is not in its log yet is not there for readers, and one that was removed is missed', async () => {
    const world = new World(deletes);
    world.store.beforePut = async (key) => {
      if (key.includes('_delta_log')) throw new SluiceError({ code: 'STORE_UNREACHABLE', message: 'down' });
    };
    await expect(world.merge(new Map([[1, 'a']]))).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' });
    expect(await world.rows()).toEqual(new Map());
    world.store.beforePut = null;
    await world.merge(new Map([[2, 'b']]));
    expect(await world.rows()).toEqual(
      new Map([
        [1, 'a'],
        [2, 'b'],
      ]),
    );
    for (const key of [...world.store.objects.keys()]) if (key.startsWith('public/t/')) await world.store.delete([key]);
    await expect(world.rows()).rejects.toMatchObject({ code: 'STORE_OBJECT_MISSING' });
    world.otherProcess();
  });

  test('of two writers the late one is fenced and changes nothing', async () => {
    const world = new World(deletes);
    await world.merge(new Map([[1, 'a']]));
    const late = new World(deletes, world.store);
    await late.merge(new Map([[2, 'b']]));
    const fenced = world.merge(new Map([[3, 'c']]));
    await expect(fenced).rejects.toMatchObject({ code: 'LAKE_FENCED' });
    const both = [
      [1, 'a'],
      [2, 'b'],
    ] as const;
    expect(await world.rows()).toEqual(new Map(both));
    // It goes on from what the other one wrote.
    await world.merge(new Map([[3, 'c']]));
    expect(await world.rows()).toEqual(new Map([...both, [3, 'c']]));
    world.otherProcess();
    late.otherProcess();
  });
});
