import { suggestion } from '../../config/nearest.js';
import { entryOf } from '../../config/table-key.js';
import { logicalTypeOf } from '../../source/value-type.js';
import type { Finding } from '../finding.js';
import { known, type Subject, type SubjectTable } from '../subject.js';

/** Names in a message; more would fill the screen. */
const NAMED = 5;

/** Lists of columns are left to the plan: those of a pattern may name columns that only some of its tables have. */
export function checkNamedColumns({ tables }: Subject): Finding[] {
  return tables.flatMap(({ address, missingColumns, observed, skipped }) =>
    missingColumns.map(({ option, column }): Finding => {
      const near = suggestion(
        column,
        observed.columns.map(({ name }) => name),
      );
      return {
        level: skipped ? 'warning' : 'error',
        code: 'COLUMN_MISSING',
        address,
        message: `the table has no column "${column}" (named in ${option})${near}`,
        why: 'correct the name in the file',
        fixSql: null,
        needsRestart: false,
      };
    }),
  );
}

/** Types that the destination does not have keep their text, as Postgres writes it. */
export function checkTextColumns({ tables, dialect }: Subject): Finding[] {
  return tables.flatMap((table): Finding[] => {
    const asText = selected(table).filter((column) => {
      const override = Object.hasOwn(table.config.types, column.name) ? table.config.types[column.name] : undefined;
      return logicalTypeOf(column, override, dialect).fallback;
    });
    if (asText.length === 0) return [];
    return [
      {
        level: 'info',
        code: 'TEXT_COLUMNS',
        address: table.address,
        message: `${listed(asText.map((column) => `"${column.name}" (${column.formattedType})`))} will be text`,
        why: 'the destination has no such type; with types: { column: double | decimal(p,s) | json } it becomes another one',
        fixSql: null,
        needsRestart: false,
      },
    ];
  });
}

export function checkGeneratedColumns({ catalog, tables }: Subject): Finding[] {
  return tables.flatMap((table): Finding[] => {
    if (table.config.method !== 'cdc') return [];
    const unsent = selected(table).filter(
      ({ generated }) => generated === 'v' || (generated === 's' && catalog.server.versionNum < 180_000),
    );
    if (unsent.length === 0) return [];
    return [
      {
        level: 'info',
        code: 'GENERATED_COLUMNS',
        address: table.address,
        message: `generated ${listed(unsent.map(({ name }) => `"${name}"`))} will not be copied`,
        why: 'logical replication does not send what the server computes (stored columns only from Postgres 18 on)',
        fixSql: null,
        needsRestart: false,
      },
    ];
  });
}

/** Old-style inheritance: a parent is loaded and streamed without the rows of its children, which are tables of their own. */
export function checkInheritance(subject: Subject): Finding[] {
  const children = known(subject.readiness?.details?.children) ?? [];
  return subject.tables.flatMap(({ address, observed }): Finding[] => {
    const missing = children.filter(({ parentOid, schema, name }) => {
      return parentOid === observed.oid && entryOf(subject.source, schema, name)?.table.enabled !== true;
    });
    if (missing.length === 0) return [];
    const names = missing.map(({ schema, name }) => `${schema}.${name}`);
    return [
      {
        level: 'warning',
        code: 'INHERITANCE',
        address,
        message: `rows of its child ${missing.length === 1 ? 'table' : 'tables'} ${listed(names)} are not part of it here`,
        why: 'a child of inheritance is a table of its own for replication; give it an entry, or make the parent a partitioned table',
        fixSql: null,
        needsRestart: false,
      },
    ];
  });
}

function selected({ config, observed }: SubjectTable): SubjectTable['observed']['columns'] {
  const { columns: selection } = config;
  if (selection.kind === 'all') return observed.columns;
  return observed.columns.filter(({ name }) => selection.columns.includes(name) === (selection.kind === 'include'));
}

function listed(names: readonly string[]): string {
  const more = names.length > NAMED ? ` and ${names.length - NAMED} more` : '';
  return names.slice(0, NAMED).join(', ') + more;
}
