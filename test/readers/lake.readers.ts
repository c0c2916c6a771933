import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EngineFixture } from '../engine-fixture.js';
import { OracleRun } from '../oracle/oracle-run.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { type Cell, canonicalRow } from './canonical.js';
import { disagreements } from './disagreement.js';
import { Engines } from './engines.js';
import { readerEnvironment } from './environment.js';
import { LAKES, type LakePlaces, openPlaces } from './lake-places.js';
import { stepsOfRounds, upkeepOfRounds } from './lake-rounds.js';
import { type TableLog, tableLogs, type WrittenTable, writtenTables } from './lake-tables.js';
import { keepInOrder, type Upkeep, type UpkeepDone } from './lake-upkeep.js';
import { postgresRows, printAsCanonical, sourceColumns } from './postgres-rows.js';
import type { ReaderName } from './readers.js';

/**
 * The random workload of the oracle on a Delta lake, in both ways of deleting, in a folder and on a real S3 server. After
 * every round, which ends with a compaction by Sluice or by somebody else or with a clean-up of files and logs, the engines
 * read all tables and must have the very rows that Sluice reads, of which those of the source are the very rows of Postgres.
 * Spark, which takes long, is asked for a few tables in the last two rounds.
 *
 *   SLUICE_SEED=12345 npm run test:readers -- lake.readers      the same workload again
 */

const SEED = Number(process.env['SLUICE_SEED'] ?? Math.floor(Math.random() * 2 ** 30));
const EVERY_ROUND: readonly ReaderName[] = ['deltalake', 'duckdb', 'polars', 'chdb'];
/** One of each method and of each kind of row that takes part in deletion. */
const FOR_SPARK = ['accounts', 'accounts_cdc', 'people', 'parts_cdc', 'orders', 'clicks', 'countries'];
const SPARKS_ROUNDS = 2;
const TIMEOUT_MS = 1_200_000;

let engines: Engines;
let postgres: TestPostgres;
let places: LakePlaces;

beforeAll(async () => {
  const environment = await readerEnvironment();
  postgres = await startPostgres({ major: 17, settings: { deadlock_timeout: '20ms' } });
  places = await openPlaces();
  engines = new Engines(environment, places.s3);
}, 1_200_000);

afterAll(async () => {
  await engines?.close();
  await places?.close();
  await postgres?.stop();
});

describe.each(LAKES)('a lake in a $place, deletes: $deletes', (lake) => {
  test(
    `is read by all engines as Postgres has it, SLUICE_SEED=${SEED}`,
    async () => {
      const name = `readers_${lake.place}_${lake.deletes}`;
      const kinds = upkeepOfRounds(lake);
      const rounds: Round[] = [];
      await OracleRun.play(postgres, name, stepsOfRounds(SEED, kinds.length), {
        destination: places.lake(lake, name).destination,
        atCheckpoint: async (fixture) => {
          if (rounds.length === 0) await printAsCanonical(postgres, name);
          const upkeep = kinds[rounds.length] ?? 'none';
          const withSpark = rounds.length >= kinds.length - SPARKS_ROUNDS;
          const round = await playRound(fixture, name, { upkeep, withSpark });
          expect(round.problems, `round ${rounds.length + 1}, upkeep: ${upkeep}, SLUICE_SEED=${SEED}`).toEqual([]);
          rounds.push(round);
        },
      });
      // What the rounds are there for has come about.
      expect(rounds.map(({ upkeep }) => upkeep)).toEqual(kinds);
      for (const { upkeep, done, tables } of rounds) {
        expect(tables, upkeep).toEqual(expect.arrayContaining(FOR_SPARK));
        if (upkeep !== 'none') expect(done.files, upkeep).toBeGreaterThan(0);
        if (upkeep === 'vacuum') expect(done.shortenedLogs).toBeGreaterThan(0);
      }
      const last = rounds.at(-1)?.logs ?? [];
      const withCheckpoint = last.filter(({ version, ownCheckpoints }) => version > 10 && ownCheckpoints.length > 0);
      expect(withCheckpoint.length, JSON.stringify(last)).toBeGreaterThan(last.length / 2);
    },
    TIMEOUT_MS,
  );
});

interface Round {
  readonly problems: readonly string[];
  readonly upkeep: Upkeep;
  readonly done: UpkeepDone;
  readonly tables: readonly string[];
  readonly logs: readonly TableLog[];
}

/** What Sluice reads before the upkeep must be what everybody reads after it. */
async function playRound(
  fixture: EngineFixture,
  database: string,
  { upkeep, withSpark }: { readonly upkeep: Upkeep; readonly withSpark: boolean },
): Promise<Round> {
  const settings = await fixture.lakeSettings();
  const tables = await writtenTables(settings);
  const problems: string[] = [];
  for (const table of tables) problems.push(...(await againstPostgres(database, table)));
  const done = await keepInOrder(upkeep, fixture, tables, { engines, forSpark: FOR_SPARK });
  const job = { dump: places.dump };
  problems.push(...(await disagreements(engines, EVERY_ROUND, tables, job)));
  if (withSpark) {
    const asked = tables.filter((table) => FOR_SPARK.includes(table.name));
    problems.push(...(await disagreements(engines, ['spark'], asked, job)));
  }
  return { problems, upkeep, done, tables: tables.map(({ name }) => name), logs: await tableLogs(settings) };
}

/** Whether the live rows that Sluice reads are those of Postgres. */
async function againstPostgres(database: string, table: WrittenTable): Promise<string[]> {
  const columns = sourceColumns(table);
  const wanted = (await postgresRows(postgres, database, `public.${table.source}`, columns)).map(canonicalRow).sort();
  const has = liveRows(table, columns.length).map(canonicalRow).sort();
  if (has.join('\n') === wanted.join('\n')) return [];
  return [`${table.name}: Sluice reads ${has.length} live rows that are not the ${wanted.length} of Postgres`];
}

/** The source's columns of rows that live: those that are not marked as deleted, of a history the current ones. */
function liveRows({ columns, rows }: WrittenTable, sourceCount: number): Cell[][] {
  const at = (name: string): number => columns.findIndex((column) => column.name === name);
  const [deleted, validTo] = [at('_ph_deleted'), at('valid_to')];
  const live = rows.filter((row) => row[deleted] !== 'true' && (validTo < 0 || row[validTo] === null));
  return live.map((row) => row.slice(0, sourceCount));
}
