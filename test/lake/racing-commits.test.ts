import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { appendOver, commitActions } from '../../src/destination/delta/commit.js';
import { readCommitsBehind } from '../../src/destination/delta/log-reader.js';
import { commitInfo } from '../../src/destination/delta/snapshot.js';
import type { ObjectStore } from '../../src/destination/lake/object-store.js';
import { openStore } from '../../src/destination/lake/store/open-store.js';
import { SluiceError } from '../../src/error/sluice-error.js';
import { SAMPLE_ACCESS } from '../config/sample-lake.js';
import { add, newTable, prepared } from '../fake/delta-actions.js';
import { startMemoryS3 } from '../s3/memory-s3.js';
import { systemStoreDeps } from './store-deps.js';

/** Two writers of one table, each with its own way to the store: neither waits for the other. */

const COMMITS_EACH = 100;
const TABLE = 'shop/orders';
const KEY = { accessKeyId: 'racer', secretAccessKey: 'racer-secret' };
const S3 = {
  ...{ ...SAMPLE_ACCESS, bucket: 'lake', prefix: 'racing', forcePathStyle: true, requestTimeoutMs: 30_000 },
  ...{ connectTimeoutMs: 30_000, maxAttempts: 4, credentials: { kind: 'static' as const, ...KEY } },
};

async function folderStore(): Promise<() => Promise<ObjectStore>> {
  const folder = await mkdtemp(path.join(tmpdir(), 'racing-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return () => openStore({ type: 'local', path: folder }, systemStoreDeps);
}

async function bucketStore(): Promise<() => Promise<ObjectStore>> {
  const server = await startMemoryS3({ bucket: 'lake', ...KEY });
  onTestFinished(() => server.stop());
  return () => openStore({ type: 's3', s3: { ...S3, endpoint: server.endpoint } }, systemStoreDeps);
}

/** One that commits without a pause leaves the other no turn, which gives up for now; its next sync tries the same again. */
async function insist<T>(commit: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await commit();
    } catch (error) {
      if (!(error instanceof SluiceError) || error.code !== 'DELTA_CONTENDED') throw error;
    }
  }
}

test.each([
  { place: 'folder', storeOf: folderStore },
  { place: 'bucket', storeOf: bucketStore },
])('two writers race 200 commits into a $place: every commit once, none lost', async ({ storeOf }) => {
  const open = await storeOf();
  const stores = { left: await open(), right: await open() };
  const made = prepared(newTable(), 0, { appId: 'maker' });
  const first = await commitActions(stores.left, TABLE, { snapshot: null, commit: made, decide: appendOver });
  const write = async (store: ObjectStore, appId: string): Promise<number> => {
    let { snapshot } = first;
    let passed = 0;
    for (let n = 1; n <= COMMITS_EACH; n += 1) {
      const commit = prepared([add(`${appId}-${n}`)], n, { appId });
      const result = await insist(() => commitActions(store, TABLE, { snapshot, commit, decide: appendOver }));
      snapshot = result.snapshot;
      passed += result.passed;
    }
    return passed;
  };
  const passed = await Promise.all([write(stores.left, 'left'), write(stores.right, 'right')]);
  expect(passed[0] + passed[1], 'they met').toBeGreaterThan(0);

  const commits = (await readCommitsBehind(stores.right, TABLE, 0)) ?? [];
  expect(commits.map(({ version }) => version)).toEqual(Array.from({ length: 2 * COMMITS_EACH }, (_, i) => i + 1));
  for (const appId of ['left', 'right']) {
    const own = commits.map((commit) => String(commitInfo(commit)?.['txnId'])).filter((id) => id.startsWith(appId));
    expect(own).toEqual(Array.from({ length: COMMITS_EACH }, (_, i) => `${appId}-${i + 1}`));
  }
  await stores.left.close();
  await stores.right.close();
});
