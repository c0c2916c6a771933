import type { ObservedTable } from '../../source/catalog-model.js';
import { quoteQualified } from '../../source/sql-identifier.js';
import { identityFor, leavesOf } from '../../source/table-problem.js';
import type { Finding } from '../finding.js';
import type { Subject, SubjectTable } from '../subject.js';

export function checkMissingTables({ source, catalog, missing }: Subject): Finding[] {
  return missing.map((key) => ({
    level: 'error',
    code: 'TABLE_MISSING',
    address: `${source.name}:${key}`,
    message: `the table does not exist in database "${catalog.server.database}"`,
    why: 'names are case-sensitive and written as Postgres stores them',
    fixSql: null,
    needsRestart: false,
  }));
}

/** What leaves no trace in the write-ahead log cannot be streamed. */
export function checkTableKinds({ catalog, tables }: Subject): Finding[] {
  return tables.flatMap((table): Finding[] => {
    const { problem, observed } = table;
    if (problem?.kind !== 'not_logged') return [];
    const unlogged = [observed, ...leavesOf(observed, catalog.tables)].filter(
      (part) => part.kind === 'r' && part.persistence === 'u',
    );
    return [
      {
        ...aboutTable(table),
        code: 'TABLE_KIND',
        message: `the table ${problem.what}, so cdc cannot follow it`,
        why: 'its changes are not in the write-ahead log; use method: full_table or incremental',
        fixSql:
          unlogged.length === 0
            ? null
            : unlogged.map((part) => `alter table ${quoteQualified(part)} set logged;`).join('\n'),
      },
    ];
  });
}

/** Which rows are the same is told by the key; only incremental can be given one in the config. */
export function checkPrimaryKeys({ tables }: Subject): Finding[] {
  return tables
    .filter(({ problem }) => problem?.kind === 'no_key')
    .map((table): Finding => {
      const { method } = table.config;
      return {
        ...aboutTable(table),
        code: 'PRIMARY_KEY',
        message: `the table has no primary key, which method ${method} needs`,
        why: `updates and deletes could not be matched to rows; without a key use ${method === 'cdc' ? 'method: full_table' : 'primary_key: [...], method: append or full_table'}`,
        fixSql: addKeySql(table.observed),
      };
    });
}

/**
 * Updates and deletes carry the columns of the replica identity only, of that partition that holds the row. With NOTHING
 * (or a deferrable key) Postgres even refuses them on a published table, which would break the application.
 */
export function checkReplicaIdentity({ tables }: Subject): Finding[] {
  return tables.flatMap((table): Finding[] => {
    const { problem } = table;
    if (problem?.kind !== 'identity') return [];
    return problem.carriers.map((part): Finding => {
      const none = part.replicaIdentityColumns.length === 0;
      const deferrable = part.replicaIdentity === 'd' && part.primaryKey.length > 0;
      return {
        ...aboutTable(table),
        code: 'REPLICA_IDENTITY',
        message: none
          ? `"${part.name}" has no replica identity${deferrable ? ': its primary key is deferrable' : ''}`
          : `the replica identity of "${part.name}" is (${part.replicaIdentityColumns.join(', ')}), without the key (${problem.key.join(', ')})`,
        why: none
          ? 'Postgres refuses updates and deletes on the table as soon as it is published'
          : 'updates and deletes could not be matched to rows',
        fixSql: `alter table ${quoteQualified(part)} replica identity ${identityFor(part, problem.key)};`,
      };
    });
  });
}

/** A table that only a pattern names is left out by a plan, which is worth knowing but in nobody's way. */
function aboutTable({ address, skipped }: SubjectTable): Pick<Finding, 'level' | 'address' | 'needsRestart'> {
  return { level: skipped ? 'warning' : 'error', address, needsRestart: false };
}

/** Takes a column `id` for the key where there is one that may be it; whether its values are unique Postgres will tell. */
function addKeySql(table: ObservedTable): string | null {
  if (table.kind !== 'r') return null; // a partitioned table's key must hold its partition columns, a view has none
  const id = table.columns.find((column) => column.name === 'id');
  const key =
    id === undefined ? 'add column id bigint generated always as identity primary key' : 'add primary key (id)';
  return `alter table ${quoteQualified(table)} ${key};`;
}
