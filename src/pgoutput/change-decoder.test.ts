import type { RecordBatch } from 'apache-arrow';
import { describe, expect, test } from 'vitest';
import { numbersOf, textsOf } from '../../test/batch/cells.js';
import { decodedColumn, numericTypmod, observedType, unchangedShape } from '../../test/pgoutput/columns.js';
import * as wire from '../../test/pgoutput/wire.js';
import { OID } from '../source/type-oid.js';
import { ChangeDecoder, type ChangeEvent, type DecoderTable, type SnapshotGate } from './change-decoder.js';
import { LSN_ZERO, type Lsn, lsnFromBigInt } from './lsn.js';
import { parseSnapshot } from './snapshot-visibility.js';

const ITEMS = 7;
const PRICE_TYPMOD = numericTypmod(6, 2);
const COLUMNS = [
  decodedColumn('id', observedType('int4'), { kind: 'int32' }),
  decodedColumn('note', observedType('text'), { kind: 'varchar' }),
  decodedColumn('price', observedType('numeric', { typmod: PRICE_TYPMOD }), {
    kind: 'decimal',
    precision: 6,
    scale: 2,
  }),
];
const TABLE: DecoderTable = {
  address: 'shop:public.items',
  oid: ITEMS,
  columns: COLUMNS,
  keyColumns: [0],
  ...unchangedShape(COLUMNS),
};
const RELATION_COLUMNS: readonly wire.WireColumn[] = [
  { name: 'id', key: true, oid: OID.int4 },
  { name: 'note', oid: OID.text },
  { name: 'price', oid: OID.numeric, typmod: PRICE_TYPMOD },
];
const RELATION = wire.relation(ITEMS, 'public', 'items', RELATION_COLUMNS);
const COMMIT_TS = 1_000_000n;
const EVENT_TS = 946_684_801_000_000n;

interface Change {
  readonly op: string;
  readonly row: readonly (string | number | null)[];
  readonly seq: number | null;
  readonly unchanged: number | null;
  readonly key?: 1;
}

interface Run {
  readonly changes: Change[];
  readonly batches: { readonly table: number; readonly batch: RecordBatch; readonly flags: object }[];
  readonly events: ChangeEvent[];
  readonly log: string[];
  readonly decoder: ChangeDecoder;
}

interface Options {
  readonly tables?: readonly DecoderTable[];
  readonly confirmedLsn?: Lsn;
  readonly maxRows?: number;
  readonly maxBytes?: number;
}

function start(options: Options = {}): Run & { push(...messages: Buffer[]): void } {
  const run: Omit<Run, 'decoder'> = { changes: [], batches: [], events: [], log: [] };
  const decoder = new ChangeDecoder({
    tables: options.tables ?? [TABLE],
    confirmedLsn: options.confirmedLsn ?? LSN_ZERO,
    maxRows: options.maxRows ?? 1000,
    maxBytes: options.maxBytes ?? 1_000_000,
    onBatch: (table, batch, flags) => {
      run.batches.push({ table, batch, flags });
      run.changes.push(...changesOf(batch));
      run.log.push(`batch ${table}: ${batch.numRows}`);
    },
    onEvent: (event) => {
      run.events.push(event);
      run.log.push(event.kind);
    },
  });
  // One buffer for all messages, as the COPY reader has it.
  const reused = Buffer.alloc(4096);
  const push = (...messages: Buffer[]) => {
    for (const message of messages) {
      reused.fill(0xee);
      reused.set(message, 11);
      decoder.push(reused, 11, 11 + message.length);
    }
  };
  return { ...run, decoder, push };
}

function changesOf(batch: RecordBatch): Change[] {
  const names = batch.schema.fields.map((field) => field.name);
  const numbers = (name: string) => numbersOf(batch.data.children[names.indexOf(name)]!);
  const id = numbers('id');
  const note = textsOf(batch.data.children[names.indexOf('note')]!);
  const price = numbers('price');
  const [op, seq, keyChange, unchanged] = ['__op', '__seq', '__key_change', '__unchanged_0'].map(numbers);
  return id.map((value, row) => ({
    op: String.fromCharCode(op?.[row] ?? 0),
    row: [value, note[row] ?? null, price[row] ?? null],
    seq: seq?.[row] ?? null,
    unchanged: unchanged?.[row] ?? null,
    ...(keyChange?.[row] === 1 ? { key: 1 as const } : {}),
  }));
}

/** A transaction that commits at `lsn` and ends 50 bytes later. */
function transaction(lsn: bigint, xid: number, ...messages: Buffer[]): Buffer[] {
  return [wire.begin(lsn, COMMIT_TS, xid), ...messages, wire.commit(lsn, lsn + 50n, COMMIT_TS)];
}

const lsn = (value: number): Lsn => lsnFromBigInt(BigInt(value));
const gate = (snapshot: string, at: number): SnapshotGate => ({ ...parseSnapshot(snapshot), snapshotLsn: lsn(at) });

describe('row changes', () => {
  test.each<{ name: string; message: Buffer; changes: readonly Change[]; flags: object }>([
    {
      name: 'insert',
      message: wire.insert(ITEMS, ['1', 'a', '1.50']),
      changes: [{ op: 'I', row: [1, 'a', 150], seq: 1, unchanged: 0 }],
      flags: { rows: 1, inserts: 1, updates: 0, deletes: 0, unchanged: false, keyChange: false },
    },
    {
      name: 'insert with NULLs',
      message: wire.insert(ITEMS, ['1', null, null]),
      changes: [{ op: 'I', row: [1, null, null], seq: 1, unchanged: 0 }],
      flags: { rows: 1, inserts: 1, updates: 0, deletes: 0, unchanged: false, keyChange: false },
    },
    {
      name: 'update',
      message: wire.update(ITEMS, ['1', 'b', '2.00']),
      changes: [{ op: 'U', row: [1, 'b', 200], seq: 1, unchanged: 0 }],
      flags: { rows: 1, inserts: 0, updates: 1, deletes: 0, unchanged: false, keyChange: false },
    },
    {
      name: 'update with an unchanged TOAST value',
      message: wire.update(ITEMS, ['1', wire.UNCHANGED, '2.00']),
      changes: [{ op: 'U', row: [1, null, 200], seq: 1, unchanged: 0b010 }],
      flags: { rows: 1, inserts: 0, updates: 1, deletes: 0, unchanged: true, keyChange: false },
    },
    {
      name: 'update of which the whole old row holds the unchanged value',
      message: wire.update(ITEMS, ['1', wire.UNCHANGED, '2.00'], { mark: 'O', row: ['1', 'old', '1.00'] }),
      changes: [{ op: 'U', row: [1, 'old', 200], seq: 1, unchanged: 0 }],
      flags: { rows: 1, inserts: 0, updates: 1, deletes: 0, unchanged: false, keyChange: false },
    },
    {
      name: 'update with an old key that is the same',
      message: wire.update(ITEMS, ['1', 'b', '2.00'], { mark: 'K', row: ['1', null, null] }),
      changes: [{ op: 'U', row: [1, 'b', 200], seq: 1, unchanged: 0 }],
      flags: { rows: 1, inserts: 0, updates: 1, deletes: 0, unchanged: false, keyChange: false },
    },
    {
      name: 'update of the key',
      message: wire.update(ITEMS, ['2', wire.UNCHANGED, '2.00'], { mark: 'K', row: ['1', null, null] }),
      changes: [
        { op: 'D', row: [1, null, null], seq: 1, unchanged: 0b110, key: 1 },
        { op: 'I', row: [2, null, 200], seq: 2, unchanged: 0b010, key: 1 },
      ],
      flags: { rows: 2, inserts: 1, updates: 0, deletes: 1, unchanged: true, keyChange: true },
    },
    {
      name: 'update of the key with the whole old row',
      message: wire.update(ITEMS, ['2', wire.UNCHANGED, '2.00'], { mark: 'O', row: ['1', 'old', '1.00'] }),
      changes: [
        { op: 'D', row: [1, 'old', 100], seq: 1, unchanged: 0, key: 1 },
        { op: 'I', row: [2, 'old', 200], seq: 2, unchanged: 0, key: 1 },
      ],
      flags: { rows: 2, inserts: 1, updates: 0, deletes: 1, unchanged: false, keyChange: true },
    },
    {
      name: 'delete by key',
      message: wire.deletion(ITEMS, 'K', ['1', null, null]),
      changes: [{ op: 'D', row: [1, null, null], seq: 1, unchanged: 0b110 }],
      flags: { rows: 1, inserts: 0, updates: 0, deletes: 1, unchanged: false, keyChange: false },
    },
    {
      name: 'delete with the whole row',
      message: wire.deletion(ITEMS, 'O', ['1', null, '3.00']),
      changes: [{ op: 'D', row: [1, null, 300], seq: 1, unchanged: 0 }],
      flags: { rows: 1, inserts: 0, updates: 0, deletes: 1, unchanged: false, keyChange: false },
    },
  ])('$name', ({ message, changes, flags }) => {
    const run = start();
    run.push(...transaction(100n, 9, RELATION, message));
    const result = run.decoder.finish();
    expect(run.changes).toEqual(changes);
    expect(run.batches.map((b) => b.flags)).toEqual([flags]);
    expect(result).toEqual({
      transactions: 1,
      changes: 1,
      unknownChanges: 0,
      lastEndLsn: 150n,
      lastCommitTs: EVENT_TS,
    });
  });

  test('carry the commit and their place in the transaction', () => {
    const run = start();
    const high = 0x16_b374_d848n;
    run.push(
      ...transaction(
        high,
        4_294_967_295,
        RELATION,
        wire.insert(ITEMS, ['1', 'a', '1']),
        wire.update(ITEMS, ['2', 'a', '1'], { mark: 'K', row: ['1', null, null] }),
        wire.insert(ITEMS, ['3', 'c', '3']),
      ),
      ...transaction(high + 100n, 5, wire.insert(ITEMS, ['4', 'd', '4'])),
    );
    run.decoder.finish();
    expect(run.changes.map((c) => [c.op, c.seq])).toEqual([
      ['I', 1],
      ['D', 2],
      ['I', 3],
      ['I', 4],
      ['I', 1],
    ]);
    const { batch } = run.batches[0]!;
    const column = (name: string) =>
      batch.data.children[batch.schema.fields.findIndex((field) => field.name === name)]!;
    expect(Array.from(column('__lsn').values)).toEqual([high, high, high, high, high + 100n]);
    expect(Array.from(column('__xid').values)).toEqual([4_294_967_295, 4_294_967_295, 4_294_967_295, 4_294_967_295, 5]);
    expect(Array.from(column('__commit_ts').values)).toEqual(Array.from({ length: 5 }, () => EVENT_TS));
  });

  test('of more than 30 columns fill several words of unchanged bits', () => {
    const names = Array.from({ length: 65 }, (_, i) => `c${i}`);
    const wide: DecoderTable = {
      ...TABLE,
      columns: names.map((name) => decodedColumn(name, observedType('int4'), { kind: 'int32' })),
      ...unchangedShape(names.map((name) => ({ name }))),
    };
    const run = start({ tables: [wide] });
    const columns = names.map((name, i) => ({ name, key: i === 0, oid: OID.int4 }));
    const row = names.map((_, i) => (i === 1 || i === 29 || i === 30 || i === 64 ? wire.UNCHANGED : `${i}`));
    const batches: RecordBatch[] = [];
    const decoder = new ChangeDecoder({
      tables: [wide],
      confirmedLsn: LSN_ZERO,
      maxRows: 9,
      maxBytes: 9e9,
      onBatch: (_, batch) => batches.push(batch),
      onEvent: () => undefined,
    });
    for (const message of transaction(
      100n,
      1,
      wire.relation(ITEMS, 'public', 'items', columns),
      wire.update(ITEMS, row),
    )) {
      decoder.push(message, 0, message.length);
    }
    decoder.finish();
    const words = batches[0]!.data.children.slice(-3).map(numbersOf);
    expect(words).toEqual([[2 | (1 << 29)], [1], [1 << 4]]);
    expect(run.batches).toEqual([]);
  });
});

describe('relations', () => {
  const wider = wire.relation(ITEMS, 'public', 'items', [
    RELATION_COLUMNS[0]!,
    { name: 'extra', oid: 3802 },
    RELATION_COLUMNS[1]!,
    RELATION_COLUMNS[2]!,
  ]);

  test('columns are found by name, others are left out', () => {
    const run = start();
    run.push(...transaction(100n, 1, wider, wire.insert(ITEMS, ['8', '{}', 'note', '1.5'])));
    run.decoder.finish();
    expect(run.changes).toEqual([{ op: 'I', row: [8, 'note', 150], seq: 1, unchanged: 0 }]);
  });

  test('that we do not copy are counted and take their numbers', () => {
    const run = start();
    run.push(
      ...transaction(
        100n,
        1,
        RELATION,
        wire.relation(8, 'public', 'others', []),
        wire.insert(8, []),
        wire.truncate([8]),
        wire.insert(ITEMS, ['1', 'a', '1']),
      ),
    );
    expect(run.decoder.finish()).toMatchObject({ changes: 1, unknownChanges: 2 });
    expect(run.changes.map((change) => change.seq)).toEqual([3]);
  });

  test('are told apart by their OID: a renamed one is found, one of the same name is not', () => {
    const run = start();
    run.push(
      ...transaction(
        100n,
        1,
        wire.relation(8, 'public', 'items', RELATION_COLUMNS),
        wire.insert(8, ['1', 'dropped since', '1']),
        wire.relation(ITEMS, 'archive', 'old_name', RELATION_COLUMNS),
        wire.insert(ITEMS, ['2', 'ours', '1']),
      ),
    );
    expect(run.decoder.finish()).toMatchObject({ changes: 1, unknownChanges: 1 });
    expect(run.changes.map((change) => change.row)).toEqual([[2, 'ours', 100]]);
  });

  test.each<{ name: string; relation: Buffer; reason: string }>([
    {
      name: 'a column that is not sent',
      relation: wire.relation(ITEMS, 'public', 'items', [RELATION_COLUMNS[0]!, RELATION_COLUMNS[2]!]),
      reason: 'column "note" is not sent',
    },
    {
      name: 'another type',
      relation: wire.relation(ITEMS, 'public', 'items', [
        RELATION_COLUMNS[0]!,
        { name: 'note', oid: OID.bytea },
        RELATION_COLUMNS[2]!,
      ]),
      reason: 'column "note" had another type for a while (oid 17)',
    },
    {
      name: 'another precision',
      relation: wire.relation(ITEMS, 'public', 'items', [
        ...RELATION_COLUMNS.slice(0, 2),
        { name: 'price', oid: OID.numeric, typmod: numericTypmod(8, 2) },
      ]),
      reason: 'column "price" had another type for a while (oid 1700)',
    },
    {
      name: 'another key',
      relation: wire.relation(ITEMS, 'public', 'items', [
        RELATION_COLUMNS[0]!,
        { ...RELATION_COLUMNS[1]!, key: true },
        RELATION_COLUMNS[2]!,
      ]),
      reason: 'its key was (id, note), not (id)',
    },
  ])('$name is told once, and the table’s changes are dropped from there on', ({ relation, reason }) => {
    const run = start();
    run.push(...transaction(100n, 1, RELATION, wire.insert(ITEMS, ['1', 'a', '1'])));
    run.push(
      ...transaction(200n, 2, relation, wire.insert(ITEMS, ['2', 'a', '1']), wire.insert(ITEMS, ['3', 'a', '1'])),
    );
    run.push(...transaction(300n, 3, RELATION, wire.insert(ITEMS, ['4', 'a', '1'])));
    run.decoder.finish();
    expect(run.changes.map((change) => change.row[0])).toEqual([1]);
    expect(run.log).toEqual(['commit', 'batch 0: 1', 'relation_mismatch', 'commit', 'commit']);
    expect(run.events[1]).toEqual({
      kind: 'relation_mismatch',
      tableIndex: 0,
      lsn: 200n,
      commitTs: EVENT_TS,
      xid: 2,
      reason,
    });
  });

  test.each<{ name: string; relation: Buffer }>([
    {
      name: 'a longer varchar',
      relation: wire.relation(ITEMS, 'public', 'items', [
        RELATION_COLUMNS[0]!,
        { name: 'note', oid: OID.text, typmod: 104 },
        RELATION_COLUMNS[2]!,
      ]),
    },
    {
      name: 'replica identity full',
      relation: wire.relation(
        ITEMS,
        'public',
        'items',
        RELATION_COLUMNS.map((c) => ({ ...c, key: true })),
        'f',
      ),
    },
    {
      name: 'replica identity by an index that holds more than the key',
      relation: wire.relation(
        ITEMS,
        'public',
        'items',
        RELATION_COLUMNS.map((c, index) => ({ ...c, key: index < 2 })),
        'i',
      ),
    },
    {
      name: 'replica identity nothing',
      relation: wire.relation(
        ITEMS,
        'public',
        'items',
        RELATION_COLUMNS.map((c) => ({ ...c, key: false })),
        'n',
      ),
    },
  ])('$name is the same shape', ({ relation }) => {
    const run = start();
    run.push(...transaction(100n, 1, relation, wire.insert(ITEMS, ['1', 'a', '1'])));
    run.decoder.finish();
    expect(run.changes.map((change) => change.row[0])).toEqual([1]);
    expect(run.log).toEqual(['commit', 'batch 0: 1']);
  });

  test('an old shape within transactions that the snapshot saw is no mismatch', () => {
    const run = start({ tables: [{ ...TABLE, gate: gate('50:60:', 1000) }] });
    const old = wire.relation(ITEMS, 'public', 'items', RELATION_COLUMNS.slice(0, 1));
    run.push(
      ...transaction(100n, 49, old, wire.insert(ITEMS, ['1'])),
      ...transaction(200n, 70, RELATION, wire.insert(ITEMS, ['2', 'b', '2'])),
    );
    run.decoder.finish();
    expect(run.changes.map((change) => change.row[0])).toEqual([2]);
    expect(run.log).toEqual(['commit', 'commit', 'batch 0: 1']);
  });
});

describe('what is skipped', () => {
  test.each<{ name: string; gate: SnapshotGate; ids: number[] }>([
    { name: 'what the snapshot saw', gate: gate('12:13:', 1000), ids: [13] },
    { name: 'not what ran during it', gate: gate('11:13:11', 1000), ids: [11, 13] },
    { name: 'not what committed after it was taken, whatever its id', gate: gate('12:13:', 150), ids: [11, 13] },
  ])('by a gate: $name', ({ gate: tableGate, ids }) => {
    const run = start({ tables: [{ ...TABLE, gate: tableGate }] });
    run.push(RELATION);
    for (const [index, xid] of [10, 11, 13].entries()) {
      run.push(...transaction(BigInt(100 + index * 100), xid, wire.insert(ITEMS, [`${xid}`, 'a', '1'])));
    }
    expect(run.decoder.finish()).toMatchObject({ transactions: 3, lastEndLsn: 350n });
    expect(run.changes.map((change) => change.row[0])).toEqual(ids);
  });

  test('by a gate: only for its own table', () => {
    const second: DecoderTable = { ...TABLE, oid: 8, address: 'shop:public.second' };
    const run = start({ tables: [{ ...TABLE, gate: gate('12:13:', 1000) }, second] });
    const other = wire.relation(8, 'public', 'second', RELATION_COLUMNS);
    run.push(
      ...transaction(
        100n,
        5,
        RELATION,
        other,
        wire.insert(ITEMS, ['1', 'a', '1']),
        wire.insert(8, ['2', 'a', '1']),
        wire.truncate([ITEMS, 8]),
      ),
    );
    run.decoder.finish();
    expect(run.log).toEqual(['batch 1: 1', 'truncate', 'commit']);
    expect(run.changes.map((change) => [change.row[0], change.seq])).toEqual([[2, 2]]);
    expect(run.events[0]).toEqual({ kind: 'truncate', tableIndex: 1, lsn: 100n, commitTs: EVENT_TS, xid: 5, seq: 4 });
  });

  test.each([
    { name: 'that end at the confirmed LSN', confirmed: 150, ids: [2] },
    { name: 'not one that ends after it', confirmed: 100, ids: [1, 2] },
    { name: 'all', confirmed: 250, ids: [] },
  ])('transactions $name', ({ confirmed, ids }) => {
    const run = start({ confirmedLsn: lsn(confirmed) });
    run.push(
      ...transaction(100n, 1, RELATION, wire.insert(ITEMS, ['1', 'a', '1'])),
      ...transaction(200n, 2, wire.insert(ITEMS, ['2', 'a', '1'])),
    );
    const result = run.decoder.finish();
    expect(run.changes.map((change) => change.row[0])).toEqual(ids);
    expect(result).toMatchObject({ transactions: ids.length, lastEndLsn: ids.length === 0 ? null : 250n });
  });
});

describe('batches', () => {
  test('are handed on at maxRows, within a transaction too', () => {
    const run = start({ maxRows: 2 });
    const inserts = [1, 2, 3, 4, 5].map((id) => wire.insert(ITEMS, [`${id}`, 'a', '1']));
    run.push(...transaction(100n, 1, RELATION, ...inserts));
    run.decoder.finish();
    expect(run.log).toEqual(['batch 0: 2', 'batch 0: 2', 'commit', 'batch 0: 1']);
    expect(run.changes.map((change) => change.row[0])).toEqual([1, 2, 3, 4, 5]);
  });

  test('of all tables are handed on when their bytes together reach maxBytes', () => {
    const second: DecoderTable = { ...TABLE, oid: 8, address: 'shop:public.second' };
    const run = start({ tables: [TABLE, second], maxBytes: 60 });
    const other = wire.relation(8, 'public', 'second', RELATION_COLUMNS);
    run.push(
      ...transaction(
        100n,
        1,
        RELATION,
        other,
        wire.insert(ITEMS, ['1', 'a', '1']),
        wire.insert(8, ['2', 'a', '1']),
        wire.insert(8, ['3', 'a', '1']),
      ),
    );
    run.decoder.finish();
    expect(run.log).toEqual(['batch 0: 1', 'batch 1: 2', 'commit']);
  });

  test('go before a TRUNCATE of their table', () => {
    const run = start();
    run.push(
      ...transaction(
        100n,
        1,
        RELATION,
        wire.insert(ITEMS, ['1', 'a', '1']),
        wire.truncate([ITEMS]),
        wire.insert(ITEMS, ['2', 'a', '1']),
      ),
    );
    run.decoder.finish();
    expect(run.log).toEqual(['batch 0: 1', 'truncate', 'commit', 'batch 0: 1']);
    expect(run.events[0]).toMatchObject({ kind: 'truncate', seq: 2 });
    expect(run.changes.map((change) => change.seq)).toEqual([1, 3]);
  });

  test('are handed on by flush, and go on after it', () => {
    const run = start();
    run.push(...transaction(100n, 1, RELATION, wire.insert(ITEMS, ['1', 'a', '1'])));
    run.decoder.flush();
    run.decoder.flush();
    run.push(...transaction(200n, 2, wire.insert(ITEMS, ['2', 'a', '1'])));
    run.decoder.finish();
    expect(run.log).toEqual(['commit', 'batch 0: 1', 'commit', 'batch 0: 1']);
  });
});

describe('values that do not fit', () => {
  test('are told with their key and become NULL', () => {
    const run = start();
    run.push(...transaction(100n, 3, RELATION, wire.update(ITEMS, ['1', 'a', 'NaN'])));
    run.decoder.finish();
    expect(run.changes).toEqual([{ op: 'U', row: [1, 'a', null], seq: 1, unchanged: 0 }]);
    expect(run.events[0]).toEqual({
      kind: 'rejected',
      tableIndex: 0,
      lsn: 100n,
      commitTs: EVENT_TS,
      xid: 3,
      key: '{"id":"1"}',
      column: 'price',
      text: 'NaN',
      reason: 'does not fit DECIMAL(6,2) exactly',
    });
  });

  test('in a deleted row are not told again', () => {
    const run = start();
    run.push(...transaction(100n, 3, RELATION, wire.deletion(ITEMS, 'O', ['1', 'a', 'NaN'])));
    run.decoder.finish();
    expect(run.log).toEqual(['commit', 'batch 0: 1']);
  });

  test('in a key stop the table', () => {
    const run = start({ tables: [{ ...TABLE, keyColumns: [2] }] });
    const relation = wire.relation(
      ITEMS,
      'public',
      'items',
      RELATION_COLUMNS.map((c) => ({ ...c, key: c.name === 'price' })),
    );
    const [begin, ...rest] = transaction(100n, 3, relation, wire.insert(ITEMS, ['1', 'a', 'NaN']));
    run.push(begin!);
    expect(() => run.push(...rest)).toThrowError(
      expect.objectContaining({
        code: 'KEY_NOT_REPRESENTABLE',
        address: TABLE.address,
        message: 'shop:public.items: column "price": a key value does not fit DECIMAL(6,2) exactly',
      }),
    );
  });

  test('that are no value of their type stop the table', () => {
    const run = start();
    expect(() => run.push(...transaction(100n, 3, RELATION, wire.insert(ITEMS, ['one', 'a', '1'])))).toThrowError(
      expect.objectContaining({
        code: 'VALUE_MALFORMED',
        address: TABLE.address,
        message: expect.stringMatching(/^shop:public.items: column "id": /),
      }),
    );
  });
});

describe('a stream that breaks the protocol', () => {
  const BEGIN = wire.begin(100n, 0n, 1);
  const INSERT = wire.insert(ITEMS, ['1', 'a', '1']);

  test.each<{ name: string; messages: Buffer[]; message: RegExp }>([
    { name: 'an unknown message', messages: [Buffer.from('X')], message: /"X" \(0x58\): .*unknown code/ },
    { name: 'an empty message', messages: [Buffer.alloc(0)], message: /empty/ },
    { name: 'a row outside of a transaction', messages: [RELATION, INSERT], message: /outside of a transaction/ },
    { name: 'a commit without begin', messages: [wire.commit(1n, 2n, 0n)], message: /outside of a transaction/ },
    { name: 'begin twice', messages: [BEGIN, BEGIN], message: /within a transaction/ },
    { name: 'another commit than begun', messages: [BEGIN, wire.commit(101n, 150n, 0n)], message: /commit at 0\/65/ },
    {
      name: 'a relation that was never described',
      messages: [BEGIN, INSERT],
      message: /relation 7 was never described/,
    },
    {
      name: 'TRUNCATE of one never described',
      messages: [BEGIN, wire.truncate([7])],
      message: /relation 7 was never described/,
    },
    {
      name: 'too few values',
      messages: [BEGIN, RELATION, wire.insert(ITEMS, ['1'])],
      message: /1 values for the 3 columns/,
    },
    {
      name: 'too few old values',
      messages: [BEGIN, RELATION, wire.deletion(ITEMS, 'K', ['1'])],
      message: /1 values for the 3 columns/,
    },
    {
      name: 'a key that was not sent',
      messages: [BEGIN, RELATION, wire.update(ITEMS, [wire.UNCHANGED, 'a', '1'])],
      message: /no value for the key column "id"/,
    },
    {
      name: 'a binary value',
      messages: [BEGIN, RELATION, wire.insert(ITEMS, [{ binary: Uint8Array.of(0, 0, 0, 1) }, 'a', '1'])],
      message: /only text was asked for/,
    },
    {
      name: 'a delete without an old row',
      messages: [BEGIN, RELATION, new wire.Wire().letter('D').int32(ITEMS).letter('N').int16(0).build()],
      message: /where an old row was due/,
    },
    { name: 'streaming', messages: [wire.streamStart(5, true)], message: /streaming of open transactions/ },
    {
      name: 'a byte too many',
      messages: [BEGIN, RELATION, Buffer.concat([INSERT, Buffer.from('n')])],
      message: /1 bytes too many/,
    },
  ])('$name', ({ messages, message }) => {
    const run = start();
    expect(() => run.push(...messages)).toThrowError(
      expect.objectContaining({ code: 'PROTOCOL_VIOLATION', message: expect.stringMatching(message) }),
    );
  });

  test.each([
    { name: 'insert', message: INSERT },
    { name: 'update', message: wire.update(ITEMS, ['2', 'a', '1'], { mark: 'K', row: ['1', null, null] }) },
    { name: 'delete', message: wire.deletion(ITEMS, 'O', ['1', 'a', '1']) },
  ])('$name cut at any offset', ({ message }) => {
    for (let cut = 1; cut < message.length; cut++) {
      const run = start();
      run.push(BEGIN, RELATION);
      expect(() => run.push(message.subarray(0, cut))).toThrowError(
        expect.objectContaining({ code: 'PROTOCOL_VIOLATION' }),
      );
    }
  });

  test('says where', () => {
    const run = start();
    expect(() => run.decoder.push(Buffer.from('X'), 0, 1, lsn(0x1abc))).toThrowError(/\(at 0\/1ABC\)$/);
  });

  test('a page that ends within a transaction', () => {
    const run = start();
    run.push(BEGIN, RELATION, INSERT);
    expect(() => run.decoder.finish()).toThrowError(/ended within a transaction/);
    expect(run.decoder.finish({ partial: true })).toMatchObject({ transactions: 0, changes: 1, lastEndLsn: null });
  });

  test('a confirmed LSN within a commit record', () => {
    const run = start({ confirmedLsn: lsn(120) });
    expect(() => run.push(...transaction(100n, 1))).toThrowError(/lies within a commit record/);
  });
});

test('origin, type and logical messages pass by', () => {
  const run = start();
  run.push(wire.logicalMessage(0, 5n, 'heartbeat', new Uint8Array(0)));
  run.push(
    ...transaction(
      100n,
      1,
      wire.origin(3n, 'x'),
      wire.typeMessage(5, 'x', 'mood'),
      RELATION,
      wire.insert(ITEMS, ['1', 'a', '1']),
    ),
  );
  expect(run.decoder.finish()).toMatchObject({ transactions: 1, changes: 1 });
});
