import { describe, expect, test } from 'vitest';
import type { HeapRange } from '../destination/load-progress.js';
import { type HeapRelation, obstacleToResume, rangeCondition, rangesToRead, writtenSince } from './heap-range.js';

const relation = (blocks: number, fields: Partial<HeapRelation> = {}): HeapRelation => ({
  oid: 10,
  schema: 'public',
  name: 't',
  filenode: 77,
  blocks,
  ...fields,
});
const range = (first: number, end: number | null, fields: Partial<HeapRange> = {}): HeapRange => ({
  relation: 10,
  filenode: 77,
  first,
  end,
  ...fields,
});

describe('what is to be read', () => {
  test.each([
    [0, [range(0, null)]],
    [128, [range(0, null)]],
    [129, [range(0, 128), range(128, null)]],
    [300, [range(0, 128), range(128, 256), range(256, null)]],
  ])('of %i blocks', (blocks, expected) => {
    expect(rangesToRead([relation(blocks)], [])).toEqual(expected);
  });

  test('is cut into more ranges the larger the table is, up to 32 MiB each', () => {
    expect(rangesToRead([relation(32 * 1000)], []).map(({ first }) => first)).toEqual(
      Array.from({ length: 32 }, (_, i) => i * 1000),
    );
    const large = rangesToRead([relation(1_000_000)], []);
    expect(large.slice(0, 2)).toEqual([range(0, 4096), range(4096, 8192)]);
    expect(large.at(-1)?.end).toBeNull();
  });

  test('is what is not done, gaps in the middle too', () => {
    const done = [range(128, 256), range(0, 100), range(300, 310)];
    expect(rangesToRead([relation(400)], done)).toEqual([range(100, 128), range(256, 300), range(310, null)]);
    expect(rangesToRead([relation(400)], [range(0, 128), range(128, null)])).toEqual([]);
  });

  test('is told apart by relation and file', () => {
    const done = [range(0, null), range(0, null, { relation: 11, filenode: 1 })];
    const relations = [relation(10), relation(10, { oid: 11, filenode: 2 }), relation(10, { oid: 12 })];
    expect(rangesToRead(relations, done)).toEqual([
      range(0, null, { relation: 11, filenode: 2 }),
      range(0, null, { relation: 12 }),
    ]);
  });
});

test('conditions leave out the ends that are open', () => {
  expect(rangeCondition(range(0, null))).toBeNull();
  expect(rangeCondition(range(0, 5))).toBe("ctid < '(5,0)'::pg_catalog.tid");
  expect(rangeCondition(range(5, null))).toBe("ctid >= '(5,0)'::pg_catalog.tid");
  expect(rangeCondition(range(5, 9))).toBe("ctid >= '(5,0)'::pg_catalog.tid AND ctid < '(9,0)'::pg_catalog.tid");
});

test('rows are asked for by the 32 bits of the oldest transaction that was running', () => {
  expect(writtenSince(`${(3n << 32n) + 500n}:${(3n << 32n) + 600n}:`)).toContain("'500'::pg_catalog.xid");
});

describe('a load that was broken off', () => {
  const done = [range(0, 128)];
  test.each([
    ['goes on', relation(400), '100:110:105', '120:120:', null],
    ['begins anew in another file', relation(400, { filenode: 78 }), '100:110:', '120:120:', /rewritten/],
    ['begins anew without the partition', relation(400, { oid: 9 }), '100:110:', '120:120:', /partition/],
    ['begins anew when ids went back', relation(400), '100:110:', '90:120:', /went back/],
    ['begins anew after too long', relation(400), '100:110:', '1073742000:1073742000:', /too many/],
  ])('%s', (_, now, earlier, later, why) => {
    const obstacle = obstacleToResume(done, [now], earlier, later);
    if (why === null) expect(obstacle).toBeNull();
    else expect(obstacle).toMatch(why);
  });
});
