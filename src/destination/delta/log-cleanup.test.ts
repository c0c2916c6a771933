import { describe, expect, test } from 'vitest';
import { newTable } from '../../../test/fake/delta-actions.js';
import { MemoryStore } from '../../../test/fake/memory-store.js';
import { commitBody } from './action-json.js';
import { cleanLog } from './log-cleanup.js';
import { classicCheckpointName, commitName, logPrefix, versionName } from './log-path.js';
import { Replay } from './snapshot.js';

const LOG = logPrefix('t');
const NOW = new Date('2026-03-31T12:00:00Z');

function snapshot(configuration: Record<string, string>) {
  const replay = Replay.empty('t', -1);
  replay.commit({ version: 0, actions: newTable(configuration) });
  return replay.snapshot();
}

/** A log of a commit a day from 1 February on, with checkpoints of some versions. */
function log(commits: number, checkpoints: readonly string[]): MemoryStore {
  const store = new MemoryStore();
  for (let version = 0; version < commits; version += 1) {
    store.setTime(new Date(Date.UTC(2026, 1, 1 + version, 6)).toISOString());
    store.set(LOG + commitName(version), commitBody(newTable()));
    store.set(`${LOG}${versionName(version)}.crc`, '{}');
  }
  for (const name of checkpoints) store.set(LOG + name, 'x');
  store.set(`${LOG}_last_checkpoint`, '{}');
  store.set(`${LOG}_sidecars/a.parquet`, 'x');
  return store;
}

/** Versions whose commit is still there. */
function kept(store: MemoryStore): number[] {
  return [...store.objects.keys()].flatMap((key) => {
    const version = /([0-9]{20})\.json$/.exec(key)?.[1];
    return version === undefined ? [] : [Number(version)];
  });
}

const part = (version: number, n: number) => `${versionName(version)}.checkpoint.000000000${n}.0000000002.parquet`;

describe('cleaning a log at the end of March', () => {
  // 30 days before midnight of 31 March is 1 March: version 27 of 28 February is the last that is out of retention.
  test.each<{ name: string; checkpoints: string[]; configuration?: Record<string, string>; from: number }>([
    { name: 'keeps all without a checkpoint', checkpoints: [], from: 0 },
    { name: 'keeps all where the only checkpoint is too young', checkpoints: [classicCheckpointName(28)], from: 0 },
    {
      name: 'keeps the last checkpoint that is old enough and what is behind it',
      checkpoints: [10, 20, 30, 40].map(classicCheckpointName),
      from: 20,
    },
    { name: 'takes one of the last expired version', checkpoints: [27, 30].map(classicCheckpointName), from: 27 },
    {
      name: 'does not count on one that is not complete',
      checkpoints: [classicCheckpointName(10), part(20, 1)],
      from: 10,
    },
    { name: 'counts on one in parts', checkpoints: [classicCheckpointName(10), part(20, 1), part(20, 2)], from: 20 },
    {
      name: 'follows the retention of the table',
      checkpoints: [10, 20, 30, 40].map(classicCheckpointName),
      configuration: { 'delta.logRetentionDuration': 'interval 3 weeks' },
      from: 30,
    },
    {
      name: 'does nothing where the table says so',
      checkpoints: [classicCheckpointName(20)],
      configuration: { 'delta.enableExpiredLogCleanup': 'false' },
      from: 0,
    },
  ])('$name', async ({ checkpoints, configuration = {}, from }) => {
    const store = log(45, checkpoints);
    const deleted = await cleanLog(store, 't', snapshot(configuration), NOW);
    expect(kept(store)).toEqual(Array.from({ length: 45 - from }, (_, i) => from + i));
    expect(deleted.every((key) => key.slice(LOG.length) < versionName(from))).toBe(true);
    expect(deleted.length > 0).toBe(from > 0);
    expect(store.objects.has(`${LOG}_sidecars/a.parquet`)).toBe(true);
    expect(store.objects.has(`${LOG}_last_checkpoint`)).toBe(true);
    expect(await cleanLog(store, 't', snapshot(configuration), NOW)).toEqual([]);
  });

  test('stops at the first commit that is too young, whatever the later ones say', async () => {
    const store = log(45, [10, 20].map(classicCheckpointName));
    store.setTime('2026-03-30T00:00:00Z');
    store.set(LOG + commitName(15), commitBody(newTable()));
    await cleanLog(store, 't', snapshot({}), NOW);
    expect(kept(store)[0]).toBe(10);
  });
});
