import { quoted, type TypeCase } from './type-case.js';

/** Rounds to an infinite double; one less rounds to the largest. */
const DOUBLE_LIMIT = 2n ** 1024n - 2n ** 970n;
const double = { override: 'double', duckdb: 'DOUBLE' } as const;
const varchar = { override: 'varchar', duckdb: 'VARCHAR' } as const;
const json = { override: 'json', duckdb: 'JSON' } as const;
const decimal = (precision: number, scale: number) => ({
  override: `decimal(${precision},${scale})`,
  duckdb: `DECIMAL(${precision},${scale})`,
  as: `$::text::numeric(${precision},${scale})`,
});

/** Columns under `types:` of their table. */
export const OVERRIDE_CASES: readonly TypeCase[] = [
  {
    ...double,
    name: 'double_numeric',
    type: 'numeric',
    values: quoted('1.5', '1e30', 'NaN', '1e400', '0.1', '-0', `${DOUBLE_LIMIT}`, `${DOUBLE_LIMIT - 1n}`),
    rejected: [3, 6],
    as: '$::float8',
  },
  {
    ...double,
    name: 'double_numeric_infinite',
    type: 'numeric',
    since: 14,
    values: quoted('Infinity', '-Infinity'),
    as: '$::float8',
  },
  { ...double, name: 'double_decimal', type: 'numeric(10,2)', values: quoted('1.50', '-0.01', 'NaN'), as: '$::float8' },
  { ...double, name: 'double_int8', type: 'int8', values: ['9223372036854775807', '-1'], as: '$::float8' },
  {
    ...double,
    name: 'double_text',
    type: 'text',
    values: quoted('1.5', ' 1', 'abc', '', '1e5', '1e9999', 'NaN', '-Infinity', '0x10', '.5', '5.', '1\n', '-0'),
    rejected: [1, 2, 3, 5, 8, 11],
    as: '$::float8',
  },
  { ...double, name: 'double_money', type: 'money', values: quoted('1.5'), rejected: [0], as: '$::text::float8' },
  {
    ...decimal(10, 2),
    name: 'decimal_numeric',
    type: 'numeric',
    values: quoted('1.5', '99999999.99', '1e30', 'NaN', '1.555', '0', '-0.01', '100000000'),
    rejected: [2, 3, 4, 7],
  },
  {
    ...decimal(10, 2),
    name: 'decimal_numeric_infinite',
    type: 'numeric',
    since: 14,
    values: quoted('Infinity', '-Infinity', '1'),
    rejected: [0, 1],
  },
  {
    ...decimal(4, 1),
    name: 'decimal_narrower',
    type: 'numeric(10,2)',
    values: quoted('1.50', '1.55', '999.9', '1000'),
    rejected: [1, 3],
  },
  {
    ...decimal(18, 8),
    name: 'decimal_float8',
    type: 'float8',
    values: quoted('1.5', '1e-08', '1e-09', '1e300', 'NaN', '-1.5e+05', '-0'),
    rejected: [2, 3, 4],
  },
  { ...decimal(9, 4), name: 'decimal_int4', type: 'int4', values: ['12345', '99999', '100000', '-1'], rejected: [2] },
  {
    ...decimal(9, 2),
    name: 'decimal_text',
    type: 'text',
    values: quoted('1.5', 'x', '1e2', '00001.00', '+7'),
    rejected: [1],
  },
  {
    ...varchar,
    name: 'varchar_timestamptz',
    type: 'timestamptz',
    values: quoted('2020-01-01 00:00+02', '294276-12-31 23:59:59+00', 'infinity', '0044-03-15 12:00:00+00 BC'),
  },
  { ...varchar, name: 'varchar_interval', type: 'interval', values: quoted('1 mon -1 day 04:05:06.789', '0') },
  { ...varchar, name: 'varchar_bytea', type: 'bytea', values: quoted('', '\\x00ff5c') },
  { ...varchar, name: 'varchar_bool', type: 'bool', values: ['true', 'false'] },
  { ...varchar, name: 'varchar_float4', type: 'float4', values: quoted('0.1', '-0', 'NaN', '3.4028235e38') },
  { ...varchar, name: 'varchar_float8', type: 'float8', values: quoted('0.30000000000000004', '1e23', '-0') },
  { ...varchar, name: 'varchar_decimal', type: 'numeric(10,2)', values: quoted('1.50', 'NaN') },
  { ...varchar, name: 'varchar_jsonb', type: 'jsonb', values: quoted('{"a":1}') },
  { ...varchar, name: 'varchar_array', type: 'int4[]', values: quoted('{{1,2},{3,4}}', '[0:1]={1,2}', '{}') },
  { ...json, name: 'json_text', type: 'text', values: quoted('{"a": 1}', '[]') },
  { ...json, name: 'json_json', type: 'json', values: quoted('{ "a":1 }') },
];
