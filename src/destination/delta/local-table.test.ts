import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { expect, onTestFinished, test } from 'vitest';
import { add, newTable, prepared } from '../../../test/fake/delta-actions.js';
import { systemStoreDeps } from '../../../test/lake/store-deps.js';
import { LocalStore } from '../lake/store/local-store.js';
import { writeCheckpoint } from './checkpoint.js';
import { appendOver, commitActions } from './commit.js';
import { commitName, logPrefix } from './log-path.js';
import { openTable, readCommitsBehind } from './log-reader.js';
import { commitInfo } from './snapshot.js';

test('a table in a folder: two writers race, and its checkpoint is read where it lies', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'delta-local-'));
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  onTestFinished(async () => {
    connection.closeSync();
    instance.closeSync();
    await rm(folder, { recursive: true });
  });
  const tempFolder = await mkdtemp(join(folder, 'temp-'));
  const tools = { connection, tempFolder };
  const [left, right] = [
    new LocalStore(join(folder, 'lake'), systemStoreDeps),
    new LocalStore(join(folder, 'lake'), systemStoreDeps),
  ];
  const table = 'shop/orders';
  const first = prepared(newTable(), 0, { appId: 'maker' });
  const { snapshot: start } = await commitActions(left, table, { snapshot: null, commit: first, decide: appendOver });
  const write = async (store: LocalStore, appId: string): Promise<void> => {
    let snapshot = start;
    for (let n = 1; n <= 20; n += 1) {
      const commit = prepared([add(`${appId}-${n}`)], n, { appId });
      ({ snapshot } = await commitActions(store, table, { snapshot, commit, decide: appendOver }));
    }
  };
  await Promise.all([write(left, 'left'), write(right, 'right')]);
  const commits = (await readCommitsBehind(left, table, 0)) ?? [];
  expect(new Set(commits.map((commit) => commitInfo(commit)?.['txnId'])).size).toBe(40);
  const replayed = await openTable(left, table, tools);
  expect([replayed?.version, replayed?.files.size]).toEqual([40, 40]);
  if (replayed === null) return;
  await writeCheckpoint(left, table, replayed, tools, new Date());
  await left.delete(Array.from({ length: 41 }, (_, version) => logPrefix(table) + commitName(version)));
  const restored = await openTable(right, table, tools);
  expect([restored?.version, restored?.files.size, restored?.transactions.get('right')?.version]).toEqual([40, 40, 20]);
  expect(await readdir(tempFolder)).toEqual([]);
  await left.close();
  await right.close();
});
