import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EngineFixture } from '../engine-fixture.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { type Cell, canonicalRow } from './canonical.js';
import { disagreements } from './disagreement.js';
import { Engines } from './engines.js';
import { readerEnvironment } from './environment.js';
import { LAKES, type Lake, type LakePlaces, openPlaces } from './lake-places.js';
import { type WrittenTable, writtenTables } from './lake-tables.js';
import { postgresRows, printAsCanonical, sourceColumns } from './postgres-rows.js';
import { READERS, type ReaderName, type ReadJob } from './readers.js';

/**
 * Tables in partitions, as all engines read them: with every type that a table can be partitioned by and values that are
 * awkward in folders' names, after changes, after an upkeep of Sluice's and one of somebody else's.
 */

const REGIONS = ['de', 'a b', '100%', 'é', 'a/b', "o''k", 'null', ' ', 'a=b', '"', 'C:\\x', '?#*'];
/** Takes the text for NULL when it writes files anew (Spark 4.2 with Delta 4.4), so only a lake that it leaves alone has it. */
const HIVE_NULL = '__HIVE_DEFAULT_PARTITION__';
/** Spark takes long to start. */
const QUICK = READERS.filter((reader) => reader !== 'spark');
/**
 * Others write files into folders that are named by values, and without the columns. Polars 2.1, which goes by such names
 * alone, refuses a table that has both kinds of files; the others go by the log.
 */
const BY_THE_LOG = READERS.filter((reader) => reader !== 'polars');

const TABLES = {
  'public.visits': { output: 'both', deletes: 'hard', partition_by: ['region', 'day'] },
  'public.typed': { deletes: 'hard', partition_by: ['moment', 'wall', 'fine', 'price', 'small', 'large', 'half'] },
};
const setUp = (regions: readonly string[]): string => `
  create table visits (id int primary key, region text, day date, note text);
  insert into visits select i, (array['${regions.join("', '")}', null])[1 + i % ${regions.length + 1}],
    date '2026-01-01' + i % 2, 'note ' || i from generate_series(1, 200) i;
  insert into visits values (1001, 'de', '0001-01-01', null), (1002, 'de', '9999-12-31', null), (1003, 'de', null, null);
  create table typed (id int primary key, moment timestamptz, wall timestamp, fine boolean, price numeric(6,2), small smallint,
    large bigint, half numeric(1,1), note text);
  insert into typed values
    (1, '2026-03-02 12:00:00.000001+02', '2026-03-02 12:00:00.000001', true, -0.50, -1, 9223372036854775807, -0.5, 'a'),
    (2, '1969-12-31 23:59:59.999999+00', '1969-12-31 23:59:59.999999', false, 1234.56, 32767, -9223372036854775808, 0.5, 'b'),
    (3, null, null, null, null, null, null, null, 'c'),
    (4, '2026-03-02 12:00:00+00', '2026-03-02 12:00:00', true, 0, 0, 0, 0, 'd')`;
const CHANGE = `
  update visits set region = 'de', note = 'moved' where id % 9 = 0; delete from visits where id % 10 = 1;
  update visits set note = note || '!' where id % 4 = 2; update typed set fine = not fine, note = 'changed' where id in (1, 4)`;

let engines: Engines;
let postgres: TestPostgres;
let places: LakePlaces;

beforeAll(async () => {
  const environment = await readerEnvironment();
  postgres = await startPostgres({ major: 17 });
  places = await openPlaces();
  engines = new Engines(environment, places.s3);
}, 1_200_000);

afterAll(async () => {
  await engines?.close();
  await places?.close();
  await postgres?.stop();
});

// Both places and both ways of deleting; the four together are the gate's own (lake.readers.ts).
describe.each(LAKES.slice(0, 2))('partitions in a $place, deletes: $deletes', (lake) => {
  test('are read by all engines as Postgres has the table', async () => {
    const database = `partitions_${lake.place}_${lake.deletes}`;
    await postgres.createDatabase(database);
    const regions = lake.place === 'folder' ? REGIONS : [...REGIONS, HIVE_NULL];
    await postgres.query(setUp(regions), [], database);
    await printAsCanonical(postgres, database);
    const { destination, s3 } = places.lake(lake, database);
    const job = { dump: places.dump, ...(s3 === undefined ? {} : { s3 }) };
    const fixture = await EngineFixture.create({
      ...{ postgres, database, destination, tables: TABLES },
      cdc: { slot: database, publication: database },
    });
    const change = async (): Promise<void> => {
      await postgres.query(CHANGE, [], database);
      await fixture.sync();
    };
    try {
      await fixture.apply();
      await fixture.sync();
      await change();
      expect(await problemsOf(fixture, database, job, QUICK)).toEqual([]);
      await change();
      await (await fixture.engine()).optimize({ address: null }, new AbortController().signal);
      expect(await problemsOf(fixture, database, job, READERS)).toEqual([]);
      await change();
      await compact(lake, await writtenTables(await fixture.lakeSettings()));
      expect(await problemsOf(fixture, database, job, BY_THE_LOG)).toEqual([]);
      await change();
      expect(await problemsOf(fixture, database, job, BY_THE_LOG)).toEqual([]);
    } finally {
      await fixture.remove();
    }
  }, 900_000);
});

/** As somebody else would: Spark in a folder, delta-rs in a bucket. */
async function compact(lake: Lake, tables: readonly WrittenTable[]): Promise<void> {
  const told = tables.map(({ name, location, columns }) => ({ name, location, columns }));
  expect(await engines.compact(lake.place === 'folder' ? 'spark' : 'deltalake', told)).toBeGreaterThan(0);
}

async function problemsOf(
  fixture: EngineFixture,
  database: string,
  job: Pick<ReadJob, 's3'> & { readonly dump: string },
  readers: readonly ReaderName[],
): Promise<string[]> {
  const tables = await writtenTables(await fixture.lakeSettings());
  const problems: string[] = [];
  for (const table of tables) {
    const columns = sourceColumns(table);
    const wanted = (await postgresRows(postgres, database, `public.${table.source}`, columns)).map(canonicalRow).sort();
    const has = currentRows(table, columns.length).map(canonicalRow).sort();
    if (has.join('\n') !== wanted.join('\n')) problems.push(`${table.name}: Sluice does not read what Postgres has`);
  }
  problems.push(...(await disagreements(engines, readers, tables, job)));
  return problems;
}

function currentRows({ columns, rows }: WrittenTable, sourceCount: number): Cell[][] {
  const at = (name: string): number => columns.findIndex((column) => column.name === name);
  const [deleted, validTo] = [at('_ph_deleted'), at('valid_to')];
  const live = rows.filter((row) => row[deleted] !== 'true' && (validTo < 0 || row[validTo] === null));
  return live.map((row) => row.slice(0, sourceCount));
}
