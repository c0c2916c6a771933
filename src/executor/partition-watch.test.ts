import { expect, test } from 'vitest';
import type { PartitionLeaf } from '../source/partition-leaf.js';
import { comparePartitions } from './partition-watch.js';

const leaf = (oid: number, fields: Partial<PartitionLeaf> = {}): PartitionLeaf => ({
  oid,
  schema: 'public',
  name: `t${oid}`,
  filenode: oid,
  joined: ['700/2'],
  ...fields,
});
const compare = (before: readonly PartitionLeaf[], now: readonly PartitionLeaf[]) => {
  const { changed, rewritten, added } = comparePartitions(
    { seenXmin: '800', leaves: before },
    { seenXmin: '900', leaves: now },
  );
  return { changed, rewritten: rewritten.map(({ oid }) => oid), added: added.map(({ oid }) => oid) };
};
const NOTHING = { changed: [], rewritten: [], added: [] };

test.each([
  { name: 'the same leaves', before: [leaf(1), leaf(2)], now: [leaf(2), leaf(1)], is: NOTHING },
  { name: 'another name', before: [leaf(1)], now: [leaf(1, { name: 'renamed' })], is: NOTHING },
  {
    name: 'a leaf that is gone',
    before: [leaf(1), leaf(2)],
    now: [leaf(2)],
    is: { ...NOTHING, changed: ['"public"."t1" was detached or dropped'] },
  },
  { name: 'a new leaf', before: [leaf(1)], now: [leaf(1), leaf(2)], is: { ...NOTHING, added: [2] } },
  {
    name: 'a new leaf with storage that is not its first',
    before: [],
    now: [leaf(2, { filenode: 5 })],
    is: { ...NOTHING, changed: ['"public"."t2" is new and was truncated or rewritten'] },
  },
  {
    name: 'other storage',
    before: [leaf(1, { filenode: 7 })],
    now: [leaf(1, { filenode: 8 })],
    is: { ...NOTHING, rewritten: [1] },
  },
  {
    name: 'attached anew',
    before: [leaf(1)],
    now: [leaf(1, { joined: ['850/1'] })],
    is: { ...NOTHING, changed: ['"public"."t1" was detached and attached again'] },
  },
  {
    name: 'below a table that was attached anew',
    before: [leaf(1, { joined: ['700/2', '600/1'] })],
    now: [leaf(1, { joined: ['700/2', '850/1'] })],
    is: { ...NOTHING, changed: ['"public"."t1" was detached and attached again'] },
  },
])('$name', ({ before, now, is }) => {
  expect(compare(before, now)).toEqual(is);
});
