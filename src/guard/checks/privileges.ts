import { quoteIdentifier, quoteQualified } from '../../source/sql-identifier.js';
import { privilegeProblem } from '../../source/table-problem.js';
import type { Finding } from '../finding.js';
import { replicationMending } from '../platform.js';
import { cdcTables, type Subject, type SubjectTable } from '../subject.js';

/** REPLICATION, or what managed services have in its place. */
export function checkReplicationRole(subject: Subject): Finding[] {
  const { source, catalog } = subject;
  const { user, isSuperuser, hasReplication, replicationRoles } = catalog.server;
  if (cdcTables(subject).length === 0 || isSuperuser || hasReplication || replicationRoles.length > 0) return [];
  return [
    {
      level: 'error',
      code: 'REPLICATION_ROLE',
      address: source.name,
      message: `role "${user}" may not make or read replication slots`,
      why: 'cdc reads changes from a slot',
      fixSql: replicationMending(subject),
      needsRestart: false,
    },
  ];
}

/** One finding a schema and one a table, with the grants that mend them. Columns that are excluded need no right. */
export function checkTablePrivileges({ source, catalog, tables }: Subject): Finding[] {
  const { user } = catalog.server;
  const role = quoteIdentifier(user);
  const closed = new Set<string>();
  const findings: Finding[] = [];
  for (const table of tables.filter(({ skipped }) => !skipped)) {
    const { address, observed } = table;
    if (!observed.schemaUsage) closed.add(observed.schema);
    // Both rights are told of, as the one to the schema alone would only bring up the other.
    const problem = privilegeProblem({ ...observed, schemaUsage: true }, wantedColumns(table));
    if (problem?.kind !== 'unreadable') continue;
    const names = problem.columns.map((column) => `"${column}"`).join(', ');
    findings.push({
      level: 'error',
      code: 'TABLE_SELECT',
      address,
      message: `role "${user}" may not read ${problem.whole ? 'the table' : `columns ${names}`}`,
      why: 'every method reads the table itself',
      fixSql: `grant select on ${quoteQualified(observed)} to ${role};`,
      needsRestart: false,
    });
  }
  const schemas = [...closed].map(
    (schema): Finding => ({
      level: 'error',
      code: 'SCHEMA_USAGE',
      address: source.name,
      message: `role "${user}" may not use schema "${schema}"`,
      why: 'without it none of its tables can be read',
      fixSql: `grant usage on schema ${quoteIdentifier(schema)} to ${role};`,
      needsRestart: false,
    }),
  );
  return [...schemas, ...findings];
}

/** Selected by the file; key and cursor come along whatever it says. */
function wantedColumns({ config, observed }: SubjectTable): readonly string[] {
  const { columns: selection, cursor } = config;
  const always = new Set([...(config.primaryKey ?? observed.primaryKey), ...(cursor === null ? [] : [cursor])]);
  return observed.columns
    .map(({ name }) => name)
    .filter((name) => {
      if (selection.kind === 'all' || always.has(name)) return true;
      return selection.columns.includes(name) === (selection.kind === 'include');
    });
}

/** Policies apply to what the role selects, not to what the log holds. */
export function checkRowSecurity({ catalog, tables }: Subject): Finding[] {
  return tables
    .filter(({ observed, skipped }) => observed.rowSecurity && !skipped)
    .map(
      ({ address, config }): Finding => ({
        level: 'error',
        code: 'ROW_SECURITY',
        address,
        message: `row security hides rows of the table from role "${catalog.server.user}"`,
        why:
          config.method === 'cdc'
            ? 'a load would lack rows that the stream then changes'
            : 'rows that the policies hide are missing in the copy, without an error',
        fixSql: `alter role ${quoteIdentifier(catalog.server.user)} with bypassrls;`,
        needsRestart: false,
      }),
    );
}
