import { SluiceError } from '../error/sluice-error.js';
import { POSTGRES_EPOCH_MICROS } from '../source/codec/calendar.js';
import { Cursor } from './cursor.js';
import {
  CODE,
  describeByte,
  MARK,
  type Message,
  type OldTuple,
  type Relation,
  type RelationColumn,
  type Tuple,
  type TupleValue,
} from './message.js';

/**
 * Decodes one pgoutput message.
 * @param streamed whether it stands between stream_start and stream_stop (protocol 2), where messages carry their xid
 * @returns times in microseconds since 1970-01-01 UTC
 * @throws SluiceError PROTOCOL_VIOLATION for an unknown code, a cut message or bytes after its end
 */
export function decodeMessage(bytes: Uint8Array, start: number, end: number, streamed = false): Message {
  const cursor = new Cursor(bytes, start, end);
  const code = cursor.left > 0 ? cursor.byte() : undefined;
  try {
    const message = readMessage(code, cursor, streamed);
    cursor.finish();
    return message;
  } catch (error) {
    if (!(error instanceof SluiceError) || error.code !== 'PROTOCOL_VIOLATION') throw error;
    throw new SluiceError({
      code: 'PROTOCOL_VIOLATION',
      message: `pgoutput message ${describeByte(code)}: ${error.message}`,
      cause: error,
    });
  }
}

function readMessage(code: number | undefined, cursor: Cursor, streamed: boolean): Message {
  switch (code) {
    case CODE.begin: // B
      return { kind: 'begin', finalLsn: cursor.lsn(), commitTs: timestamp(cursor), xid: cursor.uint32() };
    case CODE.commit: // C
      return readCommit(cursor);
    case CODE.origin: // O
      return { kind: 'origin', lsn: cursor.lsn(), name: cursor.text() };
    case CODE.streamStart: // S
      return { kind: 'stream_start', xid: cursor.uint32(), firstSegment: cursor.byte() === 1 };
    case CODE.streamStop: // E
      return { kind: 'stream_stop' };
    case CODE.streamCommit: // c
      return { ...readCommitTail(cursor), kind: 'stream_commit' };
    case CODE.streamAbort: // A
      return { kind: 'stream_abort', xid: cursor.uint32(), subxid: cursor.uint32() };
    default:
      return readStreamable(code, cursor, streamed);
  }
}

function readStreamable(code: number | undefined, cursor: Cursor, streamed: boolean): Message {
  switch (code) {
    case CODE.relation: // R
      return { kind: 'relation', streamXid: streamXid(cursor, streamed), relation: readRelation(cursor) };
    case CODE.type: // Y
      return {
        kind: 'type',
        streamXid: streamXid(cursor, streamed),
        oid: cursor.uint32(),
        schema: schemaName(cursor.text()),
        name: cursor.text(),
      };
    case CODE.insert: // I
      return {
        kind: 'insert',
        streamXid: streamXid(cursor, streamed),
        relationOid: cursor.uint32(),
        row: readNewRow(cursor),
      };
    case CODE.update: // U
      return readUpdate(cursor, streamXid(cursor, streamed));
    case CODE.delete: // D
      return readDelete(cursor, streamXid(cursor, streamed));
    case CODE.truncate: // T
      return readTruncate(cursor, streamXid(cursor, streamed));
    case CODE.message: // M
      return {
        kind: 'message',
        streamXid: streamXid(cursor, streamed),
        transactional: (cursor.byte() & 1) === 1,
        lsn: cursor.lsn(),
        prefix: cursor.text(),
        content: cursor.slice(cursor.int32()),
      };
    default:
      throw violation('unknown code');
  }
}

function streamXid(cursor: Cursor, streamed: boolean): number | null {
  return streamed ? cursor.uint32() : null;
}

function timestamp(cursor: Cursor): bigint {
  return cursor.int64() + BigInt(POSTGRES_EPOCH_MICROS);
}

function readCommit(cursor: Cursor): Message {
  cursor.byte(); // flags, none in use
  return { kind: 'commit', commitLsn: cursor.lsn(), endLsn: cursor.lsn(), commitTs: timestamp(cursor) };
}

function readCommitTail(cursor: Cursor) {
  const xid = cursor.uint32();
  cursor.byte(); // flags, none in use
  return { xid, commitLsn: cursor.lsn(), endLsn: cursor.lsn(), commitTs: timestamp(cursor) };
}

function readRelation(cursor: Cursor): Relation {
  const oid = cursor.uint32();
  const schema = schemaName(cursor.text());
  const name = cursor.text();
  const identity = replicaIdentity(cursor.byte());
  const columns: RelationColumn[] = [];
  for (let left = cursor.uint16(); left > 0; left--) {
    const flags = cursor.byte();
    columns.push({
      name: cursor.text(),
      key: (flags & 1) === 1,
      typeOid: cursor.uint32(),
      typmod: cursor.int32(),
    });
  }
  return { oid, schema, name, identity, columns };
}

/** pg_catalog is sent as an empty name. */
function schemaName(text: string): string {
  return text === '' ? 'pg_catalog' : text;
}

function replicaIdentity(byte: number): Relation['identity'] {
  const letter = String.fromCharCode(byte);
  switch (letter) {
    case 'd':
    case 'n':
    case 'f':
    case 'i':
      return letter;
    default:
      throw violation(`unknown replica identity ${describeByte(byte)}`);
  }
}

function readNewRow(cursor: Cursor): Tuple {
  const mark = cursor.byte();
  if (mark !== MARK.newRow) throw violation(`${describeByte(mark)} where a new row was due`);
  return readTuple(cursor);
}

function readUpdate(cursor: Cursor, xid: number | null): Message {
  const relationOid = cursor.uint32();
  const mark = cursor.byte();
  if (mark === MARK.newRow) return { kind: 'update', streamXid: xid, relationOid, old: null, row: readTuple(cursor) };
  const old = readOldTuple(cursor, mark);
  return { kind: 'update', streamXid: xid, relationOid, old, row: readNewRow(cursor) };
}

function readDelete(cursor: Cursor, xid: number | null): Message {
  const relationOid = cursor.uint32();
  return { kind: 'delete', streamXid: xid, relationOid, old: readOldTuple(cursor, cursor.byte()) };
}

function readOldTuple(cursor: Cursor, mark: number): OldTuple {
  if (mark === MARK.key) return { kind: 'key', row: readTuple(cursor) };
  if (mark === MARK.full) return { kind: 'full', row: readTuple(cursor) };
  throw violation(`${describeByte(mark)} where an old row was due`);
}

function readTruncate(cursor: Cursor, xid: number | null): Message {
  const count = cursor.uint32();
  const options = cursor.byte();
  const relationOids: number[] = [];
  for (let i = 0; i < count; i++) relationOids.push(cursor.uint32());
  return {
    kind: 'truncate',
    streamXid: xid,
    relationOids,
    cascade: (options & 1) !== 0,
    restartIdentity: (options & 2) !== 0,
  };
}

function readTuple(cursor: Cursor): Tuple {
  const values: TupleValue[] = [];
  for (let left = cursor.uint16(); left > 0; left--) values.push(readValue(cursor));
  return values;
}

function readValue(cursor: Cursor): TupleValue {
  const mark = cursor.byte();
  switch (mark) {
    case MARK.null:
      return { kind: 'null' };
    case MARK.unchanged:
      return { kind: 'unchanged' };
    case MARK.text:
      return { kind: 'text', bytes: cursor.slice(cursor.int32()) };
    case MARK.binary:
      return { kind: 'binary', bytes: cursor.slice(cursor.int32()) };
    default:
      throw violation(`unknown kind of value ${describeByte(mark)}`);
  }
}

function violation(message: string): SluiceError {
  return new SluiceError({ code: 'PROTOCOL_VIOLATION', message });
}
