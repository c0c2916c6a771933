import { expect, test } from 'vitest';
import { asksForNames, firstWord, writesTables } from './statement.js';

test.each<{ sql: string; word: string; writes?: true; names?: true }>([
  { sql: 'SELECT 1', word: 'select' },
  { sql: "from users where note = 'insert'", word: 'from' },
  { sql: 'with a as (select 1) from a', word: 'with' },
  { sql: 'INSERT INTO users VALUES (1)', word: 'insert', writes: true },
  { sql: '  -- create\n/* drop\n */ Update users set a = 1', word: 'update', writes: true },
  { sql: '(((select 1)))', word: 'select' },
  { sql: 'create table t (a int)', word: 'create', writes: true },
  { sql: 'create or replace view t as select 1', word: 'create', writes: true },
  { sql: 'create or replace temp table t as select 1; from t', word: 'create' },
  { sql: 'CREATE TEMPORARY TABLE t (a int)', word: 'create' },
  { sql: 'create table temp (a int)', word: 'create', writes: true },
  { sql: 'show tables', word: 'show', names: true },
  { sql: 'DESCRIBE users', word: 'describe', names: true },
  { sql: 'summarize users', word: 'summarize' },
  { sql: "copy (select 1) to 'x.csv'", word: 'copy' },
  { sql: '-- nothing', word: '' },
  { sql: '/* never closed', word: '' },
  { sql: '', word: '' },
])('$sql', ({ sql, word, writes = false, names = false }) => {
  expect([firstWord(sql), writesTables(sql), asksForNames(sql)]).toEqual([word, writes, names]);
});
