import { describe, expect, test } from 'vitest';
import type { QueryResult } from '../../src/executor/engine.js';
import { freshFixtures } from '../fresh-fixtures.js';

/** What `sluice query` answers to what people try first, on every kind of destination. */

const fresh = freshFixtures('query');

async function start(destination: Readonly<Record<string, unknown>>): Promise<(sql: string) => Promise<QueryResult>> {
  const sql = `create schema "Odd, 'one"; create table users (id int primary key, price numeric(10, 2), tags text[]);
    insert into users select i, i, array['a'] from generate_series(1, 3) as i;
    create table "Odd, 'one".more (id int primary key); insert into "Odd, 'one".more values (1)`;
  const tables = { 'public.users': { output: 'both' }, "Odd, 'one.more": { method: 'full_table' } };
  const fixture = await fresh({ sql, tables, destination });
  const engine = await fixture.engine();
  return (sql) => engine.query(null, sql, new AbortController().signal);
}

describe.each([
  { name: 'DuckDB', destination: { type: 'duckdb', path: 'warehouse.duckdb' } },
  { name: 'Delta', destination: { type: 'local', format: 'delta', path: 'lake' } },
  { name: 'Parquet', destination: { type: 'local', format: 'parquet', path: 'lake' } },
])('$name', ({ name, destination }) => {
  test('lists and describes tables, and finds them without their schema', async () => {
    const query = await start(destination);
    expect((await query('SHOW TABLES')).rows).toEqual([['more'], ['users'], ['users_cdc']]);
    const everything = (await query('SHOW ALL TABLES')).rows.map((row) => `${row[1]}.${row[2]}`);
    expect(everything).toEqual(
      expect.arrayContaining(["Odd, 'one.more", 'public.users', 'public.users_cdc', '_sluice.runs']),
    );
    const described = [
      ['id', 'INTEGER'],
      ['price', 'DECIMAL(10,2)'],
      ['tags', 'VARCHAR[]'],
    ];
    for (const sql of ['DESCRIBE public.users', '-- columns\ndescribe users', 'SHOW users']) {
      expect((await query(sql)).rows.slice(0, 3).map((row) => row.slice(0, 2))).toEqual(described);
    }
    const listed = await query("SELECT column_name FROM information_schema.columns WHERE table_name = 'users_cdc'");
    expect(listed.rows).toContainEqual(['valid_to']);
    expect((await query('SELECT count(*) FROM users, more')).rows).toEqual([['3']]);
    expect((await query('FROM public.users SELECT id, price ORDER BY id LIMIT 1')).rows).toEqual([['1', '1.00']]);
    expect((await query('SELECT count(*) > 0 FROM _sluice.runs')).rows).toEqual([['true']]);
    const pivoted = await query('PIVOT (SELECT id, price FROM users) ON id USING sum(price)');
    expect(pivoted.rows).toEqual([['1.00', '2.00', '3.00']]);
    if (name !== 'DuckDB') {
      // Its text does not say which table it reads: no rows would be a wrong answer.
      await expect(query("FROM query('FROM ' || 'users')")).rejects.toThrow('only fetched for a query that names it');
    }
  });

  test('refuses to write, and says what does', async () => {
    const query = await start(destination);
    const before = (await query('SHOW ALL TABLES')).rows;
    for (const sql of [
      'INSERT INTO users VALUES (9)',
      'create table mine (a int)',
      'DROP TABLE users',
      'drop view public.users',
      '/* a */ delete from users',
      'UPDATE users SET id = 9',
      'ALTER TABLE users ADD COLUMN a int',
      'TRUNCATE users',
    ]) {
      await expect(query(sql)).rejects.toMatchObject({
        code: 'QUERY_READ_ONLY',
        hint: expect.stringContaining('COPY'),
      });
    }
    // What does not begin with such a word is refused by DuckDB.
    await expect(query('WITH a AS (SELECT 9) INSERT INTO _sluice.layout FROM a')).rejects.toThrow(/read-only/);
    await expect(query('SELECT 1; CREATE TABLE mine (a int)')).rejects.toThrow(/read-only/);
    expect((await query('SHOW ALL TABLES')).rows).toEqual(before);
    expect((await query('CREATE TEMP TABLE mine AS FROM users; FROM mine SELECT count(*)')).rows).toEqual([['3']]);
  });
});
