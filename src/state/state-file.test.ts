import { mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Clock } from '../executor/engine.js';
import { emptyState, withSource } from './edit.js';
import type { LockDeps } from './lock.js';
import { sampleSource, sampleState, sampleTable } from './sample-state.js';
import type { StateDocument } from './state.js';
import { openStateFile } from './state-file.js';
import { stateText } from './stored-state.js';

let folder: string;
let tokens = 0;
const clock: Clock = { now: () => new Date(0), monotonicMs: () => 0, sleep: () => Promise.resolve() };
const deps: LockDeps = {
  host: 'here',
  pid: 1,
  command: 'test',
  clock,
  processes: { exists: () => true, startedAt: () => null },
  newToken: () => `t${++tokens}`,
};

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-state-'));
});
afterEach(() => rm(folder, { recursive: true }));

const at = (name: string) => join(folder, name);

test('no file is no state', async () => {
  expect(await openStateFile(at('s.json'), deps).read()).toBeNull();
});

test('writes in a folder that does not exist yet, reads back the same, private to the user', async () => {
  const path = at('.sluice/state.json');
  const file = openStateFile(path, deps);
  const written = await file.write({ ...sampleState(), serial: 0 }, null);
  expect(written).toEqual({ ...sampleState(), serial: 1 });
  expect(await file.read()).toEqual(written);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readdir(at('.sluice')), 'no temporary files, no guard').toEqual(['state.json']);
});

test('keeps the version before as a backup', async () => {
  const path = at('s.json');
  const file = openStateFile(path, deps);
  const first = await file.write(emptyState('l'), null);
  const second = await file.write(withSource(first, 'shop', sampleSource()), first);
  expect(await readFile(`${path}.backup`, 'utf8')).toBe(stateText(first));
  expect(await readFile(path, 'utf8')).toBe(stateText(second));
  expect((await stat(`${path}.backup`)).mode & 0o777).toBe(0o600);
});

test('a link to the file stays a link', async () => {
  const file = openStateFile(at('real.json'), deps);
  const first = await file.write(emptyState('l'), null);
  await symlink(at('real.json'), at('link.json'));
  await openStateFile(at('link.json'), deps).write(first, first);
  expect((await file.read())?.serial).toBe(2);
});

test('sources and tables are stored in name order', async () => {
  const text = stateText(
    sampleState({
      b: sampleSource(),
      a: sampleSource({ tables: { 'z.z': sampleTable(), 'a.a': sampleTable() } }),
    }),
  );
  const places = ['"a": {', '"a.a": {', '"z.z": {', '"b": {'].map((part) => text.indexOf(part));
  expect(places).toEqual([...places].sort((left, right) => left - right));
  expect(places[0]).toBeGreaterThan(0);
});

describe('compare and swap', () => {
  const stored: StateDocument = { ...emptyState('l'), serial: 2 };
  test.each<{ name: string; next: StateDocument; expected: { lineage: string; serial: number } | null; ok: boolean }>([
    { name: 'the expected version', next: stored, expected: { lineage: 'l', serial: 2 }, ok: true },
    { name: 'an older serial', next: stored, expected: { lineage: 'l', serial: 1 }, ok: false },
    { name: 'a newer serial', next: stored, expected: { lineage: 'l', serial: 3 }, ok: false },
    { name: 'another lineage', next: stored, expected: { lineage: 'm', serial: 2 }, ok: false },
    { name: 'a document of another lineage', next: emptyState('m'), expected: { lineage: 'l', serial: 2 }, ok: false },
    { name: 'no file was expected', next: stored, expected: null, ok: false },
  ])('$name', async (c) => {
    await writeFile(at('s.json'), stateText(stored));
    const file = openStateFile(at('s.json'), deps);
    if (c.ok) {
      expect((await file.write(c.next, c.expected)).serial).toBe(3);
    } else {
      await expect(file.write(c.next, c.expected)).rejects.toMatchObject({ code: 'STATE_CONFLICT' });
      expect(await file.read()).toEqual(stored);
    }
  });

  test('a file that is gone is a conflict, not a first write', async () => {
    const write = openStateFile(at('s.json'), deps).write(stored, stored);
    await expect(write).rejects.toMatchObject({ code: 'STATE_CONFLICT' });
  });
});

describe('what cannot be understood is refused and never overwritten', () => {
  const good = JSON.stringify(sampleState());
  const edited = (edit: (state: Record<string, unknown>) => void): string => {
    const copy: Record<string, unknown> = JSON.parse(good);
    edit(copy);
    return JSON.stringify(copy);
  };
  test.each<{ name: string; text: string; code: string; message: RegExp }>([
    { name: 'empty', text: '', code: 'STATE_UNREADABLE', message: /not JSON/ },
    { name: 'cut short', text: good.slice(0, -10), code: 'STATE_UNREADABLE', message: /not JSON/ },
    { name: 'not an object', text: '[]', code: 'STATE_UNREADABLE', message: /the document is not an object/ },
    { name: 'newer format', text: '{"format_version": 3}', code: 'STATE_NEWER', message: /has format 3/ },
    { name: 'format zero', text: edited((s) => (s.format_version = 0)), code: 'STATE_UNREADABLE', message: /is 0/ },
    { name: 'no version', text: '{}', code: 'STATE_UNREADABLE', message: /format_version is not a number/ },
    {
      name: 'fractional serial',
      text: edited((s) => (s.serial = 1.5)),
      code: 'STATE_UNREADABLE',
      message: /serial is not a whole number/,
    },
    { name: 'unknown key', text: edited((s) => (s.extra = 1)), code: 'STATE_UNREADABLE', message: /extra is unknown/ },
    {
      name: 'a wrong word deep inside, named by its path',
      text: good.replace('"method":"cdc"', '"method":"magic"'),
      code: 'STATE_UNREADABLE',
      message: /sources\.shop\.tables\.public\.users\.method is not one of cdc, incremental/,
    },
    {
      name: 'a column without a type',
      text: good.replace('"type":"integer",', ''),
      code: 'STATE_UNREADABLE',
      message: /columns\[0\]\.type is not a string/,
    },
  ])('$name', async (c) => {
    const path = at('s.json');
    await writeFile(path, c.text);
    const file = openStateFile(path, deps);
    await expect(file.read()).rejects.toMatchObject({ code: c.code, message: expect.stringMatching(c.message) });
    await expect(file.read()).rejects.toThrow(path);
    await expect(file.write(sampleState(), sampleState())).rejects.toMatchObject({ code: c.code });
    await expect(file.write(sampleState(), null)).rejects.toMatchObject({ code: c.code });
    expect(await readFile(path, 'utf8')).toBe(c.text);
  });

  test('a folder in its place', async () => {
    await expect(openStateFile(folder, deps).read()).rejects.toMatchObject({ code: 'STATE_UNREADABLE' });
  });
});
