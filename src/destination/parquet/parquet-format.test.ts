import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MemoryStore, type PutFault } from '../../../test/fake/memory-store.js';
import { DuckDbSession } from '../duckdb/session.js';
import { FileCache } from '../lake/file-cache.js';
import type { LakeColumn, PendingCommit } from '../lake/ledger.js';
import type { RowChoice, TableChange } from '../lake/table-format.js';
import type { Expired } from './expiry.js';
import { decodeManifest, type Manifest } from './manifest.js';
import { ParquetFormat } from './parquet-format.js';
import { ParquetUpkeep } from './upkeep.js';

const FOLDER = 'public/users';
const APPLICATION = 'sluice-a';
const COLUMNS: readonly LakeColumn[] = [
  { name: 'id', type: 'BIGINT' },
  { name: 'name', type: 'VARCHAR' },
];
const DAY_MS = 86_400_000;
const KNOWN = { folder: FOLDER, application: APPLICATION, version: null };

type Row = readonly [id: number, name: string | null];

/** One table of a lake in memory, and what Lake does with it. */
class World {
  readonly store = new MemoryStore();
  readonly session: DuckDbSession;
  readonly format: ParquetFormat;
  readonly #folder: string;
  #serial = 0;
  #views = 0;
  now = new Date('2026-03-02T12:00:00Z');

  private constructor(session: DuckDbSession, folder: string) {
    this.session = session;
    this.#folder = folder;
    this.format = this.another();
  }

  static async create(): Promise<World> {
    const folder = await mkdtemp(path.join(tmpdir(), 'sluice-parquet-'));
    const settings = { path: ':memory:', memoryLimitMb: 256, threads: 2, busyWaitMs: 0 };
    const world = new World(await DuckDbSession.open(settings, () => undefined), folder);
    await world.session.run('CREATE TABLE incoming (id BIGINT, name VARCHAR)');
    return world;
  }

  /** As another process has it. */
  another(): ParquetFormat {
    const cache = new FileCache(this.store, path.join(this.#folder, 'cache'), 1 << 30);
    return new ParquetFormat({
      ...{ store: this.store, cache, folder: this.#folder, targetFileMb: 16 },
      now: () => this.now,
    });
  }

  async remove(): Promise<void> {
    this.session.close();
    await rm(this.#folder, { recursive: true, force: true });
  }

  setTime(time: string): void {
    this.now = new Date(time);
    this.store.setTime(time);
  }

  /** Takes out the rows with these keys and brings others. */
  async prepare(
    change: Partial<Omit<TableChange, 'rows' | 'pulled'>> & { readonly gone?: readonly number[] },
    rows: readonly Row[],
  ): Promise<PendingCommit> {
    const { gone = [], ...rest } = change;
    this.#serial += 1;
    const keys = [...gone, ...rows.map(([id]) => id)];
    const pulls = (change.kind ?? 'rows') === 'rows' && change.identity?.length !== 0 && keys.length > 0;
    const choose: RowChoice = { ...KEYED, keys: `SELECT unnest([${keys.join(', ')}]) AS id` };
    const pulled = pulls
      ? await this.format.pull(this.session, { table: KNOWN, columns: COLUMNS, into: 'pulled', choose })
      : null;
    await this.session.run('DELETE FROM incoming');
    if (rows.length > 0) {
      const values = rows.map(([id, name]) => `(${id}, ${name === null ? 'NULL' : `'${name}'`})`);
      await this.session.run(`INSERT INTO incoming VALUES ${values.join(', ')}`);
    }
    return this.format.prepare(this.session, {
      ...{ table: KNOWN, serial: this.#serial, columns: COLUMNS, kind: 'rows', key: ['id'], identity: ['id'] },
      partitionBy: [],
      ...{ overwriteForeign: false, operation: 'WRITE', ...rest, pulled, rows: 'incoming' },
    });
  }

  async commit(change: Parameters<World['prepare']>[0], rows: readonly Row[]): Promise<number | null> {
    return this.format.publish(this.session, await this.prepare(change, rows));
  }

  async rows(format: ParquetFormat = this.another(), columns = COLUMNS): Promise<unknown[]> {
    const place = { schema: 'views', name: `v${this.#views}` };
    this.#views += 1;
    await format.view(this.session, { table: KNOWN, columns, place });
    const rows = await this.session.rows(`SELECT * FROM views.${place.name} ORDER BY ALL`);
    return rows.map((row) => Object.values(row));
  }

  async manifest(): Promise<Manifest> {
    const object = await this.store.get(`${FOLDER}/latest.json`);
    if (object === null) throw new Error('there is no manifest');
    return decodeManifest(object.body, 'latest.json');
  }

  expire(retentionMs = 7 * DAY_MS, dryRun = false): Promise<Expired> {
    return this.format.expire(KNOWN, { retentionMs, now: this.now, dryRun });
  }

  dataFiles(): string[] {
    return [...this.store.objects.keys()].filter((key) => key.endsWith('.parquet')).sort();
  }
}

const KEYED = { kind: 'keys', key: ['id'], where: null, whole: 'all', always: [] } as const;
const ALWAYS = { changedRatio: 0, changeFiles: 1 };
const CREATE = { kind: 'create' } as const;
const REPLACE = { kind: 'replace' } as const;

let world: World;
beforeEach(async () => {
  world = await World.create();
});
afterEach(() => world.remove());

describe('a table', () => {
  test('is its snapshot with the changes over it', async () => {
    expect(
      await world.commit(CREATE, [
        [1, 'a'],
        [2, 'b'],
        [3, 'c'],
      ]),
    ).toBe(1);
    expect(
      await world.commit({}, [
        [2, 'B'],
        [4, null],
      ]),
    ).toBe(2);
    expect(await world.commit({ gone: [3] }, [[1, 'A']])).toBe(3);
    expect(await world.rows()).toEqual([
      ['1', 'A'],
      ['2', 'B'],
      ['4', null],
    ]);
    const { snapshot, changes, files, commit } = await world.manifest();
    expect({ commit, generation: snapshot.generation, rows: snapshot.files[0]?.rows }).toEqual({
      commit: 3,
      generation: 1,
      rows: 3,
    });
    expect(changes.map(({ first, last, rows }) => [first, last, rows])).toEqual([
      [2, 2, 2],
      [3, 3, 2],
    ]);
    expect(changes[0]?.path).toMatch(/^changes\/dt=2026-03-02\/000000000002-000000000002-[0-9a-f]{8}-0\.parquet$/);
    expect(files.map((file) => `${FOLDER}/${file}`).sort()).toEqual(world.dataFiles());
  });

  test('without rows has a file that tells its columns', async () => {
    await world.commit(CREATE, []);
    expect(await world.rows()).toEqual([]);
    expect((await world.manifest()).files).toHaveLength(1);
  });

  test('takes a row back that was removed', async () => {
    await world.commit(CREATE, [[1, 'a']]);
    await world.commit({ gone: [1] }, []);
    expect(await world.rows()).toEqual([]);
    await world.commit({}, [[1, 'again']]);
    expect(await world.rows()).toEqual([['1', 'again']]);
  });

  test('without an identity keeps rows that are alike', async () => {
    await world.commit({ ...CREATE, identity: [] }, [[1, 'a']]);
    await world.commit({ identity: [] }, [
      [1, 'a'],
      [1, 'b'],
    ]);
    expect(await world.rows()).toEqual([
      ['1', 'a'],
      ['1', 'a'],
      ['1', 'b'],
    ]);
  });

  test('has NULL in a column that came later', async () => {
    await world.commit(CREATE, [[1, 'a']]);
    const columns = [...COLUMNS, { name: 'age', type: 'INTEGER' }];
    await world.session.run('ALTER TABLE incoming ADD COLUMN age INTEGER');
    await world.session.run('DELETE FROM incoming');
    const nothing = { serial: 2, columns, pulled: null, rows: 'incoming', operation: 'ADD COLUMNS' };
    const names = { key: ['id'], identity: ['id'], partitionBy: [] };
    const shared = { table: KNOWN, kind: 'rows', ...names, overwriteForeign: false } as const;
    await world.format.publish(world.session, await world.format.prepare(world.session, { ...shared, ...nothing }));
    expect(await world.rows(world.another(), columns)).toEqual([['1', 'a', null]]);
    const { changes, columns: told } = await world.manifest();
    expect({ rows: changes[0]?.rows, told }).toEqual({ rows: 0, told: columns });
  });

  test('is dropped with all of its files', async () => {
    await world.commit(CREATE, [[1, 'a']]);
    await world.commit({}, [[2, 'b']]);
    await world.store.put('public/users_cdc/latest.json', new Uint8Array(1), null);
    expect(await world.commit({ kind: 'drop' }, [])).toBeNull();
    expect([...world.store.objects.keys()]).toEqual(['public/users_cdc/latest.json']);
  });

  test('may not have the columns that files have beside its own', async () => {
    const columns = [{ name: '_Sluice_Commit', type: 'BIGINT' }];
    await expect(world.commit({ ...CREATE, columns }, [])).rejects.toMatchObject({ code: 'PARQUET_COLUMN_RESERVED' });
  });
});

describe('rows are pulled', () => {
  const EVEN = `SELECT unnest([2, 4]) AS id`;

  test.each<{ name: string; choose: RowChoice; rows: unknown[] }>([
    {
      name: 'all',
      choose: { kind: 'all' },
      rows: [
        ['1', 'A'],
        ['2', 'b'],
        ['4', 'd'],
      ],
    },
    {
      name: 'by their keys',
      choose: { ...KEYED, keys: EVEN },
      rows: [
        ['2', 'b'],
        ['4', 'd'],
      ],
    },
    {
      name: 'by their keys, and a condition on what they are now',
      choose: { ...KEYED, keys: 'SELECT 1::BIGINT AS id', where: "name = 'a'" },
      rows: [],
    },
    {
      name: 'with only what tells them apart',
      choose: { ...KEYED, keys: EVEN, whole: 'none' },
      rows: [
        ['2', null],
        ['4', null],
      ],
    },
    { name: 'with other keys', choose: { kind: 'other_keys', keys: EVEN, key: ['id'] }, rows: [['1', 'A']] },
    {
      name: 'by a condition',
      choose: { kind: 'where', where: "name > 'a'" },
      rows: [
        ['2', 'b'],
        ['4', 'd'],
      ],
    },
  ])('$name', async ({ choose, rows }) => {
    await world.commit(CREATE, [
      [1, 'a'],
      [2, 'b'],
      [3, 'c'],
    ]);
    await world.commit({ gone: [3] }, [
      [1, 'A'],
      [4, 'd'],
    ]);
    const pulled = await world.format.pull(world.session, { table: KNOWN, columns: COLUMNS, into: 'found', choose });
    const found = await world.session.rows('SELECT * FROM found ORDER BY id');
    expect(found.map((row) => Object.values(row))).toEqual(rows);
    expect(pulled.rows).toBe(rows.length);
  });
});

describe('a commit', () => {
  test('that is published again is there once', async () => {
    await world.commit(CREATE, [[1, 'a']]);
    const pending = await world.prepare({ identity: [] }, [[2, 'b']]);
    expect(await world.format.publish(world.session, pending)).toBe(2);
    // As the next process does, which knows of it from the ledger.
    const stored: PendingCommit = JSON.parse(JSON.stringify(pending));
    expect(await world.another().publish(world.session, stored)).toBe(2);
    expect(await world.format.publish(world.session, stored)).toBe(2);
    expect(await world.rows()).toEqual([
      ['1', 'a'],
      ['2', 'b'],
    ]);
    expect((await world.manifest()).changes).toHaveLength(1);
  });

  test.each<{ name: string; fault: PutFault }>([
    { name: 'whose answer was lost is found again', fault: 'answer_lost' },
    { name: 'that its own retry made a refusal of is found again', fault: 'answer_becomes_refusal' },
  ])('$name', async ({ fault }) => {
    await world.commit(CREATE, [[1, 'a']]);
    const pending = await world.prepare({}, [[2, 'b']]);
    world.store.faults.push(fault);
    expect(await world.format.publish(world.session, pending)).toBe(2);
    expect((await world.manifest()).changes).toHaveLength(1);
  });

  test('that never arrived is not there, and is made the next time', async () => {
    await world.commit(CREATE, [[1, 'a']]);
    const pending = await world.prepare({}, [[2, 'b']]);
    world.store.faults.push('request_lost');
    await expect(world.format.publish(world.session, pending)).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' });
    expect(await world.rows()).toEqual([['1', 'a']]);
    expect(await world.another().publish(world.session, pending)).toBe(2);
    expect(await world.rows()).toEqual([
      ['1', 'a'],
      ['2', 'b'],
    ]);
  });

  test('is not seen before it is published', async () => {
    await world.commit(CREATE, [[1, 'a']]);
    await world.prepare(REPLACE, [[9, 'z']]);
    expect(await world.rows()).toEqual([['1', 'a']]);
  });

  test('over what somebody else wrote is refused, unless a load was asked for', async () => {
    await world.commit(CREATE, [[1, 'a']]);
    const pending = await world.prepare({}, [[2, 'b']]);
    const mine = await world.manifest();
    const theirs = { ...mine, application: 'sluice-b', commit: 9 };
    await world.store.put(`${FOLDER}/latest.json`, new TextEncoder().encode(JSON.stringify(theirs)), null);
    const refused = { code: 'PARQUET_FOREIGN_WRITE' };
    await expect(world.format.publish(world.session, pending)).rejects.toMatchObject(refused);
    await expect(world.another().publish(world.session, pending)).rejects.toMatchObject(refused);
    await expect(world.commit(REPLACE, [[3, 'c']])).rejects.toMatchObject(refused);
    await expect(world.commit(CREATE, [[3, 'c']])).rejects.toMatchObject({ code: 'DESTINATION_OCCUPIED' });
    await expect(world.format.refuseOccupied(world.session, FOLDER)).rejects.toMatchObject({
      code: 'DESTINATION_OCCUPIED',
    });
    expect(await world.commit({ ...REPLACE, overwriteForeign: true }, [[3, 'c']])).toBe(10);
    expect(await world.rows()).toEqual([['3', 'c']]);
  });

  const ALL = { table: KNOWN, columns: COLUMNS, into: 'found', choose: { kind: 'all' } } as const;

  test('over what somebody else wrote keeps their rows, where a load was asked for that keeps some', async () => {
    await world.commit(CREATE, [[1, 'a']]);
    const theirs = { ...(await world.manifest()), application: 'sluice-b', commit: 9 };
    await world.store.put(`${FOLDER}/latest.json`, new TextEncoder().encode(JSON.stringify(theirs)), null);
    await expect(world.format.pull(world.session, ALL)).rejects.toMatchObject({ code: 'PARQUET_FOREIGN_WRITE' });
    expect(await world.format.pull(world.session, { ...ALL, overwriteForeign: true })).toMatchObject({ rows: 1 });
    expect(await world.commit({ identity: [], overwriteForeign: true }, [[2, 'b']])).toBe(10);
    expect(await world.rows()).toEqual([
      ['1', 'a'],
      ['2', 'b'],
    ]);
    expect(await world.manifest()).toMatchObject({ application: KNOWN.application, commit: 10 });
  });

  test('to a table that somebody removed makes it anew, where a load was asked for', async () => {
    await world.commit(CREATE, [[1, 'a']]);
    await world.store.delete([`${FOLDER}/latest.json`]);
    await expect(world.format.pull(world.session, ALL)).rejects.toMatchObject({ code: 'PARQUET_MANIFEST_CORRUPT' });
    expect(await world.format.pull(world.session, { ...ALL, overwriteForeign: true })).toMatchObject({ rows: 0 });
    expect(await world.session.rows('SELECT * FROM found')).toEqual([]);
    expect(await world.commit({ identity: [], overwriteForeign: true }, [[2, 'b']])).toBe(1);
    expect(await world.rows()).toEqual([['2', 'b']]);
  });

  test('to a table whose manifest was put back is refused', async () => {
    await world.commit(CREATE, [[1, 'a']]);
    const before = await world.manifest();
    await world.commit({}, [[2, 'b']]);
    await world.store.put(`${FOLDER}/latest.json`, new TextEncoder().encode(JSON.stringify(before)), null);
    const table = { ...KNOWN, version: 2 };
    const pull = { table, columns: COLUMNS, into: 'found', choose: { kind: 'all' } } as const;
    await expect(world.format.pull(world.session, pull)).rejects.toMatchObject({ code: 'PARQUET_FOREIGN_WRITE' });
  });
});

describe('a compaction', () => {
  test('puts a snapshot in the place of the changes, and the table stays as it is', async () => {
    await world.commit(CREATE, [
      [1, 'a'],
      [2, 'b'],
    ]);
    await world.commit({ gone: [1] }, [[3, 'c']]);
    expect(await world.format.compact(world.session, KNOWN, ALWAYS)).toBe(true);
    expect(await world.rows()).toEqual([
      ['2', 'b'],
      ['3', 'c'],
    ]);
    const { commit, snapshot, changes, retired } = await world.manifest();
    expect({ commit, of: snapshot.commit, generation: snapshot.generation, changes }).toEqual({
      commit: 2,
      of: 2,
      generation: 2,
      changes: [],
    });
    expect(retired).toEqual([{ generation: 1, commit: 2, since: '2026-03-02T12:00:00.000Z' }]);
    expect(await world.format.compact(world.session, KNOWN, ALWAYS)).toBe(false);
  });

  test('is not made while the changes are few', async () => {
    await world.commit(CREATE, [[1, 'a']]);
    await world.commit({}, [[2, 'b']]);
    expect(await world.format.compact(world.session, KNOWN, { changedRatio: 0.1, changeFiles: 2 })).toBe(false);
  });

  test('between the preparation of a commit and its end takes nothing from it', async () => {
    await world.commit(CREATE, [
      [1, 'a'],
      [2, 'b'],
    ]);
    await world.commit({}, [[1, 'A']]);
    const pending = await world.prepare({ gone: [2] }, [[3, 'c']]);
    expect(await world.another().compact(world.session, KNOWN, ALWAYS)).toBe(true);
    expect(await world.format.publish(world.session, pending)).toBe(3);
    expect(await world.rows()).toEqual([
      ['1', 'A'],
      ['3', 'c'],
    ]);
  });

  test('that a commit overtakes changes nothing', async () => {
    await world.commit(CREATE, [
      [1, 'a'],
      [2, 'b'],
    ]);
    await world.commit({}, [[1, 'A']]);
    const pending = await world.prepare({ gone: [2] }, []);
    world.store.beforePut = async (key) => {
      if (!key.endsWith('latest.json')) return;
      world.store.beforePut = null;
      await world.format.publish(world.session, pending);
    };
    await expect(world.another().compact(world.session, KNOWN, ALWAYS)).rejects.toMatchObject({ code: 'LAKE_MOVED' });
    expect(await world.rows()).toEqual([['1', 'A']]);
  });
});

describe('retention', () => {
  test('removes what was replaced and what broke off, not before its time', async () => {
    await world.commit(CREATE, [[1, 'a']]);
    await world.commit({}, [[2, 'b']]);
    const old = world.dataFiles();
    await world.prepare({}, [[8, 'never published']]);
    world.setTime('2026-03-04T12:00:00Z');
    await world.format.compact(world.session, KNOWN, ALWAYS);
    await world.commit({}, [[3, 'c']]);

    world.setTime('2026-03-08T12:00:00Z');
    expect((await world.expire()).keys).toEqual([]);

    // The commit that was never published is as old as its retention, and its number is taken by another.
    world.setTime('2026-03-10T12:00:00Z');
    const orphans = await world.expire();
    expect(orphans.keys).toHaveLength(1);
    expect(old).not.toContain(orphans.keys[0]);

    world.setTime('2026-03-12T12:00:00Z');
    const told = await world.expire(7 * DAY_MS, true);
    expect(world.dataFiles()).toEqual(expect.arrayContaining(old));
    const { keys, bytes } = await world.expire();
    expect(told).toEqual({ keys, bytes });
    expect([...keys].sort()).toEqual(old);
    expect(bytes).toBeGreaterThan(0);
    expect((await world.manifest()).retired).toEqual([]);
    expect(await world.rows()).toEqual([
      ['1', 'a'],
      ['2', 'b'],
      ['3', 'c'],
    ]);
    expect((await world.expire()).keys).toEqual([]);
  });
});

describe('upkeep', () => {
  test('tells what a table is like, makes a snapshot where that is due, and removes what is old', async () => {
    const table = KNOWN;
    const upkeep = new ParquetUpkeep(world.format, 7 * DAY_MS);
    await world.commit(CREATE, [
      [1, 'a'],
      [2, 'b'],
    ]);
    await world.commit({}, [[1, 'A']]);
    const idle = await upkeep.compact(world.session, { table, thorough: false });
    expect(idle).toMatchObject({ kind: 'nothing', health: { files: 2, smallFiles: 1, rows: null } });
    const made = await upkeep.compact(world.session, { table, thorough: true });
    const health = { files: 1, smallFiles: 0, rows: 2, deletedRows: 0 };
    expect(made).toMatchObject({ kind: 'compacted', removedFiles: 2, addedFiles: 1, health });
    const now = new Date('2026-04-01T00:00:00Z');
    const dry = await upkeep.vacuum(world.session, { table, dryRun: true, now });
    expect(dry).toMatchObject({ files: 2, logFiles: 0 });
    expect(await upkeep.vacuum(world.session, { table, dryRun: false, now })).toEqual(dry);
    expect(world.dataFiles()).toHaveLength(1);
    expect(await world.rows()).toEqual([
      ['1', 'A'],
      ['2', 'b'],
    ]);
  });

  test('gives way to a commit', async () => {
    const upkeep = new ParquetUpkeep(world.another(), 7 * DAY_MS);
    await world.commit(CREATE, [[1, 'a']]);
    await world.commit({}, [[1, 'A']]);
    const pending = await world.prepare({}, [[2, 'b']]);
    world.store.beforePut = async (key) => {
      if (!key.endsWith('latest.json')) return;
      world.store.beforePut = null;
      await world.format.publish(world.session, pending);
    };
    const given = await upkeep.compact(world.session, { table: KNOWN, thorough: true });
    expect(given).toMatchObject({ kind: 'given_up', because: expect.stringContaining('latest.json') });
  });
});

test('whatever is done, the table is what was done to it', async () => {
  const row = fc.tuple(fc.integer({ min: 1, max: 6 }), fc.constantFrom('a', 'b', null));
  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('rows'),
        gone: fc.subarray([1, 2, 3, 4, 5, 6]),
        rows: fc.uniqueArray(row, { selector: ([id]) => id, maxLength: 4 }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('replace'),
        gone: fc.constant([]),
        rows: fc.uniqueArray(row, { selector: ([id]) => id }),
      }),
    },
    { weight: 2, arbitrary: fc.constant({ kind: 'compact', gone: [], rows: [] }) },
    { weight: 1, arbitrary: fc.constant({ kind: 'expire', gone: [], rows: [] }) },
  );
  const steps = fc.array(step, { minLength: 1, maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(steps, async (work) => {
      const other = await World.create();
      try {
        const model = new Map<number, string | null>();
        await other.commit(CREATE, []);
        for (const { kind, gone, rows } of work) {
          other.setTime(new Date(other.now.getTime() + DAY_MS).toISOString());
          if (kind === 'compact') await other.format.compact(other.session, KNOWN, ALWAYS);
          else if (kind === 'expire') await other.expire(DAY_MS / 2);
          else {
            if (kind === 'replace') model.clear();
            for (const id of gone) model.delete(id);
            for (const [id, name] of rows) model.set(id, name);
            await other.commit(kind === 'replace' ? REPLACE : { gone }, rows);
          }
          const expected = [...model].sort(([a], [b]) => a - b).map(([id, name]) => [String(id), name]);
          expect(await other.rows()).toEqual(expected);
        }
      } finally {
        await other.remove();
      }
    }),
    { numRuns: 12 },
  );
}, 60_000);
