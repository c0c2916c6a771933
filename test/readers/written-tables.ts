import type { Cell } from './canonical.js';
import type { ReaderName } from './readers.js';

/** What write_tables.py writes, said a second time: the rows that every engine must read. */

export const LOSSES: readonly {
  readonly name: string;
  readonly rows: number;
  readonly files: number;
  readonly isDeleted: (id: number) => boolean;
}[] = [
  { name: 'few', rows: 1_000, files: 1, isDeleted: (id) => [3, 4, 7, 11, 18, 29].includes(id) },
  { name: 'scattered', rows: 200_000, files: 1, isDeleted: (id) => id % 7 === 3 || id % 11 === 5 },
  {
    name: 'stretches',
    rows: 200_000,
    files: 2,
    isDeleted: (id) => (id >= 100 && id <= 80_000) || (id >= 130_000 && id <= 180_000) || id % 2 === 0,
  },
];

const LONGEST = '99999999999999999999999999.999999999999';
const ALL_BYTES = Buffer.from(Array.from({ length: 256 }, (_, i) => i)).toString('hex');
const YEAR_1_MICROS = '-62135596800000000';
const YEAR_9999_MICROS = '253402300799999999';

/** A column, its cells in the first three rows; the fourth is null. */
const COLUMNS: readonly (readonly [name: string, type: string, cells: readonly [Cell, Cell, Cell]])[] = [
  ['flag', 'boolean', ['true', 'false', 'true']],
  ['tiny', 'byte', ['-128', '127', '0']],
  ['small', 'short', ['-32768', '32767', '0']],
  ['whole', 'integer', ['-2147483648', '2147483647', '0']],
  ['large', 'long', ['-9223372036854775808', '9223372036854775807', '0']],
  ['single', 'float', ['1.0000000149011612e-1', 'Infinity', '-0e+0']],
  ['twice', 'double', ['5e-324', '1.7976931348623157e+308', '1e+16']],
  ['odd', 'double', ['NaN', '-Infinity', '-0e+0']],
  ['money', 'decimal(38,12)', [LONGEST, `-${LONGEST}`, '-0.000000000001']],
  ['cents', 'decimal(9,2)', ['1.20', '-0.05', '0.00']],
  ['words', 'string', ['', 'a "b" \\ \n\t\u0001\u007f\u2028', 'é 漢 🙂']],
  ['bytes', 'binary', ['', '00ff', ALL_BYTES]],
  ['day', 'date', ['-719162', '2932896', '-1']],
  ['moment', 'timestamp', [YEAR_1_MICROS, YEAR_9999_MICROS, '-1']],
  ['clock', 'timestamp_ntz', [YEAR_1_MICROS, YEAR_9999_MICROS, '-1']],
  ['numbers', 'array<long>', [['1', null, '3'], [], ['-9223372036854775808']]],
  ['texts', 'array<string>', [['', null, 'x"y'], [], ['a']]],
];

export const EVERY_TYPE = [{ name: 'id', type: 'long' }, ...COLUMNS.map(([name, type]) => ({ name, type }))];

/** Cells that one engine is known to read otherwise: column, row from 0, what it says. */
const KNOWN: Readonly<Partial<Record<ReaderName, readonly (readonly [column: string, row: number, cell: Cell])[]>>> = {
  chdb: [
    ['numbers', 3, []],
    ['texts', 3, []],
  ],
};

/** The rows that an engine must read, by id. */
export function everyTypeRows(reader: ReaderName): Cell[][] {
  return [0, 1, 2, 3].map((row) => [
    String(row + 1),
    ...COLUMNS.map(([name, , cells]) => {
      const known = KNOWN[reader]?.find(([column, at]) => column === name && at === row);
      return known === undefined ? (cells[row] ?? null) : known[2];
    }),
  ]);
}
