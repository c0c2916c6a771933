import { describe, expect, test } from 'vitest';
import { cellsOf, numbersOf, textsOf } from '../../test/batch/cells.js';
import { ByteBuilder, HeapBuilder, ListBuilder, ShortBuilder, WordBuilder } from './column-builder.js';

/** More rows than a builder makes room for at first, so that it grows on the way. */
const ROWS = 1_500;

describe('NULLs and growth', () => {
  test.each([
    { name: 'no NULL has no bitmap', isNull: () => false, bitmapBytes: 0 },
    { name: 'one NULL before growth marks nothing after it', isNull: (row: number) => row === 3, bitmapBytes: 188 },
    { name: 'the last one', isNull: (row: number) => row === ROWS - 1, bitmapBytes: 188 },
    { name: 'every third', isNull: (row: number) => row % 3 === 0, bitmapBytes: 188 },
    { name: 'all', isNull: () => true, bitmapBytes: 188 },
  ])('$name', ({ isNull, bitmapBytes }) => {
    const builder = new WordBuilder({ kind: 'int32' }, 1, 122_880);
    const expected = Array.from({ length: ROWS }, (_, row) => (isNull(row) ? null : row * 7));
    for (const value of expected) {
      if (value === null) builder.appendNull();
      else builder.append(value);
    }
    const data = builder.build();
    expect(numbersOf(data)).toEqual(expected);
    expect(data.nullBitmap.byteLength).toBe(bitmapBytes);
    expect(builder.length).toBe(0);
  });
});

describe('a builder is used again after build', () => {
  test.each([
    { name: 'a batch that is not full', rows: 5, limit: 100 },
    { name: 'a batch exactly as large as its limit', rows: 100, limit: 100 },
    { name: 'a batch beyond its limit', rows: 700, limit: 100 },
  ])('$name', ({ rows, limit }) => {
    const words = new WordBuilder({ kind: 'int64' }, 2, limit);
    const texts = new HeapBuilder({ kind: 'varchar' }, limit);
    const batches = [1, 2, 3].map((batch) => {
      for (let row = 0; row < rows; row++) {
        const text = Buffer.from(`${batch}-${row}-${'x'.repeat(row % 60)}`);
        if (row === batch) {
          words.appendNull();
          texts.appendNull();
        } else {
          words.appendSafe(batch * -1e12 + row);
          texts.append(text, 0, text.length);
        }
      }
      return { words: words.build(), texts: texts.build() };
    });
    for (const [index, built] of batches.entries()) {
      const batch = index + 1;
      const range = Array.from({ length: rows }, (_, row) => row);
      expect(numbersOf(built.words)).toEqual(range.map((row) => (row === batch ? null : batch * -1e12 + row)));
      expect(textsOf(built.texts)).toEqual(
        range.map((row) => (row === batch ? null : `${batch}-${row}-${'x'.repeat(row % 60)}`)),
      );
    }
  });
});

test('buffers are trimmed to the rows', () => {
  const builder = new ShortBuilder({ kind: 'int16' }, 1000);
  builder.append(-2);
  builder.append(5);
  expect(builder.build().values).toEqual(Int16Array.of(-2, 5));
});

test('a cell that is NULL holds zeros, whatever stood there in the batch before', () => {
  const builder = new WordBuilder({ kind: 'uuid' }, 4, 10);
  builder.appendQuad(-1, -1, -1, -1);
  builder.build();
  builder.appendNull();
  expect(Buffer.from(builder.build().values).toString('hex')).toBe('00'.repeat(16));
});

test('truncate drops cells and their NULLs', () => {
  const child = new HeapBuilder({ kind: 'varchar' }, 10);
  const builder = new ListBuilder({ kind: 'list', element: { kind: 'varchar' } }, child, 10);
  const append = (text: string) => child.append(Buffer.from(text), 0, text.length);
  append('a');
  child.appendNull();
  builder.appendList();
  append('b');
  child.appendNull();
  child.truncate(2);
  append('c');
  builder.appendList();
  builder.appendNull();
  append('dropped');
  builder.appendList();
  builder.truncate(3);
  expect(cellsOf(builder.build())).toEqual([['61', null], ['63'], null]);
});

test('reserve gives a place to write into', () => {
  const builder = new HeapBuilder({ kind: 'blob' }, 10);
  const at = builder.reserve(3);
  builder.target.set([1, 2, 3], at);
  builder.reserve(0);
  expect(cellsOf(builder.build())).toEqual(['010203', '']);
});

test('byteLength counts what the cells take', () => {
  const bytes = new ByteBuilder({ kind: 'boolean' }, 10);
  bytes.append(1);
  const heap = new HeapBuilder({ kind: 'varchar' }, 10);
  heap.append(Buffer.from('abc'), 0, 3);
  expect([bytes.byteLength, heap.byteLength]).toEqual([1, 7]);
});
