import { listHint } from '../../planner/published-columns.js';
import type { ObservedPublication } from '../../source/catalog-model.js';
import { columnList, isSentBy, leftOut, publishedList, selectedColumns } from '../../source/column-list.js';
import {
  addPublicationTablesSql,
  createPublicationSql,
  type PublishedTable,
  relistPublicationTablesSql,
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
      ...(publication === undefined ? [] : narrows(subject, tables, publication, true)),
      ...lists(subject, tables, publication),
    ];
  }
  if (publication === undefined) return [missing(subject, tables)];
  return [
    ...lacksTables(subject, tables, publication),
    ...lacksOptions(subject, tables, publication),
    ...narrows(subject, tables, publication, false),
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
      tables.map((table) => listed(subject, table, false)),
    ),
  });
}

function lacksTables(subject: Subject, tables: readonly SubjectTable[], publication: ObservedPublication): Finding[] {
  const published = new Set(publication.tables.map((table) => table.oid));
  const listable = !publication.allTables && publication.schemas.length === 0;
  const lacking = tables.filter(({ observed: table }) => {
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
      message: `publication "${publication.name}" lacks ${lacking.map(({ observed: table }) => `${table.schema}.${table.name}`).join(', ')}`,
      why: 'Postgres sends changes of published tables only',
      fixSql: addPublicationTablesSql(
        publication.name,
        lacking.map((table) => (listable ? listed(subject, table, publication.storedGenerated) : table.observed)),
      ),
    }),
  ];
}

function lacksOptions(subject: Subject, tables: readonly SubjectTable[], publication: ObservedPublication): Finding[] {
  const operations = (['insert', 'update', 'delete', 'truncate'] as const).filter(
    (operation) => !publication[operation],
  );
  const partitioned = tables.some(({ observed }) => observed.kind === 'p');
  const fixSql = setPublicationOptionsSql(publication.name, publication.storedGenerated);
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

/** A load reads all rows and columns that are copied, the stream brings what the publication lets through. */
function narrows(
  subject: Subject,
  tables: readonly SubjectTable[],
  publication: ObservedPublication,
  managed: boolean,
): Finding[] {
  const members = new Map(publication.tables.map((member) => [member.oid, member]));
  return tables.flatMap((table): Finding[] => {
    const { address, observed } = table;
    const member = members.get(observed.oid);
    if (member === undefined) return [];
    const { columns } = copied(subject, table);
    // A list of ours is brought into step by the next apply.
    const lacking = managed ? [] : columns.filter((name) => member.columns?.includes(name) === false);
    const filtered = member.rowFilter !== null;
    if (filtered || lacking.length > 0) {
      const what = [
        ...(filtered ? [`limits its rows by ${member.rowFilter}`] : []),
        ...(lacking.length === 0 ? [] : [`does not send its columns ${lacking.join(', ')}`]),
      ];
      const list = member.columns === null ? null : [...member.columns, ...lacking];
      return [
        {
          level: 'error',
          code: 'PUBLICATION_FILTER',
          address,
          message: `publication "${publication.name}" ${what.join(' and ')}`,
          why: 'a load reads them and the stream does not bring them; exclude columns in the config, and take a row filter away',
          fixSql: relistPublicationTablesSql(publication.name, [
            { schema: observed.schema, name: observed.name, list },
          ]),
          needsRestart: false,
        },
      ];
    }
    if (managed) return [];
    const extra = leftOut({ table: observed, leaves: [], copied: columns }).filter(
      (name) => member.columns === null || member.columns.includes(name),
    );
    const spare = extra.filter((name) => !observed.replicaIdentityColumns.includes(name));
    return spare.length === 0 ? [] : [excludedCross(address, publication.name, spare)];
  });
}

function excludedCross(address: string, publication: string, columns: readonly string[]): Finding {
  return {
    level: 'info',
    code: 'PUBLICATION_COLUMNS',
    address,
    message: `publication "${publication}" sends ${columns.join(', ')}, which the config leaves out`,
    why: 'they leave the database and are dropped before the destination; a column list would keep them in (Postgres 15 and later, not with REPLICA IDENTITY FULL)',
    fixSql: null,
    needsRestart: false,
  };
}

/** What a list of ours means for whoever alters the table, and a list that no longer covers the replica identity. */
function lists(
  subject: Subject,
  tables: readonly SubjectTable[],
  publication: ObservedPublication | undefined,
): Finding[] {
  if (publication === undefined) return [];
  return tables.flatMap(({ address, observed }): Finding[] => {
    const list = publishedList(publication, observed);
    if (list === null) return [];
    const leaves = carriers(subject, observed);
    const uncovered = leaves.filter(
      (part) => part.replicaIdentity === 'f' || part.replicaIdentityColumns.some((name) => !list.includes(name)),
    );
    if (uncovered.length > 0) {
      return [
        {
          level: 'error',
          code: 'COLUMN_LIST_IDENTITY',
          address,
          message: `the column list in publication "${publication.name}" does not cover the replica identity of ${uncovered.map((part) => `${part.schema}.${part.name}`).join(', ')}`,
          why: 'Postgres refuses updates and deletes on the table until it does; sluice apply mends the list as well',
          fixSql: relistPublicationTablesSql(publication.name, [{ schema: observed.schema, name: observed.name }]),
          needsRestart: false,
        },
      ];
    }
    return [
      {
        level: 'info',
        code: 'COLUMN_LIST',
        address,
        message: listHint(publication.name, observed, list),
        why: 'excluded columns never leave the database; dropping a listed column with CASCADE would take the table out of the publication',
        fixSql: null,
        needsRestart: false,
      },
    ];
  });
}

function copied(subject: Subject, { config, observed }: SubjectTable): { readonly columns: readonly string[] } {
  const key = config.primaryKey ?? observed.primaryKey;
  const isSent = isSentBy(subject.catalog, subject.source.cdc, observed);
  return { columns: selectedColumns(config, observed, key, isSent).columns.map((column) => column.name) };
}

/** The table with the list that its config asks for, as SQL names it. */
function listed(subject: Subject, table: SubjectTable, storedGenerated: boolean): PublishedTable {
  const { observed } = table;
  const leaves = observed.kind === 'p' ? carriers(subject, observed) : [];
  const entry = { table: observed, leaves, copied: copied(subject, table).columns };
  const list = columnList(entry, subject.catalog.server.versionNum, storedGenerated);
  return { schema: observed.schema, name: observed.name, list };
}
