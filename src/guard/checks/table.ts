import type { ObservedTable } from '../../source/catalog-model.js';
import { quoteQualified } from '../../source/sql-identifier.js';
import type { Finding } from '../finding.js';
import { carriers, cdcTables, type Subject } from '../subject.js';

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
export function checkTableKinds(subject: Subject): Finding[] {
  return cdcTables(subject).flatMap(({ address, observed }): Finding[] => {
    const parts = carriers(subject, observed);
    const unlogged = [observed, ...parts].some((part) => part.persistence === 'u');
    const what =
      observed.kind === 'v' || observed.kind === 'm'
        ? 'is a view'
        : observed.kind === 'f' || parts.some((part) => part.kind === 'f')
          ? 'is a foreign table, or has one among its partitions'
          : unlogged
            ? 'is unlogged, or has an unlogged partition'
            : null;
    if (what === null) return [];
    return [
      {
        level: 'error',
        code: 'TABLE_KIND',
        address,
        message: `the table ${what}, so cdc cannot follow it`,
        why: 'its changes are not in the write-ahead log; use method: full_table or incremental',
        fixSql: observed.kind === 'r' && unlogged ? `alter table ${quoteQualified(observed)} set logged;` : null,
        needsRestart: false,
      },
    ];
  });
}

/** Which rows are the same is told by the key; only incremental can be given one in the config. */
export function checkPrimaryKeys({ tables }: Subject): Finding[] {
  return tables
    .filter(({ config }) => config.method === 'cdc' || config.method === 'incremental')
    .filter(({ config, observed }) => (config.primaryKey ?? observed.primaryKey).length === 0)
    .map(
      ({ address, config, observed }): Finding => ({
        level: 'error',
        code: 'PRIMARY_KEY',
        address,
        message: `the table has no primary key, which method ${config.method} needs`,
        why: `updates and deletes could not be matched to rows; without a key use ${config.method === 'cdc' ? 'method: full_table' : 'primary_key: [...], method: append or full_table'}`,
        fixSql: addKeySql(observed),
        needsRestart: false,
      }),
    );
}

/**
 * Updates and deletes carry the columns of the replica identity only, of that partition that holds the row. With NOTHING
 * (or a deferrable key) Postgres even refuses them on a published table, which would break the application.
 */
export function checkReplicaIdentity(subject: Subject): Finding[] {
  return cdcTables(subject).flatMap(({ address, config, observed }): Finding[] => {
    const key = config.primaryKey ?? observed.primaryKey;
    if (key.length === 0) return [];
    return carriers(subject, observed)
      .filter((part) => key.some((column) => !part.replicaIdentityColumns.includes(column)))
      .map((part): Finding => {
        const none = part.replicaIdentityColumns.length === 0;
        const deferrable = part.replicaIdentity === 'd' && part.primaryKey.length > 0;
        return {
          level: 'error',
          code: 'REPLICA_IDENTITY',
          address,
          message: none
            ? `"${part.name}" has no replica identity${deferrable ? ': its primary key is deferrable' : ''}`
            : `the replica identity of "${part.name}" is (${part.replicaIdentityColumns.join(', ')}), without the key (${key.join(', ')})`,
          why: none
            ? 'Postgres refuses updates and deletes on the table as soon as it is published'
            : 'updates and deletes could not be matched to rows',
          fixSql: `alter table ${quoteQualified(part)} replica identity ${part.replicaIdentity === 'd' ? 'full' : 'default'};`,
          needsRestart: false,
        };
      });
  });
}

/** Takes a column `id` for the key where there is one that may be it; whether its values are unique Postgres will tell. */
function addKeySql(table: ObservedTable): string | null {
  if (table.kind !== 'r') return null; // a partitioned table's key must hold its partition columns, a view has none
  const id = table.columns.find((column) => column.name === 'id');
  const key =
    id === undefined ? 'add column id bigint generated always as identity primary key' : 'add primary key (id)';
  return `alter table ${quoteQualified(table)} ${key};`;
}
