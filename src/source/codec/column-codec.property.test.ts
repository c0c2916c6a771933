import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Cell, cellsOf } from '../../../test/batch/cells.js';
import { ARRAY_OID, decodedColumn, numericTypmod, observedType } from '../../../test/pgoutput/columns.js';
import { Wire } from '../../../test/pgoutput/wire.js';
import type { LogicalType } from '../../batch/logical-type.js';
import type { ObservedType } from '../catalog-model.js';
import { columnCodec } from './column-codec-table.js';

/** Law 3 without a server: a value written in both forms by an independent hand gives one and the same expected cell. */

const DAY = 86_400_000_000n;

function cells(source: ObservedType, logical: LogicalType, binary: Buffer, text: string): [Cell, Cell] {
  const codec = columnCodec(decodedColumn('c', source, logical), 2);
  codec.putBinary(binary, 0, binary.length);
  codec.putText(Buffer.from(text), 0, Buffer.byteLength(text));
  const [first, second] = cellsOf(codec.build());
  return [first ?? null, second ?? null];
}

function littleEndian(value: bigint, bytes: number): string {
  const hex = BigInt.asUintN(bytes * 8, value)
    .toString(16)
    .padStart(bytes * 2, '0');
  return (hex.match(/../g) ?? []).reverse().join('');
}

/** numeric_send of a whole number shifted by `scale` digits. */
function numericBytes(unscaled: bigint, scale: number): Buffer {
  const shift = (4 - (scale % 4)) % 4;
  let rest = (unscaled < 0n ? -unscaled : unscaled) * 10n ** BigInt(shift);
  const groups: number[] = [];
  for (; rest > 0n; rest /= 10_000n) groups.unshift(Number(rest % 10_000n));
  const weight = groups.length - 1 - (scale + shift) / 4;
  while (groups.at(-1) === 0) groups.pop();
  const wire = new Wire().int16(groups.length).int16(groups.length === 0 ? 0 : weight);
  wire.int16(unscaled < 0n ? 0x4000 : 0).int16(scale);
  for (const group of groups) wire.int16(group);
  return wire.build();
}

function numericText(unscaled: bigint, scale: number): string {
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, '0');
  const whole = digits.slice(0, digits.length - scale);
  return `${unscaled < 0n ? '-' : ''}${whole}${scale === 0 ? '' : `.${digits.slice(digits.length - scale)}`}`;
}

function pad(value: number, width: number): string {
  return String(value).padStart(width, '0');
}

/** As Postgres prints it; JavaScript's own calendar is the other hand. */
function isoTimestamp(micros: bigint): string {
  const days = micros / DAY - (micros % DAY < 0n ? 1n : 0n);
  const date = new Date(Number(days) * 86_400_000);
  const rest = Number(micros - days * DAY);
  const year = date.getUTCFullYear();
  const shown = year > 0 ? year : 1 - year;
  const time = [Math.floor(rest / 3.6e9), Math.floor(rest / 6e7) % 60, Math.floor(rest / 1e6) % 60]
    .map((n) => pad(n, 2))
    .join(':');
  const fraction = rest % 1_000_000 === 0 ? '' : `.${pad(rest % 1_000_000, 6).replace(/0+$/, '')}`;
  const day = `${pad(shown, 4)}-${pad(date.getUTCMonth() + 1, 2)}-${pad(date.getUTCDate(), 2)}`;
  return `${day} ${time}${fraction}${year > 0 ? '' : ' BC'}`;
}

describe('binary and text of the same value give the same cell', () => {
  test('bigint', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (value) => {
        const pair = cells(observedType('int8'), { kind: 'int64' }, new Wire().int64(value).build(), `${value}`);
        expect(pair).toEqual([littleEndian(value, 8), littleEndian(value, 8)]);
      }),
    );
  });

  test('numeric(p,s)', () => {
    const digits = fc.integer({ min: 1, max: 38 });
    const sample = digits.chain((precision) =>
      fc.record({
        precision: fc.constant(precision),
        scale: fc.integer({ min: 0, max: precision }),
        unscaled: fc.integer({ min: 1, max: precision }).chain((used) => {
          const limit = 10n ** BigInt(used) - 1n;
          return fc.bigInt({ min: -limit, max: limit });
        }),
      }),
    );
    fc.assert(
      fc.property(sample, ({ precision, scale, unscaled }) => {
        const source = observedType('numeric', { typmod: numericTypmod(precision, scale) });
        const width = precision <= 4 ? 2 : precision <= 9 ? 4 : precision <= 18 ? 8 : 16;
        const logical: LogicalType = { kind: 'decimal', precision, scale };
        const pair = cells(source, logical, numericBytes(unscaled, scale), numericText(unscaled, scale));
        expect(pair).toEqual([littleEndian(unscaled, width), littleEndian(unscaled, width)]);
      }),
      { numRuns: 500 },
    );
  });

  test('numeric that may not fit its decimal', () => {
    const sample = fc.record({
      precision: fc.integer({ min: 1, max: 38 }),
      scale: fc.integer({ min: 0, max: 20 }),
      unscaled: fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n }),
      given: fc.integer({ min: 0, max: 24 }),
    });
    fc.assert(
      fc.property(sample, ({ precision, scale: wanted, unscaled, given }) => {
        const scale = Math.min(wanted, precision);
        const logical: LogicalType = { kind: 'decimal', precision, scale };
        const shifted = unscaled * 10n ** BigInt(Math.max(scale - given, 0));
        const divisor = 10n ** BigInt(Math.max(given - scale, 0));
        const fits =
          shifted % divisor === 0n && (shifted < 0n ? -shifted : shifted) / divisor < 10n ** BigInt(precision);
        const width = precision <= 4 ? 2 : precision <= 9 ? 4 : precision <= 18 ? 8 : 16;
        const expected = fits ? littleEndian(shifted / divisor, width) : null;
        const pair = cells(
          observedType('numeric'),
          logical,
          numericBytes(unscaled, given),
          numericText(unscaled, given),
        );
        expect(pair).toEqual([expected, expected]);
      }),
      { numRuns: 1000 },
    );
  });

  test('double precision', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true }), (value) => {
        const bytes = Buffer.alloc(8);
        bytes.writeDoubleBE(value);
        // JavaScript prints the shortest digits as float8out does, but not the sign of zero.
        const text = Object.is(value, -0) ? '-0' : String(value);
        const cell = Buffer.from(bytes).reverse().toString('hex');
        expect(cells(observedType('float8'), { kind: 'float64' }, bytes, text)).toEqual([cell, cell]);
      }),
      { numRuns: 2000 },
    );
  });

  test('real, with as few digits as tell it apart', () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), (value) => {
        const bytes = Buffer.alloc(4);
        bytes.writeFloatBE(value);
        const digits = [6, 7, 8, 9].find((n) => Math.fround(Number(value.toPrecision(n))) === value) ?? 9;
        const text = Object.is(value, -0) ? '-0' : value.toPrecision(digits);
        const cell = Buffer.from(bytes).reverse().toString('hex');
        expect(cells(observedType('float4'), { kind: 'float32' }, bytes, text)).toEqual([cell, cell]);
      }),
      { numRuns: 2000 },
    );
  });

  test('timestamp', () => {
    // JavaScript's dates reach from 271822 BC to 275760; Postgres begins in 4714 BC.
    const sample = fc.bigInt({ min: -210_866_803_200_000_000n, max: 8_640_000_000_000_000_000n - 1n });
    fc.assert(
      fc.property(fc.oneof(sample, fc.bigInt({ min: -(10n ** 16n), max: 10n ** 16n })), (micros) => {
        const binary = new Wire().int64(micros - 946_684_800_000_000n).build();
        const cell = littleEndian(micros, 8);
        expect(cells(observedType('timestamp'), { kind: 'timestamp' }, binary, isoTimestamp(micros))).toEqual([
          cell,
          cell,
        ]);
      }),
      { numRuns: 1000 },
    );
  });

  test('date', () => {
    fc.assert(
      fc.property(fc.integer({ min: -2_440_588, max: 99_999_999 }), (days) => {
        const [day = '', time = ''] = isoTimestamp(BigInt(days) * DAY).split(' 00:00:00');
        const cell = littleEndian(BigInt(days), 4);
        const binary = new Wire().int32(days - 10_957).build();
        expect(cells(observedType('date'), { kind: 'date' }, binary, `${day}${time}`)).toEqual([cell, cell]);
      }),
    );
  });

  test('date and timestamp of the years 1 to 9999 alone', () => {
    const first = BigInt(Date.UTC(2001, 0, 1)) * 1000n - 730_485n * DAY;
    const end = BigInt(Date.UTC(10_000, 0, 1)) * 1000n;
    const near = fc.bigInt({ min: -(2n ** 33n), max: 2n ** 33n });
    const anywhere = fc.bigInt({ min: -210_866_803_200_000_000n, max: 400_000_000_000_000_000n });
    const sample = fc.oneof(
      fc.constantFrom(first, first - 1n, end, end - 1n),
      near.map((offset) => first + offset),
      near.map((offset) => end + offset),
      anywhere,
    );
    fc.assert(
      fc.property(sample, (micros) => {
        const fits = micros >= first && micros < end;
        const binary = new Wire().int64(micros - 946_684_800_000_000n).build();
        const cell = fits ? littleEndian(micros, 8) : null;
        const timestamp: LogicalType = { kind: 'timestamp', years: 'four_digits' };
        expect(cells(observedType('timestamp'), timestamp, binary, isoTimestamp(micros))).toEqual([cell, cell]);

        const days = (micros - (((micros % DAY) + DAY) % DAY)) / DAY;
        const [day = '', time = ''] = isoTimestamp(days * DAY).split(' 00:00:00');
        const dayCell = fits ? littleEndian(days, 4) : null;
        const date: LogicalType = { kind: 'date', years: 'four_digits' };
        const dayBinary = new Wire().int32(Number(days) - 10_957).build();
        expect(cells(observedType('date'), date, dayBinary, `${day}${time}`)).toEqual([dayCell, dayCell]);
      }),
      { numRuns: 2000 },
    );
  });

  test('oid as bigint', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffffffff }), (value) => {
        const bytes = Buffer.alloc(4);
        bytes.writeUInt32BE(value);
        const cell = littleEndian(BigInt(value), 8);
        expect(cells(observedType('oid'), { kind: 'int64' }, bytes, String(value))).toEqual([cell, cell]);
      }),
    );
  });

  test('uuid and bytea', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        const hex = Buffer.from(bytes).toString('hex');
        const uuid = hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
        const number = BigInt(`0x${hex}`) ^ (1n << 127n);
        const cell = littleEndian(number, 16);
        expect(cells(observedType('uuid'), { kind: 'uuid' }, Buffer.from(bytes), uuid)).toEqual([cell, cell]);
        expect(cells(observedType('bytea'), { kind: 'blob' }, Buffer.from(bytes), `\\x${hex}`)).toEqual([hex, hex]);
      }),
    );
  });

  test('text[]', () => {
    const element = fc.option(
      fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\0')),
      { freq: 4 },
    );
    fc.assert(
      fc.property(fc.array(element), (elements) => {
        const wire = new Wire()
          .int32(elements.length === 0 ? 0 : 1)
          .int32(0)
          .int32(25);
        if (elements.length > 0) wire.int32(elements.length).int32(1);
        for (const text of elements) {
          if (text === null) wire.int32(-1);
          else wire.int32(Buffer.byteLength(text)).bytes(Buffer.from(text));
        }
        const shown = elements.map((text) => (text === null ? 'NULL' : `"${text.replace(/["\\]/g, '\\$&')}"`));
        const expected = elements.map((text) => (text === null ? null : Buffer.from(text).toString('hex')));
        const source = observedType(ARRAY_OID, { element: 'text' });
        const pair = cells(
          source,
          { kind: 'list', element: { kind: 'varchar' } },
          wire.build(),
          `{${shown.join(',')}}`,
        );
        expect(pair).toEqual([expected, expected]);
      }),
    );
  });
});

describe('a float that would be rounded twice', () => {
  test.each([
    // Just above and below the middle of 1 and the next float; the nearest double is the middle itself.
    { name: 'above the middle', text: '1.00000005960464477540', bits: '0100803f' },
    { name: 'on the middle: to even', text: '1.000000059604644775390625', bits: '0000803f' },
    { name: 'below the middle', text: '1.00000005960464477538', bits: '0000803f' },
    { name: 'below the middle that rounds up', text: '1.00000017881393432616', bits: '0100803f' },
    { name: 'negative, beyond the middle', text: '-1.00000005960464477540', bits: '010080bf' },
  ])('$name', ({ text, bits }) => {
    const codec = columnCodec(decodedColumn('c', observedType('float4'), { kind: 'float32' }), 1);
    codec.putText(Buffer.from(text), 0, text.length);
    expect(cellsOf(codec.build())).toEqual([bits]);
  });
});
