import type { TableSettings } from '../engine-fixture.js';

/**
 * The tables of the random workload. Each column names how Postgres and DuckDB write its value in one common text, so
 * that both sides can be compared; large values are compared by their md5.
 */

export interface OracleColumn {
  readonly name: string;
  /** SQL over `$` (the column, qualified) that gives the common text. */
  readonly postgres: string;
  readonly duckdb: string;
}

export interface OracleTable {
  readonly key: `public.${string}`;
  readonly name: string;
  readonly ddl: string;
  readonly settings: TableSettings;
  /** Key columns first. */
  readonly columns: readonly OracleColumn[];
  readonly keyColumns: number;
  /** SQL of a key from a small range, as a row of values: `i` is the number. */
  readonly keyOf: (i: number) => string;
  /** Assignments that change a row's values; `seed` is a number that makes them differ. */
  readonly changes: readonly ((seed: number) => string)[];
  /** Column list and values of a new row, without its key. */
  readonly fresh: (seed: number) => { readonly columns: string; readonly values: string };
  /** False where the method cannot follow it. */
  readonly deletes: boolean;
  readonly rekeys: boolean;
  readonly truncates: boolean;
}

const plain = (name: string): OracleColumn => ({ name, postgres: '$::text', duckdb: '$::VARCHAR' });
const big = (name: string): OracleColumn => ({ name, postgres: 'md5($::text)', duckdb: 'md5($::VARCHAR)' });
/** With its padding, which a cast to text would drop. */
const padded = (name: string): OracleColumn => ({ name, postgres: "format('%s', $)", duckdb: '$::VARCHAR' });
const instant = (name: string): OracleColumn => ({
  name,
  postgres: '(extract(epoch from $) * 1000000)::bigint::text',
  duckdb: 'epoch_us($)::VARCHAR',
});

/** About 9.6 kB that no compression makes small enough to stay in the row. */
const incompressible = (seed: number): string =>
  `(select string_agg(md5(${seed}::text || '-' || i), '') from generate_series(1, 300) as i)`;
const json = (seed: number): string =>
  `jsonb_build_object('n', ${seed}, 'list', (select jsonb_agg(md5(${seed}::text || '+' || i)) from generate_series(1, 300) as i))`;
const amount = (seed: number): string => `${(seed % 2 === 0 ? 1 : -1) * (seed % 1_000_000)}.${seed % 10}5`;
const later = "timestamptz '2020-01-01 00:00:00.000001Z' + interval '1 second' *";

const accounts: OracleTable = {
  key: 'public.accounts',
  name: 'accounts',
  ddl: 'create table accounts (id bigint primary key, name text, balance numeric(12,2), active boolean, at timestamptz)',
  settings: { output: 'both', deletes: 'soft' },
  columns: [plain('id'), plain('name'), plain('balance'), plain('active'), instant('at')],
  keyColumns: 1,
  keyOf: (i) => `${i}`,
  changes: [
    (n) => `balance = ${amount(n)}`,
    (n) => `name = 'name ${n}', active = ${n % 2 === 0}`,
    () => 'name = null, active = null',
    (n) => `at = ${later} ${n % 100_000}`,
    () => 'id = accounts.id',
  ],
  fresh: (n) => ({ columns: 'name, balance, active, at', values: `'new ${n}', ${amount(n)}, true, ${later} ${n}` }),
  deletes: true,
  rekeys: true,
  truncates: true,
};

const lines: OracleTable = {
  key: 'public.lines',
  name: 'lines',
  ddl: 'create table lines (note varchar(50), region text, qty int, no int, primary key (region, no))',
  settings: { output: 'consolidated', deletes: 'hard' },
  columns: [plain('region'), plain('no'), plain('note'), plain('qty')],
  keyColumns: 2,
  keyOf: (i) => `'${['é', "it''s", '', '\\N'][i % 4]}', ${Math.floor(i / 4)}`,
  changes: [(n) => `qty = ${n}`, (n) => `note = 'note ${n}'`, () => 'note = null', (n) => `note = '', qty = -${n}`],
  fresh: (n) => ({ columns: 'note, qty', values: `'n${n}', ${n}` }),
  deletes: true,
  rekeys: true,
  truncates: true,
};

const toasted = (name: string, settings: TableSettings, extra = ''): OracleTable => ({
  key: `public.${name}`,
  name,
  ddl: `create table ${name} (body text, id uuid primary key, n int, data jsonb); ${extra}`,
  settings,
  columns: [plain('id'), plain('n'), big('body'), big('data')],
  keyColumns: 1,
  keyOf: (i) => `'00000000-0000-4000-8000-${String(i).padStart(12, '0')}'`,
  changes: [
    (n) => `n = ${n}`,
    (n) => `n = ${n}`,
    (n) => `body = ${incompressible(n)}`,
    (n) => `data = ${json(n)}, n = ${n}`,
    (n) => `body = 'short ${n}'`,
    () => 'body = null',
    () => "data = 'null'",
  ],
  fresh: (n) => ({ columns: 'body, n, data', values: `${incompressible(n)}, ${n}, ${json(n)}` }),
  deletes: true,
  rekeys: true,
  truncates: true,
});

const codes: OracleTable = {
  key: 'public.codes',
  name: 'codes',
  ddl: 'create table codes (code char(6) primary key, label text, body text)',
  settings: { output: 'history' },
  columns: [padded('code'), plain('label'), big('body')],
  keyColumns: 1,
  keyOf: (i) => `'c${i}'`,
  changes: [
    (n) => `label = 'label ${n}'`,
    (n) => `label = 'label ${n}', body = ${incompressible(n)}`,
    () => 'label = null',
  ],
  fresh: (n) => ({ columns: 'label, body', values: `'l${n}', ${incompressible(n)}` }),
  deletes: true,
  rekeys: true,
  truncates: true,
};

const people: OracleTable = {
  key: 'public.people',
  name: 'people',
  ddl: 'create table people (mail citext primary key, born date, tags text[])',
  settings: { output: 'both', deletes: 'hard' },
  columns: [
    plain('mail'),
    plain('born'),
    { name: 'tags', postgres: 'to_json($)::text', duckdb: 'to_json($)::VARCHAR' },
  ],
  keyColumns: 1,
  // Two spellings of each name: one key for Postgres' unique index, two for whoever compares bytes.
  keyOf: (i) => (i % 2 === 0 ? `'p${Math.floor(i / 2)}'` : `'P${Math.floor(i / 2)}'`),
  changes: [
    (n) => `born = date '2000-01-01' + ${n % 10_000}`,
    (n) => `tags = array['t${n}', null, '']`,
    () => 'mail = people.mail',
  ],
  fresh: (n) => ({ columns: 'born, tags', values: `date '1990-01-01' + ${n % 10_000}, array['n${n}']` }),
  deletes: true,
  rekeys: true,
  truncates: true,
};

const parts: OracleTable = {
  key: 'public.parts',
  name: 'parts',
  ddl: `create table parts (region text, id int, v text, body text, primary key (region, id)) partition by list (region);
    create table parts_north partition of parts for values in ('n');
    create table parts_other (body text, v text, id int not null, region text not null);
    alter table parts attach partition parts_other default`,
  settings: { output: 'both', deletes: 'soft' },
  columns: [plain('region'), plain('id'), plain('v'), big('body')],
  keyColumns: 2,
  keyOf: (i) => `'${['n', 's', 'e'][i % 3]}', ${Math.floor(i / 3)}`,
  changes: [(n) => `v = 'v${n}'`, (n) => `v = 'w${n}', body = ${incompressible(n)}`],
  fresh: (n) => ({ columns: 'v, body', values: `'v${n}', ${incompressible(n)}` }),
  deletes: true,
  rekeys: true,
  truncates: true,
};

/** The cursor has a second's grain, so that several rows share a value and the highest one goes on being written. */
const orders: OracleTable = {
  key: 'public.orders',
  name: 'orders',
  ddl: 'create table orders (id int primary key, v text, updated_at timestamptz not null)',
  settings: { method: 'incremental', cursor: 'updated_at' },
  columns: [plain('id'), plain('v'), instant('updated_at')],
  keyColumns: 1,
  keyOf: (i) => `${i}`,
  changes: [(n) => `v = 'v${n}', updated_at = date_trunc('second', clock_timestamp())`],
  fresh: (n) => ({ columns: 'v, updated_at', values: `'n${n}', date_trunc('second', clock_timestamp())` }),
  deletes: false,
  rekeys: false,
  truncates: false,
};

/** Two sessions take numbers of its sequence and commit in any order. */
const clicks: OracleTable = {
  key: 'public.clicks',
  name: 'clicks',
  ddl: 'create table clicks (id bigserial primary key, v text)',
  settings: { method: 'append', cursor: 'id' },
  columns: [plain('id'), plain('v')],
  keyColumns: 1,
  keyOf: () => 'default',
  changes: [],
  fresh: (n) => ({ columns: 'v', values: `'c${n}'` }),
  deletes: false,
  rekeys: false,
  truncates: false,
};

const countries: OracleTable = {
  key: 'public.countries',
  name: 'countries',
  ddl: 'create table countries (code text primary key, n int)',
  settings: { method: 'full_table' },
  columns: [plain('code'), plain('n')],
  keyColumns: 1,
  keyOf: (i) => `'k${i}'`,
  changes: [(n) => `n = ${n}`],
  fresh: (n) => ({ columns: 'n', values: `${n}` }),
  deletes: true,
  rekeys: true,
  truncates: true,
};

/** In the file from the start. */
export const FIRST_TABLES: readonly OracleTable[] = [
  accounts,
  lines,
  toasted('docs', { output: 'both', deletes: 'soft' }),
  toasted('files', { output: 'consolidated', deletes: 'soft' }),
  toasted('papers', { output: 'both', deletes: 'hard' }, 'alter table papers replica identity full'),
  codes,
  people,
  parts,
  orders,
  clicks,
  countries,
];

/** Added to the file while the slot lives and sessions write to them. */
export const LATE_TABLES: readonly OracleTable[] = [
  {
    ...accounts,
    key: 'public.late',
    name: 'late',
    ddl: accounts.ddl.replace('table accounts', 'table late'),
    changes: accounts.changes.slice(0, -1),
  },
  toasted('late_docs', { output: 'both', deletes: 'soft' }),
];

export const ALL_TABLES: readonly OracleTable[] = [...FIRST_TABLES, ...LATE_TABLES];

export function isCdc(table: OracleTable): boolean {
  return table.settings['method'] === undefined;
}

export function hasHistory(table: OracleTable): boolean {
  return table.settings['output'] === 'history' || table.settings['output'] === 'both';
}

export function hasConsolidated(table: OracleTable): boolean {
  return table.settings['output'] !== 'history';
}

export function keepsDeleted(table: OracleTable): boolean {
  return isCdc(table) && hasConsolidated(table) && table.settings['deletes'] === 'soft';
}

export function postgresTexts(table: OracleTable, alias: string): string[] {
  return table.columns.map((column) => column.postgres.replaceAll('$', `${alias}.${column.name}`));
}

export function duckdbTexts(table: OracleTable): string[] {
  return table.columns.map((column) => column.duckdb.replaceAll('$', `"${column.name}"`));
}

export function keyNames(table: OracleTable): string[] {
  return table.columns.slice(0, table.keyColumns).map((column) => column.name);
}

/**
 * A log of all committed row changes, written by triggers in the transactions themselves: the workload's own truth about
 * order and last values. Statement order within a key is commit order, as row locks see to it.
 */
export function logSql(table: OracleTable): string {
  const row = (alias: string) => `array[${postgresTexts(table, alias).join(', ')}]`;
  const differs = keyNames(table)
    .map((name) => `old.${name}::text is distinct from new.${name}::text`)
    .join(' or ');
  const insert = (op: string, alias: string) =>
    `insert into oracle.log (tab, op, cells) values ('${table.name}', '${op}', ${row(alias)});`;
  return `
    create function oracle.log_${table.name}() returns trigger language plpgsql as $log$
    begin
      if tg_op = 'INSERT' then ${insert('I', 'new')}
      elsif tg_op = 'DELETE' then ${insert('D', 'old')}
      elsif ${differs} then ${insert('D', 'old')} ${insert('I', 'new')}
      else ${insert('U', 'new')}
      end if;
      return null;
    end $log$;
    create function oracle.truncate_${table.name}() returns trigger language plpgsql as $log$
    begin
      insert into oracle.log (tab, op, cells) select '${table.name}', 'T', ${row('t')} from ${table.name} t;
      return null;
    end $log$;
    create trigger log after insert or update or delete on ${table.name} for each row execute function oracle.log_${table.name}();
    create trigger log_truncate before truncate on ${table.name} execute function oracle.truncate_${table.name}();`;
}
