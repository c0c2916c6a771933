import type { Data, RecordBatch } from 'apache-arrow';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startPostgres, type TestPostgres } from '../../../test/postgres/server.js';
import type { TypeOverride } from '../../config/config.js';
import { ChangeDecoder, type ChangeEvent } from '../../pgoutput/change-decoder.js';
import { LSN_ZERO } from '../../pgoutput/lsn.js';
import { readCatalog } from '../catalog.js';
import type { ObservedTable } from '../catalog-model.js';
import { connectSource, type SourceConnection } from '../connect.js';
import { CopyTableDecoder, type DecodedColumn } from '../copy-decoder.js';
import { CopyFrameSplitter } from '../copy-frames.js';
import { CopyTupleReader } from '../copy-tuples.js';
import { logicalTypeOf, originalText, selectExpression, unrepresentablePredicate } from '../value-type.js';

/**
 * Law 3 on real servers: every value below goes through binary COPY and through pgoutput, and must leave the same bytes.
 * What one half rejects the other must reject too, and unrepresentablePredicate must find exactly those.
 */

interface Case {
  readonly name: string;
  /** The column's type as SQL. */
  readonly type: string;
  /** Values as SQL expressions; NULL is always added. */
  readonly values: readonly string[];
  /** SQL that yields more values, one a row (column v). */
  readonly generated?: string;
  readonly override?: TypeOverride;
  /** DuckDB's type, as logicalTypeOf must say. */
  readonly kind: string;
  /** How many of `values` are rejected; 0 by default. */
  readonly rejected?: number;
  /** First major that knows the type or its values. */
  readonly since?: number;
  /** Last major that takes the values. */
  readonly until?: number;
}

const quoted = (...texts: string[]): string[] => texts.map((text) => `'${text.replaceAll("'", "''")}'`);
const NINES_38 = '9'.repeat(38);
const TOAST = `(select string_agg(md5(i::text), '') from generate_series(1, 500) i)`;

const CASES: readonly Case[] = [
  { name: 'boolean', type: 'bool', kind: 'boolean', values: ['true', 'false'] },
  { name: 'smallint', type: 'int2', kind: 'int16', values: ['0', '-1', '32767', '-32768'] },
  { name: 'integer', type: 'int4', kind: 'int32', values: ['0', '-1', '2147483647', '-2147483648'] },
  {
    name: 'bigint',
    type: 'int8',
    kind: 'int64',
    values: [
      '0',
      '-1',
      '9223372036854775807',
      '-9223372036854775808',
      '999999999999999',
      '1000000000000000',
      '-1234567890123456789',
    ],
    generated: `select (random() * 9.2e18)::int8 * (case when i % 2 = 0 then 1 else -1 end) / (10 ^ (i % 19))::int8 from generate_series(1, 500) i`,
  },
  { name: 'oid', type: 'oid', kind: 'uint32', values: ['0', '4294967295', '2147483648'] },
  {
    name: 'real',
    type: 'float4',
    kind: 'float32',
    values: quoted(
      '0',
      '-0',
      'NaN',
      'Infinity',
      '-Infinity',
      '1e-45',
      '3.4028235e38',
      '-3.4028235e38',
      '1.17549435e-38',
      '0.1',
      '16777217',
      '8589973000',
      '7.038531e-26',
    ),
    generated: `select (random() * 10 ^ (random() * 70 - 33))::float4 * (case when i % 2 = 0 then 1 else -1 end) from generate_series(1, 3000) i`,
  },
  {
    name: 'double precision',
    type: 'float8',
    kind: 'float64',
    values: quoted(
      '0',
      '-0',
      'NaN',
      'Infinity',
      '-Infinity',
      '5e-324',
      '1.7976931348623157e308',
      '2.2250738585072014e-308',
      '0.1',
      '0.30000000000000004',
      '1e22',
      '1e23',
      '123456789012345678',
      '9007199254740993',
    ),
    generated: `select random() * 10 ^ (random() * 600 - 300) * (case when i % 2 = 0 then 1 else -1 end) from generate_series(1, 3000) i`,
  },
  {
    name: 'NaN with the sign that arithmetic leaves',
    type: 'float8',
    kind: 'float64',
    values: [`'Infinity'::float8 - 'Infinity'::float8`, `'Infinity'::float8 * 0`],
  },
  {
    name: 'numeric(4,2)',
    type: 'numeric(4,2)',
    kind: 'decimal',
    values: [...quoted('99.99', '-99.99', '0', '0.01', '-0.01', '10', 'NaN')],
    rejected: 1,
  },
  {
    name: 'numeric(9,0)',
    type: 'numeric(9,0)',
    kind: 'decimal',
    values: quoted('999999999', '-999999999', '10000', '100000000'),
  },
  { name: 'numeric(2,2)', type: 'numeric(2,2)', kind: 'decimal', values: quoted('0.99', '-0.99', '0.01', '0', '0.1') },
  {
    name: 'numeric(12,2)',
    type: 'numeric(12,2)',
    kind: 'decimal',
    values: quoted('9999999999.99', '-9999999999.99', '0.10', '1', '10000', 'NaN', '0.05'),
    rejected: 1,
    generated: `select ((random() - 0.5) * 10 ^ (i % 10))::numeric(12,2) from generate_series(1, 500) i`,
  },
  {
    name: 'numeric(18,6)',
    type: 'numeric(18,6)',
    kind: 'decimal',
    values: quoted('999999999999.999999', '-999999999999.999999', '0.000001', '100000000000', '-0.100000'),
    generated: `select ((random() - 0.5) * 10 ^ (i % 12))::numeric(18,6) from generate_series(1, 500) i`,
  },
  {
    name: 'numeric(38,10)',
    type: 'numeric(38,10)',
    kind: 'decimal',
    values: quoted(
      '9999999999999999999999999999.9999999999',
      '-9999999999999999999999999999.9999999999',
      '0.0000000001',
      '1e27',
      '-1e20',
      'NaN',
    ),
    rejected: 1,
    generated: `select ((random() - 0.5)::numeric * ('1e' || (i % 28))::numeric)::numeric(38,10) from generate_series(1, 500) i`,
  },
  {
    name: 'numeric(38,0)',
    type: 'numeric(38,0)',
    kind: 'decimal',
    values: [NINES_38, `-${NINES_38}`, '1e37', '0', '18446744073709551616'],
  },
  {
    name: 'numeric(38,38)',
    type: 'numeric(38,38)',
    kind: 'decimal',
    values: [`0.${NINES_38}`, '1e-38', '-1e-37', '0'],
  },
  { name: 'numeric beyond 38 digits', type: 'numeric(39,1)', kind: 'varchar', values: [`'${NINES_38}.5'`, `'NaN'`] },
  {
    name: 'numeric with a negative scale',
    type: 'numeric(3,-2)',
    kind: 'decimal',
    since: 15,
    values: ['99900', '-100', '0', '50'],
  },
  {
    name: 'numeric with a scale beyond its precision',
    type: 'numeric(2,5)',
    kind: 'decimal',
    since: 15,
    values: ['0.00099', '-0.00001', '0'],
  },
  {
    name: 'plain numeric',
    type: 'numeric',
    kind: 'varchar',
    values: quoted('1e30', '-1e-30', 'NaN', '0.00', '1e1000', NINES_38),
  },
  {
    name: 'plain numeric with infinities',
    type: 'numeric',
    kind: 'varchar',
    since: 14,
    values: quoted('Infinity', '-Infinity'),
  },
  {
    name: 'text',
    type: 'text',
    kind: 'varchar',
    values: [...quoted('', ' ', '\\N', 'a\tb\nc', `it's "quoted", {braces} \\`, 'žluťoučký 🐎', 'NULL'), TOAST],
  },
  { name: 'varchar(5)', type: 'varchar(5)', kind: 'varchar', values: quoted('', 'abcde', 'é') },
  { name: 'char(5) with its padding', type: 'char(5)', kind: 'varchar', values: quoted('', 'ab', 'abcde') },
  { name: '"char"', type: '"char"', kind: 'varchar', values: quoted('a', '', '~') },
  { name: 'name', type: 'name', kind: 'varchar', values: quoted('pg_class', '') },
  { name: 'citext', type: 'x.citext', kind: 'varchar', values: quoted('MiXed', '') },
  { name: 'enum', type: 'x.mood', kind: 'varchar', values: quoted('sad', 'very, "happy"') },
  {
    name: 'bytea',
    type: 'bytea',
    kind: 'blob',
    values: [`''`, `'\\x00'`, `'\\xDEADbeef5c785c'`, `decode(${TOAST}, 'hex')`],
  },
  {
    name: 'uuid',
    type: 'uuid',
    kind: 'uuid',
    values: [
      ...quoted(
        '00000000-0000-0000-0000-000000000000',
        'ffffffff-ffff-ffff-ffff-ffffffffffff',
        '01234567-89ab-cdef-8123-456789abcdef',
      ),
    ],
    generated: `select md5(i::text)::uuid from generate_series(1, 100) i`,
  },
  {
    name: 'json keeps its text',
    type: 'json',
    kind: 'json',
    values: quoted('{ "b":1,  "a": [1,2 ] , "b":2}', 'null', '"\\u0041"'),
  },
  { name: 'jsonb', type: 'jsonb', kind: 'json', values: quoted('{ "b":1,  "a": [1,2 ] , "b":2}', 'null', '1e3', '[]') },
  {
    name: 'date',
    type: 'date',
    kind: 'date',
    values: quoted(
      '1970-01-01',
      '2000-02-29',
      'infinity',
      '-infinity',
      '4714-11-24 BC',
      '5874897-12-31',
      '0044-03-15 BC',
      '0001-01-01',
      '0001-12-31 BC',
      '294277-01-01',
    ),
    generated: `select '4714-11-24 BC'::date + (random() * 2147400000)::int from generate_series(1, 500) i`,
  },
  { name: 'time', type: 'time', kind: 'time', values: quoted('00:00:00', '24:00:00', '23:59:59.999999', '12:34:56.7') },
  {
    name: 'timetz',
    type: 'timetz',
    kind: 'timetz',
    values: quoted(
      '00:00:00+15:59:59',
      '24:00:00-15:59:59',
      '12:34:56.789+05:30',
      '12:00:00+00',
      '01:02:03.000004-00:00:01',
    ),
  },
  {
    name: 'timestamp',
    type: 'timestamp',
    kind: 'timestamp',
    values: quoted(
      '1970-01-01 00:00:00',
      '1969-12-31 23:59:59.999999',
      'infinity',
      '-infinity',
      '4714-11-24 00:00:00 BC',
      '0044-03-15 12:00:00.5 BC',
      '294247-01-10 04:00:54.775806',
      '294247-01-10 04:00:54.775807',
      '294276-12-31 23:59:59.999999',
      '1696-01-01 00:00:00',
      '2255-06-05 23:47:34.740993',
      '10000-01-01 00:00:00',
    ),
    rejected: 2,
    generated: `select '4714-11-24 BC'::timestamp + random() * 298000 * interval '1 year' + random() * interval '1 day' from generate_series(1, 1000) i`,
  },
  {
    name: 'timestamptz',
    type: 'timestamptz',
    kind: 'timestamptz',
    values: quoted(
      '1970-01-01 00:00:00+00',
      '2024-03-10 02:30:00-05',
      'infinity',
      '-infinity',
      '4714-11-24 00:00:00+00 BC',
      '0044-03-15 12:00:00.5+01 BC',
      '294247-01-10 04:00:54.775806+00',
      '294247-01-10 04:00:54.775807+00',
      '294276-12-31 23:59:59.999999+00',
      '12345-06-07 08:09:10.123456+00',
    ),
    rejected: 2,
    generated: `select '1600-01-01'::timestamptz + random() * 800 * interval '1 year' + random() * interval '1 day' from generate_series(1, 1000) i`,
  },
  {
    name: 'interval',
    type: 'interval',
    kind: 'interval',
    values: quoted(
      '0',
      '1 year 2 mons -3 days +04:05:06.789',
      '-1 year -2 mons +3 days -04:05:06.000001',
      '178956970 years 7 mons 2147483647 days 2562047788:00:54.775806',
      '-178956970 years -8 mons -2147483648 days -2562047788:00:54.775807',
      '1 mon',
      '1 day',
      '-00:00:00.000001',
      '1000001:00:00',
      '-1 day +00:00:01',
    ),
    generated: `select make_interval(0, ((random() - 0.5) * 4000)::int, 0, ((random() - 0.5) * 4000)::int, 0, 0, ((random() - 0.5) * 10 ^ (i % 12))) from generate_series(1, 1000) i`,
  },
  {
    name: 'infinite intervals',
    type: 'interval',
    kind: 'interval',
    since: 17,
    values: quoted('infinity', '-infinity', '1 day'),
    rejected: 2,
  },
  {
    name: 'the interval that 17 calls infinite',
    type: 'interval',
    kind: 'interval',
    values: quoted('178956970 years 7 mons 2147483647 days 2562047788:00:54.775807', '1 day'),
    until: 16,
    rejected: 1,
  },
  {
    name: 'integer[]',
    type: 'int4[]',
    kind: 'list',
    values: [
      ...quoted('{}', '{1,NULL,-3}', '{{1,2},{3,4}}', '[0:1]={1,2}', '[2:2]={7}', '[1:2]={1,2}', '{{{5}}}'),
      `array_fill(9, array[2000])`,
    ],
    rejected: 4,
  },
  {
    name: 'text[]',
    type: 'text[]',
    kind: 'list',
    values: quoted(
      '{}',
      '{"","NULL",NULL,null,"a\\"b","c\\\\d","{e}","f,g"," h "}',
      '{{"a"}}',
      '{"žluť 🐎"}',
      '{"a b\\"",x,"\\\\"}',
    ),
    rejected: 1,
  },
  { name: 'varchar(3)[]', type: 'varchar(3)[]', kind: 'list', values: quoted('{abc,é}') },
  { name: 'char(3)[]', type: 'char(3)[]', kind: 'list', values: quoted('{a,abc}') },
  { name: 'bool[]', type: 'bool[]', kind: 'list', values: quoted('{t,f,NULL}') },
  {
    name: 'int2[], int8[]',
    type: 'int8[]',
    kind: 'list',
    values: quoted('{9223372036854775807,-9223372036854775808,0}'),
  },
  { name: 'float8[]', type: 'float8[]', kind: 'list', values: quoted('{NaN,Infinity,-0,1e-300}') },
  { name: 'float4[]', type: 'float4[]', kind: 'list', values: quoted('{NaN,Infinity,-0,1e-30}') },
  {
    name: 'numeric(10,2)[]',
    type: 'numeric(10,2)[]',
    kind: 'list',
    values: quoted('{1.5,NULL,-2}', '{1,NaN}', '{}'),
    rejected: 1,
  },
  {
    name: 'plain numeric[]',
    type: 'numeric[]',
    kind: 'list',
    values: quoted('{1e30,NaN,NULL,0.00}', '{}', '{{1}}'),
    rejected: 1,
  },
  {
    name: 'timestamptz[]',
    type: 'timestamptz[]',
    kind: 'list',
    values: quoted('{"2024-01-01 00:00:00+00",infinity}', '{"294276-01-01 00:00:00+00"}'),
    rejected: 1,
  },
  { name: 'interval[]', type: 'interval[]', kind: 'list', values: quoted('{"1 day -02:00:00",NULL}') },
  { name: 'date[], time[], timetz[]', type: 'timetz[]', kind: 'list', values: quoted('{"12:00:00+05:30",NULL}') },
  { name: 'uuid[]', type: 'uuid[]', kind: 'list', values: quoted('{01234567-89ab-cdef-8123-456789abcdef}') },
  { name: 'bytea[]', type: 'bytea[]', kind: 'list', values: quoted('{"\\\\x00ff",""}') },
  { name: 'jsonb[]', type: 'jsonb[]', kind: 'list', values: [`array['{"a": "b\\"c"}', null, '[]']::jsonb[]`] },
  { name: 'json[]', type: 'json[]', kind: 'list', values: [`array['{ "a":  1}', null]::json[]`] },
  { name: 'enum[]', type: 'x.mood[]', kind: 'list', values: [`array['sad', 'very, "happy"']::x.mood[]`] },
  { name: 'citext[]', type: 'x.citext[]', kind: 'list', values: quoted('{MiXed}') },
  {
    name: 'inet[] stays text',
    type: 'inet[]',
    kind: 'varchar',
    values: quoted('{10.0.0.1,::1/64}', '{}', '{{10.0.0.1}}'),
  },
  {
    name: 'box[] with its own delimiter',
    type: 'box[]',
    kind: 'varchar',
    values: [`array['(1,2),(3,4)', '(0,0),(1,1)']::box[]`],
  },
  { name: 'money', type: 'money', kind: 'varchar', values: quoted('12.34', '-92233720368547758.08', '0') },
  {
    name: 'inet keeps or drops its mask',
    type: 'inet',
    kind: 'varchar',
    values: quoted('10.0.0.1', '10.0.0.0/8', '::1'),
  },
  { name: 'cidr, macaddr', type: 'cidr', kind: 'varchar', values: quoted('10.0.0.0/8') },
  { name: 'bit varying', type: 'varbit', kind: 'varchar', values: [`B''`, `B'1010'`] },
  { name: 'bit(3)', type: 'bit(3)', kind: 'varchar', values: [`B'101'`] },
  { name: 'int4range', type: 'int4range', kind: 'varchar', values: quoted('[1,5)', 'empty', '(,)') },
  { name: 'tstzrange', type: 'tstzrange', kind: 'varchar', values: quoted('["2024-01-01 00:00:00+01",infinity)') },
  { name: 'int4multirange', type: 'int4multirange', kind: 'varchar', since: 14, values: quoted('{[1,2),[4,5)}', '{}') },
  {
    name: 'composite',
    type: 'x.pair',
    kind: 'varchar',
    values: ['row(1, null)::x.pair', 'row(null, null)::x.pair', `row(1, 'a "b", c')::x.pair`],
  },
  { name: 'xml', type: 'text', kind: 'varchar', values: quoted('<a b="c"/>') },
  { name: 'hstore', type: 'x.hstore', kind: 'varchar', values: [`'a=>1, "b c"=>NULL'::x.hstore`, `''::x.hstore`] },
  { name: 'tsvector', type: 'tsvector', kind: 'varchar', values: quoted(`'a':1 'b':2`) },
  { name: 'point, circle', type: 'point', kind: 'varchar', values: quoted('(1.5,-0)', '(NaN,Infinity)') },
  { name: 'int2vector', type: 'int2vector', kind: 'varchar', values: quoted('1 2 3', '') },
  { name: 'oidvector', type: 'oidvector', kind: 'varchar', values: quoted('1 2 3') },
  { name: 'regclass', type: 'regclass', kind: 'varchar', values: quoted('pg_catalog.pg_class', 'x.pair') },
  { name: 'pg_lsn', type: 'pg_lsn', kind: 'varchar', values: quoted('16/B374D848') },
  {
    name: 'domain over numeric(10,2)',
    type: 'x.price',
    kind: 'decimal',
    values: quoted('12345678.90', '-0.01', 'NaN'),
    rejected: 1,
  },
  { name: 'domain over a domain', type: 'x.small_price', kind: 'decimal', values: quoted('1.50') },
  { name: 'domain over an array', type: 'x.numbers', kind: 'list', values: quoted('{1,2}', '{{1}}'), rejected: 1 },
  { name: 'array of a domain', type: 'x.price[]', kind: 'list', values: quoted('{1.50,NaN}', '{}') },
  { name: 'domain over text', type: 'x.word', kind: 'varchar', values: quoted('word') },
  { name: 'domain over a composite', type: 'x.pairs', kind: 'varchar', values: ['row(null, null)::x.pair::x.pairs'] },
  {
    name: 'numeric as varchar',
    type: 'numeric(10,2)',
    kind: 'varchar',
    override: { kind: 'varchar' },
    values: quoted('1.50', 'NaN'),
  },
  {
    name: 'array as varchar',
    type: 'int4[]',
    kind: 'varchar',
    override: { kind: 'varchar' },
    values: quoted('{{1,2},{3,4}}', '[0:1]={1,2}', '{}'),
  },
  {
    name: 'jsonb as varchar',
    type: 'jsonb',
    kind: 'varchar',
    override: { kind: 'varchar' },
    values: quoted('{"a": 1}'),
  },
  { name: 'text as json', type: 'text', kind: 'json', override: { kind: 'json' }, values: quoted('{"a": 1}') },
  {
    name: 'numeric as double',
    type: 'numeric',
    kind: 'float64',
    override: { kind: 'double' },
    values: quoted(
      '0.1',
      '-0',
      'NaN',
      '1e308',
      '1e309',
      '179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017977587207096330286416692887910946555547851940402630657488671505820681908902000708383676273854845817711531764475730270069855571366959622842914819860834936475292719074168444365510704342711559699508093042880',
      '179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017977587207096330286416692887910946555547851940402630657488671505820681908902000708383676273854845817711531764475730270069855571366959622842914819860834936475292719074168444365510704342711559699508093042879',
      '1e-400',
      '123456789012345678901234567890',
    ),
    rejected: 2,
  },
  {
    name: 'numeric infinities as double',
    type: 'numeric',
    kind: 'float64',
    since: 14,
    override: { kind: 'double' },
    values: quoted('Infinity', '-Infinity'),
  },
  {
    name: 'bigint as double',
    type: 'int8',
    kind: 'float64',
    override: { kind: 'double' },
    values: ['9223372036854775807', '-1'],
  },
  {
    name: 'text as double',
    type: 'text',
    kind: 'float64',
    override: { kind: 'double' },
    values: quoted('1.5', ' 1', 'abc', '', '1e5', '1e9999', 'NaN', '-Infinity', '0x10', '.5', '5.', '1\n'),
    rejected: 6,
  },
  {
    name: 'numeric as a wider decimal',
    type: 'numeric',
    kind: 'decimal',
    override: { kind: 'decimal', precision: 20, scale: 4 },
    values: quoted('1.5', '1.00005', '9999999999999999.9999', '10000000000000000', 'NaN', '-1e-4', '1e30', '0'),
    rejected: 4,
  },
  {
    name: 'numeric infinities as decimal',
    type: 'numeric',
    kind: 'decimal',
    since: 14,
    override: { kind: 'decimal', precision: 20, scale: 4 },
    values: quoted('Infinity', '-Infinity', '1'),
    rejected: 2,
  },
  {
    name: 'numeric(10,2) as a narrower decimal',
    type: 'numeric(10,2)',
    kind: 'decimal',
    override: { kind: 'decimal', precision: 4, scale: 1 },
    values: quoted('1.50', '1.55', '999.9', '1000'),
    rejected: 2,
  },
  {
    name: 'float8 as decimal',
    type: 'float8',
    kind: 'decimal',
    override: { kind: 'decimal', precision: 18, scale: 8 },
    values: quoted('1.5', '1e-08', '1e-09', '1e300', 'NaN', '-1.5e+05', '-0'),
    rejected: 3,
  },
  {
    name: 'integer as decimal',
    type: 'int4',
    kind: 'decimal',
    override: { kind: 'decimal', precision: 9, scale: 4 },
    values: ['12345', '99999', '100000', '-1'],
    rejected: 1,
  },
  {
    name: 'text as decimal',
    type: 'text',
    kind: 'decimal',
    override: { kind: 'decimal', precision: 9, scale: 2 },
    values: quoted('1.5', 'x', '1e2', '00001.00', '+7'),
    rejected: 1,
  },
  {
    name: 'money as decimal',
    type: 'money',
    kind: 'decimal',
    override: { kind: 'decimal', precision: 9, scale: 2 },
    values: quoted('1.5'),
    rejected: 1,
  },
];

const SETUP = `
  create schema x; create schema agree;
  create extension hstore schema x; create extension citext schema x;
  create type x.mood as enum ('sad', 'very, "happy"');
  create type x.pair as (a int, b text);
  create domain x.price as numeric(10,2);
  create domain x.small_price as x.price check (value < 100);
  create domain x.numbers as int4[];
  create domain x.word as text;
  create domain x.pairs as x.pair;
`;
const TABLE_NAME = 'c';
const FETCH_FROM_SLOT = `copy (select data from pg_catalog.pg_logical_slot_peek_binary_changes('agree', null, null,
  'proto_version', '1', 'publication_names', 'agree')) to stdout (format binary)`;

interface TestCase {
  readonly test: Case;
  readonly table: ObservedTable;
  readonly columns: readonly DecodedColumn[];
}

describe.each([13, 17] as const)('Postgres %i', (major) => {
  const signal = new AbortController().signal;
  const cases = CASES.filter((c) => (c.since ?? 0) <= major && major <= (c.until ?? major));
  const prepared: TestCase[] = [];
  const streamed: RecordBatch[][] = cases.map(() => []);
  const rejected: Extract<ChangeEvent, { kind: 'rejected' }>[][] = cases.map(() => []);
  let postgres: TestPostgres;
  let source: SourceConnection;

  beforeAll(async () => {
    postgres = await startPostgres({ major });
    await postgres.query(SETUP);
    for (const [index, c] of cases.entries()) {
      await postgres.query(`create table agree.${TABLE_NAME}${index} (id int primary key, v ${c.type})`);
    }
    await postgres.query('create publication agree for all tables');
    await postgres.query(`select pg_create_logical_replication_slot('agree', 'pgoutput')`);
    for (const [index, c] of cases.entries()) {
      const values = ['null', ...c.values].map((value, id) => `(${id}, (${value})::${c.type})`).join(', ');
      const table = `agree.${TABLE_NAME}${index}`;
      await postgres.query(`insert into ${table} values ${values}`);
      if (c.generated !== undefined) {
        await postgres.query(`insert into ${table} select 1000 + row_number() over (), v from (${c.generated}) g(v)`);
      }
    }
    source = await connectSource(
      {
        name: 'agree',
        host: postgres.host,
        port: postgres.port,
        database: postgres.database,
        user: postgres.user,
        password: postgres.password,
        tls: { mode: 'disable', caFile: null, certFile: null, keyFile: null },
        tunnel: null,
        connectTimeoutMs: 10_000,
      },
      { purpose: 'test', signal },
    );
    const observed = await readCatalog(source, { schema: 'agree' }, signal);
    for (const [index, c] of cases.entries()) {
      const table = observed.tables.find((t) => t.name === `${TABLE_NAME}${index}`);
      if (table === undefined) throw new Error(`table of "${c.name}" was not found`);
      const columns = table.columns.map((column) => ({
        name: column.name,
        logical: logicalTypeOf(column, column.name === 'v' ? c.override : undefined).type,
        source: column.type,
      }));
      prepared.push({ test: c, table, columns });
    }
    await readStream();
  });

  afterAll(async () => {
    await source?.end();
    await postgres?.stop();
  });

  async function readStream(): Promise<void> {
    const decoder = new ChangeDecoder({
      tables: prepared.map(({ table, columns }) => ({
        address: `test:agree.${table.name}`,
        schema: 'agree',
        name: table.name,
        columns,
        keyColumns: [0],
      })),
      confirmedLsn: LSN_ZERO,
      maxRows: 1_000_000,
      maxBytes: 1_000_000_000,
      onBatch: (index, batch) => streamed[index]?.push(batch),
      onEvent: (event) => {
        if (event.kind === 'rejected') rejected[event.tableIndex]?.push(event);
        if (event.kind === 'relation_mismatch') throw new Error(event.reason);
      },
    });
    const reader = new CopyTupleReader(1, (bytes) => {
      const at = reader.starts[0] ?? 0;
      decoder.push(bytes, at, at + (reader.lengths[0] ?? 0));
    });
    await copyOut(source, FETCH_FROM_SLOT, (bytes, start, end) => reader.feed(bytes, start, end));
    reader.finish();
    decoder.finish();
  }

  test.each(cases.map((c, index) => ({ name: c.name, index })))('$name', async ({ index }) => {
    const { test: c, table, columns } = prepared[index]!;
    const v = table.columns[1]!;
    const logical = columns[1]!.logical;
    expect(logical.kind).toBe(c.kind);

    const batches: RecordBatch[] = [];
    const decoder = new CopyTableDecoder(columns, { maxRows: 1_000_000, maxBytes: 1e9 }, (batch) =>
      batches.push(batch),
    );
    const list = table.columns.map((column, i) => selectExpression(column, columns[i]!.logical)).join(', ');
    const sql = `copy (select ${list} from agree.${table.name} order by id) to stdout (format binary)`;
    await copyOut(source, sql, (bytes, start, end) => decoder.feed(bytes, start, end));
    const copied = decoder.finish();
    const [batch] = batches;
    const [changes] = streamed[index]!;
    if (batch === undefined || changes === undefined) throw new Error('no rows');

    expect(changes.numRows).toBe(copied.rows);
    expect(bytesOf(changes.data.children[1]!)).toEqual(bytesOf(batch.data.children[1]!));

    const predicate = unrepresentablePredicate(v, logical);
    const unfit = await source.query<{ id: number; text: string }>(
      `select id, ${originalText(v)} as text from agree.${table.name} where ${predicate ?? 'false'} order by id`,
    );
    expect(copied.rejected).toEqual([0, unfit.length]);
    expect(unfit.filter((row) => row.id < 1000)).toHaveLength(c.rejected ?? 0);
    expect(rejected[index]!.map((event) => ({ id: JSON.parse(event.key).id, text: event.text }))).toEqual(
      unfit.map((row) => ({ id: String(row.id), text: row.text })),
    );
    const nulls = await source.query<{ id: number }>(
      `select id from agree.${table.name} where not (v is distinct from null) ${predicate === null ? '' : `or ${predicate}`} order by id`,
    );
    expect(nullIds(batch)).toEqual(nulls.map((row) => row.id));
  });
});

/** Runs a COPY TO STDOUT and passes on its payload. */
async function copyOut(
  source: SourceConnection,
  sql: string,
  onPayload: (bytes: Uint8Array, start: number, end: number) => void,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const splitter = new CopyFrameSplitter({
      onCopyData: (bytes, start, end) => onPayload(bytes, start, end),
      onError: (error) => reject(new Error(error.message)),
      onReady: () => {
        wire.release();
        resolve();
      },
    });
    const wire = source.takeOver((bytes, length) => {
      try {
        splitter.feed(bytes, 0, length);
      } catch (error) {
        reject(error);
      }
    }, reject);
    const text = Buffer.from(`${sql}\0`);
    const head = Buffer.alloc(5);
    head.write('Q', 'latin1');
    head.writeInt32BE(text.length + 4, 1);
    wire.write(Buffer.concat([head, text]));
  });
}

/** Everything that a column consists of. */
function bytesOf(data: Data): unknown {
  const part = (view: unknown) =>
    ArrayBuffer.isView(view) ? Buffer.from(view.buffer, view.byteOffset, view.byteLength).toString('hex') : null;
  return {
    length: data.length,
    nulls: data.nullCount,
    validity: part(data.nullBitmap),
    offsets: part(data.valueOffsets),
    values: part(data.values),
    children: data.children.map(bytesOf),
  };
}

function nullIds(batch: RecordBatch): number[] {
  const ids = batch.getChildAt(0);
  const values = batch.data.children[1]!;
  return Array.from({ length: batch.numRows }, (_, row) => row)
    .filter((row) => !values.getValid(row))
    .map((row) => Number(ids?.get(row)));
}
