import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { LoadProgress } from '../load-progress.js';
import { pruneHeld } from './held-changes.js';
import { DuckDbSession } from './session.js';
import {
  addProgress,
  beginProgress,
  forgetProgress,
  forgetProgressOfOthers,
  moveProgress,
  readProgress,
} from './snapshot-progress.js';

const MARK = { snapshot: '100:110:105', snapshotLsn: '0/20', seedLsn: '0/10', takenAt: '2026-01-01T00:00:00.000001Z' };
const BEGUN = { identity: 'it', mark: MARK };
const range = (first: number, end: number | null) => ({ relation: 1, filenode: 2, first, end });

let folder: string;
let session: DuckDbSession;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-progress-'));
  const settings = { path: join(folder, 'w.duckdb'), memoryLimitMb: 128, threads: 1, busyWaitMs: 0 };
  session = await DuckDbSession.open(settings, () => undefined);
  await session.prepareLayout();
});
beforeEach(() => forgetProgress(session, 's:public.t'));
afterAll(async () => {
  session.close();
  await rm(folder, { recursive: true });
});

test('what was read adds up, and moves to another snapshot as a whole', async () => {
  expect(await readProgress(session, 's:public.t')).toBeNull();
  await beginProgress(session, 's:public.t', BEGUN);
  await addProgress(session, 's:public.t', { ranges: [range(128, 256)], rows: 5, rejectedColumns: [3] });
  await addProgress(session, 's:public.t', { ranges: [range(0, 128)], rows: 7, rejectedColumns: [3, 1] });
  const known: LoadProgress = { ...BEGUN, ranges: [range(0, 256)], rows: 12, rejectedColumns: [3, 1] };
  expect(await readProgress(session, 's:public.t')).toEqual(known);
  const mark = { snapshot: '120:120:', snapshotLsn: '0/40', seedLsn: '0/30', takenAt: '2026-01-02T00:00:00Z' };
  await moveProgress(session, 's:public.t', { mark, rows: 11, rejectedColumns: [1] });
  expect(await readProgress(session, 's:public.t')).toEqual({ ...known, mark, rows: 11, rejectedColumns: [1] });
});

test('a load whose changes were not held stays without progress, however much is read after that', async () => {
  for (const address of ['s:public.t', 's:public.u', 's2:public.t']) await beginProgress(session, address, BEGUN);
  await forgetProgressOfOthers(session, 's', ['s:public.u']);
  await addProgress(session, 's:public.t', { ranges: [range(0, null)], rows: 5, rejectedColumns: [] });
  expect(await readProgress(session, 's:public.t')).toBeNull();
  expect(await readProgress(session, 's:public.u')).not.toBeNull();
  expect(await readProgress(session, 's2:public.t')).not.toBeNull();
});

test('changes that the snapshot of an unfinished load did not see stay held', async () => {
  const held = async (): Promise<unknown[]> =>
    (await session.rows('SELECT __xid FROM _sluice."held s:public.t" ORDER BY 1')).map((row) => row['__xid']);
  await session.run(
    'CREATE TABLE _sluice."held s:public.t" AS SELECT unnest([99, 104, 105, 110, 150])::UINTEGER AS __xid',
  );
  await beginProgress(session, 's:public.t', BEGUN);
  await pruneHeld(session, ['s:public.t'], '140');
  expect(await held()).toEqual([105, 110, 150]);
  await forgetProgress(session, 's:public.t');
  await pruneHeld(session, ['s:public.t'], '140');
  expect(await held()).toEqual([150]);
});
