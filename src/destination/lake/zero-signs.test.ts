import { expect, test } from 'vitest';
import { FileWriting, FORMATS } from '../../../test/lake/file-writing.js';

const COLUMNS = [
  { name: 'id', type: 'INTEGER' },
  { name: 'd', type: 'DOUBLE' },
  { name: 'f', type: 'FLOAT' },
  { name: 'l', type: 'DOUBLE[]' },
];
const ZERO = "CASE WHEN i % 3 = 0 THEN '-0'::DOUBLE ELSE 0 END";
const ROWS = `SELECT i::INTEGER AS id, ${ZERO} AS d, (${ZERO})::FLOAT AS f, [${ZERO}, 1, NULL] AS l FROM range(5000) r(i)`;
const SIGNS = 'signbit(d) = (id % 3 = 0) AND signbit(f) = (id % 3 = 0) AND signbit(l[1]) = (id % 3 = 0)';

test.each(FORMATS)('0 and -0 are not taken for each other: %s', async (format) => {
  const writing = await FileWriting.open(256);
  await writing.write(format, ROWS, COLUMNS);
  const { session, files } = writing;
  const found = await session.rows(
    `SELECT count(*)::INTEGER AS n, (count(*) FILTER (${SIGNS}))::INTEGER AS right FROM read_parquet(${files})`,
  );
  expect(found).toEqual([{ n: 5000, right: 5000 }]);
});
