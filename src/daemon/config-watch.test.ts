import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, realpath, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Clock } from '../executor/engine.js';
import { type ConfigWatch, watchConfig, watchPoints } from './config-watch.js';

/** Real files, replaced as editors, git and Kubernetes do. */

const clock: Clock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
  sleep: (ms, signal) => sleep(ms, undefined, { signal }),
};
const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

let folder: string;
let file: string;
let watching: ConfigWatch | null;
let changes: number;
let changed: string[];

beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'sluice-watch-')));
  file = join(folder, 'sources.yaml');
  watching = null;
  changes = 0;
  changed = [];
});

afterEach(async () => {
  await watching?.close();
  await rm(folder, { recursive: true, force: true });
});

async function start(path = file): Promise<void> {
  watching = await watchConfig(path, {
    clock,
    log,
    onChange: (files) => {
      changes += 1;
      changed.push(...files);
    },
  });
}

async function until(count: number): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (changes < count) {
    if (performance.now() > deadline) throw new Error(`${changes} of ${count} changes were noticed`);
    await sleep(20);
  }
}

test('a file that is written in place, in several steps, is one change', async () => {
  await writeFile(file, 'a');
  await start();
  await writeFile(file, '');
  await writeFile(file, 'b');
  await writeFile(file, 'bc');
  await until(1);
  await writeFile(file, 'd');
  await until(2);
  expect(changes).toBe(2);
});

test('an editor that renames over the file, again and again', async () => {
  await writeFile(file, 'a');
  await start();
  for (const [index, text] of ['b', 'c', 'd'].entries()) {
    await writeFile(`${file}.swp`, text);
    await rename(`${file}.swp`, file);
    await until(index + 1);
  }
});

test('an editor that moves the old file away first', async () => {
  await writeFile(file, 'a');
  await start();
  await rename(file, `${file}~`);
  await writeFile(file, 'b');
  await until(1);
});

test('a file that is removed and comes back', async () => {
  await writeFile(file, 'a');
  await start();
  await rm(file);
  await until(1);
  await writeFile(file, 'b');
  await until(2);
});

test('the same content again, and other files beside it, are no change', async () => {
  await writeFile(file, 'a');
  await start();
  await writeFile(join(folder, 'warehouse.duckdb'), 'x');
  await writeFile(`${file}.new`, 'a');
  await rename(`${file}.new`, file);
  await writeFile(join(folder, 'warehouse.duckdb'), 'y');
  // The one that is noticed comes after all of them.
  await writeFile(file, 'b');
  await until(1);
  await writeFile(file, 'c');
  await until(2);
  expect(changes).toBe(2);
});

test('a ConfigMap: the link ..data is set anew beside the file', async () => {
  await mkdir(join(folder, '..2026_01'));
  await writeFile(join(folder, '..2026_01', 'sources.yaml'), 'a');
  await symlink('..2026_01', join(folder, '..data'));
  await symlink(join('..data', 'sources.yaml'), file);
  await start();
  for (const [index, text] of ['b', 'c'].entries()) {
    const next = `..2026_0${index + 2}`;
    await mkdir(join(folder, next));
    await writeFile(join(folder, next, 'sources.yaml'), text);
    await symlink(next, join(folder, '..data_tmp'));
    await rename(join(folder, '..data_tmp'), join(folder, '..data'));
    await rm(join(folder, `..2026_0${index + 1}`), { recursive: true });
    await until(index + 1);
  }
});

test('a release folder: a link further up is set anew', async () => {
  for (const release of ['one', 'two']) {
    await mkdir(join(folder, release));
    await writeFile(join(folder, release, 'sources.yaml'), release);
  }
  await symlink('one', join(folder, 'current'));
  await start(join(folder, 'current', 'sources.yaml'));
  await symlink('two', join(folder, 'next'));
  await rename(join(folder, 'next'), join(folder, 'current'));
  await until(1);
  // It is watched where it lies now.
  await writeFile(join(folder, 'two', 'sources.yaml'), 'three');
  await until(2);
});

test('git pull', async () => {
  const git = (at: string, ...args: string[]): void => {
    execFileSync('git', ['-C', at, '-c', 'user.name=t', '-c', 'user.email=t@example.com', ...args], { stdio: 'pipe' });
  };
  const origin = join(folder, 'origin');
  const clone = join(folder, 'clone');
  await mkdir(origin);
  git(origin, 'init', '-q', '-b', 'main');
  await writeFile(join(origin, 'sources.yaml'), 'a');
  git(origin, 'add', '.');
  git(origin, 'commit', '-qm', 'first');
  git(folder, 'clone', '-q', origin, clone);
  await start(join(clone, 'sources.yaml'));
  await writeFile(join(origin, 'sources.yaml'), 'b');
  git(origin, 'commit', '-qam', 'second');
  git(clone, 'pull', '-q');
  await until(1);
});

describe('files beside the config', () => {
  const secret = (): string => join(folder, 'run', 'secret');

  beforeEach(async () => {
    await writeFile(file, 'a');
    await mkdir(join(folder, 'run'));
    await writeFile(secret(), 'old');
  });

  test('are told of by their name', async () => {
    await start();
    await watching?.beside([secret()]);
    await writeFile(secret(), 'new');
    await until(1);
    await writeFile(file, 'b');
    await until(2);
    expect(changed).toEqual([secret(), file]);
  });

  test('are given up when others take their place, and the config is not', async () => {
    const other = join(folder, 'other');
    await start();
    await watching?.beside([secret()]);
    await watching?.beside([other]);
    await writeFile(secret(), 'new');
    await writeFile(other, 'there now');
    await until(1);
    await writeFile(file, 'b');
    await until(2);
    expect(changed).toEqual([other, file]);
  });

  test('keep what was last told of them when they are named again', async () => {
    await start();
    await watching?.beside([secret()]);
    await writeFile(secret(), 'new');
    await watching?.beside([secret()]);
    await until(1);
    expect(changed).toEqual([secret()]);
  });
});

describe('watchPoints', () => {
  test('without links it is the file', async () => {
    expect(await watchPoints(file)).toEqual([file]);
  });

  test('links that lead in a circle end', async () => {
    await symlink('b', join(folder, 'a'));
    await symlink('a', join(folder, 'b'));
    expect((await watchPoints(join(folder, 'a'))).slice(0, 2)).toEqual([join(folder, 'a'), join(folder, 'b')]);
  });
});
