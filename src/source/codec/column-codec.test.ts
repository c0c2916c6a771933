import { describe, expect, test } from 'vitest';
import { type Cell, cellsOf } from '../../../test/batch/cells.js';
import { ARRAY_OID, type BuiltIn, decodedColumn, numericTypmod, observedType } from '../../../test/pgoutput/columns.js';
import type { LogicalType } from '../../batch/logical-type.js';
import { SluiceError } from '../../error/sluice-error.js';
import type { ObservedType } from '../catalog-model.js';
import { columnCodec } from './column-codec-table.js';

/** `cell` is little endian, as it lies in memory; null: rejected. Where `binary` (hex) is left out only the text half is tried. */
interface Row {
  readonly type: string;
  readonly text: string;
  readonly binary?: string;
  readonly cell: Cell;
}

const scalar = (base: BuiltIn, logical: LogicalType, typmod = -1): [ObservedType, LogicalType] => [
  observedType(base, { typmod }),
  logical,
];
const decimal = (precision: number, scale: number): [ObservedType, LogicalType] =>
  scalar('numeric', { kind: 'decimal', precision, scale }, numericTypmod(precision, scale));
const list = (element: BuiltIn, logical: LogicalType): [ObservedType, LogicalType] => [
  observedType(ARRAY_OID, { element }),
  { kind: 'list', element: logical },
];

const TYPES: Readonly<Record<string, [ObservedType, LogicalType]>> = {
  bool: scalar('bool', { kind: 'boolean' }),
  int2: scalar('int2', { kind: 'int16' }),
  int4: scalar('int4', { kind: 'int32' }),
  int8: scalar('int8', { kind: 'int64' }),
  oid: scalar('oid', { kind: 'uint32' }),
  float4: scalar('float4', { kind: 'float32' }),
  float8: scalar('float8', { kind: 'float64' }),
  'decimal(4,2)': decimal(4, 2),
  'decimal(9,0)': decimal(9, 0),
  'decimal(12,2)': decimal(12, 2),
  'decimal(18,6)': decimal(18, 6),
  'decimal(38,10)': decimal(38, 10),
  'decimal(38,0)': decimal(38, 0),
  text: scalar('text', { kind: 'varchar' }),
  json: scalar('json', { kind: 'json' }),
  jsonb: scalar('jsonb', { kind: 'json' }),
  bytea: scalar('bytea', { kind: 'blob' }),
  uuid: scalar('uuid', { kind: 'uuid' }),
  date: scalar('date', { kind: 'date' }),
  time: scalar('time', { kind: 'time' }),
  timetz: scalar('timetz', { kind: 'timetz' }),
  timestamp: scalar('timestamp', { kind: 'timestamp' }),
  timestamptz: scalar('timestamptz', { kind: 'timestamptz' }),
  interval: scalar('interval', { kind: 'interval' }),
  'int4[]': list('int4', { kind: 'int32' }),
  'text[]': list('text', { kind: 'varchar' }),
  'numeric[]': list('numeric', { kind: 'varchar' }),
  'text as double': scalar('text', { kind: 'float64' }),
  'float8 as decimal(9,4)': scalar('float8', { kind: 'decimal', precision: 9, scale: 4 }),
};

const hex = (text: string): string => Buffer.from(text, 'utf8').toString('hex');
const ARRAY_1D = '00000001 00000000 00000017';

const ROWS: readonly Row[] = [
  { type: 'bool', text: 't', binary: '01', cell: '01' },
  { type: 'bool', text: 'f', binary: '00', cell: '00' },
  { type: 'int2', text: '-32768', binary: '8000', cell: '0080' },
  { type: 'int2', text: '258', binary: '0102', cell: '0201' },
  { type: 'int4', text: '2147483647', binary: '7fffffff', cell: 'ffffff7f' },
  { type: 'int4', text: '-1', binary: 'ffffffff', cell: 'ffffffff' },
  { type: 'int8', text: '-9223372036854775808', binary: '8000000000000000', cell: '0000000000000080' },
  { type: 'int8', text: '9223372036854775807', binary: '7fffffffffffffff', cell: 'ffffffffffffff7f' },
  { type: 'int8', text: '72623859790382856', binary: '0102030405060708', cell: '0807060504030201' },
  { type: 'int8', text: '-5', binary: 'fffffffffffffffb', cell: 'fbffffffffffffff' },
  { type: 'oid', text: '4294967295', binary: 'ffffffff', cell: 'ffffffff' },
  { type: 'float4', text: '-0', binary: '80000000', cell: '00000080' },
  { type: 'float4', text: '1.5', binary: '3fc00000', cell: '0000c03f' },
  { type: 'float4', text: 'NaN', binary: 'ffc00001', cell: '0000c07f' },
  { type: 'float4', text: '-Infinity', binary: 'ff800000', cell: '000080ff' },
  { type: 'float8', text: '0.1', binary: '3fb999999999999a', cell: '9a9999999999b93f' },
  { type: 'float8', text: '-0', binary: '8000000000000000', cell: '0000000000000080' },
  { type: 'float8', text: 'NaN', binary: 'fff8000000000000', cell: '000000000000f87f' },
  { type: 'float8', text: 'Infinity', binary: '7ff0000000000000', cell: '000000000000f07f' },
  { type: 'float8', text: '1e+22', binary: '4480f0cf064dd592', cell: '92d54d06cff08044' },
  { type: 'float8', text: '5e-324', binary: '0000000000000001', cell: '0100000000000000' },
  { type: 'decimal(4,2)', text: '-99.99', binary: '0002 0000 4000 0002 0063 26ac', cell: 'f1d8' },
  { type: 'decimal(4,2)', text: '0.00', binary: '0000 0000 0000 0002', cell: '0000' },
  { type: 'decimal(4,2)', text: 'NaN', binary: '0000 0000 c000 0000', cell: null },
  { type: 'decimal(4,2)', text: '100.00', binary: '0001 0000 0000 0002 0064', cell: null },
  { type: 'decimal(4,2)', text: '0.001', binary: '0001 ffff 0000 0003 000a', cell: null },
  { type: 'decimal(4,2)', text: '0.00001', binary: '0001 fffe 0000 0005 03e8', cell: null },
  { type: 'decimal(9,0)', text: '100000000', binary: '0001 0002 0000 0000 0001', cell: '00e1f505' },
  { type: 'decimal(9,0)', text: 'Infinity', binary: '0000 0000 d000 0020', cell: null },
  { type: 'decimal(9,0)', text: '-Infinity', binary: '0000 0000 f000 0020', cell: null },
  { type: 'decimal(12,2)', text: '1234.50', binary: '0002 0000 0000 0002 04d2 1388', cell: '3ae2010000000000' },
  { type: 'decimal(18,6)', text: '-0.000001', binary: '0001 fffe 4000 0006 0064', cell: 'ffffffffffffffff' },
  {
    type: 'decimal(18,6)',
    text: '999999999999.999999',
    binary: '0005 0002 0000 0006 270f 270f 270f 270f 26ac',
    cell: 'ffff63a7b3b6e00d',
  },
  {
    type: 'decimal(38,0)',
    text: '18446744073709551616',
    binary: '0005 0004 0000 0000 0734 1a58 02e1 03bb 0650',
    cell: '00000000000000000100000000000000',
  },
  { type: 'decimal(38,10)', text: '-1', binary: '0001 0000 4000 000a 0001', cell: '001cf4abfdffffffffffffffffffffff' },
  { type: 'text', text: '', binary: '', cell: '' },
  { type: 'text', text: '\\N', binary: '5c4e', cell: '5c4e' },
  { type: 'json', text: '{ "a":1}', binary: hex('{ "a":1}'), cell: hex('{ "a":1}') },
  { type: 'jsonb', text: '{"a": 1}', binary: `01${hex('{"a": 1}')}`, cell: hex('{"a": 1}') },
  { type: 'bytea', text: '\\x', binary: '', cell: '' },
  { type: 'bytea', text: '\\x00fFAb', binary: '00ffab', cell: '00ffab' },
  {
    type: 'uuid',
    text: '00112233-4455-6677-8899-aabbccddeeff',
    binary: '00112233445566778899aabbccddeeff',
    cell: 'ffeeddccbbaa99887766554433221180',
  },
  { type: 'date', text: '2000-01-01', binary: '00000000', cell: 'cd2a0000' },
  { type: 'date', text: '1970-01-01', binary: 'ffffd533', cell: '00000000' },
  { type: 'date', text: 'infinity', binary: '7fffffff', cell: 'ffffff7f' },
  { type: 'date', text: '-infinity', binary: '80000000', cell: '01000080' },
  { type: 'date', text: '4714-11-24 BC', binary: 'ffda97a7', cell: '74c2daff' },
  { type: 'time', text: '24:00:00', binary: '000000141dd76000', cell: '0060d71d14000000' },
  { type: 'time', text: '00:00:00.000001', binary: '0000000000000001', cell: '0100000000000000' },
  { type: 'timetz', text: '00:00:00+00', binary: '0000000000000000 00000000', cell: 'ffe0000000000000' },
  { type: 'timetz', text: '00:00:00.000001+15:59:59', binary: '0000000000000001 ffff1f01', cell: '0000000100000000' },
  { type: 'timetz', text: '24:00:00-15:59:59', binary: '000000141dd76000 0000e0ff', cell: 'fec1010060d71d14' },
  { type: 'timestamp', text: '1970-01-01 00:00:00', binary: 'fffca2fec4c82000', cell: '0000000000000000' },
  { type: 'timestamp', text: 'infinity', binary: '7fffffffffffffff', cell: 'ffffffffffffff7f' },
  { type: 'timestamp', text: '-infinity', binary: '8000000000000000', cell: '0100000000000080' },
  { type: 'timestamp', text: '294247-01-10 04:00:54.775806', binary: '7ffca2fec4c81ffe', cell: 'feffffffffffff7f' },
  { type: 'timestamp', text: '294247-01-10 04:00:54.775807', binary: '7ffca2fec4c81fff', cell: null },
  { type: 'timestamptz', text: '2000-01-01 05:30:00.5+05:30', binary: '000000000007a120', cell: '20813f3b015d0300' },
  {
    type: 'interval',
    text: '1 year 2 mons -3 days +00:00:01',
    binary: '00000000000f4240 fffffffd 0000000e',
    cell: '0e000000fdffffff40420f0000000000',
  },
  { type: 'interval', text: '00:00:00', binary: '0000000000000000 00000000 00000000', cell: '00'.repeat(16) },
  {
    type: 'interval',
    text: '-2562047788:00:54.775808',
    binary: '8000000000000000 00000000 00000000',
    cell: '00000000000000000000000000000080',
  },
  { type: 'interval', text: 'infinity', binary: '7fffffffffffffff 7fffffff 7fffffff', cell: null },
  { type: 'interval', text: '-infinity', binary: '8000000000000000 80000000 80000000', cell: null },
  {
    type: 'interval',
    text: '178956970 years 7 mons 2147483647 days 2562047788:00:54.775807',
    binary: '7fffffffffffffff 7fffffff 7fffffff',
    cell: null,
  },
  { type: 'int4[]', text: '{}', binary: '00000000 00000000 00000017', cell: [] },
  {
    type: 'int4[]',
    text: '{1,NULL}',
    binary: `${ARRAY_1D} 00000002 00000001 00000004 00000001 ffffffff`,
    cell: ['01000000', null],
  },
  { type: 'int4[]', text: '[0:0]={1}', binary: `${ARRAY_1D} 00000001 00000000 00000004 00000001`, cell: null },
  {
    type: 'int4[]',
    text: '{{1}}',
    binary: '00000002 00000000 00000017 00000001 00000001 00000001 00000001 00000004 00000001',
    cell: null,
  },
  { type: 'text[]', text: '{"NULL","a\\"b\\\\",c d,""}', cell: [hex('NULL'), hex('a"b\\'), hex('c d'), ''] },
  {
    type: 'numeric[]',
    text: '{1e30,NaN}',
    binary: `${ARRAY_1D} 00000002 00000001 00000004 ${hex('1e30')} 00000003 ${hex('NaN')}`,
    cell: [hex('1e30'), hex('NaN')],
  },
  { type: 'text as double', text: '1.5', binary: hex('1.5'), cell: '000000000000f83f' },
  { type: 'text as double', text: 'abc', binary: hex('abc'), cell: null },
  { type: 'float8 as decimal(9,4)', text: '-1.5e+03', binary: hex('-1.5e+03'), cell: '401e1bff' },
  { type: 'float8 as decimal(9,4)', text: '1e-05', binary: hex('1e-05'), cell: null },
];

function put(type: string, half: 'binary' | 'text', bytes: Buffer): { kept: boolean; cells: Cell[] } {
  const [source, logical] = TYPES[type]!;
  const codec = columnCodec(decodedColumn('c', source, logical), 8);
  // Surrounded by other bytes, so that a read beyond the field would show.
  const framed = Buffer.concat([Buffer.from('99'), bytes, Buffer.from('99')]);
  const kept = half === 'binary' ? codec.putBinary(framed, 2, bytes.length) : codec.putText(framed, 2, bytes.length);
  return { kept, cells: cellsOf(codec.build()) };
}

const unhex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

describe('both halves give the same cell', () => {
  test.each(ROWS.map((row) => ({ ...row, name: `${row.type} ${row.text}` })))(
    '$name',
    ({ type, text, binary, cell }) => {
      const result = { kept: cell !== null, cells: [cell] };
      expect(put(type, 'text', Buffer.from(text))).toEqual(result);
      if (binary !== undefined) expect(put(type, 'binary', unhex(binary))).toEqual(result);
    },
  );
});

describe('bytes that are no value are refused', () => {
  test.each<{ type: string; half: 'binary' | 'text'; bytes: string }>([
    ...['', 'x', 'tt', 'true'].map((bytes) => ({ type: 'bool', half: 'text' as const, bytes })),
    ...['', '-', '1.5', '32768', '1-', ' 1', '+1', '99999999999999999999'].map((bytes) => ({
      type: 'int2',
      half: 'text' as const,
      bytes,
    })),
    ...['2147483648', '1e3', '--1'].map((bytes) => ({ type: 'int4', half: 'text' as const, bytes })),
    ...[
      '9223372036854775808',
      '-9223372036854775809',
      '1234567890123456x',
      '--23456789012345678',
      '10000000000000000000',
    ].map((bytes) => ({ type: 'int8', half: 'text' as const, bytes })),
    ...['-1', '4294967296'].map((bytes) => ({ type: 'oid', half: 'text' as const, bytes })),
    ...['', '-', '.', '1.', '1e', '1e5', '1e+', 'nan', 'inf', '1.5.2', '1e+400', '0x10'].map((bytes) => ({
      type: 'float8',
      half: 'text' as const,
      bytes,
    })),
    ...['1e+39', '', '1_0'].map((bytes) => ({ type: 'float4', half: 'text' as const, bytes })),
    ...['', '-', '.5', '1.', '1.x', '1e5', 'nan', '--1'].map((bytes) => ({
      type: 'decimal(12,2)',
      half: 'text' as const,
      bytes,
    })),
    ...['x', '\\', '\\x0', '\\xgg', 'deadbeef', '\\x0g'].map((bytes) => ({
      type: 'bytea',
      half: 'text' as const,
      bytes,
    })),
    ...[
      '',
      '00112233-4455-6677-8899-aabbccddeefg',
      '00112233445566778899aabbccddeeff',
      '00112233-4455-6677-8899-aabbccddeef',
    ].map((bytes) => ({ type: 'uuid', half: 'text' as const, bytes })),
    ...[
      '',
      '2000-13-01',
      '2000-00-01',
      '2000-01-32',
      '2000-1-01',
      '01/02/2000',
      '2000-01-01 AD',
      '0000-01-01',
      '2000-01-01T',
    ].map((bytes) => ({ type: 'date', half: 'text' as const, bytes })),
    ...['24:00:01', '00:60:00', '00:00:61', '00:00', '00:00:00.', '00:00:00.1234567', '00:00:00+00'].map((bytes) => ({
      type: 'time',
      half: 'text' as const,
      bytes,
    })),
    ...['00:00:00', '00:00:00+16', '00:00:00+5', '00:00:00+00:60'].map((bytes) => ({
      type: 'timetz',
      half: 'text' as const,
      bytes,
    })),
    ...['2000-01-01', '2000-01-01 00:00:00+00', '2000-01-01 00:00', 'Infinity'].map((bytes) => ({
      type: 'timestamp',
      half: 'text' as const,
      bytes,
    })),
    ...['2000-01-01 00:00:00', '2000-01-01 00:00:00 CET'].map((bytes) => ({
      type: 'timestamptz',
      half: 'text' as const,
      bytes,
    })),
    ...[
      '',
      '1',
      '1 fortnight',
      '1 day ',
      '00:00',
      'P1D',
      '99999999999 days',
      '3000000000 days',
      '9999999999:00:00',
    ].map((bytes) => ({ type: 'interval', half: 'text' as const, bytes })),
    ...['', '{', '1', '{1', '{1,}', '{,1}', '{"1}', '{1}x', '{a}', '{"1"2}', '{1\\2}'].map((bytes) => ({
      type: 'int4[]',
      half: 'text' as const,
      bytes,
    })),
    ...[
      ['bool', '02'],
      ['bool', ''],
      ['int2', '00'],
      ['int4', '0000'],
      ['int8', '00000000'],
      ['oid', ''],
      ['float4', '00'],
      ['float8', '00'],
      ['uuid', '00'],
      ['date', '00'],
      ['date', '7ffffffe'],
      ['time', 'ffffffffffffffff'],
      ['time', '000000141dd76001'],
      ['timetz', '0000000000000000'],
      ['timetz', '0000000000000000 0000e100'],
      ['timestamp', '00'],
      ['interval', '00'],
      ['jsonb', ''],
      ['jsonb', '02'],
      ['decimal(12,2)', '00'],
      ['decimal(12,2)', '0001 0000 0000 0000'],
      ['decimal(12,2)', '0001 0000 0000 0000 2710'],
      ['decimal(12,2)', '0000 0000 1234 0000'],
      ['decimal(12,2)', 'ffff 0000 0000 0000'],
      ['int4[]', '00000000 00000000'],
      ['int4[]', `${ARRAY_1D} 00000001 00000001`],
      ['int4[]', `${ARRAY_1D} 00000001 00000001 00000004 0000`],
      ['int4[]', `${ARRAY_1D} 00000001 00000001 fffffffe`],
      ['int4[]', `${ARRAY_1D} 00000000 00000001 00`],
      ['int4[]', '00000007 00000000 00000017'],
      ['int4[]', `${ARRAY_1D} ffffffff 00000001`],
    ].map(([type, bytes]) => ({ type: type ?? '', half: 'binary' as const, bytes: bytes ?? '' })),
  ])('$type $half "$bytes"', ({ type, half, bytes }) => {
    const field = half === 'binary' ? unhex(bytes) : Buffer.from(bytes);
    expect(() => put(type, half, field)).toThrowError(expect.objectContaining({ code: 'VALUE_MALFORMED' }));
  });

  test('text that is not UTF-8 is refused when its batch is built', () => {
    const codec = columnCodec(decodedColumn('c', observedType('text'), { kind: 'varchar' }), 8);
    codec.putText(Uint8Array.of(0xff, 0x41), 0, 2);
    expect(() => codec.build()).toThrowError(SluiceError);
  });
});

test('a rejected element leaves nothing of its list behind', () => {
  const source = observedType(ARRAY_OID, { element: 'numeric', typmod: numericTypmod(4, 2) });
  const codec = columnCodec(
    decodedColumn('c', source, { kind: 'list', element: { kind: 'decimal', precision: 4, scale: 2 } }),
    8,
  );
  const kept = ['{1,NULL}', '{NULL,2,NaN,3}', '{4}'].map((text) => codec.putText(Buffer.from(text), 0, text.length));
  expect(kept).toEqual([true, false, true]);
  expect(cellsOf(codec.build())).toEqual([['6400', null], null, ['9001']]);
});
