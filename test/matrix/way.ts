import type { TableSettings } from '../engine-fixture.js';
import type { Family } from './family.js';
import type { TypeCase } from './type-case.js';

/** The two tables that values come from: `final` holds value i in row i; `other` another value, and none of its rows is empty. */
export type Origin = 'final' | 'other';

/** Rows of the destination that must be the rows of an origin. */
export interface View {
  readonly label: string;
  readonly history: boolean;
  readonly where: string;
  /** Added to the origin's ids. */
  readonly shift: number;
  readonly origin: Origin;
}

/** How values come into a table of the destination: by the first load, by the stream or by another load. */
export interface Way {
  readonly name: string;
  readonly table: string;
  readonly settings: TableSettings;
  /** Replica identity FULL: the stream carries the whole old row. */
  readonly full: boolean;
  /** SQL before the first load. */
  readonly before: readonly string[];
  /** SQL after it, a transaction each. */
  readonly changes: readonly string[];
  /** Loaded anew after the changes. */
  readonly reload: boolean;
  readonly views: readonly View[];
  /** Each time that an origin's rows came in; what cannot be held is recorded then. */
  readonly recorded: readonly { readonly origin: Origin; readonly shift: number }[];
}

/** Of rows that came in with the stream beside those that were loaded. */
const SHIFT = 1000;
const LARGE_WAYS: ReadonlySet<string> = new Set(['loaded', 'inserted', 'updated', 'touched', 'deleted']);
/** What the sources' columns are beside the cases. */
const OWN_COLUMNS = `secret text default 'top secret', id int primary key, touched int not null default 0`;

/** What is not out of line comes again, and is recorded again, when another column of its row is changed. */
export function recordsAgain(way: Way): boolean {
  return way.name === 'touched';
}

export function originTable(family: Family, origin: Origin): string {
  return `${family.name}_${origin}`;
}

/** Rows of an origin whose value of the case cannot be held. */
export function rejectedRows(c: TypeCase, origin: Origin, family: Family): number[] {
  const unfit = new Set(c.rejected);
  return rowNumbers(family).filter((row) => unfit.has(position(c, origin, row)));
}

/** CREATE TABLE for a table of the family; its excluded and generated columns must not be seen in the destination. */
export function tableSql(name: string, { cases }: Family): string {
  const columns = cases.map((c) => `"${c.name}" ${c.type}`).join(', ');
  return `create table ${name} (${OWN_COLUMNS}, ${columns}, doubled int generated always as (id * 2) stored)`;
}

/** INSERTs of an origin's rows. */
export function originSql(family: Family, origin: Origin): string[] {
  return rowNumbers(family).map((row) => {
    const values = family.cases.map((c) => {
      const value = c.values[position(c, origin, row)];
      return value === undefined ? 'null' : `(${value})::${c.type}`;
    });
    return `insert into ${originTable(family, origin)} (id, ${names(family)}) values (${row}, ${values.join(', ')})`;
  });
}

/** Another value in each row that holds one, and some value where there is none, so that an update takes it away. */
function position(c: TypeCase, origin: Origin, row: number): number {
  if (origin === 'final') return row;
  const { length } = c.values;
  return row < length ? (row + 1) % length : row % length;
}

export function ways(family: Family): Way[] {
  const final = originTable(family, 'final');
  const other = originTable(family, 'other');
  const columns = names(family);
  // The large family's few values take the ways that differ for them, once each.
  const large = family.name === 'large';
  const twice = !large;
  const copy = (from: string, to: string, shift = 0): string =>
    `insert into ${to} (id, ${columns}) select id + ${shift}, ${columns} from ${from}`;
  const assign = (to: string): string =>
    `update ${to} t set ${family.cases.map((c) => `"${c.name}" = s."${c.name}"`).join(', ')} from ${final} s where s.id = t.id`;
  const made = (name: string, way: (table: string) => Partial<Way> & Pick<Way, 'views' | 'recorded'>): Way => {
    const table = `${family.name}_${name}`;
    const { settings = {}, full = false, before = [], changes = [], reload = false, ...rest } = way(table);
    const types = Object.fromEntries(
      family.cases.flatMap((c) => (c.override === undefined ? [] : [[c.name, c.override]])),
    );
    return {
      name,
      table,
      full,
      before,
      changes,
      reload,
      settings: { columns: { exclude: ['secret'] }, types, ...settings },
      ...rest,
    };
  };
  const view = (label: string, where = 'true', changes: Partial<View> = {}): View => ({
    label,
    where,
    history: false,
    shift: 0,
    origin: 'final',
    ...changes,
  });
  const history = (label: string, where: string, changes: Partial<View> = {}): View =>
    view(`${label}, in history`, where, { history: true, ...changes });
  const both = { output: 'both' };
  const loaded = `id < ${SHIFT}`;
  const streamed = `id >= ${SHIFT}`;
  const came = { origin: 'final', shift: 0 } as const;
  const cameLater = { origin: 'final', shift: SHIFT } as const;

  const all = [
    made('loaded', (table) => ({ before: [copy(final, table)], views: [view('loaded')], recorded: [came] })),
    made('reloaded', (table) => ({
      changes: [copy(final, table)],
      reload: true,
      views: [view('inserted, then loaded')],
      recorded: [came],
    })),
    made('inserted', (table) => ({
      settings: both,
      changes: [copy(final, table)],
      views: [view('inserted'), history('inserted', 'valid_to IS NULL')],
      recorded: [came],
    })),
    made('updated', (table) => ({
      settings: both,
      before: [copy(other, table)],
      changes: [assign(table)],
      views: [
        view('updated from another value'),
        history('updated from another value', 'valid_to IS NULL'),
        history('before the update', 'valid_to IS NOT NULL', { origin: 'other' }),
      ],
      recorded: [{ origin: 'other', shift: 0 }, came],
    })),
    made('filled', (table) => ({
      full: true,
      before: [`insert into ${table} (id) select id from ${final}`],
      changes: [assign(table)],
      views: [view('updated from NULL, with FULL')],
      recorded: [came],
    })),
    made('changed', (table) => ({
      full: true,
      before: [copy(other, table)],
      changes: [assign(table)],
      views: [view('updated from another value, with FULL')],
      recorded: [{ origin: 'other', shift: 0 }, came],
    })),
    // Values out of line are not sent again.
    made('touched', (table) => ({
      settings: both,
      before: [copy(final, table)],
      changes: [
        ...(twice ? [copy(final, table, SHIFT)] : []),
        `update ${table} set touched = 1`,
        `update ${table} set touched = 2 where id < ${SHIFT}`,
      ],
      views: [
        view('loaded, then touched', loaded),
        history('loaded', `touched = 0 AND ${loaded}`),
        history('touched', `touched = 1 AND ${loaded}`),
        history('touched again', `touched = 2 AND ${loaded}`),
        ...(twice
          ? [
              view('inserted, then touched', streamed, { shift: SHIFT }),
              history('inserted', `touched = 0 AND ${streamed}`, { shift: SHIFT }),
              history('inserted, then touched', `touched = 1 AND ${streamed}`, { shift: SHIFT }),
            ]
          : []),
      ],
      recorded: [came, ...(twice ? [cameLater] : [])],
    })),
    // The values of a soft-deleted row stay, and are in the version that ends it.
    ...([true, false] as const).map((full) =>
      made(full ? 'deleted' : 'deleted_by_key', (table) => ({
        full,
        settings: both,
        before: [copy(final, table)],
        changes: [...(twice ? [copy(final, table, SHIFT)] : []), `delete from ${table}`],
        views: [
          view('loaded, then deleted', `_ph_deleted AND ${loaded}`),
          history('loaded', `NOT _ph_deleted AND ${loaded}`),
          history('loaded, then deleted', `_ph_cdc_op = 'D' AND ${loaded}`),
          ...(twice
            ? [
                view('inserted, then deleted', `_ph_deleted AND ${streamed}`, { shift: SHIFT }),
                history('inserted', `NOT _ph_deleted AND ${streamed}`, { shift: SHIFT }),
                history('inserted, then deleted', `_ph_cdc_op = 'D' AND ${streamed}`, { shift: SHIFT }),
              ]
            : []),
        ],
        recorded: [came, ...(twice ? [cameLater] : [])],
      })),
    ),
  ];
  return large ? all.filter((way) => LARGE_WAYS.has(way.name)) : all;
}

function names({ cases }: Family): string {
  return cases.map((c) => `"${c.name}"`).join(', ');
}

function rowNumbers(family: Family): number[] {
  return Array.from({ length: family.rowCount }, (_, row) => row);
}
