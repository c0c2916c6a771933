import { expect, test } from 'vitest';
import { isAdditive, relationName, sameColumns } from './window.js';

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

test('a dot in a name does not make two tables one', () => {
  expect(relationName({ schema: 'a.b', name: 'c' })).not.toBe(relationName({ schema: 'a', name: 'b.c' }));
});
