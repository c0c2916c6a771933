import { expect, test } from 'vitest';
import { partitionForest } from './partition.js';
import { publishedTables, type Relation } from './published.js';

function relation(oid: number, name: string, changes: Partial<Relation> = {}): Relation {
  return { oid, schema: 'public', name, kind: 'r', persistence: 'p', ...changes };
}

const relations = [
  relation(1, 'events', { kind: 'p' }),
  relation(2, 'events_2024', { kind: 'p' }),
  relation(3, 'events_2024_h1', { schema: 'parts' }),
  relation(4, 'events_2025'),
  relation(5, 'scratch', { persistence: 'u' }),
  relation(6, 'seen', { kind: 'v' }),
  relation(7, 'users'),
];
const forest = partitionForest([
  { parent: 1, child: 2 },
  { parent: 2, child: 3 },
  { parent: 1, child: 4 },
]);

const member = (oid: number) => ({ oid, columns: null, rowFilter: null });

test.each([
  { name: 'a plain member', members: [7], viaRoot: true, tables: ['users'] },
  { name: 'a partitioned table as itself', members: [1], viaRoot: true, tables: ['events'] },
  {
    name: 'a partitioned table as its leaves',
    members: [1],
    viaRoot: false,
    tables: ['events_2024_h1', 'events_2025'],
  },
  { name: 'a root and one of its partitions', members: [1, 4], viaRoot: true, tables: ['events'] },
  { name: 'a partition alone', members: [4], viaRoot: true, tables: ['events_2025'] },
  { name: 'an inner partition as itself', members: [2], viaRoot: true, tables: ['events_2024'] },
  { name: 'all tables', members: [], all: true, viaRoot: true, tables: ['events', 'users'] },
  {
    name: 'all tables, as leaves',
    members: [],
    all: true,
    viaRoot: false,
    tables: ['events_2024_h1', 'events_2025', 'users'],
  },
  { name: 'a schema', members: [], schemas: ['parts'], viaRoot: true, tables: ['events_2024_h1'] },
  { name: 'a schema and a root elsewhere', members: [1], schemas: ['parts'], viaRoot: true, tables: ['events'] },
  { name: 'nothing', members: [], viaRoot: true, tables: [] },
])('$name', ({ members, viaRoot, all, schemas, tables }) => {
  const published = publishedTables(
    { allTables: all ?? false, viaPartitionRoot: viaRoot, schemas: schemas ?? [], members: members.map(member) },
    relations,
    forest,
  );
  expect(published.map((table) => table.name)).toEqual(tables);
});

test('column lists and row filters go with their table', () => {
  const members = [{ oid: 7, columns: ['id'], rowFilter: '(id > 5)' }];
  expect(
    publishedTables({ allTables: false, viaPartitionRoot: true, schemas: [], members }, relations, forest),
  ).toEqual([{ schema: 'public', name: 'users', oid: 7, columns: ['id'], rowFilter: '(id > 5)' }]);
});
