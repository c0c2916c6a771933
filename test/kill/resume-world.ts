import type pg from 'pg';
import type { TableSettings } from '../engine-fixture.js';
import { EngineFixture, lsnValue, SOURCE } from '../engine-fixture.js';
import { readDestination, readSource, takeLog } from '../oracle/observation.js';
import { logSql, type OracleTable } from '../oracle/oracle-table.js';
import { TableModel } from '../oracle/table-model.js';
import type { TestPostgres } from '../postgres/server.js';

/** Rows of each table: some 6 MiB of blocks, which makes six ranges. */
export const ROWS = 6_000;
/** Rows are spread by key so that a batch of changes meets blocks of every range. */
const CHANGES = 120;

const plain = (name: string) => ({ name, postgres: '$::text', duckdb: '$::VARCHAR' });
const big = (name: string) => ({ name, postgres: 'md5($::text)', duckdb: 'md5($::VARCHAR)' });

/** A wide row with a value out of line: `pad` fills the blocks, `body` is too large to stay in the row. */
function resumeTable(name: string, settings: TableSettings, partitioned = false): OracleTable {
  const columns = 'id int primary key, pad text, n int, body text';
  const parts = [0, 1]
    .map((rest) => `create table ${name}_${rest} partition of ${name} for values with (modulus 2, remainder ${rest})`)
    .join('; ');
  return {
    key: `public.${name}`,
    name,
    ddl: partitioned
      ? `create table ${name} (${columns}) partition by hash (id); ${parts}`
      : `create table ${name} (${columns}); alter table ${name} alter body set storage external`,
    settings,
    columns: [plain('id'), plain('n'), big('pad'), big('body')],
    keyColumns: 1,
    keyOf: (i) => `${i}`,
    changes: [],
    fresh: () => ({ columns: '', values: '' }),
    deletes: true,
    rekeys: true,
    truncates: true,
  };
}

const TABLES: readonly OracleTable[] = [
  resumeTable('twofold', { output: 'both', deletes: 'soft' }),
  resumeTable('hard', { output: 'consolidated', deletes: 'hard' }),
  resumeTable('soft', { output: 'consolidated', deletes: 'soft' }),
  resumeTable('versions', { output: 'history' }),
  resumeTable('parted', { output: 'both', deletes: 'hard' }, true),
];

const pad = (id: string) => `repeat(md5((${id})::text), 32)`;
const body = (seed: string) =>
  `(select string_agg(md5((${seed})::text || '-' || i), '') from generate_series(1, 70) i)`;

/** A database with tables that take several ranges to read, changes that move rows between their blocks, and the checks. */
export class ResumeWorld {
  readonly fixture: EngineFixture;
  readonly tables = TABLES;
  readonly #postgres: TestPostgres;
  readonly #models = new Map(TABLES.map((table) => [table.name, new TableModel(table)]));
  readonly #random: () => number;
  readonly #clients: pg.Client[] = [];
  #nextId = ROWS + 1;

  private constructor(fixture: EngineFixture, postgres: TestPostgres, seed: number) {
    this.fixture = fixture;
    this.#postgres = postgres;
    this.#random = numbers(seed);
  }

  static async create(
    postgres: TestPostgres,
    database: string,
    seed: number,
    snapshot: Readonly<Record<string, unknown>>,
  ): Promise<ResumeWorld> {
    await postgres.createDatabase(database);
    await postgres.query(
      [
        'create schema oracle',
        'create table oracle.log (id bigserial primary key, tab text, op text, cells text[])',
        ...TABLES.map((table) => table.ddl),
        ...TABLES.map(
          ({ name }) =>
            `insert into ${name} (id, pad, n, body) select g, ${pad('g')}, g, ${body('g')} from generate_series(1, ${ROWS}) g`,
        ),
        ...TABLES.map(logSql),
      ].join(';\n'),
      [],
      database,
    );
    const fixture = await EngineFixture.create({
      postgres,
      database,
      tables: Object.fromEntries(TABLES.map((table) => [table.key, table.settings])),
      cdc: { slot: database, publication: database },
      snapshot,
    });
    return new ResumeWorld(fixture, postgres, seed);
  }

  async remove(): Promise<void> {
    for (const client of this.#clients) await client.end();
    await this.fixture.remove();
  }

  number(below: number): number {
    return Math.floor(this.#random() * below);
  }

  /**
   * Changes of every table: rows that leave holes at the front and rows of the back that move into them, with and without
   * the large value, new and gone rows, keys that pass to others. Each table has a transaction of its own with a part that
   * is undone and parts that have ids of their own.
   */
  async change(): Promise<void> {
    for (const { name } of TABLES) {
      await this.fixture.source(this.#changes(name).join(';\n'));
      // Room in blocks of the front is known from here on, so what is updated at the back goes there, and the other way.
      if (this.number(2) === 0) await this.fixture.source(`vacuum ${name}`);
    }
  }

  /** Begins changes that are committed by the call of what this gives. */
  async beginChange(): Promise<() => Promise<void>> {
    const client = await this.#postgres.client(this.fixture.slot);
    this.#clients.push(client);
    await client.query('begin');
    for (const { name } of TABLES) {
      for (const statement of this.#changes(name)) {
        await client.query('savepoint part');
        await client.query(statement);
        await client.query('release savepoint part');
      }
    }
    return async () => {
      await client.query('commit');
    };
  }

  #changes(name: string): string[] {
    const statements: string[] = [];
    const oneOf = (): string => `${this.number(this.#nextId) + 1}`;
    const front = this.number(ROWS / 2);
    statements.push(`delete from ${name} where id between ${front} and ${front + 25}`);
    const back = ROWS / 2 + this.number(ROWS / 2 - 60);
    statements.push(`update ${name} set n = n + 1 where id between ${back} and ${back + 40}`);
    statements.push(
      `update ${name} set body = ${body(`${name}.n * 31 + ${name}.id`)} where id between ${back + 30} and ${back + 50}`,
    );
    for (let i = 0; i < CHANGES / 8; i += 1) {
      const [a, b] = [oneOf(), `${this.#nextId++}`];
      switch (this.number(6)) {
        case 0:
          statements.push(`update ${name} set n = -n where id = ${a}`);
          break;
        case 1:
          statements.push(`update ${name} set n = n + 7, body = ${body(`'${b}'`)} where id = ${a}`);
          break;
        case 2:
          // The large value does not come with it.
          statements.push(`update ${name} set id = ${b} where id = ${a}`);
          break;
        case 3:
          statements.push(
            `insert into ${name} (id, pad, n, body) values (${b}, ${pad(`'${b}'`)}, ${b}, ${body(`'${b}'`)})`,
          );
          break;
        case 4:
          statements.push(`delete from ${name} where id = ${a}`);
          break;
        default:
          statements.push(
            `delete from ${name} where id = ${a}`,
            `insert into ${name} (id, pad, n, body) values (${a}, ${pad(`'${b}'`)}, 0, ${body(`'${b}'`)}) on conflict do nothing`,
            `update ${name} set n = 1 where id = ${a}`,
          );
      }
    }
    return statements;
  }

  /** Everything that differs from Postgres or breaks a law of history; a sync must have caught up. */
  async differences(): Promise<string[]> {
    const log = await takeLog(this.fixture, TABLES);
    const { destination } = await this.fixture.positions();
    const [clock] = await this.fixture.source<{ time: string }>(
      'select (extract(epoch from clock_timestamp()) * 1000000)::bigint::text as time',
    );
    const problems: string[] = [];
    await this.fixture.read(async (duckdb) => {
      for (const table of TABLES) {
        const situation = {
          lsn: lsnValue(destination ?? '0/0'),
          time: BigInt(clock?.time ?? 0),
          source: await readSource(this.fixture, table),
          log: log.get(table.name) ?? [],
          loaded: true,
          destination: await readDestination(duckdb, table),
        };
        problems.push(...(this.#models.get(table.name)?.check(situation) ?? []));
      }
    });
    const left = await this.fixture.readWork((duckdb) =>
      duckdb.rows(
        `SELECT table_name FROM duckdb_tables() WHERE table_name LIKE '%load%' OR table_name LIKE 'held %'
           OR table_name LIKE 'rejected %' OR table_name LIKE 'changed %'
         UNION ALL SELECT address FROM _sluice.snapshots`,
      ),
    );
    return [...problems, ...left.map(([name]) => `${name} was left`)];
  }

  /** What is recorded of unfinished loads: by table, rows and the blocks that were read. */
  async unfinished(): Promise<ReadonlyMap<string, { readonly rows: number; readonly ranges: string }>> {
    return this.fixture.readWork(async (duckdb) => {
      const rows = await duckdb.rows('SELECT address, rows, ranges FROM _sluice.snapshots WHERE rows > 0');
      return new Map(
        rows.map(([address, count, ranges]) => [
          (address ?? '').slice(`${SOURCE}:public.`.length),
          { rows: Number(count), ranges: ranges ?? '' },
        ]),
      );
    });
  }
}

/** Numbers in [0, 1) that a seed repeats (a linear congruential generator, Knuth's constants). */
function numbers(seed: number): () => number {
  let state = BigInt(seed);
  return () => {
    state = (state * 6364136223846793005n + 1442695040888963407n) & ((1n << 64n) - 1n);
    return Number(state >> 11n) / 2 ** 53;
  };
}
