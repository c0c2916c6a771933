import { cp, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EngineFixture } from '../engine-fixture.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { disagreements, type ExpectedTable } from './disagreement.js';
import { Engines } from './engines.js';
import { readerEnvironment } from './environment.js';
import { LAKES, type LakePlaces, openPlaces } from './lake-places.js';
import { type WrittenTable, writtenTables } from './lake-tables.js';
import { postgresRows, printAsCanonical } from './postgres-rows.js';
import type { ReaderName } from './readers.js';

/**
 * Readers skip files by their statistics, so a bound that is too tight loses rows. Filters at the edges of what is in the
 * files, before and after rows are deleted, must find what Postgres finds.
 */

const QUICK: readonly ReaderName[] = ['deltalake', 'duckdb'];
const PRUNING: readonly ReaderName[] = [...QUICK, 'spark'];

const LONG = 'a text of more than thirty-two characters, ';
const ACCENTS = 'é'.repeat(40);
const FACES = `${'🙂'.repeat(31)}\u{10ffff}`;
const DELETE_CHARACTER = `${'z'.repeat(32)}\u007f`;

/** The rows of one file each: all of a file's bounds lie close together, and on the edge of a filter below. */
const FILES: readonly (readonly string[])[] = [
  [
    `1, '${LONG}first', '2024-05-06 07:08:09.123456', -1.0001, -9223372036854775808, '-1.5', '1969-12-31'`,
    `2, '${LONG}last', '2024-05-06 07:08:09.123999', -1.0000, -9223372036854775807, '-1e308', '1969-12-30'`,
  ],
  [
    `11, '${ACCENTS}', '2024-05-06 07:08:09.124000', -0.0001, -1, '0.1', '1970-01-01'`,
    `12, '${ACCENTS}é', '2024-05-06 07:08:09.124001', 0.0000, 0, '0.30000000000000004', '2024-02-29'`,
  ],
  [
    `21, '${FACES}', '1969-12-31 23:59:59.999999', 0.0001, 1, '5e-324', '0001-01-01'`,
    `22, '${FACES}🙂', '1970-01-01 00:00:00.000001', 9999999999999999.9999, 9007199254740993, '1.7976931348623157e308', '9999-12-31'`,
  ],
  [
    `31, '${DELETE_CHARACTER}', '2024-12-31 23:59:59.999999', -9999999999999999.9999, 9223372036854775807, 'NaN', '2024-12-31'`,
    `32, '${DELETE_CHARACTER}x', '2025-01-01 00:00:00', 12345678901.2345, 9223372036854775806, 'Infinity', '2025-01-01'`,
  ],
  ['41, null, null, null, null, null, null', "42, '', '2023-01-01', 7, 7, '7', '2023-01-01'"],
  ['51, null, null, null, null, null, null', '52, null, null, null, null, null, null'],
];
/** What goes afterwards: bounds of files, and all rows but the one without values. */
const DELETED = [1, 12, 22, 32, 42, 52];

const decimal = (digits: string): string => `cast('${digits}' as decimal(20,4))`;
const at = (text: string): string => `timestamp '${text}'`;

/** Conditions that Postgres and the engines understand alike. */
const CONDITIONS: readonly string[] = [
  `words = '${LONG}last'`,
  `words = '${LONG}first'`,
  `words > '${LONG}last' and words < 'b'`,
  `words >= '${LONG}' and words <= '${LONG}zzz'`,
  `words = '${ACCENTS}é'`,
  `words > '${ACCENTS}'`,
  `words = '${FACES}🙂'`,
  `words >= '${FACES}'`,
  `words = '${DELETE_CHARACTER}x'`,
  `words > '${DELETE_CHARACTER}' and words < '{'`,
  "words = ''",
  'words is null',
  'words is not null',
  ...['moment', 'clock'].flatMap((column) => [
    `${column} = ${at('2024-05-06 07:08:09.123456')}`,
    `${column} = ${at('2024-05-06 07:08:09.123999')}`,
    `${column} > ${at('2024-05-06 07:08:09.123500')} and ${column} < ${at('2024-05-06 07:08:09.124000')}`,
    `${column} >= ${at('2024-05-06 07:08:09.124001')} and ${column} < ${at('2024-05-06 07:08:10')}`,
    `${column} = ${at('1969-12-31 23:59:59.999999')}`,
    `${column} > ${at('1969-12-31 23:59:59.999')} and ${column} < ${at('1970-01-01 00:00:00.000002')}`,
    `${column} >= ${at('2024-12-31 23:59:59.999999')}`,
    `${column} is null`,
  ]),
  `amount = ${decimal('-1.0001')}`,
  `amount <= ${decimal('-1')}`,
  `amount < ${decimal('0')} and amount > ${decimal('-1')}`,
  `amount = ${decimal('9999999999999999.9999')}`,
  `amount <= ${decimal('-9999999999999999.9999')}`,
  `amount = ${decimal('12345678901.2345')}`,
  'n = 9007199254740993',
  'n > 9223372036854775806',
  'n < 0',
  'n < -9223372036854775807',
  'n is null',
  'f > 1e300',
  'f < -1e300',
  'f = 0.30000000000000004',
  "day = date '2024-02-29'",
  "day < date '1970-01-01'",
  "day >= date '9999-12-31'",
  "day <= date '0001-01-01'",
];

let engines: Engines;
let postgres: TestPostgres;
let places: LakePlaces;

beforeAll(async () => {
  engines = new Engines(await readerEnvironment());
  postgres = await startPostgres({ major: 17 });
  places = await openPlaces();
}, 1_200_000);

afterAll(async () => {
  await engines?.close();
  await places?.close();
  await postgres?.stop();
});

describe.each(LAKES.filter((lake) => lake.place === 'folder'))('statistics with deletes: $deletes', (lake) => {
  test('lose no row of a filter', async () => {
    const database = `pruning_${lake.deletes}`;
    await postgres.createDatabase(database);
    await printAsCanonical(postgres, database);
    await postgres.query(
      `create table facts (id int primary key, words text collate "C", moment timestamptz, clock timestamp,
         amount numeric(20,4), n bigint, f float8, day date)`,
      [],
      database,
    );
    const fixture = await EngineFixture.create({
      ...{ postgres, database, destination: places.lake(lake, database).destination },
      tables: { 'public.facts': { deletes: 'hard' } },
      cdc: { slot: database, publication: database },
    });
    try {
      await fixture.apply();
      await fixture.sync();
      for (const rows of FILES) {
        const values = rows.map((row) => `(${row})`).join(', ');
        await postgres.query(
          `insert into facts
             select id, words, at::timestamptz, at::timestamp, amount::numeric, n::bigint, f::float8, day::date
             from (values ${values}) as v(id, words, at, amount, n, f, day)`,
          [],
          database,
        );
        await fixture.sync();
      }
      expect(await filterProblems(await onlyTable(fixture), database, QUICK)).toEqual([]);
      await postgres.query(`delete from facts where id in (${DELETED})`, [], database);
      await fixture.sync();
      const table = await onlyTable(fixture);
      expect(await filterProblems(table, database, PRUNING)).toEqual([]);
      expect(await readersThatSkip(table)).toEqual([...PRUNING]);
    } finally {
      await fixture.remove();
    }
  }, 600_000);
});

async function onlyTable(fixture: EngineFixture): Promise<WrittenTable> {
  const [table] = await writtenTables(await fixture.lakeSettings());
  if (table === undefined) throw new Error('nothing was written');
  return table;
}

async function filterProblems(
  table: WrittenTable,
  database: string,
  readers: readonly ReaderName[],
): Promise<string[]> {
  const asked: ExpectedTable[] = [];
  for (const [index, where] of CONDITIONS.entries()) {
    const key = table.columns.slice(0, 1);
    const found = new Set(
      (await postgresRows(postgres, database, `public.facts where ${where}`, key)).map(([id]) => id),
    );
    const rows = table.rows.filter(([id]) => found.has(id ?? null));
    if (rows.length !== found.size) throw new Error(`${where}: the lake lacks one of ${[...found]}`);
    asked.push({ name: `filter-${index}`, location: table.location, columns: table.columns, where, rows });
  }
  return disagreements(engines, readers, asked, { dump: places.dump });
}

/** Which of the readers skip files by statistics at all: those that find nothing where the bounds say so wrongly. */
async function readersThatSkip(table: WrittenTable): Promise<ReaderName[]> {
  const location = path.join(places.dump, `${path.basename(table.location)}-wrong`);
  await cp(table.location, location, { recursive: true });
  const log = path.join(location, '_delta_log');
  for (const name of (await readdir(log)).filter((file) => /^\d+\.json$/.test(file))) {
    const text = await readFile(path.join(log, name), 'utf8');
    // The statistics are JSON in a JSON string.
    await writeFile(path.join(log, name), text.replaceAll(/\\"n\\":-?[0-9]{3,}/g, '\\"n\\":5'));
  }
  const { columns } = table;
  const where = 'n > 1000000';
  const skipping: ReaderName[] = [];
  for (const reader of PRUNING) {
    const report = await engines.read(reader, { tables: [{ name: 'wrong', location, columns, where }] });
    const [answer] = report.answers;
    if (answer !== undefined && 'rows' in answer && answer.rows === 0) skipping.push(reader);
  }
  return skipping;
}
