/**
 * The floor that a sync is held against: one `COPY ... TO STDOUT (FORMAT binary)` over a raw socket into nothing. Bytes
 * land in one buffer that is used again and are looked at only to find the end. Arguments: port, database, SQL that is
 * run first ('' for none), the COPY. The server has to trust the user postgres on 127.0.0.1. Prints the rows as JSON.
 */
import { connect } from 'node:net';

const PROTOCOL_3 = 196_608;
const ERROR_RESPONSE = 0x45; // E
const RECEIVE_BUFFER_BYTES = 256 * 1024;
/** CommandComplete with its tag and ReadyForQuery are shorter. */
const TAIL_BYTES = 64;
/** ReadyForQuery in an idle session: the end of an answer, unless rows happen to hold these bytes. */
const READY = Buffer.of(0x5a, 0, 0, 0, 5, 0x49).toString('latin1');
/** A finished COPY says so right before it. */
const COPY_TAG = /COPY (\d+).$/s;

const [port = '', database = '', setUp = '', copy = ''] = process.argv.slice(2);

/** @param {string} code @param {string} text */
function message(code, text) {
  const body = Buffer.from(`${text}\0`, 'utf8');
  const head = Buffer.alloc(code.length + 4);
  head.write(code, 'latin1');
  head.writeInt32BE(4 + body.length, code.length);
  return Buffer.concat([head, body]);
}

const version = Buffer.alloc(4);
version.writeInt32BE(PROTOCOL_3);
const startup = message('', `${version.toString('latin1')}user\0postgres\0database\0${database}\0`);

let tail = '';
let step = 0;
const steps = [...(setUp === '' ? [] : [message('Q', setUp)]), message('Q', copy)];

/** @param {string} text */
function fail(text) {
  process.stderr.write(`floor: ${text}\n`);
  process.exit(1);
}

/** @param {number} length @param {Uint8Array} bytes */
function receive(length, bytes) {
  const piece = Buffer.from(bytes.buffer, bytes.byteOffset, length);
  tail = (tail + piece.toString('latin1', Math.max(0, length - TAIL_BYTES))).slice(-TAIL_BYTES);
  if (step < steps.length) {
    if (!tail.endsWith(READY)) return true;
    tail = '';
    socket.write(steps[step++] ?? '');
    return true;
  }
  if (!tail.endsWith(READY)) return true;
  const [, rows] = COPY_TAG.exec(tail.slice(0, -READY.length)) ?? [];
  if (rows !== undefined) {
    process.stdout.write(`${JSON.stringify({ rows: Number(rows) })}\n`);
    socket.destroy();
  } else if (piece[0] === ERROR_RESPONSE) {
    fail(piece.toString('utf8').replaceAll('\0', ' '));
  }
  return true;
}

const socket = connect({
  port: Number(port),
  host: '127.0.0.1',
  noDelay: true,
  onread: { buffer: Buffer.allocUnsafeSlow(RECEIVE_BUFFER_BYTES), callback: receive },
});
socket.on('connect', () => socket.write(startup));
socket.on('error', (error) => fail(error.message));
socket.on('end', () => fail('the server closed the connection'));
