import type { TableConfig } from '../config/config.js';
import type { ObservedServer, ObservedTable } from '../source/catalog-model.js';
import { quoteIdentifier, quoteQualified } from '../source/sql-identifier.js';
import type { Blocker } from './change.js';

/** A blocker without its address, and whether it lies in the table itself: then a pattern skips the table instead. */
export type Obstacle = Omit<Blocker, 'address'> & { readonly inherent: boolean };

/** Leaves named in a message; more would fill the screen. */
const NAMED_LEAVES = 3;

/** What keeps a table from being synced by its method: kind of table, key, replica identity. */
export function methodObstacles(
  table: ObservedTable,
  config: TableConfig,
  key: readonly string[],
  tables: readonly ObservedTable[],
): Obstacle[] {
  const name = quoteQualified(table);
  const kind = config.method === 'cdc' ? kindObstacle(table, tables) : null;
  if (kind !== null) return [kind];
  if ((config.method === 'cdc' || config.method === 'incremental') && key.length === 0) {
    const other = config.method === 'cdc' ? 'method: full_table' : 'primary_key: [..]';
    return [
      {
        code: 'PRIMARY_KEY_MISSING',
        message: `${table.schema}.${table.name} has no primary key, which method ${config.method} needs`,
        hint: `ALTER TABLE ${name} ADD PRIMARY KEY (...); or set ${other} for it`,
        inherent: true,
      },
    ];
  }
  return config.method === 'cdc' ? identityObstacles(table, key, tables) : [];
}

function kindObstacle(table: ObservedTable, tables: readonly ObservedTable[]): Obstacle | null {
  const leaves = leavesOf(table, tables);
  const what =
    table.kind === 'f'
      ? 'is a foreign table'
      : table.kind === 'v' || table.kind === 'm'
        ? 'is a view'
        : table.persistence === 't'
          ? 'is a temporary table'
          : table.persistence === 'u' || leaves.some((leaf) => leaf.persistence === 'u')
            ? 'is unlogged'
            : leaves.some((leaf) => leaf.kind === 'f')
              ? 'has a foreign table among its partitions'
              : null;
  if (what === null) return null;
  return {
    code: 'METHOD_UNSUITABLE',
    message: `${table.schema}.${table.name} ${what}: its changes are not in the write-ahead log, so method cdc cannot follow it`,
    hint: 'set method: full_table or incremental for it',
    inherent: true,
  };
}

/** Postgres sends the replica identity of the table that holds the row: for a partitioned table, that of the leaf. */
function identityObstacles(table: ObservedTable, key: readonly string[], tables: readonly ObservedTable[]): Obstacle[] {
  const carriers = table.kind === 'p' ? leavesOf(table, tables) : [table];
  const unwritable = carriers.find(
    (carrier) => carrier.replicaIdentity === 'f' && carrier.columns.some(({ generated }) => generated === 'v'),
  );
  if (unwritable !== undefined) {
    return [
      {
        code: 'REPLICA_IDENTITY_UNSUITABLE',
        message: `${unwritable.schema}.${unwritable.name} has REPLICA IDENTITY FULL and a virtual generated column: Postgres refuses its updates and deletes as soon as it is published`,
        hint: `ALTER TABLE ${quoteQualified(unwritable)} REPLICA IDENTITY DEFAULT;`,
        inherent: true,
      },
    ];
  }
  const wrong = carriers.filter((carrier) => key.some((column) => !carrier.replicaIdentityColumns.includes(column)));
  if (wrong.length === 0) return [];
  const names = wrong.slice(0, NAMED_LEAVES).map((carrier) => `${carrier.schema}.${carrier.name}`);
  const more = wrong.length > NAMED_LEAVES ? ` and ${wrong.length - NAMED_LEAVES} more` : '';
  const keyIsPrimary = sameNames(key, table.primaryKey);
  return [
    {
      code: 'REPLICA_IDENTITY_UNSUITABLE',
      message: `the replica identity of ${names.join(', ')}${more} does not carry the key (${key.join(', ')}), so updates and deletes could not be told apart`,
      hint: wrong
        .slice(0, NAMED_LEAVES)
        .map(
          (carrier) => `ALTER TABLE ${quoteQualified(carrier)} REPLICA IDENTITY ${keyIsPrimary ? 'DEFAULT' : 'FULL'};`,
        )
        .join(' '),
      inherent: true,
    },
  ];
}

/** What the role may not do with the table. */
export function privilegeObstacles(
  table: ObservedTable,
  config: TableConfig,
  columns: readonly string[],
  server: ObservedServer,
): Obstacle[] {
  const role = quoteIdentifier(server.user);
  const name = `${table.schema}.${table.name}`;
  if (!table.schemaUsage) {
    return [
      privilege(
        `role "${server.user}" may not use schema "${table.schema}"`,
        `GRANT USAGE ON SCHEMA ${quoteIdentifier(table.schema)} TO ${role};`,
      ),
    ];
  }
  const hidden = table.canSelect ? [] : columns.filter((column) => !(table.readableColumns ?? []).includes(column));
  if (hidden.length > 0) {
    const what =
      hidden.length === columns.length ? name : `${hidden.map((column) => `"${column}"`).join(', ')} of ${name}`;
    return [
      privilege(`role "${server.user}" may not read ${what}`, `GRANT SELECT ON ${quoteQualified(table)} TO ${role};`),
    ];
  }
  if (table.rowSecurity && config.method === 'cdc') {
    return [
      privilege(
        `row security hides rows of ${name} from role "${server.user}" in a snapshot, but not in the stream`,
        `ALTER ROLE ${role} BYPASSRLS;`,
      ),
    ];
  }
  return [];
}

/** Leaf partitions; none for an ordinary table. */
export function leavesOf(table: ObservedTable, tables: readonly ObservedTable[]): readonly ObservedTable[] {
  if (table.kind !== 'p') return [];
  const below = new Set(table.partitionOids);
  return tables.filter((candidate) => below.has(candidate.oid) && candidate.kind !== 'p');
}

export function sameNames(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((name) => right.includes(name));
}

function privilege(message: string, hint: string): Obstacle {
  return { code: 'PRIVILEGE_MISSING', message, hint, inherent: false };
}
