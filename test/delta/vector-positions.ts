import fc from 'fast-check';

/**
 * Row numbers for tests, not in order and with repeats: single rows, stretches and combs (which become arrays, runs and
 * bitmaps) that lie close to each other or far apart, and across the borders of blocks.
 */
export function anyPositions(limit = 0xffff_ffff): fc.Arbitrary<number[]> {
  const start = fc.oneof(
    fc.nat(100),
    fc.nat(200_000),
    fc.integer({ min: 0, max: 4 }).map((block) => block * 65_536 + 65_530),
    fc.integer({ min: 0, max: limit }),
  );
  const group = fc.oneof(
    { weight: 4, arbitrary: fc.record({ start, step: fc.constant(1), count: fc.integer({ min: 1, max: 12 }) }) },
    {
      weight: 2,
      arbitrary: fc.record({ start, step: fc.integer({ min: 1, max: 5_000 }), count: fc.integer({ min: 1, max: 50 }) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        start,
        step: fc.integer({ min: 1, max: 3 }),
        count: fc.integer({ min: 3_000, max: 9_000 }),
      }),
    },
  );
  return fc
    .array(group, { maxLength: 8 })
    .map((groups) =>
      groups.flatMap(({ start: first, step, count }) =>
        Array.from({ length: count }, (_, i) => first + i * step).filter((position) => position <= limit),
      ),
    );
}
