import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { add, newTable, remove, vector } from '../../../test/fake/delta-actions.js';
import { MemoryStore } from '../../../test/fake/memory-store.js';
import type { Action } from './action.js';
import { actionLine, commitBody } from './action-json.js';
import { checkpointDue, writeCheckpoint } from './checkpoint.js';
import type { CheckpointTools } from './checkpoint-reader.js';
import { classicCheckpointName, commitName, logPrefix, sidecarName, versionName } from './log-path.js';
import { openTable, readCommitsBehind, refreshTable } from './log-reader.js';
import type { DeltaSnapshot } from './snapshot.js';

const TABLE = 'shop/orders';
const LOG = logPrefix(TABLE);
const UUID = '80a083e8-7026-4e79-81be-64bd76c43a11';
const NOW = new Date('2026-03-02T12:00:00Z');

let instance: DuckDBInstance;
let connection: DuckDBConnection;
let tools: CheckpointTools;
let store: MemoryStore;

beforeAll(async () => {
  instance = await DuckDBInstance.create(':memory:');
  connection = await instance.connect();
  tools = { connection, tempFolder: await mkdtemp(join(tmpdir(), 'delta-log-')) };
});
afterAll(async () => {
  expect(await readdir(tools.tempFolder)).toEqual([]);
  await rm(tools.tempFolder, { recursive: true });
  connection.closeSync();
  instance.closeSync();
});
beforeEach(() => {
  store = new MemoryStore();
});

function put(version: number, actions: readonly Action[]): void {
  store.set(LOG + commitName(version), commitBody(actions));
}

/** A table whose commits from 1 on add a file each. */
function table(last: number): void {
  put(0, newTable());
  for (let version = 1; version <= last; version += 1) {
    put(version, [add(`f${version}`), { txn: { appId: 'app', version } }]);
  }
}

async function open(): Promise<DeltaSnapshot> {
  const snapshot = await openTable(store, TABLE, tools);
  if (snapshot === null) throw new Error('there is no table');
  return snapshot;
}

async function checkpoint(snapshot: DeltaSnapshot): Promise<void> {
  await writeCheckpoint(store, TABLE, snapshot, tools, NOW);
}

function dropCommits(from: number, to: number): void {
  for (let version = from; version <= to; version += 1) store.objects.delete(LOG + commitName(version));
}

/** A Parquet file of one query's rows, as another writer would have made it. */
async function parquet(key: string, sql: string): Promise<void> {
  const file = join(tools.tempFolder, 'foreign.parquet');
  await connection.run(`COPY (${sql}) TO '${file}' (FORMAT parquet)`);
  await store.upload(file, key);
  await rm(file);
}

const jsonLine = (value: unknown): string => JSON.stringify(value);

describe('a table', () => {
  test('that is not there is none', async () => expect(await openTable(store, TABLE, tools)).toBeNull());

  test('is read from its commits, and then only from the newer ones', async () => {
    table(20);
    const first = await open();
    expect([first.version, first.files.size, first.transactions.get('app')?.version]).toEqual([20, 20, 20]);
    const before = store.traffic;
    expect(await refreshTable(store, TABLE, first, tools)).toBe(first);
    expect(store.traffic).toEqual({ ...before, lists: before.lists + 1 });
    put(21, [remove('f3')]);
    const second = await refreshTable(store, TABLE, first, tools);
    expect([second.version, second.files.size, first.files.size]).toEqual([21, 19, 20]);
  });

  test('is the same from a checkpoint of ours as from its commits', async () => {
    put(0, newTable({ 'delta.logRetentionDuration': 'interval 3 days', 'a "b"': 'ü\n' }));
    const features = ['deletionVectors', 'timestampNtz'];
    put(1, [
      { protocol: { minReaderVersion: 3, minWriterVersion: 7, readerFeatures: features, writerFeatures: features } },
      add('a', {
        stats: '{"numRecords":9007199254740993,"minValues":{"x":1.10}}',
        partitionValues: { p: 'x', q: null },
      }),
      add('b', { deletionVector: vector('v1'), tags: { k: 'v' }, clusteringProvider: 'liquid' }),
      add('c', { stats: null, size: 2 ** 40 }),
    ]);
    const removal = {
      size: 5,
      partitionValues: {},
      extendedFileMetadata: true,
      deletionTimestamp: NOW.getTime() - 1000,
    };
    put(2, [
      remove('c', removal),
      remove('old', { ...removal, deletionTimestamp: NOW.getTime() - 8 * 86_400_000 }),
      { txn: { appId: "o'app", version: 2 ** 40, lastUpdated: 5 } },
      { domainMetadata: { domain: 'd', configuration: '{"a":1}', removed: false } },
    ]);
    const replayed = await open();
    await checkpoint(replayed);
    dropCommits(0, 2);
    const restored = await open();
    expect(restored.version).toBe(2);
    for (const part of ['protocol', 'metadata', 'transactions', 'domains'] as const) {
      expect(restored[part]).toEqual(replayed[part]);
    }
    const notChanges = [...replayed.files.values()].map((file) => ({ ...file, dataChange: false }));
    expect([...restored.files.values()]).toEqual(notChanges);
    expect([...restored.tombstones.values()]).toEqual([{ ...replayed.tombstones.get('c'), dataChange: false }]);
    expect(JSON.parse(store.text(`${LOG}_last_checkpoint`))).toMatchObject({ version: 2, size: 7, numOfAddFiles: 2 });
  });

  test.each<{ name: string; hint: string | null }>([
    { name: 'is not there', hint: null },
    { name: 'is behind', hint: jsonLine({ version: 10, size: 1 }) },
    { name: 'is right', hint: jsonLine({ version: 20, size: 1 }) },
    { name: 'names a version without a checkpoint', hint: jsonLine({ version: 22, size: 1 }) },
    { name: 'is ahead of the table', hint: jsonLine({ version: 900, size: 1 }) },
    { name: 'is no JSON', hint: '{"version":2' },
    { name: 'holds no version', hint: jsonLine({ version: '20' }) },
    { name: 'holds an impossible one', hint: jsonLine({ version: -1 }) },
  ])('is found where _last_checkpoint $name', async ({ hint }) => {
    table(10);
    await checkpoint(await open());
    table(20);
    await checkpoint(await open());
    table(23);
    dropCommits(0, 15);
    if (hint === null) store.objects.delete(`${LOG}_last_checkpoint`);
    else store.set(`${LOG}_last_checkpoint`, hint);
    const snapshot = await open();
    expect([snapshot.version, snapshot.files.size]).toEqual([23, 23]);
  });

  test('that was cleaned up behind an old snapshot is opened anew', async () => {
    table(3);
    const old = await open();
    table(12);
    await checkpoint(await open());
    dropCommits(0, 12);
    expect(await readCommitsBehind(store, TABLE, old.version)).toBeNull();
    expect((await refreshTable(store, TABLE, old, tools)).files.size).toBe(12);
  });

  const fileLines = ['a', 'b'].map((path) => jsonLine({ add: add(path).add }));
  const head = newTable().map((action) => actionLine(action));
  const addSql = (paths: string[]): string =>
    paths
      .map(
        (path) => `SELECT {path: '${path}', partitionValues: MAP{}::MAP(VARCHAR, VARCHAR), size: 1::BIGINT,
        modificationTime: 1::BIGINT, dataChange: false, stats_parsed: {numRecords: 7::BIGINT, minValues: {id: 1}}} AS "add"`,
      )
      .join(' UNION ALL ');
  const headSql = `SELECT {id: 'i', format: {provider: 'parquet', options: MAP{}::MAP(VARCHAR, VARCHAR)},
      schemaString: '{"type":"struct","fields":[]}', partitionColumns: []::VARCHAR[], configuration: MAP{'k':'v'}} AS "metaData",
      NULL AS protocol
    UNION ALL SELECT NULL, {minReaderVersion: 1, minWriterVersion: 2}`;

  test.each<{ name: string; files: Record<string, string | { sql: string }>; live: string[] }>([
    {
      name: 'a V2 checkpoint in JSON',
      files: {
        [`${versionName(5)}.checkpoint.${UUID}.json`]: [
          jsonLine({ checkpointMetadata: { version: 5 } }),
          ...head,
          ...fileLines,
        ].join('\n'),
      },
      live: ['a', 'b'],
    },
    {
      name: 'a V2 checkpoint in JSON with sidecars',
      files: {
        [`${versionName(5)}.checkpoint.${UUID}.json`]: [
          ...head,
          jsonLine({ sidecar: { path: 'one.parquet', sizeInBytes: 1, modificationTime: 1 } }),
          jsonLine({ sidecar: { path: 's3://b/x/_delta_log/_sidecars/two.parquet', sizeInBytes: 1 } }),
        ].join('\n'),
        [sidecarName('one.parquet')]: { sql: addSql(['a', 'c']) },
        [sidecarName('two.parquet')]: { sql: addSql(['b']) },
      },
      live: ['a', 'b', 'c'],
    },
    {
      name: 'a V2 checkpoint in Parquet with a sidecar',
      files: {
        [`${versionName(5)}.checkpoint.${UUID}.parquet`]: {
          sql: `SELECT *, NULL AS sidecar FROM (${headSql}) UNION ALL SELECT NULL, NULL, {path: 'one.parquet'}`,
        },
        [sidecarName('one.parquet')]: { sql: addSql(['a']) },
      },
      live: ['a'],
    },
    {
      name: 'a checkpoint in parts',
      files: {
        [`${versionName(5)}.checkpoint.0000000001.0000000002.parquet`]: { sql: headSql },
        [`${versionName(5)}.checkpoint.0000000002.0000000002.parquet`]: { sql: addSql(['a', 'b']) },
        // One of another writer that never got further.
        [`${versionName(6)}.checkpoint.0000000001.0000000002.parquet`]: { sql: addSql(['z']) },
      },
      live: ['a', 'b'],
    },
  ])('is read from $name', async ({ files, live }) => {
    for (const [name, content] of Object.entries(files)) {
      if (typeof content === 'string') store.set(LOG + name, content);
      else await parquet(LOG + name, content.sql);
    }
    put(6, [add('last')]);
    const snapshot = await open();
    expect(snapshot.version).toBe(6);
    expect([...snapshot.files.keys()].sort()).toEqual([...live, 'last'].sort());
  });

  test('keeps the row counts of a checkpoint that has statistics as columns alone', async () => {
    const one = addSql(['a']);
    await parquet(
      LOG + classicCheckpointName(5),
      `SELECT * FROM (${headSql}) UNION ALL BY NAME ${one.replace('1::BIGINT', '1')}`,
    );
    expect((await open()).files.get('a')?.stats).toBe('{"numRecords":7}');
  });

  test.each<{ name: string; damage: () => void; says: RegExp }>([
    { name: 'a commit in between is gone', damage: () => dropCommits(4, 4), says: /version 4 is missing/ },
    {
      name: 'the first commits are gone',
      damage: () => dropCommits(0, 2),
      says: /version 0 is missing.*no checkpoint/,
    },
    {
      name: 'the last line is cut off',
      damage: () => store.set(LOG + commitName(6), commitBody([add('a'), add('b')]).subarray(0, -20)),
      says: /00000000000000000006\.json, line 2 is not JSON/,
    },
    { name: 'a commit is empty', damage: () => store.set(LOG + commitName(6), ''), says: /06\.json is empty/ },
    {
      name: 'an action lacks its path',
      damage: () => store.set(LOG + commitName(6), '{"add":{"size":1}}'),
      says: /06\.json, line 1, add: path is missing/,
    },
    {
      name: 'a number cannot be held',
      damage: () => store.set(LOG + commitName(6), '{"txn":{"appId":"a","version":9007199254740993}}'),
      says: /txn: version is missing, or no integer that can be held exactly/,
    },
    {
      name: 'the checkpoint is no Parquet',
      damage: () => store.set(LOG + classicCheckpointName(5), 'PAR1 or not'),
      says: /05\.checkpoint\.parquet cannot be read/,
    },
  ])('says so where $name', async ({ damage, says }) => {
    table(6);
    damage();
    await expect(open()).rejects.toMatchObject({ code: 'DELTA_LOG_CORRUPT' });
    await expect(open()).rejects.toThrow(says);
  });

  test('may hold lines and files of kinds that are not known', async () => {
    table(1);
    store.set(
      LOG + commitName(2),
      '{"cdc":{"path":"x"}}\n{"later":{}}\n\n{"add":{"path":"n","partitionValues":{},"size":1,"modificationTime":1,"dataChange":true,"baseRowId":4}}',
    );
    store.set(`${LOG}${versionName(2)}.crc`, '{}');
    store.set(`${LOG}.tmp`, 'x');
    store.set(`${LOG}_commits/x`, 'x');
    expect([...(await open()).files.keys()]).toEqual(['f1', 'n']);
  });
});

test.each([
  { version: 0, every: undefined, due: false },
  { version: 9, every: undefined, due: false },
  { version: 10, every: undefined, due: true },
  { version: 10, every: '3', due: false },
  { version: 12, every: '3', due: true },
  { version: 20, every: 'x', due: true },
])('a checkpoint at version $version, every $every: $due', ({ version, every, due }) => {
  expect(checkpointDue(version, every === undefined ? {} : { 'delta.checkpointInterval': every })).toBe(due);
});

test('100,000 files come and go through a checkpoint in seconds', async () => {
  const stats =
    '{"numRecords":100000,"minValues":{"id":1,"name":"aaaa"},"maxValues":{"id":9,"name":"zzzz"},"nullCount":{"id":0}}';
  put(0, newTable());
  for (let version = 1; version <= 10; version += 1) {
    put(
      version,
      Array.from({ length: 10_000 }, (_, i) => add(`part-${version}-${i}.parquet`, { stats })),
    );
  }
  const snapshot = await open();
  await checkpoint(snapshot);
  dropCommits(0, 10);
  const started = performance.now();
  const restored = await open();
  expect(restored.files.size).toBe(100_000);
  expect(performance.now() - started).toBeLessThan(15_000);
}, 60_000);
