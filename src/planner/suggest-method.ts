import type { Method } from '../config/config.js';
import type { ObservedColumn, ObservedServer, ObservedTable } from '../source/catalog-model.js';
import { quoteQualified } from '../source/sql-identifier.js';
import { identityFor, type MethodProblem, methodProblem } from '../source/table-problem.js';

export interface MethodSuggestion {
  readonly method: Method;
  /** Of incremental; null for the others. */
  readonly cursor: string | null;
  /** One line for people: why this one and, where it is not cdc, why not cdc. */
  readonly why: string;
  /** What would make cdc possible, to be pasted; null where it is possible, or nothing simple would. */
  readonly mend: string | null;
}

/** Names that hold the time of a row's last change by convention, the likeliest first. */
const CHANGE_TIMES = [
  'updated_at',
  'modified_at',
  'changed_at',
  'last_modified_at',
  'last_updated_at',
  'last_modified',
  'last_updated',
  'modified',
  'updated',
  'updated_on',
  'modified_on',
  'update_time',
  'mtime',
];
const TIME_TYPES = ['timestamp without time zone', 'timestamp with time zone'];

/**
 * The method that copies a table best on this server as it is now: cdc where its changes can be followed, else by the time
 * of the last change, else all of it. `append` is never suggested: no catalog says that rows are only added.
 * @param tables of the same catalog, for partitions
 */
export function suggestMethod(
  table: ObservedTable,
  server: ObservedServer,
  tables: readonly ObservedTable[],
): MethodSuggestion {
  const problem = methodProblem(table, { method: 'cdc' }, table.primaryKey, tables);
  const unable = serverObstacle(server);
  if (problem === null && unable === null) {
    const key = table.primaryKey.join(', ');
    return { method: 'cdc', cursor: null, why: `every change, matched by ${key}`, mend: null };
  }
  const against = problem === null ? (unable ?? '') : problemText(problem);
  const mend = problem === null ? null : problemMend(problem, table);
  const cursor = table.primaryKey.length === 0 ? null : changeTime(table.columns);
  if (cursor !== null) {
    const why = `rows above the last ${cursor.name}, without deletes; ${against}`;
    return { method: 'incremental', cursor: cursor.name, why, mend };
  }
  return { method: 'full_table', cursor: null, why: against, mend };
}

/** What keeps every table of a server from cdc, on one line; null where nothing does. */
export function serverObstacle(server: ObservedServer): string | null {
  if (server.inRecovery) return 'a standby: cdc reads from the primary';
  if (server.walLevel !== 'logical') return `wal_level is ${server.walLevel}: cdc needs logical`;
  return null;
}

/** A column that says when its row changed last. One that may be NULL would leave rows out, so it comes after all others. */
function changeTime(columns: readonly ObservedColumn[]): ObservedColumn | null {
  const times = columns.filter((column) => TIME_TYPES.includes(column.type.baseName));
  const named = CHANGE_TIMES.flatMap((name) => times.find((column) => column.name.toLowerCase() === name) ?? []);
  return named.find((column) => column.notNull) ?? named[0] ?? null;
}

function problemText(problem: MethodProblem): string {
  switch (problem.kind) {
    case 'not_logged':
      return `it ${problem.what}: its changes are not in the write-ahead log`;
    case 'no_key':
      return 'no primary key to match changes by (append, where rows are only ever added)';
    case 'unwritable':
      return 'REPLICA IDENTITY FULL and a virtual generated column: cdc would stop its updates';
    case 'identity':
      return `its replica identity lacks the key (${problem.key.join(', ')})`;
  }
}

function problemMend(problem: MethodProblem, table: ObservedTable): string | null {
  switch (problem.kind) {
    case 'not_logged':
      return table.kind === 'r' && table.persistence === 'u'
        ? `alter table ${quoteQualified(table)} set logged;`
        : null;
    case 'no_key':
      return null;
    case 'unwritable':
      return `alter table ${quoteQualified(problem.carrier)} replica identity default;`;
    case 'identity':
      return problem.carriers
        .map(
          (carrier) => `alter table ${quoteQualified(carrier)} replica identity ${identityFor(carrier, problem.key)};`,
        )
        .join(' ');
  }
}
