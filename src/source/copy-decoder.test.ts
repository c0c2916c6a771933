import type { RecordBatch } from 'apache-arrow';
import { describe, expect, test } from 'vitest';
import { numbersOf, textsOf } from '../../test/batch/cells.js';
import { decodedColumn, numericTypmod, observedType } from '../../test/pgoutput/columns.js';
import { copyPayload, Wire, type WireValue } from '../../test/pgoutput/wire.js';
import { CopyTableDecoder, type DecodedColumn } from './copy-decoder.js';

const COLUMNS: readonly DecodedColumn[] = [
  decodedColumn('id', observedType('int4'), { kind: 'int32' }),
  decodedColumn('note', observedType('text'), { kind: 'varchar' }),
  decodedColumn('price', observedType('numeric', { typmod: numericTypmod(4, 0) }), {
    kind: 'decimal',
    precision: 4,
    scale: 0,
  }),
];
const NAN = new Wire().int16(0).int16(0).int16(0xc000).int16(0).build();
const SEVEN = new Wire().int16(1).int16(0).int16(0).int16(0).int16(7).build();
const int4 = (value: number): Buffer => new Wire().int32(value).build();

function decode(rows: readonly (readonly WireValue[])[], limits: { maxRows: number; maxBytes: number }, chunk = 1e9) {
  const batches: RecordBatch[] = [];
  const decoder = new CopyTableDecoder(COLUMNS, limits, (batch) => batches.push(batch));
  const payload = copyPayload(rows);
  for (let at = 0; at < payload.length; at += chunk) decoder.feed(payload, at, Math.min(payload.length, at + chunk));
  return { batches, result: decoder.finish() };
}

describe('rows become batches', () => {
  const rows = Array.from({ length: 10 }, (_, i): WireValue[] => [
    int4(i),
    i % 4 === 0 ? null : `note ${i}`,
    i === 5 ? NAN : SEVEN,
  ]);

  test.each([
    { name: 'one batch where the limits are far', limits: { maxRows: 100, maxBytes: 1e6 }, sizes: [10] },
    { name: 'full batches and the rest', limits: { maxRows: 4, maxBytes: 1e6 }, sizes: [4, 4, 2] },
    { name: 'no empty batch at the end', limits: { maxRows: 5, maxBytes: 1e6 }, sizes: [5, 5] },
    {
      name: 'early for their bytes',
      limits: { maxRows: 100, maxBytes: 1 },
      sizes: Array.from({ length: 10 }, () => 1),
    },
  ])('$name', ({ limits, sizes }) => {
    const { batches, result } = decode(rows, limits, 3);
    expect(batches.map((batch) => batch.numRows)).toEqual(sizes);
    const column = <T>(index: number, read: (data: RecordBatch['data']['children'][number]) => T[]) =>
      batches.flatMap((batch) => read(batch.data.children[index]!));
    expect(column(0, numbersOf)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(column(1, textsOf)).toEqual(rows.map((row) => row[1]));
    expect(column(2, numbersOf)).toEqual([7, 7, 7, 7, 7, null, 7, 7, 7, 7]);
    expect(result.rows).toBe(10);
    expect(result.rejected).toEqual([0, 0, 1]);
    expect(result.bytes).toBe(copyPayload(rows).length - 19 - 2);
  });
});

test('an empty table gives no batch', () => {
  expect(decode([], { maxRows: 10, maxBytes: 10 })).toEqual({
    batches: [],
    result: { rows: 0, bytes: 0, rejected: [0, 0, 0] },
  });
});

test('a malformed value names its column', () => {
  expect(() => decode([[int4(1), 'a', Buffer.from('zz')]], { maxRows: 10, maxBytes: 10 })).toThrowError(
    expect.objectContaining({ code: 'VALUE_MALFORMED', message: expect.stringMatching(/^column "price": /) }),
  );
});

test('columns can be sent to a thread', () => {
  expect(structuredClone(COLUMNS)).toEqual(COLUMNS);
});
