import { quoteIdentifier, quoteQualified } from '../../source/sql-identifier.js';
import type { Finding } from '../finding.js';
import { cdcTables, type Subject } from '../subject.js';

/** REPLICATION, or what managed services have in its place. */
export function checkReplicationRole(subject: Subject): Finding[] {
  const { source, catalog } = subject;
  const { user, isSuperuser, hasReplication, replicationRoles } = catalog.server;
  if (cdcTables(subject).length === 0 || isSuperuser || hasReplication || replicationRoles.length > 0) return [];
  const role = quoteIdentifier(user);
  return [
    {
      level: 'error',
      code: 'REPLICATION_ROLE',
      address: source.name,
      message: `role "${user}" may not make or read replication slots`,
      why: 'cdc reads changes from a slot',
      fixSql: `alter role ${role} with replication;\n-- on Amazon RDS and Aurora instead: grant rds_replication to ${role};`,
      needsRestart: false,
    },
  ];
}

/** One finding a schema and one a table, with the grants that mend them. Columns that are excluded need no right. */
export function checkTablePrivileges({ source, catalog, tables }: Subject): Finding[] {
  const { user } = catalog.server;
  const role = quoteIdentifier(user);
  const closed = [
    ...new Set(tables.filter((table) => !table.observed.schemaUsage).map((table) => table.observed.schema)),
  ];
  const findings = closed.map(
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
  for (const { address, config, observed } of tables) {
    const readable = new Set(observed.readableColumns ?? []);
    const hidden = observed.canSelect ? [] : observed.columns.filter((column) => !readable.has(column.name));
    const selection = config.columns;
    const wanted = hidden.filter((column) => {
      if (selection.kind === 'all') return true;
      const named = selection.columns.includes(column.name);
      return selection.kind === 'include' ? named : !named;
    });
    if (wanted.length === 0) continue;
    const whole = wanted.length === observed.columns.length;
    const names = wanted.map((column) => `"${column.name}"`).join(', ');
    findings.push({
      level: 'error',
      code: 'TABLE_SELECT',
      address,
      message: `role "${user}" may not read ${whole ? 'the table' : `columns ${names}`}`,
      why: 'every method reads the table itself',
      fixSql: `grant select on ${quoteQualified(observed)} to ${role};`,
      needsRestart: false,
    });
  }
  return findings;
}

/** Policies apply to what the role selects, not to what the log holds. */
export function checkRowSecurity({ catalog, tables }: Subject): Finding[] {
  return tables
    .filter(({ observed }) => observed.rowSecurity)
    .map(
      ({ address, config }): Finding => ({
        level: config.method === 'cdc' ? 'error' : 'warning',
        code: 'ROW_SECURITY',
        address,
        message: `row security hides rows of the table from role "${catalog.server.user}"`,
        why:
          config.method === 'cdc'
            ? 'a load would lack rows that the stream then changes'
            : 'only the rows that the policies let through are copied',
        fixSql: `alter role ${quoteIdentifier(catalog.server.user)} with bypassrls;`,
        needsRestart: false,
      }),
    );
}
