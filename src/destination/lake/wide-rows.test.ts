import { DuckDBInstance } from '@duckdb/node-api';
import { expect, test } from 'vitest';
import { FileWriting, FORMATS } from '../../../test/lake/file-writing.js';

/** Rows of some 10 kB, and more of them than the memory limit holds. */
const ROWS = 16_000;
const BODY = 'repeat(md5(id::VARCHAR), 300)';
const COLUMNS = [
  { name: 'id', type: 'INTEGER' },
  { name: 'body', type: 'VARCHAR' },
];

test.each(FORMATS)('wide rows are written within the memory limit: %s', async (format) => {
  const writing = await FileWriting.open(256);
  await writing.session.run(
    `CREATE TABLE t AS SELECT id, ${BODY} AS body FROM (SELECT i::INTEGER AS id FROM range(${ROWS}) s(i))`,
  );
  await writing.write(format, 'SELECT * FROM t', COLUMNS);
  // With the memory of the machine.
  const reader = await DuckDBInstance.create(':memory:');
  const connection = await reader.connect();
  const found = await connection.runAndReadAll(
    `SELECT count(DISTINCT id)::INTEGER, count(*)::INTEGER, (count(*) FILTER (body <> ${BODY}))::INTEGER
     FROM read_parquet(${writing.files})`,
  );
  connection.closeSync();
  reader.closeSync();
  expect(found.getRowsJson()).toEqual([[ROWS, ROWS, 0]]);
});

test('rows that are too wide for the memory limit name the setting that mends it', async () => {
  const { session } = await FileWriting.open(32);
  const wide = `SELECT string_agg(repeat('x', 100000), '') AS v FROM range(1000)`;
  await expect(session.rows(wide)).rejects.toMatchObject({
    code: 'DESTINATION_MEMORY',
    message: expect.stringContaining('32 MB'),
    hint: expect.stringContaining('memory_limit_mb'),
  });
  expect(await session.rows('SELECT 1 AS one')).toEqual([{ one: 1 }]);
});
