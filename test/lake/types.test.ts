import { afterAll, beforeAll, expect, test } from 'vitest';
import { EngineFixture, SOURCE, type TableSettings } from '../engine-fixture.js';
import { duckdbText, postgresText } from '../matrix/canonical.js';
import { type Family, families } from '../matrix/family.js';
import { BIG_SQL } from '../matrix/text-cases.js';
import { TYPES_SQL, type TypeCase } from '../matrix/type-case.js';
import { originSql, originTable, tableSql } from '../matrix/way.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';

/**
 * Every value of the type matrix, once loaded and once streamed into a Delta lake: both must give the cell that Postgres
 * says, or NULL with the value's own text in `_sluice.rejected_values` where a lake has no such value.
 */

const MAJOR = 17;
const DATABASE = 'lake_types';
const SETTINGS_SQL = `set DateStyle = 'ISO, YMD'; set IntervalStyle = 'postgres'; set TimeZone = 'UTC';
  set bytea_output = 'hex'; set extra_float_digits = 3; set lc_monetary = 'C'`;
const WAYS = ['loaded', 'streamed'] as const;

/** DESIGN 7, "Delta where different". */
const IN_A_LAKE: Readonly<Record<string, string>> = {
  UUID: 'VARCHAR',
  JSON: 'VARCHAR',
  TIME: 'VARCHAR',
  'TIME WITH TIME ZONE': 'VARCHAR',
  INTERVAL: 'VARCHAR',
  UINTEGER: 'BIGINT',
};

function lakeType(type: string): string {
  return type.endsWith('[]') ? `${lakeType(type.slice(0, -2))}[]` : (IN_A_LAKE[type] ?? type);
}

/** Postgres's word on whether a value has a day that a lake cannot hold; null for types without days. */
function beyondYears({ duckdb, name }: TypeCase): string | null {
  const [type, isList] = duckdb.endsWith('[]') ? [duckdb.slice(0, -2), true] : [duckdb, false];
  if (!['DATE', 'TIMESTAMP', 'TIMESTAMP WITH TIME ZONE'].includes(type)) return null;
  const beyond = (value: string) => `not isfinite(${value}) or extract(year from ${value}) not between 1 and 9999`;
  return isList ? `exists (select from unnest("${name}") as u (e) where ${beyond('e')})` : beyond(`"${name}"`);
}

let postgres: TestPostgres;
let fixture: EngineFixture | null = null;
const all = families(MAJOR);

beforeAll(async () => {
  postgres = await startPostgres({ major: MAJOR });
  await postgres.createDatabase(DATABASE);
  const sql = (text: string) => postgres.query(text, [], DATABASE);
  await sql(`${SETTINGS_SQL}; ${TYPES_SQL}; ${BIG_SQL}`);
  const tables: Record<string, TableSettings> = {};
  for (const family of all) {
    const columns = family.cases.map((c) => `"${c.name}"`).join(', ');
    const types = Object.fromEntries(
      family.cases.flatMap((c) => (c.override === undefined ? [] : [[c.name, c.override]])),
    );
    const origin = originTable(family, 'final');
    await sql(tableSql(origin, family));
    await sql(originSql(family, 'final').join(';\n'));
    for (const way of WAYS) await sql(tableSql(`${family.name}_${way}`, family));
    await sql(`insert into ${family.name}_loaded (id, ${columns}) select id, ${columns} from ${origin}`);
    for (const way of WAYS) {
      tables[`public.${family.name}_${way}`] = { columns: { exclude: ['secret'] }, types };
    }
  }
  const destination = { type: 'local', format: 'delta', path: 'lake', memory_limit_mb: 1024 };
  fixture = await EngineFixture.create({ postgres, database: DATABASE, tables, destination });
  await fixture.apply();
  await fixture.sync();
  for (const family of all) {
    const columns = family.cases.map((c) => `"${c.name}"`).join(', ');
    const origin = originTable(family, 'final');
    await sql(`insert into ${family.name}_streamed (id, ${columns}) select id, ${columns} from ${origin}`);
  }
  await fixture.sync();
  // Names that a search path would shorten are written in full.
  await sql("set search_path = ''");
}, 240_000);

afterAll(async () => {
  await fixture?.remove();
  await postgres?.stop();
});

/** By `row column`: the text that must be recorded, where the cell is NULL. */
async function unfit(family: Family): Promise<Map<string, string>> {
  const selects = family.cases.flatMap((c) => {
    // A lake's text holds what the type of a DuckDB file does not: an infinite interval.
    const rows = c.duckdb.startsWith('INTERVAL') ? [] : (c.rejected ?? []);
    const known = rows.length === 0 ? null : `id in (${rows.join(', ')})`;
    const conditions = [known, beyondYears(c)].filter((condition) => condition !== null);
    if (conditions.length === 0) return [];
    return [
      `select id, '${c.name}' as column, format('%s', "${c.name}") as text from public.${originTable(family, 'final')}
       where "${c.name}" is distinct from null and (${conditions.join(' or ')})`,
    ];
  });
  if (selects.length === 0) return new Map();
  const rows = await postgres.query<{ id: number; column: string; text: string }>(
    selects.join(' union all '),
    [],
    DATABASE,
  );
  return new Map(rows.map((row) => [`${row.id} ${row.column}`, row.text]));
}

test.each(all.flatMap((family) => WAYS.map((way) => ({ name: family.name, way, family }))))(
  'the values of the family $name that were $way',
  async ({ family, way }) => {
    const f = fixture;
    if (f === null) throw new Error('nothing was synced');
    const lost = await unfit(family);
    const cases = family.cases.map((c) => ({ ...c, duckdb: lakeType(c.duckdb) }));
    const wanted = cases.map((c, i) => {
      const rows = [...lost.keys()]
        .filter((key) => key.slice(key.indexOf(' ') + 1) === c.name)
        .map((key) => Number.parseInt(key, 10));
      return `${postgresText(c, `"${c.name}"`, rows)} as c${i}`;
    });
    const source = await postgres.query<Record<string, string | null>>(
      `select ${wanted.join(', ')} from public.${originTable(family, 'final')} order by id`,
      [],
      DATABASE,
    );
    const table = `public.${family.name}_${way}`;
    const cells = cases.map((c, i) => `${duckdbText(c.duckdb, `"${c.name}"`)} AS c${i}`);
    const found = await f.read((duckdb) => duckdb.rows(`SELECT ${cells.join(', ')} FROM ${table} ORDER BY id`));
    expect(found).toHaveLength(source.length);
    for (const [i, c] of cases.entries()) {
      expect(
        found.map((row) => row[i]),
        c.name,
      ).toEqual(source.map((row) => row[`c${i}`]));
    }
    const recorded = await f.read((duckdb) =>
      duckdb.rows(
        `SELECT key, "column", source_text FROM _sluice.rejected_values WHERE address = '${SOURCE}:${table}' ORDER BY ALL`,
      ),
    );
    expect(recorded.map(([key, column, text]) => `${key} ${column} ${text}`).sort()).toEqual(
      [...lost]
        .map(([key, text]) => {
          const [row = '', column = ''] = key.split(' ');
          return `{"id":"${row}"} ${column} ${text}`;
        })
        .sort(),
    );
  },
);
