import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openLagMemory, type RememberedLag } from './lag-memory.js';

const SHOP: RememberedLag = {
  slot: { name: 'sluice_shop', created_lsn: '0/1000' },
  past: {
    level: 'warning',
    since: '2026-03-02T12:00:00.000Z',
    window: [{ at: '2026-03-02T12:00:00.000Z', retainedBytes: 5 }],
  },
  dropError: { code: 'SLOT_IN_USE', message: 'a stranger reads', hint: 'end him' },
};
const CRM: RememberedLag = { ...SHOP, past: { level: 'ok', since: '2026-03-02', window: [] }, dropError: null };

let folder: string;
let tokens = 0;
const newToken = () => `t${++tokens}`;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-lag-'));
});
afterEach(() => rm(folder, { recursive: true }));

test('another process reads what one wrote; writes at once lose nothing', async () => {
  const path = join(folder, 'state.json');
  const memory = openLagMemory(path, newToken);
  expect(await memory.read()).toEqual({});
  await Promise.all([memory.write('shop', CRM), memory.write('crm', CRM), memory.write('shop', SHOP)]);
  expect(await openLagMemory(path, newToken).read()).toEqual({ shop: SHOP, crm: CRM });
  expect(await readdir(folder)).toEqual(['state.json.lag']);
});

test.each<{ name: string; text: string; read: object }>([
  { name: 'not JSON', text: '{', read: {} },
  { name: 'another version', text: JSON.stringify({ format_version: 2, sources: { shop: SHOP } }), read: {} },
  { name: 'no sources', text: JSON.stringify({ format_version: 1, sources: null }), read: {} },
  {
    name: 'an entry that is none beside one that is',
    text: JSON.stringify({
      format_version: 1,
      sources: { a: null, b: { ...SHOP, past: { level: 'huge' } }, c: { ...SHOP, slot: 5 }, shop: SHOP },
    }),
    read: { shop: SHOP },
  },
  {
    name: 'parts that can be done without',
    text: JSON.stringify({
      format_version: 1,
      sources: {
        shop: { ...SHOP, past: { ...SHOP.past, window: [{ at: 5 }] }, dropError: { code: 'NO_SUCH', message: '' } },
      },
    }),
    read: { shop: { ...SHOP, past: { ...SHOP.past, window: [] }, dropError: null } },
  },
])('a damaged file counts as empty: $name', async ({ text, read }) => {
  await writeFile(join(folder, 's.lag'), text);
  expect(await openLagMemory(join(folder, 's'), newToken).read()).toEqual(read);
});

test('a file that cannot be written is an error for the caller, and the next one is tried anew', async () => {
  const memory = openLagMemory(join(folder, 'blocked', 's'), newToken);
  await writeFile(join(folder, 'blocked'), '');
  await expect(memory.write('shop', SHOP)).rejects.toThrow();
  await rm(join(folder, 'blocked'));
  await memory.write('shop', SHOP);
  expect(await memory.read()).toEqual({ shop: SHOP });
});
