import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

/**
 * Real processes against one state file. They run the compiled modules, since a child process has no TypeScript loader;
 * only this module's files are compiled, into a temporary folder.
 */
const ROOT = resolve(import.meta.dirname, '../..');
let folder: string;

const CHILD = `
import { readFileSync, writeFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { openStateLock, withLock } from './state/lock.js';
import { openStateFile } from './state/state-file.js';
import { emptyState } from './state/edit.js';
import { systemProcesses } from './state/process-table.js';

const [, , task, path, rounds] = process.argv;
const deps = {
  host: 'here', pid: process.pid, command: task, processes: systemProcesses, newToken: randomUUID,
  clock: { now: () => new Date(), monotonicMs: () => performance.now(), sleep: (ms, signal) => pause(ms, undefined, { signal }) },
};
const wait = { waitMs: 60_000, signal: new AbortController().signal };
const lock = openStateLock(path, deps);
const file = openStateFile(path, deps);

for (let round = 0; round < Number(rounds); round += 1) {
  if (task === 'count' || task === 'die') {
    const held = await lock.acquire(wait.waitMs, wait.signal);
    const count = Number(readFileSync(path + '.count', 'utf8'));
    await pause(1);
    writeFileSync(path + '.count', String(count + 1));
    // Dying with the lock held is the point of the second task.
    if (task === 'die') process.kill(process.pid, 'SIGKILL');
    await held.release();
  } else if (task === 'write') {
    await withLock(lock, wait, async () => {
      const current = await file.read();
      await file.write(current ?? emptyState('l'), current);
    });
  } else {
    for (;;) {
      const current = await file.read();
      try {
        await file.write(current ?? emptyState('l'), current);
        break;
      } catch (error) {
        if (error.code !== 'STATE_CONFLICT') throw error;
      }
    }
  }
}
`;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-race-'));
  const settings = {
    extends: join(ROOT, 'tsconfig.json'),
    compilerOptions: {
      noEmit: false,
      outDir: join(folder, 'js'),
      rootDir: join(ROOT, 'src'),
      typeRoots: [join(ROOT, 'node_modules/@types')],
    },
    include: [],
    files: ['lock.ts', 'state-file.ts', 'edit.ts', 'process-table.ts'].map((name) => join(import.meta.dirname, name)),
  };
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(settings));
  execFileSync(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', folder], { stdio: 'pipe' });
  await writeFile(join(folder, 'js/package.json'), '{"type":"module"}');
  await writeFile(join(folder, 'js/child.js'), CHILD);
}, 60_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

function start(task: string, path: string, rounds: number, failpoint?: string): ChildProcess {
  return spawn(process.execPath, [join(folder, 'js/child.js'), task, path, String(rounds)], {
    stdio: 'inherit',
    env: { ...process.env, ...(failpoint === undefined ? {} : { SLUICE_FAILPOINT: failpoint }) },
  });
}

async function ends(children: readonly ChildProcess[]): Promise<readonly (number | null)[]> {
  return await Promise.all(
    children.map(async (child) => (child.exitCode ?? (await once(child, 'exit'))[0]) as number | null),
  );
}

test('four processes counting under the lock lose no count', async () => {
  const path = join(folder, 'count.json');
  await writeFile(`${path}.count`, '0');
  expect(await ends([1, 2, 3, 4].map(() => start('count', path, 25)))).toEqual([0, 0, 0, 0]);
  expect(await readFile(`${path}.count`, 'utf8')).toBe('100');
}, 60_000);

test('locks of killed processes free themselves, one heir at a time', async () => {
  const path = join(folder, 'die.json');
  await writeFile(`${path}.count`, '0');
  const children = [
    ...Array.from({ length: 6 }, () => start('die', path, 1)),
    start('count', path, 10),
    start('count', path, 10),
  ];
  expect(await ends(children)).toEqual([null, null, null, null, null, null, 0, 0]);
  expect(await readFile(`${path}.count`, 'utf8')).toBe('26');
  const left = (await readdir(folder)).filter((name) => name.startsWith('die.json.lock'));
  expect(left.length, 'at most the lock of the last killed one').toBeLessThanOrEqual(1);
}, 60_000);

test('four processes swapping one document without a lock lose no write', async () => {
  const path = join(folder, 'swap.json');
  expect(await ends([1, 2, 3, 4].map(() => start('swap', path, 15)))).toEqual([0, 0, 0, 0]);
  expect(JSON.parse(await readFile(path, 'utf8')).serial).toBe(60);
  expect((await readdir(folder)).filter((name) => name.startsWith('swap.json')).sort()).toEqual([
    'swap.json',
    'swap.json.backup',
  ]);
}, 60_000);

describe('what killed processes left is removed by the next one that takes the lock', () => {
  const dies = { task: 'die', failpoint: undefined };
  test.each<{ name: string; deaths: readonly { task: string; failpoint: string | undefined }[]; left: RegExp }>([
    {
      name: 'a lock that is just written',
      deaths: [{ task: 'write', failpoint: 'in_lock_write' }],
      left: /^lock\..*tmp$/,
    },
    {
      name: 'the lock of removing a dead lock, just written',
      deaths: [dies, { task: 'write', failpoint: 'in_lock_write' }],
      left: /^lock\.remove-.*tmp$/,
    },
    {
      name: 'the lock of removing a dead lock, which is gone',
      deaths: [dies, { task: 'write', failpoint: 'in_lock_removal' }],
      left: /^lock\.remove-[^.]*$/,
    },
    {
      name: 'the lock of removing that',
      deaths: [dies, { task: 'write', failpoint: 'in_lock_removal' }, { task: 'write', failpoint: 'in_lock_removal' }],
      left: /^lock\.remove-.*\.remove-[^.]*$/,
    },
    {
      name: 'the guard, just written',
      deaths: [{ task: 'write', failpoint: 'in_lock_write@2' }],
      left: /^guard\..*tmp$/,
    },
    {
      name: 'the guard and a half-written state',
      deaths: [{ task: 'write', failpoint: 'in_state_write' }],
      left: /^guard$/,
    },
    {
      name: 'the guard and a half-written backup',
      deaths: [
        { task: 'swap', failpoint: undefined },
        { task: 'write', failpoint: 'in_state_write' },
      ],
      left: /^backup\..*tmp$/,
    },
  ])(
    '$name',
    async ({ name, deaths, left }) => {
      const path = join(folder, `${name}.json`);
      const files = async (): Promise<string[]> =>
        (await readdir(folder))
          .filter((file) => file.startsWith(`${name}.json.`))
          .map((file) => file.slice(name.length + 6));
      await writeFile(`${path}.count`, '0');
      for (const { task, failpoint } of deaths) await ends([start(task, path, 1, failpoint)]);
      expect(await files()).toContainEqual(expect.stringMatching(left));
      // Whoever only takes the lock, as a sync does.
      expect(await ends([start('count', path, 1)])).toEqual([0]);
      expect((await files()).filter((file) => file !== 'count' && file !== 'backup')).toEqual([]);
    },
    60_000,
  );
});
