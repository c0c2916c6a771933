import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { anyPositions } from '../../../../test/delta/vector-positions.js';
import { SluiceError } from '../../../error/sluice-error.js';
import type { DeletionVectorDescriptor } from '../action.js';
import { DeletionVector } from './deletion-vector.js';
import { readVector, readVectorFile, vectorRange, writeVectorFile } from './deletion-vector-file.js';
import { storedDescriptor } from './descriptor.js';

const UUID = '61d16c75-6994-46b7-a15b-8b538852e50e';

function vectorOf(...positions: readonly number[]): DeletionVector {
  return DeletionVector.of(Uint32Array.from(positions));
}

function rowsOf(vector: DeletionVector): number[] {
  return [...vector.positions()].flatMap((chunk) => [...chunk]);
}

describe('files that other engines wrote', () => {
  test.each([
    {
      name: 'two rows, of Databricks',
      hex: '0100000024d1d33964010000000000000000000000' + '3a30000001000000000001001000000000000900' + '2a671846',
      sizeInBytes: 36,
      rows: [0, 9],
    },
    {
      name: 'three rows, of Spark',
      hex: '0100000026d1d33964010000000000000000000000' + '3a300000010000000000020010000000000001000200' + '748ad0d0',
      sizeInBytes: 38,
      rows: [0, 1, 2],
    },
  ])('$name', ({ hex, sizeInBytes, rows }) => {
    const file = Buffer.from(hex, 'hex');
    const [only, ...others] = readVectorFile(file, 'a test');
    expect(others).toEqual([]);
    expect(only?.placement).toEqual({ offset: 1, sizeInBytes, cardinality: rows.length });
    expect(rowsOf(only?.vector ?? DeletionVector.EMPTY)).toEqual(rows);
    expect(Buffer.from(writeVectorFile([vectorOf(...rows)]).bytes).toString('hex')).toBe(hex);
  });
});

describe('a file of several vectors', () => {
  const vectors = [
    vectorOf(1, 2, 3),
    DeletionVector.EMPTY,
    vectorOf(...Array.from({ length: 9_000 }, (_, i) => i * 3)),
  ];
  const { bytes, placements } = writeVectorFile(vectors);

  test('gives each by the range of its descriptor', () => {
    for (const [i, placement] of placements.entries()) {
      const descriptor = storedDescriptor(UUID, placement);
      const { from, to } = vectorRange(descriptor);
      const vector = readVector(bytes.subarray(from, to), descriptor, 'a test');
      expect(rowsOf(vector)).toEqual(rowsOf(vectors[i] ?? DeletionVector.EMPTY));
    }
  });

  test('gives all of them, with their places', () => {
    const found = readVectorFile(bytes, 'a test');
    expect(found.map((one) => one.placement)).toEqual(placements);
    expect(found.map((one) => one.vector.cardinality)).toEqual([3, 0, 9_000]);
  });

  test('of no vector is its version alone', () => {
    expect([...writeVectorFile([]).bytes]).toEqual([1]);
    expect(readVectorFile(Uint8Array.of(1), 'a test')).toEqual([]);
  });
});

describe('what is wrong is said, with its place', () => {
  const { bytes, placements } = writeVectorFile([vectorOf(1, 2, 3), vectorOf(4, 5, 60_000, 70_000)]);
  const descriptor = storedDescriptor(UUID, placements[1] ?? { offset: 0, sizeInBytes: 0, cardinality: 0 });
  const { from, to } = vectorRange(descriptor);

  test.each<{ name: string; change?: Partial<DeletionVectorDescriptor>; range?: Uint8Array; says: string }>([
    { name: 'another length', change: { sizeInBytes: 43 }, says: 'its length is 48, the log says 43 (byte 0)' },
    { name: 'another number of rows', change: { cardinality: 5 }, says: 'it holds 4 rows, the log says 5' },
    { name: 'a changed byte', range: changed(bytes.slice(from, to), 40), says: 'CRC-32' },
    { name: 'a changed CRC', range: changed(bytes.slice(from, to), to - from - 1), says: '(byte 52)' },
    { name: 'a cut file', range: bytes.slice(from, to - 1), says: 'the CRC-32 needs 4 bytes, 3 are left' },
    { name: 'nothing', range: new Uint8Array(0), says: 'the length needs 4 bytes, 0 are left' },
    { name: 'more than the range', range: bytes.slice(0, to), says: 'its length is 16777216' },
  ])('$name', ({ change, range, says }) => {
    expect(() => readVector(range ?? bytes.slice(from, to), { ...descriptor, ...change }, 'dv.bin')).toThrow(
      expect.objectContaining({ code: 'DELTA_DV_CORRUPT', message: expect.stringContaining(says) }),
    );
    expect(() => readVector(range ?? bytes.slice(from, to), { ...descriptor, ...change }, 'dv.bin')).toThrow(
      `dv.bin at offset ${from}`,
    );
  });

  test.each([
    { name: 'an empty file', file: new Uint8Array(0), says: 'dv.bin: the file is empty' },
    { name: 'another version', file: Uint8Array.of(2), says: 'dv.bin: format version 2, not 1' },
    { name: 'a cut file', file: bytes.slice(0, 20), says: 'the data needs' },
  ])('$name', ({ file, says }) => {
    expect(() => readVectorFile(file, 'dv.bin')).toThrow(says);
  });

  test('no changed byte and no cut goes unseen', () => {
    fc.assert(
      fc.property(
        anyPositions(300_000),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        fc.boolean(),
        (rows, at, flip, cut) => {
          const file = writeVectorFile([vectorOf(...rows.slice(0, 5_000)), vectorOf(7)]).bytes;
          const index = at % file.length;
          if (!cut) file[index] = (file[index] ?? 0) ^ flip;
          const read = () => readVectorFile(cut ? file.subarray(0, index) : file, 'dv.bin');
          // Cut where a vector ends, the file is a shorter one that is whole.
          if (cut && (index === 1 || index === file.length - 46 + 4)) return;
          let refused: unknown = null;
          try {
            read();
          } catch (error) {
            refused = error;
          }
          expect(refused instanceof SluiceError && refused.code).toBe('DELTA_DV_CORRUPT');
        },
      ),
      { numRuns: 150 },
    );
  });
});

function changed(bytes: Uint8Array, at: number): Uint8Array {
  bytes[at] = (bytes[at] ?? 0) ^ 0x10;
  return bytes;
}
