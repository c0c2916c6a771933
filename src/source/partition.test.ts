import { expect, test } from 'vitest';
import { partitionForest } from './partition.js';

const forest = partitionForest([
  { parent: 1, child: 2 },
  { parent: 1, child: 3 },
  { parent: 3, child: 4 },
  { parent: 4, child: 5 },
  { parent: 10, child: 11 },
]);

test.each([
  { name: 'a root has all levels below it', oid: 1, below: [2, 3, 4, 5], root: null },
  { name: 'an inner partition', oid: 3, below: [4, 5], root: 1 },
  { name: 'a leaf', oid: 5, below: [], root: 1 },
  { name: 'another tree', oid: 10, below: [11], root: null },
  { name: 'no partition at all', oid: 99, below: [], root: null },
])('$name', ({ oid, below, root }) => {
  expect(forest.below(oid)).toEqual(below);
  expect(forest.root(oid)).toBe(root);
});
