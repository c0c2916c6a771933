import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { anyPositions } from '../../../../test/delta/vector-positions.js';
import { DeletionVector } from './deletion-vector.js';
import { parseVector, serializeVector } from './roaring-bitmap-array.js';

function vectorOf(positions: Iterable<number>): DeletionVector {
  return DeletionVector.of(Uint32Array.from(positions));
}

/** As bytes, which compare fast where there are many. */
function rowsOf(vector: DeletionVector): Buffer {
  return Buffer.concat([...vector.positions()].map((chunk) => new Uint8Array(chunk.buffer)));
}

function sortedSet(positions: Iterable<number>): Uint32Array {
  return Uint32Array.from(new Set(positions)).sort();
}

function bytesOf(rows: Uint32Array): Buffer {
  return Buffer.from(rows.buffer);
}

describe('a deletion vector against a set', () => {
  test('holds what it was made of', () => {
    fc.assert(
      fc.property(anyPositions(), (positions) => {
        const vector = vectorOf(positions);
        const expected = sortedSet(positions);
        expect(vector.cardinality).toBe(expected.length);
        expect(rowsOf(vector).equals(bytesOf(expected))).toBe(true);
        expect(vector.last).toBe(expected.length === 0 ? null : BigInt(expected.at(-1) ?? 0));
        const set = new Set(positions);
        for (const row of [...expected.subarray(0, 50), ...expected.subarray(-50)]) {
          for (const near of [row - 1, row, row + 1].filter((p) => p >= 0))
            expect(vector.has(near)).toBe(set.has(near));
        }
      }),
      { numRuns: 60 },
    );
  });

  test('the union is the union of the sets, whichever comes first', () => {
    fc.assert(
      fc.property(anyPositions(), anyPositions(), (a, b) => {
        const expected = sortedSet(a.concat(b));
        const union = vectorOf(a).union(vectorOf(b));
        expect(rowsOf(union).equals(bytesOf(expected))).toBe(true);
        expect(union.cardinality).toBe(expected.length);
        // The same set is the same bytes, however it came about.
        const bytes = serializeVector(vectorOf(expected));
        expect(Buffer.compare(serializeVector(union), bytes)).toBe(0);
        expect(Buffer.compare(serializeVector(vectorOf(b).union(vectorOf(a))), bytes)).toBe(0);
      }),
      { numRuns: 60 },
    );
  });

  test('comes back from its bytes', () => {
    fc.assert(
      fc.property(anyPositions(), (positions) => {
        const bytes = serializeVector(vectorOf(positions));
        const parsed = parseVector(bytes, 'a test');
        expect(rowsOf(parsed).equals(bytesOf(sortedSet(positions)))).toBe(true);
        expect(Buffer.compare(serializeVector(parsed), bytes)).toBe(0);
      }),
      { numRuns: 60 },
    );
  });

  test('of 64-bit positions it holds the same', () => {
    const wide = fc.bigInt({ min: 0n, max: (0x7fff_fffen << 32n) | 0xffff_ffffn });
    fc.assert(
      fc.property(fc.array(fc.oneof(wide, fc.bigInt({ min: 0n, max: 1n << 33n })), { maxLength: 200 }), (positions) => {
        const vector = DeletionVector.of(BigInt64Array.from(positions));
        const expected = [...new Set(positions)].sort((a, b) => (a < b ? -1 : 1));
        for (const same of [vector, parseVector(serializeVector(vector), 'a test'), vector.union(vector)]) {
          expect([...same.widePositions()].flatMap((chunk) => [...chunk])).toEqual(expected);
          expect(same.last).toBe(expected.at(-1) ?? null);
        }
        for (const row of expected) expect(vector.has(row)).toBe(true);
      }),
    );
  });
});

describe('how a deletion vector is kept', () => {
  test.each([
    { name: 'few rows as an array', positions: [1, 5, 9], kinds: ['array'] },
    { name: 'a stretch as a run', positions: range(10, 5_000, 1), kinds: ['run'] },
    { name: 'every second row as bits', positions: range(0, 65_536, 2), kinds: ['bitmap'] },
    { name: '4,096 scattered rows as an array', positions: range(0, 4_096 * 3, 3), kinds: ['array'] },
    { name: '4,097 scattered rows as bits', positions: range(0, 4_097 * 3, 3), kinds: ['bitmap'] },
    { name: 'a whole block as one run', positions: range(0, 65_536, 1), kinds: ['run'] },
    {
      name: 'blocks apart from each other',
      positions: [1, ...range(65_536, 131_072, 1), 4_294_967_295],
      kinds: ['array', 'run', 'array'],
    },
  ])('$name', ({ positions, kinds }) => {
    const blocks = vectorOf(positions).buckets[0]?.blocks ?? [];
    expect(blocks.map((block) => block.container.kind)).toEqual(kinds);
  });

  test('chunks hold at most 131,072 rows and are buffers of their own', () => {
    const chunks = [...vectorOf(range(0, 400_000, 1)).positions()];
    expect(chunks.map((chunk) => chunk.length)).toEqual([131_072, 131_072, 131_072, 6_784]);
    expect(chunks.every((chunk) => chunk.buffer.byteLength === chunk.byteLength)).toBe(true);
  });

  test('the positions given are left as they are', () => {
    const positions = Uint32Array.of(3, 1, 2);
    DeletionVector.of(positions);
    expect([...positions]).toEqual([3, 1, 2]);
  });

  test.each([
    { name: 'a negative row', position: -1n },
    { name: 'a row beyond what Delta holds', position: 0x7fff_ffffn << 32n },
  ])('refuses $name', ({ position }) => {
    expect(() => DeletionVector.of(BigInt64Array.of(5n, position))).toThrow(RangeError);
  });

  test('rows over 2^32 are not cut to 32 bits', () => {
    const vector = DeletionVector.of(BigInt64Array.of(1n, 1n << 32n));
    expect(() => rowsOf(vector)).toThrow(expect.objectContaining({ code: 'DELTA_DV_UNSUPPORTED' }));
    expect(vector.has(0)).toBe(false);
    expect(vector.has(1n << 32n)).toBe(true);
  });
});

function range(from: number, to: number, step: number): number[] {
  return Array.from({ length: Math.ceil((to - from) / step) }, (_, i) => from + i * step);
}
