import fc from 'fast-check';
import { expect, test } from 'vitest';
import { byBytes } from './conformance-world.js';
import { type ListingPage, type ListingQuery, listPage } from './listing.js';
import { S3Error } from './s3-error.js';

/** The last one is written with two code units that sort before U+FFxx in JavaScript and behind it in UTF-8. */
const name = (maxLength: number) =>
  fc
    .array(fc.constantFrom('a', 'b', '/', '-', '0', 'é', '\uff5e', '\u{1f600}'), { maxLength })
    .map((parts) => parts.join(''));

/** Items and prefixes of all pages, in the order in which they came. */
function allPages(keys: readonly string[], query: Omit<ListingQuery, 'continuationToken'>): string[] {
  const ordered = [...keys].sort(byBytes).map((key) => ({ key }));
  const found: string[] = [];
  let continuationToken: string | null = null;
  do {
    const page: ListingPage<{ key: string }> = listPage(ordered, { ...query, continuationToken });
    expect(page.items.length + page.commonPrefixes.length).toBeLessThanOrEqual(query.maxKeys);
    found.push(...[...page.items.map(({ key }) => key), ...page.commonPrefixes].sort(byBytes));
    continuationToken = page.nextToken;
  } while (continuationToken !== null);
  return found;
}

test('pages of any length give what a set of folded names gives', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(name(5)),
      name(2),
      name(3),
      fc.constantFrom('', '/'),
      fc.integer({ min: 1, max: 4 }),
      (keys, prefix, startAfter, delimiter, maxKeys) => {
        const folded = keys
          .filter((key) => key.startsWith(prefix) && byBytes(key, startAfter) > 0)
          .map((key) => {
            const at = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length);
            return at < 0 ? key : key.slice(0, at + 1);
          });
        expect(allPages(keys, { prefix, startAfter, delimiter, maxKeys })).toEqual([...new Set(folded)].sort(byBytes));
      },
    ),
  );
});

test('a page of no keys has no next one', () => {
  const query = { prefix: '', delimiter: '', startAfter: '', continuationToken: null, maxKeys: 0 };
  expect(listPage([{ key: 'a' }], query)).toEqual({ items: [], commonPrefixes: [], nextToken: null });
});

test('a token that no page gave is refused', () => {
  const query = { prefix: '', delimiter: '', startAfter: '', continuationToken: 'made-up', maxKeys: 1 };
  expect(() => listPage([], query)).toThrow(S3Error);
});
