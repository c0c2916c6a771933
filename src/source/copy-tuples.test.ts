import { describe, expect, test } from 'vitest';
import { copyHeader, copyPayload, copyTrailer, copyTuple, Wire, type WireValue } from '../../test/pgoutput/wire.js';
import { CopyTupleReader } from './copy-tuples.js';

const TUPLES: readonly (readonly WireValue[])[] = [
  ['a', null, ''],
  [null, null, null],
  ['x'.repeat(300), 'é', Uint8Array.of(0, 255)],
  ['last', 'y'.repeat(9000), null],
];
const EXPECTED = TUPLES.map((tuple) =>
  tuple.map((value) => (value === null ? null : Buffer.from(value).toString('hex'))),
);

/** Feeds the pieces in one reused buffer, so that a reader that keeps a reference would show. */
function read(pieces: Iterable<Uint8Array>, fields = 3): (string | null)[][] {
  const rows: (string | null)[][] = [];
  const reader = new CopyTupleReader(fields, (bytes) => {
    rows.push(
      Array.from(reader.lengths, (length, field) => {
        const start = reader.starts[field] ?? 0;
        return length < 0 ? null : Buffer.from(bytes.subarray(start, start + length)).toString('hex');
      }),
    );
  });
  const reused = Buffer.alloc(100_000);
  for (const piece of pieces) {
    reused.fill(0xee);
    reused.set(piece, 5);
    reader.feed(reused, 5, 5 + piece.length);
  }
  reader.finish();
  return rows;
}

function* chunks(bytes: Uint8Array, size: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

const payload = copyPayload(TUPLES);

describe('the payload may be cut anywhere', () => {
  test('in two at every offset', () => {
    for (let cut = 0; cut <= payload.length; cut++) {
      expect(read([payload.subarray(0, cut), payload.subarray(cut)])).toEqual(EXPECTED);
    }
  });

  test('into chunks of 1 to 128 bytes', () => {
    for (let size = 1; size <= 128; size++) expect(read(chunks(payload, size))).toEqual(EXPECTED);
  });

  test('with a header extension', () => {
    const extended = new Wire().bytes(copyHeader.subarray(0, 15)).int32(4).letter('ext!').build();
    const bytes = Buffer.concat([extended, copyTuple(['a', 'b', 'c']), copyTrailer]);
    for (const size of [1, 7, 1000]) expect(read(chunks(bytes, size))).toEqual([['61', '62', '63']]);
  });

  test('a table without columns', () => {
    expect(read([copyPayload([[], []])], 0)).toEqual([[], []]);
  });
});

describe('what is no binary COPY is refused', () => {
  test.each<{ name: string; bytes: Uint8Array; message: RegExp }>([
    { name: 'another signature', bytes: Buffer.alloc(19, 0x41), message: /no signature/ },
    {
      name: 'a critical flag',
      bytes: new Wire().bytes(copyHeader.subarray(0, 11)).int32(0x10000).int32(0).build(),
      message: /flags/,
    },
    { name: 'no trailer', bytes: payload.subarray(0, -2), message: /before its trailer/ },
    { name: 'a cut tuple', bytes: payload.subarray(0, -3), message: /before its trailer/ },
    { name: 'nothing at all', bytes: new Uint8Array(0), message: /before its trailer/ },
    {
      name: 'bytes after the trailer',
      bytes: Buffer.concat([payload, Buffer.from('x')]),
      message: /after the trailer/,
    },
    { name: 'another number of fields', bytes: copyPayload([['a', 'b']]), message: /2 fields where 3/ },
    {
      name: 'a negative length',
      bytes: Buffer.concat([copyHeader, new Wire().int16(3).int32(-2).build()]),
      message: /-2 bytes/,
    },
  ])('$name', ({ bytes, message }) => {
    expect(() => read([bytes])).toThrowError(
      expect.objectContaining({ code: 'PROTOCOL_VIOLATION', message: expect.stringMatching(message) }),
    );
  });
});
