import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Clock } from '../executor/engine.js';
import { withHalt, withPublication, withSlot } from './edit.js';
import { recordHalt, writeBesideGuard } from './halt.js';
import type { LockDeps } from './lock.js';
import { sampleSource, sampleState } from './sample-state.js';
import type { Halt, StateDocument } from './state.js';
import { openStateFile } from './state-file.js';
import type { StateStore } from './state-store.js';
import { stateText } from './stored-state.js';

const HALT: Halt = { code: 'WAL_LAG_CRITICAL', message: 'too much', at: '2026-03-02T12:00:00.000Z' };
const SLOT = { name: 'sluice_shop', created_lsn: '0/1000' };

let folder: string;
let tokens = 0;
let file: StateStore;
let first: StateDocument;
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
  folder = await mkdtemp(join(tmpdir(), 'sluice-halt-'));
  file = openStateFile(join(folder, 'state.json'), deps);
  first = await file.write({ ...sampleState({ shop: sampleSource(), crm: sampleSource() }), serial: 0 }, null);
});
afterEach(() => rm(folder, { recursive: true }));

test('a document from before there were halts is read as one without', async () => {
  const text = stateText(first).replaceAll(/ +"halted": null,\n/g, '');
  expect(text).not.toContain('halted');
  await writeFile(file.place, text);
  expect(await file.read()).toEqual(first);
});

test('a halt is recorded and read back; the second one changes nothing', async () => {
  expect(await recordHalt(file, 'shop', SLOT, HALT)).toBe(true);
  expect(await recordHalt(file, 'shop', SLOT, { ...HALT, message: 'later' })).toBe(true);
  const state = await file.read();
  expect(state?.serial).toBe(2);
  expect(state?.sources['shop']?.halted).toEqual(HALT);
  expect(state?.sources['crm']?.halted).toBeNull();
});

test('a slot that an apply has replaced meanwhile is not halted', async () => {
  await file.write(withSlot(first, 'shop', { name: 'sluice_shop', created_lsn: '0/2000' }), first);
  expect(await recordHalt(file, 'shop', SLOT, HALT)).toBe(false);
  expect((await file.read())?.sources['shop']?.halted).toBeNull();
});

test('another writer between reading and writing is no obstacle', async () => {
  let meddled = false;
  const contested: StateStore = {
    ...file,
    write: async (next, expected) => {
      if (!meddled) await file.write(withPublication(first, 'crm', 'p', ['a.b']), first);
      meddled = true;
      return file.write(next, expected);
    },
  };
  await recordHalt(contested, 'shop', SLOT, HALT);
  const state = await file.read();
  expect(state?.sources['shop']?.halted).toEqual(HALT);
  expect(state?.sources['crm']?.publication).toBe('p');
});

test('an apply takes along a halt that came in between, also for what it writes later', async () => {
  await recordHalt(file, 'shop', SLOT, HALT);
  const second = await writeBesideGuard(file, withPublication(first, 'crm', 'p', []), first);
  expect(second.serial).toBe(3);
  expect(second.sources['shop']?.halted).toEqual(HALT);
  expect(second.sources['crm']?.publication).toBe('p');
  const third = await writeBesideGuard(file, withPublication(second, 'crm', 'q', []), second);
  expect(third.sources['shop']?.halted).toEqual(HALT);
});

test('an apply that makes the slot anew ends the halt that came in between', async () => {
  await recordHalt(file, 'shop', SLOT, HALT);
  const replaced = withSlot(first, 'shop', { name: 'sluice_shop', created_lsn: '0/2000' });
  const written = await writeBesideGuard(file, replaced, first);
  expect(written.sources['shop']?.halted).toBeNull();
  expect(written.sources['shop']?.slot?.created_lsn).toBe('0/2000');
});

test('any other change in between is a conflict and is left alone', async () => {
  await file.write(withHalt(withPublication(first, 'crm', 'theirs', []), 'shop', HALT), first);
  const text = await readFile(file.place, 'utf8');
  await expect(writeBesideGuard(file, withPublication(first, 'crm', 'ours', []), first)).rejects.toMatchObject({
    code: 'STATE_CONFLICT',
  });
  expect(await readFile(file.place, 'utf8')).toBe(text);
});
