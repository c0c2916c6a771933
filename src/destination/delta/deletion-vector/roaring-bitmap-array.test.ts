import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { anyPositions } from '../../../../test/delta/vector-positions.js';
import { SluiceError } from '../../../error/sluice-error.js';
import { DeletionVector } from './deletion-vector.js';
import { parseVector, serializeVector } from './roaring-bitmap-array.js';

// The rows of the files in testdata/ of RoaringFormatSpec, as its README tells them; the sums are those of the files.
const SPEC_ROWS = [
  ...Array.from({ length: 100 }, (_, i) => i * 1_000),
  ...Array.from({ length: 100_000 }, (_, i) => 3 * (100_000 + i)),
  ...Array.from({ length: 100_000 }, (_, i) => 700_000 + i),
];

describe('the bytes of the Roaring specification', () => {
  test('bitmapwithruns.bin is what we write', () => {
    // Magic number, count and key stand before the 32-bit bitmap.
    const bitmap = serializeVector(DeletionVector.of(Uint32Array.from(SPEC_ROWS))).subarray(16);
    expect(sha256(bitmap)).toBe('1f1909bfdd354fa2f0694fe88b8076833ca5383ad9fc3f68f2709c84a2ab70e3');
  });

  test('bitmapwithoutruns.bin is read', () => {
    const bitmap = bitmapWithoutRuns(SPEC_ROWS);
    expect(sha256(bitmap)).toBe('d719ae2e0150a362ef7cf51c361527585891f01460b1a92bcfb6a7257282a442');
    expect(rowsOf(parseVector(portable([[0, bitmap]]), 'a test'))).toEqual(SPEC_ROWS);
  });

  test('bitmap64.bin is what we write', () => {
    const rows = [
      ...Array.from({ length: 32_768 }, (_, i) => BigInt(i * 2)),
      ...Array.from({ length: 1_000_000 }, (_, i) => (1n << 32n) + BigInt(i)),
      1n << 48n,
    ];
    const bytes = serializeVector(DeletionVector.of(BigInt64Array.from(rows))).subarray(4);
    expect(sha256(bytes)).toBe('a0f752256dbbc2ca67659c4bedb0ac5b67f18fbef76d65e0cc95bfa442eb0a6a');
  });

  test('portable_bitmap64.bin is what we write', () => {
    const low = [
      ...Array.from({ length: 0x9001 }, (_, i) => i),
      ...Array.from({ length: 0x6001 }, (_, i) => 0xa000 + i),
      0x20000,
      0x20005,
      ...Array.from({ length: 0x8000 }, (_, i) => 0x80000 + 2 * i),
    ];
    const rows = [0n, 1n << 32n].flatMap((base) => low.map((row) => base + BigInt(row)));
    const bytes = serializeVector(DeletionVector.of(BigInt64Array.from(rows))).subarray(4);
    expect(sha256(bytes)).toBe('b5a553a759167f5f9ccb3fa21552d943b4c73235635b753376f4faf62067d178');
  });
});

describe('what other writers may write', () => {
  const bitmap = bitmapWithoutRuns([3, 70_000]);
  const empty = bitmapWithoutRuns([]);

  test.each([
    { name: 'no bitmap at all', bytes: portable([]), rows: [] },
    { name: 'an empty bitmap', bytes: portable([[0, empty]]), rows: [] },
    {
      name: 'an empty bitmap before another',
      bytes: portable([
        [0, empty],
        [1, bitmap],
      ]),
      rows: [4_294_967_299, 4_295_037_296],
    },
    { name: 'the native format', bytes: native([bitmap, empty]), rows: [3, 70_000] },
    { name: 'the native format with a gap', bytes: native([empty, bitmap]), rows: [4_294_967_299, 4_295_037_296] },
    {
      name: 'runs that touch',
      bytes: portable([[0, words16(12_347, 0, [1], 0, 4, 2, 0, 1, 2, 2)]]),
      rows: [0, 1, 2, 3, 4],
    },
  ])('$name', ({ bytes, rows }) => {
    const vector = parseVector(bytes, 'a test');
    expect([...vector.widePositions()].flatMap((chunk) => [...chunk].map(Number))).toEqual(rows);
    expect(vector.cardinality).toBe(rows.length);
  });

  test.each([
    {
      name: 'another magic number',
      bytes: Uint8Array.of(1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0),
      says: 'magic number 67305985 (byte 0)',
    },
    { name: 'nothing', bytes: new Uint8Array(0), says: 'the magic number needs 4 bytes, 0 are left (byte 0)' },
    { name: 'a huge count', bytes: hugeCount(), says: 'the key of a bitmap needs 4 bytes, 0 are left (byte 12)' },
    {
      name: 'bytes behind the end',
      bytes: Buffer.concat([portable([[0, bitmap]]), Buffer.of(0)]),
      says: '1 bytes behind its end',
    },
    {
      name: 'keys out of order',
      bytes: portable([
        [1, bitmap],
        [0, bitmap],
      ]),
      says: 'key 0 of a bitmap is out of order',
    },
    {
      name: 'the same key twice',
      bytes: portable([
        [1, bitmap],
        [1, bitmap],
      ]),
      says: 'key 1 of a bitmap is out of order',
    },
    { name: 'a key with its sign bit', bytes: portable([[0x8000_0000, bitmap]]), says: 'sign bit' },
    {
      name: 'an unknown cookie',
      bytes: portable([[0, words16(1, 0)]]),
      says: 'unknown cookie 1 of a bitmap (byte 16)',
    },
    {
      name: 'values out of order',
      bytes: portable([[0, words16(12_346, 0, 1, 0, 7, 1, 16, 0, 9, 9)]]),
      says: 'the values of block 7 are out of order',
    },
    {
      name: 'a wrong offset',
      bytes: portable([[0, words16(12_346, 0, 1, 0, 7, 1, 17, 0, 8, 9)]]),
      says: 'puts block 7 at 17, it is at 16',
    },
    {
      name: 'blocks out of order',
      bytes: portable([[0, words16(12_347, 1, [0], 2, 0, 1, 0, 5, 5)]]),
      says: 'block 1 is out of order',
    },
    {
      name: 'runs that overlap',
      bytes: portable([[0, words16(12_347, 0, [1], 0, 5, 2, 0, 2, 2, 2)]]),
      says: 'the runs of block 0 are out of order',
    },
    {
      name: 'a run over the end',
      bytes: portable([[0, words16(12_347, 0, [1], 0, 1, 1, 65_535, 1)]]),
      says: 'goes beyond its end',
    },
    {
      name: 'a false cardinality of runs',
      bytes: portable([[0, words16(12_347, 0, [1], 0, 5, 1, 3, 1)]]),
      says: 'hold 2 values, its header says 6',
    },
    {
      name: 'a false cardinality of bits',
      bytes: portable([[0, words16(12_346, 0, 1, 0, 0, 9_999, 16, 0, ...new Array<number>(4_096).fill(0))]]),
      says: 'has 0 bits, its header says 10000',
    },
    { name: 'a false length in the native format', bytes: native([bitmap], 1), says: 'has 28 bytes, not 29' },
  ])('refuses $name', ({ bytes, says }) => {
    expect(() => parseVector(bytes, 'a test')).toThrow(
      expect.objectContaining({ code: 'DELTA_DV_CORRUPT', message: expect.stringContaining(says) }),
    );
  });

  test('changed or cut bytes are refused, or are a vector that is sound', () => {
    const change = fc.record({ at: fc.nat(), to: fc.integer({ min: 0, max: 255 }) });
    fc.assert(
      fc.property(
        anyPositions(400_000),
        fc.array(change, { maxLength: 4 }),
        fc.option(fc.nat(), { freq: 3 }),
        (positions, changes, cut) => {
          const bytes = serializeVector(DeletionVector.of(Uint32Array.from(positions)));
          // Most of what can go wrong is in the headers.
          for (const { at, to } of changes) bytes[at % (at % 2 === 0 ? Math.min(bytes.length, 60) : bytes.length)] = to;
          const left = cut === null ? bytes : bytes.subarray(0, cut % (bytes.length + 1));
          let vector: DeletionVector;
          try {
            vector = parseVector(left, 'a test');
          } catch (error) {
            expect(error instanceof SluiceError && error.code).toBe('DELTA_DV_CORRUPT');
            return;
          }
          const rows = [...vector.widePositions()].flatMap((chunk) => [...chunk]);
          expect(rows.length).toBe(vector.cardinality);
          expect(rows.every((row, i) => i === 0 || row > (rows[i - 1] ?? 0n))).toBe(true);
        },
      ),
      { numRuns: 300 },
    );
  });
});

function rowsOf(vector: DeletionVector): number[] {
  return [...vector.positions()].flatMap((chunk) => [...chunk]);
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function portable(bitmaps: readonly (readonly [number, Uint8Array])[]): Uint8Array {
  const head = Buffer.alloc(12);
  head.writeUInt32LE(1_681_511_377, 0);
  head.writeBigUInt64LE(BigInt(bitmaps.length), 4);
  return Buffer.concat([head, ...bitmaps.flatMap(([key, bytes]) => [uint32(key), bytes])]);
}

function native(bitmaps: readonly Uint8Array[], tooLong = 0): Uint8Array {
  const parts = bitmaps.flatMap((bytes) => [uint32(bytes.length + tooLong), bytes]);
  return Buffer.concat([uint32(1_681_511_376), uint32(bitmaps.length), ...parts]);
}

function hugeCount(): Uint8Array {
  return Buffer.concat([uint32(1_681_511_377), uint32(0xffff_ffff), uint32(0xffff_ffff)]);
}

/** 16-bit words, little-endian; a list stands for single bytes. */
function words16(...words: readonly (number | readonly number[])[]): Uint8Array {
  return Buffer.from(words.flatMap((word) => (typeof word === 'number' ? [word & 255, word >>> 8] : word)));
}

/** The plainest writer of a 32-bit bitmap: arrays up to 4,096 values, bits above. @param rows ascending */
function bitmapWithoutRuns(rows: readonly number[]): Uint8Array {
  const blocks = new Map<number, number[]>();
  for (const row of rows) {
    const block = blocks.get(row >>> 16) ?? [];
    blocks.set(row >>> 16, block);
    block.push(row & 0xffff);
  }
  const header: Uint8Array[] = [uint32(12_346), uint32(blocks.size)];
  const offsets: Uint8Array[] = [];
  const bodies: Uint8Array[] = [];
  let offset = 8 + 8 * blocks.size;
  for (const [key, values] of blocks) {
    header.push(words16(key, values.length - 1));
    offsets.push(uint32(offset));
    const body = values.length > 4_096 ? bits(values) : words16(...values);
    bodies.push(body);
    offset += body.length;
  }
  return Buffer.concat([...header, ...offsets, ...bodies]);
}

function bits(values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(8_192);
  for (const value of values) bytes[value >>> 3] = (bytes[value >>> 3] ?? 0) | (1 << (value & 7));
  return bytes;
}

function uint32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
