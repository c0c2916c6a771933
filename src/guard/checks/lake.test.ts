import { describe, expect, test } from 'vitest';
import type { StoreCheck, StoreCheckName } from '../../destination/lake/store/check-store.js';
import type { LakeLook, WorkFolderLook } from '../lake-look.js';
import { checkLakeStore, checkWorkFolder, lakeFails } from './lake.js';

const GIB = 1024 ** 3;
const NAMES: readonly StoreCheckName[] = ['list', 'put', 'get', 'delete', 'conditional_writes', 'clock'];

function look(c: {
  readonly type?: LakeLook['type'];
  readonly checks?: readonly StoreCheck[];
  readonly trouble?: LakeLook['trouble'];
  readonly work?: Partial<WorkFolderLook>;
}): LakeLook {
  const well = NAMES.map((check): StoreCheck => ({ check, level: 'ok', code: null, message: '', hint: null }));
  const spoilt = well.map((check) => c.checks?.find((other) => other.check === check.check) ?? check);
  const work = { path: '/work', unwritable: null, freeBytes: 100 * GIB, cacheBytes: 4 * GIB, ...c.work };
  return { destination: 'lake', type: c.type ?? 's3', store: spoilt, trouble: c.trouble ?? null, work };
}

describe('what is found at the place of a lake', () => {
  const forbidden: StoreCheck = {
    check: 'delete',
    level: 'error',
    code: 'STORE_FORBIDDEN',
    message: 'forbidden',
    hint: 'allow s3:DeleteObject',
  };
  const skew: StoreCheck = {
    check: 'clock',
    level: 'warning',
    code: 'STORE_CLOCK_SKEW',
    message: 'fast',
    hint: null,
  };
  test.each<{ name: string; look: LakeLook; found: string[]; why?: RegExp; fails: boolean }>([
    { name: 'nothing', look: look({}), found: [], fails: false },
    {
      name: 'a permission that is missing, with the way to the whole policy',
      look: look({ checks: [forbidden] }),
      found: ['error STORE_FORBIDDEN destinations.lake'],
      why: /stays for good; allow s3:DeleteObject; .*sluice doctor --policy/,
      fails: true,
    },
    {
      name: 'a folder has no policy',
      look: look({ type: 'local', checks: [forbidden] }),
      found: ['error STORE_FORBIDDEN destinations.lake'],
      why: /allow s3:DeleteObject$/,
      fails: true,
    },
    {
      name: 'a clock that is a little off',
      look: look({ checks: [skew] }),
      found: ['warning STORE_CLOCK_SKEW destinations.lake'],
      fails: false,
    },
    {
      name: 'what could not be tried is not told twice',
      look: look({
        checks: [
          { ...forbidden, check: 'put' },
          { ...forbidden, check: 'get', level: 'skipped', code: null },
        ],
      }),
      found: ['error STORE_FORBIDDEN destinations.lake'],
      fails: true,
    },
    {
      name: 'a secret that is missing',
      look: look({ trouble: { code: 'SECRET_MISSING', message: 'not set', hint: 'set it' } }),
      found: ['error SECRET_MISSING destinations.lake'],
      why: /^set it$/,
      fails: true,
    },
  ])('$name', (c) => {
    const findings = checkLakeStore(c.look);
    expect(findings.map(({ level, code, address }) => `${level} ${code} ${address}`)).toEqual(c.found);
    if (c.why !== undefined) expect(findings[0]?.why).toMatch(c.why);
    expect(lakeFails(c.look)).toBe(c.fails);
  });
});

describe('room for a load', () => {
  test.each<{ name: string; work: Partial<WorkFolderLook>; table?: number; found: string[] }>([
    { name: 'enough', work: {}, found: [] },
    { name: 'not known', work: { freeBytes: null }, found: [] },
    { name: 'less than the copies may take', work: { freeBytes: 3 * GIB }, found: ['warning WORK_SPACE'] },
    {
      name: 'of a folder there are no copies',
      work: { freeBytes: 3 * GIB, cacheBytes: 0 },
      found: [],
    },
    {
      name: 'less than the largest table',
      work: { freeBytes: 3 * GIB, cacheBytes: 0 },
      table: 5 * GIB,
      found: ['warning WORK_SPACE'],
    },
    { name: 'hardly any', work: { freeBytes: GIB / 2, cacheBytes: 0 }, found: ['warning WORK_SPACE'] },
    { name: 'none to write in', work: { unwritable: 'EACCES' }, found: ['error WORK_FOLDER_UNWRITABLE'] },
  ])('$name', ({ work, table, found }) => {
    const findings = checkWorkFolder(look({ work }), table ?? 0);
    expect(findings.map(({ level, code }) => `${level} ${code}`)).toEqual(found);
  });
});
