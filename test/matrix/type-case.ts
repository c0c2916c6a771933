/**
 * One column of the type matrix. Row i of a table holds value i of each column, NULL where a column has no more values
 * and in the last row.
 */
export interface TypeCase {
  /** The column's name. */
  readonly name: string;
  /** Its type as SQL. */
  readonly type: string;
  /** SQL expressions; each is cast to the type. */
  readonly values: readonly string[];
  /** The type of the column in DuckDB, as DuckDB names it. */
  readonly duckdb: string;
  /** Positions in `values` that cannot be held: the cell is NULL and the text is in `_sluice.rejected_values`. */
  readonly rejected?: readonly number[];
  /** The first major that knows the type or its values. */
  readonly since?: number;
  /** For `types:` of the table. */
  readonly override?: string;
  /** Of an override: the value as Postgres casts it to what the column is in DuckDB. `$` is the column. */
  readonly as?: string;
}

export const quoted = (...texts: string[]): string[] => texts.map((text) => `'${text.replaceAll("'", "''")}'`);

export const NINES = '9'.repeat(38);

/** What the columns of the matrix need: extensions, enums, composites and domains over each kind of type. */
export const TYPES_SQL = `
  create extension citext; create extension hstore; create extension cube; create extension ltree;
  create type mood as enum ('sad', 'o''k "x"', 'very, "happy"');
  create type pair as (a int, b text);
  create domain positive as int check (value > 0);
  create domain very_positive as positive check (value > 1);
  create domain price as numeric(12,2);
  create domain small_price as price check (value < 100);
  create domain word as text;
  create domain ratio as float8;
  create domain raw as bytea;
  create domain moment as timestamptz;
  create domain span as interval;
  create domain document as jsonb;
  create domain temper as mood;
  create domain numbers as int4[];
  create domain pairs as pair;
  create domain host as inet;
  create domain anything as numeric;`;
