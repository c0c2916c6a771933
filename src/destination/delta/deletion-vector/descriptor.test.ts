import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { anyPositions } from '../../../../test/delta/vector-positions.js';
import type { DeletionVectorDescriptor } from '../action.js';
import { DeletionVector } from './deletion-vector.js';
import { inlineDescriptor, locateVector, readInlineVector, storedDescriptor, vectorId } from './descriptor.js';

const BASE = { offset: 4, sizeInBytes: 40, cardinality: 6 } as const;

describe('where a vector is', () => {
  test.each<{ name: string; descriptor: DeletionVectorDescriptor; location: ReturnType<typeof locateVector> }>([
    {
      name: "the protocol's example with a prefix",
      descriptor: { ...BASE, storageType: 'u', pathOrInlineDv: 'ab^-aqEH.-t@S}K{vb[*k^' },
      location: { kind: 'relative', path: 'ab/deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin' },
    },
    {
      name: 'without a prefix',
      descriptor: { ...BASE, storageType: 'u', pathOrInlineDv: 'vBn[lx{q8@P<9BNH/isA' },
      location: { kind: 'relative', path: 'deletion_vector_61d16c75-6994-46b7-a15b-8b538852e50e.bin' },
    },
    {
      name: 'absolute',
      descriptor: { ...BASE, storageType: 'p', pathOrInlineDv: 's3://mytable/dv.bin' },
      location: { kind: 'absolute', uri: 's3://mytable/dv.bin' },
    },
    {
      name: 'inline',
      descriptor: { ...BASE, offset: null, storageType: 'i', pathOrInlineDv: '' },
      location: { kind: 'inline' },
    },
  ])('$name', ({ descriptor, location }) => expect(locateVector(descriptor, 'a commit')).toEqual(location));

  test.each<{ name: string; change: Partial<DeletionVectorDescriptor>; says: string }>([
    { name: 'a short path', change: { pathOrInlineDv: 'short' }, says: 'does not end with a UUID' },
    { name: 'a path that is not Z85', change: { pathOrInlineDv: '_'.repeat(20) }, says: 'does not end with a UUID' },
    { name: 'a way out of the table', change: { pathOrInlineDv: '..vBn[lx{q8@P<9BNH/isA' }, says: '".." is no name' },
    { name: 'a path as prefix', change: { pathOrInlineDv: 'a/../bvBn[lx{q8@P<9BNH/isA' }, says: 'is no name' },
    { name: 'a negative offset', change: { offset: -1 }, says: 'its offset is -1' },
    { name: 'a size that is none', change: { sizeInBytes: 1.5 }, says: 'its sizeInBytes is 1.5' },
    { name: 'a size over 2 GiB', change: { sizeInBytes: 2 ** 31 }, says: 'its sizeInBytes is 2147483648' },
    { name: 'a negative number of rows', change: { cardinality: -6 }, says: 'its cardinality is -6' },
  ])('refuses $name', ({ change, says }) => {
    const descriptor = { ...BASE, storageType: 'u' as const, pathOrInlineDv: 'vBn[lx{q8@P<9BNH/isA', ...change };
    expect(() => locateVector(descriptor, 'a commit')).toThrow(
      expect.objectContaining({ code: 'DELTA_DV_CORRUPT', message: expect.stringContaining(says) }),
    );
  });

  test('of a file that we name is that file', () => {
    fc.assert(
      fc.property(fc.uuid(), (uuid) => {
        const descriptor = storedDescriptor(uuid, { offset: 1, sizeInBytes: 36, cardinality: 2 });
        expect(descriptor.pathOrInlineDv).toHaveLength(20);
        expect(locateVector(descriptor, 'a test')).toEqual({ kind: 'relative', path: `deletion_vector_${uuid}.bin` });
      }),
    );
  });
});

describe('an inline vector', () => {
  // The protocol's own example is cut: it lacks the number of bitmaps. These are its rows as delta-kernel writes them.
  const known = {
    storageType: 'i' as const,
    pathOrInlineDv: '^Bg9^0rr910000000000iXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L',
    sizeInBytes: 44,
    cardinality: 6,
  };

  test('is read', () => {
    const vector = readInlineVector(known, 'a commit');
    expect([...vector.positions()].flatMap((chunk) => [...chunk])).toEqual([3, 4, 7, 11, 18, 29]);
    expect(inlineDescriptor(vector)).toEqual(known);
  });

  test.each<{ name: string; change: Partial<DeletionVectorDescriptor>; says: string }>([
    {
      name: "the protocol's example",
      change: { pathOrInlineDv: 'wi5b=000010000siXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L', sizeInBytes: 40 },
      says: 'magic number',
    },
    { name: 'what is not Z85', change: { pathOrInlineDv: 'é' }, says: 'not Z85' },
    { name: 'a size beyond its bytes', change: { sizeInBytes: 45 }, says: 'has 44 bytes, the log says 45' },
    { name: 'more than padding behind it', change: { sizeInBytes: 40 }, says: 'has 44 bytes, the log says 40' },
    { name: 'a size that cuts it', change: { sizeInBytes: 42 }, says: 'the values of block 0 needs' },
    { name: 'another number of rows', change: { cardinality: 7 }, says: 'it holds 6 rows, the log says 7' },
  ])('refuses $name', ({ change, says }) => {
    expect(() => readInlineVector({ ...known, ...change }, 'a commit')).toThrow(
      expect.objectContaining({ code: 'DELTA_DV_CORRUPT', message: expect.stringContaining(says) }),
    );
  });

  test('comes back, whatever its padding', () => {
    fc.assert(
      fc.property(anyPositions(200_000), (rows) => {
        const vector = DeletionVector.of(Uint32Array.from(rows));
        const descriptor = inlineDescriptor(vector);
        expect(inlineDescriptor(readInlineVector(descriptor, 'a test'))).toEqual(descriptor);
      }),
      { numRuns: 30 },
    );
  });
});

describe('the unique id', () => {
  test.each<{ name: string; descriptor: DeletionVectorDescriptor; id: string }>([
    { name: 'with an offset', descriptor: { ...BASE, storageType: 'u', pathOrInlineDv: 'x' }, id: 'ux@4' },
    { name: 'with offset 0', descriptor: { ...BASE, offset: 0, storageType: 'p', pathOrInlineDv: 'x' }, id: 'px@0' },
    {
      name: 'without',
      descriptor: { storageType: 'i', pathOrInlineDv: 'x', sizeInBytes: 1, cardinality: 1 },
      id: 'ix',
    },
    { name: 'with null', descriptor: { ...BASE, offset: null, storageType: 'i', pathOrInlineDv: 'x' }, id: 'ix' },
  ])('$name', ({ descriptor, id }) => expect(vectorId(descriptor)).toBe(id));
});
