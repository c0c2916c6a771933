import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EngineFixture } from '../engine-fixture.js';
import { OracleRun } from '../oracle/oracle-run.js';
import { STEP, type Step } from '../oracle/workload.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { type Cell, canonicalRow } from './canonical.js';
import { disagreements } from './disagreement.js';
import { type ReaderEnvironment, readerEnvironment } from './environment.js';
import { LAKES, type Lake, type LakePlaces, openPlaces } from './lake-places.js';
import { checkpointTables, type WrittenTable, writtenTables } from './lake-tables.js';
import { postgresRows, printAsCanonical, sourceColumns } from './postgres-rows.js';
import { compactWith, type ReaderName, type ReadJob } from './readers.js';

/**
 * The random workload of the oracle on a Delta lake, in both ways of deleting, in a folder and on a real S3 server. After
 * every round the engines read all tables and must have the very rows that Sluice reads, of which those of the source
 * are the very rows of Postgres. Of Spark, which takes long, a few tables are asked at the end.
 *
 *   SLUICE_SEED=12345 npm run test:readers -- lake.readers      the same workload again
 */

const SEED = Number(process.env['SLUICE_SEED'] ?? Math.floor(Math.random() * 2 ** 30));
const EVERY_ROUND: readonly ReaderName[] = ['deltalake', 'duckdb', 'polars', 'chdb'];
/** One of each method and of each kind of row that takes part in deletion. */
const FOR_SPARK = ['accounts', 'accounts_cdc', 'people', 'parts_cdc', 'orders', 'clicks', 'countries'];
/** From the end of the round of this number on, from 0, tables get checkpoints; at the end of the next they are compacted. */
const CHECKPOINTS_AFTER = 1;
const COMPACTION_AFTER = 2;
const ROUNDS = 4;
const SYNCS_A_ROUND = 4;
const STEPS_A_SYNC = 12;
const CHECKPOINT_FROM_VERSION = 3;
const TIMEOUT_MS = 1_200_000;

let environment: ReaderEnvironment;
let postgres: TestPostgres;
let places: LakePlaces;

beforeAll(async () => {
  environment = await readerEnvironment();
  postgres = await startPostgres({ major: 17, settings: { deadlock_timeout: '20ms' } });
  places = await openPlaces();
}, 1_200_000);

afterAll(async () => {
  await places?.close();
  await postgres?.stop();
});

describe.each(LAKES)('a lake in a $place, deletes: $deletes', (lake) => {
  test(
    `is read by all engines as Postgres has it, SLUICE_SEED=${SEED}`,
    async () => {
      const name = `readers_${lake.place}_${lake.deletes}`;
      const { destination, s3 } = places.lake(lake, name);
      const job = { dump: places.dump, ...(s3 === undefined ? {} : { s3 }) };
      const rounds: Round[] = [];
      await OracleRun.play(postgres, name, steps(SEED), {
        destination,
        atCheckpoint: async (fixture) => {
          if (rounds.length === 0) await printAsCanonical(postgres, name);
          const round = await playRound(fixture, lake, name, rounds.length, job);
          expect(round.problems, `round ${rounds.length + 1}`).toEqual([]);
          rounds.push(round);
        },
      });
      expect(rounds).toHaveLength(ROUNDS);
      // What the rounds are there for has come about.
      expect(rounds.at(-1)?.checkpoints.length).toBeGreaterThan(FOR_SPARK.length);
      expect(rounds.at(-1)?.tables).toEqual(expect.arrayContaining(FOR_SPARK));
    },
    TIMEOUT_MS,
  );
});

interface Round {
  readonly problems: readonly string[];
  readonly tables: readonly string[];
  /** Folders of tables with a checkpoint. */
  readonly checkpoints: readonly string[];
}

async function playRound(
  fixture: EngineFixture,
  lake: Lake,
  database: string,
  round: number,
  job: Pick<ReadJob, 's3'> & { readonly dump: string },
): Promise<Round> {
  const settings = await fixture.lakeSettings();
  const checkpoints = round < CHECKPOINTS_AFTER ? [] : await checkpointTables(settings, CHECKPOINT_FROM_VERSION);
  const tables = await writtenTables(settings);
  if (round === COMPACTION_AFTER) await compact(lake, tables, job);
  const problems: string[] = [];
  for (const table of tables) problems.push(...(await againstPostgres(database, table)));
  problems.push(...(await disagreements(environment, EVERY_ROUND, tables, job)));
  if (round === ROUNDS - 1) {
    const asked = tables.filter((table) => FOR_SPARK.includes(table.name));
    problems.push(...(await disagreements(environment, ['spark'], asked, job)));
  }
  return { problems, tables: tables.map((table) => table.name), checkpoints };
}

/** As somebody else would compact: delta-rs all tables, or Spark a few. */
async function compact(lake: Lake, tables: readonly WrittenTable[], job: Pick<ReadJob, 's3'>): Promise<void> {
  const engine = lake.place === 'folder' && lake.deletes === 'dv' ? 'spark' : 'deltalake';
  const chosen = engine === 'deltalake' ? tables : tables.filter((table) => FOR_SPARK.includes(table.name));
  const told = chosen.map(({ name, location, columns }) => ({ name, location, columns }));
  await compactWith(environment, engine, { ...job, tables: told });
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

/** Rounds of work with syncs in between; each ends with a checkpoint of the oracle. */
function steps(seed: number): Step[] {
  const work = fc.oneof(
    { weight: 60, arbitrary: STEP.filter((step) => step.kind === 'change') },
    { weight: 15, arbitrary: STEP.filter((step) => step.kind === 'transaction') },
    { weight: 1, arbitrary: STEP.filter((step) => step.kind === 'truncate' || step.kind === 'add_table') },
  );
  const chosen = fc.sample(work, { seed, numRuns: ROUNDS * SYNCS_A_ROUND * STEPS_A_SYNC });
  return Array.from({ length: ROUNDS * SYNCS_A_ROUND }, (_, sync) => {
    const part = chosen.slice(sync * STEPS_A_SYNC, (sync + 1) * STEPS_A_SYNC);
    const isLast = (sync + 1) % SYNCS_A_ROUND === 0;
    // The run itself ends with a checkpoint.
    const end = isLast && sync + 1 < ROUNDS * SYNCS_A_ROUND;
    return [
      ...part,
      ...(isLast ? [] : [{ kind: 'sync' as const, only: null }]),
      ...(end ? [{ kind: 'checkpoint' as const, leaveOpen: false, commit: true }] : []),
    ];
  }).flat();
}
