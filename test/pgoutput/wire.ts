/** Builds wire bytes for tests: binary COPY, backend messages and pgoutput messages, each by the name it has in the Postgres docs. */

/** A growing big-endian byte string. */
export class Wire {
  readonly #parts: Buffer[] = [];

  byte(value: number): this {
    return this.bytes(Buffer.from([value & 0xff]));
  }

  int16(value: number): this {
    const part = Buffer.alloc(2);
    part.writeUInt16BE(value & 0xffff);
    return this.bytes(part);
  }

  int32(value: number): this {
    const part = Buffer.alloc(4);
    part.writeUInt32BE(value >>> 0);
    return this.bytes(part);
  }

  int64(value: bigint): this {
    const part = Buffer.alloc(8);
    part.writeBigUInt64BE(BigInt.asUintN(64, value));
    return this.bytes(part);
  }

  letter(value: string): this {
    return this.bytes(Buffer.from(value, 'latin1'));
  }

  cString(value: string): this {
    return this.bytes(Buffer.from(`${value}\0`, 'utf8'));
  }

  bytes(value: Uint8Array): this {
    this.#parts.push(Buffer.from(value));
    return this;
  }

  build(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

/** A field of binary COPY or a value of a pgoutput tuple: its bytes, or null. */
export type WireValue = Uint8Array | string | null;

function bytesOf(value: Uint8Array | string): Buffer {
  return typeof value === 'string' ? Buffer.from(value, 'utf8') : Buffer.from(value);
}

// --- binary COPY

export const copyHeader: Buffer = new Wire()
  .bytes(Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'))
  .int32(0)
  .int32(0)
  .build();

export const copyTrailer: Buffer = new Wire().int16(-1).build();

export function copyTuple(values: readonly WireValue[]): Buffer {
  const wire = new Wire().int16(values.length);
  for (const value of values) {
    if (value === null) wire.int32(-1);
    else wire.int32(bytesOf(value).length).bytes(bytesOf(value));
  }
  return wire.build();
}

/** Header, tuples and trailer. */
export function copyPayload(tuples: readonly (readonly WireValue[])[]): Buffer {
  return Buffer.concat([copyHeader, ...tuples.map(copyTuple), copyTrailer]);
}

// --- backend messages

export function backendMessage(code: string, body: Uint8Array): Buffer {
  return new Wire()
    .letter(code)
    .int32(body.length + 4)
    .bytes(body)
    .build();
}

export function copyOutResponse(columns: number): Buffer {
  const body = new Wire().byte(1).int16(columns);
  for (let i = 0; i < columns; i++) body.int16(1);
  return backendMessage('H', body.build());
}

export function errorResponse(fields: Readonly<Record<string, string>>, code: 'E' | 'N' = 'E'): Buffer {
  const body = new Wire();
  for (const [letter, text] of Object.entries(fields)) body.letter(letter).cString(text);
  return backendMessage(code, body.byte(0).build());
}

// --- pgoutput

/** What a tuple holds: text, NULL, an unchanged TOAST value, or binary. */
export type TupleValue = string | null | { readonly unchanged: true } | { readonly binary: Uint8Array };

export const UNCHANGED: TupleValue = { unchanged: true };

export function tupleData(values: readonly TupleValue[]): Buffer {
  const wire = new Wire().int16(values.length);
  for (const value of values) {
    if (value === null) wire.letter('n');
    else if (typeof value === 'string') wire.letter('t').int32(Buffer.byteLength(value)).bytes(bytesOf(value));
    else if ('unchanged' in value) wire.letter('u');
    else wire.letter('b').int32(value.binary.length).bytes(value.binary);
  }
  return wire.build();
}

/** Microseconds since 2000-01-01 as the wire carries them. */
export function begin(finalLsn: bigint, commitTs: bigint, xid: number): Buffer {
  return new Wire().letter('B').int64(finalLsn).int64(commitTs).int32(xid).build();
}

export function commit(commitLsn: bigint, endLsn: bigint, commitTs: bigint): Buffer {
  return new Wire().letter('C').byte(0).int64(commitLsn).int64(endLsn).int64(commitTs).build();
}

export function origin(lsn: bigint, name: string): Buffer {
  return new Wire().letter('O').int64(lsn).cString(name).build();
}

export interface WireColumn {
  readonly name: string;
  readonly key?: boolean;
  readonly oid: number;
  readonly typmod?: number;
}

export function relation(
  oid: number,
  schema: string,
  name: string,
  columns: readonly WireColumn[],
  identity = 'd',
  streamXid?: number,
): Buffer {
  const wire = coded('R', streamXid).int32(oid).cString(schema).cString(name).letter(identity).int16(columns.length);
  for (const column of columns) {
    wire
      .byte(column.key === true ? 1 : 0)
      .cString(column.name)
      .int32(column.oid)
      .int32(column.typmod ?? -1);
  }
  return wire.build();
}

export function typeMessage(oid: number, schema: string, name: string, streamXid?: number): Buffer {
  return coded('Y', streamXid).int32(oid).cString(schema).cString(name).build();
}

export function insert(relationOid: number, row: readonly TupleValue[], streamXid?: number): Buffer {
  return coded('I', streamXid).int32(relationOid).letter('N').bytes(tupleData(row)).build();
}

export function update(
  relationOid: number,
  row: readonly TupleValue[],
  old?: { readonly mark: 'K' | 'O'; readonly row: readonly TupleValue[] },
  streamXid?: number,
): Buffer {
  const wire = coded('U', streamXid).int32(relationOid);
  if (old !== undefined) wire.letter(old.mark).bytes(tupleData(old.row));
  return wire.letter('N').bytes(tupleData(row)).build();
}

export function deletion(relationOid: number, mark: 'K' | 'O', row: readonly TupleValue[], streamXid?: number): Buffer {
  return coded('D', streamXid).int32(relationOid).letter(mark).bytes(tupleData(row)).build();
}

export function truncate(relationOids: readonly number[], options = 0, streamXid?: number): Buffer {
  const wire = coded('T', streamXid).int32(relationOids.length).byte(options);
  for (const oid of relationOids) wire.int32(oid);
  return wire.build();
}

export function logicalMessage(
  flags: number,
  lsn: bigint,
  prefix: string,
  content: Uint8Array,
  streamXid?: number,
): Buffer {
  return coded('M', streamXid).byte(flags).int64(lsn).cString(prefix).int32(content.length).bytes(content).build();
}

export function streamStart(xid: number, first: boolean): Buffer {
  return new Wire()
    .letter('S')
    .int32(xid)
    .byte(first ? 1 : 0)
    .build();
}

export function streamStop(): Buffer {
  return new Wire().letter('E').build();
}

export function streamCommit(xid: number, commitLsn: bigint, endLsn: bigint, commitTs: bigint): Buffer {
  return new Wire().letter('c').int32(xid).byte(0).int64(commitLsn).int64(endLsn).int64(commitTs).build();
}

export function streamAbort(xid: number, subxid: number): Buffer {
  return new Wire().letter('A').int32(xid).int32(subxid).build();
}

function coded(code: string, streamXid: number | undefined): Wire {
  const wire = new Wire().letter(code);
  return streamXid === undefined ? wire : wire.int32(streamXid);
}
