import { quoted, type TypeCase } from './type-case.js';

/** Larger than a page, so kept out of line, and not compressed to nothing. */
const TOASTED = `(select string_agg(md5(i::text), '') from generate_series(1, 500) as i)`;

/** Text, bytes, UUIDs and JSON. */
export const TEXT_CASES: readonly TypeCase[] = [
  {
    name: 'text',
    type: 'text',
    duckdb: 'VARCHAR',
    values: [
      ...quoted(
        '',
        ' ',
        '\\N',
        'NULL',
        'null',
        ' a ',
        'tab\there',
        'line\nbreak\r\n',
        `it's "quoted", {braces} \\`,
        'é€𝄞 žluťoučký 🐎',
        'twelve bytes',
        'thirteen byte',
      ),
      "e'\\x01\\x1f\\x7f'",
      TOASTED,
    ],
  },
  { name: 'varchar', type: 'varchar(20)', duckdb: 'VARCHAR', values: quoted('', 'a', 'trailing   ') },
  { name: 'char', type: 'char(6)', duckdb: 'VARCHAR', values: quoted('', 'a', 'é', 'abcdef') },
  { name: 'internal_char', type: '"char"', duckdb: 'VARCHAR', values: quoted('', 'a', '~') },
  { name: 'name', type: 'name', duckdb: 'VARCHAR', values: quoted('', 'relname', 'x'.repeat(63)) },
  { name: 'citext', type: 'citext', duckdb: 'VARCHAR', values: quoted('', 'MiXeD', 'mixed') },
  { name: 'enum', type: 'mood', duckdb: 'VARCHAR', values: quoted('sad', `o'k "x"`, 'very, "happy"') },
  { name: 'domain_text', type: 'word', duckdb: 'VARCHAR', values: quoted('', 'word') },
  { name: 'domain_enum', type: 'temper', duckdb: 'VARCHAR', values: quoted('sad', `o'k "x"`) },
  {
    name: 'bytea',
    type: 'bytea',
    duckdb: 'BLOB',
    values: [
      ...quoted('', '\\x00', '\\x00ff10', '\\x5c4e', '\\x000102030405060708090a0b0c0d0e0f'),
      `decode(${TOASTED}, 'hex')`,
    ],
  },
  { name: 'domain_bytea', type: 'raw', duckdb: 'BLOB', values: quoted('', '\\xdeadbeef') },
  {
    name: 'uuid',
    type: 'uuid',
    duckdb: 'UUID',
    values: quoted(
      '00000000-0000-0000-0000-000000000000',
      'ffffffff-ffff-ffff-ffff-ffffffffffff',
      '80000000-0000-4000-8000-000000000001',
      '01234567-89ab-cdef-8123-456789abcdef',
    ),
  },
  {
    name: 'json',
    type: 'json',
    duckdb: 'JSON',
    values: quoted('{"a":  1,\n "a": 2 }', '  [1,2 , 3] ', 'null', '"\\u00e9"', '1.50', '{}', '{"b":-0, "n": 1e400}'),
  },
  {
    name: 'jsonb',
    type: 'jsonb',
    duckdb: 'JSON',
    values: quoted('{"b": 1, "a": {"c": [1, 2.50]}}', 'null', '"x"', '{}', '1e3', '[]', '-0.0'),
  },
  { name: 'domain_jsonb', type: 'document', duckdb: 'JSON', values: quoted('{"b":1,  "a":null}') },
];

/** 10 MB each, in tables of their own, which need fewer copies of them. */
export const BIG_CASES: readonly TypeCase[] = [
  {
    name: 'big_text',
    type: 'text',
    duckdb: 'VARCHAR',
    values: [`(select v from big)`, `(select left(v, 300000) from big)`],
  },
  {
    name: 'big_bytea',
    type: 'bytea',
    duckdb: 'BLOB',
    values: [`(select convert_to(v, 'UTF8') from big)`, `(select decode(left(v, 300000), 'hex') from big)`],
  },
];

/** 10.5 million letters that do not compress. */
export const BIG_SQL = `create table big as
  select string_agg(md5(i::text), '') as v from generate_series(1, 330000) as i`;
