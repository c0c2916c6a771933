import { beforeAll, describe, expect, test } from 'vitest';
import { byBytes, refusal, type World } from './conformance-world.js';

const COMMITS = Array.from({ length: 1_020 }, (_, version) => `log/${String(version).padStart(20, '0')}.json`);
/** Around the slash (0x2f), where an order by folders differs from one by bytes. */
const AROUND_THE_SLASH = [
  'o/a!',
  'o/a-b',
  'o/a.b',
  'o/a/b',
  'o/a/c/d',
  'o/a/c-d',
  'o/a0',
  'o/a=1',
  'o/aA',
  'o/a_',
  'o/aa',
  'o/a~',
];

export function listings(world: World): void {
  describe('listings', () => {
    beforeAll(async () => {
      await world.bucket.fill([...COMMITS, ...AROUND_THE_SLASH]);
    });

    test('come in pages of a thousand, in the order of bytes', async () => {
      expect(await world.bucket.list({ prefix: 'log/' })).toEqual({ names: COMMITS, pages: 2 });
    });

    test.each<{ name: string; startAfter: string; first: string | undefined }>([
      {
        name: 'a key that is there',
        startAfter: 'log/00000000000000000041.json',
        first: 'log/00000000000000000042.json',
      },
      {
        name: 'a key between others',
        startAfter: 'log/00000000000000000041.json.crc',
        first: 'log/00000000000000000042.json',
      },
      { name: 'a key before all', startAfter: 'log/', first: 'log/00000000000000000000.json' },
      { name: 'the last key', startAfter: 'log/00000000000000001019.json', first: undefined },
    ])('begin behind $name', async ({ startAfter, first }) => {
      const { names } = await world.bucket.list({ prefix: 'log/', startAfter });
      expect(names[0]).toBe(first);
      expect(names).toEqual(COMMITS.filter((key) => byBytes(key, startAfter) > 0));
    });

    test('with a start and pages of seven', async () => {
      const startAfter = 'log/00000000000000000969.json';
      const { names, pages } = await world.bucket.list({ prefix: 'log/', startAfter, pageLength: 7 });
      expect(names).toEqual(COMMITS.slice(970));
      expect(pages).toBe(8);
    });

    test.each([1, 2, 5, 1000])('keep the order around a slash in pages of %d', async (pageLength) => {
      const { names } = await world.bucket.list({ prefix: 'o/', pageLength });
      expect(names).toEqual([...AROUND_THE_SLASH].sort(byBytes));
    });

    test.each([1, 2, 1000])('fold folders in pages of %d', async (pageLength) => {
      const { names } = await world.bucket.list({ prefix: 'o/', delimiter: '/', pageLength });
      const folded = AROUND_THE_SLASH.filter((key) => !key.startsWith('o/a/'));
      expect(names).toEqual([...folded, 'o/a/*'].sort(byBytes));
    });

    test('of a prefix that ends within a name', async () => {
      expect((await world.bucket.list({ prefix: 'o/a/c' })).names).toEqual(['o/a/c-d', 'o/a/c/d']);
      expect((await world.bucket.list({ prefix: 'o/nothing' })).names).toEqual([]);
    });

    test('a key may be the folder of others', async () => {
      await world.bucket.put('nested', 'above');
      const below = world.bucket.put('nested/inner', 'below');
      if (world.differs('an object cannot lie below another one')) {
        expect((await refusal(below)).status).toBeGreaterThanOrEqual(400);
        return;
      }
      await below;
      expect((await world.bucket.list({ prefix: 'nested' })).names).toEqual(['nested', 'nested/inner']);
    });
  });
}
