import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EngineFixture } from '../engine-fixture.js';
import { families } from '../matrix/family.js';
import { BIG_SQL } from '../matrix/text-cases.js';
import { TYPES_SQL, type TypeCase } from '../matrix/type-case.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import type { Cell } from './canonical.js';
import { disagreements } from './disagreement.js';
import { Engines } from './engines.js';
import { readerEnvironment } from './environment.js';
import { LAKES, type LakePlaces, openPlaces } from './lake-places.js';
import { writtenTables } from './lake-tables.js';
import { postgresRows, printAsCanonical, sourceColumns } from './postgres-rows.js';
import { READERS, type ReadJob } from './readers.js';

/**
 * Every type of the matrix with all its values in one table, by a load and then by the stream, as all engines read it.
 * What is expected comes from Postgres alone; what the lake cannot hold is null (the matrix tells which values these are).
 */

const MAJOR = 17;
/** Lakes of both kinds of files. The bucket adds nothing to types. */
const FOLDERS = LAKES.filter((lake) => lake.place === 'folder');

let engines: Engines;
let postgres: TestPostgres;
let places: LakePlaces;

beforeAll(async () => {
  engines = new Engines(await readerEnvironment());
  postgres = await startPostgres({ major: MAJOR });
  places = await openPlaces();
}, 1_200_000);

afterAll(async () => {
  await engines?.close();
  await places?.close();
  await postgres?.stop();
});

describe.each(FOLDERS)('a lake with deletes: $deletes', (lake) => {
  test('has every type as Postgres has it', async () => {
    const database = `types_${lake.deletes}`;
    await postgres.createDatabase(database);
    await printAsCanonical(postgres, database);
    await postgres.query(`${TYPES_SQL}${BIG_SQL};${tableSql()}`, [], database);
    const { destination } = places.lake(lake, database);
    const fixture = await EngineFixture.create({
      ...{ postgres, database, destination },
      tables: { 'public.every': { output: 'both', deletes: 'hard' } },
      cdc: { slot: database, publication: database },
    });
    try {
      await fixture.apply();
      await fixture.sync();
      // Every second row comes a second time, by the stream, and what was loaded of it goes.
      await postgres.query('update every set touched = 1 where id % 2 = 0', [], database);
      await fixture.sync();
      const problems = await problemsOf(fixture, database, { dump: places.dump });
      expect(problems).toEqual([]);
    } finally {
      await fixture.remove();
    }
  }, 600_000);
});

async function problemsOf(
  fixture: EngineFixture,
  database: string,
  job: Pick<ReadJob, 's3'> & { readonly dump: string },
): Promise<string[]> {
  const written = await writtenTables(await fixture.lakeSettings());
  const problems: string[] = [];
  for (const table of written.filter((one) => !one.isHistory)) {
    const columns = sourceColumns(table);
    const rows = (await postgresRows(postgres, database, 'public.every', columns)).map((row) => {
      const id = Number(row[0]);
      return row.map((cell, i) => {
        const { name = '', type = '' } = columns[i] ?? {};
        return isHeld(name, id) && hasFourDigits(type, cell) ? cell : null;
      });
    });
    const own = table.rows.map((row) => row.slice(0, columns.length));
    problems.push(...cellDifferences(columns, rows, own));
  }
  problems.push(...(await disagreements(engines, READERS, written, job)));
  return problems;
}

/** Where Sluice's own reading differs from Postgres: a line each. */
function cellDifferences(
  columns: readonly { readonly name: string }[],
  wanted: readonly (readonly Cell[])[],
  own: readonly (readonly Cell[])[],
): string[] {
  const byId = new Map(own.map((row) => [row[0], row]));
  const problems: string[] = own.length === wanted.length ? [] : [`${own.length} rows, expected ${wanted.length}`];
  for (const row of wanted) {
    const other = byId.get(row[0] ?? null);
    for (const [i, cell] of row.entries()) {
      const [a, b] = [JSON.stringify(cell), JSON.stringify(other?.[i])];
      if (a !== b) problems.push(`${columns[i]?.name} of row ${row[0]} is ${b}, in Postgres ${a}`);
    }
  }
  return problems;
}

const CASES: readonly TypeCase[] = families(MAJOR)
  .flatMap((family) => family.cases)
  // An override makes another value of it; the large ones are the matrix's.
  .filter((c) => c.override === undefined && !c.name.startsWith('big_'));
const ROWS = Math.max(...CASES.map((c) => c.values.length)) + 1;

/** Arrays with an infinity or a year beyond four digits: DuckDB has them, the lake does not. */
const BEYOND: Readonly<Record<string, readonly number[]>> = {
  list_date: [0],
  list_timestamp: [0],
  list_timestamptz: [0],
};

function isHeld(column: string, id: number): boolean {
  if (BEYOND[column]?.includes(id) === true) return false;
  const found = CASES.find((c) => c.name === column);
  // In the lake an interval is text, and text holds all of them.
  if (found?.duckdb.startsWith('INTERVAL') === true) return true;
  return found?.rejected?.includes(id) !== true;
}

const DAY = 86_400_000_000n;
const FIRST_DAY = -719_162n;
const LAST_DAY = 2_932_896n;

/** Whether a date or timestamp is one of the years 1 to 9999. */
function hasFourDigits(type: string, cell: Cell): boolean {
  if (typeof cell !== 'string') return true;
  if (type === 'date') return BigInt(cell) >= FIRST_DAY && BigInt(cell) <= LAST_DAY;
  if (!type.startsWith('timestamp')) return true;
  return BigInt(cell) >= FIRST_DAY * DAY && BigInt(cell) < (LAST_DAY + 1n) * DAY;
}

function tableSql(): string {
  const columns = CASES.map((c) => `"${c.name}" ${c.type}`);
  const rows = Array.from({ length: ROWS }, (_, id) => {
    const values = CASES.map((c) => (c.values[id] === undefined ? 'null' : `(${c.values[id]})::${c.type}`));
    return `insert into every values (${[id, 0, ...values].join(', ')})`;
  });
  return `create table every (id int primary key, touched int, ${columns.join(', ')});${rows.join(';')}`;
}
