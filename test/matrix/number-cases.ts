import { NINES, quoted, type TypeCase } from './type-case.js';

const FLOATS = ['0', '-0', 'NaN', 'Infinity', '-Infinity', '0.1'];

/** Booleans, integers, floats and decimals. */
export const NUMBER_CASES: readonly TypeCase[] = [
  { name: 'bool', type: 'bool', duckdb: 'BOOLEAN', values: ['true', 'false'] },
  { name: 'int2', type: 'int2', duckdb: 'SMALLINT', values: ['0', '-1', '32767', '-32768'] },
  { name: 'int4', type: 'int4', duckdb: 'INTEGER', values: ['0', '-1', '2147483647', '-2147483648'] },
  {
    name: 'int8',
    type: 'int8',
    duckdb: 'BIGINT',
    values: ['0', '-1', '9223372036854775807', '-9223372036854775808', '9007199254740993', '999999999999999'],
  },
  { name: 'oid', type: 'oid', duckdb: 'UINTEGER', values: ['0', '4294967295', '2147483648'] },
  {
    name: 'float4',
    type: 'float4',
    duckdb: 'FLOAT',
    values: quoted(...FLOATS, '1e-45', '3.4028235e38', '-3.4028235e38', '1.17549435e-38', '16777217', '7.038531e-26'),
  },
  {
    name: 'float8',
    type: 'float8',
    duckdb: 'DOUBLE',
    values: quoted(
      ...FLOATS,
      '5e-324',
      '1.7976931348623157e308',
      '2.2250738585072014e-308',
      '0.30000000000000004',
      '1e22',
      '1e23',
      '9007199254740993',
    ),
  },
  // Arithmetic leaves a NaN with its sign set; Postgres prints all NaNs alike.
  {
    name: 'float8_nan',
    type: 'float8',
    duckdb: 'DOUBLE',
    values: ["'Infinity'::float8 - 'Infinity'::float8", "'NaN'"],
  },
  {
    name: 'numeric_2_2',
    type: 'numeric(2,2)',
    duckdb: 'DECIMAL(2,2)',
    values: quoted('0.99', '-0.99', '0.01', '0', '0.1'),
  },
  {
    name: 'numeric_4_2',
    type: 'numeric(4,2)',
    duckdb: 'DECIMAL(4,2)',
    values: quoted('99.99', '-99.99', '0', '-0.01', 'NaN'),
    rejected: [4],
  },
  { name: 'numeric_9_0', type: 'numeric(9,0)', duckdb: 'DECIMAL(9,0)', values: quoted('999999999', '-999999999', '0') },
  {
    name: 'numeric_18_6',
    type: 'numeric(18,6)',
    duckdb: 'DECIMAL(18,6)',
    values: quoted('999999999999.999999', '-999999999999.999999', '-0.000001', '100000000000'),
  },
  {
    name: 'numeric_38_0',
    type: 'numeric(38,0)',
    duckdb: 'DECIMAL(38,0)',
    values: quoted(NINES, `-${NINES}`, 'NaN', '1e30', '-1e30', '18446744073709551616'),
    rejected: [2],
  },
  {
    name: 'numeric_38_10',
    type: 'numeric(38,10)',
    duckdb: 'DECIMAL(38,10)',
    values: quoted('9999999999999999999999999999.9999999999', '0.0000000001', '-1e20'),
  },
  {
    name: 'numeric_38_38',
    type: 'numeric(38,38)',
    duckdb: 'DECIMAL(38,38)',
    values: quoted(`0.${NINES}`, `-0.${NINES}`, '1e-38', '0'),
  },
  {
    name: 'numeric_negative_scale',
    type: 'numeric(3,-2)',
    since: 15,
    duckdb: 'DECIMAL(5,0)',
    values: quoted('99900', '-100', '0', '50'),
  },
  {
    name: 'numeric_scale_beyond',
    type: 'numeric(2,5)',
    since: 15,
    duckdb: 'DECIMAL(5,5)',
    values: quoted('0.00099', '-0.00001', '0'),
  },
  {
    name: 'numeric',
    type: 'numeric',
    duckdb: 'VARCHAR',
    values: quoted('1e30', 'NaN', '0', '0.00', '-1.50', '1e-50', '1e1000', `${NINES}${NINES}.5`),
  },
  { name: 'numeric_39_2', type: 'numeric(39,2)', duckdb: 'VARCHAR', values: quoted('1', 'NaN', '1e30') },
  { name: 'numeric_infinite', type: 'numeric', since: 14, duckdb: 'VARCHAR', values: quoted('Infinity', '-Infinity') },
  { name: 'domain_int', type: 'positive', duckdb: 'INTEGER', values: ['1', '2147483647'] },
  { name: 'domain_of_domain', type: 'very_positive', duckdb: 'INTEGER', values: ['2'] },
  { name: 'domain_float8', type: 'ratio', duckdb: 'DOUBLE', values: quoted('-0', 'NaN', '0.1') },
  { name: 'domain_decimal', type: 'price', duckdb: 'DECIMAL(12,2)', values: quoted('1.50', 'NaN'), rejected: [1] },
  {
    name: 'domain_small_price',
    type: 'small_price',
    duckdb: 'DECIMAL(12,2)',
    values: quoted('1.50', '-9999999999.99'),
  },
  { name: 'domain_numeric', type: 'anything', duckdb: 'VARCHAR', values: quoted('1e30', 'NaN', '-0.00') },
];
