import { expect, test } from 'vitest';
import { isAdditive, relationName, sameColumns, sameComments } from './window.js';

const columns = (text: string) =>
  text.split(' ').map((pair) => ({ name: pair.split(':')[0] ?? '', type: pair.split(':')[1] ?? '' }));

test.each<{ name: string; before: string; after: string; additive: boolean; same: boolean }>([
  { name: 'nothing', before: 'a:INTEGER', after: 'a:INTEGER', additive: true, same: true },
  { name: 'one more', before: 'a:INTEGER', after: 'a:INTEGER b:VARCHAR', additive: true, same: false },
  { name: 'one more before it', before: 'a:INTEGER', after: 'b:VARCHAR a:INTEGER', additive: true, same: false },
  { name: 'a wider type', before: 'a:INTEGER', after: 'a:BIGINT', additive: false, same: false },
  { name: 'another name', before: 'a:INTEGER b:VARCHAR', after: 'a:INTEGER c:VARCHAR', additive: false, same: false },
  { name: 'one less', before: 'a:INTEGER b:VARCHAR', after: 'a:INTEGER', additive: false, same: false },
])('columns, $name', ({ before, after, additive, same }) => {
  expect(isAdditive(columns(before), columns(after))).toBe(additive);
  expect(sameColumns(columns(before), columns(after))).toBe(same);
});

type Said = readonly [ofTable?: string | undefined, ofColumn?: string];

test.each<{ name: string; before: Said; after: Said; same: boolean }>([
  { name: 'none', before: [], after: [], same: true },
  { name: 'the same', before: ['t', 'c'], after: ['t', 'c'], same: true },
  { name: "another of the table's", before: ['t', 'c'], after: ['u', 'c'], same: false },
  { name: "another of a column's", before: ['t', 'c'], after: ['t', 'd'], same: false },
  { name: 'one that went', before: ['t', 'c'], after: ['t'], same: false },
  { name: 'one that came', before: [undefined, 'c'], after: ['t', 'c'], same: false },
])('comments, $name', ({ before, after, same }) => {
  const commented = ([comment, ofColumn]: Said) => ({
    ...(comment === undefined ? {} : { comment }),
    columns: [{ name: 'a', type: 'INTEGER', ...(ofColumn === undefined ? {} : { comment: ofColumn }) }],
  });
  expect(sameComments(commented(before), commented(after))).toBe(same);
});

test('a dot in a name does not make two tables one', () => {
  expect(relationName({ schema: 'a.b', name: 'c' })).not.toBe(relationName({ schema: 'a', name: 'b.c' }));
});
