import { expect, test } from 'vitest';
import { type HeapRange, joinRanges } from './load-progress.js';

const range = (first: number, end: number | null, relation = 1, filenode = 1): HeapRange => ({
  relation,
  filenode,
  first,
  end,
});

test('ranges that touch or overlap become one', () => {
  expect(joinRanges([range(128, 256), range(0, 128), range(200, 300), range(400, 500)])).toEqual([
    range(0, 300),
    range(400, 500),
  ]);
  expect(joinRanges([range(10, null), range(0, 10), range(20, 30)])).toEqual([range(0, null)]);
});

test('ranges of different files stay apart', () => {
  const ranges = [range(0, 10), range(10, 20, 1, 2), range(10, 20, 2)];
  expect(joinRanges(ranges)).toEqual(ranges);
});
