import type { TableConfig } from '../config/config.js';
import { assertNever } from '../error/sluice-error.js';
import type { ObservedServer, ObservedTable } from '../source/catalog-model.js';
import { quoteIdentifier, quoteQualified } from '../source/sql-identifier.js';
import {
  identityFor,
  type MethodProblem,
  methodProblem,
  type PrivilegeProblem,
  privilegeProblem,
} from '../source/table-problem.js';
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
  const problem = methodProblem(table, config, key, tables);
  return problem === null ? [] : [methodObstacle(problem, table, config)];
}

/** What the role may not do with the table. Row security only hides rows; where that splits load and stream, it blocks. */
export function privilegeObstacles(
  table: ObservedTable,
  config: TableConfig,
  columns: readonly string[],
  server: ObservedServer,
): Obstacle[] {
  const problem = privilegeProblem(table, columns);
  if (problem === null || (problem.kind === 'row_security' && config.method !== 'cdc')) return [];
  return [privilegeObstacle(problem, table, server.user)];
}

function methodObstacle(problem: MethodProblem, table: ObservedTable, config: TableConfig): Obstacle {
  const name = `${table.schema}.${table.name}`;
  switch (problem.kind) {
    case 'not_logged':
      return {
        code: 'METHOD_UNSUITABLE',
        message: `${name} ${problem.what}: its changes are not in the write-ahead log, so method cdc cannot follow it`,
        hint: 'set method: full_table or incremental for it',
        inherent: true,
      };
    case 'no_key': {
      const other = config.method === 'cdc' ? 'method: full_table' : 'primary_key: [..]';
      return {
        code: 'PRIMARY_KEY_MISSING',
        message: `${name} has no primary key, which method ${config.method} needs`,
        hint: `ALTER TABLE ${quoteQualified(table)} ADD PRIMARY KEY (...); or set ${other} for it`,
        inherent: true,
      };
    }
    case 'unwritable':
      return {
        code: 'REPLICA_IDENTITY_UNSUITABLE',
        message: `${problem.carrier.schema}.${problem.carrier.name} has REPLICA IDENTITY FULL and a virtual generated column: Postgres refuses its updates and deletes as soon as it is published`,
        hint: `ALTER TABLE ${quoteQualified(problem.carrier)} REPLICA IDENTITY DEFAULT;`,
        inherent: true,
      };
    case 'identity': {
      const named = problem.carriers.slice(0, NAMED_LEAVES);
      const names = named.map((carrier) => `${carrier.schema}.${carrier.name}`).join(', ');
      const more = problem.carriers.length > named.length ? ` and ${problem.carriers.length - named.length} more` : '';
      return {
        code: 'REPLICA_IDENTITY_UNSUITABLE',
        message: `the replica identity of ${names}${more} does not carry the key (${problem.key.join(', ')}), so updates and deletes could not be told apart`,
        hint: named
          .map(
            (carrier) =>
              `ALTER TABLE ${quoteQualified(carrier)} REPLICA IDENTITY ${identityFor(carrier, problem.key).toUpperCase()};`,
          )
          .join(' '),
        inherent: true,
      };
    }
    default:
      return assertNever(problem);
  }
}

function privilegeObstacle(problem: PrivilegeProblem, table: ObservedTable, user: string): Obstacle {
  const name = `${table.schema}.${table.name}`;
  const role = quoteIdentifier(user);
  switch (problem.kind) {
    case 'schema_closed':
      return privilege(
        `role "${user}" may not use schema "${table.schema}"`,
        `GRANT USAGE ON SCHEMA ${quoteIdentifier(table.schema)} TO ${role};`,
      );
    case 'unreadable': {
      const what = problem.whole ? name : `${problem.columns.map((column) => `"${column}"`).join(', ')} of ${name}`;
      return privilege(`role "${user}" may not read ${what}`, `GRANT SELECT ON ${quoteQualified(table)} TO ${role};`);
    }
    case 'row_security':
      return privilege(
        `row security hides rows of ${name} from role "${user}" in a snapshot, but not in the stream`,
        `ALTER ROLE ${role} BYPASSRLS;`,
      );
    default:
      return assertNever(problem);
  }
}

export function sameNames(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((name) => right.includes(name));
}

function privilege(message: string, hint: string): Obstacle {
  return { code: 'PRIVILEGE_MISSING', message, hint, inherent: false };
}
