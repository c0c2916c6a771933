import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { add, newTable, remove, vector } from '../../../test/fake/delta-actions.js';
import type { Action } from './action.js';
import { applyCommits, type Commit, type DeltaSnapshot, fileKey, Replay } from './snapshot.js';

function replay(...commits: Action[][]): DeltaSnapshot {
  const start = Replay.empty('t', -1);
  [newTable(), ...commits].forEach((actions, version) => {
    start.commit({ version, actions });
  });
  return start.snapshot();
}

const v1 = { deletionVector: vector('one') };
const v2 = { deletionVector: vector('two') };

describe('a replay', () => {
  test.each<{ name: string; commits: Action[][]; files: string[]; gone: string[] }>([
    { name: 'adds a file', commits: [[add('a')]], files: ['a'], gone: [] },
    { name: 'removes one', commits: [[add('a')], [remove('a')]], files: [], gone: ['a'] },
    {
      name: 'gives a file a deletion vector, whatever comes first',
      commits: [[add('a')], [add('a', v1), remove('a')]],
      files: ['a\nuone@1'],
      gone: ['a'],
    },
    {
      name: 'gives it another one',
      commits: [[add('a', v1)], [remove('a', v1), add('a', v2)]],
      files: ['a\nutwo@1'],
      gone: ['a\nuone@1'],
    },
    {
      name: 'brings a removed file back',
      commits: [[add('a')], [remove('a')], [add('a')]],
      files: ['a'],
      gone: [],
    },
    { name: 'takes the later facts of a file', commits: [[add('a')], [add('a', { size: 7 })]], files: ['a'], gone: [] },
    { name: 'keeps the tombstone of a file that was never there', commits: [[remove('x')]], files: [], gone: ['x'] },
  ])('$name', ({ commits, files, gone }) => {
    const snapshot = replay(...commits);
    expect([...snapshot.files.keys()]).toEqual(files);
    expect([...snapshot.tombstones.keys()]).toEqual(gone);
    expect(snapshot.version).toBe(commits.length);
  });

  test('keeps the last transaction of each application, also where it goes back', () => {
    const txn = (appId: string, version: number): Action => ({ txn: { appId, version } });
    const snapshot = replay([txn('a', 3), txn('b', 1)], [txn('a', 2)]);
    expect([...snapshot.transactions].map(([app, { version }]) => [app, version])).toEqual([
      ['a', 2],
      ['b', 1],
    ]);
  });

  test('keeps domains until they are removed', () => {
    const domain = (name: string, removed: boolean): Action => ({
      domainMetadata: { domain: name, configuration: '{}', removed },
    });
    const snapshot = replay([domain('a', false), domain('b', false)], [domain('a', true)]);
    expect([...snapshot.domains.keys()]).toEqual(['b']);
  });

  test.each<{ name: string; commits: Commit[]; says: RegExp }>([
    { name: 'a gap', commits: [{ version: 3, actions: [] }], says: /version 3 follows version 0/ },
    {
      name: 'a file that is added and removed in one commit',
      commits: [{ version: 1, actions: [add('a'), remove('a')] }],
      says: /both adds and removes a/,
    },
  ])('refuses $name', ({ commits, says }) => expect(() => applyCommits(replay(), commits, 't')).toThrow(says));

  test('refuses a table without protocol or metadata', () => {
    const start = Replay.empty('t', -1);
    start.commit({ version: 0, actions: [add('a')] });
    expect(() => start.snapshot()).toThrow(/no protocol/);
  });

  test('leaves the snapshot before it as it was', () => {
    const before = replay([add('a')]);
    const now = applyCommits(before, [{ version: 2, actions: [remove('a')] }], 't');
    expect([before.files.size, now.files.size, before.version, now.version]).toEqual([1, 0, 1, 2]);
    expect(applyCommits(now, [], 't')).toBe(now);
  });

  test('comes to the same whatever the order of the actions in a commit', () => {
    const step = fc.record({ path: fc.constantFrom('a', 'b', 'c'), what: fc.constantFrom('put', 'drop', 'mark') });
    const steps = fc.array(fc.uniqueArray(step, { selector: ({ path }) => path, maxLength: 3 }), { maxLength: 8 });
    fc.assert(
      fc.property(steps, fc.infiniteStream(fc.nat()), (commits, dice) => {
        // A writer that obeys the protocol, and what it believes the table to be.
        const live = new Map<string, ReturnType<typeof add>>();
        let vectors = 0;
        const written = commits.map((changes) =>
          changes.flatMap(({ path, what }): Action[] => {
            const known = live.get(path);
            const removed =
              known === undefined ? [] : [remove(path, { deletionVector: known.add.deletionVector ?? null })];
            if (what === 'drop') {
              live.delete(path);
              return removed;
            }
            vectors += 1;
            const now = add(
              path,
              what === 'put' && known === undefined ? {} : { deletionVector: vector(`v${vectors}`) },
            );
            live.set(path, now);
            return [...removed, now];
          }),
        );
        const shuffled = written.map((actions) => actions.toSorted(() => ((dice.next().value ?? 0) % 3) - 1));
        const snapshot = replay(...shuffled);
        const wanted = [...live.values()].map((action) => fileKey(action.add));
        expect([...snapshot.files.keys()].sort()).toEqual(wanted.sort());
        expect([...snapshot.tombstones.keys()].filter((key) => snapshot.files.has(key))).toEqual([]);
      }),
    );
  });
});
