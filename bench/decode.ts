import { fileURLToPath } from 'node:url';
import type { LogicalType } from '../src/batch/logical-type.js';
import { ChangeDecoder } from '../src/pgoutput/change-decoder.js';
import { LSN_ZERO } from '../src/pgoutput/lsn.js';
import type { ObservedType } from '../src/source/catalog-model.js';
import { CopyTableDecoder, type DecodedColumn } from '../src/source/copy-decoder.js';
import { OID } from '../src/source/type-oid.js';
import { unchangedShape } from '../test/pgoutput/columns.js';
import { begin, commit, copyHeader, copyTrailer, copyTuple, insert, relation, Wire } from '../test/pgoutput/wire.js';

/**
 * Decoding alone, without a server or a destination: rows like those of the events table (13 mixed columns) from binary
 * COPY and from pgoutput into record batches. Prints nanoseconds of CPU time a value (all threads, so with garbage
 * collection), which other work on the machine disturbs less than the clock.
 */

const CHUNK_BYTES = 65_536;
const BATCH_ROWS = 122_880;
const BATCH_BYTES = 32 * 1024 * 1024;
/** Rows that are built once and decoded over and over; enough of them that no branch learns them by heart. */
const DISTINCT_ROWS = 2_000;

interface SampleColumn {
  readonly column: DecodedColumn;
  readonly binary: (row: number) => Buffer | null;
  readonly text: (row: number) => string | null;
}

const column = (name: string, oid: number, logical: LogicalType, elementOid?: number): DecodedColumn => {
  const element: ObservedType['element'] =
    elementOid === undefined ? null : { oid: elementOid, name: `type${elementOid}`, kind: 'b' };
  const typmod = logical.kind === 'decimal' ? ((logical.precision << 16) | logical.scale) + 4 : -1;
  const source: ObservedType = {
    oid,
    name: name,
    kind: 'b',
    baseOid: oid,
    baseName: name,
    baseKind: 'b',
    typmod,
    element,
  };
  return { name, logical, source };
};

const mixed = (row: number): number => Math.imul(row + 1, 0x9e3779b1) >>> 0;
const hex = (row: number): string =>
  [1, 2, 3, 4]
    .map((n) =>
      mixed(row * n + n)
        .toString(16)
        .padStart(8, '0'),
    )
    .join('');
const uuid = (row: number): string => hex(row).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
const KINDS = ['view', 'click', 'purchase', 'refund', 'signup', 'login', 'logout', 'error'];
const TAGS = ['red', 'green', 'blue', 'alpha', 'beta', 'gamma'];
const POSTGRES_EPOCH = 946_684_800_000_000n;
const micros = (row: number): bigint =>
  1_577_836_800_000_000n + BigInt(mixed(row) % 157_766_400) * 1_000_000n + BigInt(row);
const json = (row: number): string =>
  `{"n": ${row % 1000}, "ip": "${row % 256}.${row % 99}.0.1", "ok": true, "ref": "${hex(row).slice(0, 8)}", "path": "/p/${hex(row).slice(8, 20)}"}`;
const note = (row: number): string | null =>
  row % 5 === 0 ? null : `${hex(row)} lorem ipsum dolor `.repeat(4).slice(0, row % 201);
const tags = (row: number): string[] | null => (row % 10 === 0 ? null : TAGS.slice(row % 3, (row % 3) + 1 + (row % 4)));
const cents = (row: number): number => (mixed(row) % 1_000_000_000) - 100_000_000;

function numericBytes(hundredths: number): Buffer {
  const absolute = Math.abs(hundredths);
  let whole = Math.floor(absolute / 100);
  const groups = [(absolute % 100) * 100];
  for (; whole > 0; whole = Math.floor(whole / 10_000)) groups.unshift(whole % 10_000);
  const wire = new Wire()
    .int16(groups.length)
    .int16(groups.length - 2)
    .int16(hundredths < 0 ? 0x4000 : 0)
    .int16(2);
  for (const group of groups) wire.int16(group);
  return wire.build();
}

function arrayBytes(elements: readonly string[]): Buffer {
  const wire = new Wire().int32(1).int32(0).int32(OID.text).int32(elements.length).int32(1);
  for (const element of elements) wire.int32(element.length).letter(element);
  return wire.build();
}

function doubleBytes(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value);
  return bytes;
}

const utf8 = (text: string | null): Buffer | null => (text === null ? null : Buffer.from(text));
const isoTimestamp = (row: number): string => {
  const iso = new Date(Number(micros(row) / 1000n)).toISOString();
  return `${iso.slice(0, 10)} ${iso.slice(11, 19)}.${(micros(row) % 1_000_000n).toString().padStart(6, '0')}`;
};
const score = (row: number): number => (mixed(row) / 4_294_967_296) * 1000 - 500;

const COLUMNS: readonly SampleColumn[] = [
  {
    column: column('id', OID.int8, { kind: 'int64' }),
    binary: (r) => new Wire().int64(BigInt(r)).build(),
    text: (r) => `${r}`,
  },
  {
    column: column('user_id', OID.int4, { kind: 'int32' }),
    binary: (r) => new Wire().int32(mixed(r) % 200_000).build(),
    text: (r) => `${mixed(r) % 200_000}`,
  },
  {
    column: column('kind', OID.text, { kind: 'varchar' }),
    binary: (r) => utf8(KINDS[mixed(r) % 8] ?? ''),
    text: (r) => KINDS[mixed(r) % 8] ?? '',
  },
  {
    column: column('amount', OID.numeric, { kind: 'decimal', precision: 12, scale: 2 }),
    binary: (r) => numericBytes(cents(r)),
    text: (r) => (cents(r) / 100).toFixed(2),
  },
  {
    column: column('score', OID.float8, { kind: 'float64' }),
    binary: (r) => doubleBytes(score(r)),
    text: (r) => `${score(r)}`,
  },
  {
    column: column('ok', OID.bool, { kind: 'boolean' }),
    binary: (r) => (r % 50 === 0 ? null : new Wire().byte(r & 1).build()),
    text: (r) => (r % 50 === 0 ? null : r & 1 ? 't' : 'f'),
  },
  {
    column: column('created_at', OID.timestamptz, { kind: 'timestamptz' }),
    binary: (r) => new Wire().int64(micros(r) - POSTGRES_EPOCH).build(),
    text: (r) => `${isoTimestamp(r)}+00`,
  },
  {
    column: column('updated_at', OID.timestamp, { kind: 'timestamp' }),
    binary: (r) => new Wire().int64(micros(r) - POSTGRES_EPOCH).build(),
    text: isoTimestamp,
  },
  {
    column: column('day', OID.date, { kind: 'date' }),
    binary: (r) => new Wire().int32(5479 + (r % 4000)).build(),
    text: (r) => new Date((10_957 + 5479 + (r % 4000)) * 86_400_000).toISOString().slice(0, 10),
  },
  { column: column('ref', OID.uuid, { kind: 'uuid' }), binary: (r) => Buffer.from(hex(r), 'hex'), text: uuid },
  {
    column: column('payload', OID.jsonb, { kind: 'json' }),
    binary: (r) => new Wire().byte(1).letter(json(r)).build(),
    text: json,
  },
  { column: column('note', OID.text, { kind: 'varchar' }), binary: (r) => utf8(note(r)), text: note },
  {
    column: column('tags', 1009, { kind: 'list', element: { kind: 'varchar' } }, OID.text),
    binary: (r) => {
      const list = tags(r);
      return list === null ? null : arrayBytes(list);
    },
    text: (r) => {
      const list = tags(r);
      return list === null ? null : `{${list.join(',')}}`;
    },
  },
];

const columns = COLUMNS.map((sample) => sample.column);

/** Decodes binary COPY of that many rows in chunks of 64 KiB. @returns nanoseconds a value, bytes a second */
export function measureCopy(rows: number): { readonly nanosPerValue: number; readonly bytesPerSecond: number } {
  const distinct = Array.from({ length: DISTINCT_ROWS }, (_, row) => copyTuple(COLUMNS.map((c) => c.binary(row))));
  const body = Buffer.concat(distinct);
  const repeats = Math.ceil(rows / DISTINCT_ROWS);
  let batches = 0;
  const decoder = new CopyTableDecoder(columns, { maxRows: BATCH_ROWS, maxBytes: BATCH_BYTES }, () => batches++);
  const started = process.cpuUsage();
  decoder.feed(copyHeader, 0, copyHeader.length);
  for (let repeat = 0; repeat < repeats; repeat++) {
    for (let at = 0; at < body.length; at += CHUNK_BYTES)
      decoder.feed(body, at, Math.min(body.length, at + CHUNK_BYTES));
  }
  decoder.feed(copyTrailer, 0, copyTrailer.length);
  const result = decoder.finish();
  const nanos = cpuNanos(started);
  return { nanosPerValue: nanos / (result.rows * columns.length), bytesPerSecond: (result.bytes * 1e9) / nanos };
}

/** Decodes as many inserts, 100 a transaction. */
export function measureStream(rows: number): { readonly nanosPerValue: number; readonly rowsPerSecond: number } {
  const distinct = Array.from({ length: DISTINCT_ROWS }, (_, row) =>
    insert(
      1,
      COLUMNS.map((c) => c.text(row)),
    ),
  );
  const described = relation(
    1,
    'public',
    'events',
    columns.map((c, i) => ({ name: c.name, key: i === 0, oid: c.source.oid, typmod: c.source.typmod })),
  );
  const table = { address: 'bench:public.events', oid: 1, columns, keyColumns: [0], ...unchangedShape(columns) };
  let batches = 0;
  const decoder = new ChangeDecoder({
    tables: [table],
    confirmedLsn: LSN_ZERO,
    maxRows: BATCH_ROWS,
    maxBytes: BATCH_BYTES,
    onBatch: () => batches++,
    onEvent: () => undefined,
  });
  const push = (message: Buffer) => decoder.push(message, 0, message.length);
  const started = process.cpuUsage();
  for (let row = 0; row < rows; row++) {
    const lsn = BigInt(row) * 1000n + 1000n;
    if (row % 100 === 0) push(begin(lsn, 0n, row));
    if (row === 0) push(described);
    push(distinct[row % DISTINCT_ROWS]!);
    if (row % 100 === 99) push(commit(lsn - 99_000n, lsn - 98_999n, 0n));
  }
  decoder.finish({ partial: true });
  const nanos = cpuNanos(started);
  return { nanosPerValue: nanos / (rows * columns.length), rowsPerSecond: (rows * 1e9) / nanos };
}

function cpuNanos(started: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(started);
  return (user + system) * 1000;
}

function main(): void {
  for (let round = 0; round < 4; round++) {
    const copy = measureCopy(600_000);
    const stream = measureStream(300_000);
    process.stdout.write(
      `binary COPY ${copy.nanosPerValue.toFixed(1)} ns a value (${(copy.bytesPerSecond / 1e6).toFixed(0)} MB/s), ` +
        `pgoutput ${stream.nanosPerValue.toFixed(1)} ns a value (${stream.rowsPerSecond.toFixed(0)} rows/s)\n`,
    );
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
