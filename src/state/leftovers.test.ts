import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { removeLeftovers } from './leftovers.js';
import type { LockHolder } from './lock-file.js';
import { ownerTag } from './owner-tag.js';
import type { ProcessTable } from './process-table.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-leftovers-'));
});
afterEach(() => rm(folder, { recursive: true }));

const process = (fields: Partial<LockHolder> = {}): LockHolder => ({
  host: 'here',
  pid: 8,
  started: 'boot/8',
  command: 'sluice sync',
  acquired_at: '2026-01-01T00:00:00Z',
  token: 'a1-b2',
  ...fields,
});
const me = process({ pid: 7, started: 'boot/7', token: 'me' });
/** A world where exactly 7 and 8 run. */
const alive: Readonly<Record<number, string>> = { 7: 'boot/7', 8: 'boot/8' };
const processes: ProcessTable = { exists: (pid) => pid in alive, startedAt: (pid) => alive[pid] ?? null };
const temporary = (name: string, owner: Partial<LockHolder>): string => `${name}.${ownerTag(process(owner))}.tmp`;

test.each<{ name: string; file: string; owner: Partial<LockHolder>; kept: boolean }>([
  { name: 'a temporary lock of a dead process', file: 'state.json.lock', owner: { pid: 99 }, kept: false },
  { name: 'that of a later process with its pid', file: 'state.json.lock', owner: { started: 'boot/1' }, kept: false },
  { name: 'a half-written state of a dead process', file: 'state.json', owner: { pid: 99 }, kept: false },
  { name: 'a half-written memory of a dead guard', file: 'state.json.lag', owner: { pid: 99 }, kept: false },
  { name: 'what a living process just writes', file: 'state.json.lock', owner: {}, kept: true },
  { name: 'what we write ourselves', file: 'state.json', owner: { pid: 7, started: 'boot/7' }, kept: true },
  { name: 'what another host writes', file: 'state.json.lock', owner: { host: 'there', pid: 99 }, kept: true },
  { name: 'a living process whose start is not told', file: 'state.json', owner: { started: null }, kept: true },
  {
    name: 'a dead process whose start is not told',
    file: 'state.json',
    owner: { started: null, pid: 99 },
    kept: false,
  },
  { name: 'the file of another state', file: 'other.json', owner: { pid: 99 }, kept: true },
])('$name', async ({ file, owner, kept }) => {
  const path = temporary(file, owner);
  await writeFile(join(folder, path), '');
  await removeLeftovers(join(folder, 'state.json'), me, processes);
  expect(await readdir(folder)).toEqual(kept ? [path] : []);
});

test.each<{ name: string; file: string; holder: unknown; kept: boolean }>([
  { name: 'the guard of a dead process', file: 'guard', holder: process({ pid: 99 }), kept: false },
  { name: 'the guard of a living process', file: 'guard', holder: process(), kept: true },
  { name: 'a removal by a dead process', file: 'lock.remove-x', holder: process({ pid: 99 }), kept: false },
  { name: 'a removal by a living process', file: 'lock.remove-x', holder: process(), kept: true },
  { name: 'a removal by another host', file: 'lock.remove-x', holder: process({ host: 'there', pid: 99 }), kept: true },
  { name: 'a removal within one', file: 'guard.remove-x.remove-y', holder: process({ pid: 99 }), kept: false },
  { name: 'a lock that cannot be read', file: 'lock.remove-x', holder: {}, kept: true },
  // It is whoever asks for it next that takes it over.
  { name: 'the lock itself', file: 'lock', holder: process({ pid: 99 }), kept: true },
  { name: 'the backup', file: 'backup', holder: process({ pid: 99 }), kept: true },
])('$name', async ({ file, holder, kept }) => {
  await writeFile(join(folder, `state.json.${file}`), JSON.stringify(holder));
  await removeLeftovers(join(folder, 'state.json'), me, processes);
  expect(await readdir(folder)).toEqual(kept ? [`state.json.${file}`] : []);
});

test('also beside the file that a link leads to', async () => {
  await mkdir(join(folder, 'real'));
  await writeFile(join(folder, 'real', 'state.json'), '{}');
  await symlink(join(folder, 'real', 'state.json'), join(folder, 'link.json'));
  await writeFile(join(folder, 'real', temporary('state.json', { pid: 99 })), '');
  await writeFile(join(folder, temporary('link.json.lock', { pid: 99 })), '');
  await removeLeftovers(join(folder, 'link.json'), me, processes);
  expect(await readdir(folder)).toEqual(['link.json', 'real']);
  expect(await readdir(join(folder, 'real'))).toEqual(['state.json']);
});
