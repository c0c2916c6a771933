import type { ObservedPublication } from '../../source/catalog-model.js';
import {
  addPublicationTablesSql,
  createPublicationSql,
  setPublicationOptionsSql,
} from '../../source/publication-sql.js';
import { quoteIdentifier, quoteQualified } from '../../source/sql-identifier.js';
import type { Finding } from '../finding.js';
import { carriers, cdcTables, known, type Subject, type SubjectTable } from '../subject.js';

/** Whether the publication is there, or may be made, and carries what the stream needs. */
export function checkPublication(subject: Subject): Finding[] {
  const tables = cdcTables(subject);
  if (tables.length === 0) return [];
  const publication = subject.catalog.publications.find(({ name }) => name === subject.source.cdc.publication);
  if (subject.source.cdc.management === 'managed') {
    return [
      ...mayChange(subject, publication),
      ...ownsTables(subject, tables, publication),
      ...(publication === undefined ? [] : narrows(tables, publication)),
    ];
  }
  if (publication === undefined) return [missing(subject, tables)];
  return [
    ...lacksTables(subject, tables, publication),
    ...lacksOptions(subject, tables, publication),
    ...narrows(tables, publication),
  ];
}

function finding(subject: Subject, details: Pick<Finding, 'level' | 'code' | 'message' | 'why' | 'fixSql'>): Finding {
  return { ...details, address: `${subject.source.name}:publication`, needsRestart: false };
}

function mayChange(subject: Subject, publication: ObservedPublication | undefined): Finding[] {
  const { server } = subject.catalog;
  const name = subject.source.cdc.publication;
  if (publication === undefined) {
    if (server.isSuperuser || server.canCreateInDatabase) return [];
    return [
      finding(subject, {
        level: 'error',
        code: 'PUBLICATION_CREATE',
        message: `role "${server.user}" may not create the publication "${name}" in database "${server.database}"`,
        why: 'a managed source makes its own; with management: self_managed somebody else makes it (`sluice cdc setup-sql`)',
        fixSql: `grant create on database ${quoteIdentifier(server.database)} to ${quoteIdentifier(server.user)};`,
      }),
    ];
  }
  if (server.isSuperuser || publication.ownedByCurrentUser) return [];
  return [
    finding(subject, {
      level: 'error',
      code: 'PUBLICATION_OWNER',
      message: `publication "${name}" belongs to "${publication.owner}", so role "${server.user}" cannot change it`,
      why: 'a managed source adds and removes tables; set another name, or management: self_managed',
      fixSql: `alter publication ${quoteIdentifier(name)} owner to ${quoteIdentifier(server.user)};`,
    }),
  ];
}

/** ALTER PUBLICATION ... ADD TABLE wants the owner of the table. */
function ownsTables(
  subject: Subject,
  tables: readonly SubjectTable[],
  publication: ObservedPublication | undefined,
): Finding[] {
  const { server } = subject.catalog;
  if (server.isSuperuser) return [];
  const published = new Set(publication?.tables.map((table) => table.oid));
  return tables
    .filter(({ observed }) => !observed.ownedByCurrentUser && !published.has(observed.oid))
    .map(({ address, observed }) => ({
      level: 'error',
      code: 'TABLE_OWNER',
      address,
      message: `role "${server.user}" does not own the table, so it cannot add it to a publication`,
      why: "make the role a member of the table's owner, or set management: self_managed and run `sluice cdc setup-sql`",
      fixSql: ownershipSql(subject, observed),
      needsRestart: false,
    }));
}

/** Membership leaves the table with its owner; of a superuser it would be far too much. Null where nobody looked who owns it. */
function ownershipSql(subject: Subject, table: SubjectTable['observed']): string | null {
  const owner = known(subject.readiness?.details?.owners)?.find(({ oid }) => oid === table.oid);
  if (owner === undefined) return null;
  const role = quoteIdentifier(subject.catalog.server.user);
  return owner.superuser
    ? `alter table ${quoteQualified(table)} owner to ${role};`
    : `grant ${quoteIdentifier(owner.owner)} to ${role};`;
}

function missing(subject: Subject, tables: readonly SubjectTable[]): Finding {
  const name = subject.source.cdc.publication;
  return finding(subject, {
    level: 'error',
    code: 'PUBLICATION_MISSING',
    message: `publication "${name}" does not exist in database "${subject.catalog.server.database}"`,
    why: 'it is self-managed, so Sluice does not make it',
    fixSql: createPublicationSql(
      name,
      tables.map(({ observed }) => observed),
    ),
  });
}

function lacksTables(subject: Subject, tables: readonly SubjectTable[], publication: ObservedPublication): Finding[] {
  const published = new Set(publication.tables.map((table) => table.oid));
  const lacking = tables
    .map(({ observed }) => observed)
    .filter((table) => {
      if (published.has(table.oid)) return false;
      // Without publish_via_partition_root a partitioned table is there as its leaves; lacksOptions tells of that.
      const leaves = table.kind === 'p' && !publication.viaPartitionRoot ? carriers(subject, table) : [];
      return leaves.length === 0 || leaves.some((leaf) => !published.has(leaf.oid));
    });
  if (lacking.length === 0) return [];
  return [
    finding(subject, {
      level: 'error',
      code: 'PUBLICATION_TABLES',
      message: `publication "${publication.name}" lacks ${lacking.map((table) => `${table.schema}.${table.name}`).join(', ')}`,
      why: 'Postgres sends changes of published tables only',
      fixSql: addPublicationTablesSql(publication.name, lacking),
    }),
  ];
}

function lacksOptions(subject: Subject, tables: readonly SubjectTable[], publication: ObservedPublication): Finding[] {
  const operations = (['insert', 'update', 'delete', 'truncate'] as const).filter(
    (operation) => !publication[operation],
  );
  const partitioned = tables.some(({ observed }) => observed.kind === 'p');
  const fixSql = setPublicationOptionsSql(publication.name);
  const findings: Finding[] = [];
  if (operations.length > 0) {
    findings.push(
      finding(subject, {
        level: 'error',
        code: 'PUBLICATION_OPERATIONS',
        message: `publication "${publication.name}" does not publish ${operations.join(', ')}`,
        why: 'what is not published never reaches the destination, so the copy would differ',
        fixSql,
      }),
    );
  }
  if (partitioned && !publication.viaPartitionRoot) {
    findings.push(
      finding(subject, {
        level: 'error',
        code: 'PUBLICATION_PARTITIONS',
        message: `publication "${publication.name}" sends changes of partitioned tables under the names of their partitions`,
        why: 'the destination holds the partitioned table as one',
        fixSql,
      }),
    );
  }
  return findings;
}

/** A load reads the whole table, the stream what the publication lets through: the two would not agree. */
function narrows(tables: readonly SubjectTable[], publication: ObservedPublication): Finding[] {
  const members = new Map(publication.tables.map((member) => [member.oid, member]));
  return tables.flatMap(({ address, config, observed }): Finding[] => {
    const member = members.get(observed.oid);
    if (member === undefined) return [];
    const { columns, rowFilter } = member;
    const key = config.primaryKey ?? observed.primaryKey;
    const lacking = observed.columns.filter(({ name, generated }) => {
      if (columns === null || columns.includes(name) || generated !== '') return false;
      const { columns: selection } = config;
      return (
        selection.kind === 'all' ||
        key.includes(name) ||
        selection.columns.includes(name) === (selection.kind === 'include')
      );
    });
    if (rowFilter === null && lacking.length === 0) return [];
    const what = [
      ...(rowFilter === null ? [] : [`rows by ${rowFilter}`]),
      ...(lacking.length === 0 ? [] : [`columns to (${(columns ?? []).join(', ')})`]),
    ];
    const name = quoteIdentifier(publication.name);
    const table = quoteQualified(observed);
    return [
      {
        level: 'error',
        code: 'PUBLICATION_FILTER',
        address,
        message: `publication "${publication.name}" limits the table's ${what.join(' and its ')}`,
        why: 'a load reads the whole table and the stream brings only this part, so the copy would differ',
        // ADD TABLE is refused for a table that is there, and SET TABLE would name all others as well.
        fixSql: `alter publication ${name} drop table ${table};\nalter publication ${name} add table ${table};`,
        needsRestart: false,
      },
    ];
  });
}
