import { workingColumnNames } from '../batch/change-columns.js';
import { duckdbTypeName } from '../batch/logical-type.js';
import type { SourceConfig, TableConfig } from '../config/config.js';
import { suggestion } from '../config/nearest.js';
import { formatTableKey } from '../config/table-key.js';
import { targetOf } from '../config/target.js';
import { HISTORY_COLUMNS, metadataNames } from '../destination/target-table.js';
import type { ObservedColumn, ObservedSource, ObservedTable } from '../source/catalog-model.js';
import { isSentBy, selectedColumns } from '../source/column-list.js';
import { type Dialect, dialectName } from '../source/dialect.js';
import { logicalTypeOf } from '../source/value-type.js';
import { scheduleState } from '../state/schedule-state.js';
import type { ColumnState, TableState } from '../state/state.js';
import { replicaIdentityOf } from './replica-identity.js';
import { methodObstacles, type Obstacle, privilegeObstacles } from './suitability.js';

/** What the file and the catalog together ask for, before it is known what was there. */
export type TableIntent = Omit<
  TableState,
  'paused' | 'pause' | 'generation' | 'generation_reason' | 'published_in_generation' | 'backfill'
>;

export interface DesiredTable {
  /** `schema.table` as in the state. */
  readonly key: string;
  readonly observed: ObservedTable;
  readonly config: TableConfig;
  readonly intent: TableIntent;
  /** Shown when the plan changes the table. */
  readonly notices: readonly string[];
}

export type TableResult =
  | { readonly ok: true; readonly table: DesiredTable }
  | { readonly ok: false; readonly obstacles: readonly Obstacle[] };

/**
 * Joins one table of the catalog with its settings.
 * @param fromPattern a pattern's columns lists may name columns that only some of its tables have
 * @param dialect of the destination
 */
export function desireTable(
  source: SourceConfig,
  config: TableConfig,
  observed: ObservedTable,
  catalog: ObservedSource,
  fromPattern: boolean,
  dialect: Dialect,
): TableResult {
  const unknown = unknownColumns(config, observed, fromPattern);
  if (unknown.length > 0) return { ok: false, obstacles: unknown };
  const key = config.primaryKey ?? observed.primaryKey;
  const method = methodObstacles(observed, config, key, catalog.tables);
  if (method.length > 0) return { ok: false, obstacles: method };
  const notices: string[] = [];
  const columns = selectColumns(source, config, observed, catalog, key, notices);
  const states = columns.map((column) => columnState(column, config, dialect, notices));
  const obstacles = [
    ...unpublishedKey(key, columns, observed),
    ...partitionObstacles(config, states, observed),
    ...nameClashes(source, config, states, observed),
    ...privilegeObstacles(
      observed,
      config,
      columns.map((column) => column.name),
      catalog.server,
    ),
  ];
  if (obstacles.length > 0) return { ok: false, obstacles };
  if (observed.rowSecurity) notices.push('row security is on: rows that the role may not see are not copied');
  return {
    ok: true,
    table: {
      key: formatTableKey(observed.schema, observed.name),
      observed,
      config,
      notices,
      intent: {
        oid: observed.oid,
        method: config.method,
        output: config.output,
        deletes: config.deletes,
        columns: states,
        primary_key: key,
        replica_identity: replicaIdentityOf(observed, config.method),
        cursor: config.cursor,
        lookback_ms: config.lookbackMs,
        schedule: scheduleState(config.schedule),
        partition_by: config.partitionBy,
        on_remove: config.onRemove,
        on_partition_change: config.onPartitionChange,
        target: targetOf(source, observed.schema, observed.name),
        metadata_prefix: source.metadataPrefix,
        enabled: true,
      },
    },
  };
}

function unknownColumns(config: TableConfig, observed: ObservedTable, fromPattern: boolean): Obstacle[] {
  const known = observed.columns.map((column) => column.name);
  const named: { readonly option: string; readonly columns: readonly string[] }[] = [
    { option: 'cursor', columns: config.cursor === null ? [] : [config.cursor] },
    { option: 'primary_key', columns: config.primaryKey ?? [] },
    { option: 'partition_by', columns: config.partitionBy },
  ];
  if (!fromPattern) {
    if (config.columns.kind !== 'all')
      named.push({ option: `columns.${config.columns.kind}`, columns: config.columns.columns });
    named.push({ option: 'types', columns: Object.keys(config.types) });
  }
  return named.flatMap(({ option, columns }) =>
    columns
      .filter((column) => !known.includes(column))
      .map((column) => ({
        code: 'COLUMN_MISSING' as const,
        message: `${observed.schema}.${observed.name} has no column "${column}" (named in ${option})${suggestion(column, known)}`,
        hint: 'correct the name in the file',
        inherent: true,
      })),
  );
}

function selectColumns(
  source: SourceConfig,
  config: TableConfig,
  observed: ObservedTable,
  catalog: ObservedSource,
  key: readonly string[],
  notices: string[],
): readonly ObservedColumn[] {
  const { columns, unsent } = selectedColumns(config, observed, key, isSentBy(catalog, source.cdc, observed));
  // A snapshot alone would bring them, and nothing would keep them up to date.
  for (const column of unsent) {
    notices.push(`generated column "${column.name}" is left out: ${unsentReason(column, catalog)}`);
  }
  const { columns: selection } = config;
  if (selection.kind !== 'all') {
    for (const { name } of columns) {
      if (selection.columns.includes(name) === (selection.kind === 'include')) continue;
      notices.push(`column "${name}" is copied although it is not selected: it is part of the key or the cursor`);
    }
  }
  return columns;
}

function unsentReason(column: ObservedColumn, catalog: ObservedSource): string {
  if (column.generated === 'v') return 'it is virtual, and logical replication does not send those';
  return catalog.server.versionNum < 180_000
    ? 'logical replication does not send it before Postgres 18'
    : 'the publication does not send it (publish_generated_columns = stored would)';
}

function columnState(column: ObservedColumn, config: TableConfig, dialect: Dialect, notices: string[]): ColumnState {
  const override = Object.hasOwn(config.types, column.name) ? config.types[column.name] : undefined;
  const { type, fallback } = logicalTypeOf(column, override, dialect);
  if (fallback)
    notices.push(
      `column "${column.name}" (${column.formattedType}) becomes text: ${dialectName(dialect)} has no type for it`,
    );
  return { name: column.name, attnum: column.attnum, type: column.formattedType, target_type: duckdbTypeName(type) };
}

function unpublishedKey(
  key: readonly string[],
  columns: readonly ObservedColumn[],
  observed: ObservedTable,
): Obstacle[] {
  const missing = key.filter((name) => !columns.some((column) => column.name === name));
  if (missing.length === 0) return [];
  return [
    {
      code: 'METHOD_UNSUITABLE',
      message: `key column ${missing.map((name) => `"${name}"`).join(', ')} of ${observed.schema}.${observed.name} is generated, and logical replication does not send it`,
      hint: 'set method: full_table or incremental for it',
      inherent: true,
    },
  ];
}

/** A partition's values stand in the table's log as texts, and some column has to be left for the files. */
function partitionObstacles(config: TableConfig, columns: readonly ColumnState[], observed: ObservedTable): Obstacle[] {
  const table = `${observed.schema}.${observed.name}`;
  const obstacle = (message: string, hint: string): Obstacle => ({
    code: 'METHOD_UNSUITABLE',
    message,
    hint,
    inherent: true,
  });
  const named = config.partitionBy.flatMap((name): Obstacle[] => {
    const column = columns.find((candidate) => candidate.name === name);
    if (column === undefined) {
      return [obstacle(`${table} cannot be partitioned by "${name}", which is not copied`, 'copy the column, too')];
    }
    if (!/^(FLOAT|DOUBLE|BLOB)$|\[\]$/.test(column.target_type)) return [];
    const why = `${table} cannot be partitioned by "${name}": Delta has no partitions by type ${column.type}`;
    return [obstacle(why, 'choose a column of few different values, such as a date or a country')];
  });
  if (named.length > 0 || config.partitionBy.length === 0 || config.partitionBy.length < columns.length) return named;
  return [obstacle(`${table} has no column beside those of partition_by`, 'leave one of them out')];
}

/** DuckDB takes names that differ only in case as one. */
function nameClashes(
  source: SourceConfig,
  config: TableConfig,
  columns: readonly ColumnState[],
  observed: ObservedTable,
): Obstacle[] {
  const taken = new Map<string, string>();
  if (config.method === 'cdc') {
    for (const name of metadataNames(source.metadataPrefix)) taken.set(name.toLowerCase(), 'a column that Sluice adds');
    for (const name of workingColumnNames(columns.length)) taken.set(name, 'a column that Sluice works with');
    if (config.output !== 'consolidated') {
      for (const { name } of HISTORY_COLUMNS) taken.set(name, 'a column that Sluice adds to the history');
    }
  }
  const obstacles: Obstacle[] = [];
  for (const { name } of columns) {
    const other = taken.get(name.toLowerCase());
    taken.set(name.toLowerCase(), `column "${name}"`);
    if (other === undefined) continue;
    const ours = !other.startsWith('column ');
    obstacles.push({
      code: 'COLUMN_NAME_CLASH',
      message: `column "${name}" of ${observed.schema}.${observed.name} has the name of ${other} in the destination, which does not tell case apart`,
      hint: ours
        ? 'set another metadata_prefix for the source where it is one of those, or leave the column out with columns: { exclude: [..] }'
        : 'leave one of them out with columns: { exclude: [..] }',
      inherent: true,
    });
  }
  return obstacles;
}
