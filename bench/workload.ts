import { readFileSync } from 'node:fs';
import type { TestPostgres } from '../test/postgres/server.js';

export type WorkloadName = 'snapshot' | 'cdc' | 'narrow';

/** A question that both sides must answer with the same text. */
export interface Check {
  readonly name: string;
  readonly postgres: string;
  readonly duckdb: string;
}

export interface Workload {
  readonly name: WorkloadName;
  readonly title: string;
  readonly file: string;
  readonly table: string;
  /** Run after the table was loaded for the first time; null: the load itself is what is measured. */
  readonly backlog: string | null;
  /** Rows or row changes of one run. */
  readonly units: number;
  readonly unit: 'rows' | 'changes';
  readonly checks: readonly Check[];
  readonly aims: {
    readonly ratioAtMost: number | null;
    readonly peakRssBytesAtMost: number | null;
    readonly unitsPerSecondAtLeast: number | null;
  };
}

const MB = 1_000_000;

/** Micros since 1970, the one text of a time that both systems write alike. */
const micros = (column: string) => ({
  postgres: `(extract(epoch from ${column}) * 1000000)::bigint`,
  duckdb: `epoch_us(${column})`,
});
const same = (expression: string) => ({ postgres: expression, duckdb: expression });

/** Sum of 60 bits of every row's md5: independent of the order, blind to nothing that a row's text shows. */
function checksum(
  table: string,
  where: { postgres: string; duckdb: string },
  columns: readonly ReturnType<typeof same>[],
): Check {
  const row = (side: 'postgres' | 'duckdb') =>
    `md5(concat_ws('|', ${columns.map((column) => `coalesce((${column[side]})::varchar, '~')`).join(', ')}))`;
  return {
    name: `checksum of ${table}`,
    postgres: `select sum(('x' || substr(${row('postgres')}, 1, 15))::bit(60)::bigint)::text as answer from ${table} ${where.postgres}`,
    duckdb: `select sum(('0x' || substr(${row('duckdb')}, 1, 15))::bigint)::varchar as answer from ${table} ${where.duckdb}`,
  };
}

const count = (table: string, where: string): Check => ({
  name: `rows of ${table}`,
  postgres: `select count(*)::text as answer from ${table}`,
  duckdb: `select count(*)::varchar as answer from ${table} ${where}`,
});

const everyRow = same('');
const liveRows = 'where not _ph_deleted';

const WORKLOADS: Readonly<Record<WorkloadName, Workload>> = {
  snapshot: {
    name: 'snapshot',
    title: 'first load of 3,000,000 rows x 13 mixed columns',
    file: 'events.sql',
    table: 'public.events',
    backlog: null,
    units: 3_000_000,
    unit: 'rows',
    checks: [
      count('public.events', ''),
      checksum('public.events', everyRow, [
        ...['id', 'user_id', 'kind', 'amount'].map(same),
        // A power of two loses nothing, and whole numbers have one text.
        same('(score * 17592186044416)::bigint'),
        same('ok::int'),
        micros('created_at'),
        micros('updated_at'),
        ...['day', 'ref', 'payload', 'note', "array_to_string(tags, ',')"].map(same),
      ]),
    ],
    aims: { ratioAtMost: 1.5, peakRssBytesAtMost: 500 * MB, unitsPerSecondAtLeast: null },
  },
  narrow: {
    name: 'narrow',
    title: 'first load of 10,000,000 rows x 4 columns',
    file: 'narrow.sql',
    table: 'public.narrow',
    backlog: null,
    units: 10_000_000,
    unit: 'rows',
    checks: [
      count('public.narrow', ''),
      checksum('public.narrow', everyRow, [same('id'), same('a'), same('(b * 2147483648)::bigint'), micros('c')]),
    ],
    aims: { ratioAtMost: 1.5, peakRssBytesAtMost: 500 * MB, unitsPerSecondAtLeast: null },
  },
  cdc: {
    name: 'cdc',
    title: 'backlog of 1,000,000 row changes in 10,000 transactions, merged into 500,000 rows',
    file: 'cdc.sql',
    table: 'public.accounts',
    backlog: 'call public.cdc_workload(10000)',
    units: 1_000_000,
    unit: 'changes',
    checks: [
      count('public.accounts', liveRows),
      {
        name: 'rows marked as deleted',
        postgres: "select '100000' as answer",
        duckdb: 'select count(*)::varchar as answer from public.accounts where _ph_deleted',
      },
      checksum('public.accounts', { postgres: '', duckdb: liveRows }, [
        ...['id', 'owner', 'balance', 'meta'].map(same),
        micros('updated_at'),
      ]),
    ],
    aims: { ratioAtMost: null, peakRssBytesAtMost: null, unitsPerSecondAtLeast: 80_000 },
  },
};

export function workloadOf(name: WorkloadName): Workload {
  return WORKLOADS[name];
}

/** Fills the source, one statement after the other: VACUUM and CHECKPOINT refuse to run among others. @param share of the rows */
export async function seed(workload: Workload, postgres: TestPostgres, share = 1): Promise<void> {
  const file = readFileSync(new URL(`./workloads/${workload.file}`, import.meta.url), 'utf8');
  const sql = file.replaceAll(String(workload.units), String(Math.floor(workload.units * share)));
  for (const statement of statementsOf(sql)) await postgres.query(statement);
}

/** Statements end with a semicolon at the end of a line, outside of $$ bodies. */
function statementsOf(sql: string): string[] {
  const statements: string[] = [];
  let current = '';
  for (const line of sql.split('\n')) {
    current += `${line}\n`;
    const inBody = (current.split('$$').length - 1) % 2 === 1;
    if (inBody || !line.trimEnd().endsWith(';')) continue;
    statements.push(current);
    current = '';
  }
  return statements;
}
