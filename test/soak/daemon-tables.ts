import type { Settings } from '../cli/workspace.js';

/** The tables of the daemon's soak: 200 in three sources, in every way in which a table can be kept in step. */

export type SoakSource = 'shop' | 'live' | 'files';

export interface SoakTable {
  readonly source: SoakSource;
  /** The schema has the source's name. */
  readonly name: string;
  readonly settings: Settings;
  /** What somebody may do to it: not every method hears of everything. */
  readonly ops: readonly ('insert' | 'update' | 'delete')[];
  /** The rows of Postgres, in the destination. */
  readonly rows: string;
}

const EVERYTHING = ['insert', 'insert', 'update', 'update', 'delete'] as const;
const CDC: readonly Pick<SoakTable, 'settings' | 'rows'>[] = [
  { settings: { output: 'consolidated' }, rows: '"T" WHERE NOT _ph_deleted' },
  { settings: { output: 'consolidated', deletes: 'hard' }, rows: '"T"' },
  { settings: { output: 'history' }, rows: '"T_cdc" WHERE valid_to IS NULL AND NOT _ph_deleted' },
  { settings: { output: 'both' }, rows: '"T" WHERE NOT _ph_deleted' },
];
const OTHERS: readonly Pick<SoakTable, 'settings' | 'rows' | 'ops'>[] = [
  { settings: { method: 'incremental', cursor: 'at' }, rows: '"T"', ops: ['insert', 'update'] },
  { settings: { method: 'append', cursor: 'id' }, rows: '"T"', ops: ['insert'] },
  { settings: { method: 'full_table', schedule: { every: '15s' } }, rows: '"T"', ops: EVERYTHING },
];

export const SOAK_TABLES: readonly SoakTable[] = [
  ...Array.from({ length: 110 }, (_, index) => ({ ...cdc(index), source: 'shop' as const })),
  ...Array.from({ length: 40 }, (_, index) => ({ ...cdc(index), source: 'live' as const })),
  ...Array.from({ length: 50 }, (_, index) => ({ ...named(OTHERS, index), source: 'files' as const })),
];

function cdc(index: number): Omit<SoakTable, 'source'> {
  return { ops: EVERYTHING, ...named(CDC, index) };
}

function named<T extends { readonly rows: string }>(kinds: readonly T[], index: number): T & { readonly name: string } {
  const kind = kinds[index % kinds.length];
  if (kind === undefined) throw new Error('there is no kind of table');
  const name = `t${String(index).padStart(3, '0')}`;
  return { ...kind, name, rows: kind.rows.replace('T', name) };
}

export const keyOf = (table: SoakTable): string => `${table.source}.${table.name}`;

/** SQL that makes all of them, with a few rows each. */
export function makeTables(): string {
  return [
    ...['shop', 'live', 'files'].map((schema) => `create schema ${schema}`),
    'create sequence ids start 1000',
    ...SOAK_TABLES.map(
      (table) => `create table ${keyOf(table)} (
          id bigint primary key default nextval('ids'), v text, n int not null default 0, at timestamptz not null default clock_timestamp());
        insert into ${keyOf(table)} (id, v) select i, 'row ' || i from generate_series(1, 50) i`,
    ),
  ].join(';\n');
}
