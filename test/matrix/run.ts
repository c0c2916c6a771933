import type { StatusReport } from '../../src/executor/engine.js';
import { EngineFixture, openDuckDb, SOURCE } from '../engine-fixture.js';
import type { PostgresMajor } from '../postgres/binaries.js';
import { startPostgres } from '../postgres/server.js';
import { duckdbText, postgresText } from './canonical.js';
import { type Family, families } from './family.js';
import { BIG_SQL } from './text-cases.js';
import { TRANSPORTS, type Transport } from './transport.js';
import { TYPES_SQL, type TypeCase } from './type-case.js';
import {
  type Origin,
  originSql,
  originTable,
  recordsAgain,
  rejectedRows,
  tableSql,
  type View,
  type Way,
  ways,
} from './way.js';

/**
 * Brings the values of every case into DuckDB files on every way by every transport, and reads all of it back as text.
 * The transports follow the same tables of one database, each with a slot, a publication and a file of its own.
 */

const DATABASE = 'matrix';
const never = new AbortController().signal;

/** What an administrator may have set; Sluice's sessions must not depend on it. */
const FOREIGN_SETTINGS: Readonly<Record<string, string>> = {
  DateStyle: 'SQL, DMY',
  IntervalStyle: 'iso_8601',
  TimeZone: 'Asia/Kathmandu',
  bytea_output: 'escape',
  extra_float_digits: '0',
  quote_all_identifiers: 'on',
};
/** Those of DESIGN 7, under which Postgres says what a value's text is. */
const SETTINGS_SQL = `set DateStyle = 'ISO, YMD'; set IntervalStyle = 'postgres'; set TimeZone = 'UTC';
  set bytea_output = 'hex'; set extra_float_digits = 3; set quote_all_identifiers = off; set lc_monetary = 'C'`;

/** The texts of a row, one a case. */
export type Row = readonly (string | null)[];

export interface Rejection {
  readonly key: string;
  readonly column: string;
  readonly text: string;
  readonly reason: string;
}

export interface ReadView {
  readonly label: string;
  readonly origin: Origin;
  readonly rows: readonly Row[];
}

export interface ReadWay {
  readonly label: string;
  /** Columns of the consolidated table with their types. */
  readonly types: readonly (readonly [string, string])[];
  /** Each once where {@link recordsAgain}. */
  readonly rejections: readonly Rejection[];
  /** The rows recorded, and how many there are for the table's facts and for `status`. */
  readonly counted: { readonly recorded: number; readonly facts: number; readonly status: number | null };
  /** Without reasons. */
  readonly expectedRejections: readonly Omit<Rejection, 'reason'>[];
}

export interface FamilyOutcome {
  readonly family: Family;
  readonly expected: Readonly<Record<Origin, readonly Row[]>>;
  readonly views: readonly ReadView[];
  readonly ways: readonly ReadWay[];
}

export async function runMatrix(major: PostgresMajor): Promise<FamilyOutcome[]> {
  const postgres = await startPostgres({ major });
  const fixtures: { transport: Transport; fixture: EngineFixture }[] = [];
  const landings: (() => Promise<void>)[] = [];
  try {
    await postgres.createDatabase(DATABASE);
    for (const [name, value] of Object.entries(FOREIGN_SETTINGS))
      await postgres.query(`alter database ${DATABASE} set ${name} = '${value}'`);
    const sql = (text: string): Promise<Record<string, unknown>[]> => postgres.query(text, [], DATABASE);
    const known = families(major).map((family) => ({ family, ways: ways(family) }));
    const allWays = known.flatMap((entry) => entry.ways);

    await sql(SETTINGS_SQL);
    await sql(`${TYPES_SQL}; ${BIG_SQL}`);
    for (const { family, ways: tables } of known) {
      for (const origin of ['final', 'other'] as const) {
        await sql(tableSql(originTable(family, origin), family));
        await sql(originSql(family, origin).join(';\n'));
      }
      for (const way of tables) {
        await sql(tableSql(way.table, family));
        if (way.full) await sql(`alter table ${way.table} replica identity full`);
        for (const statement of way.before) await sql(statement);
      }
    }
    for (const transport of TRANSPORTS) {
      const fixture = await EngineFixture.create({
        postgres,
        database: DATABASE,
        tables: Object.fromEntries(allWays.map((way) => [`public.${way.table}`, way.settings])),
        // Five tables with 20 MB in a row are committed at once.
        destination: { memory_limit_mb: 1024 },
        cdc: { ...transport.cdc, slot: transport.name, publication: transport.name },
      });
      fixtures.push({ transport, fixture });
      await fixture.apply();
      landings.push(await transport.begin(fixture, postgres));
    }
    for (const way of allWays) for (const statement of way.changes) await sql(statement);
    const status = new Map<Transport, StatusReport>();
    for (const land of landings) await land();
    for (const { transport, fixture } of fixtures) {
      await fixture.resync(...allWays.filter((way) => way.reload).map((way) => `public.${way.table}`));
      await fixture.sync();
      status.set(transport, await (await fixture.engine()).status(never));
      await fixture.close();
    }

    // Names that a search path would shorten are written in full.
    await sql(`set search_path = ''`);
    const outcomes: FamilyOutcome[] = [];
    for (const { family, ways: tables } of known) {
      const expected = { final: await originRows(sql, family, 'final'), other: await originRows(sql, family, 'other') };
      const unfit = {
        final: await originRejections(sql, family, 'final'),
        other: await originRejections(sql, family, 'other'),
      };
      const views: ReadView[] = [];
      const readWays: ReadWay[] = [];
      for (const { transport, fixture } of fixtures) {
        const report = status.get(transport);
        const duckdb = await openDuckDb(fixture.place);
        try {
          for (const way of tables) {
            for (const view of way.views) views.push(await readView(duckdb, transport, way, view, family));
            const expectedRejections = way.recorded.flatMap(({ origin, shift }) =>
              unfit[origin].map(({ row, column, text }) => ({ key: `{"id":"${row + shift}"}`, column, text })),
            );
            readWays.push({ ...(await readWay(duckdb, transport, way, report)), expectedRejections });
          }
        } finally {
          duckdb.close();
        }
      }
      outcomes.push({ family, expected, views, ways: readWays });
    }
    return outcomes;
  } finally {
    for (const { fixture } of fixtures) await fixture.remove().catch(() => undefined);
    await postgres.stop();
  }
}

type Sql = (text: string) => Promise<Record<string, unknown>[]>;
type DuckDb = Awaited<ReturnType<typeof openDuckDb>>;

async function originRows(sql: Sql, family: Family, origin: Origin): Promise<Row[]> {
  const texts = family.cases.map(
    (c, i) => `${postgresText(c, `"${c.name}"`, rejectedRows(c, origin, family))} as c${i}`,
  );
  const rows = await sql(`select ${texts.join(', ')} from public.${originTable(family, origin)} order by id`);
  return rows.map((row) => family.cases.map((_, i) => textOrNull(row[`c${i}`])));
}

async function originRejections(
  sql: Sql,
  family: Family,
  origin: Origin,
): Promise<{ row: number; column: string; text: string }[]> {
  const selects = family.cases.flatMap((c: TypeCase) => {
    const rows = rejectedRows(c, origin, family);
    if (rows.length === 0) return [];
    return [
      `select id as row, '${c.name}' as column, format('%s', "${c.name}") as text from public.${originTable(family, origin)} where id in (${rows.join(', ')})`,
    ];
  });
  if (selects.length === 0) return [];
  return (await sql(selects.join(' union all '))).map((row) => ({
    row: Number(row['row']),
    column: String(row['column']),
    text: String(row['text']),
  }));
}

async function readView(
  duckdb: DuckDb,
  transport: Transport,
  way: Way,
  view: View,
  { cases }: Family,
): Promise<ReadView> {
  const table = `public.${way.table}${view.history ? '_cdc' : ''}`;
  const texts = cases.map((c, i) => `${duckdbText(c.duckdb, `"${c.name}"`)} AS c${i}`);
  const rows = await duckdb.rows(`SELECT id, ${texts.join(', ')} FROM ${table} WHERE ${view.where} ORDER BY id`);
  // A row that is missing or there twice would shift those behind it.
  const ids = rows.map(([id]) => Number(id) - view.shift);
  if (ids.some((id, row) => id !== row)) {
    throw new Error(`${transport.name}, ${way.name}, ${view.label}: unexpected rows ${ids.join(', ')}`);
  }
  const label = `${transport.name}, ${way.name}: ${view.label}`;
  return { label, origin: view.origin, rows: rows.map(([, ...cells]) => cells) };
}

async function readWay(
  duckdb: DuckDb,
  transport: Transport,
  way: Way,
  status: StatusReport | undefined,
): Promise<Omit<ReadWay, 'expectedRejections'>> {
  const address = `${SOURCE}:public.${way.table}`;
  const types = await duckdb.rows(
    `SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name = 'public' AND table_name = '${way.table}' ORDER BY column_index`,
  );
  const rejections = await duckdb.rows(
    `SELECT${recordsAgain(way) ? ' DISTINCT' : ''} key, "column", source_text, reason FROM _sluice.rejected_values WHERE address = '${address}'`,
  );
  const [recorded] = await duckdb.rows(`SELECT count(*) FROM _sluice.rejected_values WHERE address = '${address}'`);
  const [count] = await duckdb.rows(`SELECT rejected_values FROM _sluice.tables WHERE address = '${address}'`);
  const inStatus = status?.sources.flatMap((source) => source.tables).find((table) => table.address === address);
  return {
    label: `${transport.name}, ${way.name}`,
    types: types.map(([name = null, type = null]) => [String(name), String(type)]),
    rejections: rejections.map(([key, column, text, reason]) => ({
      key: String(key),
      column: String(column),
      text: String(text),
      reason: reason ?? '',
    })),
    counted: {
      recorded: Number(recorded?.[0]),
      facts: Number(count?.[0]),
      status: inStatus?.rejectedValues ?? null,
    },
  };
}

function textOrNull(value: unknown): string | null {
  if (value === null || typeof value === 'string') return value;
  throw new Error(`text was asked for, not ${typeof value}`);
}
