import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StatusReport } from '../../src/executor/engine.js';
import { type Cells, EngineFixture, openDuckDb } from '../engine-fixture.js';
import { hasPostgres, type PostgresMajor } from '../postgres/binaries.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { TYPE_CASES, TYPES_SQL, type TypeCase } from './value-case.js';

/**
 * Law 3 from end to end: the same values come into the DuckDB file by a snapshot, by streamed inserts and by streamed
 * updates, and must be the same cells; Postgres says what they are worth. What cannot be held is recorded, each way.
 */

const MAJORS: readonly PostgresMajor[] = [13, 17];
/** How the values of a table came. */
const WAYS = ['by_snapshot', 'by_insert', 'by_update', 'by_reload'] as const;
/** One JSON form for both sides, which space their JSON differently. */
const AS_JSON = { postgres: 'to_json($)::jsonb::text', duckdb: 'to_json($)::VARCHAR' };

interface Rejection {
  readonly key: string;
  readonly column: string;
  readonly text: string;
}

describe.each(MAJORS)('types on Postgres %i', (major) => {
  if (!hasPostgres(major)) {
    test.skip('no such server here', () => {});
    return;
  }
  const cases = TYPE_CASES.filter((c) => (c.since ?? 0) <= major);
  const rowCount = Math.max(...cases.map((c) => c.values.length)) + 1;
  let postgres: TestPostgres;
  let fixture: EngineFixture;
  let status: StatusReport;
  let duckdb: Awaited<ReturnType<typeof openDuckDb>>;

  beforeAll(async () => {
    postgres = await startPostgres({ major });
    await postgres.createDatabase('types');
    fixture = await EngineFixture.create({
      postgres,
      database: 'types',
      tables: Object.fromEntries(WAYS.map((way) => [`public.${way}`, settingsOf(way, cases)])),
    });
    await fixture.source(TYPES_SQL);
    for (const way of WAYS) await fixture.source(tableSql(way, cases));
    await fixture.source(insertSql('by_snapshot', cases, rowCount));
    await fixture.source(`insert into by_update (id) select generate_series(0, ${rowCount - 1})`);
    await fixture.apply();
    await fixture.sync();
    await fixture.source(insertSql('by_insert', cases, rowCount));
    await fixture.source(updateSql('by_update', cases, rowCount));
    await fixture.source(insertSql('by_reload', cases, rowCount));
    await fixture.sync();
    await fixture.resync('public.by_reload');
    await fixture.sync();
    status = await (await fixture.engine()).status(new AbortController().signal);
    await fixture.close();
    duckdb = await openDuckDb(fixture.duckdbFile);
  });

  afterAll(async () => {
    duckdb?.close();
    await fixture?.remove();
    await postgres?.stop();
  });

  test('columns have the types of the type table', async () => {
    const types = await duckdb.rows(
      "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'by_insert' ORDER BY 1",
    );
    const expected = cases.map((c) => [c.name, c.duckdb]);
    expect(types.filter(([name]) => /^[co]_/.test(name ?? ''))).toEqual(expected.sort(byName));
  });

  test('excluded and generated columns are absent', async () => {
    const columns = await duckdb.rows(
      "SELECT DISTINCT column_name FROM duckdb_columns() WHERE column_name IN ('secret', 'doubled')",
    );
    expect(columns).toEqual([]);
    const text = await duckdb.rows('SELECT key, source_text FROM _sluice.rejected_values');
    expect(JSON.stringify(text)).not.toContain('top secret');
  });

  test.each(cases)('$name: the same cells each way, and those of Postgres', async (c) => {
    const { name } = c;
    const column = `"${name}"`;
    const cells = (way: string): Promise<Cells[]> =>
      duckdb.rows(`SELECT id, ${exact(c).replaceAll('$', column)} FROM public.${way} ORDER BY id`);
    const snapshot = await cells('by_snapshot');
    expect(snapshot).toHaveLength(rowCount);
    for (const way of WAYS) expect({ way, cells: await cells(way) }).toEqual({ way, cells: snapshot });

    // DuckDB's own notion of sameness, which knows nothing of how a value is printed.
    for (const way of WAYS) {
      const differing = await duckdb.rows(
        `SELECT a.id FROM public.by_snapshot a FULL JOIN public.${way} b ON a.id = b.id WHERE a.${column} IS DISTINCT FROM b.${column} OR a.id IS NULL OR b.id IS NULL`,
      );
      expect({ way, differing }).toEqual({ way, differing: [] });
    }

    const common = c.common === 'json' ? AS_JSON : (c.common ?? { postgres: '$::text', duckdb: '$::VARCHAR' });
    const source = await fixture.source<{ id: number; value: string | null }>(
      `select id, ${common.postgres.replaceAll('$', column)} as value from by_snapshot order by id`,
    );
    const expected = source.map(({ id, value }) => [String(id), c.rejected?.includes(id) === true ? null : value]);
    const actual = await duckdb.rows(
      `SELECT id, ${common.duckdb.replaceAll('$', column)} FROM public.by_snapshot ORDER BY id`,
    );
    expect(actual.map(normal(c))).toEqual(expected.map(normal(c)));
    // A NULL in Postgres and nothing else is a NULL here, save what is rejected.
    expect(actual.filter(([, value]) => value === null)).toHaveLength(
      rowCount - c.values.length + (c.rejected?.length ?? 0),
    );
  });

  test('history holds the same cells as the table', async () => {
    for (const c of cases) {
      const query = (table: string, where: string): Promise<Cells[]> =>
        duckdb.rows(`SELECT id, ${exact(c).replaceAll('$', `"${c.name}"`)} FROM public.${table} ${where} ORDER BY id`);
      const current = await query('by_insert_cdc', 'WHERE valid_to IS NULL');
      expect({ column: c.name, cells: current }).toEqual({ column: c.name, cells: await query('by_insert', '') });
    }
  });

  test('what cannot be held is recorded with its text, each way', async () => {
    const expected: Rejection[] = [];
    for (const c of cases) {
      for (const id of c.rejected ?? []) {
        const [row] = await fixture.source<{ text: string }>(
          `select format('%s', "${c.name}") as text from by_snapshot where id = ${id}`,
        );
        expected.push({ key: JSON.stringify({ id: String(id) }), column: c.name, text: row?.text ?? '' });
      }
    }
    expect(expected.length).toBeGreaterThan(15);
    for (const way of WAYS) {
      const rows = await duckdb.rows(
        `SELECT key, "column", source_text, reason FROM _sluice.rejected_values WHERE address = 'shop:public.${way}'`,
      );
      const recorded = rows.map(
        ([key, column, text]): Rejection => ({
          key: JSON.stringify(JSON.parse(key ?? '')),
          column: column ?? '',
          text: text ?? '',
        }),
      );
      expect({ way, recorded: recorded.sort(byPlace) }).toEqual({ way, recorded: [...expected].sort(byPlace) });
      expect(rows.filter(([, , , reason]) => reason === null || reason === '')).toEqual([]);
      const [count] = await duckdb.rows(
        `SELECT rejected_values FROM _sluice.tables WHERE address = 'shop:public.${way}'`,
      );
      expect({ way, count }).toEqual({ way, count: [String(expected.length)] });
    }
  });

  test('the status counts rejected values', () => {
    const total = cases.reduce((sum, c) => sum + (c.rejected?.length ?? 0), 0);
    const counts = status.sources.flatMap((source) => source.tables.map((table) => table.rejectedValues));
    expect(counts).toEqual(WAYS.map(() => total));
  });
});

/** A text that tells any two values apart, even where DuckDB calls them equal (-0 and 0, 1 month and 30 days). */
function exact(c: TypeCase): string {
  if (c.duckdb === 'DOUBLE' || c.duckdb === 'FLOAT') return '$::BIT';
  if (c.duckdb === 'BLOB') return 'hex($)';
  return c.name === 'c_big' ? 'md5($)' : '$';
}

/** Both sides' JSON with the same spaces. */
function normal(c: TypeCase): (row: Cells | readonly (string | null)[]) => (string | null)[] {
  return ([id = null, value = null]) => [
    id,
    value !== null && c.common === 'json' ? JSON.stringify(JSON.parse(value)) : value,
  ];
}

function settingsOf(way: string, cases: readonly TypeCase[]): Record<string, unknown> {
  return {
    output: way === 'by_insert' ? 'both' : 'consolidated',
    columns: { exclude: ['secret'] },
    types: Object.fromEntries(cases.flatMap((c) => (c.override === undefined ? [] : [[c.name, c.override]]))),
  };
}

function tableSql(name: string, cases: readonly TypeCase[]): string {
  const columns = cases.map((c) => `"${c.name}" ${c.type}`).join(', ');
  return `create table ${name} (secret text default 'top secret', id int primary key, ${columns},
    doubled int generated always as (c_int2::int * 2) stored)`;
}

function rowValues(cases: readonly TypeCase[], id: number): string[] {
  return cases.map((c) => {
    const value = c.values[id];
    return value === undefined ? 'null' : `(${value})::${c.type}`;
  });
}

function insertSql(name: string, cases: readonly TypeCase[], rowCount: number): string {
  const names = cases.map((c) => `"${c.name}"`).join(', ');
  return Array.from(
    { length: rowCount },
    (_, id) => `insert into ${name} (id, ${names}) values (${id}, ${rowValues(cases, id).join(', ')})`,
  ).join(';\n');
}

function updateSql(name: string, cases: readonly TypeCase[], rowCount: number): string {
  return Array.from({ length: rowCount }, (_, id) => {
    const values = rowValues(cases, id);
    return `update ${name} set ${cases.map((c, i) => `"${c.name}" = ${values[i]}`).join(', ')} where id = ${id}`;
  }).join(';\n');
}

function byName([a]: readonly string[], [b]: readonly string[]): number {
  return (a ?? '') < (b ?? '') ? -1 : 1;
}

function byPlace(a: Rejection, b: Rejection): number {
  return `${a.column} ${a.key}` < `${b.column} ${b.key}` ? -1 : 1;
}
