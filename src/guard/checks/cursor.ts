import type { ObservedColumn } from '../../source/catalog-model.js';
import { quoteIdentifier, quoteQualified } from '../../source/sql-identifier.js';
import type { Finding } from '../finding.js';
import { known, type Subject, type SubjectTable } from '../subject.js';

/** Each run asks for rows above the last cursor: NULL is above nothing, and without an index the whole table is read. */
export function checkCursors(subject: Subject): Finding[] {
  const facts = known(subject.readiness?.details?.cursors) ?? [];
  return subject.tables.flatMap((table): Finding[] => {
    const { cursor } = table.config;
    const column = table.observed.columns.find(({ name }) => name === cursor);
    const found = facts.find((fact) => fact.oid === table.observed.oid && fact.column === cursor);
    if (column === undefined || found === undefined) return [];
    return [
      ...(found.holdsNulls === true ? [holdsNulls(table, column)] : []),
      ...(found.indexed || isSmall(table) || !mayBeIndexed(table) ? [] : [notIndexed(table, column)]),
    ];
  });
}

function holdsNulls({ address, observed }: SubjectTable, column: ObservedColumn): Finding {
  const name = quoteIdentifier(column.name);
  const table = quoteQualified(observed);
  const now = ['timestamp with time zone', 'timestamp without time zone', 'date'].includes(column.type.baseName);
  const fill = `update ${table} set ${name} = now() where ${name} is null;`;
  return {
    level: 'warning',
    code: 'CURSOR_NULLS',
    address,
    message: `the cursor column "${column.name}" holds NULLs`,
    why: 'a row without a cursor is above no other, so it is never copied',
    fixSql: now
      ? `${fill}\nalter table ${table} alter column ${name} set default now(),\n  alter column ${name} set not null;`
      : `-- give these rows a value, then:\nalter table ${table} alter column ${name} set not null;`,
    needsRestart: false,
  };
}

function notIndexed({ address, observed }: SubjectTable, column: ObservedColumn): Finding {
  // An index on a partitioned table cannot be made concurrently.
  const concurrently = observed.kind === 'p' ? '' : 'concurrently ';
  return {
    level: 'warning',
    code: 'CURSOR_INDEX',
    address,
    message: `no index starts with the cursor column "${column.name}"`,
    why: 'each run reads the whole table to find what is new',
    fixSql: `create index ${concurrently}on ${quoteQualified(observed)} (${quoteIdentifier(column.name)});`,
    needsRestart: false,
  };
}

/** Reading all of it takes no longer than looking into an index. */
const SMALL_BYTES = 1024 * 1024;

function isSmall({ observed }: SubjectTable): boolean {
  return observed.estimatedBytes < SMALL_BYTES;
}

/** Views have none of their own, and foreign tables theirs elsewhere. */
function mayBeIndexed({ observed }: SubjectTable): boolean {
  return observed.kind === 'r' || observed.kind === 'p' || observed.kind === 'm';
}
