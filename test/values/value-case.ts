/**
 * Values of every kind that DESIGN 7 names, with the borders of each type. Row i of a table holds value i of each column.
 */
export interface TypeCase {
  /** The column's name. */
  readonly name: string;
  /** Its type as SQL. */
  readonly type: string;
  /** SQL expressions; NULL is always added. */
  readonly values: readonly string[];
  /** What DuckDB has to say of the column. */
  readonly duckdb: string;
  /** Positions in `values` that cannot be held: the cell is NULL and the text is in `_sluice.rejected_values`. */
  readonly rejected?: readonly number[];
  /** How both sides write a value in a common form; absent: the plain text of both. `$` is the column. */
  readonly common?: { readonly postgres: string; readonly duckdb: string } | 'json';
  /** The first major that knows the type or its values. */
  readonly since?: number;
  /** For `types:` of the table. */
  readonly override?: string;
}

const quoted = (...texts: string[]): string[] => texts.map((text) => `'${text.replaceAll("'", "''")}'`);

/** Signed 64-bit microseconds since 1970 from a type's own binary form, which counts from 2000. */
const MICROS_1970 = 946_684_800_000_000;
const integerOf = (bytes: string, bits: number): string => `('x' || encode(${bytes}, 'hex'))::bit(${bits})::bigint`;
const instant = (type: 'timestamp' | 'timestamptz') => ({
  postgres: `case when isfinite($) then (${integerOf(`${type}_send($)`, 64)}::numeric + ${MICROS_1970})::text else $::text end`,
  duckdb: 'CASE WHEN isfinite($) THEN epoch_us($)::VARCHAR ELSE $::VARCHAR END',
});
/** What the output function writes, where a cast to text is something else. */
const OUTPUT = { postgres: "case when $ is not null then format('%s', $) end", duckdb: '$' };
const bits = (send: string) => ({
  postgres: `(('x' || encode(${send}($), 'hex'))::bit(${send === 'float4send' ? 32 : 64}))::text`,
  duckdb: '$::BIT::VARCHAR',
});
const BIG_TEXT = `(select string_agg(md5(i::text), '') from generate_series(1, 330000) as i)`;
const NINES = '9'.repeat(38);

export const TYPE_CASES: readonly TypeCase[] = [
  { name: 'c_bool', type: 'bool', duckdb: 'BOOLEAN', values: ['true', 'false'] },
  { name: 'c_int2', type: 'int2', duckdb: 'SMALLINT', values: ['0', '32767', '-32768'] },
  { name: 'c_int4', type: 'int4', duckdb: 'INTEGER', values: ['0', '2147483647', '-2147483648'] },
  { name: 'c_int8', type: 'int8', duckdb: 'BIGINT', values: ['0', '9223372036854775807', '-9223372036854775808'] },
  { name: 'c_oid', type: 'oid', duckdb: 'UINTEGER', values: ['0', '4294967295', '2147483648'] },
  {
    name: 'c_float4',
    type: 'float4',
    duckdb: 'FLOAT',
    values: quoted('0', '-0', 'Infinity', '-Infinity', '1e-45', '3.4028235e38', '0.1', '16777217', '7.038531e-26'),
    common: bits('float4send'),
  },
  {
    name: 'c_float8',
    type: 'float8',
    duckdb: 'DOUBLE',
    values: quoted(
      '0',
      '-0',
      'Infinity',
      '-Infinity',
      '5e-324',
      '1.7976931348623157e308',
      '0.1',
      '1e23',
      '9007199254740993',
    ),
    common: bits('float8send'),
  },
  {
    name: 'c_nan4',
    type: 'float4',
    duckdb: 'FLOAT',
    values: quoted('NaN'),
    common: { postgres: 'lower($::text)', duckdb: 'lower($::VARCHAR)' },
  },
  {
    name: 'c_nan8',
    type: 'float8',
    duckdb: 'DOUBLE',
    values: ["'NaN'", "'Infinity'::float8 - 'Infinity'::float8"],
    common: { postgres: 'lower($::text)', duckdb: 'lower($::VARCHAR)' },
  },
  {
    name: 'c_numeric_4_2',
    type: 'numeric(4,2)',
    duckdb: 'DECIMAL(4,2)',
    values: quoted('99.99', '-99.99', '0', '-0.01', 'NaN'),
    rejected: [4],
  },
  {
    name: 'c_numeric_9_0',
    type: 'numeric(9,0)',
    duckdb: 'DECIMAL(9,0)',
    values: quoted('999999999', '-999999999', '0'),
  },
  {
    name: 'c_numeric_18_6',
    type: 'numeric(18,6)',
    duckdb: 'DECIMAL(18,6)',
    values: quoted('999999999999.999999', '-0.000001'),
  },
  {
    name: 'c_numeric_38_0',
    type: 'numeric(38,0)',
    duckdb: 'DECIMAL(38,0)',
    values: [...quoted(NINES, `-${NINES}`, 'NaN'), '1e30', '-1e30'],
    rejected: [2],
  },
  {
    name: 'c_numeric_38_38',
    type: 'numeric(38,38)',
    duckdb: 'DECIMAL(38,38)',
    values: quoted(`0.${NINES}`, `-0.${NINES}`),
    common: { postgres: "replace($::text, '0.', '.')", duckdb: '$::VARCHAR' },
  },
  {
    name: 'c_numeric',
    type: 'numeric',
    duckdb: 'VARCHAR',
    values: quoted(
      '1e30',
      'NaN',
      '0',
      '0.00',
      '-1.50',
      '1e-50',
      '123456789012345678901234567890123456789012345678901234567890',
    ),
  },
  { name: 'c_numeric_39', type: 'numeric(39,2)', duckdb: 'VARCHAR', values: quoted('1', 'NaN', '1e30') },
  { name: 'c_numeric_inf', type: 'numeric', since: 14, duckdb: 'VARCHAR', values: quoted('Infinity', '-Infinity') },
  {
    name: 'c_text',
    type: 'text',
    duckdb: 'VARCHAR',
    values: [
      ...quoted(
        '',
        '\\N',
        'NULL',
        'null',
        ' a ',
        'tab\there',
        'line\nbreak',
        '"quoted"',
        "it's",
        'é€𝄞',
        'twelve bytes',
        'thirteen byte',
      ),
      "e'\\x01\\x1f'",
    ],
  },
  { name: 'c_varchar', type: 'varchar(20)', duckdb: 'VARCHAR', values: quoted('', 'a', 'trailing   ') },
  {
    name: 'c_char',
    type: 'char(6)',
    duckdb: 'VARCHAR',
    values: quoted('', 'a', 'é', 'abcdef'),
    common: OUTPUT,
  },
  { name: 'c_internal_char', type: '"char"', duckdb: 'VARCHAR', values: quoted('', 'a') },
  { name: 'c_name', type: 'name', duckdb: 'VARCHAR', values: quoted('', 'relname') },
  { name: 'c_citext', type: 'citext', duckdb: 'VARCHAR', values: quoted('', 'MiXeD', 'mixed') },
  { name: 'c_enum', type: 'mood', duckdb: 'VARCHAR', values: quoted('sad', 'o\'k "x"') },
  {
    name: 'c_bytea',
    type: 'bytea',
    duckdb: 'BLOB',
    values: quoted('', '\\x00', '\\x00ff10', '\\x5c4e', '\\x000102030405060708090a0b0c0d0e0f'),
    common: { postgres: "encode($, 'hex')", duckdb: 'lower(hex($))' },
  },
  {
    name: 'c_uuid',
    type: 'uuid',
    duckdb: 'UUID',
    values: quoted(
      '00000000-0000-0000-0000-000000000000',
      'ffffffff-ffff-ffff-ffff-ffffffffffff',
      '80000000-0000-4000-8000-000000000001',
    ),
  },
  {
    name: 'c_json',
    type: 'json',
    duckdb: 'JSON',
    values: quoted('{"a":  1,\n "a": 2 }', '  [1,2 , 3]', 'null', '"\\u00e9"', '1.50', '{}'),
  },
  {
    name: 'c_jsonb',
    type: 'jsonb',
    duckdb: 'JSON',
    values: quoted('{"b": 1, "a": {"c": [1, 2.50]}}', 'null', '"x"', '{}'),
  },
  {
    name: 'c_date',
    type: 'date',
    duckdb: 'DATE',
    values: quoted(
      '1970-01-01',
      '2000-02-29',
      'infinity',
      '-infinity',
      '0044-03-15 BC',
      '4713-01-01 BC',
      '5874897-12-31',
      '0001-01-01',
      '1999-12-31',
    ),
    common: {
      postgres: "case when isfinite($) then ($ - date '1970-01-01')::text else $::text end",
      duckdb: "CASE WHEN isfinite($) THEN date_diff('day', DATE '1970-01-01', $)::VARCHAR ELSE $::VARCHAR END",
    },
  },
  {
    name: 'c_timestamp',
    type: 'timestamp',
    duckdb: 'TIMESTAMP',
    values: quoted(
      '1970-01-01',
      '1969-12-31 23:59:59.999999',
      'infinity',
      '-infinity',
      '0044-03-15 12:00:00 BC',
      '4713-01-01 BC',
      '2024-02-29 12:34:56.789012',
      '294247-01-10 04:00:54.775806',
      '294276-12-31 23:59:59.999999',
    ),
    rejected: [8],
    common: instant('timestamp'),
  },
  {
    name: 'c_timestamptz',
    type: 'timestamptz',
    duckdb: 'TIMESTAMP WITH TIME ZONE',
    values: quoted(
      '1970-01-01 00:00Z',
      '1969-12-31 23:59:59.999999+00',
      'infinity',
      '-infinity',
      '0044-03-15 12:00:00+01 BC',
      '2024-03-31 02:30:00+02:30',
      '294276-12-31 23:59:59.999999+00',
    ),
    rejected: [6],
    common: instant('timestamptz'),
  },
  {
    name: 'c_timestamp_0',
    type: 'timestamp(0)',
    duckdb: 'TIMESTAMP',
    values: quoted('2024-02-29 12:34:56.7'),
    common: instant('timestamp'),
  },
  {
    name: 'c_time',
    type: 'time',
    duckdb: 'TIME',
    values: quoted('00:00', '24:00:00', '23:59:59.999999', '12:34:56.5'),
  },
  {
    name: 'c_timetz',
    type: 'timetz',
    duckdb: 'TIME WITH TIME ZONE',
    values: quoted(
      '00:00+00',
      '24:00:00+00',
      '12:34:56.5+05:30',
      '23:59:59.999999-15:59',
      '12:00+15:59',
      '12:00:00-00:00:01',
    ),
    common: {
      postgres: "$::time::text || ' ' || extract(timezone from $)::int::text",
      duckdb: "$::TIME::VARCHAR || ' ' || datepart('timezone', $)::VARCHAR",
    },
  },
  {
    name: 'c_interval',
    type: 'interval',
    duckdb: 'INTERVAL',
    values: quoted(
      '0',
      '1 year 2 mons 3 days 04:05:06.789012',
      '-1 mons',
      '30 days',
      '1 mon',
      '24:00:00',
      '1 day',
      '-00:00:00.000001',
      '178000000 years',
      '-178000000 years',
    ),
    common: {
      // months, days and microseconds, as interval_send lays them out
      postgres: `(${integerOf('substr(interval_send($), 13, 4)', 32).replace('::bigint', '::int')})::text || ' ' || (${integerOf('substr(interval_send($), 9, 4)', 32).replace('::bigint', '::int')})::text || ' ' || (${integerOf('substr(interval_send($), 1, 8)', 64)})::text`,
      duckdb: `(datepart('year', $) * 12 + datepart('month', $))::VARCHAR || ' ' || datepart('day', $)::VARCHAR || ' ' || (datepart('hour', $) * 3600000000 + datepart('minute', $) * 60000000 + datepart('microsecond', $))::VARCHAR`,
    },
  },
  {
    name: 'c_interval_inf',
    type: 'interval',
    since: 17,
    duckdb: 'INTERVAL',
    values: quoted('infinity', '-infinity'),
    rejected: [0, 1],
  },
  {
    name: 'c_int_list',
    type: 'int4[]',
    duckdb: 'INTEGER[]',
    values: quoted('{}', '{1,2,3}', '{1,NULL,-3}', '{{1,2},{3,4}}', '[0:1]={5,6}', '{NULL}', '{{{1}}}'),
    rejected: [3, 4, 6],
    common: 'json',
  },
  {
    name: 'c_text_list',
    type: 'text[]',
    duckdb: 'VARCHAR[]',
    values: quoted('{}', '{a,"b c","",NULL,"NULL","q\\"x"}', '{{a,b}}', '{"\\\\N"}'),
    rejected: [2],
    common: 'json',
  },
  {
    name: 'c_numeric_list',
    type: 'numeric[]',
    duckdb: 'VARCHAR[]',
    values: quoted('{1.50,NaN,1e30}', '{}'),
    common: { postgres: "array_to_string($, ',')", duckdb: "array_to_string($, ',')" },
  },
  {
    name: 'c_decimal_list',
    type: 'numeric(10,2)[]',
    duckdb: 'DECIMAL(10,2)[]',
    values: quoted('{1.50,NULL,-2.25}', '{NaN}', '{1,NaN,2}'),
    rejected: [1, 2],
    common: {
      postgres: "array_to_string($, ',', 'NULL')",
      duckdb: "array_to_string(list_transform($, lambda x: coalesce(x::VARCHAR, 'NULL')), ',')",
    },
  },
  {
    name: 'c_float_list',
    type: 'float8[]',
    duckdb: 'DOUBLE[]',
    values: quoted('{0.5,Infinity,-0.25}', '{}'),
    common: {
      postgres: "lower(array_to_string($, ','))",
      duckdb: "replace(lower(array_to_string($, ',')), 'inf', 'infinity')",
    },
  },
  { name: 'c_bool_list', type: 'bool[]', duckdb: 'BOOLEAN[]', values: quoted('{t,f,NULL}'), common: 'json' },
  {
    name: 'c_uuid_list',
    type: 'uuid[]',
    duckdb: 'UUID[]',
    values: quoted('{80000000-0000-4000-8000-000000000001,NULL}'),
    common: 'json',
  },
  { name: 'c_date_list', type: 'date[]', duckdb: 'DATE[]', values: quoted('{2000-01-01,1999-12-31}'), common: 'json' },
  {
    name: 'c_stamp_list',
    type: 'timestamptz[]',
    duckdb: 'TIMESTAMP WITH TIME ZONE[]',
    values: quoted('{2000-01-01 00:00:00.5+00}', '{294276-12-31 23:59:59+00}'),
    rejected: [1],
    common: { postgres: "array_to_string($, ',')", duckdb: "array_to_string($, ',')" },
  },
  {
    name: 'c_bytea_list',
    type: 'bytea[]',
    duckdb: 'BLOB[]',
    values: [`array['\\x00ff'::bytea, '']`],
    common: {
      postgres: "encode($[1], 'hex') || ',' || encode($[2], 'hex')",
      duckdb: "lower(hex($[1])) || ',' || lower(hex($[2]))",
    },
  },
  { name: 'c_enum_list', type: 'mood[]', duckdb: 'VARCHAR[]', values: quoted('{sad,NULL}'), common: 'json' },
  {
    name: 'c_json_list',
    type: 'jsonb[]',
    duckdb: 'JSON[]',
    values: [`array['{"a": 1}'::jsonb, null, 'null']`],
    common: { postgres: '$[1]::text', duckdb: '$[1]::VARCHAR' },
  },
  {
    name: 'c_interval_list',
    type: 'interval[]',
    duckdb: 'INTERVAL[]',
    values: quoted('{1 day,24:00:00}'),
    common: {
      postgres: 'extract(day from $[1])::text || extract(day from $[2])::text || extract(hour from $[2])::text',
      duckdb: "datepart('day', $[1])::VARCHAR || datepart('day', $[2])::VARCHAR || datepart('hour', $[2])::VARCHAR",
    },
  },
  { name: 'c_domain', type: 'positive', duckdb: 'INTEGER', values: ['1', '2147483647'] },
  { name: 'c_domain_2', type: 'very_positive', duckdb: 'INTEGER', values: ['2'] },
  { name: 'c_domain_numeric', type: 'price', duckdb: 'DECIMAL(12,2)', values: quoted('1.50', 'NaN'), rejected: [1] },
  { name: 'c_hstore', type: 'hstore', duckdb: 'VARCHAR', values: quoted('', 'a=>1, b=>NULL, "c d"=>"e\\"f"') },
  { name: 'c_int4range', type: 'int4range', duckdb: 'VARCHAR', values: quoted('empty', '[1,5)', '(,)') },
  {
    name: 'c_tstzrange',
    type: 'tstzrange',
    duckdb: 'VARCHAR',
    values: quoted('[2020-01-01 00:00+02,infinity)', '(,)'),
  },
  { name: 'c_composite', type: 'pair', duckdb: 'VARCHAR', values: quoted('(1,)', '(,"a b")', '(,)', '(,"")') },
  {
    name: 'c_inet',
    type: 'inet',
    duckdb: 'VARCHAR',
    values: quoted('10.0.0.1', '10.0.0.0/8', '::1/64'),
    common: OUTPUT,
  },
  { name: 'c_cidr', type: 'cidr', duckdb: 'VARCHAR', values: quoted('10.0.0.0/8', '::/0') },
  { name: 'c_macaddr', type: 'macaddr', duckdb: 'VARCHAR', values: quoted('08:00:2b:01:02:03') },
  { name: 'c_money', type: 'money', duckdb: 'VARCHAR', values: quoted('1234.56', '-0.01') },
  { name: 'c_xml', type: 'xml', duckdb: 'VARCHAR', values: quoted('<a b="c">d</a>', '<a/>') },
  { name: 'c_bit', type: 'bit(5)', duckdb: 'VARCHAR', values: ["b'00101'"] },
  { name: 'c_varbit', type: 'varbit', duckdb: 'VARCHAR', values: ["b''", "b'1'", "b'000000001'"] },
  { name: 'c_point', type: 'point', duckdb: 'VARCHAR', values: quoted('(1.5,-0)', '(0.1,1e300)') },
  { name: 'c_box', type: 'box', duckdb: 'VARCHAR', values: quoted('(2,2),(0,0)') },
  { name: 'c_tsvector', type: 'tsvector', duckdb: 'VARCHAR', values: quoted('', 'a:1A b:2,3') },
  { name: 'c_pg_lsn', type: 'pg_lsn', duckdb: 'VARCHAR', values: quoted('0/0', 'FFFFFFFF/FFFFFFFF') },
  { name: 'c_int2vector', type: 'int2vector', duckdb: 'VARCHAR', values: quoted('1 2 3', '') },
  {
    name: 'c_range_list',
    type: 'int4range[]',
    duckdb: 'VARCHAR',
    values: quoted('{"[1,2)",NULL,empty}', '{}', '{{empty}}'),
  },
  { name: 'c_multirange', type: 'int4multirange', since: 14, duckdb: 'VARCHAR', values: quoted('{}', '{[1,2),[5,6)}') },
  {
    name: 'o_double',
    type: 'numeric',
    override: 'double',
    duckdb: 'DOUBLE',
    values: quoted('1.5', '1e30', 'NaN', '1e400'),
    rejected: [3],
    common: {
      postgres: "lower(case when $ = 'NaN' then 'NaN' when $ < 1e300 then $::float8::text end)",
      duckdb: 'lower($::VARCHAR)',
    },
  },
  {
    name: 'o_decimal',
    type: 'numeric',
    override: 'decimal(10,2)',
    duckdb: 'DECIMAL(10,2)',
    values: quoted('1.5', '99999999.99', '1e30', 'NaN', '1.555'),
    rejected: [2, 3, 4],
    common: { postgres: 'case when $ < 1e8 then $::numeric(10,2)::text end', duckdb: '$::VARCHAR' },
  },
  {
    name: 'o_varchar',
    type: 'timestamptz',
    override: 'varchar',
    duckdb: 'VARCHAR',
    values: quoted('2020-01-01 00:00+02', '294276-12-31 23:59:59+00', 'infinity'),
  },
  {
    name: 'o_json',
    type: 'text',
    override: 'json',
    duckdb: 'JSON',
    values: quoted('{"a": 1}', '[]'),
    common: { postgres: '$', duckdb: '$::VARCHAR' },
  },
  {
    name: 'c_big',
    type: 'text',
    duckdb: 'VARCHAR',
    values: [BIG_TEXT, `left(${BIG_TEXT}, 300000)`],
    common: { postgres: 'md5($)', duckdb: 'md5($)' },
  },
];

/** What the columns above need. */
export const TYPES_SQL = `
  create extension citext; create extension hstore;
  create type mood as enum ('sad', 'o''k "x"');
  create domain positive as int check (value > 0);
  create domain very_positive as positive check (value > 1);
  create domain price as numeric(12,2);
  create type pair as (a int, b text);`;
