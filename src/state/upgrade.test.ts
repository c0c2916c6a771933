import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { LockDeps } from './lock.js';
import { readStateText } from './read-state.js';
import { sampleSource, sampleState, sampleTable } from './sample-state.js';
import { openStateFile } from './state-file.js';
import { parseMoved, parseStored, stateText } from './stored-state.js';

const FROM = { place: 'here', mend: 'put the backup back' };

/** The present document, and the same as format 1 had it. */
const PRESENT = sampleState({
  shop: sampleSource({
    tables: {
      'public.every': sampleTable({ schedule: { kind: 'every', every_ms: 300_000 } }),
      'public.late': sampleTable({ schedule: { kind: 'every', every_ms: 60_000, jitter_ms: 5_000 } }),
      'public.cron': sampleTable({ schedule: { kind: 'cron', cron: '0 3 * * *', timezone: 'UTC', jitter_ms: 1_000 } }),
    },
  }),
});
const OLD = stateText(PRESENT)
  .replace('"format_version": 2', '"format_version": 1')
  .replaceAll('"every_ms"', '"everyMs"')
  .replaceAll('"jitter_ms"', '"jitterMs"');

let folder: string;
let tokens = 0;
const deps: LockDeps = {
  host: 'here',
  pid: 1,
  command: 'test',
  clock: { now: () => new Date(0), monotonicMs: () => 0, sleep: () => Promise.resolve() },
  processes: { exists: () => true, startedAt: () => null },
  newToken: () => `t${++tokens}`,
};

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-state-'));
});
afterEach(() => rm(folder, { recursive: true }));

describe('a state file of format 1', () => {
  test('is read, and written anew in the present form; the old one is kept', async () => {
    const path = join(folder, 's.json');
    await writeFile(path, OLD);
    const file = openStateFile(path, deps);
    const read = await file.read();
    if (read === null) expect.fail('it was read');
    expect(read).toEqual(PRESENT);
    expect(await readFile(path, 'utf8'), 'reading writes nothing').toBe(OLD);
    const next = await file.write(read, read);
    expect(await readFile(path, 'utf8')).toBe(stateText({ ...PRESENT, serial: PRESENT.serial + 1 }));
    await file.write(next, next);
    expect(await readFile(`${path}.format-1.backup`, 'utf8'), 'written once').toBe(OLD);
    expect((await readdir(folder)).sort()).toEqual(['s.json', 's.json.backup', 's.json.format-1.backup']);
  });

  test('that was exported can be imported, and planned against', () => {
    expect(parseStored(OLD, FROM)).toEqual({ state: PRESENT, upgradedFrom: 1 });
    expect(readStateText(OLD, 'kept.json')).toEqual(PRESENT);
  });

  test('that was moved away is in the note as it was', () => {
    const note = JSON.stringify({ moved_to: 'there', moved_at: '', write_id: 'w', document: JSON.parse(OLD) });
    expect(parseMoved(note, FROM)?.document).toEqual(PRESENT);
  });

  test.each<{ name: string; text: string; message: RegExp }>([
    {
      name: 'with a key that it never had',
      text: OLD.replace('"everyMs"', '"every"'),
      message: /schedule\.every is unknown|every_ms/,
    },
    { name: 'without sources', text: '{"format_version": 1, "lineage": "l", "serial": 1}', message: /sources is not/ },
    {
      name: 'with a table that is none',
      text: OLD.replace(/"schedule": \{[^}]*\}/, '"schedule": 5'),
      message: /schedule/,
    },
  ])('$name is refused as damaged', ({ text, message }) =>
    expect(() => parseStored(text, FROM)).toThrow(
      expect.objectContaining({ code: 'STATE_UNREADABLE', message: expect.stringMatching(message) }),
    ),
  );
});

test('a document of the present format with a key of the old one is refused', () =>
  expect(() => parseStored(stateText(PRESENT).replace('"every_ms"', '"everyMs"'), FROM)).toThrow(
    expect.objectContaining({ code: 'STATE_UNREADABLE' }),
  ));

test('every key of a stored document is in snake_case', () => {
  const keys = [...stateText(PRESENT).matchAll(/"([^"]+)":/g)].map(([, key = '']) => key);
  expect(keys.filter((key) => !/^[a-z][a-z0-9_]*(\.[a-z_]+)?$/.test(key))).toEqual([]);
});
