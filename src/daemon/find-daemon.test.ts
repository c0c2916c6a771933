import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { fakeConfig } from '../../test/fake/engine.js';
import type { Config } from '../config/config.js';
import { type ControlSocket, openControlSocket } from './control-socket.js';
import { findDaemon } from './find-daemon.js';
import { LogRing } from './log-ring.js';
import type { ReloadOutcome } from './reload.js';
import { SelfReport } from './self-report.js';

/** A daemon of which only the door is there. */

const NOW = new Date('2026-03-02T12:00:00.000Z');
const TAKEN: ReloadOutcome = { kind: 'applied', plan: { kind: 'nothing_to_do' } };
const never = new AbortController().signal;

let folder: string;
let control: ControlSocket | null = null;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sluice-find-'));
  await writeFile(path.join(folder, 'sources.yaml'), '');
  await symlink('sources.yaml', path.join(folder, 'link.yaml'));
});

afterEach(async () => {
  await control?.close();
  control = null;
  await rm(folder, { recursive: true, force: true });
});

function configOf(hash: string, name = 'sources.yaml'): Config {
  const daemon = { http: null, socket: path.join(folder, 'control.sock'), autoApply: 'additive' } as const;
  return fakeConfig({}, { file: path.join(folder, name), hash, daemon });
}

/** @param reload what the daemon answers, and the hash that it works with from then on */
async function listen(config: Config, reload: readonly [ReloadOutcome, string] = [TAKEN, config.hash]): Promise<void> {
  const report = new SelfReport({ pid: 4711, version: '1.2.3', config, now: NOW });
  control = await openControlSocket(config.daemon.socket, {
    facts: () => report.block(null),
    status: async () => '{}',
    reload: async () => {
      report.configIs({ ...config, hash: reload[1] }, NOW);
      return reload[0];
    },
    call: async () => null,
    log: new LogRing(),
  });
}

async function find(config: Config): Promise<{ found: unknown; reloads: number }> {
  let reloads = 0;
  const onReload = (): void => {
    reloads += 1;
  };
  const found = await findDaemon(config, onReload, never);
  return { found, reloads };
}

test('where none listens there is none', async () => {
  expect(await find(configOf('a'))).toEqual({ found: { kind: 'none' }, reloads: 0 });
});

test('one with the same config agrees, also behind a link to the file', async () => {
  await listen(configOf('a'));
  expect(await find(configOf('a'))).toEqual({ found: { kind: 'agrees' }, reloads: 0 });
  expect(await find(configOf('a', 'link.yaml'))).toEqual({ found: { kind: 'agrees' }, reloads: 0 });
});

test('one that has not taken the file over yet is asked to', async () => {
  await listen(configOf('a'), [TAKEN, 'b']);
  expect(await find(configOf('b'))).toEqual({ found: { kind: 'agrees' }, reloads: 1 });
});

test.each<{ name: string; outcome: ReloadOutcome; why: RegExp }>([
  {
    name: 'cannot go over',
    outcome: { kind: 'failed', error: { code: 'LISTEN_FAILED', message: 'the port is taken' } },
    why: /\(pid 4711\) goes on with another version of the config: the port is taken/,
  },
  {
    name: 'finds mistakes in the file',
    outcome: { kind: 'refused', error: { code: 'CONFIG_INVALID', message: 'two mistakes\n sources.yaml:1' } },
    why: /another version of the config: two mistakes$/,
  },
  {
    name: 'reads the file in another way',
    outcome: { kind: 'unchanged', plan: null },
    why: /other variables perhaps$/,
  },
])('one that $name is told of', async ({ outcome, why }) => {
  await listen(configOf('a'), [outcome, 'a']);
  expect(await find(configOf('b'))).toEqual({ found: { kind: 'apart', why: expect.stringMatching(why) }, reloads: 1 });
});

test('one that works with another file is told of', async () => {
  await listen(configOf('a', 'other.yaml'));
  const why = expect.stringMatching(/\(pid 4711\) works with .*other\.yaml$/);
  expect(await find(configOf('a'))).toEqual({ found: { kind: 'apart', why }, reloads: 0 });
});
