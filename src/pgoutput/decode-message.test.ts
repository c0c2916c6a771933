import { describe, expect, test } from 'vitest';
import * as wire from '../../test/pgoutput/wire.js';
import { decodeMessage } from './decode-message.js';
import type { Message } from './message.js';

const text = (value: string) => ({ kind: 'text', bytes: new Uint8Array(Buffer.from(value)) });
const NULL = { kind: 'null' };
const UNCHANGED = { kind: 'unchanged' };
const MICROS_2000 = 946_684_800_000_000n;

interface Row {
  readonly name: string;
  readonly bytes: Buffer;
  readonly streamed?: true;
  readonly message: unknown;
}

const columns: readonly wire.WireColumn[] = [
  { name: 'id', key: true, oid: 4_294_967_295, typmod: -1 },
  { name: 'naïve', oid: 1700, typmod: 655_366 },
];

const ROWS: readonly Row[] = [
  {
    name: 'B begin',
    bytes: wire.begin(0x16b374d848n, 5n, 4_294_967_295),
    message: { kind: 'begin', finalLsn: 0x16b374d848n, commitTs: MICROS_2000 + 5n, xid: 4_294_967_295 },
  },
  {
    name: 'C commit',
    bytes: wire.commit(1n, 2n ** 64n - 1n, -1n),
    message: { kind: 'commit', commitLsn: 1n, endLsn: 2n ** 64n - 1n, commitTs: MICROS_2000 - 1n },
  },
  { name: 'O origin', bytes: wire.origin(7n, 'elsewhere'), message: { kind: 'origin', lsn: 7n, name: 'elsewhere' } },
  {
    name: 'R relation',
    bytes: wire.relation(9, 'public', 't', columns),
    message: {
      kind: 'relation',
      streamXid: null,
      relation: {
        oid: 9,
        schema: 'public',
        name: 't',
        identity: 'd',
        columns: [
          { name: 'id', key: true, typeOid: 4_294_967_295, typmod: -1 },
          { name: 'naïve', key: false, typeOid: 1700, typmod: 655_366 },
        ],
      },
    },
  },
  {
    name: 'R of pg_catalog',
    bytes: wire.relation(9, '', 't', [], 'f', 77),
    streamed: true,
    message: {
      kind: 'relation',
      streamXid: 77,
      relation: { oid: 9, schema: 'pg_catalog', name: 't', identity: 'f', columns: [] },
    },
  },
  {
    name: 'Y type',
    bytes: wire.typeMessage(5, 'x', 'mood'),
    message: { kind: 'type', streamXid: null, oid: 5, schema: 'x', name: 'mood' },
  },
  {
    name: 'I insert',
    bytes: wire.insert(9, ['1', null, '']),
    message: { kind: 'insert', streamXid: null, relationOid: 9, row: [text('1'), NULL, text('')] },
  },
  {
    name: 'I in a streamed block',
    bytes: wire.insert(9, ['1'], 77),
    streamed: true,
    message: { kind: 'insert', streamXid: 77, relationOid: 9, row: [text('1')] },
  },
  {
    name: 'I with a binary value',
    bytes: wire.insert(9, [{ binary: Uint8Array.of(1, 2) }]),
    message: { kind: 'insert', streamXid: null, relationOid: 9, row: [{ kind: 'binary', bytes: Uint8Array.of(1, 2) }] },
  },
  {
    name: 'U without an old row',
    bytes: wire.update(9, ['1', wire.UNCHANGED]),
    message: { kind: 'update', streamXid: null, relationOid: 9, old: null, row: [text('1'), UNCHANGED] },
  },
  {
    name: 'U with an old key',
    bytes: wire.update(9, ['2', 'a'], { mark: 'K', row: ['1', null] }),
    message: {
      kind: 'update',
      streamXid: null,
      relationOid: 9,
      old: { kind: 'key', row: [text('1'), NULL] },
      row: [text('2'), text('a')],
    },
  },
  {
    name: 'U with an old row',
    bytes: wire.update(9, ['1', 'b'], { mark: 'O', row: ['1', 'a'] }, 3),
    streamed: true,
    message: {
      kind: 'update',
      streamXid: 3,
      relationOid: 9,
      old: { kind: 'full', row: [text('1'), text('a')] },
      row: [text('1'), text('b')],
    },
  },
  {
    name: 'D with a key',
    bytes: wire.deletion(9, 'K', ['1', null]),
    message: { kind: 'delete', streamXid: null, relationOid: 9, old: { kind: 'key', row: [text('1'), NULL] } },
  },
  {
    name: 'D with the row',
    bytes: wire.deletion(9, 'O', ['1', 'a']),
    message: { kind: 'delete', streamXid: null, relationOid: 9, old: { kind: 'full', row: [text('1'), text('a')] } },
  },
  {
    name: 'T truncate',
    bytes: wire.truncate([9, 10], 3),
    message: { kind: 'truncate', streamXid: null, relationOids: [9, 10], cascade: true, restartIdentity: true },
  },
  {
    name: 'M message',
    bytes: wire.logicalMessage(1, 8n, 'sluice', Uint8Array.of(0, 255)),
    message: {
      kind: 'message',
      streamXid: null,
      transactional: true,
      lsn: 8n,
      prefix: 'sluice',
      content: Uint8Array.of(0, 255),
    },
  },
  {
    name: 'S stream start',
    bytes: wire.streamStart(77, true),
    message: { kind: 'stream_start', xid: 77, firstSegment: true },
  },
  { name: 'E stream stop', bytes: wire.streamStop(), message: { kind: 'stream_stop' } },
  {
    name: 'c stream commit',
    bytes: wire.streamCommit(77, 1n, 2n, 0n),
    message: { kind: 'stream_commit', xid: 77, commitLsn: 1n, endLsn: 2n, commitTs: MICROS_2000 },
  },
  { name: 'A stream abort', bytes: wire.streamAbort(77, 78), message: { kind: 'stream_abort', xid: 77, subxid: 78 } },
];

/** Decodes from the middle of a larger buffer, so that a read beyond the message would show. */
function decode(bytes: Buffer, streamed = false): Message {
  const framed = Buffer.concat([Buffer.alloc(3, 0x74), bytes, Buffer.alloc(64, 0x74)]);
  return decodeMessage(framed, 3, 3 + bytes.length, streamed);
}

describe('each message', () => {
  test.each(ROWS)('$name', ({ bytes, streamed, message }) => {
    expect(decode(bytes, streamed)).toEqual(message);
  });

  test.each(ROWS)('$name cut at any offset, or with a byte too many', ({ bytes, streamed }) => {
    for (let cut = 0; cut < bytes.length; cut++) {
      expect(() => decode(bytes.subarray(0, cut), streamed)).toThrowError(
        expect.objectContaining({ code: 'PROTOCOL_VIOLATION' }),
      );
    }
    const longer = Buffer.concat([bytes, Buffer.from('t')]);
    expect(() => decode(longer, streamed)).toThrowError(expect.objectContaining({ code: 'PROTOCOL_VIOLATION' }));
  });
});

describe('what is no message names the byte', () => {
  test.each([
    { name: 'an unknown code', bytes: Buffer.from('X'), message: 'pgoutput message "X" (0x58): unknown code' },
    { name: 'an unprintable code', bytes: Buffer.from([0x01]), message: 'pgoutput message 0x01: unknown code' },
    { name: 'nothing', bytes: Buffer.alloc(0), message: 'pgoutput message nothing: unknown code' },
    {
      name: 'an unknown kind of value',
      bytes: new wire.Wire().letter('I').int32(1).letter('N').int16(1).letter('z').build(),
      message: 'pgoutput message "I" (0x49): unknown kind of value "z" (0x7a)',
    },
    {
      name: 'an unknown kind of row',
      bytes: new wire.Wire().letter('D').int32(1).letter('N').int16(0).build(),
      message: 'pgoutput message "D" (0x44): "N" (0x4e) where an old row was due',
    },
    {
      name: 'an insert without a new row',
      bytes: new wire.Wire().letter('I').int32(1).letter('K').int16(0).build(),
      message: 'pgoutput message "I" (0x49): "K" (0x4b) where a new row was due',
    },
    {
      name: 'an unknown identity',
      bytes: wire.relation(1, 's', 't', [], 'q'),
      message: 'pgoutput message "R" (0x52): unknown replica identity "q" (0x71)',
    },
    {
      name: 'a negative length',
      bytes: new wire.Wire().letter('I').int32(1).letter('N').int16(1).letter('t').int32(-1).build(),
      message: 'pgoutput message "I" (0x49): cut short',
    },
  ])('$name', ({ bytes, message }) => {
    expect(() => decode(bytes)).toThrowError(expect.objectContaining({ code: 'PROTOCOL_VIOLATION', message }));
  });
});
