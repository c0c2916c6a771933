import { describe, expect, test } from 'vitest';
import { backendMessage, copyOutResponse, errorResponse, Wire } from '../../test/pgoutput/wire.js';
import { CopyFrameSplitter } from './copy-frames.js';

const STREAM = Buffer.concat([
  errorResponse({ S: 'HINWEIS', V: 'NOTICE', C: '00000', M: 'nur so' }, 'N'),
  copyOutResponse(3),
  backendMessage('d', Buffer.from('first')),
  backendMessage('d', Buffer.alloc(0)),
  backendMessage('S', new Wire().cString('TimeZone').cString('UTC').build()),
  backendMessage('d', Buffer.from('second, longer')),
  backendMessage('c', Buffer.alloc(0)),
  backendMessage('C', new Wire().cString('COPY 2').build()),
  errorResponse({
    S: 'FEHLER',
    V: 'ERROR',
    C: '42501',
    M: 'kein Zugriff',
    D: 'ein Detail',
    H: 'ein Hinweis',
    W: 'irgendwo',
  }),
  backendMessage('Z', Buffer.from('E')),
]);

const EXPECTED = [
  ['notice', { severity: 'NOTICE', sqlState: '00000', message: 'nur so', detail: null, hint: null, where: null }],
  ['start', true, 3],
  ['data', 'first'],
  ['data', ''],
  ['parameter', 'TimeZone', 'UTC'],
  ['data', 'second, longer'],
  ['done'],
  ['complete', 'COPY 2'],
  [
    'error',
    {
      severity: 'ERROR',
      sqlState: '42501',
      message: 'kein Zugriff',
      detail: 'ein Detail',
      hint: 'ein Hinweis',
      where: 'irgendwo',
    },
  ],
  ['ready', 'E'],
];

function split(pieces: Iterable<Uint8Array>): { log: unknown[]; idle: boolean } {
  const log: unknown[] = [];
  let data = '';
  const splitter = new CopyFrameSplitter({
    onCopyData: (bytes, start, end, last) => {
      data += Buffer.from(bytes.subarray(start, end)).toString();
      if (!last) return;
      log.push(['data', data]);
      data = '';
    },
    onCopyStart: (binary, columns) => log.push(['start', binary, columns]),
    onCopyDone: () => log.push(['done']),
    onCommandComplete: (tag) => log.push(['complete', tag]),
    onError: (error) => log.push(['error', error]),
    onNotice: (notice) => log.push(['notice', notice]),
    onParameter: (name, value) => log.push(['parameter', name, value]),
    onReady: (status) => log.push(['ready', status]),
  });
  const reused = Buffer.alloc(STREAM.length + 10);
  for (const piece of pieces) {
    reused.fill(0xee);
    reused.set(piece, 3);
    splitter.feed(reused, 3, 3 + piece.length);
  }
  return { log, idle: splitter.idle };
}

function* chunks(bytes: Uint8Array, size: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

describe('the stream may be cut anywhere', () => {
  test('in two at every offset', () => {
    for (let cut = 0; cut <= STREAM.length; cut++) {
      expect(split([STREAM.subarray(0, cut), STREAM.subarray(cut)])).toEqual({ log: EXPECTED, idle: true });
    }
  });

  test('into chunks of 1 to 128 bytes', () => {
    for (let size = 1; size <= 128; size++) expect(split(chunks(STREAM, size))).toEqual({ log: EXPECTED, idle: true });
  });
});

test('CopyData within one chunk is handed on in place', () => {
  const frame = backendMessage('d', Buffer.from('payload'));
  const seen: unknown[] = [];
  new CopyFrameSplitter({
    onCopyData: (bytes, start, end, last) => seen.push([bytes === frame, start, end, last]),
    onError: () => undefined,
  }).feed(frame, 0, frame.length);
  expect(seen).toEqual([[true, 5, 12, true]]);
});

test.each([
  { name: 'within a header', cut: 2 },
  { name: 'within CopyData', cut: 9 },
])('is not idle $name', ({ cut }) => {
  expect(split([backendMessage('d', Buffer.from('payload')).subarray(0, cut)]).idle).toBe(false);
});

describe('what is no message of COPY is refused', () => {
  test.each<{ name: string; bytes: Uint8Array; message: RegExp }>([
    { name: 'an unknown code', bytes: backendMessage('?', Buffer.alloc(1)), message: /unknown message "\?" \(0x3f\)/ },
    { name: 'a length below its own size', bytes: new Wire().letter('d').int32(3).build(), message: /of 3 bytes/ },
    { name: 'an error without its end', bytes: backendMessage('E', Buffer.from('Mtext')), message: /without its end/ },
    { name: 'an unknown status', bytes: backendMessage('Z', Buffer.from('?')), message: /unknown transaction status/ },
    { name: 'a cut CopyOutResponse', bytes: backendMessage('H', Buffer.alloc(1)), message: /cut CopyOutResponse/ },
  ])('$name', ({ bytes, message }) => {
    expect(() => split([bytes])).toThrowError(
      expect.objectContaining({ code: 'PROTOCOL_VIOLATION', message: expect.stringMatching(message) }),
    );
  });
});
