import { describe, expect, test } from 'vitest';
import { add, newTable, prepared, remove, vector } from '../../../test/fake/delta-actions.js';
import { MemoryStore, type PutFault } from '../../../test/fake/memory-store.js';
import type { Action } from './action.js';
import { commitBody } from './action-json.js';
import { appendOver, commitActions, type Decide, maintenanceOver } from './commit.js';
import { commitName, logPrefix } from './log-path.js';
import { readCommitsBehind } from './log-reader.js';
import { commitInfo, type DeltaSnapshot } from './snapshot.js';

const TABLE = 'shop/orders';
const never: Decide = () => ({ kind: 'stop', because: 'nobody should have asked' });

async function made(store: MemoryStore, first: Action[] = []): Promise<DeltaSnapshot> {
  const commit = prepared([...newTable(), ...first], 0, { appId: 'maker' });
  return (await commitActions(store, TABLE, { snapshot: null, commit, decide: never })).snapshot;
}

/** Somebody else's commit of a version. */
function foreign(store: MemoryStore, version: number, actions: Action[]): void {
  const info: Action = { commitInfo: { timestamp: 1, operation: 'OTHER', engineInfo: 'spark' } };
  store.set(logPrefix(TABLE) + commitName(version), commitBody([info, ...actions]));
}

function count(snapshot: DeltaSnapshot): number {
  return snapshot.files.size;
}

describe('a commit', () => {
  test('is one action a line: who made it, what it takes out, what it brings, and its transaction', async () => {
    const store = new MemoryStore();
    const snapshot = await made(store, [add('old.parquet')]);
    const replaced = [add('new.parquet'), remove('old.parquet', { partitionValues: {}, size: 100 })];
    const commit = prepared(replaced, 1, { operation: 'MERGE' });
    const result = await commitActions(store, TABLE, { snapshot, commit, decide: never });
    expect(result).toMatchObject({ version: 1, already: false, passed: 0 });
    expect([...result.snapshot.files.keys()]).toEqual(['new.parquet']);
    expect(store.text('shop/orders/_delta_log/00000000000000000001.json')).toMatchInlineSnapshot(`
      "{"commitInfo":{"timestamp":1772000000000,"operation":"MERGE","operationParameters":{},"readVersion":0,"isolationLevel":"Serializable","isBlindAppend":false,"engineInfo":"sluice/test","txnId":"app-1"}}
      {"remove":{"path":"old.parquet","deletionTimestamp":1,"dataChange":true,"extendedFileMetadata":true,"partitionValues":{},"size":100}}
      {"add":{"path":"new.parquet","partitionValues":{},"size":100,"modificationTime":1,"dataChange":true,"stats":"{\\"numRecords\\":1}"}}
      {"txn":{"appId":"app","version":1,"lastUpdated":1772000000000}}
      "
    `);
  });

  test.each<{ name: string; faults: (PutFault | null)[]; puts: number }>([
    { name: 'whose answer was lost is found again', faults: ['answer_lost'], puts: 1 },
    { name: 'that its own retry made a refusal of is found again', faults: ['answer_becomes_refusal'], puts: 1 },
    { name: 'that never arrived is sent again', faults: ['request_lost', 'request_lost'], puts: 3 },
    { name: 'that is lost in both ways stands once', faults: ['request_lost', 'answer_lost'], puts: 2 },
  ])('$name', async ({ faults, puts }) => {
    const store = new MemoryStore();
    const snapshot = await made(store);
    store.faults.push(...faults);
    const before = store.traffic.puts;
    const result = await commitActions(store, TABLE, { snapshot, commit: prepared([add('a')], 1), decide: never });
    expect(result.version).toBe(1);
    expect(store.traffic.puts - before).toBe(puts);
    expect(count(result.snapshot)).toBe(1);
    expect(await readCommitsBehind(store, TABLE, 1)).toEqual([]);
  });

  test('that is lost for good says so, and is made by asking again', async () => {
    const store = new MemoryStore();
    const snapshot = await made(store);
    store.faults.push('request_lost', 'request_lost', 'request_lost');
    const request = { snapshot, commit: prepared([add('a')], 1), decide: never };
    await expect(commitActions(store, TABLE, request)).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' });
    expect((await commitActions(store, TABLE, request)).version).toBe(1);
  });

  test('that another process finished is known by its id, and one that the snapshot holds is not made', async () => {
    const store = new MemoryStore();
    const snapshot = await made(store);
    const request = { snapshot, commit: prepared([add('a')], 1), decide: never };
    const first = await commitActions(store, TABLE, request);
    expect(await commitActions(store, TABLE, request)).toMatchObject({ version: 1, already: true });
    const again = { ...request, snapshot: first.snapshot };
    expect(await commitActions(store, TABLE, again)).toMatchObject({ version: 1, already: true });
    expect(await readCommitsBehind(store, TABLE, 1)).toEqual([]);
  });

  test.each([
    { name: 'a later transaction of our application', theirs: { txnVersion: 2, commitId: 'x' } },
    { name: 'the same transaction under another id', theirs: { txnVersion: 1, commitId: 'x' } },
  ])('is fenced by $name', async ({ theirs }) => {
    const store = new MemoryStore();
    const snapshot = await made(store);
    const other = prepared([add('b')], theirs.txnVersion, { commitId: theirs.commitId });
    await commitActions(store, TABLE, { snapshot, commit: other, decide: never });
    const request = { snapshot, commit: prepared([add('a')], 1), decide: appendOver };
    await expect(commitActions(store, TABLE, request)).rejects.toMatchObject({ code: 'DELTA_FENCED' });
  });

  test('is fenced by a snapshot that holds a later transaction', async () => {
    const store = new MemoryStore();
    const { snapshot } = await commitActions(store, TABLE, {
      snapshot: await made(store),
      commit: prepared([add('b')], 7),
      decide: never,
    });
    const request = { snapshot, commit: prepared([add('a')], 6), decide: appendOver };
    await expect(commitActions(store, TABLE, request)).rejects.toMatchObject({ code: 'DELTA_FENCED' });
  });

  const moved = add('big', { dataChange: false });
  test.each<{ name: string; theirs: Action[]; decide: Decide; mine: Action[]; ends: 'passes' | 'stops' }>([
    { name: 'an append over an append', theirs: [add('x')], decide: appendOver, mine: [add('a')], ends: 'passes' },
    {
      name: 'an append over maintenance',
      theirs: [remove('old', { dataChange: false }), moved],
      decide: appendOver,
      mine: [add('a')],
      ends: 'passes',
    },
    {
      name: 'an append over a delete',
      theirs: [remove('old')],
      decide: appendOver,
      mine: [add('a')],
      ends: 'stops',
    },
    { name: 'an append over new metadata', theirs: newTable(), decide: appendOver, mine: [add('a')], ends: 'stops' },
    {
      name: 'a merge over maintenance of another file',
      theirs: [remove('old', { dataChange: false }), moved],
      decide: maintenanceOver,
      mine: [remove('other'), add('a')],
      ends: 'passes',
    },
    {
      name: 'a merge over maintenance of its file',
      theirs: [remove('old', { dataChange: false }), moved],
      decide: maintenanceOver,
      mine: [remove('old'), add('a')],
      ends: 'stops',
    },
    {
      name: 'new deletion vectors over maintenance of the file',
      theirs: [remove('old', { dataChange: false }), moved],
      decide: maintenanceOver,
      mine: [remove('old'), add('old', { deletionVector: vector('v1') })],
      ends: 'stops',
    },
    {
      name: 'a merge over an append',
      theirs: [add('x')],
      decide: maintenanceOver,
      mine: [remove('other'), add('a')],
      ends: 'stops',
    },
    {
      name: "a merge over another application's progress",
      theirs: [{ txn: { appId: 'other', version: 3 } }],
      decide: maintenanceOver,
      mine: [remove('other'), add('a')],
      ends: 'passes',
    },
    {
      name: 'a merge over a domain of metadata',
      theirs: [{ domainMetadata: { domain: 'delta.clustering', configuration: '{}', removed: false } }],
      decide: maintenanceOver,
      mine: [add('a')],
      ends: 'stops',
    },
  ])('$name $ends', async ({ theirs, decide, mine, ends }) => {
    const store = new MemoryStore();
    const snapshot = await made(store, [add('old'), add('other')]);
    foreign(store, 1, theirs);
    const commit = commitActions(store, TABLE, { snapshot, commit: prepared(mine, 1), decide });
    if (ends === 'passes') {
      expect(await commit).toMatchObject({ version: 2, passed: 1, already: false });
    } else {
      await expect(commit).rejects.toMatchObject({ code: 'DELTA_FOREIGN_WRITE' });
      await expect(commit).rejects.toThrow(/version 1.*OTHER by spark|maintenance has rewritten/);
      expect(await readCommitsBehind(store, TABLE, 1)).toEqual([]);
    }
  });

  test('is prepared anew by its caller for a table that maintenance has moved', async () => {
    const store = new MemoryStore();
    const snapshot = await made(store, [add('old')]);
    foreign(store, 1, [remove('old', { dataChange: false }), moved]);
    const decide: Decide = (commits, now) => {
      expect(commits.map(({ kind }) => kind)).toEqual(['maintenance']);
      return { kind: 'retry', actions: [...now.files.values()].map(({ path }) => remove(path)) };
    };
    const result = await commitActions(store, TABLE, { snapshot, commit: prepared([remove('old')], 1), decide });
    expect(count(result.snapshot)).toBe(0);
  });

  test('that always comes second ends', async () => {
    const store = new MemoryStore();
    const snapshot = await made(store);
    let version = 0;
    store.beforePut = async () => foreign(store, ++version, [add(`x${version}`)]);
    const request = { snapshot, commit: prepared([add('a')], 1), decide: appendOver };
    await expect(commitActions(store, TABLE, request)).rejects.toMatchObject({ code: 'DELTA_CONTENDED' });
  });

  test('of a table that somebody made at the same moment is not made over it', async () => {
    const store = new MemoryStore();
    await made(store);
    const commit = prepared(newTable(), 0, { appId: 'late' });
    const request = { snapshot: null, commit, decide: appendOver };
    await expect(commitActions(store, TABLE, request)).rejects.toMatchObject({ code: 'DELTA_FOREIGN_WRITE' });
  });
});

test('two writers race 200 commits over lost answers: every commit once, none lost', async () => {
  const store = new MemoryStore();
  const start = await made(store);
  const faults: (PutFault | null)[] = ['answer_lost', null, 'request_lost', null, null, 'answer_becomes_refusal', null];
  store.beforePut = async () => {
    if (store.faults.length === 0) store.faults.push(...faults);
  };
  const write = async (appId: string): Promise<void> => {
    let snapshot = start;
    for (let n = 1; n <= 100; n += 1) {
      const commit = prepared([add(`${appId}-${n}`)], n, { appId });
      ({ snapshot } = await commitActions(store, TABLE, { snapshot, commit, decide: appendOver }));
    }
  };
  await Promise.all([write('left'), write('right')]);
  const commits = (await readCommitsBehind(store, TABLE, 0)) ?? [];
  const ids = commits.map((commit) => commitInfo(commit)?.['txnId']);
  const wanted = ['left', 'right'].flatMap((appId) => Array.from({ length: 100 }, (_, i) => `${appId}-${i + 1}`));
  expect([...ids].sort()).toEqual(wanted.sort());
  expect(commits.at(-1)?.version).toBe(200);
});
